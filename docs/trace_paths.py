"""Records where paths run, for a figure: `python docs/trace_paths.py OUT.npz` (docs/make_figures.py calls it).

The tracer keeps depths, not places. Here its own code runs as plain Python, as it does in the CUDA simulator, with an
ear on its search for interfaces; only the search through the tree stays compiled.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["NUMBA_ENABLE_CUDASIM"] = "1"  # before ussim: device functions are then plain Python
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import numba
import numpy as np
from figure_frame import PROBE, figure_pose, figure_scene

from ussim.probe.quality import HQ, LQ, Quality
from ussim.render.bvh import STACK_SIZE
from ussim.render.kernels import hits, trace
from ussim.render.physics import intersect
from ussim.render.renderer import Renderer

EVERY_LINE = 12
_compiled = intersect.build(numba.njit(error_model="numpy"))


def _closest_hit(*arguments):
    t, triangle = _compiled(*arguments)
    return np.float32(t), np.int32(triangle)


def traced(renderer: Renderer, pose: np.ndarray, quality: Quality) -> list[np.ndarray]:
    """Corners of the paths of some scanlines in the probe's frame [mm], (n, 3) each."""
    search, legs = trace.next_interface, []

    def listen(geometry, x, y, z, dx, dy, dz, reach, *rest):
        s, triangle, *masks = search(geometry, x, y, z, dx, dy, dz, reach, *rest)
        length = s if triangle >= 0 else reach
        legs.append(np.array([[x, y, z], [x + length * dx, y + length * dy, z + length * dz]]))
        return s, triangle, *masks

    beam, paths = renderer._beam(quality), renderer._image_buffers(1, quality)["paths"]
    keys, poses = np.zeros(1, np.uint32), np.ascontiguousarray(pose[None], np.float32)
    stack, stack_t = np.empty(STACK_SIZE, np.int32), np.empty(STACK_SIZE, np.float32)
    inverse, found, each = np.linalg.inv(pose), [], int(beam.layers * beam.rays)
    hits.closest_hit, trace.next_interface = _closest_hit, listen
    for line in range(EVERY_LINE // 2, PROBE.scanlines, EVERY_LINE):
        for path in range(line * each, (line + 1) * each):
            legs.clear()
            trace.trace_path(path, renderer._geometry, renderer._media, beam, poses, keys, paths, stack, stack_t)
            corners = np.array([legs[0][0], *(leg[1] for leg in legs)])
            found.append(corners @ inverse[:3, :3].T + inverse[:3, 3])
    trace.next_interface = search
    return found


def main(out: Path) -> None:
    """Write the corners of all paths of both qualities, and how many each path has."""
    scene = figure_scene()
    renderer, pose = Renderer(scene, PROBE, backend="cpu"), figure_pose(scene)
    arrays = {}
    with np.errstate(over="ignore"):  # hashes wrap around
        for name, quality in (("lq", LQ), ("hq", HQ)):
            paths = traced(renderer, pose, quality)
            arrays |= {name: np.concatenate(paths), f"{name}_count": [len(path) for path in paths]}
    np.savez(out, **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
