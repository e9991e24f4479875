"""The tables of a report, as text: the paper's, inside the mask, Wilcoxon's tests, the whole view, speckle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from translate.data.metrics import PKL_RULE
from translate.evaluation.results import HIGH_QUALITY
from translate.evaluation.speckle import RAYLEIGH_SNR
from translate.evaluation.steadiness import PATCH_MM

if TYPE_CHECKING:
    from translate.data.metrics import FigureSummary
    from translate.evaluation.results import Evaluation, FullView

_NONE = "–"
HEADS = {"psnr": "PSNR [dB]", "ssim": "SSIM [%]", "pkl": "pKL ×100"}
SCALES = {"psnr": 1.0, "ssim": 100.0, "pkl": 100.0}
"""What a figure is multiplied by where it is shown."""


class Table(BaseModel):
    """A table as text, for the terminal, for Markdown and for ``report.json``.

    Attributes:
        title: Heading.
        caption: What the columns mean, in plain language.
        columns: Heads; the first column names the rows.
        rows: Cells.
        best: (row, column) of cells to be stressed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    best: tuple[tuple[int, int], ...] = ()

    def markdown(self) -> str:
        """The table in Markdown."""
        lines = [f"## {self.title}", "", self.caption, "", _line(self.columns)]
        lines.append(_line(["---"] + ["---:"] * (len(self.columns) - 1)))
        for number, row in enumerate(self.rows):
            cells = [f"**{cell}**" if (number, column) in self.best else cell for column, cell in enumerate(row)]
            lines.append(_line(cells))
        return "\n".join([*lines, ""])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def all_tables(result: Evaluation) -> list[Table]:
    """All tables, the paper's first."""
    return [
        _paper_table(result),
        _inside_table(result),
        _wilcoxon_table(result),
        _full_view_table(result),
        _speckle_table(result),
        *([_steadiness_table(result)] if result.steadiness else []),
    ]


def _figure_cells(summaries: dict[str, FigureSummary]) -> list[str]:
    cells = []
    for figure, scale in SCALES.items():
        s = summaries[figure]
        parts = [_number(value * scale, 2) for value in (s.mean, s.std, s.percentile)]
        cells.append(f"{parts[0]} ± {parts[1]} ({parts[2]})")
    return cells


def _best(rows: Sequence[Sequence[float]], more_is_better: Sequence[bool]) -> tuple[tuple[int, int], ...]:
    """Cells, counted from column 1, with the best value of their column."""
    best = []
    for column, more in enumerate(more_is_better):
        values = np.array([row[column] for row in rows], float)
        if np.isfinite(values).any():
            best.append((int(np.nanargmax(values if more else -values)), column + 1))
    return tuple(sorted(best))


def _paper_table(result: Evaluation) -> Table:
    label = result.extractor["label"]
    rows, values = [], []
    for row in result.rows:
        cells = [row.name, *_figure_cells(row.whole)]
        d = row.distance
        if d:
            cells += [
                f"{_number(d.frechet, 2)} [{_number(d.low, 2)}, {_number(d.high, 2)}]",
                f"{_number(1000 * d.kid.mean, 2)} ± {_number(1000 * d.kid.std, 2)}",
            ]
        elif not result.extractor["name"]:
            cells += ["extractor not installed"] * 2
        else:
            cells += ["too few pieces"] * 2
        rows.append(tuple(cells))
        means = [row.whole[figure].mean for figure in SCALES]
        values.append([*means, *((d.frechet, d.kid.mean) if d else (math.nan, math.nan))])
    caption = (
        "Whole crops against the high-quality image, as in Table 2 of the paper: mean ± standard deviation over "
        f"{result.crops} crops, and in brackets how bad the worst are (5th percentile of PSNR and SSIM, 95th of "
        "pKL). More is better for PSNR and SSIM, less for the others. "
        f"pKL: {PKL_RULE}. The paper does not state its rule, so compare ratios with it, not values."
    )
    caption = " ".join([caption, *about_distance(result)])
    columns = ("", *HEADS.values(), label, "KID ×1000")
    return Table(
        title="Low quality and outputs",
        caption=caption,
        columns=columns,
        rows=rows,
        best=_best(values, (True, True, False, False, False)),
    )


def about_distance(result: Evaluation) -> list[str]:
    """What the Fréchet distance and KID rest on, in a sentence or two; nothing if they are not there."""
    distance = next((row.distance for row in result.rows if row.distance), None)
    if distance is None:
        return []
    about, label = result.extractor, result.extractor["label"]
    text = (
        f"{label}: Fréchet distance between features of {about['name']} (weights SHA-256 {about['sha256'][:12]}…), "
        f"N = {distance.pieces} pieces of {distance.images} images, in square brackets its 95 % bootstrap interval "
        f"over images. KID ×1000: mean ± standard deviation over {distance.kid.subsets} subsets of "
        f"{distance.kid.subset_size} pieces."
    )
    return [text if label == "FID" else f"{text} It is not FID and has another scale."]


def _inside_table(result: Evaluation) -> Table:
    rows = [(row.name, *_figure_cells(row.inside)) for row in result.rows]
    means = [[row.inside[figure].mean for figure in SCALES] for row in result.rows]
    caption = (
        "The same over the pixels inside the sector only. Background is right by construction and flatters the "
        "figures of whole crops."
    )
    return Table(
        title="Inside the mask",
        caption=caption,
        columns=("", *HEADS.values()),
        rows=rows,
        best=_best(means, (True, True, False)),
    )


def _wilcoxon_table(result: Evaluation) -> Table:
    pairs: dict[tuple[str, str], dict[str, Any]] = {}
    for test in result.tests:
        pairs.setdefault((test.second, test.first), {})[test.figure] = test.result
    rows = []
    for (later, earlier), figures in pairs.items():
        cells = [f"{later} − {earlier}"]
        for figure, scale in SCALES.items():
            outcome = figures[figure]
            difference = _number(outcome.median_difference * scale, 2, sign=True)
            cells.append(f"{difference}, p {_p_value(outcome.p_value)}")
        rows.append(tuple(cells))
    caption = (
        "Median difference over crops and p of Wilcoxon's signed-rank test (two-sided, paired by crop, whole "
        "crops). Crops of one image are alike, so p is too small; a difference that matters is also large."
    )
    return Table(title="Which differences are real", caption=caption, columns=("", *HEADS.values()), rows=rows)


def _full_view_table(result: Evaluation) -> Table:
    edges = result.band_edges_mm
    bands = [f"{low:.0f}–{high:.0f} mm" for low, high in pairwise(edges)]
    rows = []
    for row in result.rows:
        view = row.full_view
        if view is None:
            continue
        for figure in SCALES:
            factor, digits, unit = (100, 1, " %") if figure == "pkl" else (SCALES[figure], 3, "")
            name = {"psnr": "PSNR [dB]", "ssim": "SSIM [%]", "pkl": "pKL (relative)"}[figure]
            for part, values in _gaps(view, figure).items():
                cells = [_number(value * factor, digits, sign=True) for value in values]
                cells = [cell + unit if cell != _NONE else cell for cell in cells]
                rows.append((f"{row.name}{part}: {name}", *cells))
        rows.append((f"{row.name}: overlap [grey]", _number(view.overlap_grey, 2), *[_NONE] * len(bands)))
    caption = (
        "Trained on crops, used on whole images: figure of the whole image's output at the test crops minus "
        "figure of the crops' own output, inside the mask, by depth along the scanline. 0 is no loss; the goal is "
        "within ± 0.05 dB and ± 2 % in every band. A crop's output is worst at its own edges, where it cannot see what "
        f"was cut off; core: the crops without their outermost {result.protocol.core_margin} px. Overlap: mean "
        "difference between overlapping crops' outputs, 0 if the output does not depend on where the crop was cut."
    )
    return Table(title="Whole field of view against crops", caption=caption, columns=("", "all", *bands), rows=rows)


def _gaps(view: FullView, figure: str) -> dict[str, tuple[float, ...]]:
    """Gap of a figure over all depths and in each band: of whole crops and of their core; pKL's as a share."""
    if figure == "pkl":
        return {
            "": (view.relative_pkl, *view.band_relative_pkl),
            ", core": (view.core_relative_pkl, *view.core_band_relative_pkl),
        }
    return {
        "": (view.gap[figure], *view.band_gap[figure]),
        ", core": (view.core_gap[figure], *view.core_band_gap[figure]),
    }


def _speckle_table(result: Evaluation) -> Table:
    edges = result.band_edges_mm
    reference = [("High quality", result.reference_speckle)]
    rows = []
    for name, speckle in [*reference, *((row.name, row.speckle) for row in result.rows)]:
        widths = [
            f"{_number(snr, 2)}; {_number(axial, 2)} / {_number(lateral, 2)}"
            for snr, axial, lateral in zip(speckle.band_snr, speckle.axial_mm, speckle.lateral_mm, strict=True)
        ]
        rows.append((name, _number(speckle.snr, 2), *widths))
    bands = [f"{low:.0f}–{high:.0f} mm" for low, high in pairwise(edges)]
    caption = (
        "Texture of whole test images in bright tissue, after undoing the log compression. SNR: mean / standard "
        f"deviation of the envelope, median over {result.reference_speckle.patches} patches of one tissue "
        f"({RAYLEIGH_SNR:.2f} for fully developed speckle; higher is too smooth). Grain: full width at half maximum "
        "of the autocovariance along / across the scanlines [mm]. By depth: SNR; grain. Outputs should equal the first "
        "row."
    )
    return Table(title="Speckle", caption=caption, columns=("", "SNR", *bands), rows=rows)


def _number(value: float, digits: int, sign: bool = False) -> str:
    if not math.isfinite(value):
        return _NONE
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    return text.replace("-", "−")


def _p_value(p: float) -> str:
    if not math.isfinite(p):
        return _NONE
    return "< 1e-5" if p < 1e-5 else f"= {p:.2g}"


def _steadiness_table(result: Evaluation) -> Table:
    wanted = result.steadiness[HIGH_QUALITY]
    rows = []
    for name, found in result.steadiness.items():
        ratios = [
            _number(a / b, 2) if b else _NONE for a, b in ((found.pixel, wanted.pixel), (found.patch, wanted.patch))
        ]
        rows.append((name, _number(found.pixel, 2), ratios[0], _number(found.patch, 2), ratios[1]))
    return Table(
        title="Steadiness",
        caption=(
            "Root mean square change of tissue from one frame of a slow sweep to the next, in grey levels, the probe's "
            f"movement taken out: of single pixels, and of means over {PATCH_MM:g} mm, which is what flickers; each "
            "also over that of the high-quality images."
        ),
        columns=("", "pixel", "/ HQ", f"{PATCH_MM:g} mm", "/ HQ"),
        rows=rows,
    )
