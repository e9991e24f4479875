"""A labelled volume → a scene folder."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from meshes.importing.assemble import ImportedScene, assemble_scene, require_tissues, why_priority
from meshes.importing.label_map import map_template, read_labels
from meshes.importing.labels import LabelSurface, label_surfaces, order_labels
from meshes.importing.nesting import PRIORITY_STEP, find_nesting
from meshes.importing.volumes.volume import read_volume
from meshes.importing.writer import ImportedSurface, require_new_folder
from ussim.errors import UssimError
from ussim.scene.scene import LARGEST_SURFACE_COUNT


def scene_from_labels(
    path: Path,
    folder: Path,
    *,
    label_map: Path | None = None,
    tissues: Mapping[int, str] | None = None,
    ignored: Collection[int] = (),
    background: str = "gel",
    side: str | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> ImportedScene:
    """Make a scene folder from a labelled volume: a closed surface for each label, in patient coordinates.

    Args:
        path: A NIfTI file of whole numbers.
        folder: New or empty.
        label_map: A TOML file that says what the labels are.
        tissues: Tissue by label; overrules the map.
        ignored: Labels to leave out; overrules the map.
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
    labels = read_labels(volume.counts, label_map, dict(tissues or {}), ignored, volume.path)
    if len(labels) > LARGEST_SURFACE_COUNT:
        raise UssimError(f"{len(labels)} labels; allowed: at most {LARGEST_SURFACE_COUNT} (ignore some, or join them)")
    ordered = order_labels(volume, labels)
    surfaces = label_surfaces(volume, ordered, say)
    nesting = find_nesting([(one.mesh.vertices_mm, one.mesh.triangles) for one in surfaces])
    names = [one.label.name for one in surfaces]
    priorities = [
        PRIORITY_STEP * (number + 1) if label.priority is None else label.priority
        for number, label in enumerate(ordered)
    ]
    imported = [
        ImportedSurface(
            one.label.name,
            one.label.tissue,
            priorities[number],
            f"label {one.label.value}, {volume.counts[one.label.value]} voxels",
            one.label.why,
            why_priority(nesting, number, names, priorities) if one.label.priority is None else "as given in the map",
            _notes(one),
            one.mesh.vertices_mm,
            one.mesh.triangles,
        )
        for number, one in enumerate(surfaces)
    ]
    sides = " × ".join(f"{side:.4g}" for side in volume.voxel_mm)
    header = [
        f"Written by ussim scene from-labels from {path.name}, voxels of {sides} mm.",
        "Coordinates are the patient's: x to the right, y to the front, z up, in millimetres.",
        "Of two labels that touch, the one of higher priority has the exact wall; the other reaches beneath it.",
    ]
    return assemble_scene(folder, header, background, imported, nesting, side=side, is_patient=True)


def write_map(path: Path, file: Path) -> int:
    """Write a label map to be filled in.

    Args:
        path: The labelled volume.
        file: A file that is not there yet.

    Returns:
        The number of labels.

    Raises:
        UssimError: The volume cannot be read, or the file is there or cannot be written.
    """
    volume = read_volume(path)
    try:
        with open(file, "x", encoding="utf-8") as stream:
            stream.write(map_template(volume.counts, path))
    except FileExistsError:
        raise UssimError(f"{file} exists already; allowed: a new file") from None
    except OSError as error:
        raise UssimError(f"cannot write {file}: {error.strerror or error}") from None
    return len(volume.counts)


def _notes(surface: LabelSurface) -> tuple[str, ...]:
    if not surface.dropped_mm3:
        return ()
    return (f"Left out: specks of a few voxels, {surface.dropped_mm3 / 1000:.2g} ml together.",)
