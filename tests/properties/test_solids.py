"""Sampling by blocks, which skips what cannot matter, against evaluating every row at every point."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.anatomies import sampled_and_dense

from meshes.shapes import solids
from meshes.shapes.solids import Solid


def hundredths(low: float, high: float) -> st.SearchStrategy[float]:
    """Numbers of two decimals: less than a float32 of the grid can hold decides nothing."""
    return st.floats(low, high).map(lambda value: round(value, 2))


MM, SIZE = hundredths(-8, 8), hundredths(1.0, 8)
PLACE = st.tuples(MM, MM, MM)
AXES = st.none() | st.builds(solids.rotation_to, st.tuples(MM, MM, MM).filter(lambda axis: np.linalg.norm(axis) > 0.1))
# Blends beyond the size of what they join are no shape that anybody asks for.
BLEND = st.sampled_from([0.0, 0.0, 0.5, 2.0])


@st.composite
def primitives(draw: st.DrawFn) -> Solid:
    place, axes = draw(PLACE), draw(AXES)
    # A flat ellipsoid's first-order distance is far off away from its surface; no organ is flatter than this.
    radii = np.array([draw(st.floats(0.5, 1.0)) for _ in range(3)]) * draw(SIZE)
    match draw(st.sampled_from(["ellipsoid", "superellipsoid", "box", "cone", "tube"])):
        case "ellipsoid":
            return solids.ellipsoid(place, radii, axes)
        case "superellipsoid":
            return solids.superellipsoid(place, radii, draw(st.sampled_from([2.0, 2.5, 4.0])), axes)
        case "box":
            return solids.box(place, radii, 0.2 * radii.min(), axes)
        case "cone":
            return solids.cone(place, draw(PLACE), *radii[:2])
        case _:
            return solids.tube([place, draw(PLACE), draw(PLACE)], radii)


def joined(parts: st.SearchStrategy[Solid]) -> st.SearchStrategy[Solid]:
    some = st.lists(parts, min_size=1, max_size=4)
    wall = st.tuples(hundredths(0, 6.28), MM)
    return st.one_of(
        st.builds(lambda all_, blend: solids.union(*all_, blend=blend), some, BLEND),
        st.builds(lambda first, rest, blend: solids.subtract(first, *rest, blend=blend), parts, some, BLEND),
        st.builds(lambda first, other, blend: solids.intersect(first, other, blend=blend), parts, parts, BLEND),
        st.builds(solids.offset, parts, hundredths(-0.5, 1.5)),
        st.builds(solids.shell, parts, hundredths(0.5, 2.0)),
        st.builds(solids.rough, parts, hundredths(0, 0.5), hundredths(4, 9), st.integers(0, 99)),
        st.builds(lambda solid, walls: solids.cut(
            solid, [(np.cos(a), np.sin(a), 0.0) for a, _ in walls], [d for _, d in walls]
        ), parts, st.lists(wall, min_size=1, max_size=12)),
    )  # fmt: skip


PROGRAMS = st.recursive(primitives(), joined, max_leaves=6)


@settings(max_examples=100)
@given(solid=PROGRAMS, step_mm=st.sampled_from([0.7, 1.0]))
def test_blocks_have_the_surface_of_full_evaluation(solid, step_mm):
    assume((solid.high_mm > solid.low_mm).all())  # the mesher refuses solids that have nothing in common
    grid, dense = sampled_and_dense(solid, step_mm)
    assert np.array_equal(grid < 0, dense < 0)
    near = np.abs(dense) < step_mm
    assert np.abs(grid - dense)[near].max(initial=0) < 1e-3
