"""Makes scanlines of an aperture: the order of the stages, and the arrays they work on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ussim.errors import UssimError
from ussim.probe.imaging import Imaging
from ussim.probe.probe import Probe
from ussim.probe.quality import Quality
from ussim.render.aperture.arrays import fastest_of, work_bytes, work_shapes
from ussim.render.aperture.inputs import ApertureBeam, Reflected, Sheets
from ussim.render.aperture.side_lobes import side_lobe_table
from ussim.render.aperture.tables import aperture_table, point_table
from ussim.render.kernels.inputs import Array, Display, Geometry, Media
from ussim.render.workspace import Workspace
from ussim.scene.scene import Scene


@dataclass(frozen=True)
class Work:
    """Arrays of one batch, the backend's own.

    Attributes:
        sheets: What lies on the lines, and where it is shown.
        passed: (frames × layers × rays, nodes, scanlines) float32, one-way amplitude of every ray.
        seen: (frames × scanlines × layers, nodes) float32, two-way amplitude of every point.
        reflected: Echoes over mirrors.
        real, imag: (frames × scanlines, samples) float32, echoes of the scatterers before the pulse; at last, if the
            beam has side lobes, the baseband lines.
        out_real, out_imag: The baseband lines without side lobes.
        power, grey: Their power and their grey levels.
    """

    sheets: Sheets
    passed: Array
    seen: Array
    reflected: Reflected
    real: Array
    imag: Array
    out_real: Array
    out_imag: Array
    power: Array
    grey: Array


class ApertureLines:
    """Makes scanlines of one scene; keeps tables from call to call.

    Args:
        scene: What is scanned.
        probe, imaging, seed: As of :class:`ussim.render.renderer.Renderer`.
        backend: What runs the stages.
        workspace: Keeps the arrays they work on.
    """

    def __init__(self, scene: Scene, probe: Probe, imaging: Imaging, seed: int, backend: Any, workspace: Workspace):
        self._backend, self._workspace = backend, workspace
        self._probe, self._imaging, self._seed = probe, imaging, seed
        self._fastest = fastest_of(scene)
        self._points = backend.put(point_table(scene.points))
        lobes = side_lobe_table(probe)
        self._lobes = None if lobes is None else backend.put(lobes)
        self._beams: dict[Quality, ApertureBeam] = {}

    def beam(self, quality: Quality) -> ApertureBeam:
        """The tables of a quality."""
        if quality not in self._beams:
            self._check_memory(quality)
            table = aperture_table(self._probe, self._imaging, quality, self._seed, self._fastest)
            self._beams[quality] = self._backend.put(table)
        return self._beams[quality]

    def bytes_per_frame(self, quality: Quality) -> int:
        """Size of the work arrays of a frame."""
        return work_bytes(self._probe, self._imaging, quality, self._fastest)

    def _check_memory(self, quality: Quality) -> None:
        """Refuse a quality whose frame this machine cannot hold.

        Raises:
            UssimError: It has too many rays.
        """
        needed, held = self.bytes_per_frame(quality), self._backend.memory_bytes
        if needed > held:
            of_one = needed - self.bytes_per_frame(quality.model_copy(update={"rays": quality.rays - 1}))
            most = max(0, int(quality.rays + (held - needed) // of_one))
            raise UssimError(
                f"rays = {quality.rays} with layers = {quality.layers}: a frame needs {needed / 1e9:.1f} GB, and there "
                f"are {held / 1e9:.1f} GB of memory; allowed here: at most {most} rays"
            )

    def render(
        self,
        run: Callable[..., None],
        geometry: Geometry,
        media: Media,
        display: Display,
        poses: Array,
        keys: Array,
        quality: Quality,
    ) -> tuple[Array, Array, Array]:
        """Make the scanlines of some frames.

        Args:
            run: Calls a stage, ``run(name, kernel, *arguments)``.
            geometry, media, display: The tables of the renderer.
            poses: (n, 4, 4) float32 on the device, probe → scene, mm.
            keys: (n,) uint32 on the device, key of each frame's noise.
            quality: Rays and layers.

        Returns:
            Baseband lines, real and imaginary, and their grey levels, each (frames × scanlines, samples).
        """
        backend, beam, work = self._backend, self.beam(quality), self.arrays(poses.shape[0], quality)
        run("sheets", backend.trace_sheets, geometry, media, beam, poses, work.sheets)
        run("rays", backend.trace_rays, geometry, media, beam, poses, work.sheets, work.passed)
        run("gather", backend.gather, beam, work.passed, work.seen)
        run("march", backend.march, media, beam, poses, work.sheets, work.seen, work.real, work.imag)
        if self._imaging.max_reflections > 0:
            run(
                "reflect", backend.reflect, geometry, media, beam, poses, work.sheets, work.seen, work.reflected,
                work.real, work.imag,
            )  # fmt: skip
        echoes, lines = (work.real, work.imag), (work.out_real, work.out_imag)
        run("receive", backend.receive, self._points, beam, display, poses, work.sheets, work.seen, *echoes, *lines)
        if self._lobes is not None:
            run("receive", backend.add_side_lobes, beam, self._lobes, *lines, *echoes)
            lines = echoes
        run("receive", backend.show, beam, display, keys, *lines, work.power, work.grey)
        return *lines, work.grey

    def arrays(self, frames: int, quality: Quality) -> Work:
        """The arrays of a batch, which hold what was rendered last."""
        shapes = work_shapes(self._probe, self._imaging, quality, self._fastest, frames)
        arrays = {name: self._workspace.array(name, shape, dtype) for name, (shape, dtype) in shapes.items()}
        sheets = Sheets(*(arrays.pop(name) for name in Sheets._fields))
        reflected = Reflected(*(arrays.pop(f"reflected_{name}") for name in Reflected._fields))
        return Work(sheets=sheets, reflected=reflected, **arrays)
