"""What the labels of a volume are: a TOML file, options of the command line, and a template to fill in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from meshes.importing.label_groups import LabelGroup, group_labels
from ussim.errors import UssimError
from ussim.names import clean_name
from ussim.scene.scene import LARGEST_SURFACE_COUNT
from ussim.scene.tissue import TissueLibrary
from ussim.toml import read_toml, toml_comment, toml_value

_CHECKED = ConfigDict(extra="forbid", strict=True, frozen=True)
_MOST_NAMED = 20  # in a message
_LONGEST_NAME = 48


def _as_values(value: Any) -> Any:
    """One label or a list of labels as a tuple."""
    values = value if isinstance(value, list | tuple) else [value]
    if not values or not all(isinstance(one, int) and not isinstance(one, bool) for one in values):
        raise ValueError("must be a label, as in 3, or a list of labels, as in [3, 4]")
    if not all(one and -(2**63) <= one < 2**63 for one in values):
        raise ValueError("must be labels other than 0, below 2⁶³")
    twice = next((one for one, count in Counter(values).items() if count > 1), None)
    if twice is not None:
        raise ValueError(f"must have every label once, but {twice} is there again")
    return tuple(values)


class LabelEntry(BaseModel):
    """One ``[[label]]`` table.

    Attributes:
        value: The label in the volume, or several that become one surface; 0 is the background and has no table.
        name: Name of the surface; that of the tissue if left out.
        tissue: A name of the tissue library; None only if the label is ignored.
        priority: Of two labels that touch the higher one has the exact wall; None orders by size.
        ignore: True to leave the label out, as if it were background.
    """

    model_config = _CHECKED

    value: Annotated[tuple[int, ...], BeforeValidator(_as_values)]
    name: Annotated[str, Field(min_length=1, max_length=_LONGEST_NAME)] | None = None
    tissue: Annotated[str, Field(min_length=1)] | None = None
    priority: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    ignore: bool = False

    @field_validator("name")
    @classmethod
    def _name_can_be_a_file(cls, name: str | None) -> str | None:
        if name is not None and clean_name(name) != name:
            raise ValueError("must consist of letters, digits, _ and -")
        return name

    @model_validator(mode="after")
    def _has_a_tissue_or_is_ignored(self) -> LabelEntry:
        what = f"label {self.value[0]}"
        if self.ignore == (self.tissue is not None):
            raise ValueError(f"{what}: give it a tissue, or ignore = true")
        if not self.ignore and min(self.value) < 0:
            raise ValueError(f"label {min(self.value)} is negative, as nothing but background is: say ignore = true")
        return self


class LabelFile(BaseModel):
    """A whole label map."""

    model_config = _CHECKED

    format: Literal[1]
    label: Annotated[list[LabelEntry], Field(min_length=1)]

    @field_validator("label")
    @classmethod
    def _values_are_unique(cls, entries: list[LabelEntry]) -> list[LabelEntry]:
        counts = Counter(value for entry in entries for value in entry.value)
        for value, count in counts.items():
            if count > 1:
                raise ValueError(f"{count} of them have value = {value}; allowed: every value once")
        return entries


@dataclass(frozen=True)
class Label:
    """One label that becomes a surface.

    Attributes:
        value: In the volume.
        name: Of the surface, unique.
        tissue: A name of the tissue library.
        priority: As given, or None.
        why: How the tissue is known.
        also: Further values that are the same surface.
    """

    value: int
    name: str
    tissue: str
    priority: int | None
    why: str
    also: tuple[int, ...] = ()

    @property
    def values(self) -> tuple[int, ...]:
        """All its values in the volume."""
        return (self.value, *self.also)


def read_labels(
    counts: Mapping[int, int], path: Path | None, tissues: Mapping[int, str], ignored: Collection[int], volume: Path
) -> list[Label]:
    """Say of every label of a volume what it is.

    Args:
        counts: Voxels by label, background left out.
        path: A label map, or None. Labels of it that the volume lacks are no mistake: one map serves many volumes.
        tissues: Tissue by label from the command line; overrules the map.
        ignored: Labels to leave out; overrules the map.
        volume: The volume, for messages.

    Returns:
        The labels that become surfaces, by value.

    Raises:
        UssimError: A label has no tissue (these are listed), or is negative and not ignored, or a tissue is unknown,
            or nothing is left.
    """
    entries = read_toml(path, LabelFile).label if path else []
    for value in [*tissues, *ignored]:
        if value not in counts:
            raise UssimError(f"{volume} has no label {value}; it has {_listed(counts)}")
    mapped = {value for entry in entries for value in entry.value}
    _require_tissues({value: counts[value] for value in counts if value not in {*tissues, *ignored, *mapped}}, volume)
    taken = {*tissues, *ignored}
    found: list[Label] = []
    for entry in entries:
        values = [value for value in entry.value if value in counts and value not in taken]
        if values and entry.tissue is not None:
            _require_known(entry.tissue, f"{path}: label {values[0]}")
            why = f"from {path and path.name}"
            name = entry.name or entry.tissue
            found.append(Label(values[0], name, entry.tissue, entry.priority, why, tuple(values[1:])))
    priorities = {value: entry.priority for entry in entries for value in entry.value}
    names = {value: entry.name for entry in entries if len(entry.value) == 1 for value in entry.value}
    for value, tissue in tissues.items():
        if value not in ignored:
            _require_known(tissue, f"--tissue {value}=…")
            why = f"as given with --tissue {value}=…"
            found.append(Label(value, names.get(value) or tissue, tissue, priorities.get(value), why))
    if not found:
        raise UssimError(f"{volume}: every label is ignored; allowed: at least one with a tissue")
    return _with_own_names(sorted(found, key=lambda label: label.value))


def _with_own_names(labels: Iterable[Label]) -> list[Label]:
    """The labels, those whose name is taken with their value behind it."""
    found: dict[str, Label] = {}
    for label in labels:
        name = label.name
        if name in found:
            suffix = f"_{label.value}"
            name = name[: _LONGEST_NAME - len(suffix)] + suffix
        if name in found:
            raise UssimError(f"name = '{name}' of both label {found[name].value} and {label.value}; allowed: one each")
        found[name] = Label(label.value, name, label.tissue, label.priority, label.why, label.also)
    return list(found.values())


def _require_known(tissue: str, where: str) -> None:
    try:
        TissueLibrary.load().find(tissue)
    except UssimError as error:
        raise UssimError(f"{where}: {error}") from None


def _require_tissues(unmapped: Mapping[int, int], volume: Path) -> None:
    """Refuse labels that nothing is said about."""
    if not unmapped:
        return
    one = next(iter(unmapped))
    told = [f"{value} ({count} voxels)" for value, count in unmapped.items()]
    more = f" and {len(told) - _MOST_NAMED} more" if len(told) > _MOST_NAMED else ""
    listed = ", ".join(told[:_MOST_NAMED]) + more
    raise UssimError(
        f"{volume}: no tissue is given for label{'s' if len(unmapped) > 1 else ''} {listed}; "
        f"add to --map, or give --tissue {one}=NAME or --ignore {one} (--write-map FILE writes a map to fill in)"
    )


def require_background(counts: Mapping[int, int], ignored: Collection[int], voxels: int, volume: Path) -> None:
    """Refuse negative labels that are not ignored: they mark the outside, but nobody has said so.

    Args:
        counts: Voxels by label.
        ignored: Labels to leave out.
        voxels: Of the whole volume.
        volume: For the message.

    Raises:
        UssimError: There are some; says how to leave them out.
    """
    negative = {value: count for value, count in counts.items() if value < 0 and value not in ignored}
    if negative:
        told = " and ".join(f"{value} in {count:,}" for value, count in negative.items())
        options = " ".join(f"--ignore {value}" for value in negative)
        raise UssimError(
            f"{volume}: {told} of {voxels:,} voxels: is it background? {options}; allowed: labels from 0 on"
        )


def ignored_in(path: Path | None) -> set[int]:
    """Labels that a map leaves out.

    Raises:
        UssimError: The map cannot be read or is no label map.
    """
    entries = read_toml(path, LabelFile).label if path else []
    return {value for entry in entries if entry.ignore for value in entry.value}


def map_template(
    counts: Mapping[int, int], names: Mapping[int, str], ignored: Collection[int], volume: Path
) -> tuple[str, int]:
    """A label map for a volume, to be looked over and filled in.

    Args:
        counts: Voxels by label, background left out.
        names: What the file calls them, as far as it does.
        ignored: Labels to leave out.
        volume: Whose labels these are, for the comment.

    Returns:
        The map, and the number of surfaces that it makes.
    """
    kept = {value: count for value, count in counts.items() if value not in ignored}
    groups = group_labels(kept, names, LARGEST_SURFACE_COUNT)
    library = sorted(TissueLibrary.load())
    lines = [
        toml_comment(f"The labels of {volume.name}. Give each a tissue, or say ignore = true."),
        "# value: a label, or a list of labels that become one surface.",
        "# name: of the surface (letters, digits, _ and -; that of the tissue if left out).",
        "# priority: of two labels that touch, the higher one has the exact wall; left out, the smaller one.",
        "# Tissues:",
    ]
    lines += [f"#   {', '.join(library[start : start + 8])}" for start in range(0, len(library), 8)]
    lines += ["", "format = 1"]
    taken: set[str] = set()
    for group in groups:
        lines += ["", *_entry(group, kept, taken)]
    for value in sorted(set(ignored) & set(counts)):
        lines += [
            "",
            f"[[label]]                         # {counts[value]} voxels",
            f"value = {value}",
            "ignore = true",
        ]
    return "\n".join([*lines, ""]), len(groups)


def _entry(group: LabelGroup, counts: Mapping[int, int], taken: set[str]) -> list[str]:
    """Lines of one ``[[label]]`` table; its name is added to those taken."""
    first = group.values[0]
    name = clean_name(group.name) or f"label_{first}"
    if name in taken:
        name = f"{name[: _LONGEST_NAME - len(str(first)) - 1]}_{first}"
    taken.add(name)
    voxels = sum(counts[value] for value in group.values)
    lines = [f"[[label]]                         # {voxels} voxels"]
    if group.names and group.names != (name,):
        lines.append(toml_comment(", ".join(group.names)))
    guess = f"guessed: {group.guess.why}" if group.name else "not known: say it"
    value = toml_value(list(group.values)) if len(group.values) > 1 else first
    return [*lines, f"value = {value}", f"name = {toml_value(name)}", _with_comment(group.guess.tissue, guess)]


def _with_comment(tissue: str, comment: str) -> str:
    return f"{f'tissue = {toml_value(tissue)}':<34}{toml_comment(comment)}"


def _listed(counts: Mapping[int, int]) -> str:
    more = f" and {len(counts) - _MOST_NAMED} more" if len(counts) > _MOST_NAMED else ""
    return ", ".join(map(str, list(counts)[:_MOST_NAMED])) + more
