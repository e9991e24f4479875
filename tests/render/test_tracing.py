"""How rays find their media: shared edges, nested surfaces, thin walls."""

from __future__ import annotations

import numpy as np
import pytest
from support.phantoms import renderer, scene_of, small_linear, tissue
from support.scenes import box, sphere

from ussim.probe.quality import LQ


def media_of_lines(scene, pose=None):
    """Names of the media down every scanline of one frame."""
    r = renderer(scene, small_linear(scanlines=32))
    r.baseband(np.eye(4) if pose is None else pose, LQ)
    names = np.array([medium.name for medium in scene.media])
    lines = names[r._aperture._work[LQ].sheets.medium]
    return [[line[0], *line[1:][line[1:] != line[:-1]]] for line in lines]


@pytest.mark.parametrize("shift_mm", [0.0, 0.625, 1.25])
def test_a_ray_along_shared_edges_and_vertices_crosses_them_once(shift_mm):
    # Scanlines run exactly through the diagonal and the corners of this grid of triangles.
    block, soft = tissue("block", scatter_density=0.0), tissue("soft")
    scene = scene_of([box((400, 400, 5), (shift_mm, shift_mm, 20), tissue="block")], block, soft, background="soft")
    scene_fine = scene_of([_grid_slab(40, 1.25, (shift_mm, 0.0, 20.0))], block, soft, background="soft")
    for s in (scene, scene_fine):
        for media in media_of_lines(s):
            assert media == ["soft", "block", "soft"]


def _grid_slab(cells, pitch_mm, centre):
    """A slab of 5 mm whose faces are a grid of triangles."""
    import trimesh
    from support.scenes import surface

    side = np.arange(cells + 1) * pitch_mm - cells * pitch_mm / 2
    x, y = (grid.ravel() for grid in np.meshgrid(side, side, indexing="ij"))
    top = np.stack([x, y, np.full_like(x, -2.5)], axis=1)
    bottom = top + np.array([0, 0, 5])
    n = cells + 1
    i, j = (grid.ravel() for grid in np.meshgrid(np.arange(cells), np.arange(cells), indexing="ij"))
    a, b, c, d = i * n + j, (i + 1) * n + j, (i + 1) * n + j + 1, i * n + j + 1
    low = np.concatenate([np.stack([a, c, b], 1), np.stack([a, d, c], 1)])
    high = low[:, ::-1] + n * n
    rim = np.concatenate([np.arange(n) * n, (n - 1) * n + np.arange(1, n), np.arange(n - 2, -1, -1) * n + n - 1,
                          np.arange(n - 2, 0, -1)])  # fmt: skip
    after = np.roll(rim, -1)
    walls = np.concatenate([np.stack([rim, after, after + n * n], 1), np.stack([rim, after + n * n, rim + n * n], 1)])
    mesh = trimesh.Trimesh(np.concatenate([top, bottom]), np.concatenate([low, high, walls]), process=False)
    assert mesh.is_watertight
    if mesh.volume < 0:
        mesh.invert()
    mesh.apply_translation(centre)
    return surface(mesh, name="slab", tissue="block")


def test_a_wall_hidden_below_a_higher_priority_is_no_interface():
    scene = scene_of(
        [
            box((400, 400, 60), (0, 0, 40), name="outer", tissue="liver", priority=9),
            sphere(8, (0, 0, 30), 3, name="hidden", tissue="bone", priority=3),
        ]
    )
    for media in media_of_lines(scene):
        assert media == ["gel", "liver"]


def test_nested_surfaces_are_left_in_the_order_of_their_priorities():
    scene = scene_of(
        [
            box((400, 400, 30), (0, 0, 25), name="a", tissue="liver", priority=1),
            box((390, 390, 10), (0, 0, 25), name="b", tissue="kidney", priority=2),
            box((380, 380, 30), (0, 0, 43), name="c", tissue="fat", priority=3),
        ]
    )
    # The fat begins at 28 mm, inside the kidney and the liver, and wins over both.
    for media in media_of_lines(scene):
        assert media == ["gel", "liver", "kidney", "fat"]


def test_a_probe_that_starts_inside_knows_its_medium():
    scene = scene_of(
        [
            box((400, 400, 100), (0, 0, 20), name="a", tissue="liver", priority=1),
            sphere(30, (0, 0, 0), 3, name="b", tissue="fat", priority=2),
        ]
    )
    for media in media_of_lines(scene)[12:20]:
        assert media[0] == "fat"
        assert "liver" in media
