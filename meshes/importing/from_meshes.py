"""Mesh files → a scene folder, with every guess said out loud."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from meshes.importing.assemble import ImportedScene, assemble_scene, require_tissues, why_priority
from meshes.importing.mesh_files import FileSurface, read_surfaces
from meshes.importing.nesting import Nesting, find_nesting
from meshes.importing.repair import repair_surface
from meshes.importing.tissues import TissueGuess, guess_tissue
from meshes.importing.units import IN_WORDS, MM_PER_UNIT, Units, given_units, guess_units
from meshes.importing.writer import ImportedSurface, require_new_folder
from ussim.errors import UssimError
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
    tissues: Mapping[str, str] | None = None,
    background: str = "gel",
    side: str | None = None,
    repair: bool = False,
    say: Say = lambda text: None,
) -> ImportedScene:
    """Make a scene folder from mesh files.

    Args:
        paths: STL, OBJ, PLY, GLB, GLTF or OFF files; the named parts of a file become surfaces of their own.
        folder: New or empty.
        units: Unit of the files, a key of ``MM_PER_UNIT``; guessed from the size if None.
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
    surfaces = read_surfaces(paths)
    names = [surface.name for surface in surfaces]
    for name in tissues:
        if name not in names:
            raise UssimError(f"--tissue {name}=…: there is no such surface; {suggest(name, names)}")
    if len(surfaces) > LARGEST_SURFACE_COUNT:
        raise UssimError(
            f"{len(surfaces)} surfaces; allowed: at most {LARGEST_SURFACE_COUNT} (join bodies of one tissue that do "
            "not overlap into one mesh)"
        )
    unit = _find_units(surfaces, units)
    surfaces = [replace(one, vertices=one.vertices * unit.scale) for one in surfaces]
    surfaces, notes = _sound(surfaces, repair, say)
    nesting = find_nesting([(one.vertices, one.triangles) for one in surfaces])
    imported = _imported(surfaces, nesting, tissues, notes)
    header = [
        f"Written by ussim scene init from {', '.join(path.name for path in map(Path, paths))}.",
        "Everything that was guessed says so: change it here, or write the scene anew with other options.",
        "",
        f"Units: {IN_WORDS[unit.name]}, {unit.why}.",
        f"The meshes beside this file are in millimetres. Another unit: --units {'|'.join(MM_PER_UNIT)}.",
    ]
    return assemble_scene(folder, header, background, imported, nesting, units=unit, side=side)


def _find_units(surfaces: Sequence[FileSurface], wanted: str | None) -> Units:
    if wanted is not None:
        return given_units(wanted)
    corners = np.concatenate([one.vertices for one in surfaces])
    corners = corners[np.isfinite(corners).all(axis=1)]
    if not len(corners):
        raise UssimError("no vertex has finite coordinates; export the meshes again")
    extent = float(np.ptp(corners, axis=0).max())
    if extent == 0:
        raise UssimError("all vertices lie in one point; export the meshes again")
    return guess_units(extent)


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
    """The surfaces, all of which pass the check, and what was changed in each that did not."""
    reports = _check(surfaces)
    mended = list(surfaces)
    notes: dict[str, tuple[str, ...]] = {}
    if repair:
        for number, report in enumerate(reports):
            if report.ok:
                continue
            vertices, triangles, changes = repair_surface(surfaces[number].vertices, surfaces[number].triangles)
            if changes and len(triangles):
                mended[number] = replace(surfaces[number], vertices=vertices, triangles=triangles)
                notes[report.name] = (f"Repaired: {'; '.join(changes)}.",)
                say(f"{report.name}: repaired: {'; '.join(changes)}")
        reports = _check(mended)
    failing = [report for report in reports if not report.ok]
    for report in failing:
        say(f"{report.name}: {_in_terms_of_options(report.verdict)}")
    if failing:
        names = ", ".join(report.name for report in failing)
        hint = "mend them where they were made" if repair else "mend them, or let --repair try"
        raise UssimError(f"{len(failing)} of {len(reports)} surfaces fail the check ({names}): {hint}")
    return mended, notes


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
            )
        )
    return imported


def _filled_share(nesting: Nesting, number: int) -> float:
    """Share of a surface's volume that the largest surface in it takes up."""
    inside = [nesting.volumes_mm3[other] for other in nesting.contents(number)]
    return float(max(inside, default=0.0) / nesting.volumes_mm3[number])
