"""Readers of mesh files: bytes in, named parts out. :mod:`ussim.scene.mesh_io` opens the files and keeps the limits.

None reads a material, a texture or a colour, and none opens a file: what a glTF file has beside it comes through a
function that the opener gives.
"""
