"""A generator behind a probe that is held in the hand: see :mod:`ussim.render.live`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from translate.data.acoustics import acoustics_of
from translate.data.channels import PolarGrid
from translate.model.shipped import require_fit
from translate.use.inference import Generator, View
from ussim.dataset.schema import ImageGeometry
from ussim.probe.probe import Probe


class LiveEnhancer:
    """Enhances what a renderer draws, on the device of the generator.

    Args:
        generator: The generator; on the GPU that renders, images do not leave it.
        probe: The probe that makes the images.
        tissues: Rows of a tissue table, position + 1 is the id in a segmentation: those of a scene's media.
        where: What has them, for people.

    Attributes:
        arrays: What it needs: ``lq``, ``segmentation``, ``attenuation``.

    Raises:
        UssimError: There are tissues that the generator has not been trained on.
    """

    def __init__(
        self, generator: Generator, probe: Probe, tissues: Sequence[Mapping[str, Any]], where: str = "the scene"
    ) -> None:
        geometry = PolarGrid(ImageGeometry.of_probe(probe), probe.model_dump(mode="json"))
        if generator.is_shipped:
            require_fit(generator.run, geometry.image, geometry.probe["kind"], where)
        table = generator.tissue_table([row["name"] for row in tissues], where)
        self._view = View(generator, geometry, table, [acoustics_of(row) for row in tissues])
        self._mask = generator.on_device(probe.mask())
        self.arrays = tuple(generator.encoder.arrays)

    def __call__(self, maps: dict[str, Any]) -> np.ndarray:
        """The enhanced image (H, W) uint8 of arrays of (H, W), NumPy's or a GPU's."""
        image = self._view.enhance(maps, self._mask)
        return image if isinstance(image, np.ndarray) else image.cpu().numpy()
