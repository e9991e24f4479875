"""Timings of one scene on one backend: whole frames, stages, closest hits."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ussim.errors import UssimError
from ussim.jit import device
from ussim.probe.quality import HQ, LQ, Quality
from ussim.render.bvh import STACK_SIZE, build_bvh
from ussim.render.kernels.hits import FAR_MM, first_hit
from ussim.render.renderer import Renderer
from ussim.render.tables import geometry_table
from ussim.scene.scene import Scene

_RAYS = 200_000


def run(scene: Path | Scene, backend: str = "auto", repeats: int = 7, frames: int | None = None) -> dict:
    """Measure a scene at the default probe; medians of ``repeats`` after warm-up.

    Args:
        scene: The scene or its file.
        backend: ``"cpu"``, ``"cuda"`` or ``"auto"``.
        repeats: Timed runs of each figure.
        frames: Frames of a batch; the backend's own batch size by default.

    Returns:
        ``device``, ``triangles``, ``scene``, ``tree_s`` (build time of the tree), ``frame_ms`` with ``lq``, ``hq``
        and ``maps``, each ``single`` and ``batched`` [ms per frame], ``stage_ms`` of single frames, and
        ``closest_hits_per_s`` of one CPU thread.

    Raises:
        UssimError: If the scene has no sweep.
    """
    scene = scene if isinstance(scene, Scene) else Scene.load(scene)
    if not scene.sweeps:
        raise UssimError(f"scene '{scene.name}': has no sweep to take poses from; allowed: at least one [[sweep]]")
    tree_s = _tree_seconds(scene)
    renderer = Renderer(scene, backend=backend)
    sweep = scene.sweep()
    renderer.fit_tgc(sweep.poses(4))
    frame_ms: dict[str, dict[str, float]] = {}
    stage_ms: dict[str, dict[str, float]] = {}
    for name, quality in (("lq", LQ), ("hq", HQ), ("maps", None)):
        many = frames or renderer.batch_size([quality or LQ])
        frame_ms[name], stage_ms[name] = frame_times(renderer, quality, sweep.poses(max(many, repeats)), repeats, many)
    return {
        "device": renderer.device,
        "scene": scene.name,
        "triangles": len(scene.triangles),
        "image": list(renderer.probe.image_shape),
        "axial_samples": renderer.probe.axial_samples,
        "scanlines": renderer.probe.scanlines,
        "tree_s": tree_s,
        "frame_ms": frame_ms,
        "stage_ms": stage_ms,
        "closest_hits_per_s": _closest_hits_per_s(scene, sweep.poses(1)[0], repeats),
    }


def frame_times(
    renderer: Renderer, quality: Quality | None, poses: np.ndarray, repeats: int, many: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Medians of one kind of frame, and of each of its stages in single frames [ms].

    Args:
        renderer: What renders; its ``stage_bytes`` are those of one frame afterwards.
        quality: Of images; None for maps.
        poses: (n, 4, 4), at least as many as repeats.
        repeats: Timed runs.
        many: Frames of a batch; poses are used again if they are fewer.

    Returns:
        (``single``, ``batched`` and ``frames_per_batch``; by name of the stage).
    """

    def task(some: np.ndarray) -> object:
        return renderer.maps(some) if quality is None else renderer.render(some, quality)

    task(poses[:1])  # compiles, and makes the work arrays
    single = _median_ms([_seconds(task, poses[i : i + 1]) for i in range(repeats)])
    stages = _stages_ms(renderer, task, poses, repeats)
    batch = np.resize(poses, (many, 4, 4))
    task(batch)
    batched = _median_ms([_seconds(task, batch) / many for _ in range(max(3, repeats // 2))])
    return {"single": single, "batched": batched, "frames_per_batch": many}, stages


def _seconds(task: Callable[[np.ndarray], object], poses: np.ndarray) -> float:
    began = time.perf_counter()
    task(poses)
    return time.perf_counter() - began


def _median_ms(seconds: list[float]) -> float:
    return round(1e3 * statistics.median(seconds), 3)


def _stages_ms(renderer: Renderer, task: Callable, poses: np.ndarray, repeats: int) -> dict[str, float]:
    """Median milliseconds of every stage over single frames."""
    renderer.timed = True
    runs = []
    for i in range(repeats):
        renderer.stage_s.clear()
        renderer.stage_bytes.clear()
        task(poses[i : i + 1])
        runs.append(dict(renderer.stage_s))
    renderer.timed = False
    return {stage: _median_ms([run[stage] for run in runs]) for stage in runs[0]}


def _tree_seconds(scene: Scene) -> float:
    build_bvh(scene.vertices_mm, scene.triangles)  # compiles
    began = time.perf_counter()
    build_bvh(scene.vertices_mm, scene.triangles)
    return round(time.perf_counter() - began, 3)


def sector_rays(pose: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Origins [mm] and directions of rays from random points before a probe into its sector, (count, 3) float32."""
    random = np.random.default_rng(0)
    angle, slope = random.uniform(-0.6, 0.6, count), random.uniform(-0.05, 0.05, count)
    along = np.stack([np.sin(angle), slope, np.cos(angle)], axis=1)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    start = along * random.uniform(0, 100, (count, 1))
    origins = (start @ pose[:3, :3].T + pose[:3, 3]).astype(np.float32)
    return origins, (along @ pose[:3, :3].T).astype(np.float32)


def _closest_hits_per_s(scene: Scene, pose: np.ndarray, repeats: int) -> int:
    """Rays per second of one thread."""
    origins, directions = sector_rays(pose, _RAYS)
    geometry = geometry_table(scene)
    shoot(geometry, origins[:10], directions[:10])
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        shoot(geometry, origins, directions)
        seconds.append(time.perf_counter() - began)
    return round(_RAYS / statistics.median(seconds))


@device
def shoot(geometry, origins, directions):
    """How many of some rays hit anything, on one thread."""
    stack = np.empty(STACK_SIZE, np.int32)
    stack_t = np.empty(STACK_SIZE, np.float32)
    hits = 0
    for i in range(origins.shape[0]):
        _, triangle = first_hit(
            geometry, origins[i, 0], origins[i, 1], origins[i, 2],
            directions[i, 0], directions[i, 1], directions[i, 2], FAR_MM, np.int32(-1), stack, stack_t,
        )  # fmt: skip
        if triangle >= 0:
            hits += 1
    return hits
