"""The written report of an evaluation: Markdown, JSON, CSV and pictures."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translate.data.metrics import PKL_PATCH_PX, PKL_RULE
from translate.evaluation.figures import save_error_maps, save_full_views, save_patches
from translate.evaluation.tables import SCALES, about_distance, all_tables
from ussim.errors import UssimError
from ussim.files import whole_folder

if TYPE_CHECKING:
    from translate.evaluation.results import Evaluation, RowResult

FORMAT = 1
FILES = {
    "report.md": "tables and pictures to read",
    "report.json": "everything, for programs",
    "table.csv": "one line for each row of the tables",
    "crops.csv": "one line for each crop and row",
    "patches.png": "input, outputs and target in detail",
    "full_view.png": "input, outputs and target as a whole",
    "error_maps.png": "where input and outputs have other grey levels than the target",
}
_HELD_OUT = {
    "frame": "Held out: single frames, which lie between training frames (split = frame).",
    "scene": "Held out: whole anatomies, of which training saw no frame (split = scene).",
}


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
        self.tables = all_tables(evaluation)

    @property
    def notes(self) -> list[str]:
        """What has to stand beside the tables where their captions are not shown."""
        result = self.evaluation
        return [_HELD_OUT[result.protocol.split], f"pKL: {PKL_RULE}.", *about_distance(result), *result.notes]

    def save(self, folder: Path) -> Report:
        """Write all files, or none; see ``FILES``.

        Raises:
            UssimError: The folder is taken or cannot be written.
        """
        new_folder(folder)
        result = self.evaluation
        titles = ["Input", *(row.name for row in result.rows[1:]), "Target"]
        try:
            with whole_folder(folder) as scratch:
                (scratch / "report.md").write_text(self.markdown(), encoding="utf-8")
                text = json.dumps(self.as_dict(), indent=1, ensure_ascii=False, allow_nan=False)
                (scratch / "report.json").write_text(text + "\n", encoding="utf-8")
                _write_csv(scratch / "table.csv", [_flat(row) for row in result.rows])
                _write_csv(scratch / "crops.csv", list(_crop_lines(result)))
                save_patches(result.patch_examples, titles, scratch / "patches.png")
                save_full_views(result.full_examples, titles, scratch / "full_view.png")
                save_error_maps(result.full_examples, titles[:-1], scratch / "error_maps.png")
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
            "![Maps of local-histogram errors: input, outputs](error_maps.png)",
            "",
            f"Where the grey levels of those frames are not the target's: pKL of each patch of {PKL_PATCH_PX} × "
            f"{PKL_PATCH_PX} pixels, black for none, white for the 99th percentile of the input's.",
            "",
        ]
        return "\n".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """Everything but pixels and single crops, as plain data; what is not a finite number is None."""
        result = self.evaluation
        left_out = {"scores", "places", "patch_examples", "full_examples"}
        content = {key: value for key, value in vars(result).items() if key not in left_out}
        content = {key: _plain(value) for key, value in content.items()}
        return {
            "format": FORMAT,
            "pkl_rule": PKL_RULE,
            **content,
            "tables": [table.model_dump(mode="json") for table in self.tables],
        }


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
    for key in ("band_snr", "axial_mm", "lateral_mm"):
        for band, value in enumerate(getattr(row.speckle, key)):
            line[f"speckle_{key}_band{band}"] = value
    for figure in SCALES:
        view, bands = row.full_view, len(row.speckle.axial_mm)
        gaps, core_gaps = (view.band_gap[figure], view.core_band_gap[figure]) if view else ([""] * bands,) * 2
        line[f"gap_{figure}"] = row.full_view.gap[figure] if row.full_view else ""
        line[f"gap_{figure}_core"] = row.full_view.core_gap[figure] if row.full_view else ""
        for band in range(bands):
            line[f"gap_{figure}_band{band}"] = gaps[band]
            line[f"gap_{figure}_core_band{band}"] = core_gaps[band]
    line["overlap_grey"] = row.full_view.overlap_grey if row.full_view else ""
    return line


def _crop_lines(result: Evaluation) -> Iterator[dict[str, Any]]:
    for name, kinds in result.scores.items():
        for place, whole, inside in zip(result.places, kinds["whole"], kinds["inside"], strict=True):
            line: dict[str, Any] = dict(zip(("frame", "y", "x"), map(int, place), strict=True)) | {"row": name}
            line |= dict(zip(("psnr", "ssim", "pkl"), map(float, whole), strict=True))
            line |= dict(zip(("psnr_inside", "ssim_inside", "pkl_inside"), map(float, inside), strict=True))
            yield line


def _write_csv(path: Path, lines: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows({key: _cell(value) for key, value in line.items()} for line in lines)


def _cell(value: Any) -> Any:
    """A value as a spreadsheet takes it; a run called ``=1+1`` is a name to it, too, and no formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@\t") else value


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
