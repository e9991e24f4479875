"""The tree and its traversal against brute force, Embree, and a mesh that must not leak.

What a test records is what it judges; docs/measure_physics.py puts it into the table of docs/physics.md.
"""

from __future__ import annotations

from types import FunctionType

import numpy as np
import pytest
from support.rays import INF, brute_force, trace

import ussim.render.bvh
from ussim.errors import UssimError
from ussim.render.bvh import STACK_SIZE, WIDTH, build_bvh
from ussim.render.physics import intersect


def icosphere(level: int):
    """Unit sphere of 20 · 4**level triangles, anticlockwise seen from outside."""
    g = (1 + 5**0.5) / 2
    v = np.array([[-1, g, 0], [1, g, 0], [-1, -g, 0], [1, -g, 0]])
    v = np.concatenate([v, np.roll(v, 1, axis=1), np.roll(v, 2, axis=1)])
    v /= np.linalg.norm(v[0])
    near = np.linalg.norm(v[:, None] - v, axis=-1) < 1.1
    f = [
        (i, j, k)
        for i in range(12)
        for j in range(12)
        for k in range(12)
        if i < j and i < k and near[i, j] and near[j, k] and near[i, k]
        if np.linalg.det(v[[i, j, k]]) > 0
    ]
    f = np.array(f)
    for _ in range(level):
        edges = np.sort(np.concatenate([f[:, [0, 1]], f[:, [1, 2]], f[:, [2, 0]]]), axis=1)
        edges, index = np.unique(edges, axis=0, return_inverse=True)
        middle = v[edges].sum(axis=1)
        ab, bc, ca = (index.reshape(3, -1) + len(v))[:]
        v = np.concatenate([v, middle / np.linalg.norm(middle, axis=1, keepdims=True)])
        a, b, c = f.T
        f = np.concatenate([np.stack(s, 1) for s in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
    return v, f.astype(np.int32)


def bumpy(level: int, size: float = 100.0):
    v, f = icosphere(level)
    r = size * (1 + 0.1 * np.sin(9 * v[:, :1]) * np.sin(7 * v[:, 1:2] + 1) * np.sin(8 * v[:, 2:]))
    return (v * r).astype(np.float32), f


def box(n: int, pitch: float, corner: float):
    """Closed cube whose faces are grids of n × n squares, halved."""
    index, triangles = {}, []

    def vertex(axis, side, x, y):
        p = [0, 0, 0]
        p[axis], p[(axis + 1) % 3], p[(axis + 2) % 3] = side, x, y
        return index.setdefault(tuple(p), len(index))

    for axis in range(3):
        for side in (0, n):
            for x, y in np.ndindex(n, n):
                square = [vertex(axis, side, x + i, y + j) for i, j in ((0, 0), (1, 0), (1, 1), (0, 1))]
                p, q, r, s = square if side else square[::-1]
                triangles += [(p, q, r), (p, r, s)]
    return (np.array(list(index)) * pitch + corner).astype(np.float32), np.array(triangles, np.int32)


def random_rays(n: int, size: float, seed: int = 0):
    g = np.random.default_rng(seed)
    return g.uniform(-size, size, (n, 3)).astype(np.float32), g.normal(size=(n, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def body():
    """Three nested bumpy surfaces, 60 000 triangles."""
    parts = [bumpy(5, 100), bumpy(5, 70), bumpy(5, 30)]
    start = np.cumsum([0] + [len(v) for v, _ in parts])
    vertices = np.concatenate([v for v, _ in parts])
    return vertices, np.concatenate([f + s for (_, f), s in zip(parts, start, strict=False)]).astype(np.int32)


def test_hits_equal_brute_force(record_property):
    vertices, triangles = bumpy(2)
    g = np.random.default_rng(1)
    soup = g.uniform(-100, 100, (300, 3)) + g.normal(0, 20, (3, 300, 3))
    triangles = np.concatenate([triangles, len(vertices) + np.arange(900).reshape(3, 300).T]).astype(np.int32)
    vertices = np.concatenate([vertices, soup.reshape(-1, 3).astype(np.float32)])
    origins, directions = random_rays(1500, 120)
    t, hit = trace(build_bvh(vertices, triangles), origins, directions)
    expected = brute_force(vertices, triangles, origins, directions)
    np.testing.assert_allclose(t, expected.min(axis=1), rtol=1e-5, atol=1e-4)
    found = hit >= 0
    record_property("other_triangle", (hit[found] != expected.argmin(axis=1)[found]).sum())
    assert 0.3 < found.mean() < 0.9
    np.testing.assert_array_equal(hit[found], expected.argmin(axis=1)[found])


def test_hits_equal_embree(body, record_property):
    scene_module = pytest.importorskip("embreex.rtcore_scene", reason="embreex is not installed")
    from embreex.mesh_construction import TriangleMesh

    vertices, triangles = body
    origins, directions = random_rays(50_000, 120)
    embree = scene_module.EmbreeScene()
    TriangleMesh(embree, vertices, triangles)
    reference = embree.run(origins, directions, query="INTERSECT", output=True)
    t, hit = trace(build_bvh(vertices, triangles), origins, directions)
    assert np.array_equal(hit >= 0, reference["primID"] >= 0)
    found = hit >= 0
    np.testing.assert_allclose(t[found], reference["tfar"][found], rtol=1e-5, atol=1e-3)
    record_property("other_triangle", (hit != reference["primID"]).sum())
    assert (hit != reference["primID"]).sum() < 10, "only a ray through an edge may choose the other triangle"


def test_rays_through_edges_and_vertices_do_not_leak(record_property):
    vertices, triangles = bumpy(4)
    bvh = build_bvh(vertices, triangles)
    g = np.random.default_rng(2)
    n = 100_000
    a, b, c = (vertices[triangles[g.integers(0, len(triangles), n)]]).transpose(1, 0, 2)
    weight = g.uniform(size=(n, 1)).astype(np.float32)
    for target in (a, (b + c) * np.float32(0.5), a + weight * (b - a)):
        for origins in (np.zeros((n, 3)), g.normal(0, 20, (n, 3)), np.round(g.normal(0, 20, (n, 3)))):
            origins = origins.astype(np.float32)
            _, hit = trace(bvh, origins, target - origins)
            record_property("leaks", (hit < 0).sum())
            assert (hit < 0).sum() == 0


@pytest.mark.parametrize(("pitch", "corner"), [(1.0, 0.0), (0.37, -7.3), (3.1, 200.0)])
def test_axis_aligned_rays_along_grid_lines_do_not_leak(pitch, corner):
    n = 8
    vertices, triangles = box(n, pitch, corner)
    bvh = build_bvh(vertices, triangles)
    lines = (np.arange(1, n) * pitch + corner).astype(np.float32)  # the very floats of the vertices
    at = np.concatenate([lines, (lines[1:] + lines[:-1]) / 2])
    origins = np.stack(np.meshgrid(at, at, at), -1).reshape(-1, 3)
    for axis in range(3):
        for sign in (-1, 1):
            directions = np.zeros_like(origins)
            directions[:, axis] = sign
            t, hit = trace(bvh, origins, directions)
            assert (hit >= 0).all()
            wall = corner if sign < 0 else n * pitch + corner
            np.testing.assert_allclose(t, abs(wall - origins[:, axis]), rtol=1e-5, atol=1e-4)


def test_rays_in_the_plane_of_a_face_are_culled_by_no_box():
    # The rays lie on the boundary of boxes: 0 · ∞ there must not become a miss of the far wall.
    vertices, triangles = box(4, 1.0, 0.0)
    origins = np.array([[0.5, 0.0, 0.5], [0.5, 4.0, 0.5], [0.0, 0.5, 0.5], [0.5, 0.5, 0.0]], np.float32)
    directions = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]], np.float32)
    t, hit = trace(build_bvh(vertices, triangles), origins, directions)
    assert (hit >= 0).all()
    np.testing.assert_allclose(t, 3.5)


def test_far_origins_do_not_leak():
    vertices, triangles = bumpy(4)
    g = np.random.default_rng(3)
    origins = g.normal(size=(50_000, 3))
    origins *= 400 / np.linalg.norm(origins, axis=1, keepdims=True)
    target = vertices[g.integers(0, len(vertices), len(origins))] * np.float32(0.5)
    _, hit = trace(build_bvh(vertices, triangles), origins, target - origins)
    assert (hit >= 0).all()


def in_plain_python(function):
    """A compiled function, and what it calls, as they are written."""
    scope = dict(vars(intersect))
    for name, value in scope.items():
        if hasattr(value, "py_func"):
            scope[name] = FunctionType(value.py_func.__code__, scope, name)
    return scope[function.__name__]


def test_both_kinds_of_lanes_give_the_same_bits(body):
    vector = build_bvh(*body)
    origins, directions = random_rays(1000, 120)
    one_by_one = in_plain_python(intersect.closest_hit)
    t, hit = trace(vector, origins, directions)
    stack, stack_t = np.empty(STACK_SIZE, np.int32), np.empty(STACK_SIZE, np.float32)
    for i in range(len(origins)):
        result = one_by_one(*vector, *origins[i], *directions[i], np.float32(0), INF, np.int32(-1), stack, stack_t)
        assert result == (t[i], hit[i])


def test_skipped_triangle_is_never_reported():
    vertices, triangles = bumpy(2)
    origins, directions = random_rays(1500, 120)
    bvh = build_bvh(vertices, triangles)
    _, hit = trace(bvh, origins, directions)
    t_next, hit_next = trace(bvh, origins, directions, skip=hit)
    expected = brute_force(vertices, triangles, origins, directions)
    expected[np.arange(len(hit)), hit] = np.inf  # of a miss, -1, every other entry is +inf already
    np.testing.assert_allclose(t_next, expected.min(axis=1), rtol=1e-5, atol=1e-4)
    found = hit_next >= 0
    assert found.sum() > 100
    np.testing.assert_array_equal(hit_next[found], expected.argmin(axis=1)[found])


def test_ray_goes_on_from_where_it_hit_by_skipping_the_triangle(body):
    vertices, triangles = body
    bvh = build_bvh(vertices, triangles)
    origins, directions = random_rays(5000, 60)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    t, hit = trace(bvh, origins, directions)
    _, hit_next = trace(bvh, origins, directions, skip=hit)
    found = hit_next >= 0
    points = (origins + t[:, None] * directions)[found]
    _, hit_from_point = trace(bvh, points, directions[found], skip=hit[found])
    assert found.mean() > 0.5
    assert (hit_from_point == hit_next[found]).mean() > 0.998  # the others graze or sit on an edge


def test_walls_a_twentieth_of_a_millimetre_apart_are_both_found():
    square = np.array([[-400, -400, 150], [400, -400, 150], [400, 400, 150], [-400, 400, 150]])
    vertices = np.concatenate([square, square + np.array([0, 0, 0.05])])
    triangles = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]], np.int32)
    bvh = build_bvh(vertices, triangles)
    origins, directions = random_rays(2000, 10)
    directions[:, 2] = 1 + abs(directions[:, 2])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    t, hit = trace(bvh, origins, directions)
    found = hit >= 0
    assert found.mean() > 0.9
    assert (hit[found] < 2).all()
    t_next, hit_next = trace(bvh, (origins + t[:, None] * directions)[found], directions[found], skip=hit[found])
    second = hit_next >= 2
    assert second.mean() > 0.99  # a few rays slip out between the rims of the two squares
    np.testing.assert_allclose((t_next * directions[found, 2])[second], 0.05, atol=1e-4)


def test_t_range_is_half_open_and_scales_with_the_direction():
    bvh = build_bvh(np.array([[0, 0, 4], [9, 0, 4], [0, 9, 4]]), np.array([[0, 1, 2]]))
    ray = np.array([[1, 1, 0]]), np.array([[0, 0, 2]])
    assert trace(bvh, *ray) == (2, 0)
    assert trace(bvh, *ray, t_min=2) == (2, 0)
    assert trace(bvh, *ray, t_max=2) == (2, -1)
    assert trace(bvh, *ray, t_min=2.001) == (INF, -1)


def test_coincident_triangles_report_the_lowest_index():
    corners = np.array([[0, 0, 1], [1, 0, 1], [0, 1, 1]])
    bvh = build_bvh(corners, np.tile([[0, 1, 2]], (100, 1)))
    t, hit = trace(bvh, [[0.2, 0.2, 0]], [[0, 0, 1]])
    assert (t[0], hit[0]) == (1, 0)
    assert trace(bvh, [[0.2, 0.2, 0]], [[0, 0, 1]], skip=[0])[1] == 1


def test_triangles_without_area_are_kept_and_never_hit():
    vertices = np.array([[0, 0, 1], [1, 0, 1], [0, 1, 1], [0.2, 0.2, 0.5]])
    triangles = np.array([[3, 3, 3], [0, 1, 1], [0, 1, 2], [3, 0, 3]])
    bvh = build_bvh(vertices, triangles)
    assert sorted(bvh.primitives[bvh.primitives >= 0]) == [0, 1, 2, 3]
    t, hit = trace(bvh, [[0.2, 0.2, 0]], [[0, 0, 1]])
    assert (t[0], hit[0]) == (1, 2)


@pytest.mark.parametrize("count", [0, 3])
def test_of_no_triangles_comes_a_tree_that_nothing_hits(count):
    t, hit = trace(build_bvh(np.zeros((count, 3)), np.zeros((0, 3))), *random_rays(100, 120))
    assert np.isinf(t).all()
    assert (hit == -1).all()


def test_ray_without_direction_or_with_nan_misses(body):
    bvh = build_bvh(*body)
    nan = np.nan
    origins = [[0, 0, 0], [nan, 0, 0], [0, 0, 0]]
    _, hit = trace(bvh, origins, [[0, 0, 0], [0, 0, 1], [0, nan, nan]])
    assert (hit == -1).all()


def test_tree_holds_every_triangle_once_inside_its_box(body):
    vertices, triangles = body
    bvh = build_bvh(vertices, triangles)
    assert np.array_equal(np.sort(bvh.primitives[bvh.primitives >= 0]), np.arange(len(triangles)))
    node, lane = np.nonzero(bvh.children < 0)
    leaf = ~bvh.children[node, lane]
    assert np.array_equal(np.sort(leaf // WIDTH), np.arange(len(bvh.corners)))
    assert np.array_equal(leaf % WIDTH + 1, (bvh.primitives >= 0).sum(axis=1)[leaf // WIDTH])
    corners = bvh.corners[leaf // WIDTH].reshape(-1, 3, 3, WIDTH)
    low, high = np.nanmin(corners, axis=(1, 3)), np.nanmax(corners, axis=(1, 3))
    assert (bvh.boxes[node, 0::2, lane] <= low).all()
    assert (bvh.boxes[node, 1::2, lane] >= high).all()


def test_build_is_deterministic(body):
    first, second = build_bvh(*body), build_bvh(*body)
    for a, b in zip(first, second, strict=True):
        assert a.tobytes() == b.tobytes()
        assert a.flags.c_contiguous


def test_lopsided_tree_is_rebuilt_to_fit_the_stack(monkeypatch):
    vertices, triangles = bumpy(3)
    need = ussim.render.bvh._build(vertices, triangles, 64)[1]
    balanced, balanced_need = ussim.render.bvh._build(vertices, triangles, 0)
    origins, directions = random_rays(2000, 120)
    t, hit = trace(build_bvh(vertices, triangles), origins, directions)
    t_balanced, hit_balanced = trace(balanced, origins, directions)
    assert np.array_equal(t, t_balanced)
    assert np.array_equal(hit, hit_balanced)
    assert balanced_need <= STACK_SIZE - WIDTH
    monkeypatch.setattr(ussim.render.bvh, "STACK_SIZE", need + WIDTH - 1)
    assert np.array_equal(build_bvh(vertices, triangles).children, balanced.children)


@pytest.mark.parametrize(
    ("vertices", "triangles", "message"),
    [
        (np.zeros((3, 3)), [[0, 1, 3]], "must be 0 to 2"),
        (np.zeros((3, 3)), [[0, -1, 2]], "index -1 to 2"),
        (np.zeros((3, 2)), [[0, 1, 2]], r"vertices_mm: shape \(3, 2\)"),
        (np.zeros((3, 3)), [0, 1, 2], r"triangles: shape \(3,\)"),
        ([[0, 0, 0], [0, np.nan, 0], [1, 0, 0]], [[0, 1, 2]], "vertices_mm: row 1"),
        ([[0, 0, 0], [0, 1, 0], [1, 1e30, 0]], [[0, 1, 2]], "vertices_mm: row 2"),
    ],
)
def test_bad_input_is_named(vertices, triangles, message):
    with pytest.raises(UssimError, match=message):
        build_bvh(np.array(vertices), np.array(triangles))
