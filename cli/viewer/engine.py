"""The one thread that renders: it takes the newest pose and drops those before it.

While the probe moves it makes low-quality images, enhanced if wanted; when the probe rests, the high-quality image,
which is given up when the probe moves on, and the maps. Where that is too slow the rest of the page waits for the
probe to rest, then fewer pixels are rendered, and both are said.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cli.viewer.console import FULL_SIZE, GRIDS, USUAL, Console, Grid
from cli.viewer.scanner import Scanner, Task, Wants
from ussim.errors import UssimError
from ussim.probe.probe import Probe
from ussim.probe.quality import HQ
from ussim.render.backends import open_backend
from ussim.render.renderer import Renderer
from ussim.scene.scene import Scene

REST_S = 0.15
"""So long after its last move a probe rests."""
SLOWEST_S, SLOWEST_ENHANCED_S = 0.1, 0.16
"""What makes an image slow, one that is enhanced too."""
_PATIENCE = 8  # images over which the speed is judged before the grid changes
_HISTORY = 240  # images over which rate and latency are told


@dataclass(frozen=True, eq=False)
class Picture:
    """What a pose showed.

    Attributes:
        number: Counts pictures up.
        scene: What is seen.
        pose: (4, 4), probe → scene, mm.
        probe: What made it.
        lq: (H, W) uint8.
        enhanced, hq, segmentation, attenuation: Likewise, the last one float16; None where not made.
        asked_s, done_s: When the pose was asked for, and the picture was there; ``time.monotonic``.
    """

    number: int
    scene: Scene
    pose: np.ndarray
    probe: Probe
    lq: np.ndarray
    enhanced: np.ndarray | None
    hq: np.ndarray | None
    segmentation: np.ndarray | None
    attenuation: np.ndarray | None
    asked_s: float
    done_s: float

    @property
    def best(self) -> np.ndarray:
        """The best image of it."""
        if self.hq is not None:
            return self.hq
        return self.lq if self.enhanced is None else self.enhanced


@dataclass(frozen=True)
class Speed:
    """How fast it goes.

    Attributes:
        fps: Images a second while the probe moves; 0 before there are two.
        p50_ms, p95_ms: From pose to image.
        grid: That is rendered.
        is_reduced: Whether it is coarser than was asked for.
        is_strained: Whether all else should be spared for the images.
    """

    fps: float
    p50_ms: float
    p95_ms: float
    grid: Grid
    is_reduced: bool
    is_strained: bool


class _MovedOn(Exception):
    """The probe moves while a picture of it at rest is made."""


class Engine:
    """Renders in a thread of its own.

    Args:
        scene: What is scanned.
        pose: (4, 4), where the probe begins.
        show: Given each picture, in the rendering thread.
        tell: Given what goes wrong, in one line.
        generator: What enhances: a ``Generator``, or None.
        backend: What traces the rays.
        finest: Number in ``GRIDS`` of the grid that is rendered if it is fast enough; by default as suits a CPU or GPU.
        seed: Of all random numbers.

    Attributes:
        is_strained: Whether images come so slowly that all else should be spared for them.
    """

    def __init__(
        self,
        scene: Scene,
        pose: np.ndarray,
        show: Callable[[Picture], None],
        tell: Callable[[str], None],
        *,
        generator: Any = None,
        backend: str = "auto",
        finest: int | None = None,
        seed: int = 0,
    ):
        self._show, self._tell, self._generator = show, tell, generator
        self._backend: Any = open_backend(backend, Renderer)
        if finest is None:
            finest = FULL_SIZE if self._backend.name == "cuda" else USUAL
        self._finest, self._seed = finest, seed
        self._task = Task(scene, pose, Console(), Wants(), time.monotonic())
        self._wake = threading.Condition()
        self._is_new, self._stops = True, False
        self._grid, self._slow, self._fast = finest, 0, 0
        self.is_strained = False
        self._number = 0
        self._scanner: Scanner | None = None
        self._times: deque[tuple[float, float]] = deque(maxlen=_HISTORY)
        self._thread = threading.Thread(target=self._run, name="ussim view", daemon=True)

    # For other threads --------------------------------------------------------------------------------
    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, after the picture that is being made."""
        with self._wake:
            self._stops = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join()

    def ask(
        self,
        *,
        pose: np.ndarray | None = None,
        console: Console | None = None,
        wants: Wants | None = None,
        scene: Scene | None = None,
        is_in_air: bool | None = None,
    ) -> None:
        """Show something else; what was asked for before and not begun is dropped."""
        changes = {"pose": pose, "console": console, "wants": wants, "scene": scene, "is_in_air": is_in_air}
        with self._wake:
            given = {name: value for name, value in changes.items() if value is not None}
            self._task = replace(self._task, asked_s=time.monotonic(), **given)
            self._is_new = True
            self._wake.notify()

    @property
    def speed(self) -> Speed:
        """How fast it goes."""
        times = list(self._times)
        grid = GRIDS[self._grid]
        if len(times) < 2:
            return Speed(0.0, 0.0, 0.0, grid, self._grid > self._finest, self.is_strained)
        done, took = np.array(times).T
        steps = np.diff(done)
        moving = steps[steps < 1.0]  # pauses are no slowness
        p50, p95 = np.percentile(1e3 * took, (50, 95))
        fps = 1 / float(np.median(moving)) if len(moving) else 0.0
        return Speed(fps, float(p50), float(p95), grid, self._grid > self._finest, self.is_strained)

    # The thread -----------------------------------------------------------------------------------------
    def _run(self) -> None:
        rests = False  # whether the picture of a probe at rest is made
        while True:
            with self._wake:
                while not (self._is_new or self._stops):
                    woken = self._wake.wait(None if rests else REST_S)
                    if not woken:
                        break
                if self._stops:
                    return
                task, moves, self._is_new = self._task, self._is_new, False
            rests = True  # also after a failure: it would fail again
            try:
                self._make(task, moves)
                rests = not moves
            except _MovedOn:
                pass
            except UssimError as error:
                self._tell(str(error))
            except Exception as error:  # the page must hear of it: nobody else would
                self._tell(f"{type(error).__name__}: {error}")

    def _make(self, task: Task, moves: bool) -> None:
        scanner = self._ready(task)
        began = time.monotonic()
        look = scanner.look(task, self._generator, self._tell)
        took = time.monotonic() - began
        hq, segmentation, attenuation = None, look.segmentation, look.attenuation
        if not moves:
            pose = scanner.pose_of(task)
            hq = self._high_quality(scanner.renderer, pose)
            if segmentation is None:
                maps = scanner.renderer.maps(pose[None])
                segmentation, attenuation = maps.segmentation[0], maps.attenuation[0]
        if task.is_in_air and segmentation is not None:  # its numbers are not those of the scene
            segmentation = np.zeros_like(segmentation)
        now = time.monotonic()
        self._number += 1
        if moves:
            self._times.append((now, now - task.asked_s))
            self._suit_grid(took, SLOWEST_ENHANCED_S if look.enhanced is not None else SLOWEST_S)
        self._show(
            Picture(
                self._number, task.scene, task.pose, scanner.renderer.probe, look.image, look.enhanced, hq,
                segmentation, attenuation, task.asked_s, now,
            )
        )  # fmt: skip

    def _high_quality(self, renderer: Renderer, pose: np.ndarray) -> np.ndarray:
        renderer.before_stage = self._give_way
        try:
            return renderer.render(pose, HQ, [0])[0]
        finally:
            renderer.before_stage = None

    def _give_way(self) -> None:
        if self._is_new or self._stops:
            raise _MovedOn

    def _ready(self, task: Task) -> Scanner:
        """A scanner for what is asked for: the last one if it will do."""
        grid = GRIDS[self._grid]
        if self._scanner is None or not self._scanner.fits(task, grid):
            self._scanner = Scanner(task, grid, self._backend, self._seed)
        return self._scanner

    def _suit_grid(self, took_s: float, slowest_s: float) -> None:
        """Spare the rest, then render fewer pixels after some slow images, and more after many fast ones."""
        self._slow = self._slow + 1 if took_s > slowest_s else 0
        self._fast = self._fast + 1 if took_s < slowest_s / 4 else 0
        if self._slow >= _PATIENCE and not self.is_strained:
            self.is_strained, self._slow = True, 0
        elif self._slow >= _PATIENCE and self._grid + 1 < len(GRIDS):
            self._grid, self._slow = self._grid + 1, 0
        elif self._fast >= 8 * _PATIENCE and self._grid > self._finest:
            self._grid, self._fast = self._grid - 1, 0
        elif self._fast >= 8 * _PATIENCE and self.is_strained:
            self.is_strained, self._fast = False, 0
