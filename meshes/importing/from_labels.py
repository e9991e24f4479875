"""A labelled volume → a scene folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from meshes.importing.assemble import ImportedScene, assemble_scene, require_tissues, why_priority
from meshes.importing.label_map import Label, ignored_in, map_template, read_labels, require_background
from meshes.importing.labels import LabelSurface, label_surfaces, labelled_extent, order_labels
from meshes.importing.nesting import PRIORITY_STEP, find_nesting
from meshes.importing.volumes.names import read_names
from meshes.importing.volumes.volume import LabelVolume, read_volume
from meshes.importing.writer import ImportedSurface, require_new_folder
from ussim.errors import UssimError
from ussim.files import write_text
from ussim.scene.check import SMALLEST_SCENE_MM
from ussim.scene.scene import LARGEST_SURFACE_COUNT

FEWEST_VOXELS = 4
"""Across all labels together, along each axis of the volume."""
_SMALL_BODY_MM = 20.0  # the default image draws a line every third of a millimetre
_THIN_SHARE = 0.05  # of a label's voxels: worth saying
_MOST_NAMED = 6


def scene_from_labels(
    path: Path,
    folder: Path,
    *,
    label_map: Path | None = None,
    tissues: Mapping[int, str] | None = None,
    ignored: Collection[int] = (),
    names: Path | None = None,
    background: str = "gel",
    side: str | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> ImportedScene:
    """Make a scene folder from a labelled volume: a closed surface for each label, in patient coordinates.

    Args:
        path: A file of labels, or a folder of masks.
        folder: New or empty.
        label_map: A TOML file that says what the labels are.
        tissues: Tissue by label; overrules the map.
        ignored: Labels to leave out; overrules the map.
        names: A file of names, told beside the labels; what the volume itself says if None.
        background: Tissue outside of all surfaces.
        side: Side of the body on which the probe lies, as in ``+y``; chosen, the front preferred, if None.
        say: Called with one line of text per surface.

    Raises:
        UssimError: The volume cannot be read, a label has no tissue, a surface cannot be made, or the folder is not
            empty.
    """
    require_new_folder(folder)
    require_tissues([background])
    volume = read_volume(path)
    called = volume.names | (read_names(names) if names else {})
    require_background(volume.counts, {*ignored, *ignored_in(label_map)}, volume.labels.size, volume.path)
    labels = read_labels(volume.counts, label_map, dict(tissues or {}), ignored, volume.path)
    if len(labels) > LARGEST_SURFACE_COUNT:
        raise UssimError(
            f"{len(labels)} surfaces; allowed: at most {LARGEST_SURFACE_COUNT}; ignore some labels, or join them in "
            "the map: value = [1, 2]"
        )
    size_mm = _require_a_body(volume, labels)
    ordered = order_labels(volume, labels)
    surfaces = label_surfaces(volume, ordered, say)
    nesting = find_nesting([(one.mesh.vertices_mm, one.mesh.triangles) for one in surfaces])
    shown = [one.label.name for one in surfaces]
    priorities = [
        PRIORITY_STEP * (number + 1) if label.priority is None else label.priority
        for number, label in enumerate(ordered)
    ]
    imported = [
        ImportedSurface(
            one.label.name,
            one.label.tissue,
            priorities[number],
            _source(volume, one.label, called),
            one.label.why,
            why_priority(nesting, number, shown, priorities) if one.label.priority is None else "as given in the map",
            _notes(one),
            one.mesh.vertices_mm,
            one.mesh.triangles,
        )
        for number, one in enumerate(surfaces)
    ]
    sides = " × ".join(f"{side:.4g}" for side in volume.voxel_mm)
    header = [
        f"Written by ussim scene from-labels from {path.name}, voxels of {sides} mm.",
        *(f"{note[0].upper()}{note[1:]}." for note in volume.notes),
        "Coordinates are the patient's: x to the right, y to the front, z up, in millimetres.",
        "Of two labels that touch, the one of higher priority has the exact wall; the other reaches beneath it.",
    ]
    notes = [*volume.notes, *_what_was_lost(surfaces, size_mm)]
    return assemble_scene(folder, header, background, imported, nesting, side=side, is_patient=True, notes=notes)


def write_map(
    path: Path,
    file: Path,
    *,
    ignored: Collection[int] = (),
    names: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> tuple[int, int]:
    """Write a label map to be looked over and filled in.

    Args:
        path: A file of labels, or a folder of masks.
        file: A file that is not there yet.
        ignored: Labels to leave out.
        names: A file of names; what the volume itself says if None.
        say: Called with one line of text for each note.

    Returns:
        The number of labels that are not ignored, and that of the surfaces that they make.

    Raises:
        UssimError: The volume cannot be read, or the file is there or cannot be written.
    """
    volume = read_volume(path)
    called = volume.names | (read_names(names) if names else {})
    require_background(volume.counts, ignored, volume.labels.size, volume.path)
    text, surfaces = map_template(volume.counts, called, ignored, path)
    if os.path.lexists(file):
        raise UssimError(f"{file} exists already; allowed: a new file")
    write_text(file, text)
    for note in volume.notes:
        say(f"note: {note}")
    return len(volume.counts.keys() - set(ignored)), surfaces


def _require_a_body(volume: LabelVolume, labels: Sequence[Label]) -> float:
    """Refuse labels that fill no body: too few slices, or too small for a scene.

    Returns:
        The longest side of all labels together, mm.
    """
    across = labelled_extent(volume, labels)
    thinnest = int(np.argmin(across))
    sides = " × ".join(f"{side:.4g}" for side in volume.voxel_mm)
    if across[thinnest] < FEWEST_VOXELS:
        axis = "xyz"[int(np.argmax(np.abs(volume.to_mm[:3, thinnest])))]
        plural = "s" if across[thinnest] > 1 else ""
        raise UssimError(
            f"{volume.path}: {across[thinnest]} slice{plural} of labels along {axis}, in voxels of {sides} mm; "
            f"allowed: at least {FEWEST_VOXELS}, for a surface needs a body: label more slices, or repeat what there is"
        )
    size_mm = float((across * volume.voxel_mm).max())
    if size_mm < SMALLEST_SCENE_MM:
        raise UssimError(
            f"{volume.path}: its labels are {size_mm:.3g} mm across, in voxels of {sides} mm; allowed: at least "
            f"{SMALLEST_SCENE_MM:g} mm, less than which ultrasound does not show; is its unit right?"
        )
    return size_mm


def _what_was_lost(surfaces: Sequence[LabelSurface], size_mm: float) -> list[str]:
    """What to say about surfaces that are not all that their labels are."""
    notes = []
    cut = [one.label.name for one in surfaces if one.is_cut]
    if cut:
        notes.append(f"cut by the edge of the volume, and closed there: {_some(cut)}")
    thin = [f"{one.label.name} ({one.thin_share:.0%} of it)" for one in surfaces if one.thin_share > _THIN_SHARE]
    if thin:
        notes.append(f"thinner than two voxels, so that walls follow the voxels there: {_some(thin)}")
    if size_mm < _SMALL_BODY_MM:
        notes.append(
            f"all of it is {size_mm:.3g} mm across: at the default 8 MHz little of that can be told apart; raise "
            "probe.frequency_mhz"
        )
    return notes


def _some(names: Sequence[str]) -> str:
    left = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {left} more" if left > 0 else "")


def _source(volume: LabelVolume, label: Label, called: Mapping[int, str]) -> str:
    """Which labels a surface is of, and what the file calls them."""
    voxels = sum(volume.counts[value] for value in label.values)
    values = ", ".join(map(str, label.values))
    names = [called[value] for value in label.values if value in called]
    return f"label{'s' if label.also else ''} {values}{f' ({_some(names)})' if names else ''}, {voxels} voxels"


def _notes(surface: LabelSurface) -> tuple[str, ...]:
    if not surface.dropped_mm3:
        return ()
    return (f"Left out: specks of a few voxels, {surface.dropped_mm3 / 1000:.2g} ml together.",)
