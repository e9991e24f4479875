"""Times frames, stages, the live path and writing on one backend."""

from __future__ import annotations

import datetime
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from cli.benchmark.peers import closest_hits, scatterers
from ussim.dataset import job
from ussim.dataset.plan import make_plan
from ussim.probe.probe import Probe
from ussim.probe.quality import HQ, LQ, REFERENCE, Quality
from ussim.probe.settings import Settings
from ussim.render.bench import frame_times
from ussim.render.live import Live
from ussim.render.renderer import Renderer
from ussim.scene.scene import Scene

_REPEATS = 7
_LOOKS = 30
_BUFFER_BYTES = 256 << 20  # more than any cache holds


def run(
    scene: Scene,
    backend: str = "auto",
    generator: Path | None = None,
    pairs: int = 16,
    probe: Probe | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Measure a scene.

    Args:
        scene: With at least one sweep.
        backend: ``auto``, ``cpu`` or ``cuda``.
        generator: A run folder, whose generator enhances the live images.
        pairs: Frames to write, both qualities and maps.
        probe: The default one, full size, if not given.
        say: Told what is measured.

    Returns:
        ``device``, ``date``, ``scene``, ``triangles``; ``bandwidth_gb_s`` of its memory; ``frames`` with a row for each
        kind: ``single_ms``, ``batched_ms``, ``frames_per_batch`` and ``stages``, of which each has ``ms``, ``bytes``
        of its arrays and ``floor_ms``, their time at that bandwidth; ``live``; ``writing``; ``peers``.

    Raises:
        UssimError: The scene has no sweep, the backend is not there, or the generator does not fit.
    """
    poses = scene.sweep().poses(_LOOKS)
    renderer = Renderer(scene, probe, backend=backend)
    renderer.fit_tgc(poses[:4])
    say(f"{renderer.device}: memory")
    bandwidth = _bandwidth(renderer.backend)
    frames = {}
    tasks: dict[str, Quality | None] = {"lq": LQ, "hq": HQ, "reference": REFERENCE, "maps": None}
    for name, quality in tasks.items():
        say(name)
        frames[name] = _frames(renderer, quality, poses, bandwidth)
    say("live")
    live = _live(renderer, poses, generator)
    say("writing")
    writing = _writing(renderer, pairs)
    say("peers")
    return {
        "device": renderer.device,
        "date": datetime.date.today().isoformat(),
        "scene": scene.name,
        "triangles": len(scene.triangles),
        "image": list(renderer.probe.image_shape),
        "bandwidth_gb_s": round(bandwidth / 1e9, 1),
        "frames": frames,
        "live": live,
        "writing": writing,
        "peers": {"closest_hits": closest_hits(scene, poses[0]), "scatterers": scatterers()},
    }


def _frames(renderer: Renderer, quality: Quality | None, poses: np.ndarray, bandwidth: float) -> dict[str, Any]:
    """One kind of frame: single, batched, and its stages."""
    repeats = _REPEATS if quality is not REFERENCE else 3
    times, stage_ms = frame_times(renderer, quality, poses, repeats, renderer.batch_size([quality or LQ]))
    stages = {
        stage: {"ms": ms, "bytes": size, "floor_ms": round(1e3 * size / bandwidth, 6)}
        for (stage, ms), size in zip(stage_ms.items(), renderer.stage_bytes.values(), strict=True)
    }
    return {
        "single_ms": times["single"],
        "batched_ms": times["batched"],
        "frames_per_batch": times["frames_per_batch"],
        "stages": stages,
    }


def _live(renderer: Renderer, poses: np.ndarray, run: Path | None) -> dict[str, Any]:
    """From a pose to its image on the host: as it is, with maps, enhanced."""
    views = {"lq": Live(renderer), "lq and maps": Live(renderer, maps=True)}
    if run is not None:
        from translate.use.inference import Generator
        from translate.use.live import LiveEnhancer

        on_gpu = renderer.backend_name == "cuda"
        generator = Generator.load(run, "cuda" if on_gpu else "cpu", "torch" if on_gpu else _fastest_engine())
        tissues = [asdict(tissue) for tissue in renderer.scene.media]
        enhance = LiveEnhancer(generator, renderer.probe, tissues, f"scene '{renderer.scene.name}'")
        views[f"enhanced, by {generator.engine}"] = Live(renderer, enhance=enhance)
    figures = {}
    for name, view in views.items():
        for pose in poses[:3]:
            view.look(pose)
        seconds = [_seconds(view.look, pose) for pose in poses]
        figures[name] = {"median_ms": _ms(statistics.median(seconds)), "p95_ms": _ms(float(np.percentile(seconds, 95)))}
    return figures


def _fastest_engine() -> str:
    """Of those that run on a CPU, the fastest that is installed."""
    from importlib.util import find_spec

    return "openvino" if find_spec("openvino") else "torch"


def _writing(renderer: Renderer, pairs: int) -> dict[str, Any]:
    """Pairs with maps, from poses to a store on the disk."""
    settings = Settings(renderer.probe, renderer.imaging, {"lq": LQ, "hq": HQ})
    plan = make_plan(renderer.scene, pairs, settings, backend=renderer.backend_name)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        job.run(plan, Path(folder) / "bench.zarr")
        seconds = time.perf_counter() - began
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    return {"pairs": pairs, "seconds": round(seconds, 2), "pairs_per_s": round(pairs / seconds, 2), "bytes": size}


def _bandwidth(backend: Any) -> float:
    """Bytes per second that the backend's memory takes."""
    buffer = backend.empty(_BUFFER_BYTES, np.uint8)

    def fill(_: None) -> None:
        backend.clear(buffer)
        backend.wait()

    fill(None)
    return _BUFFER_BYTES / statistics.median(_seconds(fill, None) for _ in range(_REPEATS))


def _seconds(task: Callable[[Any], object], argument: Any) -> float:
    began = time.perf_counter()
    task(argument)
    return time.perf_counter() - began


def _ms(seconds: float) -> float:
    return round(1e3 * seconds, 3)
