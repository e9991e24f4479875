"""Sweeps: probe poses along a path of key frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ussim.errors import UssimError

# Two keys further apart than this have no single shortest rotation between them.
LARGEST_TURN_DEG = 179.0
# Axes nearer to parallel than this leave the image plane to rounding.
SMALLEST_SINE = 1e-3
LARGEST_MM = 1e9
"""Of a position; lengths of ways between larger ones may be infinite."""


Point = tuple[float, float, float]


@dataclass(frozen=True)
class SweepKey:
    """One key frame, in scene coordinates; its vectors may be given as any row of numbers, and are kept as tuples.

    Attributes:
        position_mm: Centre of the transducer face, mm.
        axial: Direction into the body, any length.
        lateral: Direction along the face; the part of it along ``axial`` is taken off.
    """

    position_mm: Point
    axial: Point
    lateral: Point

    def __post_init__(self) -> None:
        for field, value in vars(self).items():
            if isinstance(value, tuple | list | np.ndarray):
                plain = tuple(one.item() if isinstance(one, np.generic) else one for one in value)
                object.__setattr__(self, field, plain)

    def pose(self) -> np.ndarray:
        """Return the (4, 4) float64 pose, probe → scene, mm: columns lateral, elevational, axial, position.

        Raises:
            UssimError: A vector is not three finite numbers, is too large or has no length, or lateral is parallel to
                axial.
        """
        position = _vector("position_mm", self.position_mm)
        if np.abs(position).max() > LARGEST_MM:
            raise UssimError(f"position_mm = {list(self.position_mm)}: allowed: at most {LARGEST_MM:g} mm from 0")
        axial = _direction("axial", self.axial)
        lateral = _direction("lateral", self.lateral)
        lateral = lateral - axial * (axial @ lateral)
        if np.linalg.norm(lateral) < SMALLEST_SINE:
            raise UssimError(
                f"lateral = {list(self.lateral)} is parallel to axial = {list(self.axial)}: "
                "allowed: two directions that span the image plane"
            )
        lateral = lateral / np.linalg.norm(lateral)
        pose = np.eye(4)
        pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3] = (
            lateral,
            np.cross(axial, lateral),
            axial,
            position,
        )
        return pose


@dataclass(frozen=True)
class Sweep:
    """A named path of the probe, checked when it is made.

    Attributes:
        name: The name the command line uses.
        keys: Key frames; one is a static pose.
        description: For people.

    Raises:
        UssimError: There is no key, a key is bad, or two neighbours leave the path undefined.
    """

    name: str
    keys: tuple[SweepKey, ...]
    description: str = ""

    def __post_init__(self) -> None:
        self._parameter(self._key_poses())

    def poses(self, n: int) -> np.ndarray:
        """Return poses at regular distances along the path, first and last key included.

        Positions follow straight lines between the keys, regular in arc length; orientations turn at a
        constant rate within each stretch (slerp). A path that only turns is regular in angle instead.

        Args:
            n: Number of poses; 1 gives the first key.

        Returns:
            (n, 4, 4) float64, probe → scene, mm, orthonormal and right-handed.

        Raises:
            UssimError: n is no whole number of at least 1.
        """
        if not isinstance(n, int | np.integer) or isinstance(n, bool) or n < 1:
            raise UssimError(f"sweep '{self.name}': {n!r} poses: allowed: a whole number, at least 1")
        keys = self._key_poses()
        if len(keys) == 1 or n == 1:
            return np.repeat(keys[:1], n, axis=0)
        from scipy.spatial.transform import Rotation, Slerp

        parameter = self._parameter(keys)
        at = np.linspace(0.0, parameter[-1], n)
        poses = np.tile(np.eye(4), (n, 1, 1))
        poses[:, :3, :3] = Slerp(parameter, Rotation.from_matrix(keys[:, :3, :3]))(at).as_matrix()
        poses[:, :3, 3] = np.stack([np.interp(at, parameter, keys[:, axis, 3]) for axis in range(3)], axis=1)
        return poses

    def _key_poses(self) -> np.ndarray:
        """Return the (keys, 4, 4) poses of the key frames."""
        if not self.keys:
            raise UssimError(f"sweep '{self.name}': key: there is none; allowed: at least one [[sweep.key]]")
        poses = []
        for number, key in enumerate(self.keys, start=1):
            try:
                poses.append(key.pose())
            except UssimError as error:
                raise UssimError(f"sweep '{self.name}': key {number}: {error}") from None
        return np.stack(poses)

    def _parameter(self, poses: np.ndarray) -> np.ndarray:
        """Return what the path is regular in, (keys,): arc length in mm, or degrees if it only turns."""
        steps_mm = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
        # trace(AᵀB) = 1 + 2·cos(angle between the orientations A and B)
        traces = np.einsum("kij,kij->k", poses[:-1, :3, :3], poses[1:, :3, :3])
        turns_deg = np.degrees(np.arccos(np.clip((traces - 1) / 2, -1, 1)))
        only_turns = not steps_mm.any()
        for number, (step, turn) in enumerate(zip(steps_mm, turns_deg, strict=True), start=1):
            where = f"sweep '{self.name}': keys {number} and {number + 1}"
            if turn > LARGEST_TURN_DEG:
                raise UssimError(
                    f"{where} are {turn:.1f}° apart, which leaves the way round open: "
                    f"allowed: at most {LARGEST_TURN_DEG:g}°; add a key between them"
                )
            if only_turns and turn < 1e-3:
                raise UssimError(f"{where} are the same pose: allowed: keys that move or turn; remove one")
            if not only_turns and step == 0:
                raise UssimError(
                    f"{where} share position_mm = {list(self.keys[number].position_mm)}: allowed: keys that "
                    "move (a turn on the spot is a sweep of its own)"
                )
        return np.concatenate([[0.0], np.cumsum(turns_deg if only_turns else steps_mm)])


def _vector(field: str, value: tuple[float, ...]) -> np.ndarray:
    try:
        vector = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        vector = np.empty(0)
    if vector.shape != (3,) or not np.isfinite(vector).all():
        shown = list(value) if isinstance(value, tuple | list) else value
        raise UssimError(f"{field} = {shown}: allowed: three finite numbers [x, y, z]")
    return vector


def _direction(field: str, value: tuple[float, ...]) -> np.ndarray:
    vector = _vector(field, value)
    if np.abs(vector).max() > 1e100:  # its square would be infinite
        vector = vector / np.abs(vector).max()
    length = np.linalg.norm(vector)
    if length < 1e-9:
        raise UssimError(f"{field} = {list(value)} has no length: allowed: a direction [x, y, z], not zero")
    return vector / length
