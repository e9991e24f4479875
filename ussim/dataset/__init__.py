"""Many frames: which poses, which units, written how, and whether a store is what it says it is.

May import ``render``, ``scene`` and ``probe``; whoever only reads a store needs ``store`` and ``schema`` alone.
"""
