"""Whether a GPU's images are the CPU's, tried once and remembered."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ussim.errors import UssimError
from ussim.files import write_text
from ussim.jit import code_folder

_MOST_DIFFERING = 1e-4  # share of the pixels; none does where compilers keep to what they were told


def check_against_cpu(backend: Any, renderer: Callable[..., Any]) -> None:
    """Render a small frame on both, unless this GPU, driver and version were compared before.

    Raises:
        UssimError: The images differ, or the GPU fails.
    """
    known = f"{backend.device} {backend.gpu.driver_version} {version('numba-cuda')} {version('cuda-bindings')}"
    digest = hashlib.sha256(known.encode()).hexdigest()[:16]
    folder = code_folder(Path(__file__))
    file = folder / f"gpu-{digest}.json" if folder else None
    try:
        differing = float(json.loads(file.read_text())["differing"]) if file else math.nan
    except (OSError, ValueError, KeyError, TypeError):
        differing = math.nan
    if math.isnan(differing):
        differing = differing_share(backend, renderer)
        if file:
            write_text(file, json.dumps({"gpu": known, "differing": differing}))
    if not differing <= _MOST_DIFFERING:
        raise UssimError(
            f"{100 * differing:.2g} % of the pixels of {backend.device} are not those of the CPU, "
            f"{100 * _MOST_DIFFERING:.2g} % is allowed; --backend cuda takes it all the same"
        )


def differing_share(backend: Any, renderer: Callable[..., Any]) -> float:
    """Share of the pixels of a small frame, both qualities and maps, that are not those of the CPU."""
    ours, theirs = (_frame(one, renderer) for one in (backend, "cpu"))
    wrong = [a != b for a, b in zip(ours, theirs, strict=True)]
    return float(np.mean(wrong))


def _frame(backend: Any, renderer: Callable[..., Any]) -> list[np.ndarray]:
    """Low and high quality, segmentation and attenuation of a bone in a liver."""
    import trimesh

    from ussim.probe.probe import ConvexProbe
    from ussim.probe.quality import LQ, Quality
    from ussim.scene.scene import Scene
    from ussim.scene.surface import Surface

    def ball(name: str, tissue: str, radius_mm: float, depth_mm: float, priority: int) -> Surface:
        mesh = trimesh.creation.icosphere(subdivisions=3, radius=radius_mm)
        mesh.apply_translation((2.0, 0.5, depth_mm))
        return Surface.from_mesh(mesh, name=name, tissue=tissue, priority=priority)

    scene = Scene.from_surfaces(
        [ball("body", "liver", 70, 72.3, 1), ball("bone", "fetal_bone", 6, 25, 2)], name="check of a GPU"
    )
    probe = ConvexProbe(scanlines=64, axial_samples=512, depth_mm=60, image_height=240, image_width=320)
    one = renderer(scene, probe, backend=backend)
    pose = np.eye(4)
    one.fit_tgc(pose)
    maps = one.maps(pose)
    images = [one.render(pose, quality) for quality in (LQ, Quality(rays=4, layers=3))]
    return [*images, maps.segmentation, maps.attenuation]
