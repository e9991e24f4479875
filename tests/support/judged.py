"""Generators whose errors are known, for evaluations of :mod:`support.speckle_store`."""

from __future__ import annotations

import numpy as np

from translate.evaluation.protocol import EvaluationProtocol

PROTOCOL = EvaluationProtocol(crops=3, crop=96)


class Inverter:
    """Gives the target, off by ``error`` grey levels on crops and by ``full_error`` on larger images."""

    def __init__(self, error: int, full_error: int | None = None, crop: int = 96):
        self.error, self.crop = error, crop
        self.full_error = error if full_error is None else full_error
        self.origins: list[tuple[int, int]] = []

    def __call__(self, frame, mask, origin):
        lq = frame["lq"]
        assert lq.shape == mask.shape == frame["segmentation"].shape == frame["attenuation"].shape
        self.origins.append(origin)
        error = self.error if lq.shape[-1] == self.crop else self.full_error
        return np.where(mask == 1, 255 - lq + error, 0).astype(np.uint8)
