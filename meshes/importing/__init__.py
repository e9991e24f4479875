"""A user's own geometry → a scene folder: mesh files, or a labelled volume.

mesh_files       mesh files → named surfaces         labels     labelled volume → named surfaces
units            how large is it?                    label_map  what a label is called and made of
repair           mend a surface, on request          nesting    what lies in what → priorities
terms            names → the anatomical terms in them
tissues          names → tissues                     writer     the commented scene folder
probe_placement  a sweep over the skin               assemble   what both ways end with: probe, folder, advice
from_meshes, from_labels                        the two ways, step by step
"""

from __future__ import annotations
