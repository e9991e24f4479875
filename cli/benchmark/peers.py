"""The same work by other people's programs, where they are installed: ``pip install 'ussim[bench]'``."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ussim.render.bench import sector_rays, shoot
from ussim.render.tables import geometry_table
from ussim.scene.scene import Scene

_RAYS = 200_000
_REPEATS = 5
_SCATTERERS = 4000


def closest_hits(scene: Scene, pose: np.ndarray) -> dict[str, Any]:
    """Million closest hits a second of rays from the body into the image, in turn, and ours over theirs.

    Ours and Embree's on one thread; Mitsuba's (llvm) on all, as it comes.
    """
    origins, directions = sector_rays(pose, _RAYS)
    geometry = geometry_table(scene)
    shoot(geometry, origins[:10], directions[:10])
    tasks: dict[str, Callable[[], object]] = {"ussim": lambda: shoot(geometry, origins, directions)}
    for name, make in (("embreex", _embree), ("mitsuba", _mitsuba)):
        try:
            tasks[name] = make(scene, origins, directions)
        except ImportError as error:
            tasks[name] = _missing(error)
    rates = _in_turn(tasks, _RAYS / 1e6)
    rates["triangles"] = len(scene.triangles)
    return rates


def scatterers() -> dict[str, Any]:
    """A B-mode image of a few thousand scatterers by PyMUST: transmit, receive, beamform. Seconds, one plane wave.

    It has no walls and no shadows; it is what else makes an image of scatterers with ``pip``.
    """
    try:
        import pymust
    except ImportError as error:
        return {"pymust": str(error)}
    generator = np.random.default_rng(0)
    probe = pymust.getparam("L11-5v")
    probe.fs = 4 * probe.fc
    x, z = generator.uniform(-0.02, 0.02, _SCATTERERS), generator.uniform(0.005, 0.045, _SCATTERERS)
    delays = np.zeros((1, probe.Nelements))
    began = time.perf_counter()
    signals, _ = pymust.simus(x, z, np.ones(_SCATTERERS), delays, probe)
    baseband = pymust.rf2iq(signals, probe)
    columns, rows = np.meshgrid(np.linspace(-0.02, 0.02, 256), np.linspace(0.005, 0.045, 256))
    summed = pymust.dasmtx(1j * np.array(baseband.shape), columns, rows, delays, probe) @ baseband.flatten(order="F")
    pymust.bmode(summed.reshape(rows.shape, order="F"))
    seconds = round(time.perf_counter() - began, 2)
    return {"pymust": {"scatterers": _SCATTERERS, "image": [256, 256], "seconds": seconds}}


def _embree(scene: Scene, origins: np.ndarray, directions: np.ndarray) -> Callable[[], object]:
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene

    embree = EmbreeScene()
    TriangleMesh(embree, scene.vertices_mm, scene.triangles)
    embree.run(origins[:10], directions[:10], query="INTERSECT")
    return lambda: embree.run(origins, directions, query="INTERSECT")


def _mitsuba(scene: Scene, origins: np.ndarray, directions: np.ndarray) -> Callable[[], object]:
    import drjit
    import mitsuba

    mitsuba.set_variant("llvm_ad_rgb")
    mesh = mitsuba.Mesh("scene", len(scene.vertices_mm), len(scene.triangles))
    parameters = mitsuba.traverse(mesh)
    parameters["vertex_positions"] = scene.vertices_mm.ravel()
    parameters["faces"] = scene.triangles.ravel().astype(np.uint32)
    parameters.update()
    world = mitsuba.load_dict({"type": "scene", "mesh": mesh})
    rays = mitsuba.Ray3f(mitsuba.Point3f(*origins.T), mitsuba.Vector3f(*directions.T))

    def hits() -> None:
        drjit.eval(world.ray_intersect_preliminary(rays))
        drjit.sync_thread()

    hits()  # compiles
    return hits


def _missing(error: ImportError) -> Callable[[], object]:
    def say() -> object:
        raise error

    return say


def _in_turn(tasks: dict[str, Callable[[], object]], work: float) -> dict[str, Any]:
    """Rates of tasks that are run one after the other, round after round, and the first's over each other's."""
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    rates: dict[str, Any] = {}
    for _ in range(_REPEATS):
        for name, task in tasks.items():
            if name in rates:
                continue
            began = time.perf_counter()
            try:
                task()
            except ImportError as error:
                rates[name] = str(error)
                continue
            seconds[name].append(time.perf_counter() - began)
    first, *others = seconds
    for name, times in seconds.items():
        if times:
            rates[name] = round(work / statistics.median(times), 2)
    for name in others:
        if seconds[name]:
            ratio = statistics.median(b / a for a, b in zip(seconds[first], seconds[name], strict=True))
            rates[f"{first} over {name}"] = round(ratio, 2)
    return rates
