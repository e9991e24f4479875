"""A user's own geometry → a scene folder: mesh files, or a labelled volume.

files      mesh files → named surfaces          labels     labelled volume → named surfaces
units      how large is it?                     label_map  what a label is called and made of
repair     mend a surface, on request           nesting    what lies in what → priorities
tissues    names → tissues                      probe      a sweep over the skin
writer     the commented scene folder           assemble   what both ways end with: probe, folder, advice
from_meshes, from_labels                        the two ways, step by step
"""

from __future__ import annotations
