"""The example files and the picture of docs/own_mesh.md.

`python docs/make_own_mesh.py files DIR` writes `phantom.glb`, an abdomen of simple bodies in metres, and
`phantom.nii.gz`, the same as a labelled volume. `python docs/make_own_mesh.py picture STORE [STORE …]` puts the middle
frame of each store, low quality, high quality and segmentation, into docs/images/own_mesh.jpg.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import trimesh

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

VOXEL_MM = (1.5, 1.5, 3.0)
PICTURE = Path(__file__).parent / "images" / "own_mesh.jpg"

# Name, label, centre and half axes in mm; x to the right, y to the front, z up. What comes later lies on top.
BODIES = (
    ("Skin", 1, (0, 0, 0), (150, 105, 180)),
    ("Fat", 2, (0, 0, 0), (147, 102, 177)),
    ("Muscle", 3, (0, 0, 0), (132, 86, 168)),
    ("Liver", 4, (48, 22, 20), (62, 48, 55)),
    ("Portal vein", 5, (42, 12, 14), (40, 7, 7)),
    ("Gallbladder", 6, (28, 48, -12), (11, 11, 22)),
    ("Right kidney", 7, (58, -38, -30), (24, 20, 48)),
    ("Aorta", 8, (-12, -26, 0), (9, 9, 150)),
    ("Spine", 9, (0, -56, 0), (20, 17, 160)),
)


def make_files(folder: Path) -> None:
    """Write the example as a GLB file in metres and as a labelled volume."""
    import nibabel

    folder.mkdir(parents=True, exist_ok=True)
    file = trimesh.Scene()
    for name, _, centre, half_axes in BODIES:
        body = trimesh.creation.icosphere(subdivisions=5)
        body.apply_scale(half_axes)
        body.apply_translation(centre)
        body.apply_scale(0.001)
        file.add_geometry(body, node_name=name, geom_name=name)
    file.export(folder / "phantom.glb")

    shape = np.ceil((2 * np.array(BODIES[0][3]) + 12) / VOXEL_MM).astype(int)
    affine = np.diag([*VOXEL_MM, 1.0])
    affine[:3, 3] = -(shape - 1) / 2 * VOXEL_MM
    axes = [np.arange(size) * side + start for size, side, start in zip(shape, VOXEL_MM, affine[:3, 3], strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    labels = np.zeros(shape, dtype=np.uint8)
    for _, label, centre, half_axes in BODIES:
        labels[(((points - centre) / half_axes) ** 2).sum(axis=-1) < 1] = label
    nibabel.save(nibabel.Nifti1Image(labels, affine), folder / "phantom.nii.gz")


def make_picture(stores: list[Path], width: int = 430) -> None:
    """Draw one row for each store, its frame in the middle of the sweep."""
    from tempfile import TemporaryDirectory

    from PIL import Image

    from ussim.dataset.store import Dataset
    from ussim.pictures.contact_sheet import save_sheet

    with TemporaryDirectory() as folder:
        rows = []
        for store in stores:
            dataset = Dataset.open(store)
            path = save_sheet(dataset, Path(folder) / "sheet.png", [dataset.header.frames // 2], panel_width=width)
            with Image.open(path) as sheet:
                rows.append(sheet.convert("RGB"))
    picture = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)))
    top = 0
    for row in rows:
        picture.paste(row, (0, top))
        top += row.height
    picture.save(PICTURE, quality=88)
    print(f"{PICTURE}: {PICTURE.stat().st_size / 1000:.0f} kB")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("files").add_argument("folder", type=Path)
    commands.add_parser("picture").add_argument("stores", type=Path, nargs="+")
    options = parser.parse_args()
    if options.command == "files":
        make_files(options.folder)
    else:
        make_picture(options.stores)


if __name__ == "__main__":
    main()
