"""Renderer: a scene and a probe, poses in, images and maps out."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ussim.errors import UssimError
from ussim.probe.imaging import Imaging
from ussim.probe.probe import ConvexProbe, Probe
from ussim.probe.quality import LQ, Quality
from ussim.render.aperture.lines import ApertureLines
from ussim.render.backends import open_backend
from ussim.render.kernels.inputs import Geometry
from ussim.render.tables import display_table, geometry_table, key_of, media_table, pixel_table
from ussim.render.workspace import Workspace
from ussim.scene.scene import Scene

_log = logging.getLogger(__name__)
_PERCENTILE = 98.0
# Statistics of attenuation are taken over every 16th depth: it has no detail finer than that.
_STATISTICS_STRIDE = 16


@dataclass(frozen=True)
class Maps:
    """What lies where, for n frames.

    Attributes:
        segmentation: (n, H, W) uint8, medium index + 1; 0 outside the sector.
        attenuation: (n, H, W) float16, one-way amplitude exp(−Σ α) over its 98th percentile; 0 outside.
        attenuation_scale: (n,) float32, that percentile: ``attenuation · scale`` is the physical value.
    """

    segmentation: np.ndarray
    attenuation: np.ndarray
    attenuation_scale: np.ndarray


class Renderer:
    """Renders frames of one scene with one probe.

    A frame's pixels depend on the scene, the settings, the seed, its frame number and its pose alone: not on
    the batch, the number of threads or the frames before it.

    Args:
        scene: What is scanned.
        probe: What scans it.
        imaging: Acoustic and display settings.
        backend: ``"cpu"``, ``"cuda"`` or ``"auto"``, or an open one, another renderer's ``backend``.
        seed: Root of all random numbers, scatterers included.
        tgc_db: Time-gain compensation, (axial_samples,) dB; without it call :meth:`fit_tgc`, else there is none.

    Attributes:
        backend: What runs the stages.
        stage_s: Seconds spent per stage since the last ``stage_s.clear()``, while ``timed`` is True.
        stage_bytes: Likewise, the size of the arrays that it was given, triangles left out.
        before_stage: Called before each stage; what it raises ends the frames that are being rendered.
    """

    def __init__(
        self,
        scene: Scene,
        probe: Probe | None = None,
        imaging: Imaging | None = None,
        backend: str | Any = "auto",
        seed: int = 0,
        tgc_db: np.ndarray | None = None,
    ):
        self.scene = scene
        self.probe = probe if probe is not None else ConvexProbe()
        self.imaging = imaging if imaging is not None else Imaging()
        self.seed = seed
        self.timed = False
        self.stage_s: dict[str, float] = defaultdict(float)
        self.stage_bytes: dict[str, int] = defaultdict(int)
        self.before_stage: Callable[[], None] | None = None
        self.backend = open_backend(backend, Renderer) if isinstance(backend, str) else backend
        self._workspace = Workspace(self.backend)
        self._displays = 0
        self._aperture = ApertureLines(scene, self.probe, self.imaging, seed, self.backend, self._workspace)
        self._geometry = self.backend.put(geometry_table(scene))
        self._media = self.backend.put(media_table(scene, self.probe, self.imaging))
        self._pixels = self.backend.put(pixel_table(self.probe))
        self._mask = self.backend.put(self.probe.mask())
        self._operator_gain_db = np.zeros(self.probe.axial_samples, np.float32)
        self.tgc_db = np.zeros(self.probe.axial_samples, np.float32) if tgc_db is None else tgc_db

    @property
    def backend_name(self) -> str:
        """``"cpu"`` or ``"cuda"``."""
        return self.backend.name

    @property
    def device(self) -> str:
        """The processor, for people."""
        return self.backend.device

    @property
    def tgc_db(self) -> np.ndarray:
        """Time-gain compensation [dB] at every axial sample, (axial_samples,) float32."""
        return self._tgc_db

    @tgc_db.setter
    def tgc_db(self, curve: np.ndarray) -> None:
        self._tgc_db = self._curve("tgc_db", curve)
        self._put_display()

    @property
    def operator_gain_db(self) -> np.ndarray:
        """What an operator adds at every axial sample [dB], (axial_samples,) float32: on top of the time-gain
        compensation, and unlike it without a limit, so that it lifts the receiver's noise too.
        """
        return self._operator_gain_db

    @operator_gain_db.setter
    def operator_gain_db(self, curve: np.ndarray) -> None:
        self._operator_gain_db = self._curve("operator_gain_db", curve)
        self._put_display()

    def _curve(self, name: str, curve: np.ndarray) -> np.ndarray:
        curve = np.asarray(curve, np.float32)
        if curve.shape != (self.probe.axial_samples,) or not np.isfinite(curve).all():
            raise UssimError(
                f"{name}: needs {self.probe.axial_samples} finite values, one per axial sample, got {curve.shape}"
            )
        return curve

    def _put_display(self) -> None:
        table = display_table(self.probe, self.imaging, self._tgc_db, self._operator_gain_db)
        self._display = self.backend.put(table)
        self._displays += 1

    def fit_tgc(self, poses: np.ndarray) -> np.ndarray:
        """Set the gain that undoes the median two-way attenuation of these poses over depth.

        It is fitted once for a dataset, so that all its frames stay comparable.

        Returns:
            The curve [dB], (axial_samples,) float32, never falling with depth.
        """
        polar = self._attenuation_lines(self._put("poses 0", self._checked_poses(poses), np.float32))
        median = np.median(self.backend.get(self.backend.every(polar, _STATISTICS_STRIDE)), axis=0)
        loss_db = np.maximum.accumulate(-40 * np.log10(np.maximum(median, 1e-6)))
        samples = np.arange(self.probe.axial_samples)
        self.tgc_db = np.interp(samples, samples[::_STATISTICS_STRIDE], loss_db).astype(np.float32)
        return self.tgc_db

    def batch_size(self, qualities: Sequence[Quality] = (LQ,)) -> int:
        """Frames that one call had best render together."""
        return self.backend.frames_at_once(self._batch_bytes(qualities))

    def render(
        self, poses: np.ndarray, quality: Quality = LQ, frames: Sequence[int] | np.ndarray | None = None
    ) -> np.ndarray:
        """Render B-mode images.

        Args:
            poses: (n, 4, 4) or (4, 4), probe → scene, mm.
            quality: Rays and layers.
            frames: Frame numbers, which key the noise; 0 … n − 1 without.

        Returns:
            (n, H, W) uint8; 0 outside the sector.
        """
        poses, keys = self.checked(poses, frames)

        def launch(part: slice, turn: int) -> tuple[Callable[[], np.ndarray]]:
            return (self._launch_images(poses[part], keys[part], quality, turn),)

        return self._in_batches(launch, len(poses), (quality,))[0]

    def baseband(
        self, poses: np.ndarray, quality: Quality = LQ, frames: Sequence[int] | np.ndarray | None = None
    ) -> np.ndarray:
        """Complex baseband (IQ) scanlines, before noise, gain and compression.

        Arguments are those of :meth:`render`.

        Returns:
            (n, scanlines, axial_samples) complex64; the phase of an echo at depth d is −2π·2·f0·d/c0.
        """
        poses, keys = self.checked(poses, frames)
        lines = []
        for pose, key in zip(poses, keys, strict=True):
            on_device = self._put("poses 0", pose[None], np.float32), self._put("keys 0", key[None], np.uint32)
            real, imag, _ = self._lines(*on_device, quality)
            lines.append(self.backend.get(real) + 1j * self.backend.get(imag))
        return np.stack(lines)

    def maps(self, poses: np.ndarray) -> Maps:
        """Segmentation slices and attenuation maps of (n, 4, 4) poses."""
        poses = self._checked_poses(poses)
        return Maps(*self._in_batches(lambda part, turn: self._launch_maps(poses[part], turn), len(poses), (LQ,)))

    def close(self) -> None:
        """Give back what the renderer holds of a GPU's memory; it renders no more."""
        self._workspace.clear()
        self.backend.close()

    def __enter__(self) -> Renderer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Batches --------------------------------------------------------------------------------------
    def _in_batches(
        self,
        launch: Callable[[slice, int], tuple[Callable[[], np.ndarray], ...]],
        count: int,
        qualities: Sequence[Quality],
    ) -> list[np.ndarray]:
        """Render frames in batches, each copied to the host while the next one is made.

        A batch that finds too little memory is halved, which is said, and so are those after it.

        Args:
            launch: Launches some frames, with arrays of one of two turns, and returns what waits for each result.
            count: Frames.
            qualities: What is rendered.
        """
        parts: list[list[np.ndarray]] = []
        waiting: tuple[Callable[[], np.ndarray], ...] = ()
        begin, turn = 0, 0
        while begin < count:
            end = min(count, begin + self.batch_size(qualities))
            try:
                launched = launch(slice(begin, end), turn)
            except self.backend.OutOfMemory:
                if end - begin == 1:
                    raise
                self._workspace.clear()
                self.backend.set_aside((end - begin) // 2 * self._batch_bytes(qualities))
                _log.warning("the GPU has too little memory for %d frames at once: going on with half", end - begin)
                continue
            if waiting:
                parts.append([wait() for wait in waiting])
            waiting, begin, turn = launched, end, 1 - turn
        parts.append([wait() for wait in waiting])
        return [np.concatenate(column) if len(column) > 1 else column[0] for column in zip(*parts, strict=True)]

    def _launch_images(
        self, poses: np.ndarray, keys: np.ndarray, quality: Quality, turn: int
    ) -> Callable[[], np.ndarray]:
        on_device = self._put(f"poses {turn}", poses, np.float32), self._put(f"keys {turn}", keys, np.uint32)
        images = self._image_arrays(f"images {turn}", len(poses), np.uint8)
        self.draw_images(*on_device, quality, images)
        return self.backend.fetch(images)

    def _launch_maps(self, poses: np.ndarray, turn: int) -> tuple[Callable[[], np.ndarray], ...]:
        backend, frames = self.backend, len(poses)
        on_device = self._put(f"poses {turn}", poses, np.float32)
        planes = self._put(f"planes {turn}", self.image_planes(poses), np.float32)
        labels, maps = (
            self._image_arrays(f"{name} {turn}", frames, dtype)
            for name, dtype in (("labels", np.uint8), ("attenuation", np.uint16))
        )
        scale = self._workspace.array(f"scale {turn}", frames, np.float32)
        self.draw_maps(on_device, planes, labels, maps, scale)
        while not backend.is_labelled():
            self._draw_labels(planes, labels)
        bits = backend.fetch(maps)
        return backend.fetch(labels), lambda: bits().view(np.float16), backend.fetch(scale)

    def _put(self, name: str, values: np.ndarray, dtype: Any) -> Any:
        """Values in a buffer on the device."""
        array = self._workspace.array(name, values.shape, dtype)
        self.backend.update(array, np.ascontiguousarray(values, dtype))
        return array

    def _image_arrays(self, name: str, frames: int, dtype: Any) -> Any:
        return self._workspace.array(name, (frames, *self.probe.image_shape), dtype)

    # On the device ----------------------------------------------------------------------------------
    def draw_images(self, poses: Any, keys: Any, quality: Quality, images: Any) -> None:
        """Render frames from and into arrays on the device; neither allocates, after a first time, nor waits.

        Args:
            poses: (n, 4, 4) float32.
            keys: (n,) uint32, of the noise.
            quality: Rays and layers.
            images: (n, H, W) uint8, written.
        """
        _, _, grey = self._lines(poses, keys, quality)
        self.backend.clear(images)  # what lies outside of the sector
        flat, scanlines = images.reshape(images.shape[0], -1), np.int32(self.probe.scanlines)
        self._run("scan_convert", self.backend.scan_convert, scanlines, self._pixels, grey, flat)

    def draw_maps(self, poses: Any, planes: Any, labels: Any, maps: Any, scale: Any) -> None:
        """Draw what lies where from and into arrays on the device, as :meth:`draw_images`.

        Labels may have to be drawn again: as long as the backend's ``is_labelled()`` says so.

        Args:
            poses: (n, 4, 4) float32.
            planes: Of them, as of :meth:`image_planes`, (n, 3, 4) float32.
            labels: (n, H, W) uint8, written.
            maps: (n, H, W) uint16, written: bits of the attenuation as float16.
            scale: (n,) float32, written: what it was divided by.
        """
        backend, scanlines = self.backend, self.probe.scanlines
        self._draw_labels(planes, labels)
        polar = self._attenuation_lines(poses)
        sampled = backend.every(polar, _STATISTICS_STRIDE)
        backend.value_of_rank(sampled, scanlines, int(_PERCENTILE / 100 * (scanlines * sampled.shape[1] - 1)), scale)
        backend.clear(maps)
        flat = maps.reshape(maps.shape[0], -1)
        self._run(
            "scan_convert_map", backend.scan_convert_map, np.int32(scanlines), self._pixels, polar, scale, flat
        )  # fmt: skip

    @property
    def generation(self) -> tuple[int, ...]:
        """What was launched before may be launched again for as long as this stays: arrays and tables are the same."""
        return self._displays, self._workspace.generation, self.backend.generation

    def image_planes(self, poses: np.ndarray) -> np.ndarray:
        """(n, 3, 4) of (n, 4, 4) poses: scene point → (column, elevation [mm], row)."""
        planes = np.linalg.inv(poses)[:, :3]
        (x0, z0), side = self.probe.image_origin_mm, self.probe.mm_per_pixel
        planes[:, 0, 3] -= x0
        planes[:, 2, 3] -= z0
        planes[:, [0, 2]] /= side
        return planes

    def _draw_labels(self, planes: Any, labels: Any) -> None:
        self._run("segmentation", self.backend.segment, self._geometry, planes, self._mask, labels)

    def _lines(self, poses: Any, keys: Any, quality: Quality) -> tuple[Any, Any, Any]:
        """Baseband lines (real, imaginary) and their grey levels, each (frames × scanlines, samples)."""
        return self._aperture.render(self._run, self._geometry, self._media, self._display, poses, keys, quality)

    def _attenuation_lines(self, poses: Any) -> Any:
        """a(z) on the polar grid, (n × scanlines, axial_samples)."""
        shape = poses.shape[0] * self.probe.scanlines, self.probe.axial_samples
        polar = self._workspace.array("attenuation lines", shape, np.float32)
        beam = self._aperture.beam(LQ)
        self._run("attenuation", self.backend.attenuate, self._geometry, self._media, beam, poses, polar)
        return polar

    def _batch_bytes(self, qualities: Sequence[Quality]) -> int:
        return max(self._aperture.bytes_per_frame(quality) for quality in qualities) + self._bytes_per_image()

    def _bytes_per_image(self) -> int:
        """Images, maps and what they are made from, two batches of them."""
        lines, (height, width) = self.probe.scanlines * self.probe.axial_samples, self.probe.image_shape
        of_maps = lines * 4 * (1 + 1 / _STATISTICS_STRIDE)
        return int(2 * height * width * 4 + of_maps) + self.backend.segment_bytes(len(self.scene.vertices_mm), height)

    def _run(self, stage: str, kernel: Callable[..., Any], *arguments: Any) -> None:
        if self.before_stage is not None:
            self.before_stage()
        if not self.timed:
            kernel(*arguments)
            return
        self.backend.wait()
        began = time.perf_counter()
        kernel(*arguments)
        self.backend.wait()
        self.stage_s[stage] += time.perf_counter() - began
        self.stage_bytes[stage] += sum({id(array): array.nbytes for array in _arrays(arguments)}.values())

    def checked(self, poses: np.ndarray, frames: Sequence[int] | np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Poses (n, 4, 4) float64, and the key of every frame's random numbers, (n,) uint32.

        Raises:
            UssimError: They are no poses, or not as many as frames.
        """
        poses = self._checked_poses(poses)
        numbers = range(len(poses)) if frames is None else frames
        keys = np.array([key_of("frame", self.seed, int(number)) for number in numbers], np.uint32)
        if len(keys) != len(poses):
            raise UssimError(f"frames: {len(keys)} numbers for {len(poses)} poses; allowed: one each")
        return poses, keys

    def _checked_poses(self, poses: np.ndarray) -> np.ndarray:
        given = np.asarray(poses, np.float64)
        poses = given[None] if given.ndim == 2 else given
        if poses.ndim != 3 or poses.shape[1:] != (4, 4) or len(poses) == 0:
            raise UssimError(f"poses: shape {given.shape} given, (n, 4, 4) with n ≥ 1 needed")
        for number, pose in enumerate(poses):
            if not np.isfinite(pose).all():
                raise UssimError(f"pose {number}: holds NaN or infinity")
            turn = pose[:3, :3]
            if not np.allclose(turn.T @ turn, np.eye(3), atol=1e-4) or np.linalg.det(turn) < 0:
                raise UssimError(f"pose {number}: its 3 × 3 part is no rotation (orthonormal, right-handed)")
        return poses


def _arrays(arguments: Iterable[Any]) -> Iterator[Any]:
    """All arrays among arguments of a stage and in its tables, but for the triangles, of which it reads a few."""
    for argument in arguments:
        if isinstance(argument, Geometry):
            continue
        if isinstance(argument, tuple):
            yield from _arrays(argument)
        elif getattr(argument, "shape", ()):
            yield argument
