"""The images beside the scene: the live one, and another one to compare it with."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import viser

from cli.viewer import framing
from cli.viewer.engine import Picture
from cli.viewer.session import CINE_S, Session
from cli.viewer.stage import Guard
from cli.viewer.tabs.measure import MeasureTab

_WIDTH_PX = 540
_STATUS_S = 0.5


class Images:
    """Two panels of images, and how fast they come.

    Args:
        gui: Of the page.
        session: Whose pictures are shown.
        guard: Makes a callback whose errors are said in the page.
    """

    def __init__(self, gui: viser.GuiApi, session: Session, guard: Guard):
        self._session = session
        self._measures: MeasureTab | None = None
        self._status_s = 0.0
        self.panel = panel = gui.add_panel()
        panel.dock_left()
        panel.set_width(_WIDTH_PX)
        empty = np.zeros((500, 693 + framing.MARGIN_PX, 3), np.uint8)
        first = framing.LOW if session.generator is None else framing.ENHANCED
        self.kinds: list[Any] = []
        self._handles: list[Any] = []
        for title, kind in (("Image", first), ("Compare", framing.TISSUES)):
            with panel.add_tab(title):
                self.kinds.append(gui.add_dropdown(f"{title} shows", framing.KINDS, initial_value=kind))
                self._handles.append(gui.add_image(empty, format="jpeg", jpeg_quality=82))
                if title == "Image":
                    self._freeze = gui.add_checkbox("Freeze", False)
                    self._cine = gui.add_slider("Seconds back", 0.0, CINE_S, 0.05, 0.0, visible=False)
                    self._status = gui.add_markdown("starting …")
                else:
                    self._legend = gui.add_html("")
        for kind in self.kinds:
            kind.on_update(guard(lambda _: self._say_kinds()))
        self._freeze.on_update(guard(self._froze))
        self._cine.on_update(guard(lambda _: session.look_back(self._cine.value)))
        session.listen("pictured", self._paint)
        self._say_kinds()

    def draw_measures_of(self, measures: MeasureTab) -> None:
        """Draw callipers on the images from now on."""
        self._measures = measures
        measures.on_change = lambda: self._session.picture and self._paint(self._session.picture)

    @property
    def kind(self) -> str:
        """What the live image shows."""
        return self.kinds[0].value

    def _say_kinds(self) -> None:
        for place, kind in enumerate(self.kinds):
            self._session.want(str(place), kind.value)

    def _froze(self, _event: Any) -> None:
        self._cine.visible = self._freeze.value
        self._cine.value = 0.0
        self._session.freeze(self._freeze.value)

    def _paint(self, picture: Picture) -> None:
        measured = self._measures.drawn() if self._measures else []
        shown = [kind.value for kind in self.kinds]
        spares = self._session.engine.is_strained and picture.hq is None and not self._session.is_frozen
        spared = self._handles[1:] if spares else []
        for handle, kind in zip(self._handles, shown, strict=True):
            if handle in spared:
                continue
            image, title = framing.image_of(picture, kind, self._session.palette), ""
            if image is None and kind == framing.ENHANCED:
                image, title = picture.lq, "low quality: nothing enhances it"
            if image is not None:
                handle.image = framing.framed(image, picture.probe, measured, title)
        if not spared:
            legend = self._session.palette.legend(picture.segmentation) if framing.TISSUES in shown else ""
            if legend != self._legend.content:
                self._legend.content = legend
        self._tell_speed()

    def _tell_speed(self) -> None:
        now = time.monotonic()
        if now - self._status_s < _STATUS_S:
            return
        self._status_s, speed = now, self._session.engine.speed
        text = f"{speed.grid} px"
        if speed.fps:
            text += f" · {speed.fps:.0f} images/s · pose to image {speed.p50_ms:.0f} ms (p95 {speed.p95_ms:.0f} ms)"
        if speed.is_strained:
            spared = ", fewer pixels" if speed.is_reduced else ""
            text += f" · **this machine is slow: while the probe moves 3-D waits{spared}**"
        self._status.content = text
