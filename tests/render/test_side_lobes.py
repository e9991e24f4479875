"""Side lobes: what they let into cysts and around a wire, against the aperture's pattern; what they leave alone.

What a test records is what it judges.
"""

from __future__ import annotations

import numpy as np
import pytest
from support.aperture import FLESH, beside_each_other, block, rod
from support.phantoms import decibel, renderer, scene_of, tissue, uniform
from support.scenes import box

from ussim.probe.pattern import two_way_power
from ussim.probe.probe import ConvexProbe, LinearProbe, PhasedProbe
from ussim.probe.quality import HQ
from ussim.render.aperture.side_lobes import side_lobe_table

SIZES = {"image_height": 64, "image_width": 64}
PROBES = {
    "linear": LinearProbe(scanlines=128, width_mm=40, depth_mm=50, axial_samples=1024, **SIZES),
    "convex": ConvexProbe(scanlines=256, depth_mm=90, axial_samples=1536, **SIZES),
    "phased": PhasedProbe(scanlines=160, depth_mm=90, axial_samples=1536, **SIZES),
}
EMPTY = tissue("empty", scatter_density=0.0)


def probe_of(kind, apodisation):
    return PROBES[kind].model_copy(update={"apodisation": apodisation})


def beyond(probe, beside_mm, depth_mm):
    """Share of the two-way pattern's power that comes from farther aside on one side of a line, for offsets [mm]."""
    offset = np.linspace(-60, 60, 24_001)
    power = two_way_power(probe, offset, depth_mm)
    return np.interp(beside_mm, offset, power[::-1].cumsum()[::-1] / power.sum())


def outside(probe, radius, centre_mm, depths, beside):
    """Share of the two-way pattern's power that comes from outside a cylinder, mean over depths and lines [mm].

    A scatterer has the medium of the scanline that is nearest to it, so the cylinder ends midway between two of them.
    """
    shares = []
    for depth in depths:
        pitch = probe.line_pitch_mm(depth)
        half = pitch * np.round(np.sqrt(radius**2 - (depth - centre_mm) ** 2) / pitch)
        shares.append(beyond(probe, half - beside, depth) + beyond(probe, half + beside, depth))
    return np.mean(shares)


# Against the pattern ------------------------------------------------------------------------------


@pytest.mark.parametrize("diameter", [3.0, 5.0, 10.0])
@pytest.mark.parametrize(
    ("kind", "depth_mm", "apodisation"),
    [
        ("linear", 15, "rectangular"),
        ("linear", 30, "hamming"),
        ("linear", 30, "hann"),
        ("convex", 20, "hamming"),
        ("convex", 70, "rectangular"),
        ("convex", 70, "hamming"),
        ("phased", 35, "hamming"),
    ],
)
def test_a_cyst_is_as_dark_as_the_pattern_of_the_aperture_says(kind, depth_mm, apodisation, diameter, record_property):
    probe, radius = probe_of(kind, apodisation), diameter / 2
    r = renderer(scene_of([block(), rod(radius, depth_mm, "empty")], FLESH, EMPTY), probe)
    lines = r.baseband(beside_each_other(10, 8.0))
    depth, pitch = probe.sample_depths_mm, float(probe.line_pitch_mm(np.array(depth_mm)))
    beside = np.abs(np.arange(probe.scanlines) - (probe.scanlines - 1) / 2) * pitch
    near, middle = np.abs(depth - depth_mm) < radius / 4, beside < max(pitch * 0.6, radius / 5)
    power = (np.abs(lines[:, :, near]) ** 2).mean(axis=(0, 2))
    level_db = decibel(power[middle].mean() / power[beside > radius + 2].mean())
    some = depth[near][:: max(1, near.sum() // 8)]
    off_db = level_db - decibel(outside(probe, radius, depth_mm, some, beside[middle]))
    record_property("level_db", level_db)
    record_property("off_db", off_db)
    assert off_db == pytest.approx(0, abs=2)


@pytest.mark.parametrize("apodisation", ["rectangular", "hamming"])
def test_side_lobes_of_a_wire_are_those_of_the_pattern(apodisation, record_property):
    probe, depth_mm = probe_of("linear", apodisation).model_copy(update={"width_mm": 20.0}), 20.0
    wire = scene_of([block("empty"), rod(0.15, depth_mm, "flesh")], FLESH, EMPTY)
    lines = renderer(wire, probe).baseband(beside_each_other(12, 8.0))
    power = (np.abs(lines) ** 2).sum(axis=2).mean(axis=0)
    beside = np.abs(np.arange(probe.scanlines) - (probe.scanlines - 1) / 2) * probe.linear_pitch_mm
    for mm in (1.5, 3.0, 5.0):
        expected = 2 * (beyond(probe, mm, depth_mm) - beyond(probe, 10.0, depth_mm))
        off_db = decibel(power[beside > mm].sum() / power.sum() / expected)
        record_property("off_db", off_db)
        assert off_db == pytest.approx(0, abs=2), mm


# What they leave alone ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", PROBES)
def test_without_side_lobes_lines_are_what_they_are_before_side_lobes_are_added(kind):
    assert side_lobe_table(probe_of(kind, "gaussian")) is None
    scene = scene_of([block(), rod(2, 20, "empty")], FLESH, EMPTY)
    without, with_them = (renderer(scene, probe_of(kind, name)) for name in ("gaussian", "rectangular"))
    lines, others = without.baseband(np.eye(4), HQ), with_them.baseband(np.eye(4), HQ)
    work = with_them._aperture.arrays(1, HQ)
    np.testing.assert_array_equal(lines[0], work.out_real + 1j * work.out_imag)
    assert np.abs(lines - others).max() > 0.01 * np.abs(lines).max()


@pytest.mark.parametrize("apodisation", ["rectangular", "hamming", "hann"])
@pytest.mark.parametrize("kind", PROBES)
def test_uniform_tissue_stays_as_bright_and_speckle_as_it_is(kind, apodisation, record_property):
    r = renderer(uniform(FLESH), probe_of(kind, apodisation))
    edge, depth = int(r.probe.scanlines * (0.4 if kind == "phased" else 0.17)), r.probe.sample_depths_mm
    frames = (
        8 if kind == "phased" else 4
    )  # near its face all lines are neighbours: only the middle ones have all of theirs
    with_them = r.baseband(beside_each_other(frames))[:, edge:-edge]
    table, r._aperture._lobes = r._aperture._lobes, None
    without = r.baseband(beside_each_other(frames))[:, edge:-edge]
    assert table is not None
    for low, high in ((5, 15), (15, 30), (30, 48), *(((48, 88),) if depth[-1] > 60 else ())):
        one, other = (np.abs(lines[..., (depth > low) & (depth < high)]) for lines in (with_them, without))
        off_db = decibel((one**2).mean() / (other**2).mean())
        off_snr = one.mean() / one.std() - other.mean() / other.std()
        record_property("off_db", off_db)
        record_property("off_snr", off_snr)
        assert off_db == pytest.approx(0, abs=0.1)
        assert off_snr == pytest.approx(0, abs=0.02)


def test_a_plane_wall_stays_as_bright(record_property):
    wall = box((400, 400, 300), (0, 0, 180), tissue="wall", name="wall", priority=2)
    scene = scene_of([block("empty"), wall], EMPTY, tissue("wall", density_kg_m3=1300, scatter_density=0.0))
    with_them, without = (
        np.abs(renderer(scene, probe_of("linear", name), interface_gain_db=0.0).baseband(np.eye(4))[0, 64]).max()
        for name in ("rectangular", "gaussian")
    )
    record_property("off_db", 20 * np.log10(with_them / without))
    assert with_them == pytest.approx(without, rel=0.012)  # 0.1 dB


def test_what_comes_through_side_lobes_stays_with_the_tissue(record_property):
    probe = probe_of("linear", "hamming")
    r = renderer(uniform(FLESH), probe)
    table = r._aperture._lobes

    def clutter(right_mm, frame=0):
        pose = np.eye(4)
        pose[0, 3] = right_mm
        lines = []
        for r._aperture._lobes in (table, None):
            lines.append(r.baseband(pose, frames=[frame])[0])
        return (lines[0] - table.kept * lines[1])[40:-40, 300:-50], lines[1][40:-40, 300:-50]

    at_rest, tissue_at_rest = clutter(0)
    np.testing.assert_array_equal(at_rest, clutter(0, frame=9)[0])
    by_a_line = clutter(probe.linear_pitch_mm)[0]
    record_property("by_a_line", correlation(at_rest[1:], by_a_line[:-1]))
    assert correlation(at_rest[1:], by_a_line[:-1]) > 0.99
    for step_mm in (0.1, 0.25):
        moved, tissue_moved = clutter(step_mm)
        off = correlation(at_rest, moved) - correlation(tissue_at_rest, tissue_moved)
        record_property("off", off)
        assert off == pytest.approx(0, abs=0.05)


def correlation(a, b):
    return np.abs((a * b.conj()).sum()) / np.sqrt((np.abs(a) ** 2).sum() * (np.abs(b) ** 2).sum())
