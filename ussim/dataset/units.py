"""Rendering single units, in any order, for workers that share a store."""

from __future__ import annotations

import numpy as np

from ussim.dataset.job import (
    FrameRenderer,
    RendererFactory,
    Renderers,
    batches,
    by_unit,
    default_renderer,
    render_frames,
)
from ussim.dataset.plan import Plan
from ussim.dataset.store import Dataset


class UnitRenderer:
    """Renders units of a store one by one.

    Args:
        plan: What is rendered.
        dataset: The store.
        make_renderer: Makes the renderer of a scene; the default is ``ussim.render.renderer.Renderer``.
        first: That of the first scene, if there is one already.
    """

    def __init__(
        self,
        plan: Plan,
        dataset: Dataset,
        make_renderer: RendererFactory | None = None,
        first: FrameRenderer | None = None,
    ):
        self._plan, self._header, self._poses = plan, dataset.header, dataset.poses
        self._scene_of_frame = plan.scene_of_frame
        self._renderers = Renderers(plan, dataset.header, make_renderer or default_renderer, first)

    def render(self, unit: int) -> dict[str, np.ndarray]:
        """All arrays of a unit, as :meth:`~ussim.dataset.store.Dataset.write_unit` takes them."""
        frames = np.asarray(self._header.unit_range(unit))
        first = self._renderers.of(int(self._scene_of_frame[frames[0]]))
        batch = max(1, int(first.batch_size(list(self._plan.settings.qualities.values()))))
        parts = [
            render_frames(self._plan, self._renderers.of(int(self._scene_of_frame[some[0]])), some, self._poses)
            for some in batches(frames, self._scene_of_frame, batch)
        ]
        return by_unit(self._header, [unit], parts)[0][1]

    @property
    def device(self) -> str:
        """What renders, in words; empty if nothing did."""
        return self._renderers.device
