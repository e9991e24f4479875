"""The beam of an aperture: shadows, contact, outlines and walls, against geometry and layer theory.

What a test records is what it judges.
"""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from scipy.ndimage import distance_transform_edt, gaussian_filter, gaussian_filter1d
from support.aperture import behind, beside_each_other, block, rod, seen
from support.phantoms import decibel, renderer, scene_of, tissue, uniform
from support.scenes import box, sphere, surface

from ussim.probe.pattern import window_share
from ussim.probe.probe import ConvexProbe, LinearProbe
from ussim.probe.quality import HQ, LQ, Quality

APERTURE_MM = 16.0
OBSTACLE_MM = 40.0
IMPEDANCE = 1.54  # of the tissues of these phantoms


def shadow_probe(apodisation="rectangular"):
    """Full aperture at every depth behind the obstacle, transmit and receive."""
    return LinearProbe(
        scanlines=160, width_mm=40, depth_mm=150, axial_samples=512, focus_mm=60, aperture_mm=APERTURE_MM,
        f_number=2.0, apodisation=apodisation, image_height=64, image_width=64,
    )  # fmt: skip


def wall_probe(**values):
    fields = {"scanlines": 96, "width_mm": 40, "depth_mm": 50, "axial_samples": 1024}
    return LinearProbe(**{**fields, "image_height": 64, "image_width": 64, **values})


def level_behind(obstacle, rays, probe=None):
    """Depth [mm] and amplitude behind an obstacle over that without it, (scanlines, nodes)."""
    quality, probe = Quality(rays=rays, layers=1), probe or shadow_probe()
    depth, free = seen(renderer(behind(), probe), quality)
    _, shaded = seen(renderer(behind(obstacle), probe), quality)
    return depth, shaded / free


@pytest.mark.parametrize("rays", [32, 48, 64])
@pytest.mark.parametrize("radius", [0.5, 1.0, 2.0, 5.0])
def test_the_shadow_of_a_rod_is_the_share_of_the_aperture_that_it_hides(radius, rays, record_property):
    depth, level = level_behind(rod(radius, OBSTACLE_MM), rays)
    for z in (50, 60, 80, 100, 140):
        hidden = 2 * radius * z / ((z - OBSTACLE_MM) * APERTURE_MM)
        expected = 40 * np.log10(max(1 - hidden, 1e-9))
        measured = 20 * np.log10(max(1e-9, level[78:82, np.argmin(np.abs(depth - z))].mean()))
        if expected > -20:
            record_property("off_db", measured - expected)
            assert measured == pytest.approx(expected, abs=1.5), z
        else:
            record_property("deep_db", measured)
            assert measured < -20, z


@pytest.mark.parametrize("radius", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("apodisation", ["hamming", "hann"])
def test_the_shadow_of_a_rod_is_deeper_where_a_window_favours_the_elements_it_hides(
    apodisation, radius, record_property
):
    depth, level = level_behind(rod(radius, OBSTACLE_MM), 64, shadow_probe(apodisation))
    for z in (60, 80, 100, 140):
        hidden = 2 * radius * z / ((z - OBSTACLE_MM) * APERTURE_MM)
        received = 2 * window_share(np.array(-hidden), apodisation)
        expected = 20 * np.log10((1 - hidden) * received) if hidden < 1 else -np.inf
        if expected > -20:
            off_db = 20 * np.log10(level[78:82, np.argmin(np.abs(depth - z))].mean()) - expected
            record_property("off_db", off_db)
            assert off_db == pytest.approx(0, abs=1.5), z


@pytest.mark.parametrize("radius", [0.5, 1.0, 2.0, 5.0])
def test_a_single_ray_casts_a_full_shadow_everywhere_behind_a_rod(radius, record_property):
    depth, level = level_behind(rod(radius, OBSTACLE_MM), 1)
    loudest = 20 * np.log10(max(1e-9, level[79:81, depth > OBSTACLE_MM + radius + 1].max()))
    record_property("loudest_db", loudest)
    assert loudest < -60


@pytest.mark.parametrize("rays", [32, 128])
def test_the_penumbra_of_an_edge_is_as_wide_as_the_aperture_seen_through_it(rays, record_property):
    # A scanline takes its aperture along. At depth z the way from element e crosses the edge's depth z0 at
    # x + e·(1 − z0/z), so the one-way amplitude falls from 1 to 0 over D·(z − z0)/z, and is ½ at the edge.
    edge = box((100, 200, 0.5), (50, 0, OBSTACLE_MM), tissue="absorber", name="edge", priority=5)
    depth, level = level_behind(edge, rays)
    x = (np.arange(160) - 79.5) * 0.25
    for z in (50, 60, 80, 100, 120):
        one_way = np.sqrt([np.interp(z, depth, line) for line in level])
        ramp = (one_way > 0.2) & (one_way < 0.8)
        slope, at_zero = np.polyfit(x[ramp], one_way[ramp], 1)
        width = APERTURE_MM * (z - OBSTACLE_MM) / z
        record_property("off_percent", 100 * (-1 / slope / width - 1))
        assert -1 / slope == pytest.approx(width, rel=0.1), z
        assert (0.5 - at_zero) / slope == pytest.approx(0, abs=0.1), z


def test_a_gap_between_two_plates_lets_the_share_of_the_aperture_through_that_it_shows(record_property):
    gap = 3.0
    plates = [
        box((100, 200, 0.5), (side * (50 + gap / 2), 0, OBSTACLE_MM), tissue="absorber", name=name, priority=5)
        for side, name in ((-1, "left"), (1, "right"))
    ]
    quality = Quality(rays=64, layers=1)
    depth, free = seen(renderer(behind(), shadow_probe()), quality)
    _, shaded = seen(renderer(behind(*plates), shadow_probe()), quality)
    for z in (60, 80, 100, 140):
        shown = gap * z / ((z - OBSTACLE_MM) * APERTURE_MM)
        at = np.argmin(np.abs(depth - z))
        off_db = 20 * np.log10((shaded / free)[78:82, at].mean()) - 40 * np.log10(shown)
        record_property("off_db", off_db)
        assert off_db == pytest.approx(0, abs=1.5), z


# Contact ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quality", [LQ, HQ], ids=["lq", "hq"])
@pytest.mark.parametrize(
    "probe",
    [
        wall_probe(aperture_mm=10, apodisation="gaussian"),  # side lobes reach over from the other side
        ConvexProbe(scanlines=96, depth_mm=60, axial_samples=1024, aperture_mm=10, apodisation="gaussian"),
    ],
    ids=lambda p: p.kind,
)
def test_half_a_probe_over_air_is_silent_on_that_side_only(probe, quality, record_property):
    flesh = tissue("flesh")
    half = box((200, 400, 600), (100, 0, 100), tissue="flesh", name="half", priority=1)
    depth = probe.sample_depths_mm
    shallow, deep = (depth > 3) & (depth < 20), (depth > 30) & (depth < 48)

    def power(scene):
        lines = renderer(scene, probe).baseband(np.eye(4), quality)[0]
        return np.stack([(np.abs(lines[:, part]) ** 2).mean(axis=1) for part in (shallow, deep)])

    level = decibel(power(scene_of([half], flesh, background="air")) / power(uniform(flesh)) + 1e-12)
    record_property("silent_db", level[:, :46].max())
    record_property("other_side_db", level[:, 66:].min())
    assert level[:, :46].max() < -60
    # From half an aperture off the edge on, a line has all its elements.
    assert level[:, 66:] == pytest.approx(0, abs=0.5)
    if quality.rays > 1:
        # The first line over flesh has half of them, both ways.
        record_property("edge_db", level[:, 48].mean())
        assert level[:, 48].mean() == pytest.approx(-12, abs=3)


# Outlines -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("quality", [LQ, HQ], ids=["lq", "hq"])
def test_a_ball_behind_layers_keeps_its_outline(quality, record_property):
    radius, centre = 15.0, 60.0
    surfaces = [
        box((300, 300, 400), (0, 0, 201), tissue="skin", name="skin", priority=1),
        box((302, 302, 400), (0, 0, 203), tissue="fat", name="fat", priority=2),
        box((304, 304, 400), (0, 0, 215), tissue="muscle", name="muscle", priority=3),
        sphere(radius, (0, 0, centre), 5, tissue="urine", name="ball", priority=9),
    ]
    probe = ConvexProbe(scanlines=192, depth_mm=80, axial_samples=1536, image_height=64, image_width=64)
    scene, depth, power = scene_of(surfaces), probe.sample_depths_mm, 0
    for seed in range(8):  # average over speckle
        r = renderer(scene, probe, seed=seed, attenuation_scale=0.25)
        power = power + np.abs(r.baseband(np.eye(4), quality)[0]) ** 2
    power = gaussian_filter1d(power, 1.0, axis=1)
    deviation = []
    for origin, direction, line in zip(*probe.scanline_rays(), power, strict=True):
        to_centre = np.array([0, 0, centre]) - origin
        under_root = (to_centre @ direction) ** 2 - to_centre @ to_centre + radius**2
        if under_root <= 0:
            continue
        entry = to_centre @ direction - np.sqrt(under_root)
        normal = (origin + entry * direction - [0, 0, centre]) / radius
        if normal[2] > -0.5:  # turned away from the probe by more than 60°
            continue
        in_front = line[(depth > entry - 4) & (depth < entry - 0.7)].mean()
        near = np.flatnonzero(np.abs(depth - entry) < 4)
        last = depth[near[np.flatnonzero(line[near] > in_front / 2)[-1]]]
        deviation.append(np.linalg.norm(origin + last * direction - [0, 0, centre]) - radius)
    record_property("lines", len(deviation))
    record_property("std_mm", np.std(deviation))
    record_property("mean_mm", np.mean(deviation))  # the speeds of the layers displace it as a whole
    assert len(deviation) > 30
    assert np.std(deviation) <= 0.3


def displaced(labels, probe, speed_m_s):
    """Labels (H, W) of an image plane with what lies behind faster or slower media where its time of flight puts it.

    Along every scanline; ``speed_m_s`` holds the speed of every label.
    """
    step, (x0, z0) = 0.02, probe.image_origin_mm
    lengths = np.arange(0, probe.depth_mm + 3, step)
    origin, direction = (vectors[:, [0, 2]] for vectors in probe.scanline_rays(np.arange(probe.scanlines)))
    places = origin[:, None] + lengths[:, None] * direction[:, None]
    column, row = np.moveaxis(np.rint((places - [x0, z0]) / probe.mm_per_pixel).astype(int), -1, 0)
    met = labels[row.clip(0, labels.shape[0] - 1), column.clip(0, labels.shape[1] - 1)]
    met[met == 0] = 1  # beside the sector
    shown = np.cumsum(step * 1540 / speed_m_s[met], axis=1)
    line, depth = probe.pixel_lines()
    line = np.rint(line).astype(int).clip(0, probe.scanlines - 1)
    moved = np.empty_like(labels)
    for number in range(probe.scanlines):
        on_it = line == number
        moved[on_it] = met[number, np.searchsorted(shown[number], depth[on_it]).clip(0, len(lengths) - 1)]
    return moved


@pytest.mark.parametrize("quality", [LQ, HQ], ids=["lq", "hq"])
def test_the_outline_in_the_image_is_that_of_the_segmentation_displaced_by_the_time_of_flight(quality, record_property):
    radius, centre, frames = 6.0, 30.0, 8
    fat = tissue("fatty", speed_m_s=1450.0, density_kg_m3=1540 / 1.45)
    fluid = tissue("fluid", scatter_density=0.0)  # as fast as flesh: no lens, whose rim would brighten what lies behind
    wedge = trimesh.creation.box(extents=(400, 400, 40))
    wedge.apply_transform(trimesh.transformations.rotation_matrix(np.radians(8), [0, 1, 0]))
    wedge.apply_translation([0, 0, -5])  # to a depth of 15 mm in the middle
    layer = surface(wedge, name="layer", tissue="fatty", priority=2)
    scene = scene_of([block(), layer, rod(radius, centre, "fluid")], tissue("flesh"), fat, fluid)
    # Pixels of 0.157 mm, as the standard probe's, and lines as close.
    probe = ConvexProbe(
        depth_mm=42, scanlines=192, field_of_view_deg=26, axial_samples=1024, image_height=275, image_width=235
    )
    r = renderer(scene, probe, attenuation_scale=0.0)
    poses = beside_each_other(frames, 6.0)
    poses[:, 1, 3] -= 3.0 * frames
    grey = r.render(poses, quality).astype(float) * r.imaging.dynamic_range_db / 255
    power = gaussian_filter((10 ** (grey / 10)).mean(axis=0), 1.0)
    speed = np.array([1540.0, *(medium.speed_m_s for medium in scene.media)])
    fluid_label = [medium.name for medium in scene.media].index("fluid") + 1
    inside = displaced(r.maps(np.eye(4)).segmentation[0], probe, speed) == fluid_label
    x, z = probe.pixel_grid_mm()
    beyond = np.where(inside, distance_transform_edt(inside), distance_transform_edt(~inside)) - 0.5  # the outline [px]
    near = np.hypot(x, z - centre - 1) < radius + 2
    silent = power < np.median(power[near & ~inside]) / 2
    differ = (silent != inside) & near
    record_property("off_px", beyond[differ].max())
    assert beyond[differ].max() < 2  # a grain of speckle
    angle = np.degrees(np.arctan2(x, z - centre - 1))
    for first in range(-180, 180, 15):
        sector = near & (angle >= first) & (angle < first + 15)
        outline_px = np.radians(15) * radius / probe.mm_per_pixel
        off_px = (int(silent[sector].sum()) - int(inside[sector].sum())) / outline_px
        record_property("mean_px", off_px)
        assert off_px == pytest.approx(0, abs=1), first


# Walls --------------------------------------------------------------------------------------------


def mirror(material, *others):
    """A plane wall at 30 mm that faces the probe, behind a clear fluid."""
    clear = tissue("clear", scatter_density=0.0)
    wall = box((400, 400, 300), (0, 0, 180), tissue=material.name, name="wall", priority=2)
    return scene_of([block("clear"), wall], clear, material, *others)


def peaks(scene, probe, quality, frames=1, **imaging):
    """Largest amplitude of every line off the ends of the array, (frames, lines)."""
    r = renderer(scene, probe, **{"interface_gain_db": 0.0, **imaging})
    edge = probe.scanlines // 6
    return np.abs(r.baseband(beside_each_other(frames), quality)[:, edge:-edge]).max(axis=2)


@pytest.mark.parametrize("quality", [LQ, HQ], ids=["lq", "hq"])
@pytest.mark.parametrize("bandwidth", [0.6, 0.1])
def test_a_thin_film_echoes_as_the_theory_of_a_plate_says(bandwidth, quality, record_property):
    impedance, sigma_factor = 1.7, 10
    r = (impedance - IMPEDANCE) / (impedance + IMPEDANCE)
    probe = LinearProbe(
        scanlines=32, width_mm=16, depth_mm=50, axial_samples=4096, bandwidth=bandwidth, image_height=64, image_width=64
    )
    host = tissue("host", scatter_density=0.0)
    film = tissue("film", density_kg_m3=impedance / 1.54 * 1000, scatter_density=0.0)
    deep = box((400, 400, 300), (0, 0, 175), tissue="film", name="film", priority=2)
    wall = np.median(peaks(scene_of([block("host"), deep], host, film), probe, quality))
    x = np.linspace(-1, 1, 8001) * sigma_factor * probe.axial_sigma_mm
    # Half a wavelength, 0.096 mm, leaves so little of a narrow band that the diffuse hundredth of the faces stands out.
    for thickness in (0.01, 0.02, 0.048, 0.07, *((0.1,) if bandwidth > 0.5 else ()), 0.13, 0.2):
        # Reflections between the faces: r, then −(1 − r²)·r^(2n − 1) after n + 1 passages, over r.
        echoes = [1.0, *(-(1 - r * r) * r ** (2 * n) for n in range(4))]
        pulse = sum(
            a * np.exp(-0.5 * ((x - n * thickness) / probe.axial_sigma_mm) ** 2 - 4j * np.pi * 8 / 1.54 * n * thickness)
            for n, a in enumerate(echoes)
        )
        slab = box((400, 400, thickness), (0, 0, 25 + thickness / 2), tissue="film", name="film", priority=2)
        level = np.median(peaks(scene_of([block("host"), slab], host, film), probe, quality)) / wall
        off_db = 20 * np.log10(level / np.abs(pulse).max())
        record_property("off_db", off_db)
        assert off_db == pytest.approx(0, abs=1.5), thickness


@pytest.mark.parametrize("depth_mm", [42, 150])  # sheets of one straight piece, and of several
def test_a_sheet_and_its_rays_follow_the_elevational_beam(depth_mm):
    elevation = 1.5
    beside = box((400, 400, 600), (0, elevation - 200, 100), tissue="absorber", name="beside", priority=5)
    r = renderer(behind(beside), ConvexProbe(depth_mm=depth_mm, scanlines=32))
    r.baseband(np.eye(4), HQ)
    beam, work = r._aperture.beam(HQ), r._aperture.arrays(1, HQ)
    node = np.arange(beam.nodes)
    assert (beam.pieces == 1) == (depth_mm == 42)
    above = np.interp(node, beam.piece_node, beam.sheet_mm[2, beam.piece_node]) > elevation
    enters = np.argmin(above) * beam.node_mm
    assert 10 < enters < 40
    medium = work.sheets.medium.reshape(32, 3, -1)[16, 2]
    sample_mm = r.probe.sample_mm
    assert np.flatnonzero(medium != medium[0])[0] * sample_mm == pytest.approx(enters, abs=0.5)
    amplitude = work.seen.reshape(32, 3, -1)[16, 2]
    assert amplitude[node * beam.node_mm < enters - 1].min() > 0.999
    assert amplitude[(node * beam.node_mm > enters + 2) & ~above].max() < 1e-3


@pytest.mark.parametrize("quality", [LQ, HQ], ids=["lq", "hq"])
@pytest.mark.parametrize("tilt_deg", [70, 78])
def test_a_steep_wall_is_a_line_and_no_row_of_dashes(tilt_deg, quality, record_property):
    clear, plate = tissue("clear", scatter_density=0.0), tissue("plate", density_kg_m3=1100, scatter_density=0.0)
    mesh = trimesh.creation.box((200, 400, 60))
    mesh.apply_translation((0, 0, 30))  # its face through the origin
    mesh.apply_transform(trimesh.transformations.rotation_matrix(np.radians(tilt_deg), (0, 1, 0), (0, 0, 0)))
    mesh.apply_translation((0, 0, 25))
    wall = surface(mesh, name="wall", tissue="plate", priority=2)
    probe = wall_probe(scanlines=64)
    lines = renderer(scene_of([block("clear"), wall], clear, plate), probe, interface_gain_db=0.0)
    power = np.abs(lines.baseband(np.eye(4), quality)[0]) ** 2
    fall_mm = 40 / 63 * np.tan(np.radians(tilt_deg))  # from a scanline to the next, several pulses long
    window = round(1.0 / probe.sample_mm)  # speckle is rough over a millimetre
    for line in (30, 31, 32, 33):
        middle = (25 - (line - 31.5) * fall_mm) / probe.sample_mm
        half_way = fall_mm / 2 / probe.sample_mm  # to where the next scanline's share begins
        near = np.arange(int(middle - half_way), int(middle + half_way))
        level = decibel(np.convolve(power[line], np.ones(window), "same")[near])
        record_property("darkest_db", level.min() - np.median(level))
        assert level.min() - np.median(level) > -10, line
