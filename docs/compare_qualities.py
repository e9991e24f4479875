"""Measures how alike the qualities are, and how far high quality is from its limit.

    python docs/compare_qualities.py                                     # as docs/physics.md has it: some minutes
    python docs/compare_qualities.py --frames 4 --limit-frames 1 --small --dry  # to try it: prints, writes nothing
    python docs/compare_qualities.py --table                             # only write the table again

Low against high quality over ``--frames`` of the exam sweep, and what of the difference is due to its single layer or
ray; images of 8, 32 (high quality) and 128 rays against those
of 1024, three layers each, over ``--limit-frames`` spread over it. The numbers go into docs/qualities_measured.json,
and from there into the table. The whole takes about 5 minutes of CPU time.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

import numpy as np
from pages import put_between

from meshes import cached_scene
from translate.data.metrics import psnr, ssim
from ussim.probe.probe import ConvexProbe
from ussim.probe.quality import HQ, LQ, Quality
from ussim.render.renderer import Renderer
from ussim.scene.scene import Scene

RESULTS, PAGE = DOCS / "qualities_measured.json", DOCS / "physics.md"
BEGIN, END = "<!-- table of docs/compare_qualities.py -->", "<!-- end of the qualities' table -->"
LIMIT = Quality(rays=1024, layers=HQ.layers)
FEWER = (8, HQ.rays, 128)
QUALITIES = {
    "lq": LQ,
    "hq": HQ,
    "one_ray": Quality(rays=LQ.rays, layers=HQ.layers),
    "one_layer": Quality(rays=HQ.rays, layers=LQ.layers),
}
TGC_POSES = 16
SMALL = {"image_height": 250, "image_width": 346, "scanlines": 128, "axial_samples": 1536}


def likeness(renderer: Renderer, frames: int) -> dict:
    """How alike low and high quality are.

    Returns:
        ``lq_psnr_db``, ``lq_ssim_percent`` (means over the sector and over the whole image, as the paper's) and
        ``lq_psnr_range_db``; ``one_ray_…`` and ``one_layer_…`` likewise, of images that are as poor in one way only;
        ``cpu_ms``, median CPU time of all cores a frame; ``peak_mb``, memory of the process after its first frames.
    """
    poses, mask = renderer.scene.sweeps["exam"].poses, renderer.probe.mask() > 0
    renderer.render(poses(1), LQ), renderer.render(poses(1), HQ)  # compiles
    found = {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000}
    figures, cpu_ms = {name: [] for name in QUALITIES}, {name: [] for name in QUALITIES}
    for frame, pose in enumerate(poses(frames)):
        images = {}
        for name, quality in QUALITIES.items():
            began = time.process_time()
            images[name] = renderer.render(pose, quality, [frame])[0]
            cpu_ms[name].append(1000 * (time.process_time() - began))
        high = images.pop("hq")
        for name, image in images.items():
            figures[name].append([metric(image, high, part) for metric in (psnr, ssim) for part in (mask, None)])
    for name in images:
        sector_db, whole_db, sector, whole = np.mean(figures[name], axis=0)
        found[f"{name}_psnr_db"] = {"sector": sector_db, "image": whole_db}
        found[f"{name}_ssim_percent"] = {"sector": 100 * sector, "image": 100 * whole}
    sector_db = np.array(figures["lq"])[:, 0]
    found["lq_psnr_range_db"] = [sector_db.min(), sector_db.max()]
    return found | {"cpu_ms": {name: np.median(cpu_ms[name]) for name in ("lq", "hq")}}


def measure(renderer: Renderer, frames: int, limit_frames: int) -> dict:
    """Render and compare.

    Returns:
        ``size`` [px], ``frames`` and ``limit_frames``; what :func:`likeness` gives; of high quality against its limit
        ``hq_psnr_db``, ``hq_grey_difference`` (means) and ``hq_grey_difference_range``; ``error_grey``, the RMS error
        of each number of rays, and the exponent it falls with, ``exponent``, and would fall with as N^(−0.5) against
        a limit that has such an error of its own, ``exponent_of_root``. Over the pixels inside the sector, where
        nothing else is said.
    """
    poses, mask = renderer.scene.sweeps["exam"].poses, renderer.probe.mask() > 0
    renderer.fit_tgc(poses(TGC_POSES))
    alike = likeness(renderer, frames)
    errors, differences, high_db = [], [], []
    for frame, pose in enumerate(poses(limit_frames)):
        limit = renderer.render(pose, LIMIT, [frame])[0]
        images = [renderer.render(pose, Quality(rays=rays, layers=LIMIT.layers), [frame])[0] for rays in FEWER]
        off = [image[mask].astype(float) - limit[mask] for image in images]
        errors.append([np.sqrt((grey**2).mean()) for grey in off])
        differences.append(off[FEWER.index(HQ.rays)].mean())
        high_db.append(psnr(images[FEWER.index(HQ.rays)], limit, mask))
    error = np.sqrt(np.square(errors).mean(axis=0))
    measured = {
        "size": list(renderer.probe.image_shape),
        "frames": frames,
        **alike,
        "limit_frames": limit_frames,
        "hq_psnr_db": np.mean(high_db),
        "hq_grey_difference": np.mean(differences),
        "hq_grey_difference_range": [min(differences), max(differences)],
        "error_grey": dict(zip(map(str, FEWER), error, strict=True)),
        "exponent": exponent(error),
        "exponent_of_root": exponent(np.sqrt(1 / np.array(FEWER) + 1 / LIMIT.rays)),
    }
    return json.loads(json.dumps(measured, default=float), parse_float=lambda text: float(f"{float(text):.4g}"))


def exponent(error: np.ndarray) -> float:
    """Exponent of the number of rays by which errors fall."""
    return np.polyfit(np.log(FEWER), np.log(error), 1)[0]


def table(measured: dict) -> str:
    """The table in Markdown."""
    (low_db, high_db), differences = measured["lq_psnr_range_db"], measured["hq_grey_difference_range"]
    errors = ", ".join(f"{grey:.1f}" for grey in measured["error_grey"].values())
    rows = [
        ("low against high quality, PSNR", "22–28 dB (the paper: 25.3)", "{lq_psnr_db[image]:.1f} dB; in the sector "
         f"{{lq_psnr_db[sector]:.1f}} ({low_db:.1f} to {high_db:.1f})", "{frames}"),
        ("the same, SSIM", "55–75 % (the paper: 64)", "{lq_ssim_percent[image]:.0f} %; in the sector "
         "{lq_ssim_percent[sector]:.0f}", "{frames}"),
        ("three layers of one ray against high quality", "between", "{one_ray_psnr_db[image]:.1f} dB, "
         "{one_ray_ssim_percent[image]:.0f} %", "{frames}"),
        ("one layer of 32 rays against high quality", "between", "{one_layer_psnr_db[image]:.1f} dB, "
         "{one_layer_ssim_percent[image]:.0f} %", "{frames}"),
        ("high quality against 1024 rays, PSNR in the sector", "≥ 34 dB", "{hq_psnr_db:.1f} dB", "{limit_frames}"),
        ("the same, mean grey difference", "within ± 1", "{hq_grey_difference:+.2f} "
         f"({differences[0]:+.2f} to {differences[1]:+.2f})", "{limit_frames}"),
        ("RMS error of 8, 32, 128 rays against 1024, grey levels", "∝ N^(−0.5) or faster; with the 1024 rays' own "
         "error N^({exponent_of_root:.2f})", f"{errors}: N^({{exponent:.2f}})", "{limit_frames}"),
    ]  # fmt: skip
    height, width = measured["size"]
    lines = [f"| {width} × {height} pixels | wanted | measured, mean | frames |", "|---|---|---|---|"]
    lines += ["| " + " | ".join(cell.format(**measured).replace("-", "−") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def page_with_table(page: str, measured: dict) -> str:
    """The page with the table between its marks replaced."""
    return put_between(page, BEGIN, table(measured), END)


def main() -> None:
    """Build the scene or take it from the cache, measure, store, write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--detail", default="demo")
    parser.add_argument("--frames", type=int, default=72, help="low against high quality")
    parser.add_argument("--limit-frames", type=int, default=12, help="high quality against 1024 rays")
    parser.add_argument("--small", action="store_true", help="a quarter of the size, half the lines and samples")
    parser.add_argument("--dry", action="store_true", help="print the numbers, write nothing")
    parser.add_argument("--table", action="store_true", help="render nothing")
    options = parser.parse_args()
    if options.table:
        measured = json.loads(RESULTS.read_text("utf-8"))
    else:
        scene = Scene.load(cached_scene(options.detail, progress=lambda text: print(text, file=sys.stderr)))
        renderer = Renderer(scene, ConvexProbe(**SMALL) if options.small else None, backend="cpu")
        measured = {"detail": options.detail, **measure(renderer, options.frames, options.limit_frames)}
    print(json.dumps(measured, indent=1))
    print(table(measured))
    if not options.dry:
        RESULTS.write_text(json.dumps(measured, indent=1) + "\n", "utf-8")
        PAGE.write_text(page_with_table(PAGE.read_text("utf-8"), measured), "utf-8")


if __name__ == "__main__":
    main()
