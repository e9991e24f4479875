"""Tissues: the packaged table is physical, and bad rows are refused in words."""

from __future__ import annotations

import pydantic
import pytest

from ussim.errors import UssimError
from ussim.scene.tissue import Tissue, TissueLibrary

# The Z column of the table the library was written from, as printed there.
PRINTED_IMPEDANCE_MRAYL = {
    "gel": "1.54",
    "air": "0.0004",
    "amniotic_fluid": "1.53",
    "urine": "1.58",
    "stomach_fluid": "1.58",
    "csf": "1.53",
    "blood": "1.66",
    "fat": "1.35",
    "skin": "1.80",
    "muscle": "1.69",
    "soft_tissue": "1.62",
    "uterus": "1.70",
    "placenta": "1.63",
    "fetal_soft": "1.61",
    "brain": "1.61",
    "liver": "1.66",
    "kidney": "1.64",
    "heart_muscle": "1.66",
    "fetal_lung": "1.60",
    "lung": "0.2",
    "bone": "6.65",
    "fetal_bone": "3.75",
    "cartilage": "1.80",
    "cord": "1.59",
    "bowel": "1.61",
}
ROW = """
[[tissue]]
name = "{name}"
speed_m_s = {speed}
density_kg_m3 = 1000
attenuation_db_cm_mhz = 0.5
source = "estimate: made for a test"
"""


def write_library(folder, *rows: str, head: str = "format = 1"):
    path = folder / "extra.toml"
    path.write_text(head + "".join(rows), encoding="utf-8")
    return path


def test_packaged_library_has_every_tissue_of_the_table():
    assert set(TissueLibrary.load()) == set(PRINTED_IMPEDANCE_MRAYL)


@pytest.mark.parametrize(("name", "printed"), PRINTED_IMPEDANCE_MRAYL.items())
def test_impedance_is_speed_times_density_and_matches_the_table_to_rounding(name, printed):
    tissue = TissueLibrary.load()[name]
    assert tissue.impedance_mrayl == pytest.approx(tissue.speed_m_s * tissue.density_kg_m3 / 1e6, rel=1e-15)
    decimals = len(printed.split(".")[1])
    assert tissue.impedance_mrayl == pytest.approx(float(printed), abs=0.51 * 10**-decimals)


def test_every_packaged_tissue_says_where_its_values_come_from():
    for tissue in TissueLibrary.load().values():
        assert tissue.source.split(":")[0] in ("literature", "estimate", "calibrated by eye"), tissue.name


def test_colours_of_packaged_tissues_differ_from_each_other():
    colours = {
        name: [int(tissue.color[at : at + 2], 16) for at in (1, 3, 5)] for name, tissue in TissueLibrary.load().items()
    }
    for name, rgb in colours.items():
        nearest = min(
            (sum(abs(a - b) for a, b in zip(rgb, other_rgb, strict=True)), other)
            for other, other_rgb in colours.items()
            if other != name
        )
        assert nearest[0] >= 20, (name, nearest)


def test_uterus_attenuation_matches_the_published_values_at_5_and_10_mhz():
    uterus = TissueLibrary.load()["uterus"]
    assert uterus.attenuation_db_cm(5.0) == pytest.approx(4.15, abs=0.05)
    assert uterus.attenuation_db_cm(10.0) == pytest.approx(12.6, abs=0.1)
    assert uterus.attenuation_db_cm(8.0) / 8.0 == pytest.approx(1.10, abs=0.005)


def test_attenuation_grows_in_proportion_to_frequency_by_default():
    liver = TissueLibrary.load()["liver"]
    assert liver.attenuation_db_cm(8.0) == pytest.approx(8 * liver.attenuation_db_cm(1.0))


def test_later_libraries_add_rows_and_replace_rows_of_the_same_name(tmp_path):
    path = write_library(tmp_path, ROW.format(name="liver", speed=1600), ROW.format(name="thyroid", speed=1555))
    library = TissueLibrary.load(path)
    assert library["liver"].speed_m_s == 1600
    assert library["thyroid"].speed_m_s == 1555
    assert library["fat"] == TissueLibrary.load()["fat"]


def test_unknown_tissue_is_refused_with_the_nearest_name_and_all_names():
    with pytest.raises(UssimError) as caught:
        TissueLibrary.load().find("livr")
    message = str(caught.value)
    assert "tissue = 'livr'" in message
    assert "did you mean 'liver'?" in message
    assert all(name in message for name in PRINTED_IMPEDANCE_MRAYL)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            ROW.format(name="thyroid", speed=5),
            ["tissue 'thyroid'", "speed_m_s = 5", "at least 100, at most 8000"],
        ),
        (ROW.format(name="thyroid", speed='"1540"'), ["speed_m_s = '1540'", "number", "at least 100"]),
        (ROW.format(name="thyroid", speed="nan"), ["tissue 'thyroid'", "speed_m_s = nan", "at least 100"]),
        (ROW.format(name="thyroid", speed="inf"), ["tissue 'thyroid'", "speed_m_s = inf", "at most 8000"]),
        (ROW.format(name="Thyroid Gland", speed=1540), ["name = 'Thyroid Gland'", "[a-z]"]),
        (
            ROW.format(name="thyroid", speed=1540) + "scater_mean = 1.0",
            [
                "tissue 'thyroid'",
                "unknown key 'scater_mean'",
                "did you mean 'scatter_mean'?",
                "scatter_density",
            ],
        ),
        (
            ROW.format(name="thyroid", speed=1540) + "scatter_density = 1.5",
            ["tissue 'thyroid'", "scatter_density = 1.5", "at least 0, at most 1"],
        ),
        (
            ROW.format(name="thyroid", speed=1540) + 'color = "red"',
            ["tissue 'thyroid'", "color = 'red'", "#[0-9a-f]{6}"],
        ),
        (
            '\n[[tissue]]\nname = "thyroid"\nsource = "estimate"\n',
            ["tissue 'thyroid'", "missing key 'speed_m_s'"],
        ),
        (
            ROW.format(name="thyroid", speed=1540).replace("source", "color"),
            ["'thyroid' has no source", "literature, estimate"],
        ),
        (2 * ROW.format(name="thyroid", speed=1540), ["two rows are named 'thyroid'", "one row per name"]),
        ("\n[[tissue]\n", ["not valid TOML", "line 2"]),
        ("", ["missing key 'tissue'"]),
    ],
)
def test_bad_row_is_refused_in_one_line_with_file_tissue_field_and_range(tmp_path, rows, words):
    path = write_library(tmp_path, rows)
    with pytest.raises(UssimError) as caught:
        TissueLibrary.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    for word in words:
        assert word in message


def test_library_of_another_format_is_refused(tmp_path):
    path = write_library(tmp_path, ROW.format(name="thyroid", speed=1540), head="format = 2")
    with pytest.raises(UssimError, match=r"extra\.toml: format = 2: must be 1"):
        TissueLibrary.load(path)


def test_missing_library_is_refused(tmp_path):
    with pytest.raises(UssimError, match=r"nowhere\.toml: no such file"):
        TissueLibrary.load(tmp_path / "nowhere.toml")


def test_library_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "extra.toml"
    path.write_bytes(b"format = 1 # \xff")
    with pytest.raises(UssimError, match=r"extra\.toml: must be UTF-8 text, but byte 13 is not"):
        TissueLibrary.load(path)


def test_tissue_cannot_be_made_out_of_range_in_python_either():
    with pytest.raises(pydantic.ValidationError, match="scatter_density"):
        Tissue("odd", 1540, 1000, 0.5, scatter_density=-0.1)
