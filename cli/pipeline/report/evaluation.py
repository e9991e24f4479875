"""The written evaluation, read again: its tables, and what they say in plain words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from translate.evaluation.report import Table
from ussim.errors import UssimError

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


@dataclass(frozen=True)
class WrittenEvaluation:
    """What ``translate evaluate`` wrote.

    Attributes:
        tables: All tables, the paper's first.
        verdicts: Every generator in every figure, against the low-quality images.
        notes: What a reader has to know.
        content: The whole file.
    """

    tables: list[Table]
    verdicts: list[Verdict]
    notes: list[str]
    content: dict[str, Any]


def load_evaluation(folder: Path) -> WrittenEvaluation:
    """Read the evaluation in a folder.

    Raises:
        UssimError: There is none, or it is damaged.
    """
    path = folder / "report.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        tables = [Table.from_dict(fields) for fields in content["tables"]]
        low, *rest = content["rows"]
        verdicts = [_verdict(low, row, figure) for row in rest for figure in MORE_IS_BETTER]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UssimError(f"{path}: cannot be read: {type(error).__name__}: {error}") from None
    return WrittenEvaluation(tables, verdicts, list(content["notes"]), content)


def _verdict(low: dict[str, Any], row: dict[str, Any], figure: str) -> Verdict:
    before, after = (part["whole"][figure]["mean"] for part in (low, row))
    better = after > before if MORE_IS_BETTER[figure] else after < before
    return Verdict(row["name"], figure, before, after, better)
