"""A probe held in the hand: one pose in, its images out, as fast as the machine goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ussim.probe.quality import LQ, Quality
from ussim.render.renderer import Renderer


class Enhance(Protocol):
    """Turns a low-quality image into a better one."""

    arrays: tuple[str, ...]
    """What it needs: ``lq``, ``segmentation``, ``attenuation``."""

    def __call__(self, maps: dict[str, Any]) -> np.ndarray:
        """An image (H, W) uint8 from arrays of (H, W): NumPy's or, of a GPU, with ``__cuda_array_interface__``."""
        ...


@dataclass(frozen=True)
class Look:
    """What a pose shows.

    Attributes:
        image: (H, W) uint8, of the quality asked for.
        enhanced: (H, W) uint8, None without something that enhances.
        segmentation: (H, W) uint8, as :class:`ussim.render.renderer.Maps` has it; None if not asked for.
        attenuation: (H, W) float16, likewise.
    """

    image: np.ndarray
    enhanced: np.ndarray | None = None
    segmentation: np.ndarray | None = None
    attenuation: np.ndarray | None = None


class Live:
    """Renders one pose after the other into the same arrays.

    On a GPU all launches of a pose are recorded once as a graph, so that Python is not on the way; images that are
    enhanced there do not leave it in between.

    Args:
        renderer: What renders, with its gain fitted. It may render other things in between.
        quality: Rays and layers.
        enhance: What enhances images, if any.
        maps: Whether segmentation and attenuation are wanted.
    """

    def __init__(
        self, renderer: Renderer, quality: Quality = LQ, enhance: Enhance | None = None, maps: bool = False
    ) -> None:
        self._renderer, self._quality, self._enhance, self._shows_maps = renderer, quality, enhance, maps
        self._needs_maps = maps or (enhance is not None and set(enhance.arrays) != {"lq"})
        self._backend = renderer.backend
        shape = (1, *renderer.probe.image_shape)
        empty = self._backend.empty
        self._poses, self._planes = empty((1, 4, 4), np.float32), empty((1, 3, 4), np.float32)
        self._keys = empty(1, np.uint32)
        self._images, self._labels = empty(shape, np.uint8), empty(shape, np.uint8)
        self._attenuation, self._scale = empty(shape, np.uint16), empty(1, np.float32)
        self._recorded: Callable[[], None] | None = None
        self._generation: tuple[int, ...] = ()

    def look(self, pose: np.ndarray, frame: int = 0) -> Look:
        """Show a pose.

        Args:
            pose: (4, 4), probe → scene, mm.
            frame: Number that keys the receiver's noise; the same shows the same.

        Raises:
            UssimError: It is no pose.
        """
        poses, keys = self._renderer.checked(pose, [frame])
        self._backend.update(self._poses, poses.astype(np.float32))
        self._backend.update(self._keys, keys)
        if self._needs_maps:
            self._backend.update(self._planes, self._renderer.image_planes(poses).astype(np.float32))
        self._draw()
        while self._needs_maps and not self._backend.is_labelled():
            self._draw()
        enhanced = None
        if self._enhance is not None:
            self._backend.wait()
            given = {"lq": self._images, "segmentation": self._labels, "attenuation": self._half()}
            enhanced = self._enhance(
                {name: given[name].reshape(given[name].shape[1:]) for name in self._enhance.arrays}
            )
        image = self._backend.fetch(self._images)
        if not self._shows_maps:
            return Look(image()[0], enhanced)
        labels, attenuation = (self._backend.fetch(array) for array in (self._labels, self._half()))
        return Look(image()[0], enhanced, labels()[0], attenuation()[0])

    def _draw(self) -> None:
        if self._recorded is None or self._generation != self._renderer.generation:
            self._launch()  # compiles, and makes the arrays of the stages
            self._recorded, self._generation = self._backend.record(self._launch), self._renderer.generation
        else:
            self._recorded()

    def _launch(self) -> None:
        self._renderer.draw_images(self._poses, self._keys, self._quality, self._images)
        if self._needs_maps:
            self._renderer.draw_maps(self._poses, self._planes, self._labels, self._attenuation, self._scale)

    def _half(self) -> Any:
        return self._backend.view(self._attenuation, self._attenuation.shape, np.float16)
