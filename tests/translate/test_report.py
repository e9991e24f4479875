"""The report of an evaluation: its files, tables, pictures, and what it says of the feature distances."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from support.judged import PROTOCOL, Inverter
from support.speckle_store import make_store

from translate.data.metrics import PKL_RULE
from translate.evaluation.collect import Candidate
from translate.evaluation.distances import frechet_distance
from translate.evaluation.evaluate import compare
from translate.evaluation.features import Extractor
from translate.evaluation.protocol import EvaluationProtocol
from translate.evaluation.report import FILES, Report, _cell
from translate.evaluation.results import HIGH_QUALITY
from translate.evaluation.tables import Table
from ussim.errors import UssimError


def test_the_report_has_all_its_files_and_they_agree(result, tmp_path):
    report = Report(result).save(tmp_path / "report")
    assert {path.name for path in report.folder.iterdir()} == set(FILES)
    content = json.loads((report.folder / "report.json").read_text())
    table = list(csv.DictReader((report.folder / "table.csv").open()))
    crops = list(csv.DictReader((report.folder / "crops.csv").open()))
    assert [row["name"] for row in content["rows"]] == [row["row"] for row in table]
    assert len(crops) == 3 * 12
    means = [float(row["psnr"]) for row in crops if row["row"] == "L2HMS"]
    assert np.mean(means) == pytest.approx(content["rows"][2]["whole"]["psnr"]["mean"])
    assert float(table[2]["whole_psnr_mean"]) == pytest.approx(np.mean(means))
    assert float(table[2]["gap_psnr_band0"]) == pytest.approx(-20 * math.log10(2))
    assert float(table[2]["gap_psnr_core"]) == pytest.approx(-20 * math.log10(2))
    markdown = (report.folder / "report.md").read_text()
    assert f"{np.mean(means):.2f}" in markdown
    assert PKL_RULE in markdown
    assert content["pkl_rule"] == PKL_RULE


def test_a_report_that_cannot_be_finished_leaves_nothing(result, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("translate.evaluation.report.save_full_views", full)
    with pytest.raises(UssimError, match=r"report: cannot write the report: No space left on device"):
        Report(result).save(tmp_path / "report")
    assert list(tmp_path.iterdir()) == []


def test_a_report_is_never_written_over_another(result, tmp_path):
    Report(result).save(tmp_path / "report")
    with pytest.raises(UssimError, match="exists already"):
        Report(result).save(tmp_path / "report")


def test_the_best_figure_of_each_column_is_bold(result):
    table = Report(result).tables[1].markdown()
    line = next(line for line in table.splitlines() if line.startswith("| L2HMS |"))
    assert line.count("**") == 6
    assert "**36.09 ± 0.00 (36.09)**" in line


def test_pictures_show_input_outputs_and_target_in_that_order(result, tmp_path):
    folder = Report(result).save(tmp_path / "report").folder
    assert len(result.patch_examples) == 4
    example = result.patch_examples[0]
    assert len(example.images) == 4
    lq, off_by_8, off_by_4, hq = (image.astype(int) for image in example.images)
    inside = hq > 0
    assert (off_by_8 - hq)[inside].tolist() == [8] * inside.sum()
    assert (off_by_4 - hq)[inside].tolist() == [4] * inside.sum()
    assert ((lq + hq)[inside] == 255).all()
    sheet = np.asarray(Image.open(folder / "patches.png"))
    assert sheet.shape[1] == 4 * (96 + 4) + 4
    cell = sheet[-96 - 4 : -4, 4 + 3 * 100 : 100 + 3 * 100].astype(int)  # last row, last column
    assert np.abs(cell - result.patch_examples[-1].images[-1]).max() <= 4


def test_an_output_equal_to_its_target_is_left_out_of_the_mean_and_told(dataset, tmp_path):
    result = compare([Candidate("L2HM", Inverter(0))], dataset, PROTOCOL)
    summary = result.rows[1].whole["psnr"]
    assert (summary.count, summary.left_out) == (0, 12)
    assert "Up to 12 crops are left out" in " ".join(result.notes)
    content = json.loads((Report(result).save(tmp_path / "r").folder / "report.json").read_text())
    assert content["rows"][1]["whole"]["psnr"]["mean"] is None


def test_high_quality_is_no_row_but_the_reference(result):
    assert HIGH_QUALITY not in [row.name for row in result.rows]
    assert Report(result).tables[4].rows[0][0] == HIGH_QUALITY


# Feature distances ----------------------------------------------------------------------------------
def moments_extractor() -> Extractor:
    """Mean and spread of each piece: two features that can be checked by hand."""

    def network(batch):
        values = batch.double().flatten(1)
        return torch.stack([values.mean(1), values.std(1)], dim=1)

    return Extractor("moments", "FD(moments)", "ab" * 32, 2, "cpu", network)


def test_the_frechet_distance_is_that_of_the_centre_pieces(tmp_path):
    store = make_store(tmp_path / "s.zarr", frames=20, height=300, width=620)
    result = compare([Candidate("L2HM", Inverter(5))], store, EvaluationProtocol(crops=1, crop=96), moments_extractor())
    left, top = (620 - 598) // 2, (300 - 299) // 2
    sets: dict[str, list] = {"lq": [], "hq": []}
    for index in np.flatnonzero(store.split):
        frame = store.frame(int(index))
        for name, pieces in sets.items():
            image = getattr(frame, name)[top : top + 299, left : left + 598].astype(float)
            for piece in (image[:, :299], image[:, 299:]):
                pieces.append([piece.mean(), piece.std(ddof=1)])
    distance = result.rows[0].distance
    expected = frechet_distance(np.array(sets["lq"]), np.array(sets["hq"]))
    assert distance.frechet == pytest.approx(expected, rel=1e-5)
    assert (distance.pieces, distance.images) == (4, 2)
    assert distance.low <= distance.frechet <= distance.high
    assert result.rows[1].distance.frechet < 0.1 * distance.frechet
    assert "2 instead of 4 pieces" in " ".join(result.notes)
    assert "FD(moments)" in Report(result).tables[0].columns


def test_the_rule_of_pkl_and_the_size_of_the_feature_sets_stand_beside_the_numbers(tmp_path):
    store = make_store(tmp_path / "s.zarr", frames=20, height=300, width=300)
    report = Report(compare([], store, EvaluationProtocol(crops=1, crop=96), moments_extractor()))
    for text in (report.tables[0].caption, " ".join(report.notes)):
        assert PKL_RULE in text
        assert "FD(moments): Fréchet distance between features of moments (weights SHA-256 abababababab…)" in text
        assert "N = 2 pieces of 2 images" in text
        assert "It is not FID" in text


def test_images_too_small_for_a_piece_are_said_to_be_so(dataset):
    result = compare([], dataset, PROTOCOL, moments_extractor())
    assert result.rows[0].distance is None
    assert "hold no piece of 299 × 299" in " ".join(result.notes)
    assert "too few pieces" in Report(result).tables[0].rows[0]


def test_one_piece_gives_no_distance_and_only_that_is_said(tmp_path):
    dataset = make_store(tmp_path / "store.zarr", frames=10, height=320, width=400)  # one test image, of one piece
    result = compare([], dataset, replace(PROTOCOL, crop=256), moments_extractor())
    assert result.rows[0].distance is None
    notes = [note for note in result.notes if "distance" in note]
    assert notes == ["No Fréchet distance and no KID: 1 piece, 2 are needed."]
    assert "too few pieces" in Report(result).tables[0].rows[0]


def test_a_missing_extractor_is_said_in_the_row(result):
    assert "extractor not installed" in Report(result).tables[0].rows[0]


@pytest.mark.parametrize(
    ("value", "kept"), [("=1+1", "'=1+1"), ("@x", "'@x"), ("LMSA", "LMSA"), ("", ""), (-0.5, -0.5)]
)
def test_a_name_is_no_formula_to_a_spreadsheet(value, kept):
    assert _cell(value) == kept


def test_a_bar_in_a_name_leaves_the_columns_of_a_table_as_they_are():
    table = Table(title="title", caption="caption", columns=("", "PSNR"), rows=[("a|b", "1")])
    assert table.markdown().splitlines()[-1] == "| a\\|b | 1 |"
