"""The text of a scene.toml: what :mod:`ussim.scene.file` reads, with comments for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ussim.scene.file import PointEntry, SceneFile, SurfaceEntry, SweepEntry
from ussim.scene.sweep import Sweep
from ussim.toml import toml_comment, toml_value

_COMMENT_COLUMN = 34


@dataclass(frozen=True)
class SurfaceComments:
    """What stands about a surface in its scene file.

    Attributes:
        above: Lines above its table.
        tissue: Behind its tissue.
        priority: Behind its priority.
    """

    above: Sequence[str] = ()
    tissue: str = ""
    priority: str = ""


def scene_text(
    file: SceneFile, header: Sequence[str] = (), comments: Mapping[str, SurfaceComments] | None = None
) -> str:
    """Write a scene file; read back it is equal to the one given.

    Args:
        file: What it says.
        header: Lines of the comment at its top.
        comments: By name of surface.
    """
    comments = comments or {}
    lines = [*map(toml_comment, header), ""] if header else []
    lines += ["format = 1", _line("name", file.name), _line("background", file.background, "outside all surfaces")]
    if file.tissues:
        lines += [_line("tissues", file.tissues)]
    lines += [
        "",
        "# Surfaces. Where two overlap, the one of higher priority fills the space. `tissue` is a name of the library;",
        "# `ussim scene info` lists the values of those in use, docs/scenes.md says how to add your own.",
    ]
    for surface in file.surface:
        lines += ["", *_surface_lines(surface, comments.get(surface.name, SurfaceComments()))]
    if file.point:
        lines += [
            "",
            "# Points. strength_db is the peak of a point's echo over the level of tissue of unit scatterers.",
        ]
    for point in file.point:
        lines += ["", *_point_lines(point)]
    if file.sweep:
        lines += [
            "",
            "# The probe's path: the image is interpolated between these poses. position_mm is the middle of its face,",
            "# axial points into the body, lateral from left to right in the image.",
        ]
    for number, sweep in enumerate(file.sweep):
        lines += ["", *_sweep_lines(sweep)] if number else _sweep_lines(sweep)
    return "\n".join([*lines, ""])


def sweep_entry(sweep: Sweep, decimals: int = 6) -> SweepEntry:
    """A sweep as it stands in a scene file, its numbers rounded."""
    keys = [
        {field: [round(float(value), decimals) for value in vector] for field, vector in vars(key).items()}
        for key in sweep.keys
    ]
    return SweepEntry(name=sweep.name, description=sweep.description, key=keys)


def _surface_lines(surface: SurfaceEntry, comments: SurfaceComments) -> list[str]:
    lines = [*map(toml_comment, comments.above), "[[surface]]"]
    lines += [_line("name", surface.name), _line("mesh", surface.mesh)]
    lines += [_line("tissue", surface.tissue, comments.tissue), _line("priority", surface.priority, comments.priority)]
    if surface.group:
        lines += [_line("group", surface.group)]
    if surface.scale != 1.0:
        lines += [_line("scale", surface.scale)]
    if surface.transform is not None:
        lines += [_line("transform", surface.transform)]
    return lines


def _point_lines(point: PointEntry) -> list[str]:
    return ["[[point]]", _line("position_mm", point.position_mm), _line("strength_db", point.strength_db)]


def _sweep_lines(sweep: SweepEntry) -> list[str]:
    lines = ["[[sweep]]", _line("name", sweep.name)]
    if sweep.description:
        lines += [_line("description", sweep.description)]
    for key in sweep.key:
        lines += ["", "[[sweep.key]]", *(_line(field, vector) for field, vector in key)]
    return lines


def _line(key: str, value: Any, comment: str = "") -> str:
    line = f"{key} = {toml_value(value)}"
    return f"{line:<{_COMMENT_COLUMN - 1}} {toml_comment(comment)}" if comment else line
