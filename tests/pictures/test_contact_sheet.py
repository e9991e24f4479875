"""The contact sheet: pixels sit at their millimetres, the legend tells what is there and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.tables import tissue_rows

from ussim.dataset.schema import Header
from ussim.dataset.store import Dataset
from ussim.errors import UssimError
from ussim.pictures.contact_sheet import _axes, contact_sheet, save_sheet
from ussim.pictures.drawing import nice_step

HEIGHT, WIDTH, MM = 100, 139, 1.5
ORIGIN = (-(WIDTH - 1) / 2 * MM, -7.0)
COLOURS = ["#000000", "#112233", "#cc4411", "#22bb55"]
PANEL = 278


def make_store(path: Path, units: range = range(3), point_mm: tuple[float, float] = (30.0, 80.0)) -> Dataset:
    """Six frames, black but for a bright dot in LQ and HQ; tissue 2 is there, tissue 3 is not."""
    header = Header(
        ussim_version="1",
        scene={"name": "ball", "digest": "ab"},
        sweep="exam",
        frames=6,
        unit_frames=2,
        seed=0,
        split_seed=0,
        backend="cpu",
        image={"height": HEIGHT, "width": WIDTH, "mm_per_pixel": MM, "origin_mm": ORIGIN},
        probe={"kind": "convex"},
        imaging={},
        qualities={name: {"rays": 1, "layers": 1} for name in ("lq", "hq")},
        tissues=tissue_rows(**{f"tissue_{i}": {"color": colour} for i, colour in enumerate(COLOURS) if i}),
        tgc_db=[],
    )
    mask = np.ones((HEIGHT, WIDTH), np.uint8)
    mask[:, :20] = 0
    dataset = Dataset.create(path, header, np.tile(np.eye(4), (6, 1, 1)), mask)
    column, row = (round((mm - start) / MM) for mm, start in zip(point_mm, ORIGIN, strict=True))
    image = np.zeros((2, HEIGHT, WIDTH), np.uint8)
    image[:, row, column] = 255
    segmentation = np.repeat(mask[None], 2, axis=0)
    segmentation[:, 50:60, 50:60] = 2
    for unit in units:
        dataset.write_unit(
            unit,
            {
                "lq": image,
                "hq": image,
                "segmentation": segmentation,
                "attenuation": 0.5 * np.repeat(mask[None], 2, axis=0).astype(np.float32),
                "attenuation_scale": np.full(2, 0.9, np.float32),
            },
        )
    return dataset


def colours_in(sheet: Image.Image) -> set[str]:
    pixels = np.unique(np.asarray(sheet).reshape(-1, 3), axis=0)
    return {f"#{r:02x}{g:02x}{b:02x}" for r, g, b in pixels}


def test_a_point_of_the_image_lies_above_its_tick(tmp_path):
    dataset = make_store(tmp_path / "a.zarr", point_mm=(50.0, 100.0))
    axes = _axes(dataset, PANEL)
    frame = dataset.frame(0)
    row, column = np.argwhere(frame.lq == 255)[0]
    at = [(column + 0.5) / WIDTH * axes.size[0], (row + 0.5) / HEIGHT * axes.size[1]]
    for axis, mm in ((0, 50.0), (1, 100.0)):
        tick = dict((mark, pixel) for pixel, mark in axes.ticks(axis))[mm]
        assert abs(tick - at[axis]) <= 0.5 * MM * axes.px_per_mm + 1, "half a pixel of the image, and rounding"
    # and the sheet shows it there: panels start at (62, 118) in the first row
    white = np.argwhere((np.asarray(contact_sheet(dataset, [0], PANEL)) == 255).all(axis=2))
    near = white[(abs(white[:, 1] - 62 - at[0]) < 2) & (abs(white[:, 0] - 118 - at[1]) < 2)]
    assert len(near)


@pytest.mark.parametrize("panel_width", [100, 278, 1000])
def test_pixels_are_square_and_ticks_are_round_numbers_inside_the_panel(tmp_path, panel_width):
    axes = _axes(make_store(tmp_path / "a.zarr"), panel_width)
    assert axes.size[1] == pytest.approx(axes.size[0] * HEIGHT / WIDTH, abs=0.5)
    for axis in (0, 1):
        marks = axes.ticks(axis)
        assert len(marks) >= 1
        assert all(0 <= pixel <= axes.size[axis] for pixel, _ in marks)
        steps = np.diff([mm for _, mm in marks])
        assert set(steps) <= {1, 2, 5, 10, 20, 50, 100, 200, 500}
        assert len(set(steps)) <= 1


def test_steps_are_1_2_5_of_a_power_of_ten():
    assert [nice_step(x) for x in (0.7, 1.0, 1.1, 3, 7, 12, 30, 51)] == [1, 1, 2, 5, 10, 20, 50, 100]


def test_the_legend_shows_the_tissues_in_the_frames_and_no_others(tmp_path):
    found = colours_in(contact_sheet(make_store(tmp_path / "a.zarr"), [1], PANEL))
    assert {COLOURS[1], COLOURS[2]} <= found
    assert COLOURS[3] not in found


def test_the_background_is_black(tmp_path):
    sheet = contact_sheet(make_store(tmp_path / "a.zarr"), [1, 2], PANEL)
    pixels = np.asarray(sheet)
    for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert not edge.any()
    assert (pixels == 0).all(axis=2).mean() > 0.5


def test_every_frame_asked_for_gets_a_row_and_every_picture_a_column(tmp_path):
    dataset = make_store(tmp_path / "a.zarr")
    one, three = (contact_sheet(dataset, frames, PANEL) for frames in ([0], [0, 3, 5]))
    assert one.width == three.width > 4 * PANEL
    axes = _axes(dataset, PANEL)
    assert (three.height - one.height) % 2 == 0
    assert (three.height - one.height) // 2 > axes.size[1]


def test_frames_are_chosen_among_those_that_are_rendered(tmp_path):
    dataset = make_store(tmp_path / "a.zarr", units=range(1, 2))  # frames 2 and 3 of 6
    two_rows = contact_sheet(dataset, [2, 3], PANEL)
    assert contact_sheet(dataset, (), PANEL).tobytes() == two_rows.tobytes()
    with pytest.raises(UssimError, match="no frame 0: not rendered"):
        contact_sheet(dataset, [0], PANEL)
    with pytest.raises(UssimError, match=r"frame 6 does not exist: .* holds 0 to 5"):
        contact_sheet(dataset, [6], PANEL)
    with pytest.raises(UssimError, match="no finished frames yet"):
        contact_sheet(make_store(tmp_path / "b.zarr", units=range(0)), (), PANEL)


def test_a_sheet_is_saved_whole_and_only_as_png(tmp_path):
    dataset = make_store(tmp_path / "a.zarr")
    path = save_sheet(dataset, tmp_path / "new" / "sheet.png", [0], PANEL)
    with Image.open(path) as sheet:
        assert (sheet.format, sheet.mode) == ("PNG", "RGB")
    assert [entry.name for entry in path.parent.iterdir()] == ["sheet.png"]
    with pytest.raises(UssimError, match=r"ends in \.png"):
        save_sheet(dataset, tmp_path / "sheet.jpg", [0], PANEL)
    (tmp_path / "file").write_text("")
    with pytest.raises(UssimError, match="cannot be written"):
        save_sheet(dataset, tmp_path / "file" / "sheet.png", [0], PANEL)
