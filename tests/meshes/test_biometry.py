"""The size of the fetus against published charts, measured on its meshes."""

from __future__ import annotations

import numpy as np
import pytest
from support import biometry
from support.anatomies import fetus

from meshes.fetus.body import fetus_parts
from meshes.mother.uterus import Lie
from meshes.shapes import mesher
from meshes.variation import draw

MEASURED = ("fetal_skull", "fetal_skin", "fetal_cerebellum", "fetal_limb_bones")


# 5th and 95th centiles in mm as printed in the INTERGROWTH-21st fetal growth tables (2014)
PUBLISHED = {
    18: {"hc": (136.6, 159.2), "bpd": (38.5, 45.4), "ac": (114.8, 136.4), "fl": (22.7, 28.3)},
    22: {"hc": (183.3, 209.3), "bpd": (50.9, 59.0), "ac": (155.5, 183.7), "fl": (33.7, 39.8)},
    28: {"hc": (245.7, 275.1), "bpd": (68.6, 78.3), "ac": (214.7, 251.9), "fl": (47.8, 54.8)},
    34: {"hc": (291.5, 324.7), "bpd": (82.4, 93.4), "ac": (268.7, 318.5), "fl": (58.9, 67.2)},
}


@pytest.mark.slow
@pytest.mark.parametrize(("weeks", "seed"), [(18, 0), (22, 0), (28, 0), (34, 0), (22, 11), (28, 4)])
def test_biometry_is_between_the_published_5th_and_95th_centile(weeks, seed):
    plan = fetus(weeks, seed)
    meshes = {
        part.name: mesher.to_mesh(mesher.surface(part.solid, 0.85 * part.feature_mm, part.name))
        for part in fetus_parts(plan)
        if part.name in MEASURED
    }
    found = biometry.measure(plan, Lie(np.eye(3), np.zeros(3)), meshes)
    for name, (low, high) in PUBLISHED[weeks].items():
        assert low <= getattr(found, name) <= high, name
    for name in ("ofd", "tcd"):
        low, high = biometry.normal_range(name, weeks)
        assert low <= getattr(found, name) <= high, name


@pytest.mark.parametrize("weeks", list(PUBLISHED))
def test_the_chart_gives_the_published_centiles(weeks):
    for name, printed in PUBLISHED[weeks].items():
        assert biometry.normal_range(name, weeks) == pytest.approx(printed, abs=0.15), name


def test_seeds_vary_what_they_should_within_bounds():
    draws = [draw(22, seed) for seed in range(1, 200)]
    assert {d.presentation for d in draws} == {"cephalic", "breech", "transverse"}
    assert {d.placenta for d in draws} == {"anterior", "posterior", "fundal", "left", "right"}
    assert all(abs(z) <= 1.1 for d in draws for z in (d.head_z, d.abdomen_z, d.femur_z))
    assert np.std([d.fat_mm for d in draws]) > 2
    assert np.std([d.fluid_factor for d in draws]) > 0.1
