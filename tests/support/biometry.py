"""Measures a fetus as a sonographer does: on cross-sections of the triangle meshes.

Outlines are measured as their convex hull, whose perimeter is the integral of its support over all directions (Cauchy).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh

from meshes.errors import SurfaceError
from meshes.fetus import limbs
from meshes.fetus.growth import chart
from meshes.fetus.plan import FetusPlan
from meshes.mother.uterus import Lie
from meshes.shapes import sdf
from meshes.shapes.mesher import Mesh

LIMB_MM = 1.5  # an arm or a thigh that lies against the belly is left out of its outline, with its rounded seam

CENTILE_5_TO_95 = 1.645  # standard deviations


@dataclass(frozen=True)
class Biometry:
    """Measures in mm: biparietal and occipito-frontal diameter, head and abdominal circumference, femur, cerebellum."""

    bpd: float
    ofd: float
    hc: float
    ac: float
    fl: float
    tcd: float


def _section(mesh: Mesh, lie: Lie, origin, normal) -> list[np.ndarray]:
    """Closed outlines (n, 3), fetus frame, of a mesh cut by a plane given in the fetus frame."""
    body = trimesh.Trimesh(lie.to_fetus(mesh.vertices_mm), mesh.triangles, process=False)
    cut = body.section(plane_origin=origin, plane_normal=normal)
    if cut is None:
        raise SurfaceError(f"biometry: the plane at {np.round(origin, 1)} misses the surface")
    return [np.asarray(outline) for outline in cut.discrete]


def _extent(points: np.ndarray, axis: np.ndarray) -> float:
    return float(np.ptp(points @ axis))


def _hull_perimeter(points: np.ndarray, u: np.ndarray, v: np.ndarray, directions: int = 720) -> float:
    turn = np.arange(directions) * (2 * np.pi / directions)
    support = np.max(points @ (np.outer(u, np.cos(turn)) + np.outer(v, np.sin(turn))), axis=0)
    return float(support.sum() * 2 * np.pi / directions)


def measure(plan: FetusPlan, lie: Lie, meshes: dict[str, Mesh]) -> Biometry:
    """Measures the meshes (scene frame) of one fetus in its standard planes.

    Raises:
        SurfaceError: a plane misses its surface.
    """
    left, posterior, up = plan.head_axes
    centre = plan.head_at(0, 0, 1)
    outlines = _section(meshes["fetal_skull"], lie, centre, up)
    skull = np.concatenate(outlines) - centre
    belly_at, axes = plan.at(0.565, 0, 15, 0), plan.axes(0.565)
    outlines = _section(meshes["fetal_skin"], lie, belly_at, axes[2])
    belly = max(outlines, key=lambda o: _hull_perimeter(o, axes[0], axes[1]))
    belly = belly[sdf.distance(limbs.skin(plan), belly) > LIMB_MM * plan.limb_scale] - belly_at
    tcd = _extent(lie.to_fetus(meshes["fetal_cerebellum"].vertices_mm), left)
    return Biometry(
        bpd=_extent(skull, left),
        ofd=_extent(skull, posterior),
        hc=_hull_perimeter(skull, left, posterior),
        ac=_hull_perimeter(belly, axes[0], axes[1]),
        fl=_femur_length(plan, lie, meshes["fetal_limb_bones"]),
        tcd=tcd,
    )


def _femur_length(plan: FetusPlan, lie: Lie, bones: Mesh) -> float:
    """Length of what lies within a tube around the left femoral axis."""
    start, end = limbs.femur_ends(plan)
    axis = (end - start) / np.linalg.norm(end - start)
    offset = lie.to_fetus(bones.vertices_mm) - start
    along = offset @ axis
    radius = np.linalg.norm(offset - along[:, None] * axis, axis=1)
    length = np.linalg.norm(end - start)
    near = (radius < 4.0 * plan.limb_scale) & (along > -0.03 * length) & (along < 1.03 * length)
    if not near.any():
        raise SurfaceError("biometry: no bone along the femoral axis")
    return float(np.ptp(along[near]))


def normal_range(measure: str, weeks: float) -> tuple[float, float]:
    """5th and 95th centile in mm."""
    mean, deviation = chart(measure, weeks)
    return mean - CENTILE_5_TO_95 * deviation, mean + CENTILE_5_TO_95 * deviation
