"""Planes to find: how far a probe is from a standard plane, and how long it took to get there."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ussim.scene.scene import Scene

GOOD_MM, GOOD_DEG = 5.0, 10.0
"""A plane is found if it is at most so far off."""
_AT_MM = 70.0  # along the beam, where the distance of planes is taken


@dataclass(frozen=True)
class Off:
    """How far a pose is from another.

    Attributes:
        plane_mm: From the other's middle, 70 mm deep, to the image plane.
        plane_deg: Between the image planes, 0 to 90: an image from the other side is the same plane.
        probe_mm: Between the faces of the probes.
        turn_deg: Between their orientations, 0 to 180.
    """

    plane_mm: float
    plane_deg: float
    probe_mm: float
    turn_deg: float

    @property
    def is_found(self) -> bool:
        """Whether the plane is found."""
        return self.plane_mm <= GOOD_MM and self.plane_deg <= GOOD_DEG


def off(pose: np.ndarray, wanted: np.ndarray) -> Off:
    """How far a pose (4, 4) is from a wanted one."""
    middle = wanted[:3, 3] + _AT_MM * wanted[:3, 2]
    normal = pose[:3, 1]
    turn = pose[:3, :3].T @ wanted[:3, :3]
    return Off(
        plane_mm=float(abs((middle - pose[:3, 3]) @ normal)),
        plane_deg=float(np.degrees(np.arccos(np.clip(abs(normal @ wanted[:3, 1]), 0, 1)))),
        probe_mm=float(np.linalg.norm(pose[:3, 3] - wanted[:3, 3])),
        turn_deg=float(np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))),
    )


@dataclass(frozen=True)
class Result:
    """One plane of an exercise.

    Attributes:
        plane: Its name.
        seconds: That it took.
        off: How far the probe was from it in the end.
    """

    plane: str
    seconds: float
    off: Off


def standard_planes(scene: Scene) -> dict[str, np.ndarray]:
    """Poses of the sweeps that are one pose, by name."""
    return {name: sweep.poses(1)[0] for name, sweep in scene.sweeps.items() if len(sweep.keys) == 1}


@dataclass
class Exercise:
    """A list of planes to find, one after the other.

    Attributes:
        planes: Wanted poses by name, in order.
        results: Of those that are done.
    """

    planes: dict[str, np.ndarray]
    results: list[Result] = field(default_factory=list)
    _began_s: float = field(default_factory=time.monotonic)

    @property
    def wanted(self) -> str | None:
        """Name of the plane that is to be found now; None when all are done."""
        names = list(self.planes)
        return names[len(self.results)] if len(self.results) < len(names) else None

    def take(self, pose: np.ndarray) -> Result | None:
        """Take a pose for the plane; None if all are done already."""
        name = self.wanted
        if name is None:
            return None
        now = time.monotonic()
        result = Result(name, now - self._began_s, off(pose, self.planes[name]))
        self.results.append(result)
        self._began_s = now
        return result


def as_csv(results: Sequence[Result]) -> str:
    """Results as CSV, a line for each plane."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["plane", "seconds", "found", "plane_mm", "plane_deg", "probe_mm", "turn_deg"])
    for one in results:
        away = (one.off.plane_mm, one.off.plane_deg, one.off.probe_mm, one.off.turn_deg)
        writer.writerow([one.plane, f"{one.seconds:.1f}", int(one.off.is_found), *(f"{value:.2f}" for value in away)])
    return buffer.getvalue()


def as_markdown(results: Sequence[Result]) -> str:
    """Results as a table."""
    if not results:
        return ""
    lines = ["| plane | s | off the plane | probe |", "|---|---|---|---|"]
    for one in results:
        mark = "✓" if one.off.is_found else "✗"
        lines.append(
            f"| {mark} {one.plane.replace('_', ' ')} | {one.seconds:.0f} | {one.off.plane_mm:.1f} mm, "
            f"{one.off.plane_deg:.0f}° | {one.off.probe_mm:.0f} mm, {one.off.turn_deg:.0f}° |"
        )
    return "\n".join(lines)
