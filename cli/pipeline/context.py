"""What the steps of a pipeline share: where things lie, what is asked for, and the scene, loaded once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cli.pipeline import ENHANCED
from cli.pipeline.settings import PipelineSettings
from cli.progress import Reporter

if TYPE_CHECKING:
    from ussim.dataset.plan import Plan
    from ussim.dataset.series import Series
    from ussim.dataset.store import Dataset
    from ussim.scene.scene import Scene


@dataclass
class Context:
    """What all steps share.

    Attributes:
        folder: The pipeline's folder.
        settings: What is asked for.
        device: Where networks run: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        backend: Where frames are rendered: ``auto``, ``cpu`` or ``cuda``.
        outputs: Digests of what the steps so far gave, by step and name.
        say: Prints a line.
    """

    folder: Path
    settings: PipelineSettings
    device: str = "auto"
    backend: str = "auto"
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    say: Callable[[str], None] = print

    @property
    def store(self) -> Path:
        """The dataset."""
        return self.folder / "dataset.zarr"

    @property
    def evaluation(self) -> Path:
        """The written evaluation."""
        return self.folder / "evaluation"

    @property
    def enhanced(self) -> Path:
        """Folder of enhanced images."""
        return self.folder / ENHANCED

    @property
    def report(self) -> Path:
        """The page that tells it all."""
        return self.folder / "report.html"

    @property
    def scene_folder(self) -> Path:
        """The user's scene, or the one that is built here."""
        given = self.settings.scene_path
        return Path(given) if given else self.folder / "scene"

    def run_folder(self, variant: str) -> Path:
        """The run of a variant."""
        return self.folder / "runs" / variant

    def shown_frames(self, dataset: Dataset) -> np.ndarray:
        """Numbers of the frames that are shown: those held out, or the training's if only they are enhanced."""
        from translate.data.split import is_held_out

        held_out = is_held_out(dataset, self.settings.training(self.settings.primary).split)
        return np.flatnonzero(~held_out if self.settings.apply.split == "train" else held_out)

    @cached_property
    def scene(self) -> Scene:
        """The scene, or the first of several; loaded and checked once."""
        from ussim.scene.scene import Scene

        return self._anatomies[0] if self.settings.scene.count > 1 else Scene.load(self.scene_folder)

    @property
    def series(self) -> Series | None:
        """All scenes, if there are several."""
        return self._anatomies[1] if self.settings.scene.count > 1 else None

    @cached_property
    def _anatomies(self) -> tuple[Scene, Series]:
        from meshes.anatomies import anatomy_sources, parse_weeks
        from ussim.dataset.series import read_series

        scene, render = self.settings.scene, self.settings.render
        sources = anatomy_sources(scene.count, scene.detail, scene.seed, parse_weeks(scene.weeks))
        with Reporter({"scenes": "building and checking scenes"}, units={"scenes": "scenes"}) as progress:
            return read_series(sources, render.frames, render.sweep, progress)

    @cached_property
    def plan(self) -> Plan:
        """The rendering job."""
        from ussim.dataset.plan import make_plan

        render = self.settings.render
        return make_plan(
            self.scene, render.frames, self.settings.rendering(), sweep=render.sweep, seed=render.seed,
            unit_frames=render.unit, backend=self.backend, series=self.series,
        )  # fmt: skip
