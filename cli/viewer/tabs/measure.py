"""The tab of callipers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import viser

from cli.viewer import callipers
from cli.viewer.callipers import Measured
from cli.viewer.session import Session
from cli.viewer.stage import Guard, Stage
from ussim.errors import UssimError

_OFF = "off"


class MeasureTab:
    """Fills the tab.

    Args:
        gui: Of the page, within the tab.
        session: Whose picture is measured.
        stage: Where it is clicked on.
        guard: Makes a callback whose errors are said in the page.

    Attributes:
        on_change: Called when something else is to be drawn on the image.
        measured: What was measured, and what the mesh says to it [mm].
    """

    def __init__(self, gui: viser.GuiApi, session: Session, stage: Stage, guard: Guard):
        self._session = session
        self.on_change: Callable[[], Any] = lambda: None
        self.measured: list[tuple[Measured, float | None]] = []
        self._points: list[callipers.Point] = []
        self._tool = gui.add_dropdown("Callipers", (_OFF, *callipers.KINDS.values()))
        gui.add_markdown(
            "Freeze the image, choose callipers, and click on the image plane in 3-D: the ends of a distance; of an "
            "ellipse the ends of its long axis and a point beside it."
        )
        gui.add_button("Face the image").on_click(guard(stage.face_image))
        with gui.add_folder("By numbers", expand_by_default=False):
            self._typed = gui.add_text("Points x z, x z [mm]", "")
            gui.add_button("Measure these points").on_click(guard(lambda _: self._take_typed()))
        self._table = gui.add_markdown(callipers.table([]))
        gui.add_button("Clear").on_click(guard(lambda _: self.clear()))
        session.listen("scene", lambda _: self.clear())

    @property
    def kind(self) -> str | None:
        """What is measured; None when callipers are off."""
        return next((kind for kind, name in callipers.KINDS.items() if name == self._tool.value), None)

    def drawn(self) -> list[Measured]:
        """What is to be drawn on the image."""
        begun = [Measured(callipers.DISTANCE, (self._points[0], self._points[-1]))] if self._points else []
        return [one for one, _ in self.measured] + begun

    def take(self, point: callipers.Point) -> None:
        """Take a point of the image plane."""
        kind, picture = self.kind or callipers.DISTANCE, self._session.picture
        if picture is None:
            raise UssimError("no image is there yet")
        self._points.append(point)
        if len(self._points) == callipers.points_of(kind):
            measured = Measured(kind, tuple(self._points))
            self._points.clear()
            self.measured.append((measured, callipers.true_mm(self._session.scene, picture.pose, measured)))
            self._table.content = callipers.table(self.measured)
        self.on_change()

    def _take_typed(self) -> None:
        wanted = callipers.points_of(self.kind or callipers.DISTANCE)
        try:
            numbers = [tuple(map(float, pair.split())) for pair in self._typed.value.split(",")]
        except ValueError:
            numbers = []
        if len(numbers) != wanted or any(len(pair) != 2 or not np.isfinite(pair).all() for pair in numbers):
            raise UssimError(f"{self._typed.value!r}: write {wanted} points as x z, x z, in mm")
        self._points.clear()
        for x, z in numbers:
            self.take((x, z))

    def clear(self) -> None:
        """Forget all that was measured."""
        self._points.clear()
        self.measured.clear()
        self._table.content = callipers.table([])
        self.on_change()
