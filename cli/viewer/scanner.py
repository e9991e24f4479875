"""What renders a scene with the knobs as they stand, and shows moving probes with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cli.viewer.air import ringing
from cli.viewer.console import Console, Grid
from ussim.dataset.schema import tissue_table
from ussim.errors import UssimError
from ussim.render.live import Live, Look
from ussim.render.renderer import Renderer
from ussim.scene.scene import Scene

_GAIN_POSES = 16


@dataclass(frozen=True)
class Wants:
    """Which images somebody looks at.

    Attributes:
        enhanced: While the probe moves.
        maps: Likewise, segmentation and attenuation.
    """

    enhanced: bool = False
    maps: bool = False


@dataclass(frozen=True)
class Task:
    """What is to be shown: a scene from a pose, with knobs as they stand, asked for at ``time.monotonic``."""

    scene: Scene
    pose: np.ndarray
    console: Console
    wants: Wants
    asked_s: float
    is_in_air: bool = False


class Scanner:
    """A renderer of one scene with one probe, as some tasks need it, and what it shows moving probes with.

    Args:
        task: The first of them.
        grid: That is rendered.
        backend: An open one, which traces the rays.
        seed: Of all random numbers.

    Attributes:
        renderer: Of that scene; for a probe that is lifted, of what rings before its face, in its own coordinates.
    """

    def __init__(self, task: Task, grid: Grid, backend: Any, seed: int):
        self._key = self._key_of(task, grid)
        probe, imaging = task.console.probe(grid), task.console.imaging()
        body = Renderer(task.scene, probe, imaging, backend, seed)
        curve = body.fit_tgc(task.scene.sweep().poses(_GAIN_POSES) if task.scene.sweeps else task.pose[None])
        self.renderer = Renderer(ringing(probe), probe, imaging, backend, seed, curve) if task.is_in_air else body
        self._gains: tuple[Any, ...] = ()
        self._wants: Wants | None = None
        self._live: Live | None = None

    @staticmethod
    def _key_of(task: Task, grid: Grid) -> tuple[Any, ...]:
        return task.scene, replace(task.console, gain_db=0.0, tgc_db=()), grid, task.is_in_air

    def fits(self, task: Task, grid: Grid) -> bool:
        """Whether it renders what a task asks for; gains and wants may change."""
        return self._key == self._key_of(task, grid)

    @staticmethod
    def pose_of(task: Task) -> np.ndarray:
        """Where the probe is, (4, 4), for the renderer."""
        return np.eye(4) if task.is_in_air else task.pose

    def look(self, task: Task, generator: Any, tell: Callable[[str], None]) -> Look:
        """Show the task's pose."""
        gains = (task.console.gain_db, task.console.tgc_db)
        if gains != self._gains:
            self.renderer.operator_gain_db = task.console.operator_gain_db(self.renderer.probe.axial_samples)
            self._gains = gains
        if self._live is None or task.wants != self._wants:
            enhances = task.wants.enhanced and generator is not None and not task.is_in_air
            enhancer = self._enhancer(generator, task.scene, tell) if enhances else None
            self._live, self._wants = Live(self.renderer, enhance=enhancer, maps=task.wants.maps), task.wants
        return self._live.look(self.pose_of(task), 0)

    def _enhancer(self, generator: Any, scene: Scene, tell: Callable[[str], None]) -> Any:
        """What enhances these images; None, and why is told, if the generator does not fit them."""
        from translate.use.live import LiveEnhancer

        tissues = [row for row in tissue_table(scene) if row["id"] > 0]
        try:
            return LiveEnhancer(generator, self.renderer.probe, tissues, scene.name)
        except UssimError as error:
            tell(f"not enhanced: {error}")
            return None
