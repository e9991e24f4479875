"""Surfaces of any labelled volume: closed, outward, and no two walls of neighbours in one place."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from support.scenes import share_along

from meshes.importing.label_map import Label
from meshes.importing.labels import label_surfaces, order_labels
from meshes.importing.volumes.volume import LabelVolume
from ussim.errors import UssimError
from ussim.scene.check import check_surfaces
from ussim.scene.surface import Surface


@st.composite
def volumes(draw: st.DrawFn) -> LabelVolume:
    """Up to four labels: balls and boxes over each other, or a marble cake; the edges of the volume cut them."""
    shape = [draw(st.integers(14, 24)) for _ in range(3)]
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(1, 4))
    if draw(st.booleans()):
        blur = draw(st.sampled_from([2.0, 3.0]))
        hills = [ndimage.gaussian_filter(random.normal(size=shape), blur) for _ in range(count + 1)]
        labels = np.argmax(hills, axis=0)
    else:
        labels = np.zeros(shape, int)
        index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
        for number in range(1, count + 1):
            centre, half = random.uniform(0, shape), random.uniform(4, 10, 3)
            norm = np.inf if draw(st.booleans()) else 2
            labels[np.linalg.norm((index - centre) / half, ord=norm, axis=-1) < 1] = number
    sides = np.array([draw(st.sampled_from([1.5, 2.0, 3.0])) for _ in range(3)])
    values, counts = np.unique(labels[labels > 0], return_counts=True)
    assume(len(values))
    found = dict(zip(values.tolist(), counts.tolist(), strict=True))
    return LabelVolume(Path("volume.nii"), labels.astype(np.int32), np.diag([*sides, 1.0]), found)


@settings(max_examples=40)
@given(volume=volumes())
def test_surfaces_are_closed_outward_and_share_no_wall(volume):
    labels = order_labels(volume, [Label(value, f"label_{value}", "liver", None, "") for value in volume.counts])
    try:
        surfaces = label_surfaces(volume, labels)
    except UssimError as error:
        if "too small for a surface" not in str(error):
            raise
        return
    meshes = [(one.mesh.vertices_mm, one.mesh.triangles) for one in surfaces]
    reports = check_surfaces([
        Surface(name=f"label {n}", tissue="liver", priority=n, vertices_mm=mesh[0], triangles=mesh[1])
        for n, mesh in enumerate(meshes)
    ])  # fmt: skip
    assert all(report.ok for report in reports), reports
    for one, other in permutations(meshes, 2):
        assert share_along(one, other) < 0.02
