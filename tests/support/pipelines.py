"""A small pipeline for everybody's tests: its settings, and how to call the command."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from cli.ussim_pipeline import main

FRAMES = 20
SMALL = {
    "render.frames": FRAMES, "render.size": "96x133", "render.unit": 4, "probe.scanlines": 24,
    "probe.axial_samples": 256, "hq.rays": 4,
    "train.init": "random", "train.norm": "batch", "train.residual": "true",
    "train.variants": "LM,LMSA", "train.ngf": 4, "train.ndf": 4, "train.depth": 4, "train.crop": 64, "train.batch": 2,
    "train.iterations": 6, "train.checkpoint_every": 2, "train.log_every": 2, "train.threads": 1, "evaluate.crops": 2,
}  # fmt: skip
SETTINGS = [f"--set={name}={value}" for name, value in SMALL.items()]


def pipeline(*arguments: object) -> Result:
    """Call ``ussim-pipeline``."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def content(folder: Path) -> dict[str, bytes]:
    """All that a pipeline computes, without what may differ from run to run: times, logs, checkpoints."""
    kept = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and (name.startswith(("dataset.zarr/", "enhanced/")) or path.suffix == ".safetensors"):
            kept[name] = path.read_bytes()
    report = json.loads((folder / "evaluation" / "report.json").read_text())
    report.pop("seconds")
    return {**kept, "report": json.dumps(report).encode()}
