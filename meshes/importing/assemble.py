"""Surfaces with tissues and priorities → the probe, the folder, and what to tell about them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from meshes.importing.nesting import Nesting
from meshes.importing.probe_placement import Placement, place_probe
from meshes.importing.recentre import shift_text, shift_to_origin
from meshes.importing.units import Units
from meshes.importing.writer import ImportedSurface, write_scene
from ussim.scene.scene import Scene
from ussim.scene.tissue import TissueLibrary

# What hardly any sound gets through: more than this in dB/(cm·MHz).
_BLOCKING_DB_CM_MHZ = 3.0
SIDES = {f"{sign}{axis}": float(f"{sign}1") * np.eye(3)["xyz".index(axis)] for axis in "xyz" for sign in "+-"}
"""Sides of the body on which a probe may be put: ``+x``, ``-x`` and so on, in the axes of the meshes."""
THREAD_MM = 0.6
"""About the distance between the scanlines of a convex probe at 10 cm."""
_MOST_NAMED = 2
_WHOLLY_INSIDE = 0.9  # the rest is rounding, or a vessel that looks out


@dataclass(frozen=True)
class ImportedScene:
    """What was written.

    Attributes:
        scene: The scene, loaded from its folder.
        surfaces: Its surfaces with what is known about them, by priority.
        units: Unit of the files; None for a labelled volume.
        placement: Where the probe is.
        probe_on: What the probe lies on, in words: a surface, or the background.
        warnings: One sentence each on what may need a hand.
        frame: What the axes are and how that is known; empty for a labelled volume.
        moved: By how much everything was moved to the origin, and how to undo it; empty if it was not.
    """

    scene: Scene
    surfaces: tuple[ImportedSurface, ...]
    units: Units | None
    placement: Placement
    probe_on: str
    warnings: tuple[str, ...]
    frame: str = ""
    moved: str = ""


def assemble_scene(
    folder: Path,
    header: Sequence[str],
    background: str,
    surfaces: Sequence[ImportedSurface],
    nesting: Nesting,
    *,
    units: Units | None = None,
    frame: str = "",
    shift_mm: np.ndarray | None = None,
    side: str | None = None,
    is_patient: bool = False,
    notes: Sequence[str] = (),
) -> ImportedScene:
    """Place the probe, write the folder, collect what to say.

    Args:
        folder: New or empty.
        header: Lines of the comment at the top of the scene.toml.
        background: Tissue outside of all surfaces.
        surfaces: The surfaces, checked.
        nesting: How they lie in each other, in the same order.
        units: Unit of the files they are from, if that is known.
        frame: What their axes are, if that is to be told.
        shift_mm: (3,) by which they have been moved to the origin; None moves them here if they are too far away.
        side: Where the probe shall lie, a key of ``SIDES``; None chooses.
        is_patient: True if the coordinates are a patient's, x to the right, y to the front, z up.
        notes: What else to say, as of what was guessed and may be wrong, one sentence each.

    Raises:
        UssimError: No place for the probe, the scene fails a check, or the folder cannot be written.
    """
    if shift_mm is None:
        shift_mm = shift_to_origin([surface.vertices_mm for surface in surfaces])
        surfaces = [_moved(surface, shift_mm) for surface in surfaces]
    moved = "" if shift_mm is None else shift_text(shift_mm)
    library = TissueLibrary.load()
    blocking = [library[surface.tissue].attenuation_db_cm_mhz > _BLOCKING_DB_CM_MHZ for surface in surfaces]
    meshes = [(surface.vertices_mm, surface.triangles) for surface in surfaces]
    outside = nesting.has_no_body and library[background].scatters
    placement = place_probe(meshes, nesting, blocking, SIDES[side] if side else None, is_patient, outside)
    advice = " ".join(f"--set {setting}" for setting in placement.settings)
    name = folder.absolute().name
    probe_on = f"the {background} around all" if placement.on is None else surfaces[placement.on].name
    title = "".join(letter if letter.isprintable() else "_" for letter in name)[:64] or "scene"
    store = shlex.quote(f"{name}.zarr")
    lines = [
        *header,
        *([f"Moved: {moved}."] if moved else []),
        "",
        f"Probe: on {probe_on}; {placement.why_settings}.",
        f"Render it with: ussim render {shlex.quote(name)} -o {store} --frames 20{' ' + advice if advice else ''}",
    ]
    scene = write_scene(folder, title, lines, background, surfaces, placement.sweep)
    ordered = tuple(sorted(surfaces, key=lambda surface: surface.priority))
    warnings = (*notes, *_warnings(surfaces, nesting, background, library[background].scatters))
    return ImportedScene(scene, ordered, units, placement, probe_on, warnings, frame, moved)


def _moved(surface: ImportedSurface, shift_mm: np.ndarray | None) -> ImportedSurface:
    if shift_mm is None:
        return surface
    return replace(surface, vertices_mm=(surface.vertices_mm.astype(np.float64) + shift_mm).astype(np.float32))


def require_tissues(names: Sequence[str]) -> None:
    """Refuse tissues that the packaged library does not have.

    Raises:
        UssimError: Names the first, the nearest one and all there are.
    """
    library = TissueLibrary.load()
    for name in names:
        library.find(name)


def why_priority(nesting: Nesting, number: int, names: Sequence[str], priorities: np.ndarray | Sequence[int]) -> str:
    """What a surface lies in and what it overlaps, in words; ``names`` and ``priorities`` are those of all surfaces."""
    around = nesting.containers(number)
    larger = [
        other
        for other in np.flatnonzero(nesting.overlaps[number]).tolist()
        if other not in around and priorities[other] < priorities[number]
    ]
    clauses = []
    if around:
        shares = {names[other]: nesting.share_inside[number, other] for other in around}
        within = [name if share > _WHOLLY_INSIDE else f"{name} ({share:.0%})" for name, share in shares.items()]
        clauses.append(f"inside {_some(within)}")
    if larger:
        clauses.append(f"over {_some([names[other] for other in larger])}, which it overlaps")
    return "; ".join(clauses) or "in no other surface"


def _some(names: Sequence[str]) -> str:
    """The first names and how many there are more."""
    left = len(names) - _MOST_NAMED
    return ", ".join(names) if left < 2 else f"{', '.join(names[:_MOST_NAMED])} and {left} more"


def _warnings(
    surfaces: Sequence[ImportedSurface], nesting: Nesting, background: str, background_scatters: bool
) -> list[str]:
    found = []
    for first, second, share in nesting.touching:
        found.append(
            f"{surfaces[first].name} and {surfaces[second].name} share {share:.0%} of their vertices: where their "
            "walls only nearly coincide, slivers show between them; let the one of lower priority reach 0.5 mm into "
            "the other"
        )
    body = surfaces[nesting.outermost].name
    apart = ", ".join(surfaces[number].name for number in nesting.apart_from(nesting.outermost))
    if not nesting.has_no_body:
        found += [f"apart from the body, in the background: {apart}"] if apart else []
    elif background_scatters:
        found.append(f"no body: no surface holds the others, so {background} does, and the probe looks in from outside")
    else:
        found.append(
            f"no body: no surface holds the others, and the probe lies on {body} itself; "
            f"{f'apart from it, in the background: {apart}; ' if apart else ''}--background soft_tissue puts them all "
            "into tissue"
        )
    thin = [surface.name for surface in surfaces if _is_thread(surface)]
    if thin:
        found.append(
            f"thinner than {THREAD_MM:g} mm, about the distance between scanlines: low quality may pass by "
            f"{', '.join(thin)}; for pins and wires take [[point]]"
        )
    return found


def _is_thread(surface: ImportedSurface) -> bool:
    """Whether a surface is as thin as a wire: its diameter, were it one, is four times its volume over its area."""
    corners = surface.vertices_mm[surface.triangles].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area, volume = 0.5 * np.linalg.norm(normals, axis=1).sum(), abs(np.einsum("ij,ij", corners[:, 0], normals)) / 6
    longest = np.ptp(surface.vertices_mm, axis=0).max()
    return bool(4 * volume < THREAD_MM * area and longest > 10 * THREAD_MM)
