"""The tab of planes to find."""

from __future__ import annotations

from typing import Any

import numpy as np
import viser

from cli.viewer.exercise import Exercise, as_csv, as_markdown
from cli.viewer.hold import Hold
from cli.viewer.session import Session
from cli.viewer.stage import Guard
from ussim.errors import UssimError

_INVITES = "Find the standard planes by hand. Each is judged by its distance and angle, and the seconds it took."
_HAS_NONE = "This scene has no standard planes to find."


class ExerciseTab:
    """Fills the tab.

    Args:
        gui: Of the page, within the tab.
        session: Whose probe looks for planes.
        guard: Makes a callback whose errors are said in the page.
    """

    def __init__(self, gui: viser.GuiApi, session: Session, guard: Guard):
        self._session = session
        self._exercise: Exercise | None = None
        self._task = gui.add_markdown("")
        self._buttons = [gui.add_button(text) for text in ("Begin", "This is the plane", "Results as CSV")]
        begin, take, save = self._buttons
        self._scores = gui.add_markdown("")
        begin.on_click(guard(lambda _: self._begin()))
        take.on_click(guard(lambda _: self._take()))
        save.on_click(guard(self._save))
        session.listen("scene", lambda _: self._reset())
        self._reset()

    def _reset(self) -> None:
        self._exercise, self._scores.content = None, ""
        self._task.content = _INVITES if self._session.planes else _HAS_NONE
        for button in self._buttons:
            button.disabled = not self._session.planes

    def _begin(self) -> None:
        planes, scene = self._session.planes, self._session.scene
        order = np.random.default_rng().permutation(list(planes))
        self._exercise = Exercise({str(name): planes[str(name)] for name in order})
        self._session.move(Hold.of_pose(self._session.skin, scene.sweep().poses(9)[4]))  # not where an answer is
        self._scores.content = ""
        self._say_task()

    def _say_task(self) -> None:
        exercise = self._exercise
        assert exercise is not None, "an exercise has begun"
        if exercise.wanted is None:
            found = sum(one.off.is_found for one in exercise.results)
            self._task.content = f"Done: {found} of {len(exercise.results)} planes found."
            return
        description = self._session.scene.sweeps[exercise.wanted].description
        number = f"{len(exercise.results) + 1} of {len(exercise.planes)}"
        self._task.content = f"**{number}: {exercise.wanted.replace('_', ' ')}.** {description}"

    def _take(self) -> None:
        if self._exercise is None:
            raise UssimError("no exercise has begun")
        if self._exercise.take(self._session.hold.pose) is None:
            raise UssimError("all planes are done: begin again")
        self._scores.content = as_markdown(self._exercise.results)
        self._say_task()

    def _save(self, event: Any) -> None:
        if self._exercise is None or not self._exercise.results:
            raise UssimError("no plane was taken yet")
        event.client.send_file_download(
            "ussim_planes.csv", as_csv(self._exercise.results).encode(), save_immediately=True
        )
