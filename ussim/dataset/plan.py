"""What a job is to render, and whether a store holds just that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ussim.dataset.machine import this_machine
from ussim.dataset.poses import check_poses
from ussim.dataset.schema import (
    LARGEST_SEED,
    MOST_FRAMES,
    MOST_UNIT_FRAMES,
    PHYSICS_VERSION,
    Header,
    ImageGeometry,
    tissue_table,
)
from ussim.errors import UssimError
from ussim.probe.settings import Settings
from ussim.render.backends import BACKENDS
from ussim.settings import whole_number

if TYPE_CHECKING:
    from ussim.dataset.series import Series
    from ussim.scene.scene import Scene

UNIT_FRAMES = 8
"""Frames in a work unit unless asked otherwise."""

UNIT_FRAMES_OF_SHARDS = 32
"""Where they lie in one object: so that 6669 pairs are hundreds of objects in each array."""


MOST_WORK_BYTES = 128 * 2**30
"""Of the arrays on which one frame is made."""

# bytes on disk per byte of array, zstd level 1, measured on speckle that fills the sector: an upper estimate
DISK_SHARE = {"lq": 0.56, "hq": 0.56, "segmentation": 0.01, "attenuation": 0.22}


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
            ("frames", self.frames, 1, MOST_FRAMES),
            ("seed", self.seed, 0, LARGEST_SEED),
            ("unit", self.unit_frames, 1, MOST_UNIT_FRAMES),
        ):
            if not low <= value <= high:
                raise UssimError(f"{name} = {value} is not allowed: must be a whole number from {low} to {high}")
        if self.backend not in BACKENDS:
            raise UssimError(f"backend = {self.backend!r} is not allowed: must be one of {', '.join(BACKENDS)}")
        self.scene.sweep(self.sweep)
        self._refuse_too_much()

    def _refuse_too_much(self) -> None:
        """Refuse what no machine has the memory for; what this one has shows when it renders."""
        for name, needed in self.work_bytes().items():
            if needed > MOST_WORK_BYTES:
                quality, probe = self.settings.qualities[name], self.settings.probe
                raise UssimError(
                    f"{name}.rays = {quality.rays} with {name}.layers = {quality.layers}, {probe.scanlines} "
                    f"scanlines and {probe.axial_samples} axial samples: a frame needs {needed / 1e9:.0f} "
                    f"GB of memory; allowed: at most {MOST_WORK_BYTES / 1e9:.0f} GB"
                )

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
        gains = np.asarray([] if tgc_db is None else tgc_db, np.float32)
        return Header(
            physics_version=PHYSICS_VERSION,
            ussim_version=ussim.__version__,
            scene=self.series.reference if self.series else {"name": self.scene.name, "digest": self.scene.digest},
            sweep=self.sweep,
            frames=self.frames,
            unit_frames=self.unit_frames,
            seed=self.seed,
            split_seed=self.seed,
            backend=backend,
            image=ImageGeometry.of_probe(probe),
            probe=probe.model_dump(mode="json"),
            imaging=self.settings.imaging.model_dump(mode="json"),
            qualities={name: q.model_dump(mode="json") for name, q in self.settings.qualities.items()},
            tissues=tissue_table(self.scene),
            tgc_db=[float(str(gain)) for gain in gains],  # the shortest decimal that gives the float32 back
            scenes=list(self.series.rows) if self.series else [],
            machine=this_machine(),
        )

    def bytes_in_memory(self) -> dict[str, int]:
        """Size of each large array, uncompressed."""
        height, width = self.settings.probe.image_shape
        pixels = self.frames * height * width
        sizes = dict.fromkeys(self.settings.qualities, pixels)
        return {**sizes, "segmentation": pixels, "attenuation": 2 * pixels}

    def work_bytes(self) -> dict[str, int]:
        """Memory that a frame takes while it is made, by quality."""
        from ussim.render.aperture.arrays import fastest_of, work_bytes  # what compiles is imported when it is needed

        probe, imaging, fastest = self.settings.probe, self.settings.imaging, fastest_of(self.scene)
        return {name: work_bytes(probe, imaging, one, fastest) for name, one in self.settings.qualities.items()}

    def bytes_on_disk(self) -> int:
        """About how much the store will take, from measured compression."""
        return int(sum(DISK_SHARE[name] * size for name, size in self.bytes_in_memory().items()))


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


def parse_shard(text: str) -> tuple[int, int]:
    """``2/4`` as (2, 4).

    Raises:
        UssimError: Another form, or a number out of range.
    """
    first, second = map(whole_number, text.partition("/")[::2])
    if first is not None and second is not None and 1 <= first <= second:
        return first, second
    raise UssimError(f"--shard {text}: write i/n with 1 <= i <= n, as in 1/4")


def first_difference(header: Header, plan: Plan) -> str:
    """The first setting in which a store differs from a plan, in words; empty if there is none."""
    stored, wanted = header.model_dump(mode="json"), plan.header().model_dump(mode="json")
    # These follow from the others, or change nothing: all backends make the same pixels.
    for derived in ("tgc_db", "image", "machine", "backend", "sharded"):
        stored.pop(derived, None)
        wanted.pop(derived, None)
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
