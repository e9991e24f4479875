"""The tab that moves the probe: standard planes, sliders, keys."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import viser

from cli.viewer.hold import LARGEST_ANGLE_DEG, MOST_LIFT_MM, MOST_PRESSURE_MM, Hold
from cli.viewer.session import Session
from cli.viewer.stage import Guard

MOVE, LOOK = "moves the probe", "does nothing"
_SLIDE_MM, _TURN_DEG, _PRESS_MM = 3.0, 3.0, 1.0
_SLIDES = {"←": (-_SLIDE_MM, 0.0), "→": (_SLIDE_MM, 0.0), "↑": (0.0, _SLIDE_MM), "↓": (0.0, -_SLIDE_MM)}
_KEYS: dict[str, tuple[str, Any]] = {
    "J": ("slide left", _SLIDES["←"]),
    "L": ("slide right", _SLIDES["→"]),
    "I": ("slide up", _SLIDES["↑"]),
    "K": ("slide down", _SLIDES["↓"]),
    "U": ("rotate left", -_TURN_DEG),
    "O": ("rotate right", _TURN_DEG),
    "N": ("rock left", {"rock_deg": -_TURN_DEG}),
    "M": ("rock right", {"rock_deg": _TURN_DEG}),
    "T": ("tilt up", {"tilt_deg": -_TURN_DEG}),
    "G": ("tilt down", {"tilt_deg": _TURN_DEG}),
    "P": ("press", {"pressure_mm": _PRESS_MM}),
    "B": ("let go", {"pressure_mm": -_PRESS_MM}),
}
"""What a key does: a slide [mm], a rotation [°], or a change of how the probe is held. Arrows and WASDQE move viser's
camera."""


class ProbeTab:
    """Fills the tab.

    Args:
        gui: Of the page, within the tab.
        session: Whose probe is moved.
        guard: Makes a callback whose errors are said in the page.
    """

    def __init__(self, gui: viser.GuiApi, session: Session, guard: Guard):
        self._gui, self._session, self._guard = gui, session, guard
        self._click = gui.add_dropdown("A click on the skin", (MOVE, LOOK))
        self._folder = gui.add_folder("Standard planes")
        self._buttons: list[Any] = []
        limit = LARGEST_ANGLE_DEG
        slide = gui.add_button_group("Slide", tuple(_SLIDES))
        self._rotate = gui.add_slider("Rotate [°]", -180.0, 180.0, 1.0, 0.0)
        self._rotated = 0.0
        self._rock = gui.add_slider("Rock [°]", -limit, limit, 0.1, 0.0)
        self._tilt = gui.add_slider("Tilt [°]", -limit, limit, 0.1, 0.0)
        self._pressure = gui.add_slider("Pressure [mm]", -MOST_LIFT_MM, MOST_PRESSURE_MM, 0.1, 2.0)
        gui.add_markdown(
            "Keys: J L I K slide, U O rotate, N M rock, T G tilt, P press, B let go. "
            "Arrows and W A S D Q E move the view."
        )
        slide.on_click(guard(lambda _: self._nudge(_SLIDES[slide.value])))
        self._rotate.on_update(guard(lambda _: self._turned()))
        for name, slider in (("rock_deg", self._rock), ("tilt_deg", self._tilt), ("pressure_mm", self._pressure)):
            slider.on_update(guard(lambda event, name=name, slider=slider: self._held(event, name, slider.value)))
        for key, (text, how) in _KEYS.items():
            command = gui.add_command(f"Probe: {text}", hotkey=key)  # type: ignore[arg-type]
            command.on_trigger(guard(lambda _, how=how: self._nudge(how)))
        session.listen("moved", lambda _: self._session.engine.is_strained or self._show_hold())
        session.listen("pictured", lambda picture: picture.hq is not None and self._show_hold())
        session.listen("scene", lambda _: self._list_planes())
        self._list_planes()
        self._show_hold()

    @property
    def moves_by_click(self) -> bool:
        """Whether a click on the skin moves the probe there."""
        return self._click.value == MOVE

    def _list_planes(self) -> None:
        for button in self._buttons:
            button.remove()
        planes = self._session.planes
        self._folder.visible = bool(planes)
        with self._folder:
            self._buttons = [self._gui.add_button(name.replace("_", " ").capitalize()) for name in planes]
        for name, button in zip(planes, self._buttons, strict=True):
            button.on_click(self._guard(lambda _, name=name: self._go_to(name)))

    def _go_to(self, name: str) -> None:
        self._session.move(Hold.of_pose(self._session.skin, self._session.planes[name]))

    def _nudge(self, how: Any) -> None:
        hold = self._session.hold
        if isinstance(how, tuple):
            hold = hold.slid(self._session.skin, *how)
        elif isinstance(how, dict):
            hold = hold.held(**how)
        else:
            hold = hold.rotated(how)
        self._session.move(hold)

    def _turned(self) -> None:
        turn, self._rotated = self._rotate.value - self._rotated, self._rotate.value
        self._session.move(self._session.hold.rotated(turn))

    def _held(self, event: Any, name: str, value: float) -> None:
        if event.client is None:  # set by _show_hold, not by a user
            return
        self._session.move(replace(self._session.hold, aside_mm=np.zeros(3), **{name: value}))

    def _show_hold(self) -> None:
        hold, limit = self._session.hold, LARGEST_ANGLE_DEG
        self._rock.value = round(float(np.clip(hold.rock_deg, -limit, limit)), 1)
        self._tilt.value = round(float(np.clip(hold.tilt_deg, -limit, limit)), 1)
        self._pressure.value = round(float(np.clip(hold.pressure_mm, -MOST_LIFT_MM, MOST_PRESSURE_MM)), 1)
