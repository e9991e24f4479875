"""The tree of triangles against brute force, on soups with everything that upsets a tree: copies, slivers, planes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.rays import INF, brute_force, trace

from ussim.render.bvh import build_bvh

# Whole numbers and halves: coordinates coincide, triangles share planes, and a ray meets them at exact distances.
GRID = st.integers(-8, 8).map(lambda half: half / 2)
POINTS = st.tuples(GRID, GRID, GRID)


@st.composite
def soups(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) float32 and triangles (T, 3) int32, some flat, some without area, some there twice."""
    points = np.array(draw(st.lists(POINTS, min_size=3, max_size=12)), np.float32)
    flat = draw(st.sampled_from([None, None, 0, 1, 2]))
    if flat is not None:
        points[:, flat] = draw(GRID)
    index = st.integers(0, len(points) - 1)
    few = st.lists(st.tuples(index, index, index), min_size=1, max_size=12)
    many = st.builds(
        lambda seed, count: np.random.default_rng(seed).integers(0, len(points), (count, 3)),
        st.integers(0, 999), st.integers(13, 300),
    )  # fmt: skip
    triangles = np.array(draw(st.one_of(few, many)), np.int32)
    copies = draw(st.integers(1, 12))
    # Rays and triangles of a grid meet in edges and corners, where rounding decides: a shift takes most of that away.
    shift = np.random.default_rng(draw(st.integers(0, 99))).normal(0, draw(st.sampled_from([0, 0.01])), points.shape)
    scale, offset = draw(st.sampled_from([1e-3, 1.0, 1e3])), draw(st.sampled_from([0.0, 100.0]))
    return ((points + shift) * scale + offset).astype(np.float32), np.tile(triangles, (copies, 1))


@st.composite
def rays_at(draw: st.DrawFn, vertices: np.ndarray, count: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Rays from around a soup to points of it, some along an axis."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = np.ptp(vertices, axis=0).max() + 1e-3
    origins = vertices.mean(axis=0) + random.normal(0, size, (count, 3))
    targets = vertices[random.integers(0, len(vertices), (count, 3))]
    weights = random.dirichlet((1, 1, 1), count)[:, :, None]
    directions = (targets * weights).sum(axis=1) - origins
    directions[::8] = np.eye(3)[random.integers(0, 3, len(directions[::8]))]
    return origins.astype(np.float32), directions.astype(np.float32)


def assert_as_brute_force(vertices: np.ndarray, triangles: np.ndarray, origins, directions) -> None:
    """The nearest hit, with what float32 leaves open: a ray within rounding of an edge, and which of two equals."""
    t, hit = trace(build_bvh(vertices, triangles), origins, directions)
    # Which triangles a ray surely hits, and which it may: by barycentric coordinates with a margin either way.
    sure, possible = (brute_force(vertices, triangles, origins, directions, margin=m) for m in (1e-3, -1e-3))
    size = np.abs(vertices).max() + np.abs(origins).max()
    slack = 1e-4 * size / np.linalg.norm(directions, axis=1)
    rows = np.arange(len(t))
    assert (t <= sure.min(axis=1) + slack).all(), "a triangle in the way was missed"
    found = hit >= 0
    assert (found == (t < INF)).all()
    at = possible[rows[found], hit[found]]
    assert (np.abs(at - t[found]) <= slack[found]).all(), "a hit where no triangle is"


@given(data=st.data())
def test_the_tree_finds_what_brute_force_finds_in_any_soup(data):
    vertices, triangles = data.draw(soups())
    assert_as_brute_force(vertices, triangles, *data.draw(rays_at(vertices)))


@given(soup=soups())
def test_every_triangle_is_in_the_tree_once_and_copies_report_the_lowest_index(soup):
    vertices, triangles = soup
    bvh = build_bvh(vertices, triangles)
    assert np.array_equal(np.sort(bvh.primitives[bvh.primitives >= 0]), np.arange(len(triangles)))
    centres = vertices[triangles].mean(axis=1)
    origins = np.repeat(vertices.mean(axis=0)[None] + 2 * np.ptp(vertices, axis=0).max(), len(centres), axis=0)
    _, hit = trace(bvh, origins, centres - origins)
    found = hit[hit >= 0]
    first = {corners.tobytes(): number for number, corners in reversed(list(enumerate(vertices[triangles])))}
    assert [first[vertices[triangles[number]].tobytes()] for number in found] == found.tolist()
