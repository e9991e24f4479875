"""The written report of an evaluation: tables, CSV, JSON, Markdown and pictures."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from translate.evaluation.figures import save_full_views, save_patches
from translate.evaluation.metrics import PKL_RULE, Summary
from translate.evaluation.speckle import RAYLEIGH_SNR
from ussim.errors import UssimError

if TYPE_CHECKING:
    from translate.evaluation.results import Evaluation, FullView, RowResult

FORMAT = 1
FILES = {
    "report.md": "tables and pictures to read",
    "report.json": "everything, for programs",
    "table.csv": "one line for each row of the tables",
    "crops.csv": "one line for each crop and row",
    "patches.png": "input, outputs and target in detail",
    "full_view.png": "input, outputs and target as a whole",
}
_NONE = "–"
_HELD_OUT = {
    "frame": "Held out: single frames, which lie between training frames (split = frame).",
    "scene": "Held out: whole anatomies, of which training saw no frame (split = scene).",
}
_HEADS = {"psnr": "PSNR [dB]", "ssim": "SSIM [%]", "pkl": "pKL ×100"}
_SCALE = {"psnr": 1.0, "ssim": 100.0, "pkl": 100.0}


@dataclass(frozen=True)
class Table:
    """A table as text, for the terminal and for Markdown.

    Attributes:
        title: Heading.
        caption: What the columns mean, in plain language.
        columns: Heads; the first column names the rows.
        rows: Cells.
        best: (row, column) of cells to be stressed.
    """

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    best: frozenset[tuple[int, int]] = field(default_factory=frozenset)

    def as_dict(self) -> dict[str, Any]:
        """The table as plain data; :meth:`from_dict` reads it."""
        return {**vars(self), "columns": list(self.columns), "best": sorted(self.best)}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Table:
        """A table that :meth:`as_dict` wrote, also after a passage through JSON."""
        rows = [tuple(row) for row in fields["rows"]]
        best = frozenset((row, column) for row, column in fields["best"])
        return cls(fields["title"], fields["caption"], tuple(fields["columns"]), rows, best)

    def markdown(self) -> str:
        """The table in Markdown."""
        lines = [f"## {self.title}", "", self.caption, "", _line(self.columns)]
        lines.append(_line(["---"] + ["---:"] * (len(self.columns) - 1)))
        for number, row in enumerate(self.rows):
            cells = [f"**{cell}**" if (number, column) in self.best else cell for column, cell in enumerate(row)]
            lines.append(_line(cells))
        return "\n".join([*lines, ""])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def new_folder(path: Path) -> Path:
    """Make sure that a report can be written to a folder: a new one, or an empty one.

    Raises:
        UssimError: Something is there already.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UssimError(f"{path} exists already: name a new folder for the report")
    return path


class Report:
    """An evaluation, ready to be shown and written.

    Attributes:
        evaluation: The result.
        tables: The paper's table first.
        folder: Where it was written; None before ``save``.
    """

    def __init__(self, evaluation: Evaluation):
        self.evaluation = evaluation
        self.folder: Path | None = None
        self.tables = [
            _paper_table(evaluation),
            _inside_table(evaluation),
            _wilcoxon_table(evaluation),
            _full_view_table(evaluation),
            _speckle_table(evaluation),
        ]

    @property
    def notes(self) -> list[str]:
        """What has to stand beside the tables where their captions are not shown."""
        result = self.evaluation
        return [_HELD_OUT[result.protocol.split], f"pKL: {PKL_RULE}.", *_about_distance(result), *result.notes]

    def save(self, folder: Path) -> Report:
        """Write all files; see ``FILES``.

        Raises:
            UssimError: The folder is taken or cannot be written.
        """
        new_folder(folder)
        result = self.evaluation
        titles = ["Input", *(row.name for row in result.rows[1:]), "Target"]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "report.md").write_text(self.markdown(), encoding="utf-8")
            text = json.dumps(self.as_dict(), indent=1, ensure_ascii=False, allow_nan=False)
            (folder / "report.json").write_text(text + "\n", encoding="utf-8")
            _write_csv(folder / "table.csv", [_flat(row) for row in result.rows])
            _write_csv(folder / "crops.csv", list(_crop_lines(result)))
            save_patches(result.patch_examples, titles, folder / "patches.png")
            save_full_views(result.full_examples, titles, folder / "full_view.png")
        except OSError as error:
            raise UssimError(f"{folder}: cannot write the report: {error.strerror or error}") from None
        self.folder = folder
        return self

    def markdown(self) -> str:
        """The report in Markdown."""
        result = self.evaluation
        height, width = result.shape
        parts = [
            f"# Evaluation on {result.store}",
            "",
            f"{result.crops} crops of {result.protocol.crop} × {result.protocol.crop} pixels from "
            f"{result.test_images} test images of {height} × {width} (seed {result.protocol.seed}; store "
            f"{result.digest[:12] or 'without digest'}), in {result.seconds:.0f} s. {_HELD_OUT[result.protocol.split]}",
            "",
        ]
        parts += [f"- {note}" for note in result.notes] + [""] * bool(result.notes)
        parts += [table.markdown() for table in self.tables]
        frames = ", ".join(str(example.frame) for example in result.patch_examples)
        whole = ", ".join(str(example.frame) for example in result.full_examples)
        parts += [
            "## Pictures",
            "",
            "![Details of test crops: input, outputs, target](patches.png)",
            "",
            f"Middle of one test crop of frames {frames}, pixel for pixel, 64 grey levels.",
            "",
            "![Whole test images: input, outputs, target](full_view.png)",
            "",
            f"The whole field of view of frames {whole}, translated in one go and reduced in size.",
            "",
        ]
        return "\n".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """Everything but pixels and single crops, as plain data; what is not a finite number is None."""
        result = self.evaluation
        left_out = {"scores", "places", "patch_examples", "full_examples"}
        content = {key: value for key, value in vars(result).items() if key not in left_out}
        content = {key: _plain(value) for key, value in content.items()}
        return {"format": FORMAT, "pkl_rule": PKL_RULE, **content, "tables": [table.as_dict() for table in self.tables]}


# Tables ---------------------------------------------------------------------------------------------
def _figure_cells(summaries: dict[str, Summary]) -> list[str]:
    cells = []
    for figure, scale in _SCALE.items():
        s = summaries[figure]
        parts = [_number(value * scale, 2) for value in (s.mean, s.std, s.percentile)]
        cells.append(f"{parts[0]} ± {parts[1]} ({parts[2]})")
    return cells


def _best(rows: Sequence[Sequence[float]], more_is_better: Sequence[bool]) -> frozenset[tuple[int, int]]:
    """Cells, counted from column 1, with the best value of their column."""
    best = set()
    for column, more in enumerate(more_is_better):
        values = np.array([row[column] for row in rows], float)
        if np.isfinite(values).any():
            best.add((int(np.nanargmax(values if more else -values)), column + 1))
    return frozenset(best)


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
            cells += ["no pieces"] * 2
        rows.append(tuple(cells))
        means = [row.whole[figure].mean for figure in _SCALE]
        values.append([*means, *((d.frechet, d.kid.mean) if d else (math.nan, math.nan))])
    caption = (
        "Whole crops against the high-quality image, as in Table 2 of the paper: mean ± standard deviation over "
        f"{result.crops} crops, and in brackets how bad the worst are (5th percentile of PSNR and SSIM, 95th of "
        "pKL). More is better for PSNR and SSIM, less for the others. "
        f"pKL: {PKL_RULE}. The paper does not state its rule, so compare ratios with it, not values."
    )
    caption = " ".join([caption, *_about_distance(result)])
    columns = ("", *_HEADS.values(), label, "KID ×1000")
    return Table("Low quality and outputs", caption, columns, rows, _best(values, (True, True, False, False, False)))


def _about_distance(result: Evaluation) -> list[str]:
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
    means = [[row.inside[figure].mean for figure in _SCALE] for row in result.rows]
    caption = (
        "The same over the pixels inside the sector only. Background is right by construction and flatters the "
        "figures of whole crops."
    )
    return Table("Inside the mask", caption, ("", *_HEADS.values()), rows, _best(means, (True, True, False)))


def _wilcoxon_table(result: Evaluation) -> Table:
    pairs: dict[tuple[str, str], dict[str, Any]] = {}
    for test in result.tests:
        pairs.setdefault((test.second, test.first), {})[test.figure] = test.result
    rows = []
    for (later, earlier), figures in pairs.items():
        cells = [f"{later} − {earlier}"]
        for figure, scale in _SCALE.items():
            outcome = figures[figure]
            difference = _number(outcome.median_difference * scale, 2, sign=True)
            cells.append(f"{difference}, p {_p_value(outcome.p_value)}")
        rows.append(tuple(cells))
    caption = (
        "Median difference over crops and p of Wilcoxon's signed-rank test (two-sided, paired by crop, whole "
        "crops). Crops of one image are alike, so p is too small; a difference that matters is also large."
    )
    return Table("Which differences are real", caption, ("", *_HEADS.values()), rows)


def _full_view_table(result: Evaluation) -> Table:
    edges = result.band_edges_mm
    bands = [f"{low:.0f}–{high:.0f} mm" for low, high in pairwise(edges)]
    rows = []
    for row in result.rows:
        view = row.full_view
        if view is None:
            continue
        for figure in _SCALE:
            factor, digits, unit = (100, 1, " %") if figure == "pkl" else (_SCALE[figure], 3, "")
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
    return Table("Whole field of view against crops", caption, ("", "all", *bands), rows)


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
            f"{_number(axial, 2)} / {_number(lateral, 2)}"
            for axial, lateral in zip(speckle.axial_mm, speckle.lateral_mm, strict=True)
        ]
        rows.append((name, _number(speckle.snr, 2), *widths))
    bands = [f"{low:.0f}–{high:.0f} mm" for low, high in pairwise(edges)]
    caption = (
        "Texture of whole test images in bright tissue, after undoing the log compression. SNR: mean / standard "
        f"deviation of the envelope, median over {result.reference_speckle.patches} patches of one tissue "
        f"({RAYLEIGH_SNR:.2f} for fully developed speckle; higher is too smooth). Grain: full width at half maximum "
        "of the autocovariance along / across the scanlines [mm], by depth. Outputs should equal the first row."
    )
    return Table("Speckle", caption, ("", "SNR", *bands), rows)


def _number(value: float, digits: int, sign: bool = False) -> str:
    if not math.isfinite(value):
        return _NONE
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    return text.replace("-", "−")


def _p_value(p: float) -> str:
    if not math.isfinite(p):
        return _NONE
    return "< 1e-5" if p < 1e-5 else f"= {p:.2g}"


# Files ----------------------------------------------------------------------------------------------
def _flat(row: RowResult) -> dict[str, Any]:
    """One row of the tables as columns of numbers."""
    line: dict[str, Any] = {"row": row.name, "run": row.run}
    for kind in ("whole", "inside"):
        for figure, summary in getattr(row, kind).items():
            for key, value in asdict(summary).items():
                line[f"{kind}_{figure}_{key}"] = value
    distance = asdict(row.distance) if row.distance else {}
    kid = distance.pop("kid", {})
    for key in ("frechet", "low", "high", "pieces", "images"):
        line[f"frechet_{key}".replace("frechet_frechet", "frechet")] = distance.get(key, "")
    for key in ("mean", "std", "subset_size", "subsets"):
        line[f"kid_{key}"] = kid.get(key, "")
    line["speckle_snr"], line["speckle_patches"] = row.speckle.snr, row.speckle.patches
    for key in ("axial_mm", "lateral_mm"):
        for band, value in enumerate(getattr(row.speckle, key)):
            line[f"speckle_{key}_band{band}"] = value
    for figure in _SCALE:
        view, bands = row.full_view, len(row.speckle.axial_mm)
        gaps, core_gaps = (view.band_gap[figure], view.core_band_gap[figure]) if view else ([""] * bands,) * 2
        line[f"gap_{figure}"] = row.full_view.gap[figure] if row.full_view else ""
        line[f"gap_{figure}_core"] = row.full_view.core_gap[figure] if row.full_view else ""
        for band in range(bands):
            line[f"gap_{figure}_band{band}"] = gaps[band]
            line[f"gap_{figure}_core_band{band}"] = core_gaps[band]
    line["overlap_grey"] = row.full_view.overlap_grey if row.full_view else ""
    return line


def _crop_lines(result: Evaluation):
    for name, kinds in result.scores.items():
        for place, whole, inside in zip(result.places, kinds["whole"], kinds["inside"], strict=True):
            line = dict(zip(("frame", "y", "x"), map(int, place), strict=True)) | {"row": name}
            line |= dict(zip(("psnr", "ssim", "pkl"), map(float, whole), strict=True))
            line |= dict(zip(("psnr_inside", "ssim_inside", "pkl_inside"), map(float, inside), strict=True))
            yield line


def _write_csv(path: Path, lines: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)


def _plain(value: Any) -> Any:
    """Dataclasses and tuples to plain data; NaN and infinity to None."""
    if hasattr(value, "__dataclass_fields__"):
        return {key: _plain(item) for key, item in vars(value).items()}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
