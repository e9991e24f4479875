"""A user's own geometry → a scene folder: mesh files, or a labelled volume.

files      mesh files → named surfaces          labels     labelled volume → named surfaces
units      how large is it?                     label_map  what a label is called and made of
repair     mend a surface, on request           nesting    what lies in what → priorities
tissues    names → tissues                      probe      a sweep over the skin
writer     the commented scene.toml             make       all of it, in order
"""

from __future__ import annotations
