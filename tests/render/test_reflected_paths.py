"""Reverberation and mirror images of the aperture's beam, against closed forms.

What a test records is what it judges.
"""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from support.aperture import beside_each_other, block
from support.phantoms import decibel, renderer, scene_of, small_linear, tissue
from support.scenes import box, surface

from ussim.probe.beam import elevation_sigmas_mm, lateral_sigma_mm
from ussim.probe.probe import ConvexProbe
from ussim.probe.quality import HQ, LQ, Quality

CLEAR = tissue("clear", scatter_density=0.0)
FLESH = tissue("flesh")
GAS = tissue("gas", density_kg_m3=0.5, scatter_density=0.0)
SLAB_MM, MIRROR_MM = (6.0, 14.0), 30.0
QUALITIES = [LQ, Quality(rays=32, layers=1), Quality(rays=512, layers=1), Quality(rays=1, layers=3), HQ]
OF_QUALITY = {"argvalues": QUALITIES, "ids": [f"{q.rays}x{q.layers}" for q in QUALITIES]}


def impedance(name, mrayl, **values):
    return tissue(name, density_kg_m3=mrayl / 1.54 * 1000, scatter_density=0.0, **values)


def below(depth_mm, material, priority):
    """All that lies deeper than a depth."""
    return box((600, 600, 300), (0, 0, depth_mm + 150), tissue=material, name=material, priority=priority)


def side_by_side(frames):
    """Poses so far apart that mirrors are met at other places, and still in front of these surfaces."""
    return beside_each_other(frames, 4.0)


def cylinder(radius_mm, depth_mm, material, name="cylinder", priority=2):
    """A smooth cylinder across the image plane, so long that its ends do not count."""
    mesh = trimesh.creation.cylinder(radius=radius_mm, height=1e4, sections=2048)
    mesh.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0]))
    mesh.apply_translation([0, 0, depth_mm])
    return surface(mesh, name=name, tissue=material, priority=priority)


def slab(priority=3):
    """Flesh between the probe and a mirror."""
    low, high = SLAB_MM
    return box((600, 600, high - low), (0, 0, (low + high) / 2), tissue="flesh", name="slab", priority=priority)


def in_mirror(mirror, *tissues, quality=LQ, probe=None, frames=4, lines=slice(16, -16), **imaging):
    """Power of the slab's middle as the mirror at MIRROR_MM shows it; ``mirror`` is a surface."""
    probe = probe or small_linear(depth_mm=60, axial_samples=1229)
    given = {t.name: t for t in (CLEAR, FLESH, GAS, *tissues)}
    r = renderer(scene_of([block("clear"), slab(), mirror], *given.values()), probe, **imaging)
    iq = r.baseband(side_by_side(frames), quality)[:, lines]
    shown = 2 * MIRROR_MM - probe.sample_depths_mm
    return (np.abs(iq[..., (shown > SLAB_MM[0] + 2) & (shown < SLAB_MM[1] - 2)]) ** 2).mean()


# Where, how strong ----------------------------------------------------------------------------------


@pytest.mark.parametrize("quality", [LQ, HQ], ids=["lq", "hq"])
def test_two_parallel_plates_reverberate(quality, record_property):
    near, far, z_near = 10.0, 22.0, 4.8
    scene = scene_of(
        [block("clear"), below(near, "near", 2), below(far, "gas", 3)], CLEAR, impedance("near", z_near), GAS
    )
    probe = small_linear(axial_samples=2048)
    r = renderer(scene, probe, interface_gain_db=0.0)
    line = r.baseband(side_by_side(10), quality)[:, 12:-12].mean(axis=(0, 1))
    b = (z_near - 1.54) / (z_near + 1.54)
    depth = probe.sample_depths_mm

    def echo(at_mm):
        """Depth, amplitude and the phase that the depth does not explain."""
        k = np.abs(line * (np.abs(depth - at_mm) < 0.5)).argmax()
        return depth[k], abs(line[k]), line[k] * np.exp(2j * np.pi * 2 * 8 / 1.54 * at_mm)

    _, whole, turned = echo(near)
    unit = whole / b, turned / abs(turned)
    # The far plate is a gas, r = −1; from below, the near one has the other sign. Twice through it: 1 − b².
    for at_mm, expected in ((2 * far - near, -(1 - b * b) * b), (3 * far - 2 * near, -(1 - b * b) * b * b)):
        at, size, phase = echo(at_mm)
        off_db = 20 * np.log10(size / unit[0] / abs(expected))
        record_property("off_db", off_db)
        assert at == pytest.approx(at_mm, abs=probe.sample_mm)
        assert off_db == pytest.approx(0, abs=1.0), at_mm
        assert np.angle(phase / unit[1] * np.sign(expected)) == pytest.approx(0, abs=0.2), at_mm


@pytest.mark.parametrize("quality", [LQ, HQ], ids=["lq", "hq"])
def test_a_mirror_at_45_degrees_shows_what_lies_beside(quality, record_property):
    # The scanline at x meets the mirror at depth 25 + x, and from there looks along x at a wall of flesh 10 mm off the
    # axis: at x + 25 + 10 − x = 35 mm on every line.
    mirror = trimesh.creation.box(extents=(600, 600, 200))
    mirror.apply_translation([0, 0, 100])
    mirror.apply_transform(trimesh.transformations.rotation_matrix(-np.pi / 4, [0, 1, 0]))
    mirror.apply_translation([0, 0, 25])
    beside = box((300, 600, 600), (160, 0, 0), tissue="flesh", name="beside", priority=2)
    hung = surface(mirror, name="mirror", tissue="gas", priority=3)
    probe = small_linear(width_mm=10.0, scanlines=64)

    def power(*surfaces):
        scene = scene_of([block("clear"), *surfaces], CLEAR, FLESH, GAS)
        lines = renderer(scene, probe).baseband(side_by_side(6), quality)[:, 16:48]
        return (np.abs(lines) ** 2).mean(axis=(0, 1))

    mirrored, direct = power(hung, beside), power(below(35.0, "flesh", 2))
    depth = probe.sample_depths_mm
    assert mirrored[depth < 34].max() < 1e-6 * direct.max()
    edge = depth[(mirrored > direct[depth > 36].mean() / 4).argmax()]
    assert edge == pytest.approx(35, abs=0.3)
    off_db = decibel(mirrored[depth > 36].mean() / direct[depth > 36].mean())
    record_property("off_db", off_db)
    # Tilted rays of the aperture are interpolated between scanlines, some of which have met the mirror already.
    assert off_db == pytest.approx(0, abs=1.0)


@pytest.mark.parametrize("quality", [LQ, HQ], ids=["lq", "hq"])
def test_a_plane_mirror_shows_tissue_as_bright_as_it_is_times_its_reflectance(quality, record_property):
    z = 6.0
    direct = in_mirror(below(MIRROR_MM, "gas", 2), quality=quality)
    partly = in_mirror(below(MIRROR_MM, "hard", 2), impedance("hard", z), quality=quality)
    expected = 40 * np.log10((z - 1.54) / (z + 1.54))
    record_property("off_db", decibel(partly / direct) - expected)
    assert decibel(partly / direct) == pytest.approx(expected, abs=0.4)
    # The slab itself, seen directly, has the power of its scatterers: 1 per 0.1 mm.
    assert decibel(direct / in_slab(quality)) == pytest.approx(0, abs=0.5)


def in_slab(quality):
    probe = small_linear(depth_mm=60, axial_samples=1229)
    iq = renderer(scene_of([block("clear"), slab()], CLEAR, FLESH), probe).baseband(side_by_side(4), quality)
    depth = probe.sample_depths_mm
    return (np.abs(iq[:, 16:-16, (depth > SLAB_MM[0] + 2) & (depth < SLAB_MM[1] - 2)]) ** 2).mean()


# What a mirror takes away ---------------------------------------------------------------------------


def seen_at_mm():
    """Ways behind the mirror at which the slab is looked at, (n,)."""
    return MIRROR_MM - np.linspace(SLAB_MM[0] + 2, SLAB_MM[1] - 2, 50)


@pytest.mark.parametrize("radius", [25.0, 60.0])
@pytest.mark.parametrize("quality", [LQ, HQ], ids=["lq", "hq"])
def test_a_curved_mirror_darkens_as_it_spreads_the_tube_of_rays(radius, quality, record_property):
    middle = {"quality": quality, "lines": slice(58, 70), "frames": 16}
    flat = in_mirror(below(MIRROR_MM, "gas", 2), **middle)
    bent = in_mirror(cylinder(radius, MIRROR_MM + radius, "gas"), **middle)
    ways = seen_at_mm()
    whole = MIRROR_MM + ways
    expected = decibel(((whole / (whole + 2 * MIRROR_MM * ways / radius)) ** 2).mean())
    record_property("off_db", decibel(bent / flat) - expected)
    assert decibel(bent / flat) == pytest.approx(expected, abs=0.3)


@pytest.mark.parametrize("quality", [LQ, HQ], ids=["lq", "hq"])
def test_a_rough_mirror_blurs_what_it_shows(quality, record_property):
    exponent = 1500.0
    rough = tissue("gas", density_kg_m3=0.5, scatter_density=0.0, roughness_exponent=exponent)
    probe = small_linear(depth_mm=60, axial_samples=1229)
    smooth, blurred = (in_mirror(below(MIRROR_MM, "gas", 2), t, quality=quality, frames=6) for t in (GAS, rough))
    ways = seen_at_mm()
    depth, spread = MIRROR_MM + ways, 4 / (exponent + 1) * ways**2
    lateral = lateral_sigma_mm(
        depth, probe.wavelength_mm, probe.aperture_mm, probe.f_number, probe.focus_mm, probe.apodisation
    )
    on_lens, in_focus = elevation_sigmas_mm(probe.wavelength_mm, probe.elevation_aperture_mm, probe.elevation_focus_mm)
    along = depth / probe.elevation_focus_mm
    slice_ = np.hypot(on_lens * (1 - along), in_focus * along)
    expected = decibel((1 / np.sqrt((1 + spread / lateral**2) * (1 + spread / slice_**2))).mean())
    record_property("off_db", decibel(blurred / smooth) - expected)
    assert decibel(blurred / smooth) == pytest.approx(expected, abs=0.3)


@pytest.mark.parametrize("width", [2.0, 4.0])
def test_a_narrow_mirror_serves_a_share_of_the_aperture_there_and_back(width, record_property):
    strip = box((width, 600, 10), (0, 0, MIRROR_MM + 5), tissue="gas", name="strip", priority=2)
    probe = small_linear(depth_mm=60, axial_samples=1229, focus_mm=30.0)
    spread = lateral_sigma_mm(
        np.array([50.0]), probe.wavelength_mm, probe.aperture_mm, probe.f_number, probe.focus_mm, probe.apodisation
    ).item()
    middle = {"probe": probe, "lines": slice(63, 65), "frames": 48}
    whole, some = in_mirror(below(MIRROR_MM, "gas", 2), **middle), in_mirror(strip, **middle)
    ways = seen_at_mm()
    half = ways * np.minimum(probe.aperture_mm / 2 / (MIRROR_MM + ways), 1 / (2 * probe.f_number))
    expected = decibel((np.minimum(1, width / 2 / half) ** 4).mean())
    record_property("off_db", decibel(some / whole) - expected)
    assert spread < width  # the strip is as wide as the beam of the lines that are judged
    assert decibel(some / whole) == pytest.approx(expected, abs=1.5)


# Power, count, chance --------------------------------------------------------------------------------


@pytest.mark.parametrize("quality", **OF_QUALITY)
@pytest.mark.parametrize("z_mrayl", [6.0, 1.75], ids=["strong", "weak"])
def test_mirrored_tissue_is_as_bright_whatever_the_rays_and_layers(z_mrayl, quality, record_property):
    # A weak mirror sends out one path in some fifty places: their mean must be what it reflects.
    material = impedance("hard", z_mrayl, roughness_exponent=1500.0)
    mirror = below(MIRROR_MM, "hard", 2)
    level = in_mirror(mirror, material, quality=quality, frames=6 if z_mrayl > 2 else 40)
    gas = tissue("gas", density_kg_m3=0.5, scatter_density=0.0, roughness_exponent=1500.0)
    whole = in_mirror(below(MIRROR_MM, "gas", 2), gas, frames=6)
    off_db = decibel(level / whole) - 40 * np.log10((z_mrayl - 1.54) / (z_mrayl + 1.54))
    record_property("off_db", off_db)
    assert off_db == pytest.approx(0, abs=0.3 if z_mrayl > 2 else 0.5)


def test_both_qualities_see_the_same_speckle_in_a_rough_mirror(record_property):
    rough = impedance("hard", 6.0, roughness_exponent=1500.0)
    scene = scene_of([block("clear"), slab(), below(MIRROR_MM, "hard", 2)], CLEAR, FLESH, rough)
    probe = small_linear(depth_mm=60, axial_samples=1229)
    behind = probe.sample_depths_mm > MIRROR_MM + 1
    low, high = (renderer(scene, probe).baseband(side_by_side(4), quality)[..., behind] for quality in (LQ, HQ))
    kept = np.abs((low * high.conj()).sum()) / np.sqrt((np.abs(low) ** 2).sum() * (np.abs(high) ** 2).sum())
    record_property("correlation", kept)
    assert kept > 0.95


@pytest.mark.parametrize("scanlines", [64, 512])
def test_mirrored_tissue_is_as_bright_whatever_the_lines(scanlines, record_property):
    mirror = below(MIRROR_MM, "gas", 2)

    def level(count):
        probe = small_linear(scanlines=count, depth_mm=60, axial_samples=1229)
        return in_mirror(mirror, probe=probe, lines=slice(count // 8, -count // 8))

    off_db = decibel(level(scanlines) / level(128))
    record_property("off_db", off_db)
    assert off_db == pytest.approx(0, abs=0.3)


@pytest.mark.parametrize("kind", ["linear", "convex"])
def test_paths_end_on_the_face_of_the_probe(kind):
    # Behind the probe lies flesh; a mirror at 20 mm would show it from 40 mm on.
    if kind == "linear":
        probe = small_linear()
        behind = box((600, 600, 200), (0, 0, -101), tissue="flesh", name="behind", priority=2)
        scene = scene_of([block("clear"), behind, below(20.0, "gas", 3)], CLEAR, FLESH, GAS)
    else:
        probe = ConvexProbe(radius_mm=60, scanlines=64, depth_mm=50, axial_samples=1024)
        around, behind = cylinder(80, -60, "clear", "around"), cylinder(59, -60, "flesh", "behind", 3)
        scene = scene_of([around, behind], CLEAR, FLESH, GAS, background="gas")
    lines = np.abs(renderer(scene, probe).baseband(np.eye(4), LQ)[0])
    assert lines[:, probe.sample_depths_mm > 38].max() == 0


def test_without_reflections_nothing_is_mirrored_and_the_rest_stays():
    mirror, none = below(MIRROR_MM, "gas", 2), {"max_reflections": 0}
    assert in_mirror(mirror, **none) == 0
    assert in_mirror(mirror) > 0
    probe = small_linear(depth_mm=60, axial_samples=1229)
    scene = scene_of([block("clear"), slab(), mirror], CLEAR, FLESH, GAS)
    on, off = (renderer(scene, probe, interface_gain_db=0.0, **values).baseband(np.eye(4), HQ) for values in ({}, none))
    before = probe.sample_depths_mm < MIRROR_MM - 1
    np.testing.assert_array_equal(on[..., before], off[..., before])
    assert np.abs(off[..., before]).max() > 0


def test_one_reflection_shows_no_second_reverberation():
    scene = scene_of(
        [block("clear"), below(10.0, "near", 2), below(22.0, "gas", 3)], CLEAR, impedance("near", 4.8), GAS
    )
    probe = small_linear()
    depth = probe.sample_depths_mm

    def level(reflections):
        r = renderer(scene, probe, interface_gain_db=0.0, max_reflections=reflections)
        line = np.abs(r.baseband(np.eye(4), HQ)[0]).max(axis=0)
        return line[np.abs(depth - 34) < 1].max(), line[np.abs(depth - 46) < 1].max()

    first, second = level(1)
    assert first > 0.1
    assert second == 0
    assert level(2)[1] > 0.01
