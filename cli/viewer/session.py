"""What the page is about, without the page: scene, probe, knobs, pictures of the last seconds."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from cli.viewer.console import Console
from cli.viewer.engine import Engine, Picture
from cli.viewer.exercise import standard_planes
from cli.viewer.framing import ATTENUATION, DIFFERENCE, ENHANCED, TISSUES, Palette
from cli.viewer.hold import Hold
from cli.viewer.scanner import Wants
from cli.viewer.skin import Skin
from ussim.dataset.schema import tissue_table
from ussim.errors import one_line
from ussim.scene.scene import Scene

CINE_S = 10.0
"""So much of the past is kept."""
_PATH_S = 0.1  # between recorded poses
_MOST_POSES = 36_000  # of a recorded path: an hour

Event = Literal["moved", "pictured", "scene", "said"]


class Session:
    """One probe over one scene; all tabs of all browsers share it.

    Listeners hear, with :meth:`listen`: ``moved`` with the name of what moved the probe, ``pictured`` with a
    picture to show, ``scene`` with nothing, when there is another one, ``said`` with a line for the user.

    Args:
        scene: What is scanned.
        generator: What enhances; None for nothing.
        backend: What traces the rays.
        finest: Of :class:`~cli.viewer.engine.Engine`.

    Attributes:
        lock: Held while anything below changes.
        scene, skin, palette, planes: What is scanned, its outside, its colours, its standard planes.
        hold: How the probe is held.
        console: The knobs.
        picture: That is shown.
        cine: Pictures of the last seconds, oldest first.
        is_frozen: Whether the picture stays.
        path: Poses of a path that is or was recorded.
    """

    def __init__(self, scene: Scene, generator: Any = None, backend: str = "auto", finest: int | None = None):
        self.lock = threading.RLock()
        self._listeners: dict[str, list[Callable[[Any], None]]] = defaultdict(list)
        self.generator = generator
        self.console = Console()
        self.is_frozen = False
        self._settle(scene)
        self._is_recording, self._path_s = False, 0.0
        self._kinds: dict[str, str] = {}
        self.engine = Engine(
            scene, self.hold.pose, self._take, self.say, generator=generator, backend=backend, finest=finest
        )

    def listen(self, event: Event, listener: Callable[[Any], None]) -> None:
        """Hear of an event."""
        self._listeners[event].append(listener)

    def _notify(self, event: Event, what: Any = None) -> None:
        for listener in self._listeners[event]:
            listener(what)

    def say(self, text: str) -> None:
        """Tell the user something, in one line."""
        self._notify("said", one_line(text))

    # The scene ------------------------------------------------------------------------------------------
    def _settle(self, scene: Scene) -> None:
        self.scene, self.skin = scene, Skin.of(scene)
        self.palette = Palette.of(tissue_table(scene))
        self.planes = standard_planes(scene)
        self.hold = Hold.of_pose(self.skin, self._first_pose())
        self.picture: Picture | None = None
        self.cine: deque[Picture] = deque()
        self.path: list[np.ndarray] = []

    def _first_pose(self) -> np.ndarray:
        """A standard plane, else the middle of a sweep, else where a ray from the front meets the skin."""
        if self.planes:
            return next(iter(self.planes.values()))
        if self.scene.sweeps:
            return self.scene.sweep().poses(3)[1]
        low, high = self.scene.bounds_mm
        start = np.array([(low[0] + high[0]) / 2, low[1] - 100, (low[2] + high[2]) / 2])
        hit = self.skin.first_hit(start, np.array([0.0, 1.0, 0.0]))
        return Hold.at(self.skin, start if hit is None else hit, np.array([1.0, 0.0, 0.0])).pose

    def take_scene(self, scene: Scene) -> None:
        """Scan another scene; what belonged to the last one is forgotten."""
        with self.lock:
            self._settle(scene)
            self._notify("scene")
            self.engine.ask(scene=scene, pose=self.hold.pose, is_in_air=self.hold.is_in_air)

    # The probe ------------------------------------------------------------------------------------------
    def move(self, hold: Hold, by: str = "") -> None:
        """Hold the probe otherwise."""
        with self.lock:
            self.hold = hold
            self._notify("moved", by)
            if not self.is_frozen:
                self.engine.ask(pose=hold.pose, is_in_air=hold.is_in_air)

    def record(self, is_on: bool) -> None:
        """Begin to keep the probe's path, or end it."""
        with self.lock:
            self._is_recording = is_on
            if is_on:
                self.path = [self.hold.pose]

    # Pictures -------------------------------------------------------------------------------------------
    def turn(self, console: Console) -> None:
        """Turn knobs."""
        with self.lock:
            self.console = console
            if not self.is_frozen:
                self.engine.ask(console=console)

    def want(self, place: str, kind: str) -> None:
        """Say which kind of image is shown at a place of the page."""
        with self.lock:
            self._kinds[place] = kind
            shown = set(self._kinds.values())
            self.engine.ask(
                wants=Wants(
                    enhanced=self.generator is not None and bool({ENHANCED, DIFFERENCE} & shown),
                    maps=bool({TISSUES, ATTENUATION} & shown),
                )
            )
            if kind == ENHANCED and self.generator is None:
                self.say("nothing enhances: start ussim view with --generator default or a run")
            if self.picture is not None:
                self._notify("pictured", self.picture)

    def freeze(self, is_frozen: bool) -> None:
        """Keep the picture, or go on."""
        with self.lock:
            self.is_frozen = is_frozen
            if not is_frozen:
                self.engine.ask(pose=self.hold.pose, console=self.console, is_in_air=self.hold.is_in_air)

    def look_back(self, seconds: float) -> None:
        """Of a frozen picture: show the one of so many seconds before the last."""
        with self.lock:
            if self.is_frozen and self.cine:
                wanted = self.cine[-1].done_s - seconds
                self.show(min(self.cine, key=lambda one: abs(one.done_s - wanted)))

    def show(self, picture: Picture) -> None:
        """Show a picture."""
        self.picture = picture
        self._notify("pictured", picture)

    def _take(self, picture: Picture) -> None:
        """Keep what was rendered and show it; called in the rendering thread."""
        with self.lock:
            if self.is_frozen or picture.scene is not self.scene:
                return
            if picture.hq is not None and self.cine and np.array_equal(self.cine[-1].pose, picture.pose):
                self.cine.pop()  # the same place, with more of it
            self.cine.append(picture)
            while picture.done_s - self.cine[0].done_s > CINE_S:
                self.cine.popleft()
            if self._is_recording and picture.done_s - self._path_s >= _PATH_S and len(self.path) < _MOST_POSES:
                self.path.append(picture.pose)
                self._path_s = picture.done_s
            self.show(picture)
