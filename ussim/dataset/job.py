"""A rendering job: plan it, render its work units, write them to a store, pick it up again after a break.

One way through: ``Plan`` (what is to be rendered) → ``run`` (units that are not done yet, in batches) →
store. While a batch is rendered, a small pool of threads writes the one before. A unit is marked done after
all of its data is on disk, so whatever ends a job, the next one goes on with the units that are missing.
"""

from __future__ import annotations

import errno
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ussim.dataset.store import Dataset, Header, StoreExistsError
from ussim.errors import UssimError
from ussim.probe.settings import Settings

if TYPE_CHECKING:
    from ussim.dataset.series import Series
    from ussim.probe.quality import Quality
    from ussim.scene.scene import Scene

UNIT_FRAMES = 8
"""Frames in a work unit unless asked otherwise."""
TGC_SCENES = 4
"""Of a series of scenes the first few are enough for it: the curve is the mean of theirs."""
TGC_POSES = 16
"""Poses, spread over the sweep, that time-gain compensation is fitted to, whatever the number of frames."""
WRITER_THREADS = 4
LARGEST_SEED = 2**32 - 1
BACKENDS = ("auto", "cpu", "cuda")
# bytes on disk per byte of array, zstd level 1, measured on speckle that fills the sector: an upper estimate
DISK_SHARE = {"lq": 0.56, "hq": 0.56, "segmentation": 0.01, "attenuation": 0.22}

Progress = Callable[[str, int, int], None]
"""Told the phase (``scenes``, ``prepare``, ``gain``, ``render``), how much of it is done and how much there is."""


class FrameRenderer(Protocol):
    """What a job needs of a renderer; ``ussim.render.renderer.Renderer`` is one."""

    backend_name: str

    def fit_tgc(self, poses: np.ndarray) -> np.ndarray:
        """Fit and set the time-gain compensation [dB], shape (axial_samples,)."""

    def batch_size(self, qualities: Sequence[Quality]) -> int:
        """How many frames to render at once."""

    def render(self, poses: np.ndarray, quality: Quality, frames: np.ndarray) -> np.ndarray:
        """Images, uint8 of shape (n, H, W)."""

    def maps(self, poses: np.ndarray) -> Any:
        """Segmentation, attenuation and attenuation_scale."""


RendererFactory = Callable[["Plan", str, "np.ndarray | None"], FrameRenderer]
"""Makes the renderer of a plan on a backend, with a fitted time-gain compensation or None."""


class InterruptedJobError(UssimError):
    """The job was stopped by the user; what it finished is on disk."""

    interrupted = True


@dataclass(frozen=True)
class Plan:
    """What to render.

    Attributes:
        scene: The scene.
        sweep: Name of one of its sweeps.
        frames: Number of frames, spread over the sweep.
        settings: Probe, imaging and qualities.
        seed: Seed of all random numbers.
        unit_frames: Frames in a work unit.
        backend: ``auto``, ``cpu`` or ``cuda``.
        series: All scenes of a dataset over several, ``scene`` being its first.

    Raises:
        UssimError: A value out of range or a sweep that the scene does not have.
    """

    scene: Scene
    sweep: str
    frames: int
    settings: Settings
    seed: int = 0
    unit_frames: int = UNIT_FRAMES
    backend: str = "auto"
    series: Series | None = None

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("frames", self.frames, 1, 10**7),
            ("seed", self.seed, 0, LARGEST_SEED),
            ("unit", self.unit_frames, 1, 10**4),
        ):
            if not low <= value <= high:
                raise UssimError(f"{name} = {value} is not allowed: must be a whole number from {low} to {high}")
        if self.backend not in BACKENDS:
            raise UssimError(f"backend = {self.backend!r} is not allowed: must be one of {', '.join(BACKENDS)}")
        self.scene.sweep(self.sweep)

    @property
    def poses(self) -> np.ndarray:
        """Probe → scene, mm, float64 of shape (frames, 4, 4)."""
        if self.series is not None:
            return self.series.poses
        return self.scene.sweep(self.sweep).poses(self.frames)

    @property
    def scene_of_frame(self) -> np.ndarray:
        """Which of the scenes each frame shows, uint16 of shape (frames,)."""
        return np.zeros(self.frames, np.uint16) if self.series is None else self.series.scene_of_frame

    def of_scene(self, number: int) -> Plan:
        """The plan with one of its scenes, loaded, in place of them all."""
        return self if self.series is None else replace(self, scene=self.series.load(number), series=None)

    def check_poses(self) -> None:
        """Refuse poses that cannot give an image; those of a series were checked when it was read.

        Raises:
            UssimError: As :func:`check_poses`.
        """
        if self.series is None:
            check_poses(self.scene, self.poses, sweep=self.sweep)

    def header(self, backend: str = "", tgc_db: np.ndarray | None = None) -> Header:
        """The attributes of the store this plan makes.

        Args:
            backend: Name of the backend that renders it.
            tgc_db: Its time-gain compensation, float32 of shape (axial_samples,).
        """
        import ussim

        probe = self.settings.probe
        height, width = probe.image_shape
        gains = np.asarray([] if tgc_db is None else tgc_db, np.float32)
        return Header(
            ussim_version=ussim.__version__,
            scene=self.series.reference if self.series else {"name": self.scene.name, "digest": self.scene.digest},
            sweep=self.sweep,
            frames=self.frames,
            unit_frames=self.unit_frames,
            seed=self.seed,
            split_seed=self.seed,
            backend=backend,
            image={
                "height": height,
                "width": width,
                "mm_per_pixel": probe.mm_per_pixel,
                "origin_mm": probe.image_origin_mm,
            },
            probe=probe.model_dump(mode="json"),
            imaging=self.settings.imaging.model_dump(mode="json"),
            qualities={name: q.model_dump(mode="json") for name, q in self.settings.qualities.items()},
            tissues=tissue_table(self.scene),
            tgc_db=[float(str(gain)) for gain in gains],  # the shortest decimal that gives the float32 back
            scenes=list(self.series.rows) if self.series else [],
        )

    def bytes_in_memory(self) -> dict[str, int]:
        """Size of each large array, uncompressed."""
        height, width = self.settings.probe.image_shape
        pixels = self.frames * height * width
        sizes = dict.fromkeys(self.settings.qualities, pixels)
        return {**sizes, "segmentation": pixels, "attenuation": 2 * pixels}

    def bytes_on_disk(self) -> int:
        """About how much the store will take, from measured compression."""
        return int(sum(DISK_SHARE[name] * size for name, size in self.bytes_in_memory().items()))


@dataclass(frozen=True)
class Summary:
    """What a job did.

    Attributes:
        path: The store.
        rendered: Frames rendered by this job.
        seconds: Time taken.
        units_done: Units of the store that are done now.
        units: Units of the store.
        device: What rendered them, in words; empty when there was nothing to do.
    """

    path: Path
    rendered: int
    seconds: float
    units_done: int
    units: int
    device: str = ""


def make_plan(
    scene: Scene,
    frames: int,
    settings: Settings,
    sweep: str | None = None,
    seed: int = 0,
    unit_frames: int = UNIT_FRAMES,
    backend: str = "auto",
    series: Series | None = None,
) -> Plan:
    """A plan; without a sweep it takes the scene's first. With a series ``scene`` is its first scene.

    Raises:
        UssimError: A value out of range, or a sweep that the scene does not have.
    """
    return Plan(scene, scene.sweep(sweep).name, frames, settings, seed, unit_frames, backend, series)


def tissue_table(scene: Scene) -> list[dict[str, Any]]:
    """One row for each value in a segmentation: id, name, colour, acoustic parameters. Id 0 is no tissue."""
    rows = [{"id": 0, "name": "outside the sector", "color": "#000000"}]
    rows += [{"id": index, **asdict(tissue)} for index, tissue in enumerate(scene.media, start=1)]
    return rows


def parse_shard(text: str) -> tuple[int, int]:
    """``2/4`` as (2, 4).

    Raises:
        UssimError: Another form, or a number out of range.
    """
    first, slash, second = text.partition("/")
    if slash and first.isdecimal() and second.isdecimal() and 1 <= int(first) <= int(second):
        return int(first), int(second)
    raise UssimError(f"--shard {text}: write i/n with 1 <= i <= n, as in 1/4")


# Poses ------------------------------------------------------------------------------------------------


def check_poses(scene: Scene, poses: np.ndarray, max_gap_mm: float = 15.0, sweep: str = "") -> None:
    """Refuse poses that cannot give an image.

    Args:
        scene: The scene.
        poses: Probe → scene, mm, float64 of shape (n, 4, 4).
        max_gap_mm: Largest distance from the face's centre, along the beam, to the first surface.
        sweep: Name of the sweep, for the message.

    Raises:
        UssimError: A pose that is not finite or not a rotation and a shift, or that finds no surface in
            front of the probe. The message names sweep and frame.
    """
    from ussim.render.contact import contact_gap_mm

    where = f"sweep {sweep!r}, frame " if sweep else "pose "
    for frame, pose in enumerate(poses):
        fault = _pose_fault(pose)
        if fault:
            raise UssimError(f"{where}{frame}: {fault}")
    gaps = contact_gap_mm(scene, poses)
    bad = np.flatnonzero(~(gaps <= max_gap_mm))
    if bad.size:
        frame = int(bad[0])
        more = f" ({bad.size} of {len(poses)} frames)" if bad.size > 1 else ""
        if np.isfinite(gaps[frame]):
            fault = f"the probe is {gaps[frame]:.1f} mm off the body; allowed: at most {max_gap_mm:g} mm"
        else:
            fault = "the probe is outside the body or points away from it: no surface lies in front of its face"
        raise UssimError(f"{where}{frame}: {fault}{more}")


def _pose_fault(pose: np.ndarray) -> str:
    """What is wrong with a pose, or nothing."""
    if not np.isfinite(pose).all():
        return "the pose holds NaN or infinity"
    rotation = pose[:3, :3]
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-6):
        return "the pose's axes are not orthonormal (perpendicular to each other and of length 1)"
    if np.linalg.det(rotation) < 0:
        return "the pose mirrors (elevational must be axial × lateral)"
    if not np.array_equal(pose[3], [0, 0, 0, 1]):
        return "the pose's last row is not 0 0 0 1"
    return ""


# Running ----------------------------------------------------------------------------------------------


def run(
    plan: Plan,
    path: str | Path,
    *,
    resume: bool = False,
    shard: tuple[int, int] | None = None,
    make_renderer: RendererFactory | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Render what a store still lacks.

    Args:
        plan: What to render.
        path: The store: a new path, or a store of the same plan with ``resume`` or ``shard``.
        resume: Go on with a store that exists.
        shard: (i, n): take every n-th unit, from the i-th (1-based). The processes of all n shards may run at
            once and share the path.
        make_renderer: Makes the renderer; the default is ``ussim.render.renderer.Renderer``.
        progress: Told what is going on.

    Returns:
        What was done.

    Raises:
        UssimError: The path is taken, its store has other settings, a pose is bad, or the disk is full.
        InterruptedJobError: Ctrl-C; what was finished is kept.
    """
    path = Path(path)
    start = time.perf_counter()
    make_renderer = make_renderer or _default_renderer
    progress = progress or (lambda phase, done, total: None)

    poses = plan.poses
    dataset = open_existing(plan, path, resume=resume or shard is not None)
    progress("prepare", 0, 1)
    plan.check_poses()
    renderer = None
    if dataset is None:
        dataset, renderer = _create(plan, path, poses, make_renderer, progress, join=shard is not None)
    first, step = shard or (1, 1)
    poses = dataset.poses  # those in the store, to the last bit
    pending = [int(unit) for unit in np.flatnonzero(~dataset.done) if unit % step == first - 1]
    renderers = _Renderers(plan, dataset.header, make_renderer, renderer)
    if pending:
        renderers.of(int(plan.scene_of_frame[dataset.header.unit_range(pending[0]).start]))
    progress("prepare", 1, 1)
    rendered = _render_units(plan, dataset, renderers, pending, poses, progress) if pending else 0
    return Summary(
        path=path,
        rendered=rendered,
        seconds=time.perf_counter() - start,
        units_done=int(dataset.done.sum()),
        units=dataset.header.units,
        device=renderers.device,
    )


def open_existing(plan: Plan, path: Path, resume: bool) -> Dataset | None:
    """The store at a path if there is one, checked against the plan.

    Args:
        plan: What the store must hold.
        path: Where it may be.
        resume: Whether it may exist.

    Raises:
        UssimError: It exists and ``resume`` is false, is no store, or has other settings.
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return None
    if not resume:
        raise UssimError(f"{path} exists already: give --resume to go on with it, or another path")
    dataset = Dataset.open(path, mode="r+")
    difference = first_difference(dataset.header, plan)
    if difference:
        raise UssimError(f"{path} was made with other settings: {difference}")
    return dataset


def first_difference(header: Header, plan: Plan) -> str:
    """The first setting in which a store differs from a plan, in words; empty if there is none."""
    stored, wanted = header.model_dump(mode="json"), plan.header().model_dump(mode="json")
    if plan.backend != "auto":
        wanted["backend"] = plan.backend
    else:
        del stored["backend"], wanted["backend"]
    for derived in ("tgc_db", "image"):  # these follow from the others
        del stored[derived], wanted[derived]
    return _difference(stored, wanted, "")


def _difference(stored: Any, wanted: Any, where: str) -> str:
    if isinstance(stored, dict) and isinstance(wanted, dict):
        for key in sorted({*stored, *wanted}):
            found = _difference(stored.get(key), wanted.get(key), f"{where}.{key}" if where else key)
            if found:
                return found
        return ""
    if isinstance(stored, list) and isinstance(wanted, list) and len(stored) == len(wanted):
        pairs = enumerate(zip(stored, wanted, strict=True))
        return next(filter(None, (_difference(a, b, f"{where}[{i}]") for i, (a, b) in pairs)), "")
    if stored == wanted:
        return ""
    return f"{where} is {_short(stored)} in the store and {_short(wanted)} here"


def _short(value: Any) -> str:
    text = "absent" if value is None else repr(value)
    return text if len(text) <= 40 else text[:20] + "…"


def _default_renderer(plan: Plan, backend: str, tgc_db: np.ndarray | None) -> FrameRenderer:
    from ussim.render.renderer import Renderer

    settings = plan.settings
    return Renderer(
        plan.scene,
        probe=settings.probe,
        imaging=settings.imaging,
        backend=backend,
        seed=plan.seed,
        tgc_db=tgc_db,
    )


def _create(
    plan: Plan,
    path: Path,
    poses: np.ndarray,
    make_renderer: RendererFactory,
    progress: Progress,
    join: bool,
) -> tuple[Dataset, FrameRenderer | None]:
    """Fit the gain and make the store; of several shards that try, one makes it and the others open it.

    Returns:
        The store and, if it fits the first frame, the renderer that the gain was fitted with.
    """
    progress("gain", 0, 1)
    curves, renderer = [], None
    for number in range(min(TGC_SCENES, len(plan.series.rows) if plan.series else 1)):
        part, renderer = plan.of_scene(number), None  # before the next: two need twice the memory
        renderer = make_renderer(part, plan.backend, None)
        curves.append(renderer.fit_tgc(part.scene.sweep(plan.sweep).poses(TGC_POSES)))
    tgc_db = np.mean(curves, axis=0, dtype=np.float64).astype(np.float32)
    progress("gain", 1, 1)
    header = plan.header(renderer.backend_name, tgc_db)
    try:
        return Dataset.create(
            path, header, poses, plan.settings.probe.mask()
        ), renderer if plan.series is None else None
    except StoreExistsError:
        if not join:
            raise
        dataset = open_existing(plan, path, resume=True)
        if dataset is None:
            raise
        same = dataset.header.tgc_db == header.tgc_db and dataset.header.backend == header.backend and not plan.series
        return dataset, renderer if same else None


class _Renderers:
    """The renderer of each scene, one at a time: frames come in the order of their scenes."""

    def __init__(self, plan: Plan, header: Header, make: RendererFactory, first: FrameRenderer | None):
        self._plan, self._header, self._make = plan, header, make
        self._number, self._renderer = (0, first) if first else (-1, None)

    def of(self, number: int) -> FrameRenderer:
        """The renderer of a scene."""
        if number != self._number:
            self._renderer = None  # before the next is made: two need twice the memory
            tgc = np.asarray(self._header.tgc_db, np.float32)
            self._renderer = self._make(self._plan.of_scene(number), self._header.backend, tgc)
            self._number = number
        return self._renderer

    @property
    def device(self) -> str:
        """What renders, in words; empty if nothing did."""
        return getattr(self._renderer, "device", "") if self._renderer else ""


def _render_units(
    plan: Plan,
    dataset: Dataset,
    renderers: _Renderers,
    pending: list[int],
    poses: np.ndarray,
    progress: Progress,
) -> int:
    """Render units batch by batch while a pool writes those before; returns the number of frames."""
    header = dataset.header
    scene_of_frame = plan.scene_of_frame
    first = renderers.of(int(scene_of_frame[header.unit_range(pending[0]).start]))
    batch = max(1, int(first.batch_size(list(plan.settings.qualities.values()))))
    together = max(1, batch // header.unit_frames)
    total = sum(len(header.unit_range(unit)) for unit in pending)
    rendered = 0

    progress("render", 0, total)
    writers = _Writers(dataset, limit=2 * together)
    try:
        for start in range(0, len(pending), together):
            units = pending[start : start + together]
            frames = np.concatenate([header.unit_range(unit) for unit in units])
            parts = []
            for some in _batches(frames, scene_of_frame, batch):
                parts.append(_render_frames(plan, renderers.of(int(scene_of_frame[some[0]])), some, poses))
                rendered += len(some)
                progress("render", rendered, total)
            for unit, data in _by_unit(header, units, parts):
                writers.submit(unit, data)
        writers.finish()
    except KeyboardInterrupt:
        writers.drain()
        raise InterruptedJobError(f"interrupted: {_state(dataset)}") from None
    except _WriteFailedError as error:
        writers.drain()
        raise UssimError(f"{dataset.path}: {error}: {_state(dataset)}") from None
    finally:
        writers.close()
    return rendered


def _batches(frames: np.ndarray, scene_of_frame: np.ndarray, batch: int) -> list[np.ndarray]:
    """Frames in order, so many at once as a batch holds and of one scene each."""
    changes = np.flatnonzero(np.diff(scene_of_frame[frames])) + 1
    return [part[i : i + batch] for part in np.split(frames, changes) for i in range(0, len(part), batch)]


def _render_frames(plan: Plan, renderer: FrameRenderer, frames: np.ndarray, poses: np.ndarray) -> dict[str, np.ndarray]:
    """All arrays of some frames."""
    poses = poses[frames]
    data = {name: renderer.render(poses, quality, frames=frames) for name, quality in plan.settings.qualities.items()}
    maps = renderer.maps(poses)
    data["segmentation"] = maps.segmentation
    data["attenuation"] = maps.attenuation
    data["attenuation_scale"] = maps.attenuation_scale
    return data


def _by_unit(
    header: Header, units: list[int], parts: list[dict[str, np.ndarray]]
) -> list[tuple[int, dict[str, np.ndarray]]]:
    """The arrays of consecutive batches, cut where one unit ends and the next begins."""
    ends = np.cumsum([len(header.unit_range(unit)) for unit in units])[:-1]
    cut = {name: np.split(np.concatenate([part[name] for part in parts]), ends) for name in parts[0]}
    return [(unit, {name: arrays[i] for name, arrays in cut.items()}) for i, unit in enumerate(units)]


def _state(dataset: Dataset) -> str:
    """What is finished and how to go on."""
    try:
        done = int(dataset.done.sum())
    except UssimError:
        return "run the same command with --resume to go on"
    units = dataset.header.units
    return f"{done} of {units} units are finished and kept; run the same command with --resume to go on"


class _WriteFailedError(Exception):
    """The disk did not take a unit; the message says why."""


class _Writers:
    """A few threads that write units. An error in one of them surfaces at the next call here."""

    def __init__(self, dataset: Dataset, limit: int):
        self._dataset = dataset
        self._limit = limit
        self._pool = ThreadPoolExecutor(min(WRITER_THREADS, os.cpu_count() or 1), "ussim-writer")
        self._pending: deque[Future] = deque()

    def submit(self, unit: int, data: dict[str, np.ndarray]) -> None:
        """Queue a unit; waits while too many are queued, which bounds memory."""
        while len(self._pending) >= self._limit or (self._pending and self._pending[0].done()):
            self._collect()
        self._pending.append(self._pool.submit(self._dataset.write_unit, unit, data))

    def finish(self) -> None:
        """Wait for all that is queued."""
        while self._pending:
            self._collect()

    def drain(self) -> None:
        """Wait for all that is queued, whatever becomes of it: an error is being reported already."""
        for future in self._pending:
            future.exception()
        self._pending.clear()

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _collect(self) -> None:
        try:
            self._pending.popleft().result()
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise _WriteFailedError("the disk is full" if full else error.strerror or str(error)) from error
