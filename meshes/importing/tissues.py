"""Names of surfaces → tissues of the library: a guess that says what it rests on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

DEFAULT = "soft_tissue"
_FETAL_DEFAULT = "fetal_soft"
_FETAL = {"bone": "fetal_bone", "lung": "fetal_lung", DEFAULT: _FETAL_DEFAULT}
_FETAL_WORDS = ("fetus", "fetal", "foetus", "foetal", "embryo", "baby")
# A skin with less than this share of its volume inside other surfaces is no layer but the outside of a body.
SHELL_SHARE = 0.6

# Looked up from the top; a word matches a part of the name that begins with it (short ones must match whole).
_TABLE: tuple[tuple[tuple[str, ...], str], ...] = (
    (("vessel", "vein", "artery", "arteries", "aorta", "vena", "cava", "ivc", "blood", "portal"), "blood"),
    (("air", "gas", "trachea", "bronch"), "air"),
    (("gallbladder", "bladder", "urine", "ureter", "cyst"), "urine"),
    (("stomach", "gastric"), "stomach_fluid"),
    (("csf", "cerebrospinal"), "csf"),
    (("brain", "spinal", "cerebr", "cerebell", "thalam", "cortex", "myelon"), "brain"),
    (("cartilage", "menisc", "disc", "disk"), "cartilage"),
    (
        (
            "skull", "cranium", "calvaria", "bone", "femur", "tibia", "fibula", "humerus", "radius", "ulna", "rib",
            "ribcage", "spine", "vertebra", "sternum", "pelvis", "scapula", "clavicle", "mandible", "maxilla", "sacrum",
            "hip", "jaw", "teeth", "tooth", "skeleton",
        ),
        "bone",
    ),
    (("lung", "pulmon"), "lung"),
    (("umbilic", "cord"), "cord"),
    (("placenta",), "placenta"),
    (("uterus", "uterine", "womb", "myometr", "cervix"), "uterus"),
    (("amnio", "liquor", "fluid", "effusion", "ascites"), "amniotic_fluid"),
    (("heart", "myocard", "cardiac"), "heart_muscle"),
    (("atrium", "atria", "ventricle"), "blood"),
    (("liver", "hepat"), "liver"),
    (("kidney", "renal"), "kidney"),
    (("bowel", "intestin", "colon", "gut", "duoden", "rectum"), "bowel"),
    (("fat", "adipos", "subcut"), "fat"),
    (("skin", "epiderm", "dermis"), "skin"),
    (("muscle", "psoas", "glute", "diaphragm"), "muscle"),
    (("gel", "water"), "gel"),
    (
        ("body", "torso", "trunk", "abdomen", "soft", "tissue", "spleen", "pancreas", "thyroid", "prostate", "gland",
         "tumor", "tumour", "lesion", "mass", "nodule"),
        DEFAULT,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class TissueGuess:
    """A tissue and the reason for it.

    Attributes:
        tissue: A name of the packaged library.
        why: One clause, for people.
    """

    tissue: str
    why: str


def guess_tissue(name: str, around: Sequence[str] = (), filled_share: float | None = None) -> TissueGuess:
    """What a surface is made of, judged by its name.

    Args:
        name: Of the surface.
        around: Names of the surfaces it lies in.
        filled_share: Share of its volume that other surfaces take up, if known.
    """
    is_fetal = any(word in other.lower() for other in (name, *around) for word in (*_FETAL_WORDS, "amnio", "uterus"))
    for words, tissue in _TABLE:
        word = next((word for word in words if _is_in(word, name)), None)
        if word is None:
            continue
        if tissue == "skin" and filled_share is not None and filled_share < SHELL_SHARE:
            default = _FETAL_DEFAULT if is_fetal else DEFAULT
            share = f"{filled_share:.0%}"
            return TissueGuess(default, f"called '{word}', but filled to {share} only: taken for the body under it")
        if is_fetal and tissue in _FETAL:
            return TissueGuess(_FETAL[tissue], f"'{word}' in its name, and part of a fetus")
        return TissueGuess(tissue, f"'{word}' in its name")
    return TissueGuess(_FETAL_DEFAULT if is_fetal else DEFAULT, "nothing in its name says: average soft tissue")


def _is_in(word: str, name: str) -> bool:
    """True if a part of the name begins with the word; ``LeftKidney`` has the parts left and kidney."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    parts = re.findall(r"[a-z]+", spaced.lower())
    return any(part.startswith(word) if len(word) > 4 else part in (word, word + "s") for part in parts)
