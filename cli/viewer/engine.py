"""The one thread that renders: it takes the newest pose and drops those before it.

While the probe moves it makes low-quality images, enhanced if wanted; when the probe rests, the high-quality image and
the maps. Where that is too slow it renders fewer pixels, and says so.
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
from ussim.dataset.schema import tissue_table
from ussim.errors import UssimError
from ussim.probe.probe import Probe
from ussim.probe.quality import HQ
from ussim.render.backends import open_backend
from ussim.render.live import Live
from ussim.render.renderer import Renderer
from ussim.scene.scene import Scene

REST_S = 0.15
"""So long after its last move a probe rests."""
WANTED_FPS = 10.0
_PATIENCE = 8  # images over which the speed is judged before the grid changes
_HISTORY = 240  # images over which rate and latency are told
_GAIN_POSES = 16


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
class Wants:
    """Which images somebody looks at.

    Attributes:
        enhanced: While the probe moves.
        maps: Likewise, segmentation and attenuation.
        hq: When it rests.
    """

    enhanced: bool = False
    maps: bool = False
    hq: bool = True


@dataclass(frozen=True)
class Speed:
    """How fast it goes.

    Attributes:
        fps: Images a second while the probe moves; 0 before there are two.
        p50_ms, p95_ms: From pose to image.
        grid: That is rendered.
        is_reduced: Whether it is coarser than was asked for.
    """

    fps: float
    p50_ms: float
    p95_ms: float
    grid: Grid
    is_reduced: bool


@dataclass(frozen=True)
class _Task:
    scene: Scene
    pose: np.ndarray
    console: Console
    wants: Wants
    asked_s: float


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
        self._task = _Task(scene, pose, Console(), Wants(), time.monotonic())
        self._wake = threading.Condition()
        self._is_new, self._stops = True, False
        self._grid, self._slow, self._fast = finest, 0, 0
        self._number = 0
        self._built: tuple[Any, ...] = ()
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
    ) -> None:
        """Show something else; what was asked for before and not begun is dropped."""
        changes = {"pose": pose, "console": console, "wants": wants, "scene": scene}
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
            return Speed(0.0, 0.0, 0.0, grid, self._grid > self._finest)
        done, took = np.array(times).T
        steps = np.diff(done)
        moving = steps[steps < 1.0]  # pauses are no slowness
        p50, p95 = np.percentile(1e3 * took, (50, 95))
        fps = 1 / float(np.median(moving)) if len(moving) else 0.0
        return Speed(fps, float(p50), float(p95), grid, self._grid > self._finest)

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
            try:
                self._make(task, moves)
            except UssimError as error:
                self._tell(str(error))
            except Exception as error:  # the page must hear of it: nobody else would
                self._tell(f"{type(error).__name__}: {error}")
            rests = not moves

    def _make(self, task: _Task, moves: bool) -> None:
        live, renderer = self._ready(task)
        began = time.monotonic()
        look = live.look(task.pose, 0)
        took = time.monotonic() - began
        hq, segmentation, attenuation = None, look.segmentation, look.attenuation
        if not moves and task.wants.hq:
            hq = renderer.render(task.pose, HQ, [0])[0]
            if segmentation is None:
                maps = renderer.maps(task.pose[None])
                segmentation, attenuation = maps.segmentation[0], maps.attenuation[0]
        now = time.monotonic()
        self._number += 1
        if moves:
            self._times.append((now, now - task.asked_s))
            self._suit_grid(took)
        self._show(
            Picture(
                self._number, task.scene, task.pose, renderer.probe, look.image, look.enhanced, hq, segmentation,
                attenuation, task.asked_s, now,
            )
        )  # fmt: skip

    def _ready(self, task: _Task) -> tuple[Live, Renderer]:
        """A renderer for what is asked for: the last one if it will do."""
        key = (task.scene, replace(task.console, gain_db=0.0, tgc_db=()), self._grid)
        wants = (task.wants.enhanced and self._generator is not None, task.wants.maps)
        if not self._built or self._built[0] != key:
            console = task.console
            renderer = Renderer(
                task.scene, console.probe(GRIDS[self._grid]), console.imaging(), self._backend, self._seed
            )
            curve = renderer.fit_tgc(task.scene.sweep().poses(_GAIN_POSES) if task.scene.sweeps else task.pose[None])
            self._built = (key, renderer, curve, None, None, None)
        key, renderer, curve, gains, made_for, live = self._built
        wanted_gains = (task.console.gain_db, task.console.tgc_db)
        if gains != wanted_gains:
            renderer.tgc_db = curve + task.console.extra_gain_db(len(curve))
        if live is None or made_for != wants:
            live = Live(
                renderer, enhance=self._enhancer(task.scene, renderer.probe) if wants[0] else None, maps=wants[1]
            )
        self._built = (key, renderer, curve, wanted_gains, wants, live)
        return live, renderer

    def _enhancer(self, scene: Scene, probe: Probe) -> Any:
        """What enhances these images; None, and why is told, if the generator does not fit them."""
        from translate.use.live import LiveEnhancer

        tissues = [row for row in tissue_table(scene) if row["id"] > 0]
        try:
            return LiveEnhancer(self._generator, probe, tissues, scene.name)
        except UssimError as error:
            self._tell(f"not enhanced: {error}")
            return None

    def _suit_grid(self, took: float) -> None:
        """Render fewer pixels after some slow images, and more after many fast ones."""
        slow = took > 1.5 / WANTED_FPS
        self._slow = self._slow + 1 if slow else 0
        self._fast = 0 if took > 0.4 / WANTED_FPS else self._fast + 1
        if self._slow >= _PATIENCE and self._grid + 1 < len(GRIDS):
            self._grid, self._slow = self._grid + 1, 0
        elif self._fast >= 8 * _PATIENCE and self._grid > self._finest:
            self._grid, self._fast = self._grid - 1, 0
