"""Guesses: units by size, tissues by name."""

from __future__ import annotations

import pytest

from meshes.importing.tissues import guess_tissue
from meshes.importing.units import guess_units


@pytest.mark.parametrize(
    ("extent", "unit"),
    [(0.02, "m"), (0.35, "m"), (1.8, "m"), (5, "cm"), (25, "cm"), (60, "mm"), (1800, "mm"), (3e5, "um")],
)
def test_units_are_those_in_which_the_size_is_that_of_a_body(extent, unit):
    assert guess_units(extent).name == unit


@pytest.mark.parametrize(
    ("name", "around", "tissue"),
    [
        ("Skull", (), "bone"),
        ("fetal_skull", (), "fetal_bone"),
        ("skull", ("head", "amniotic_sac"), "fetal_bone"),
        ("LeftKidney", (), "kidney"),
        ("ribs", (), "bone"),
        ("tribute", (), "soft_tissue"),
        ("hepatic_vein", (), "blood"),
        ("liver-2", (), "liver"),
        ("subcutaneous_fat", (), "fat"),
        ("Urinary Bladder", (), "urine"),
        ("umbilical_cord", (), "cord"),
        ("spinal_cord", (), "brain"),
        ("xyz", (), "soft_tissue"),
        ("xyz", ("fetus",), "fetal_soft"),
    ],
)
def test_tissues_are_guessed_from_names(name, around, tissue):
    assert guess_tissue(name, around).tissue == tissue


def test_a_skin_is_skin_only_if_something_fills_it():
    assert guess_tissue("skin", (), 0.95).tissue == "skin"
    assert guess_tissue("skin", (), 0.2).tissue == "soft_tissue"
