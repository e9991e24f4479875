"""The beam of an aperture: brightness, statistics and steadiness of speckle and walls, against closed forms.

What a test records is what it judges.
"""

from __future__ import annotations

import functools
from itertools import pairwise

import numba
import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation
from support.aperture import beside_each_other, block, rod
from support.jobs import ball_plan
from support.phantoms import decibel, renderer, scene_of, small_linear, tissue, uniform
from support.scenes import box, surface

from ussim.dataset import job
from ussim.dataset.store import Dataset
from ussim.probe.beam import elevation_sigmas_mm, lateral_sigma_mm
from ussim.probe.imaging import Imaging
from ussim.probe.probe import ConvexProbe, LinearProbe, PhasedProbe, make_probe
from ussim.probe.quality import HQ, LQ, Quality
from ussim.render.aperture.scatterers import INTEGERS, NUMBERS, STRIP, march_block, strips_of
from ussim.render.renderer import Renderer
from ussim.settings import apply_values

DENSE = tissue("dense")
RAYLEIGH_SNR = np.sqrt(np.pi / (4 - np.pi))  # 1.913
WALL_Z_MRAYL, CLEAR_Z_MRAYL = 1.8, 1.54
REFLECTION = (WALL_Z_MRAYL - CLEAR_Z_MRAYL) / (WALL_Z_MRAYL + CLEAR_Z_MRAYL)
SIZES = {"image_height": 64, "image_width": 64}
PROBES = [
    ConvexProbe(scanlines=96, axial_samples=1536, **SIZES),
    LinearProbe(scanlines=96, width_mm=40, axial_samples=1024, **SIZES),
    PhasedProbe(scanlines=96, axial_samples=1536, **SIZES),
]
VARIANTS = [
    {"quality": Quality(rays=32, layers=1)},
    {"quality": Quality(rays=128, layers=1)},
    {"quality": Quality(rays=1, layers=3)},
    {"quality": HQ},
    {"quality": Quality(rays=8, layers=9)},
    {"scanlines": 64},
    {"scanlines": 256},
    {"scanlines": 512},
    {"axial_samples": 512},
    {"axial_samples": 2048},
    {"scatter_pitch_mm": 0.05},
    {"scatter_pitch_mm": 0.07},
    {"scatter_pitch_mm": 0.2},
]


def name_of(variant):
    values = variant.get("quality")
    return f"{values.rays}x{values.layers}" if values else "-".join(map(str, *variant.items()))


def lines(scene, probe, quality=LQ, frames=4, seed=0, **imaging):
    """Complex lines off the ends of the array, (frames, lines, samples)."""
    r = renderer(scene, probe, seed=seed, **imaging)
    edge = probe.scanlines // 8
    return r.baseband(beside_each_other(frames), quality)[:, edge:-edge]


# Speckle ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("probe", PROBES, ids=lambda p: p.kind)
def test_uniform_tissue_is_equally_bright_at_every_depth_and_alike_in_both_qualities(probe, record_property):
    low, high = (lines(uniform(DENSE), probe, quality) for quality in (LQ, HQ))
    # Off the plane a scatterer's depth may be rounded to the next sample, no more.
    assert correlation(low, high) > 0.9999
    level = over_depth_db(probe, (np.abs(low) ** 2).mean(axis=(0, 1)))
    record_property("span_db", np.ptp(level))
    assert np.ptp(level) < 1.0


def over_depth_db(probe, power):
    """Level of a mean line in bands of depth from 5 mm on."""
    edges = np.searchsorted(probe.sample_depths_mm, [5, 7, 10, 15, *np.arange(20, probe.depth_mm - 1, 10)])
    return decibel([power[a:b].mean() for a, b in pairwise(edges)])


@pytest.mark.parametrize("quality", [LQ, HQ], ids=["lq", "hq"])
@pytest.mark.parametrize("probe", PROBES, ids=lambda p: p.kind)
def test_attenuating_tissue_is_equally_bright_over_depth_and_angle_after_the_gain(probe, quality, record_property):
    r = renderer(uniform(tissue("lossy", attenuation_db_cm_mhz=0.5)), probe, attenuation_scale=0.25)
    gain = 10 ** (r.fit_tgc(np.eye(4)) / 10)
    power = (np.abs(r.baseband(beside_each_other(3), quality)) ** 2 * gain).mean(axis=0)
    across = decibel(power[:, probe.sample_depths_mm > 5].reshape(16, 6, -1).mean(axis=(1, 2)))  # up to the outermost
    for name, level in (("depth_db", over_depth_db(probe, power.mean(axis=0))), ("angle_db", across)):
        record_property(name, np.ptp(level))
        assert np.ptp(level) < 1.0, name


def test_high_quality_is_as_thick_as_the_elevational_beam(record_property):
    # Tissue on one side of a plane that leaves the image plane slowly: its edge passes the slice from line to line.
    probe = LinearProbe(
        scanlines=128, width_mm=40, depth_mm=150, axial_samples=1536, focus_mm=70, elevation_aperture_mm=12,
        elevation_focus_mm=70, apodisation="gaussian", **SIZES,
    )  # fmt: skip
    slope, empty = 0.3, tissue("empty", scatter_density=0.0)
    half = trimesh.creation.box(extents=(800, 800, 800))
    half.apply_translation([0, 400, 0])
    half.apply_transform(trimesh.transformations.rotation_matrix(np.arctan(slope), [0, 0, 1]))
    cut = scene_of([block("empty"), surface(half, name="half", tissue="dense", priority=2)], DENSE, empty)
    poses = np.stack([np.eye(4)] * 3)
    poses[:, :2, 3] = np.outer([-30, 0, 30], [1, slope])  # other scatterers, the same geometry

    def power(scene):
        return (np.abs(renderer(scene, probe).baseband(poses, HQ)) ** 2).mean(axis=0)

    part, whole = power(cut), power(uniform(DENSE))
    edge_mm = (np.arange(128) - 63.5) * probe.linear_pitch_mm * np.sin(np.arctan(slope))
    on_lens, in_focus = elevation_sigmas_mm(probe.wavelength_mm, 12, 70)
    for z in (5, 20, 40, 70, 100, 140):
        near = np.abs(probe.sample_depths_mm - z) < 2
        share = part[:, near].mean(axis=1) / whole[:, near].mean(axis=1)  # of the slice beyond the edge
        beyond = np.where(edge_mm > 0, share, 1 - share)
        rms_mm = np.sqrt(2 * np.trapezoid(np.abs(edge_mm) * beyond, edge_mm))
        sigma_mm = np.hypot(on_lens * (1 - z / 70), in_focus * z / 70) / np.sqrt(2)  # of the beam's power
        record_property("off_percent", 100 * (rms_mm / sigma_mm - 1))
        assert rms_mm == pytest.approx(sigma_mm, rel=0.15), z


@pytest.mark.parametrize("quality", [LQ, HQ], ids=["lq", "hq"])
def test_envelope_snr_of_dense_scatterers_is_that_of_rayleigh_speckle(quality, record_property):
    probe = ConvexProbe(scanlines=256, **SIZES)
    envelope = np.abs(lines(uniform(DENSE), probe, quality, frames=2))
    for depth_mm in (30, 60, 90, 120):
        at = round(depth_mm / probe.sample_mm)
        some = envelope[:, :, at - 200 : at + 200]
        record_property("snr", some.mean() / some.std())
        assert some.mean() / some.std() == pytest.approx(RAYLEIGH_SNR, abs=0.05)


@functools.cache
def speckle_db(quality=LQ, scanlines=128, axial_samples=1024, scatter_pitch_mm=0.1):
    probe = small_linear(scanlines=scanlines, axial_samples=axial_samples)
    frames = 6 if scanlines * axial_samples <= 2**17 else 2
    iq = lines(uniform(DENSE), probe, quality, frames, scatter_pitch_mm=scatter_pitch_mm)
    return float(decibel((np.abs(iq[..., axial_samples // 5 : -axial_samples // 10]) ** 2).mean()))


@pytest.mark.parametrize("variant", VARIANTS, ids=name_of)
def test_speckle_is_as_bright_whatever_the_rays_layers_lines_samples_and_lattice(variant, record_property):
    off_db = speckle_db(**variant) - speckle_db()
    record_property("off_db", off_db)
    assert off_db == pytest.approx(0, abs=0.5)


@pytest.mark.parametrize("kind", [ConvexProbe, PhasedProbe], ids=["convex", "phased"])
def test_speckle_of_a_sector_is_as_bright_at_every_depth_whatever_its_lines(kind, record_property):
    # The lines of a phased array stand on one point: closer than any pitch of the lattice near the face.
    def level(scanlines):
        probe = kind(scanlines=scanlines, axial_samples=1024, **SIZES)
        power = (np.abs(lines(uniform(DENSE), probe, frames=max(2, 512 // scanlines))) ** 2).mean(axis=(0, 1))
        edges = np.searchsorted(probe.sample_depths_mm, [2, 7, 20, 60, 140])
        return np.array([decibel(power[a:b].mean()) for a, b in pairwise(edges)])

    few, usual, many = (level(scanlines) for scanlines in (64, 128, 512))
    for off_db in (few - usual, many - usual):
        record_property("off_db", np.abs(off_db).max())
        assert off_db == pytest.approx(0, abs=0.5)


@pytest.mark.parametrize("tilt_deg", [0, 30])
@pytest.mark.parametrize(
    "quality", [LQ, Quality(rays=32, layers=1), HQ, Quality(rays=512, layers=1)], ids=["lq", "32x1", "hq", "512x1"]
)
def test_a_fuzzy_seam_between_two_names_of_one_tissue_does_not_show(quality, tilt_deg, record_property):
    one, other = (tissue(name, thickness_mm=0.4, roughness_exponent=30) for name in ("one", "other"))
    half = trimesh.creation.box(extents=(400, 400, 300))
    half.apply_translation([0, 0, 150])
    half.apply_transform(trimesh.transformations.rotation_matrix(np.radians(tilt_deg), [0, 1, 0]))
    half.apply_translation([0, 0, 30])
    seam = surface(half, name="half", tissue="other", priority=2)
    probe = small_linear()
    around = slice(300, 900) if tilt_deg else np.abs(probe.sample_depths_mm - 30.2) < 0.5

    def power(*surfaces):
        iq = lines(scene_of([block("one"), *surfaces], one, other), probe, quality, frames=2)
        return (np.abs(iq[..., around]) ** 2).mean()

    off_db = decibel(power(seam) / power())
    record_property("off_db", off_db)
    assert off_db == pytest.approx(0, abs=0.3)


# Motion -------------------------------------------------------------------------------------------


def correlation(a, b):
    return np.abs((a * b.conj()).sum()) / np.sqrt((np.abs(a) ** 2).sum() * (np.abs(b) ** 2).sum())


@pytest.mark.parametrize("quality", [LQ, HQ], ids=["lq", "hq"])
def test_speckle_stays_with_the_tissue_when_the_probe_moves(quality, record_property):
    # Two Gaussian beams of standard deviation σ, Δ apart, have exp(−Δ²/(4σ²)) in common.
    probe = LinearProbe(
        scanlines=96, width_mm=40, depth_mm=90, axial_samples=1536, focus_mm=70, elevation_aperture_mm=12,
        elevation_focus_mm=70, **SIZES,
    )  # fmt: skip
    r = renderer(uniform(DENSE), probe)

    def moved(x=0.0, y=0.0, z=0.0):
        poses = beside_each_other(3)
        poses[:, :3, 3] += (x, y, z)
        return r.baseband(poses, quality)[:, 12:-12]

    depth, at_rest = probe.sample_depths_mm, moved()
    middle = (depth > 50) & (depth < 80)
    on_lens, in_focus = elevation_sigmas_mm(probe.wavelength_mm, 12, 70)
    elevational = np.hypot(on_lens * (1 - depth[middle] / 70), in_focus * depth[middle] / 70)
    lateral = lateral_sigma_mm(
        depth[middle], probe.wavelength_mm, probe.aperture_mm, probe.f_number, 70, probe.apodisation
    )
    for axis, sigma, least_at in (
        ("y", elevational, {0.1: 0.95, 0.4: 0.72}),
        ("x", lateral, {0.1: 0.95, 0.25: 0.88, 0.5: 0.68}),
    ):
        for step, least in least_at.items():
            kept = correlation(at_rest[..., middle], moved(**{axis: step})[..., middle])
            expected = np.exp(-((step / sigma) ** 2) / 4).mean()
            record_property(f"off_{axis}", kept - expected)
            assert kept == pytest.approx(expected, abs=0.05), (axis, step)
            assert kept >= least, (axis, step)
    for samples in (1, 10):
        nearer = moved(z=samples * probe.sample_mm)  # the same echoes, earlier by so many samples
        shifted = correlation(at_rest[..., middle], np.roll(nearer, samples, axis=2)[..., middle])
        stayed = correlation(at_rest[..., middle], nearer[..., middle])
        record_property("shifted", shifted)
        assert shifted > 0.98
        by_pulse = np.exp(-((samples * probe.sample_mm / probe.axial_sigma_mm) ** 2) / 4)
        assert stayed == pytest.approx(by_pulse, abs=0.05)


@pytest.mark.parametrize("axes", ["y", "yz", "xyz"])
def test_scatterers_stay_where_they_are_when_the_probe_turns_to_another_axis_of_the_lattice(axes, record_property):
    # On either side of 45° lines go through the lattice along another axis, rows along another one still.
    probe = small_linear()
    near = [45.0, 35.264, 20.0][: len(axes)]

    def line(turn_deg):
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_euler(axes, [near[0] + turn_deg, *near[1:]], degrees=True).as_matrix()
        return renderer(uniform(DENSE), probe).baseband(pose)[0, 50:78, 100:300]

    kept = correlation(line(-0.05), line(0.05))
    record_property("kept", kept)
    assert kept > 0.9


def test_speckle_is_the_same_in_whatever_blocks_and_lists_it_is_summed():
    fluid = tissue("fluid", scatter_density=0.0)
    r = renderer(scene_of([block("dense"), rod(4, 25, "fluid")], DENSE, fluid), small_probe())
    pose = np.eye(4, dtype=np.float32)
    pose[:3, :3] = Rotation.from_euler("yz", [20, 30], degrees=True).as_matrix()
    r.baseband(pose, LQ)
    beam, work = r._aperture.beam(LQ), r._aperture.arrays(1, LQ)
    whole, pieces = (np.zeros((2, *work.real.shape), np.float32) for _ in range(2))
    lines, samples = work.real.shape
    strips = range(0, int(strips_of(lines)), 3)
    for strip in strips:
        for sums, step, room in ((whole, samples, 4096), (pieces, 100, 3)):
            lists = [np.empty((INTEGERS, room), np.int32), np.empty(room, np.uint32)]
            lists += [np.empty((NUMBERS, room), np.float32), np.empty((STRIP, room), np.int32)]
            lists += [np.empty((2, STRIP, room), np.float32)]
            for first in range(0, samples, step):
                march_block(
                    strip, first, min(samples, first + step), r._media, beam, pose[None], work.sheets, work.seen,
                    *sums, *lists,
                )  # fmt: skip
    marched = [line for line in range(lines) if line // STRIP in strips]
    assert whole[:, marched].any(axis=2).all()
    np.testing.assert_array_equal(whole, pieces)


# Walls --------------------------------------------------------------------------------------------


def wall_lines(thickness_mm=0.0, z_mrayl=WALL_Z_MRAYL, quality=LQ, scanlines=128, axial_samples=1024, **imaging):
    """Lines of a plane wall at 30 mm that faces the probe, behind a clear fluid."""
    clear = tissue("clear", scatter_density=0.0)
    wall = tissue("wall", density_kg_m3=z_mrayl / 1.54 * 1000, scatter_density=0.0, thickness_mm=thickness_mm)
    face = box((400, 400, 300), (0, 0, 180), tissue="wall", name="wall", priority=2)
    probe = small_linear(scanlines=scanlines, axial_samples=axial_samples)
    imaging = {"interface_gain_db": 0.0, **imaging}
    return lines(scene_of([block("clear"), face], clear, wall), probe, quality, 3, **imaging), probe


@functools.cache
def wall_db(thickness_mm, **variant):
    """Energy of the echo of a wall."""
    iq, probe = wall_lines(thickness_mm, **variant)
    return float(decibel((np.abs(iq) ** 2).sum(axis=2).mean() * probe.sample_mm))


@pytest.mark.parametrize("thickness_mm", [0.0, 0.2])
@pytest.mark.parametrize("variant", VARIANTS, ids=name_of)
def test_a_wall_is_as_bright_whatever_the_rays_layers_lines_samples_and_lattice(variant, thickness_mm, record_property):
    off_db = wall_db(thickness_mm, **variant) - wall_db(thickness_mm)
    record_property("off_db", off_db)
    assert off_db == pytest.approx(0, abs=0.5)


@pytest.mark.parametrize("scanlines", [64, 256, 512, 1024])
def test_a_wall_over_speckle_is_as_bright_whatever_the_lines(scanlines, record_property):
    off_db = wall_db(0.0, scanlines=scanlines) - speckle_db(scanlines=scanlines) - (wall_db(0.0) - speckle_db())
    record_property("off_db", off_db)
    assert off_db == pytest.approx(0, abs=0.5)


@pytest.mark.parametrize("thickness_mm", [0.0, 0.2])
def test_a_wall_around_a_convex_probe_is_as_bright_whatever_its_lines(thickness_mm, record_property):
    outside = tissue("outside", density_kg_m3=1200, scatter_density=0.0, thickness_mm=thickness_mm)
    inside = rod(70, -40, "clear", 1024)  # everywhere 30 mm from the face
    scene = scene_of([inside], tissue("clear", scatter_density=0.0), outside, background="outside")

    def level(scanlines, quality):
        probe = ConvexProbe(scanlines=scanlines, depth_mm=60, axial_samples=1024, **SIZES)
        iq = lines(scene, probe, quality, frames=1, interface_gain_db=0.0)
        return decibel((np.abs(iq) ** 2).sum(axis=2).mean())

    usual = level(128, LQ)
    for scanlines, quality in ((64, LQ), (256, LQ), (512, LQ), (1024, LQ), (128, HQ)):
        record_property("off_db", level(scanlines, quality) - usual)
        assert level(scanlines, quality) == pytest.approx(usual, abs=0.5), (scanlines, quality)


def test_roughness_takes_no_energy_from_a_wall_that_faces_the_probe(record_property):
    off_db = wall_db(0.2) - wall_db(0.0)
    record_property("off_db", off_db)
    assert off_db == pytest.approx(0, abs=0.5)


@pytest.mark.parametrize("quality", [LQ, HQ], ids=["lq", "hq"])
def test_a_smooth_wall_echoes_its_pressure_reflectance(quality, record_property):
    def level(z_mrayl):
        return np.abs(wall_lines(z_mrayl=z_mrayl, quality=quality, axial_samples=4096)[0]).max(axis=2).mean()

    whole = level(1e-3)  # to a gas: everything comes back
    for z in (1.6, 1.8, 7.8):
        expected = abs(z - CLEAR_Z_MRAYL) / (z + CLEAR_Z_MRAYL)
        off_db = 20 * np.log10(level(z) / whole / expected)
        record_property("off_db", off_db)
        assert off_db == pytest.approx(0, abs=0.3), z


def test_the_echo_of_a_wall_has_the_sign_of_its_step():
    hard, soft = (wall_lines(z_mrayl=z, axial_samples=4096)[0].mean(axis=(0, 1)) for z in (1.7, 1.4))
    peak = np.abs(hard).argmax()
    assert np.angle(-hard[peak] / soft[peak]) == pytest.approx(0, abs=0.05)


# What a frame depends on ---------------------------------------------------------------------------


def rough_scene():
    """Speckle, a rough wall and a ball of another tissue."""
    flesh = tissue("flesh", roughness_exponent=30, thickness_mm=0.2, attenuation_db_cm_mhz=0.5)
    wall = tissue("wall", density_kg_m3=1300, roughness_exponent=20, thickness_mm=0.3)
    face = box((400, 400, 300), (0, 0, 170), tissue="wall", name="wall", priority=2)
    ball = trimesh.creation.icosphere(subdivisions=3, radius=5)
    ball.apply_translation([2, 0, 12])
    return scene_of([block(), face, surface(ball, name="ball", tissue="wall", priority=3)], flesh, wall)


def small_probe():
    return small_linear(scanlines=48, axial_samples=512, depth_mm=30)


QUALITIES = {"lq": LQ, "4x3": Quality(rays=4, layers=3)}


@pytest.mark.parametrize("quality", QUALITIES.values(), ids=list(QUALITIES))
def test_a_frame_depends_on_its_pose_and_number_alone(quality):
    r = renderer(rough_scene(), small_probe(), noise_db=-60.0, interface_gain_db=0.0)
    poses = beside_each_other(3, 0.7)
    together = r.render(poses, quality, frames=[4, 5, 6])
    backwards = r.render(poses[::-1], quality, frames=[6, 5, 4])[::-1]
    alone = np.concatenate([r.render(poses[k], quality, frames=[4 + k]) for k in range(3)])
    np.testing.assert_array_equal(together, backwards)
    np.testing.assert_array_equal(together, alone)


def test_the_number_of_threads_changes_nothing():
    r = renderer(rough_scene(), small_probe(), interface_gain_db=0.0)
    before, all_threads = numba.get_num_threads(), r.baseband(np.eye(4), QUALITIES["4x3"])
    try:
        numba.set_num_threads(1)
        np.testing.assert_array_equal(r.baseband(np.eye(4), QUALITIES["4x3"]), all_threads)
    finally:
        numba.set_num_threads(before)


@pytest.mark.parametrize("quality", QUALITIES.values(), ids=list(QUALITIES))
def test_the_frame_number_changes_the_noise_only(quality):
    quiet = renderer(rough_scene(), small_probe(), interface_gain_db=0.0)
    np.testing.assert_array_equal(
        quiet.baseband(np.eye(4), quality, frames=[1]), quiet.baseband(np.eye(4), quality, frames=[2])
    )
    noisy = renderer(rough_scene(), small_probe(), interface_gain_db=0.0, noise_db=-10.0)
    first, second = noisy.render(np.stack([np.eye(4)] * 2), quality, frames=[1, 2])
    assert (first != second).mean() > 0.5


def test_the_seed_changes_the_speckle_and_not_its_brightness(record_property):
    one, two = (lines(uniform(DENSE), small_linear(), seed=seed)[..., 200:900] for seed in (1, 2))
    record_property("correlation", correlation(one, two))
    assert correlation(one, two) < 0.05
    assert decibel((np.abs(one) ** 2).mean() / (np.abs(two) ** 2).mean()) == pytest.approx(0, abs=0.3)


def test_a_store_renders_again_from_its_header(tmp_path):
    plan = ball_plan(2, settings=("hq.rays=4",))
    store = job.run(plan, tmp_path / "a.zarr").path
    header = Dataset.open(store).header
    again = Renderer(
        plan.scene, apply_values(make_probe(header.probe["kind"]), without_kind(header.probe), "probe"),
        Imaging(**header.imaging), seed=header.seed, tgc_db=np.array(header.tgc_db, np.float32),
    )  # fmt: skip
    data = Dataset.open(store)
    for name in ("lq", "hq"):
        images = again.render(data.poses, Quality(**header.qualities[name]))
        assert images.std() > 1
        np.testing.assert_array_equal(images, data.array(name)[:])


def without_kind(probe):
    return {field: value for field, value in probe.items() if field != "kind"}
