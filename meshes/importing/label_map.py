"""What the labels of a volume are: a TOML file, options of the command line, and a template to fill in."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from meshes.importing.mesh_files import clean_name
from ussim.errors import UssimError
from ussim.scene.tissue import TissueLibrary
from ussim.toml import read_toml, toml_comment

_CHECKED = ConfigDict(extra="forbid", strict=True, frozen=True)


class LabelEntry(BaseModel):
    """One ``[[label]]`` table.

    Attributes:
        value: The label in the volume; 0 is the background and has no table.
        name: Name of the surface; that of the tissue if left out.
        tissue: A name of the tissue library; None only if the label is ignored.
        priority: Of two labels that touch the higher one has the exact wall; None orders by size.
        ignore: True to leave the label out, as if it were background.
    """

    model_config = _CHECKED

    value: Annotated[int, Field(ge=1)]
    name: Annotated[str, Field(min_length=1, max_length=48)] | None = None
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
        if self.ignore == (self.tissue is not None):
            raise ValueError(f"label {self.value}: give it a tissue, or ignore = true")
        return self


class LabelFile(BaseModel):
    """A whole label map."""

    model_config = _CHECKED

    format: Literal[1]
    label: Annotated[list[LabelEntry], Field(min_length=1)]

    @field_validator("label")
    @classmethod
    def _values_are_unique(cls, entries: list[LabelEntry]) -> list[LabelEntry]:
        values = [entry.value for entry in entries]
        for value in values:
            if values.count(value) > 1:
                raise ValueError(f"{values.count(value)} of them have value = {value}; allowed: every value once")
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
        UssimError: A label has no tissue (all of these are listed), or a tissue is unknown, or nothing is left.
    """
    entries = {entry.value: entry for entry in read_toml(path, LabelFile).label} if path else {}
    library = TissueLibrary.load()
    for value in [*tissues, *ignored]:
        if value not in counts:
            raise UssimError(f"{volume} has no label {value}; it has {_listed(counts)}")
    unmapped = {
        value: count
        for value, count in counts.items()
        if value not in tissues and value not in ignored and value not in entries
    }
    if unmapped:
        one = next(iter(unmapped))
        listed = ", ".join(f"{value} ({count} voxels)" for value, count in unmapped.items())
        raise UssimError(
            f"{volume}: no tissue is given for label{'s' if len(unmapped) > 1 else ''} {listed}; add to --map, or give "
            f"--tissue {one}=NAME or --ignore {one} (--write-map FILE writes a map to fill in)"
        )
    found: list[Label] = []
    for value in counts:
        entry, given = entries.get(value), tissues.get(value)
        tissue = entry.tissue if entry and given is None else given
        if value in ignored or tissue is None:  # only what the map ignores has no tissue
            continue
        where = f"{path}: label {value}" if given is None else f"--tissue {value}=…"
        try:
            library.find(tissue)
        except UssimError as error:
            raise UssimError(f"{where}: {error}") from None
        why = f"from {path and path.name}" if given is None else f"as given with --tissue {value}=…"
        name = (entry and entry.name) or tissue
        if name in (one.name for one in found):
            name = f"{name}_{value}"
        found.append(Label(value, name, tissue, entry.priority if entry else None, why))
    if not found:
        raise UssimError(f"{volume}: every label is ignored; allowed: at least one with a tissue")
    return found


def map_template(counts: Mapping[int, int], volume: Path) -> str:
    """A label map for a volume, to be filled in.

    Args:
        counts: Voxels by label, background left out.
        volume: Whose labels these are, for the comment.
    """
    names = sorted(TissueLibrary.load())
    lines = [
        toml_comment(f"The labels of {volume.name}. Give each a tissue, or say ignore = true."),
        "# name: of the surface (letters, digits, _ and -; that of the tissue if left out).",
        "# priority: of two labels that touch, the higher one has the exact wall; left out, the smaller one.",
        "# Tissues:",
    ]
    lines += [f"#   {', '.join(names[start : start + 8])}" for start in range(0, len(names), 8)]
    lines += ["", "format = 1"]
    for value, count in counts.items():
        lines += ["", f"[[label]]                         # {count} voxels", f"value = {value}"]
        lines += [f'name = "label_{value}"', 'tissue = "soft_tissue"']
    return "\n".join([*lines, ""])


def _listed(counts: Mapping[int, int]) -> str:
    return ", ".join(map(str, counts))
