"""The page: a probe over a scene in 3-D, its images, and what can be done with them."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import viser

from cli.viewer.panels import Images
from cli.viewer.session import Session
from cli.viewer.stage import Stage, meets_plane
from cli.viewer.tabs.exercise import ExerciseTab
from cli.viewer.tabs.knobs import KnobsTab
from cli.viewer.tabs.measure import MeasureTab
from cli.viewer.tabs.probe import ProbeTab
from cli.viewer.tabs.save import SaveTab
from cli.viewer.tabs.scene import SceneTab
from ussim.errors import UssimError, one_line
from ussim.scene.scene import Scene

_NARROW_PX = 1000


class Page:
    """Serves the page.

    Args:
        scene: What is scanned.
        host, port: Where the page is served.
        generator: What enhances; None for nothing.
        backend: What traces the rays.
        finest: Of :class:`~cli.viewer.engine.Engine`.

    Attributes:
        session: What the page is about.
    """

    def __init__(
        self,
        scene: Scene,
        host: str,
        port: int,
        generator: Any = None,
        backend: str = "auto",
        finest: int | None = None,
    ):
        self.session = Session(scene, generator, backend, finest)
        with contextlib.redirect_stdout(io.StringIO()):  # its address is told by the command
            self._server = viser.ViserServer(host=host, port=port, label="ussim", verbose=False)
        self._scratch = tempfile.TemporaryDirectory(prefix="ussim-view-")
        self._fill()
        self.session.engine.start()

    @property
    def port(self) -> int:
        """Where the page is served."""
        return self._server.get_port()

    def close(self) -> None:
        """End the rendering and the page."""
        self.session.engine.stop()
        with contextlib.redirect_stdout(io.StringIO()):
            self._server.stop()
        self._scratch.cleanup()

    def _fill(self) -> None:
        server, session, gui, guard = self._server, self.session, self._server.gui, self._guarded
        gui.configure_theme(dark_mode=True, show_logo=False, show_share_button=False)
        gui.main_panel.dock_right()
        self._stage = stage = Stage(server, session, guard)
        self._images = images = Images(gui, session, guard)
        self._says = gui.add_markdown("")
        session.listen("said", self._say)
        tabs = gui.add_tab_group()
        with tabs.add_tab("Probe"):
            self._probe = ProbeTab(gui, session, guard)
        with tabs.add_tab("Knobs"):
            KnobsTab(gui, session, guard)
        with tabs.add_tab("Measure"):
            self._measures = MeasureTab(gui, session, stage, guard)
        images.draw_measures_of(self._measures)
        with tabs.add_tab("Practise"):
            ExerciseTab(gui, session, guard)
        with tabs.add_tab("Save"):
            SaveTab(gui, session, images, self._measures, self._told)
        with tabs.add_tab("Scene"):
            SceneTab(server, session, stage, Path(self._scratch.name), self._told)
        server.scene.on_click()(guard(self._clicked))
        server.on_client_connect(self._suit_width)

    def _suit_width(self, client: viser.ClientHandle) -> None:
        """In a narrow window, which 3-D still fills now, the tabs go below the images, for else 3-D has no place."""
        if client.camera.image_width < _NARROW_PX:
            self._server.gui.main_panel.dock_below(self._images.panel)
        else:
            self._server.gui.main_panel.dock_right()

    def _say(self, text: str) -> None:
        self._says.content = f"⚠ {text}"

    def _told(self, call: Callable[[Any], None]) -> Callable[[Any], None]:
        """A callback of the page: what goes wrong is said there."""

        @wraps(call)
        def told(event: Any) -> None:
            try:
                call(event)
            except UssimError as error:
                self.session.say(str(error))
            except Exception as error:  # nobody else would hear of it
                self.session.say(one_line(f"{type(error).__name__}: {error}"))

        return told

    def _guarded(self, call: Callable[[Any], None]) -> Callable[[Any], None]:
        """A callback of the page that is short: one at a time, though viser calls them in several threads."""

        def alone(event: Any) -> None:
            with self.session.lock:
                call(event)

        return self._told(alone)

    def _clicked(self, event: viser.SceneClickEvent) -> None:
        origin, direction = np.asarray(event.ray_origin), np.asarray(event.ray_direction)
        session = self.session
        if self._measures.kind is not None:
            point = meets_plane(origin, direction, self._stage.pose)
            if point is not None:
                self._measures.take(point)
        elif self._probe.moves_by_click:
            hit = session.skin.first_hit(origin, direction)
            if hit is not None:
                session.move(session.hold.moved_to(session.skin, hit))
