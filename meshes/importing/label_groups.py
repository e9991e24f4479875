"""Which labels are one surface: ribs, vertebrae, lobes of a lung, the left and the right of a pair."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from meshes.importing.tissues import TissueGuess, guess_tissue

_SIDES = {
    "left", "right", "l", "r", "lh", "rh", "lt", "rt", "links", "rechts", "linke", "rechte", "gauche", "droit",
    "droite", "izquierdo", "izquierda", "derecho", "derecha",
}  # fmt: skip
_NAMELESS = {"label", "segment", "structure", "class", "region", "roi", "object", "mask", "part", "value", "id", "seg"}
_VERTEBRA = {"vertebra", "vertebrae", "wirbel"}
_WHICH_VERTEBRA = {"c", "t", "th", "l", "s", "cervical", "thoracic", "lumbar", "sacral", "body"}
_WHICH_LOBE = {"upper", "middle", "lower", "superior", "inferior", "lobe", "lingula"}
_GLUTEI = {"maximus", "medius", "minimus"}


@dataclass(frozen=True)
class LabelGroup:
    """Labels that become one surface.

    Attributes:
        values: In the volume.
        names: What the file calls each; empty if it does not.
        name: Of all together; empty if it is not known.
        guess: What they are made of.
    """

    values: tuple[int, ...]
    names: tuple[str, ...]
    name: str
    guess: TissueGuess


def group_labels(counts: Mapping[int, int], names: Mapping[int, str], most: int) -> list[LabelGroup]:
    """Join labels that are parts of one thing and of one tissue; then, beyond a number, the smallest of a tissue.

    Labels without a name stay by themselves, for nothing is known about them.

    Args:
        counts: Voxels by label.
        names: What some or all of them are called.
        most: Groups that there may be.

    Returns:
        The groups by their first value.
    """
    groups: dict[tuple[str, str], LabelGroup] = {}
    for value in counts:
        name = names.get(value, "")
        guess = guess_tissue(name)
        family = family_of(name)
        key = (family, guess.tissue) if family else (f"{value}", "")
        held = groups.get(key)
        if held is None:
            groups[key] = LabelGroup((value,), (name,) if name else (), name, guess)
        else:
            groups[key] = replace(held, values=(*held.values, value), names=(*held.names, name), name=family)
    return _at_most(list(groups.values()), counts, most)


def family_of(name: str) -> str:
    """What a name is called once its side and its number are left out; empty for no name.

    ``rib_left_1`` is of the ribs, ``vertebrae_L1`` of the spine, ``Left-Kidney`` a kidney; ``label_3`` stays itself.
    """
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    words = re.findall(r"[^\W\d_]+|\d+", spaced.lower())
    letters = {word for word in words if not word.isdecimal()}
    if letters & _VERTEBRA and letters <= _VERTEBRA | _WHICH_VERTEBRA:
        return "spine"
    kept = [word for word in words if word not in _SIDES] or words
    if {"rib", "ribs"} & set(kept) and not {"cartilage", "cartilages"} & set(kept):
        return "ribs"
    if {"lung", "lungs"} & set(kept) and set(kept) <= {"lung", "lungs"} | _WHICH_LOBE:
        return "lung"
    if "gluteus" in kept:
        kept = [word for word in kept if word not in _GLUTEI]
    things = [word for word in kept if not word.isdecimal()]
    if _is_nameless(name):
        return "_".join(words)
    return "_".join(word for word in things if word != "segment" or len(things) == 1)


def _is_nameless(name: str) -> bool:
    """True if a number is all that tells a label from others: ``structure_57``, ``Segment 3``."""
    return set(re.findall(r"[^\W\d_]+", name.lower())) <= _NAMELESS


def _at_most(groups: Sequence[LabelGroup], counts: Mapping[int, int], most: int) -> list[LabelGroup]:
    """Join the smallest groups of the tissue that has most, until there are few enough; as far as names go.

    What is told by a number only, ``structure_57``, is joined before what has a name of its own.
    """
    found = list(groups)
    while len(found) > most:
        by_tissue = Counter(group.guess.tissue for group in found if group.name)
        if not by_tissue or by_tissue.most_common(1)[0][1] < 2:
            break
        tissue, held = by_tissue.most_common(1)[0]
        alike = sorted(
            (group for group in found if group.name and group.guess.tissue == tissue),
            key=lambda group: (
                not _is_nameless(group.name),
                sum(counts[value] for value in group.values),
                group.values,
            ),
        )
        joined = alike[: min(len(found) - most + 1, held)]
        rest = [group for group in found if group not in joined]
        values = tuple(sorted(value for group in joined for value in group.values))
        names = tuple(name for group in sorted(joined, key=lambda one: one.values) for name in group.names)
        guess = TissueGuess(tissue, f"the {len(joined)} smallest of {held} of this tissue, for at most {most} surfaces")
        found = [*rest, LabelGroup(values, names, f"other_{tissue}", guess)]
    return sorted(found, key=lambda group: group.values)
