"""How rays find their media: shared edges, nested surfaces, thin walls."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit
from support.phantoms import renderer, scene_of, small_linear, tissue
from support.scenes import box, box_mesh, sphere, surface

from ussim.probe.quality import LQ
from ussim.render.bvh import STACK_SIZE
from ussim.render.kernels.hits import FAR_MM, medium_of, next_interface
from ussim.render.tables import geometry_table


def media_of_lines(scene, pose=None):
    """Names of the media down every scanline of one frame."""
    r = renderer(scene, small_linear(scanlines=32))
    r.baseband(np.eye(4) if pose is None else pose, LQ)
    names = np.array([medium.name for medium in scene.media])
    lines = names[r._aperture.arrays(1, LQ).sheets.medium]
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


@pytest.mark.parametrize("gap_mm", [0.0, 4e-4, -4e-4])
@pytest.mark.parametrize("swapped", [False, True])
def test_walls_that_meet_or_all_but_meet_are_both_crossed(gap_mm, swapped):
    first = box((400, 400, 20), (0, 0, 20), name="a", tissue="liver", priority=1 + swapped)
    second = box((380, 380, 6), (0, 0, 33 + gap_mm), name="b", tissue="kidney", priority=2 - swapped)
    for media in media_of_lines(scene_of([first, second])):
        assert media == ["gel", "liver", "kidney", "gel"]


def test_a_mesh_that_runs_a_little_through_itself_is_left_behind():
    # The bottom's middle is pushed up through the top: seen from above it is left before it is entered.
    mesh = box_mesh((60, 60, 2), (0, 0, 30)).subdivide().subdivide()
    inner = np.linalg.norm(mesh.vertices[:, :2], axis=1) < 20
    mesh.vertices[inner, 2] = np.where(mesh.vertices[inner, 2] > 30, 29.8, 30.2)
    inverted = surface(mesh, name="crumpled", tissue="liver")
    for media in media_of_lines(scene_of([inverted])):
        assert media[-1] == "gel"


@njit(error_model="numpy", fastmath={"contract"})
def _masks_behind(geometry, origins, directions, masks):
    """The surfaces that each ray, passed straight through a scene, still takes itself to be inside of."""
    stack, stack_t = np.empty(STACK_SIZE, np.int32), np.empty(STACK_SIZE, np.float32)
    for i in range(len(origins)):
        (x, y, z), (dx, dy, dz) = origins[i], directions[i]
        inside, begin, skip = np.uint64(0), np.float32(0), np.int32(-1)
        for _ in range(100):
            medium = medium_of(geometry, inside)
            begin, skip, _, inside = next_interface(
                geometry, x, y, z, dx, dy, dz, begin, FAR_MM, skip, inside, medium, stack, stack_t
            )
            if skip < 0:
                break
        masks[i] = inside


def test_a_ray_that_has_passed_through_crossing_surfaces_is_inside_none():
    random = np.random.default_rng(3)
    balls = [
        sphere(20, tuple(random.uniform(-8, 8, 3)), 4, name=f"ball {k}", tissue="liver", priority=k + 1)
        for k in range(12)
    ]
    rays = 200_000
    directions = random.normal(size=(rays, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    origins = (random.uniform(-15, 15, (rays, 3)) - 100 * directions).astype(np.float32)
    masks = np.full(rays, 1, np.uint64)
    _masks_behind(geometry_table(scene_of(balls)), origins, directions.astype(np.float32), masks)
    assert (masks != 0).sum() == 0
