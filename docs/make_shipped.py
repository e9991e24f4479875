"""Write the generator that is shipped, from its training, and its card.

    python docs/make_shipped.py small_set run       # see train_shipped.py for both

Evaluates the last stage on held-out anatomies, of every part of the set, and on scenes of other kinds, and writes
weights, settings and card into translate/shipped, the learning curve and the figures into docs/shipped_measured.json.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import foreign
import numpy as np
import torch
from pages import put_between
from PIL import Image
from train_shipped import HOW, NETWORK, STAGES, stores_of

import ussim
from meshes.cache import cached_scene
from translate.data.split import Split, is_held_out
from translate.data.store import StoreReader
from translate.evaluation.evaluate import evaluate
from translate.evaluation.results import LOW_QUALITY
from translate.evaluation.steadiness import sweep_steadiness
from translate.model.checkpoint import MASK, WEIGHTS, load_network, save_weights
from translate.model.networks import parameters
from translate.model.shipped import CARD, FOLDER, Card
from translate.settings import Run
from translate.training.log import read_log
from translate.training.validation import CURVE
from translate.use.inference import Generator
from ussim.dataset import job
from ussim.dataset.plan import make_plan
from ussim.dataset.store import Dataset
from ussim.files import file_digest, write_text
from ussim.probe.settings import build_settings
from ussim.scene.scene import Scene
from ussim.scene.sweep import Sweep, SweepKey

PAGE = Path(__file__).with_name("shipped.md")
PICTURE = Path(__file__).parent / "images" / "shipped.jpg"
SHOWN = 60
"""Number of the held-out frame of the exam that the page shows."""
MEASURED = Path(__file__).with_name("shipped_measured.json")
IMAGES = 40
"""Held-out images of the exam that are evaluated; of every other part a fifth of that."""
CROP_PX = 512
LEAST_FOR_FD = 20
"""Images that a Fréchet distance is given for."""
DRAWS = 1000
SLOW_MM, STEP_MM = 10.0, 0.25
FALLS_SHORT = (
    "It cannot bring back what the low-quality image does not show: a wall or a vessel that its single ray a scanline "
    "missed stays missing.",
    "Shadows of small bones keep in part the low-quality image's hard edges, as lines along the beam.",
    "In deep shadow it may draw the outline of a wall that the segmentation shows and the high-quality image does not.",
    "Beside thin parts a faint haze spreads into the fluid, and small bright spots fade.",
    "4000 more updates did not help it, its held-out curve is flat; the paper's gains are several times larger.",
    "Where low quality is nearly right already, as in scenes of a few smooth bodies, there is little to win: it moves "
    "PSNR by 0.0 to +0.6 dB and SSIM by less than 0.1 points.",
)
NOT_FOR = (
    "diagnosis, or any decision about a patient; images of real scanners, which it has never seen; measuring a "
    "simulator's physics"
)


def interval(values: np.ndarray, frames: np.ndarray) -> tuple[float, float, float]:
    """Mean over crops, and its 95 % bootstrap interval over images."""
    rng = np.random.default_rng(0)
    means = np.array([values[frames == frame].mean() for frame in np.unique(frames)])
    draws = rng.choice(means, (DRAWS, len(means))).mean(axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return tuple(round(float(value), 4) for value in (values.mean(), low, high))


def measure(run: Path, store: Path, images: int, split: Split = "scene") -> dict[str, dict[str, tuple[float, ...]]]:
    """Figures of the low-quality images and of the generator on held-out anatomies of a store."""
    image = Dataset.open(store).header.image
    crop = min(CROP_PX, image.height // 64 * 64)
    with tempfile.TemporaryDirectory() as scratch:
        result = evaluate([run], store, Path(scratch) / "report", images=images, split=split, crop=crop).evaluation
    found: dict[str, dict[str, tuple[float, ...]]] = {}
    frames = result.places[:, 0]
    for row in result.rows:
        scores = result.scores[row.name]["whole"]
        figures = {
            name: interval(scores[:, column] * scale, frames)
            for column, (name, scale) in enumerate({"PSNR [dB]": 1, "SSIM [%]": 100, "pKL ×100": 100}.items())
        }
        if row.distance and row.distance.images >= LEAST_FOR_FD:
            figures["FD"] = tuple(round(x, 3) for x in (row.distance.frechet, row.distance.low, row.distance.high))
        pairs = zip(row.speckle.band_snr, result.reference_speckle.band_snr, strict=True)
        figures["speckle SNR over HQ's, by depth"] = tuple(round(a / b, 3) if b > 0 else 0.0 for a, b in pairs)
        found["low quality" if row.name == LOW_QUALITY else "shipped"] = figures
    return found


def slow_sweep(folder: Path, number: int, seed: int, weeks: float) -> Path:
    """A store of a slow sweep over the head of an anatomy: 10 mm in elevation, 0.25 mm a frame."""
    store = folder / "slow" / f"anatomy_{number}.zarr"
    scene = Scene.load(cached_scene("demo", seed, weeks))
    lateral, elevational, axial, position = scene.sweep("transthalamic").poses(1)[0, :3].T
    ends = [SweepKey(position + step * elevational, axial, lateral) for step in (-SLOW_MM / 2, SLOW_MM / 2)]
    scene = replace(scene, sweeps={"slow": Sweep("slow", tuple(ends))})
    settings = build_settings([], ("lq", "hq"), (1000, 1386))
    job.run(make_plan(scene, round(SLOW_MM / STEP_MM) + 1, settings, "slow"), store, resume=store.exists())
    return store


def steadiness(run: Path, store: Path) -> dict[str, dict[str, float]]:
    """How much the tissue of a slow sweep flickers: low quality, shipped, high quality."""
    generator, reader = Generator.load(run), StoreReader(store)
    view = generator.view(reader)
    found = sweep_steadiness(Dataset.open(store), {"shipped": lambda maps: view.enhance(maps, reader.mask)})
    return {name: {key: round(value, 3) for key, value in vars(one).items()} for name, one in found.items()}


def picture(run: Path, store: Path) -> None:
    """A held-out frame before and after and as it should be, pixel for pixel."""
    generator, reader = Generator.load(run), StoreReader(store)
    held_out = reader.frames("test", "scene")
    frame = reader.frame(int(held_out[SHOWN % len(held_out)]))
    enhanced = generator.view(reader).enhance(frame, reader.mask)
    window = slice(330, 830), slice(470, 920)
    Image.fromarray(np.hstack([image[window] for image in (frame["lq"], enhanced, frame["hq"])])).save(
        PICTURE, quality=90
    )


def ship(folder: Path, run: Path) -> None:
    """Evaluate, and write what is shipped."""
    stores, before = stores_of(folder), json.loads(MEASURED.read_text(encoding="utf-8"))
    curve, updates = [], {}
    for name in STAGES:
        if (run / name).is_dir():
            lines = read_log(run / name, CURVE)
            updates[name] = int(json.loads((run / name / "log.jsonl").read_text().splitlines()[-1])["iteration"])
        else:  # it began with what was shipped
            lines = [line for line in before["curve"] if line["stage"] == name]
            updates[name] = before["updates"][name]
        curve += [{**line, "stage": name} for line in lines]
    last = list(STAGES)[-1]
    run = run / last
    parts = {store.stem: measure(run, store, IMAGES if store.stem == "exam" else IMAGES // 5) for store in stores}
    stored = Run.load(run)
    network, _ = load_network(run, stored)
    FOLDER.mkdir(exist_ok=True)
    shutil.copy(run / MASK, FOLDER / MASK)
    stored.save(FOLDER)
    about = {"iteration": str(updates[last]), "run": stored.digest}
    save_weights(FOLDER / WEIGHTS, network, about, torch.float16)
    first = Dataset.open(stores[0])
    held_out = np.unique(first.scene[is_held_out(first, "scene")])
    frames = sum(Dataset.open(store).frames for store in stores)
    weeks = [row.weeks for row in first.header.scenes]
    card = Card(
        name=f"ussim default, {stored.train.inputs}, fast U-Net of width {stored.train.ngf}",
        version=ussim.__version__,
        sha256=file_digest(FOLDER / WEIGHTS),
        inputs=stored.train.inputs,
        size=(stored.data.image.height, stored.data.image.width),
        mm_per_pixel=stored.data.mm_per_pixel,
        parameters=parameters(network),
        data=f"{frames} simulated pairs of {len(weeks)} procedural anatomies of {min(weeks):g} to {max(weeks):g} weeks "
        "and of scenes of balls, rods and boxes; in the first two stages the whole training set, four times as many",
        stores=stored.data.digest,
        anatomies_held_out=tuple(map(int, held_out)),
        seeds=(stored.train.seed,),
        updates=sum(updates.values()),
        metrics=parts["exam"],
        falls_short=FALLS_SHORT,
        not_for=NOT_FOR,
        licence="Apache-2.0, as ussim",
    )
    write_text(FOLDER / CARD, card.model_dump_json(indent=1) + "\n")
    row = first.header.scenes[held_out[0]]
    slow = steadiness(run, slow_sweep(folder, int(held_out[0]), row.seed, row.weeks))
    settings = " ".join((*NETWORK, *HOW, *STAGES[last].settings))
    measured: dict[str, Any] = {"settings": settings, "updates": updates, "curve": curve, "parts": parts}
    others = foreign.stores(folder / "foreign").items()
    measured |= {"steadiness": slow, "step_mm": STEP_MM}
    measured["foreign"] = {name: measure(run, store, IMAGES, "frame") for name, store in others}
    write_text(MEASURED, json.dumps(measured, indent=1, ensure_ascii=False) + "\n")
    write_page(measured)
    picture(run, stores[0])


def tables(measured: dict[str, Any]) -> str:
    """What was measured, as Markdown."""
    parts = {**measured["parts"], **measured["foreign"]}
    names = list(measured["parts"]["exam"]["shipped"])
    scalars, bands = [name for name in names if "depth" not in name], names[-1]
    updates = " + ".join(f"{count:,}" for count in measured["updates"].values())
    lines = [
        f"After {updates} updates, on held-out scenes, 512² crops (of half-size images 448²); low quality → shipped, "
        "and in brackets the 95 % interval of the latter (over images; of FD by bootstrap):",
        "",
        "| part | " + " | ".join(scalars) + " |",
        "|---" * (len(scalars) + 1) + "|",
    ]
    for part, rows in parts.items():
        cells = []
        for name in scalars:
            if name in rows["shipped"]:
                low, (mean, least, most) = rows["low quality"][name], rows["shipped"][name]
                cells.append(f"{low[0]:.2f} → **{mean:.2f}** [{least:.2f}, {most:.2f}]")
            else:
                cells.append("–")
        lines.append(f"| {part} | " + " | ".join(cells) + " |")
    shown = (
        " / ".join(f"{value:.2f}" for value in measured["parts"]["exam"][row][bands])
        for row in ("low quality", "shipped")
    )
    lines += [
        "",
        "Speckle of the exam: SNR of the envelope over that of the high-quality images, in five bands of 30 mm: low "
        "quality {}; shipped {}.".format(*shown),
        "",
        f"Steadiness, over a slow sweep of {measured['step_mm']:g} mm a frame over the head of a held-out anatomy: "
        "root mean square change of tissue from frame to frame, in grey levels, of pixels and of means over 3 mm:",
        "",
        "| | pixels | 3 mm |",
        "|---|---|---|",
        *(f"| {name} | {row['pixel']:.2f} | {row['patch']:.2f} |" for name, row in measured["steadiness"].items()),
        "",
        "Learning curve, 48 crops of held-out scenes, of all parts of the set; from the third stage on of a smaller "
        "set, in the last two of 448² instead of 256², so that low quality is given anew:",
        "",
        "| stage | update | PSNR [dB] | SSIM [%] | pKL ×100 |",
        "|---|---|---|---|---|",
    ]
    for line in measured["curve"]:
        if line["iteration"] == 0 and line["stage"] in ("second", "fourth", "sixth"):
            continue  # as in the stage before
        name = "low quality" if line["iteration"] == 0 else line["stage"]
        figures = f"{line['psnr_db']:.2f} | {line['ssim_percent']:.2f} | {100 * line['pkl']:.2f}"
        lines.append(f"| {name} | {line['iteration']:,} | {figures} |")
    return "\n".join(lines)


def write_page(measured: dict[str, Any]) -> None:
    """Put the tables into the page, between its marks."""
    text = PAGE.read_text(encoding="utf-8")
    write_text(PAGE, put_between(text, "<!-- measured -->", tables(measured), "<!-- end of measured -->"))


def main() -> None:
    """Evaluate and write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("training_set", type=Path)
    options.add_argument("run", type=Path, help="folder of the stages")
    given = options.parse_args()
    ship(given.training_set, given.run)


if __name__ == "__main__":
    main()
