"""Command lines: parse, call, show. What they call lives in the packages below, but for ``pipeline``.

That room is what ``ussim-pipeline`` does: it needs meshes, ussim and translate, and so stands on top of all three.
"""
