"""Makes the figures of docs/how_it_works.md: one per stage, each from what the code computes there.

    python docs/make_figures.py                                       # all but the last
    python docs/make_figures.py --store demo/dataset.zarr --run demo/runs/LMSA    # the last: what make demo trained

Needs the extra "docs" (Matplotlib) and embreex. The scene is the packaged one at demo detail, seed 0.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import trimesh
from PIL import Image, ImageColor, ImageDraw, ImageFont

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS.parent), str(DOCS)]

from figure_frame import PROBE, figure_pose, figure_scene

from ussim.pictures.drawing import INK, tissue_legend
from ussim.probe.imaging import Imaging
from ussim.probe.probe import ConvexProbe, LinearProbe
from ussim.probe.quality import HQ, LQ, Quality
from ussim.render.aperture.inputs import COHERENT_AMPLITUDE, COHERENT_SHOWN, WALL_DEPTH
from ussim.render.aperture.sheets import scanline_row
from ussim.render.renderer import Renderer
from ussim.scene.point import PointTarget
from ussim.scene.scene import Scene
from ussim.scene.surface import Surface
from ussim.scene.tissue import Tissue, TissueLibrary

mpl.use("Agg")
import matplotlib.pyplot as plt

FOLDER = DOCS / "images" / "how"
LINE = 118  # scanline of the fourth figure
WIDTH = 460  # of one picture [px]
GAP, HEAD = 14, 34


@dataclass(frozen=True)
class Stage:
    """One frame of the scene, and whatever a figure wants of it."""

    scene: Scene
    renderer: Renderer
    pose: np.ndarray

    @classmethod
    def make(cls) -> Stage:
        """Load the scene, place the probe, fit the gain to the plane."""
        scene = figure_scene()
        pose = figure_pose(scene)
        renderer = Renderer(scene, PROBE, backend="cpu")
        renderer.fit_tgc(pose)
        return cls(scene, renderer, pose)

    @cached_property
    def colours(self) -> np.ndarray:
        """Colour of every segmentation value, (media + 1, 3) uint8."""
        return np.array([(0, 0, 0), *(ImageColor.getrgb(tissue.color) for tissue in self.scene.media)], np.uint8)

    @cached_property
    def maps(self):
        """Segmentation and attenuation."""
        return self.renderer.maps(self.pose)

    def image(self, quality: Quality) -> np.ndarray:
        """B-mode image, (H, W) uint8."""
        return self.renderer.render(self.pose, quality)[0]

    def traced(self, quality: Quality):
        """Tables of the beam, and the work arrays after a frame."""
        self.image(quality)
        lines = self.renderer._aperture
        return lines.beam(quality), lines.arrays(1, quality)


def main() -> None:
    """Make the figures and say how large they are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, help="store of the translation figure")
    parser.add_argument("--run", type=Path, help="trained run of the translation figure")
    parser.add_argument("--only", nargs="*", help="names of figures, as scene or rays")
    options = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    figures = {
        "scene": scene, "sheets": sheets, "rays": rays, "seen": seen, "scatterers": scatterers, "scanline": scanline,
        "polar": polar, "quality": qualities, "maps": maps,
    }  # fmt: skip
    if (options.store is None) != (options.run is None):
        parser.error("--store and --run go together")
    if options.store:
        save(translation(options.store, options.run), "translation.jpg")
        return
    stage = Stage.make()
    for name, draw in figures.items():
        if not options.only or name in options.only:
            save(draw(stage), f"{name}.jpg")
    if not options.only or "psf" in options.only:
        save(psf(), "psf.jpg")


def save(picture: Image.Image, name: str) -> None:
    """Write a JPEG."""
    path = FOLDER / name
    picture.convert("RGB").save(path, "JPEG", quality=86, optimize=True)
    print(f"{path}: {picture.width} × {picture.height} px, {path.stat().st_size / 1000:.0f} kB")


def beside(panels: list[tuple[str, Image.Image]], foot: Image.Image | None = None) -> Image.Image:
    """Pictures in a row under their titles, a foot below."""
    width = sum(picture.width for _, picture in panels) + GAP * (len(panels) + 1)
    height = HEAD + max(picture.height for _, picture in panels) + GAP
    sheet = Image.new("RGB", (width, height + (foot.height + GAP if foot else 0)))
    draw, font, x = ImageDraw.Draw(sheet), ImageFont.load_default(17), GAP
    for title, picture in panels:
        draw.text((x + picture.width // 2, HEAD // 2), title, INK, font, anchor="mm")
        sheet.paste(picture, (x, HEAD))
        x += picture.width + GAP
    if foot:
        sheet.paste(foot, (GAP, height))
    return sheet


def fit(pixels: np.ndarray, width: int = WIDTH) -> Image.Image:
    """Grey or coloured pixels as a picture of a width."""
    picture = Image.fromarray(pixels).convert("RGB")
    return picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)


def from_plot(figure: plt.Figure) -> Image.Image:
    """What Matplotlib drew."""
    figure.canvas.draw()
    picture = Image.fromarray(np.asarray(figure.canvas.buffer_rgba()))
    plt.close(figure)
    return picture


# The scene --------------------------------------------------------------------------------------------------

VIEW_MM, VIEW_PX = 300.0, 760  # the cut plane that is looked at
SHIFT_MM, ABOVE_MM = 12.0, 18.0  # its middle beside the probe's, its top above the probe's face
CLEAR = ("gel", "amniotic_fluid")


def scene(stage: Stage) -> Image.Image:
    """The body cut along the image plane, seen at a slant; fluid is clear, so what lies behind it shows."""
    import trimesh
    from trimesh.ray.ray_pyembree import RayMeshIntersector

    pose = stage.pose.copy()
    labels = _wide_section(stage, pose)
    side = VIEW_MM / VIEW_PX
    steps = (np.arange(VIEW_PX) + 0.5) * side
    x, z = np.meshgrid(steps - VIEW_MM / 2 + SHIFT_MM, steps - ABOVE_MM)
    lateral, elevation, axial, centre = pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3]
    points = centre + x[..., None] * lateral + z[..., None] * axial
    look = elevation + 0.25 * lateral + 0.45 * axial
    look /= np.linalg.norm(look)

    names = ["outside", *(tissue.name for tissue in stage.scene.media)]
    clear = np.isin(labels, [0, *(names.index(name) for name in CLEAR if name in names)])
    picture = stage.colours[labels].astype(float)
    mesh = trimesh.Trimesh(stage.scene.vertices_mm, stage.scene.triangles, process=False)
    inner = np.isin(labels, [names.index("amniotic_fluid")])
    rows, columns = np.nonzero(inner)
    origins, directions = points[inner], np.tile(look, (len(rows), 1))
    hit = RayMeshIntersector(mesh).intersects_first(origins + 0.02 * look, directions)
    found = hit >= 0
    normal = mesh.face_normals[hit[found]]
    facing = -(normal @ look)  # negative where a wall is seen from inside
    light = elevation * -0.6 + axial * -0.7 + lateral * -0.35
    light /= np.linalg.norm(light)
    shade = 0.35 + 0.65 * np.clip((normal * np.sign(facing)[:, None]) @ light, 0, 1)
    owner = stage.scene.surface_media[stage.scene.triangle_surface[hit[found]]] + 1
    wall = names.index("myometrium") if "myometrium" in names else names.index("uterus")
    owner = np.where(facing < 0, wall, owner)
    picture[rows[found], columns[found]] = stage.colours[owner] * shade[:, None]
    picture[clear & ~inner] = 14
    image = Image.fromarray(picture.clip(0, 255).astype(np.uint8))
    _draw_fan(image, side)
    image = image.crop((0, 0, VIEW_PX, VIEW_PX * 17 // 20))  # below is nothing
    present = [
        {"name": tissue.name, "color": tissue.color}
        for index, tissue in enumerate(stage.scene.media, start=1)
        if (labels == index).sum() > 150
    ]
    legend = tissue_legend(present, VIEW_PX, ImageFont.load_default(14))
    return beside([("the meshes, cut along the image plane; fluid is clear", image)], legend)


def _wide_section(stage: Stage, pose: np.ndarray) -> np.ndarray:
    """Labels of the whole plane, (VIEW_PX, VIEW_PX): the slice of a flat probe as wide as the body."""
    flat = LinearProbe(
        width_mm=VIEW_MM, depth_mm=VIEW_MM, scanlines=64, axial_samples=256, image_height=VIEW_PX, image_width=VIEW_PX
    )
    raised = pose.copy()
    raised[:3, 3] += SHIFT_MM * pose[:3, 0] - ABOVE_MM * pose[:3, 2]
    return Renderer(stage.scene, flat, backend="cpu").maps(raised).segmentation[0]


def _draw_fan(image: Image.Image, side: float) -> None:
    """The probe's face and the rim of its sector."""
    origin, direction = PROBE.scanline_rays(np.linspace(-0.5, PROBE.scanlines - 0.5, 60))
    far = origin + direction * PROBE.depth_mm
    rim = np.concatenate([origin, far[::-1], origin[:1]])
    pixel = [((p[0] + VIEW_MM / 2 - SHIFT_MM) / side, (p[2] + ABOVE_MM) / side) for p in rim]
    draw = ImageDraw.Draw(image)
    draw.line(pixel, (255, 214, 90), 3)
    draw.line(pixel[:60], (255, 255, 255), 8)


# Sheets, rays and what they see -----------------------------------------------------------------------------

EVERY_LINE = 8
POINT = (78, 84.0)  # scanline and depth [mm] of a point behind the edge of the skull
YELLOW = "#ffd65a"


def _over_the_slice(stage: Stage) -> tuple[plt.Figure, plt.Axes]:
    """A picture of the dimmed slice to draw on, in the probe's millimetres."""
    (x0, z0), side, (height, width) = PROBE.image_origin_mm, PROBE.mm_per_pixel, PROBE.image_shape
    figure = plt.figure(figsize=(WIDTH / 100, WIDTH * height / width / 100), dpi=100, facecolor="black")
    axes = figure.add_axes((0, 0, 1, 1))
    frame = (x0, x0 + width * side, z0 + height * side, z0)
    axes.imshow(stage.colours[stage.maps.segmentation[0]] // 3, extent=frame)
    axes.set(xlim=frame[:2], ylim=frame[2:])
    axes.axis("off")
    return figure, axes


def sheets(stage: Stage) -> Image.Image:
    """Scanlines and the walls on them, over the slice; beside it, where the sheets of the layers lie."""
    beam, work = stage.traced(HQ)
    figure, axes = _over_the_slice(stage)
    origin, direction = (rays[:, [0, 2]] for rays in PROBE.scanline_rays(np.arange(PROBE.scanlines)))
    for line in range(EVERY_LINE // 2, PROBE.scanlines, EVERY_LINE):
        sheet = line * HQ.layers + HQ.layers // 2
        row = scanline_row(sheet, beam)
        walls = work.sheets.wall[row, : work.sheets.wall_count[row], WALL_DEPTH]
        ends = origin[line] + np.array([[0], [PROBE.depth_mm]]) * direction[line]
        axes.plot(*ends.T, color=YELLOW, lw=0.6, alpha=0.8)
        axes.plot(*(origin[line] + walls[:, None] * direction[line]).T, ".", color="white", ms=3)
    flat, profile = plt.subplots(figsize=(2.6, figure.get_figheight()), dpi=100, layout="constrained")
    depth = np.arange(int(beam.nodes)) * float(beam.node_mm)
    sigma = np.sqrt(-0.5 / beam.slice)
    profile.fill_betweenx(depth, -sigma, sigma, color="#0b6e8f", alpha=0.15, lw=0)
    for layer in range(HQ.layers):
        profile.plot(beam.sheet_mm[layer], depth, color="#0b6e8f")
    profile.set(xlabel="elevation [mm]", ylabel="depth [mm]", ylim=(PROBE.depth_mm, 0))
    titles = "every eighth scanline; dots: walls", "the three sheets"
    return beside(list(zip(titles, (from_plot(figure), from_plot(flat)), strict=True)))


def rays(stage: Stage) -> Image.Image:
    """The rays that reach one point, coloured by the amplitude that is left of them."""
    from matplotlib.collections import LineCollection

    panels = []
    for title, quality in (("low quality: the scanline", LQ), ("high quality: 32 rays", HQ)):
        beam, work = stage.traced(quality)
        node = round(POINT[1] / float(beam.node_mm))
        passed = work.passed.reshape(quality.layers, quality.rays, -1, PROBE.scanlines)[quality.layers // 2]
        figure, axes = _over_the_slice(stage)
        for ray in range(quality.rays):
            line = POINT[0] - float(beam.ray_line[ray, node])
            if not 0 <= line <= PROBE.scanlines - 1 or beam.transmit[ray, node] + beam.receive[ray, node] < 1e-6:
                continue
            origin, direction = (vector[0, [0, 2]] for vector in PROBE.scanline_rays(np.array([line])))
            tilt = np.arctan2(*beam.ray_direction[ray, 0]) - np.arctan2(*beam.lines[0, 2:])  # to its scanline
            sin, cos = np.sin(tilt), np.cos(tilt)
            turned = np.array([cos * direction[0] + sin * direction[1], cos * direction[1] - sin * direction[0]])
            points = origin + beam.ray_length_mm[ray, : node + 1, None] * turned
            bundle = LineCollection(np.stack([points[:-1], points[1:]], axis=1), cmap="inferno", lw=0.8)
            bundle.set(array=passed[ray, :node, round(line)], clim=(0, 0.6))
            axes.add_collection(bundle)
        axes.plot(*points[-1], "o", color="white", ms=5)
        panels.append((title, from_plot(figure)))
    return beside(panels)


def seen(stage: Stage) -> Image.Image:
    """The two-way amplitude with which each point of the slice is seen."""
    line, depth = PROBE.pixel_lines()
    inside = PROBE.mask() > 0
    panels = []
    for title, quality in (("low quality", LQ), ("high quality", HQ)):
        beam, work = stage.traced(quality)
        amplitude = work.seen.reshape(PROBE.scanlines, quality.layers, -1)[:, quality.layers // 2]
        column = np.clip(np.rint(line), 0, PROBE.scanlines - 1).astype(int)
        node = np.clip(np.rint(depth / float(beam.node_mm)), 0, int(beam.nodes) - 1).astype(int)
        level_db = 20 * np.log10(np.maximum(amplitude[column, node], 1e-6))
        grey = np.where(inside, (1 + level_db / 60).clip(0, 1) * 255, 0).astype(np.uint8)
        panels.append((f"{title}; black: 60 dB less than white", fit(grey)))
    return beside(panels)


def scatterers(stage: Stage) -> Image.Image:
    """Echoes of the scatterers of a patch, before the pulse, and the envelope behind it."""
    beam, work = stage.traced(HQ)
    r = stage.renderer
    raw = [np.empty_like(work.real) for _ in range(2)]
    pose = np.ascontiguousarray(stage.pose[None], np.float32)
    r.backend.march(r._media, beam, pose, work.sheets, work.seen, *raw)
    echoes, envelope = np.hypot(*raw), np.abs(r.baseband(stage.pose, HQ)[0])
    top_mm = 66.0
    first, count, wide = round(top_mm / PROBE.sample_mm), round(12 / PROBE.sample_mm), 24
    pitch = float(PROBE.line_pitch_mm(top_mm + 6))
    panels = []
    for title, values in (("echoes of the scatterers", echoes), ("envelope after the pulse", envelope)):
        patch = values[LINE - wide : LINE + wide, first : first + count].T
        level = (patch / np.percentile(patch, 99.5)).clip(0, 1) ** 0.5 * 255
        size = (WIDTH, round(WIDTH * 12 / (2 * wide * pitch)))
        panels.append((title, Image.fromarray(level.astype(np.uint8)).resize(size, Image.Resampling.NEAREST)))
    return beside(panels)


# One scanline -----------------------------------------------------------------------------------------------


def scanline(stage: Stage) -> Image.Image:
    """Media, baseband and envelope of one scanline; its baseband over 3 mm."""
    iq = stage.renderer.baseband(stage.pose, HQ)[0, LINE]
    depth = PROBE.sample_depths_mm
    beam, work = stage.traced(HQ)
    middle = LINE * HQ.layers + HQ.layers // 2
    figure, (top, low, zoom) = plt.subplots(3, 1, figsize=(9.6, 6.6), dpi=100, layout="constrained")
    scale = np.abs(iq).max()
    top.plot(depth, iq.real / scale, lw=0.4, color="#0b6e8f", label="real part I")
    top.plot(depth, iq.imag / scale, lw=0.4, color="#d9822b", label="imaginary part Q")
    top.set(ylabel="baseband", ylim=(-1, 1))
    top.legend(loc="upper right", ncols=2, frameon=False)
    level = 20 * np.log10(np.maximum(np.abs(iq), 1e-9))
    low.plot(depth, level, lw=0.5, color="#888888", label="envelope")
    low.plot(depth, level + stage.renderer.tgc_db, lw=0.5, color="black", label="after gain")
    white, shown = Imaging().reference_db, Imaging().dynamic_range_db
    low.axhspan(white - shown, white, color="#0b6e8f", alpha=0.08, label=f"{shown:.0f} dB shown")
    low.set(ylabel="level [dB]", ylim=(-110, 35), xlabel="depth [mm]")
    low.legend(loc="lower left", ncols=3, frameon=False)
    _draw_media(stage, (top, low), work.sheets.medium[middle])
    row = scanline_row(middle, beam)
    walls = work.sheets.wall[row, : work.sheets.wall_count[row]]
    echoes = walls[:, COHERENT_SHOWN]
    start = echoes[np.abs(walls[:, COHERENT_AMPLITUDE]).argmax()] - 1.5
    near = (depth >= start) & (depth <= start + 3)
    zoom.plot(depth[near], np.abs(iq[near]) / scale, color="black", lw=1.5, label="envelope |I + jQ|")
    zoom.plot(depth[near], iq[near].real / scale, ".-", color="#0b6e8f", lw=0.8, ms=3, label="I")
    zoom.plot(depth[near], iq[near].imag / scale, ".-", color="#d9822b", lw=0.8, ms=3, label="Q")
    for echo in echoes[(echoes > start) & (echoes < start + 3)]:
        zoom.axvline(echo, color="#aa3377", lw=1, ls=":")
    zoom.set(xlabel="depth [mm]; dotted: a wall", ylabel="baseband", xlim=(start, start + 3))
    zoom.legend(loc="upper right", ncols=3, frameon=False)
    for axes in (top, low):
        axes.set_xlim(0, PROBE.depth_mm)
    return from_plot(figure)


def _draw_media(stage: Stage, axes, media: np.ndarray) -> None:
    """A band at the top of plots in the colours of the media of a line, (samples,)."""
    bounds = [0, *(np.flatnonzero(np.diff(media)) + 1), len(media)]
    for first, last in pairwise(bounds):
        for plot in axes:
            low, high = plot.get_ylim()
            plot.fill_between(
                (first * PROBE.sample_mm, last * PROBE.sample_mm), high - 0.06 * (high - low), high,
                color=stage.scene.media[media[first]].color, lw=0,
            )  # fmt: skip
            plot.set_ylim(low, high)


# The beam ---------------------------------------------------------------------------------------------------


def psf() -> Image.Image:
    """Points at five depths, as the probe shows them: polar, in dB below each one's peak."""
    probe = ConvexProbe(depth_mm=115, focus_mm=60, elevation_focus_mm=55, scanlines=1024, field_of_view_deg=14)
    depths = (15, 35, 60, 85, 110)
    clear = Tissue(name="clear", speed_m_s=1540, density_kg_m3=1000, attenuation_db_cm_mhz=0, source="figure")
    block = trimesh.creation.box(extents=(400, 400, 400))
    scene = Scene.from_surfaces(
        [Surface.from_mesh(block, name="block", tissue="clear", priority=1)],
        library=TissueLibrary({**TissueLibrary.load(), "clear": clear}),
        points=[PointTarget((0, 0, depth)) for depth in depths],
    )
    quiet = Imaging(noise_db=-300, interface_gain_db=-120, attenuation_scale=0)
    renderer = Renderer(scene, probe, quiet, backend="cpu")
    power = np.abs(renderer.baseband(np.eye(4), HQ)[0]) ** 2
    figure, row = plt.subplots(1, len(depths), figsize=(9.6, 2.9), dpi=100, layout="constrained")
    for axes, depth in zip(row, depths, strict=True):
        sample = round(depth / probe.sample_mm)
        reach = round(1.5 / probe.sample_mm)
        part = power[:, sample - reach : sample + reach].T
        pitch = float(probe.line_pitch_mm(depth))
        half = probe.scanlines * pitch / 2
        shown = axes.imshow(
            10 * np.log10(np.maximum(part / part.max(), 1e-9)), cmap="gray", vmin=-40, vmax=0,
            extent=(-half, half, depth + 1.5, depth - 1.5), aspect="equal", interpolation="bilinear",
        )  # fmt: skip
        axes.contour(
            10 * np.log10(np.maximum(part / part.max(), 1e-9)), [-6.02], colors="#ffd65a", linewidths=1,
            extent=(-half, half, depth - 1.5, depth + 1.5),
        )  # fmt: skip
        axes.set(title=f"{depth} mm", xlim=(-1.5, 1.5), ylim=(depth + 1.5, depth - 1.5), xlabel="lateral [mm]")
    row[0].set_ylabel("depth [mm]")
    figure.colorbar(shown, ax=row, label="dB", shrink=0.8)
    return from_plot(figure)


# Images and maps --------------------------------------------------------------------------------------------


def polar(stage: Stage) -> Image.Image:
    """Grey levels by scanline and sample, and the image they become."""
    image = stage.image(HQ)
    grey = stage.traced(HQ)[1].grey.clip(0, 255).astype(np.uint8).T
    converted = fit(image, 620)
    lines = Image.fromarray(grey).resize((330, converted.height), Image.Resampling.BOX).convert("RGB")
    draw = ImageDraw.Draw(lines)
    draw.line([(LINE * 330 // PROBE.scanlines, 0), (LINE * 330 // PROBE.scanlines, lines.height)], (255, 214, 90))
    return beside([("256 scanlines of 3072 samples", lines), ("1000 by 1386 pixels", converted)])


def qualities(stage: Stage) -> Image.Image:
    """The same frame at both qualities."""
    panels = (("low quality: 1 ray, 1 layer", LQ), ("high quality: 32 rays, 3 layers", HQ))
    return beside([(title, fit(stage.image(quality))) for title, quality in panels])


def maps(stage: Stage) -> Image.Image:
    """Segmentation and attenuation of the frame."""
    labels = stage.maps.segmentation[0]
    grey = (stage.maps.attenuation[0].clip(0, 1) * 255).astype(np.uint8)
    present = [
        {"name": stage.scene.media[index - 1].name, "color": stage.scene.media[index - 1].color}
        for index in np.unique(labels)
        if index
    ]
    legend = tissue_legend(present, 2 * WIDTH, ImageFont.load_default(14))
    return beside([("segmentation", fit(stage.colours[labels])), ("attenuation", fit(grey))], legend)


def translation(store: Path, run: Path) -> Image.Image:
    """A test frame: low quality, what the generator makes of it, high quality; below, the middle in full size."""
    from translate import Generator, StoreReader

    reader = StoreReader(store)
    number = int(reader.frames("test")[len(reader.frames("test")) // 2])
    frame = reader.frame(number)
    generator = Generator.load(run, device="cpu")
    enhanced = generator.enhance(frame["lq"], reader.mask, frame["segmentation"], frame["attenuation"])
    rows, side = [], 300
    y, x = reader.shape[0] // 3, (reader.shape[1] - side) // 2
    for pixels in (frame["lq"], enhanced, frame["hq"]):
        whole = Image.fromarray(pixels).resize((side * 13 // 10, round(side * 1.3 * pixels.shape[0] / pixels.shape[1])))
        part = Image.fromarray(pixels[y : y + side * 2 // 3, x : x + side]).resize((side * 13 // 10, side * 13 // 15))
        both = Image.new("L", (whole.width, whole.height + GAP + part.height))
        both.paste(whole, (0, 0))
        both.paste(part, (0, whole.height + GAP))
        rows.append(both.convert("RGB"))
    titles = (f"low quality (test frame {number})", f"enhanced by {generator.inputs}", "high quality")
    return beside(list(zip(titles, rows, strict=True)))


if __name__ == "__main__":
    main()
