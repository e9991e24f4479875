"""The written evaluation, read again: its tables, and what they say in plain words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from translate.evaluation.tables import Table
from ussim.settings import read_json

MORE_IS_BETTER = {"psnr": True, "ssim": True, "pkl": False}
WORDS = {
    "psnr": "signal-to-noise ratio (PSNR)",
    "ssim": "structural similarity (SSIM)",
    "pkl": "speckle histograms (pKL)",
}
SCALES = {"psnr": (1.0, " dB"), "ssim": (100.0, " %"), "pkl": (100.0, " ×10⁻²")}


@dataclass(frozen=True)
class Verdict:
    """How a generator's images compare with the low-quality ones in one figure.

    Attributes:
        row: The generator's name in the tables.
        figure: ``psnr``, ``ssim`` or ``pkl``.
        low, enhanced: Mean of both.
        is_better: Whether the generator's images are closer to the high quality.
    """

    row: str
    figure: str
    low: float
    enhanced: float
    is_better: bool

    @property
    def text(self) -> str:
        """In plain words."""
        scale, unit = SCALES[self.figure]
        before, after = (f"{value * scale:.2f}" for value in (self.low, self.enhanced))
        return f"{WORDS[self.figure]}: {before} → {after}{unit}, {'better' if self.is_better else 'not better'}"


class Mean(BaseModel):
    """A figure over all crops, of which the page needs the mean; None where none of them had one."""

    mean: float | None


class Row(BaseModel):
    """A generator's figures, or the low-quality images'."""

    name: str
    whole: dict[Literal["psnr", "ssim", "pkl"], Mean] = Field(min_length=3)


class Crops(BaseModel):
    """How the evaluation was done, as far as the page tells it."""

    crop: int


class WrittenEvaluation(BaseModel):
    """What ``translate evaluate`` wrote to ``report.json``, as far as the page tells it.

    Attributes:
        tables: All tables, the paper's first.
        rows: The low-quality images, then every generator.
        notes: What a reader has to know.
        test_images: How many images were used.
        crops: How many crops of them.
        protocol: How it was done.
    """

    format: Literal[1]
    tables: list[Table] = Field(min_length=1)
    rows: list[Row] = Field(min_length=2)
    notes: list[str]
    test_images: int
    crops: int
    protocol: Crops

    @property
    def verdicts(self) -> list[Verdict]:
        """Every generator in every figure, against the low-quality images."""
        low, *rest = self.rows
        return [_verdict(low, row, figure) for row in rest for figure in MORE_IS_BETTER]


def load_evaluation(folder: Path) -> WrittenEvaluation:
    """Read the evaluation in a folder.

    Raises:
        UssimError: There is none, or it is damaged.
    """
    return read_json(WrittenEvaluation, folder / "report.json")


def _verdict(low: Row, row: Row, figure: str) -> Verdict:
    means = (part.whole[figure].mean for part in (low, row))
    before, after = (math.nan if mean is None else mean for mean in means)
    better = after > before if MORE_IS_BETTER[figure] else after < before
    return Verdict(row.name, figure, before, after, better)
