"""Jobs without a tracer: a renderer that is a hash, a ball to scan, and the bytes of a store."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from support import scenes
from ussim.dataset.plan import Plan, make_plan
from ussim.dataset.series import SceneSource
from ussim.dataset.store import Dataset
from ussim.probe.settings import build_settings
from ussim.scene.scene import Scene
from ussim.scene.sweep import Sweep, SweepKey

SMALL = (
    "probe.scanlines=16",
    "probe.axial_samples=64",
    "probe.image_height=24",
    "probe.image_width=33",
    "probe.depth_mm=100",
)


class FakeRenderer:
    """Pictures from a hash of seed, frame and quality: what a renderer promises, without the physics."""

    backend_name = "cpu"
    device = "nothing"

    def __init__(self, plan: Plan, backend: str, tgc_db: np.ndarray | None):
        assert backend in ("auto", "cpu")
        self.plan = plan
        self.mask = plan.settings.probe.mask()
        self.tgc_db = tgc_db
        self.rendered: list[int] = []

    def fit_tgc(self, poses: np.ndarray) -> np.ndarray:
        samples = self.plan.settings.probe.axial_samples
        self.tgc_db = np.linspace(0, 1 / 3 + float(poses[-1, 0, 3]), samples).astype(np.float32)
        return self.tgc_db

    def batch_size(self, qualities) -> int:
        return 5

    def render(self, poses, quality, frames):
        self.rendered += frames.tolist()
        key = [self.plan.seed, quality.rays, round(float(self.tgc_db.sum()) * 1e3)]
        images = [np.random.default_rng([*key, frame]).integers(0, 256, self.mask.shape, np.uint8) for frame in frames]
        return np.stack(images) * self.mask

    def maps(self, poses):
        n = len(poses)
        shift = np.abs(poses[:, 0, 3])[:, None, None]
        return SimpleNamespace(
            segmentation=np.repeat(self.mask[None], n, axis=0),
            attenuation=(self.mask / (1 + shift)).astype(np.float32),
            attenuation_scale=np.full(n, 0.9, np.float32),
        )


def hold_from(first: int) -> None:
    """Let this process write no unit from this number on: it then waits until it is killed."""
    write = Dataset.write_unit

    def held(self: Dataset, unit: int, data: Mapping[str, np.ndarray]) -> None:
        if unit >= first:
            threading.Event().wait()
        write(self, unit, data)

    Dataset.write_unit = held


class SlowRenderer(FakeRenderer):
    """Takes long enough for a signal to arrive in the middle."""

    def render(self, poses, quality, frames):
        time.sleep(0.05)
        return super().render(poses, quality, frames)


class FullDiskRenderer(FakeRenderer):
    """Where it renders, the disk is full from the third unit on."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        write = Dataset.write_unit

        def fill_up(self: Dataset, unit: int, data: Mapping[str, np.ndarray]) -> None:
            if unit >= 2:
                raise OSError(errno.ENOSPC, "No space left on device", str(self.path / "lq"))
            write(self, unit, data)

        Dataset.write_unit = fill_up


class Memory:
    """What a worker on Ray makes that counts how often it meets a letter."""

    def __init__(self, cores: int):
        self.met: dict[str, int] = {}

    def note(self, item: tuple[str, int]) -> int:
        time.sleep(0.03)
        self.met[item[0]] = self.met.get(item[0], 0) + 1
        return self.met[item[0]]


class SceneRenderer(FakeRenderer):
    """Pictures that also depend on the scene."""

    def render(self, poses, quality, frames):
        return super().render(poses, quality, frames) ^ np.uint8(int(self.plan.scene.digest[:2], 16))


def ball_scene(radius: float = 60) -> Scene:
    """A ball of liver 5 mm below a probe that slides along x."""
    ends = [SweepKey(position_mm=(x, 0.0, 0.0), axial=(0, 0, 1), lateral=(1, 0, 0)) for x in (-8.0, 8.0)]
    sweep = Sweep("exam", tuple(ends))
    return Scene.from_surfaces(
        [scenes.sphere(radius, centre=(0, 0, 5 + radius), tissue="liver")], sweeps={"exam": sweep}, name="ball"
    )


def ball_sources(count: int) -> list[SceneSource]:
    """Balls of several sizes, each made when it is loaded."""
    return [SceneSource(seed, 22.0, "tiny", partial(ball_scene, 50.0 + seed)) for seed in range(count)]


def ball_plan(frames: int = 22, unit_frames: int = 4, settings: tuple[str, ...] = (), **keys) -> Plan:
    return make_plan(ball_scene(), frames, build_settings([*SMALL, *settings]), unit_frames=unit_frames, **keys)


def all_files(path: Path) -> dict[str, bytes]:
    return {f.relative_to(path).as_posix(): f.read_bytes() for f in sorted(path.rglob("*")) if f.is_file()}
