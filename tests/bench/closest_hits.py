"""Speed of the tree: build time, and closest hits per second on one thread, beside Embree on the same rays.

    python tests/bench/closest_hits.py [--triangles 700000] [--rays 200000] [--runs 7]

The mesh is made here: four nested bumpy closed surfaces the size of a pregnant abdomen. Runs of the two
alternate, so that both see the same load of the machine; figures are medians.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from numba import njit

from ussim.render.bvh import STACK_SIZE, Bvh, build_bvh
from ussim.render.kernels.hits import closest_hit

_HALF_AXES_MM = np.array([150.0, 130.0, 180.0])


@njit(error_model="numpy")
def trace(boxes, children, corners, primitives, origins, directions, t, hit):
    """Closest hits of (n, 3) rays into t and hit, (n,)."""
    stack = np.empty(STACK_SIZE, np.int32)
    stack_t = np.empty(STACK_SIZE, np.float32)
    for i in range(len(origins)):
        t[i], hit[i] = closest_hit(
            boxes, children, corners, primitives,
            origins[i, 0], origins[i, 1], origins[i, 2], directions[i, 0], directions[i, 1], directions[i, 2],
            np.float32(0), np.float32(np.inf), np.int32(-1), stack, stack_t,
        )  # fmt: skip


def geodesic_sphere(frequency: int) -> tuple[np.ndarray, np.ndarray]:
    """Octahedron with every face cut into frequency² triangles, blown up to the unit sphere."""
    i, j = np.meshgrid(np.arange(frequency + 1), np.arange(frequency + 1), indexing="ij")
    index = np.full((frequency + 2, frequency + 2), -1)
    inside = i + j <= frequency
    index[:-1, :-1][inside] = np.arange(inside.sum())
    points = np.stack([i[inside], j[inside], frequency - i[inside] - j[inside]], axis=1)
    here, right, below = index[:-1, :-1], index[1:, :-1], index[:-1, 1:]
    up = np.stack([here, right, below], -1)[(here >= 0) & (right >= 0) & (below >= 0)]
    across = index[1:, 1:]
    down = np.stack([right, across, below], -1)[(right >= 0) & (across >= 0) & (below >= 0)]
    face = np.concatenate([up, down])
    vertices, triangles = [], []
    for octant in range(8):
        sign = np.array([1 - 2 * (octant >> k & 1) for k in range(3)])
        vertices.append(points * sign)
        triangles.append((face if sign.prod() > 0 else face[:, ::-1]) + octant * len(points))
    welded, to_welded = np.unique(np.concatenate(vertices), axis=0, return_inverse=True)
    unit = welded / np.linalg.norm(welded, axis=1, keepdims=True)
    return unit, to_welded.reshape(-1)[np.concatenate(triangles)]


def nested_surfaces(count: int) -> tuple[np.ndarray, np.ndarray]:
    """About ``count`` triangles of four nested bumpy surfaces; vertices in mm."""
    vertices, triangles, start = [], [], 0
    for share, size, bump, waves in (
        (0.45, 1, 0.05, 8),
        (0.4, 0.72, 0.08, 12),
        (0.1, 0.33, 0.1, 10),
        (0.05, 0.28, 0.1, 9),
    ):
        unit, faces = geodesic_sphere(max(1, round((count * share / 8) ** 0.5)))
        x, y, z = unit.T
        radius = size * (1 + bump * np.sin(waves * x + 1) * np.sin(1.3 * waves * y + 2) * np.sin(0.8 * waves * z))
        vertices.append(unit * radius[:, None] * _HALF_AXES_MM)
        triangles.append(faces + start)
        start += len(unit)
    return np.concatenate(vertices).astype(np.float32), np.concatenate(triangles).astype(np.int32)


def fan_rays(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """512 scanlines of a convex probe on the outer surface, in order; each a bundle of spread rays."""
    angle = np.repeat(np.radians(np.linspace(-35, 35, 512)), -(-n // 512))[:n]
    axis = np.stack([np.sin(angle), np.zeros(n), np.cos(angle)], axis=1)
    origins = np.array([0, 0, -240.0]) + 40 * axis + rng.normal(0, 1, (n, 3)) * [0, 2, 0]
    return origins, axis + rng.normal(0, 0.007, (n, 3))


def inside_rays(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """From anywhere in the middle of the body, in any direction: what scattered paths look like."""
    return rng.uniform(-0.45, 0.45, (n, 3)) * _HALF_AXES_MM, rng.normal(size=(n, 3))


def random_rays(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Between random points of a box around everything."""
    origins = rng.uniform(-1.25, 1.25, (n, 3)) * _HALF_AXES_MM
    return origins, rng.uniform(-1, 1, (n, 3)) * _HALF_AXES_MM - origins


def build_seconds(vertices: np.ndarray, triangles: np.ndarray, runs: int) -> tuple[Bvh, float]:
    """The tree and the median time to build it, after compilation."""
    bvh = build_bvh(vertices, triangles)
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        build_bvh(vertices, triangles)
        seconds.append(time.perf_counter() - start)
    return bvh, float(np.median(seconds))


def embree_scene(vertices: np.ndarray, triangles: np.ndarray):
    """An Embree scene, committed."""
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene

    scene = EmbreeScene()
    TriangleMesh(scene, vertices, triangles)
    scene.run(np.zeros((1, 3), np.float32), np.ones((1, 3), np.float32))
    return scene


def compare(bvh: Bvh, embree, origins: np.ndarray, directions: np.ndarray, runs: int) -> tuple[float, ...]:
    """Median seconds of ours and Embree's, median of their ratios, share of rays with another triangle."""
    t, hit = np.empty(len(origins), np.float32), np.empty(len(origins), np.int32)
    trace(*bvh, origins[:1], directions[:1], t, hit)
    ours, theirs = np.empty(runs), np.empty(runs)
    for run in range(runs):
        start = time.perf_counter()
        trace(*bvh, origins, directions, t, hit)
        middle = time.perf_counter()
        reference = embree.run(origins, directions, query="INTERSECT")
        ours[run], theirs[run] = middle - start, time.perf_counter() - middle
    return np.median(ours), np.median(theirs), np.median(theirs / ours), np.mean(hit != reference)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--triangles", type=int, default=700_000, help="about so many")
    parser.add_argument("--rays", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=7)
    args = parser.parse_args()
    vertices, triangles = nested_surfaces(args.triangles)
    bvh, seconds = build_seconds(vertices, triangles, args.runs)
    megabytes = sum(array.nbytes for array in bvh) / 1e6
    print(f"{len(triangles)} triangles: built in {seconds:.2f} s, {megabytes:.0f} MB")
    print("closest hits, M rays/s, one thread")
    print(f"{'rays':8}{'ours':>8}{'Embree':>8}{'ratio':>8}   other triangle")
    embree = embree_scene(vertices, triangles)
    for name, make in (("fan", fan_rays), ("inside", inside_rays), ("random", random_rays)):
        origins, directions = make(args.rays, np.random.default_rng(0))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        rays = origins.astype(np.float32), directions.astype(np.float32)
        ours, theirs, ratio, other = compare(bvh, embree, *rays, args.runs)
        n = args.rays / 1e6
        print(f"{name:8}{n / ours:8.2f}{n / theirs:8.2f}{ratio:8.2f}   {other:.1e}")


if __name__ == "__main__":
    main()
