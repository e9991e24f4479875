"""Phantoms as ultrasound laboratories have them, as scene folders: pins, cysts, grey-scale targets, a uniform block.

catalogue  what each of them consists of, as data      build  from there to a scene folder
"""

from __future__ import annotations
