"""Pictures for people: contact sheets of a store, galleries of standard planes, cut-away views of a scene.

May import every other room of ``ussim``; none imports this one.
"""
