"""Mesh files → a scene folder, with every guess said out loud."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from meshes.importing.assemble import ImportedScene, assemble_scene, require_tissues, why_priority
from meshes.importing.bodies import split_nested
from meshes.importing.frames import to_patient_frame
from meshes.importing.mesh_files import FileSurface, read_surfaces
from meshes.importing.nesting import Nesting, find_nesting
from meshes.importing.recentre import coarse_numbers, shift_to_origin
from meshes.importing.repair import repair_surface
from meshes.importing.tissues import TissueGuess, guess_tissue
from meshes.importing.units import MM_PER_UNIT, find_units
from meshes.importing.writer import ImportedSurface, require_new_folder
from ussim.errors import UssimError
from ussim.names import LONGEST_NAME, clean_name, unique_names
from ussim.scene.check import SurfaceReport, check_surfaces
from ussim.scene.scene import LARGEST_SURFACE_COUNT
from ussim.scene.surface import Surface
from ussim.settings import suggest

Say = Callable[[str], None]


def scene_from_meshes(
    paths: Sequence[Path],
    folder: Path,
    *,
    units: str | None = None,
    scale: float | None = None,
    frame: str | None = None,
    tissues: Mapping[str, str] | None = None,
    background: str = "gel",
    side: str | None = None,
    repair: bool = False,
    say: Say = lambda text: None,
) -> ImportedScene:
    """Make a scene folder from mesh files.

    Args:
        paths: STL, OBJ, PLY, GLB, GLTF or OFF files, also as .gz or in a .zip; the named parts of a file become
            surfaces of their own, and so do bodies of which one lies inside another.
        folder: New or empty.
        units: Unit of the files, a key of ``MM_PER_UNIT``; if None, what the files state, else guessed from the size.
        scale: Millimetres of one unit, in place of ``units``.
        frame: One of ``FRAMES``: the axes of files that state none, or ``none`` to turn none; if None, every file that
            states its axes is turned to the patient's.
        tissues: Tissue by name of surface, where the guess is to be overruled.
        background: Tissue outside of all surfaces.
        side: Side of the body on which the probe lies, as in ``+y``; chosen if None.
        repair: Mend surfaces that fail the check; each change is told.
        say: Called with one line of text per surface that fails or was mended.

    Raises:
        UssimError: A file cannot be read, a surface fails the check, a tissue or a name is unknown, or the folder is
            not empty.
    """
    require_new_folder(folder)
    tissues = dict(tissues or {})
    require_tissues([*tissues.values(), background])
    files = read_surfaces(paths)
    _require_countable(files)
    unit = find_units(files, units, scale)
    surfaces, axes = to_patient_frame(files, frame)
    with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is found as such
        surfaces = [replace(one, vertices=one.vertices * unit.scale) for one in surfaces]
    doubts = [unit.doubt] if unit.doubt else []
    shift = shift_to_origin([one.vertices for one in surfaces])
    if shift is not None:
        surfaces = [replace(one, vertices=one.vertices + shift) for one in surfaces]
        coarse = coarse_numbers([one.vertices for one in files], unit.scale)
        doubts += [coarse] if coarse else []
    surfaces, notes = _sound(surfaces, repair, say)
    _require_countable(surfaces)
    names = [surface.name for surface in surfaces]
    for name in tissues:
        if name not in names:
            raise UssimError(f"--tissue {name}=…: there is no such surface; {suggest(name, names)}")
    nesting = find_nesting([(one.vertices, one.triangles) for one in surfaces])
    imported = _imported(surfaces, nesting, tissues, notes)
    header = [
        f"Written by ussim scene init from {', '.join(path.name for path in map(Path, paths))}.",
        "Everything that was guessed says so: change it here, or write the scene anew with other options.",
        "",
        f"Units: {unit.in_words}, {unit.why}.",
        f"The meshes beside this file are in millimetres. Another unit: --units {'|'.join(MM_PER_UNIT)}, or --scale.",
        f"Frame: {axes.why}.",
    ]
    return assemble_scene(
        folder,
        header,
        background,
        imported,
        nesting,
        units=unit,
        frame=axes.why,
        notes=doubts,
        shift_mm=shift,
        side=side,
        is_patient=axes.is_patient,
    )


def _require_countable(surfaces: Sequence[FileSurface]) -> None:
    if len(surfaces) > LARGEST_SURFACE_COUNT:
        raise UssimError(
            f"{len(surfaces)} surfaces; allowed: at most {LARGEST_SURFACE_COUNT} (join bodies of one tissue that do "
            "not overlap into one mesh)"
        )


def _check(surfaces: Sequence[FileSurface]) -> list[SurfaceReport]:
    """Check each surface by itself: no two have the same priority yet."""
    return check_surfaces(
        [
            Surface(name=one.name, tissue="gel", vertices_mm=one.vertices, triangles=one.triangles, priority=number)
            for number, one in enumerate(surfaces)
        ]
    )


def _sound(
    surfaces: Sequence[FileSurface], repair: bool, say: Say
) -> tuple[list[FileSurface], dict[str, tuple[str, ...]]]:
    """The surfaces, all of which pass the check, and what was done to each that did not."""
    reports = _check(surfaces)
    sound: list[FileSurface] = []
    notes: dict[str, tuple[str, ...]] = {}
    for surface, report in zip(surfaces, reports, strict=True):
        mended, changes = surface, list[str]()
        if not report.ok and repair:
            vertices, triangles, changes = repair_surface(surface.vertices, surface.triangles)
            if changes and len(triangles):
                mended = replace(surface, vertices=vertices, triangles=triangles)
                say(f"{surface.name}: repaired: {'; '.join(changes)}")
        bodies = [mended] if report.ok else _split(mended)
        for one in bodies:
            told = [f"Repaired: {'; '.join(changes)}."] if changes else []
            told += ["One of several bodies, some inside others."] if len(bodies) > 1 else []
            notes[one.name] = tuple(told)
        if len(bodies) > 1:
            names = ", ".join(one.name for one in bodies)
            say(f"{surface.name}: has bodies inside others, which are surfaces of their own: {names}")
        sound += bodies
    if not all(report.ok for report in reports):
        sound, notes = _named_apart(sound, notes)
        _require_sound(_check(sound), repair, say)
    return sound, notes


def _split(surface: FileSurface) -> list[FileSurface]:
    """A surface for each body that lies inside another, or holds one; the largest is number 1."""
    meshes = split_nested(surface.vertices, surface.triangles)
    if len(meshes) == 1:
        return [surface]
    return [
        replace(
            surface,
            name=clean_name(f"{surface.name[: LONGEST_NAME - 4]}_{number}"),
            source=f"{surface.source}, body {number} of {len(meshes)}",
            vertices=vertices,
            triangles=triangles,
        )
        for number, (vertices, triangles) in enumerate(meshes, start=1)
    ]


def _named_apart(
    surfaces: Sequence[FileSurface], notes: Mapping[str, tuple[str, ...]]
) -> tuple[list[FileSurface], dict[str, tuple[str, ...]]]:
    """The same with unique names: those of bodies may be taken."""
    names = unique_names([one.name for one in surfaces])
    renamed = [replace(one, name=name) for one, name in zip(surfaces, names, strict=True)]
    return renamed, {name: notes[one.name] for one, name in zip(surfaces, names, strict=True)}


def _require_sound(reports: Sequence[SurfaceReport], repair: bool, say: Say) -> None:
    failing = [report for report in reports if not report.ok]
    for report in failing:
        say(f"{report.name}: {_in_terms_of_options(report.verdict)}")
    if failing:
        names = ", ".join(report.name for report in failing)
        hint = "mend them where they were made" if repair else "mend them, or let --repair try"
        raise UssimError(f"{len(failing)} of {len(reports)} surfaces fail the check ({names}): {hint}")


def _in_terms_of_options(verdict: str) -> str:
    """What the check says of a scene file, said of the command that writes one."""
    words = {"mesh: ": "", "set scale = 1000;": "say --units m;", "set scale = 0.001;": "say --units um;"}
    for scene_words, option_words in words.items():
        verdict = verdict.replace(scene_words, option_words)
    return verdict


def _imported(
    surfaces: Sequence[FileSurface], nesting: Nesting, tissues: Mapping[str, str], notes: Mapping[str, tuple[str, ...]]
) -> list[ImportedSurface]:
    """Priorities from the nesting, tissues from the names."""
    imported = []
    for number, (surface, priority) in enumerate(zip(surfaces, nesting.priorities, strict=True)):
        around = [surfaces[other].name for other in nesting.containers(number)]
        guess = guess_tissue(surface.name, around, _filled_share(nesting, number))
        if surface.name in tissues:
            guess = TissueGuess(tissues[surface.name], "as given with --tissue")
        else:
            guess = replace(guess, why=f"guessed: {guess.why}")
        imported.append(
            ImportedSurface(
                surface.name,
                guess.tissue,
                int(priority),
                surface.source,
                guess.why,
                why_priority(nesting, number, [one.name for one in surfaces], nesting.priorities),
                notes.get(surface.name, ()),
                surface.vertices.astype(np.float32),
                surface.triangles,
                renamed=surface.name != surface.given_name,
            )
        )
    return imported


def _filled_share(nesting: Nesting, number: int) -> float:
    """Share of a surface's volume that the largest surface in it takes up."""
    inside = [nesting.volumes_mm3[other] for other in nesting.contents(number)]
    return float(max(inside, default=0.0) / nesting.volumes_mm3[number])
