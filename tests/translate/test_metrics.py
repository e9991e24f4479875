"""Metrics against references written from their definitions, hand-computed cases and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from translate.data.metrics import PKL_RULE, Target, as_uint8, paired_test, pkl, psnr, ssim, summarise
from translate.evaluation.distances import (
    _resampler,
    frechet_distance,
    frechet_interval,
    kernel_distance,
    mmd2_unbiased,
)
from ussim.errors import UssimError


def speckle_pair(shape=(96, 80), seed=0):
    rng = np.random.default_rng(seed)
    shade = np.linspace(0.2, 1, shape[1])
    images = [
        40 * np.log10(1 + 60 * shade * np.hypot(*rng.normal(size=(2, *shape)))) + 20 * np.ones(shape) for _ in range(2)
    ]
    return tuple(np.clip(2 * image, 0, 255).astype(np.uint8) for image in images)


# PSNR -----------------------------------------------------------------------------------------------
def test_psnr_of_a_constant_error_is_the_closed_form():
    target = np.full((20, 30), 100, np.uint8)
    assert psnr(target + 5, target) == pytest.approx(20 * math.log10(255 / 5), abs=1e-12)


def test_psnr_does_not_wrap_around_in_uint8():
    black, white = np.zeros((8, 8), np.uint8), np.full((8, 8), 255, np.uint8)
    assert psnr(white, black) == psnr(black, white) == 0.0


def test_psnr_rounds_before_it_compares():
    target = np.full((8, 8), 100, np.uint8)
    assert psnr(np.full((8, 8), 100.49), target) == math.inf
    assert psnr(np.full((8, 8), 100.51), target) == pytest.approx(20 * math.log10(255))


def test_psnr_in_the_mask_ignores_what_lies_outside():
    target = np.zeros((10, 10), np.uint8)
    output = target.copy()
    output[:5] = 10
    output[5:] = 200
    mask = np.zeros((10, 10), np.uint8)
    mask[:5] = 1
    assert psnr(output, target, mask) == pytest.approx(20 * math.log10(25.5))


def test_values_beyond_the_grey_scale_are_clipped_and_nan_is_an_error():
    assert as_uint8(np.array([-3.0, 0.5, 1.5, 300.0])).tolist() == [0, 0, 2, 255]
    with pytest.raises(UssimError, match="not finite"):
        as_uint8(np.array([np.nan]))


def test_images_of_different_shape_are_refused():
    with pytest.raises(UssimError, match="cannot compare"):
        psnr(np.zeros((4, 4), np.uint8), np.zeros((4, 5), np.uint8))
    with pytest.raises(UssimError, match="does not fit"):
        Target(np.zeros((4, 4), np.uint8), np.ones((4, 5), np.uint8))


# SSIM -----------------------------------------------------------------------------------------------
def matlab_ssim_map(a, b):
    """MATLAB's defaults from the definition: a two-dimensional window at every pixel, borders repeated."""
    y, x = np.mgrid[-5:6, -5:6]
    window = np.exp(-(x**2 + y**2) / (2 * 1.5**2))
    window /= window.sum()
    a, b = a.astype(float), b.astype(float)
    height, width = a.shape
    result = np.empty(a.shape)
    for row in range(height):
        for column in range(width):
            rows = np.clip(row + y, 0, height - 1)
            columns = np.clip(column + x, 0, width - 1)
            pa, pb = a[rows, columns], b[rows, columns]
            ma, mb = (window * pa).sum(), (window * pb).sum()
            va, vb = (window * pa * pa).sum() - ma**2, (window * pb * pb).sum() - mb**2
            cov = (window * pa * pb).sum() - ma * mb
            c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
            result[row, column] = (2 * ma * mb + c1) * (2 * cov + c2)
            result[row, column] /= (ma**2 + mb**2 + c1) * (va + vb + c2)
    return result


@pytest.mark.parametrize("shape", [(48, 40), (9, 33)])
def test_ssim_equals_matlabs_algorithm(shape):
    a, b = speckle_pair(shape)
    reference = matlab_ssim_map(a, b)
    assert np.abs(Target(b).ssim_map(a) - reference).max() < 1e-11
    assert ssim(a, b) == pytest.approx(reference.mean(), abs=1e-12)
    mask = np.tri(*shape, dtype=np.uint8)
    assert ssim(a, b, mask) == pytest.approx(reference[mask == 1].mean(), abs=1e-12)


def test_ssim_of_identical_images_is_one():
    a, _ = speckle_pair()
    assert ssim(a, a) == pytest.approx(1, abs=1e-12)


def test_ssim_of_two_flat_images_is_the_luminance_term():
    a, b = np.full((30, 30), 100, np.uint8), np.full((30, 30), 50, np.uint8)
    c1 = (0.01 * 255) ** 2
    assert ssim(a, b) == pytest.approx((2 * 100 * 50 + c1) / (100**2 + 50**2 + c1), abs=1e-9)


# pKL ------------------------------------------------------------------------------------------------
def pkl_by_loops(output, target, mask):
    """(whole patches, pixels in the mask), from the rule."""
    results = ([], [])
    for top in range(0, target.shape[0] - 31, 32):
        for left in range(0, target.shape[1] - 31, 32):
            here = (slice(top, top + 32), slice(left, left + 32))
            inside = mask[here].astype(bool)
            if inside.sum() < 512:
                continue
            for result, pixels in zip(results, (np.ones((32, 32), bool), inside), strict=True):
                p, q = (
                    np.histogram(image[here][pixels], bins=50, range=(0, 255))[0] + 0.5 for image in (target, output)
                )
                p, q = p / p.sum(), q / q.sum()
                result.append(sum(pi * math.log(pi / qi) for pi, qi in zip(p, q, strict=True)))
    return np.mean(results[0]), np.mean(results[1])


def test_pkl_equals_its_rule_written_as_loops():
    a, b = speckle_pair((100, 135))
    mask = (np.hypot(*np.mgrid[-50:50, -67:68]) < 60).astype(np.uint8)
    whole, inside = pkl_by_loops(a, b, mask)
    got_whole, got_inside = Target(b, mask).pkl_patches(a)
    assert np.nanmean(got_whole) == pytest.approx(whole, abs=1e-12)
    assert np.nanmean(got_inside) == pytest.approx(inside, abs=1e-12)
    assert whole != pytest.approx(inside, rel=1e-3)
    assert pkl(a, b, mask) == pytest.approx(inside, abs=1e-12)


def test_pkl_of_one_bin_against_another_is_the_hand_computed_value():
    target, output = np.zeros((32, 32), np.uint8), np.full((32, 32), 255, np.uint8)
    n = 1024 + 50 * 0.5
    # the two occupied bins: (1024.5/n)·ln(1024.5/0.5) + (0.5/n)·ln(0.5/1024.5)
    assert pkl(output, target) == pytest.approx(1024 / n * math.log(1024.5 / 0.5), abs=1e-12)


def test_pkl_takes_the_target_as_the_first_distribution():
    target, output = np.zeros((32, 32), np.uint8), np.zeros((32, 32), np.uint8)
    output[:16] = 128  # half of the output lies elsewhere
    forward = 1024.5 / 1049 * math.log(1024.5 / 512.5) + 0.5 / 1049 * math.log(0.5 / 512.5)
    assert pkl(output, target) == pytest.approx(forward, abs=1e-12)
    assert pkl(target, output) != pytest.approx(forward, rel=0.1)


def test_pkl_bins_are_those_of_a_histogram_over_0_to_255():
    for grey in range(256):
        image = np.full((32, 32), grey, np.uint8)
        expected = np.histogram([grey], bins=50, range=(0, 255))[0].argmax()
        assert Target(image)._histograms(image)[0].argmax() == expected, grey


def test_pkl_of_identical_images_is_zero_and_patches_outside_the_mask_do_not_count():
    a, b = speckle_pair((64, 64))
    assert pkl(a, a) == 0
    output = b.copy()
    output[:, 32:] = 0
    mask = np.zeros((64, 64), np.uint8)
    mask[:, :32] = 1
    mask[:32, 32:47] = 1  # 480 of 1024 pixels: less than half
    assert pkl(output, b, mask) == 0
    assert math.isnan(pkl(output, b, np.zeros((64, 64), np.uint8)))


def test_an_image_smaller_than_a_patch_is_refused():
    with pytest.raises(UssimError, match="no pKL patch"):
        pkl(np.zeros((31, 64), np.uint8), np.zeros((31, 64), np.uint8))


def test_the_rule_names_every_choice_that_moves_pkl():
    for word in ("50 bins", "32 × 32", "KL(target ‖ output)", "0.5 added", "50%", "nats"):
        assert word in PKL_RULE


# Over many crops ------------------------------------------------------------------------------------
def test_summary_gives_the_percentile_on_the_bad_side_and_counts_what_is_infinite():
    values = np.append(np.arange(101.0), np.inf)
    good, bad = summarise(values, more_is_better=True), summarise(values, more_is_better=False)
    assert (good.percentile, bad.percentile) == (5, 95)
    assert good.mean == 50
    assert good.std == pytest.approx(np.std(np.arange(101), ddof=1))
    assert (good.count, good.left_out) == (101, 1)
    assert math.isnan(summarise(np.array([np.nan]), True).mean)


def test_paired_test_is_wilcoxons_exact_value_for_a_hand_case():
    # all of 6 differences positive: p = 2 / 2⁶
    result = paired_test(np.arange(1, 7) * 1.1, np.zeros(6))
    assert result.p_value == pytest.approx(2 / 2**6)
    assert result.median_difference == pytest.approx(3.85)
    assert paired_test(np.ones(5), np.ones(5)).p_value == 1
    assert paired_test([np.inf, 1, 2], [np.inf, 0, np.nan]).pairs == 1


# Fréchet distance -----------------------------------------------------------------------------------
def exact_sample(n, mean, cov, seed):
    """Samples whose mean and covariance are exactly these."""
    x = np.random.default_rng(seed).normal(size=(n, len(mean)))
    x -= x.mean(axis=0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    return x @ np.linalg.cholesky(cov).T + mean


def random_covariance(d, seed):
    a = np.random.default_rng(seed).normal(size=(d, d))
    return a @ a.T + 0.1 * np.eye(d)


def test_frechet_distance_of_commuting_gaussians_is_the_closed_form():
    mean_a, mean_b = np.array([1.0, 2, 3]), np.array([0.0, 2, 5])
    s, t = np.array([1.0, 2, 0.5]), np.array([2.0, 1, 0.25])
    expected = 1 + 4 + ((s - t) ** 2).sum()
    a, b = exact_sample(40, mean_a, np.diag(s**2), 1), exact_sample(55, mean_b, np.diag(t**2), 2)
    assert frechet_distance(a, b) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("n", [9, 60])
def test_frechet_distance_equals_the_matrix_root_with_few_and_with_many_samples(n):
    d = 6 if n > 20 else 12  # below and above the number of samples
    rng = np.random.default_rng(n)
    a, b = rng.normal(size=(n, d)), rng.normal(size=(n + 3, d)) @ random_covariance(d, 5) + 1
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    # eigenvalues of the product of two positive semidefinite matrices are real and not negative
    cross = np.sqrt(np.maximum(np.linalg.eigvals(cov_a @ cov_b).real, 0)).sum()
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * cross
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-5)


def test_frechet_distance_of_identical_sets_is_zero():
    x = np.random.default_rng(0).normal(size=(30, 100))
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-10)
    assert frechet_distance(x, x + 2) == pytest.approx(4 * 100, rel=1e-12)


@pytest.mark.parametrize("dimensions", [3, 20])
def test_frechet_distance_of_a_resample_equals_that_of_repeated_samples(dimensions):
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(12, dimensions)), rng.normal(size=(12, dimensions)) + 0.3
    weight = np.array([0, 2, 1, 1, 3, 0, 1, 1, 0, 1, 1, 1])
    repeated = np.repeat(np.arange(12), weight)
    expected = frechet_distance(a[repeated], b[repeated])
    assert _resampler(a, b)(weight) == pytest.approx(expected, rel=1e-9)


def test_frechet_interval_covers_the_true_distance_about_as_often_as_it_says():
    d, n, truth = 3, 150, 3 * 0.5**2 + 3 * (1.5 - 1) ** 2
    hits = 0
    for trial in range(40):
        rng = np.random.default_rng(trial)
        a, b = rng.normal(size=(n, d)), 1.5 * rng.normal(size=(n, d)) + 0.5
        low, high = frechet_interval(a, b, np.arange(n), replicates=60, seed=trial)
        assert low < frechet_distance(a, b) < high
        hits += low <= truth <= high
    assert hits >= 33


def test_frechet_interval_draws_whole_images():
    rng = np.random.default_rng(0)
    image = np.repeat(rng.normal(size=(20, 4)), 8, axis=0)  # 8 pieces that tell one image's story
    a, b = image + 0.01 * rng.normal(size=image.shape), image[::-1] + 1.0
    by_image = frechet_interval(a, b, np.repeat(np.arange(20), 8))
    by_piece = frechet_interval(a, b, np.arange(160))
    assert by_image[1] - by_image[0] > 1.5 * (by_piece[1] - by_piece[0])


def test_feature_sets_that_cannot_be_compared_are_refused():
    with pytest.raises(UssimError, match="cannot be compared"):
        frechet_distance(np.zeros((4, 3)), np.zeros((4, 2)))
    with pytest.raises(UssimError, match="2 are needed"):
        frechet_distance(np.zeros((1, 3)), np.zeros((4, 3)))


# KID ------------------------------------------------------------------------------------------------
def test_kid_of_a_hand_case():
    # kernel (x·y + 1)³ of x = {0, 1} and y = {1, 2}: within x 1, within y 27, between (1 + 1 + 8 + 27)/4
    x, y = np.array([[0.0], [1]]), np.array([[1.0], [2]])
    assert kernel_distance(x, y, subsets=1, size=2).mean == pytest.approx(1 + 27 - 2 * 37 / 4)


def test_kid_divides_by_the_number_of_features():
    x, y = np.array([[0.0, 0], [1, 1]]), np.array([[1.0, 1], [2, 2]])
    assert kernel_distance(x, y, subsets=1, size=2).mean == pytest.approx(1 + 27 - 2 * 37 / 4)


def test_mmd_is_unbiased_where_the_plain_mean_is_not():
    rng = np.random.default_rng(1)
    values = []
    for _ in range(300):
        a, b = rng.normal(size=(2, 8, 3))
        gram = [(p @ q.T / 3 + 1) ** 3 for p, q in ((a, a), (b, b), (a, b))]
        values.append(mmd2_unbiased(*gram))
    assert abs(np.mean(values)) < 3 * np.std(values) / math.sqrt(300)


def test_kid_finds_a_shift_and_none_between_draws_of_one_distribution():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 300, 16))
    same, shifted = kernel_distance(a, b), kernel_distance(a, b + 1)
    assert abs(same.mean) < 4 * same.std
    assert shifted.mean > 20 * abs(same.mean)
    assert (same.subset_size, same.subsets) == (150, 100)
    with pytest.raises(UssimError, match="2 to 300"):
        kernel_distance(a, b, size=301)
