"""Poses that can give an image: rigid, and with the probe on the body."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ussim.errors import UssimError

if TYPE_CHECKING:
    from ussim.scene.scene import Scene


_LEAST_RIGID = 1e-5  # what a product of the axes may be off


def check_poses(scene: Scene, poses: np.ndarray, max_gap_mm: float = 15.0, sweep: str = "") -> None:
    """Refuse poses that cannot give an image.

    Args:
        scene: The scene.
        poses: Probe → scene, mm, float64 of shape (n, 4, 4).
        max_gap_mm: Largest distance from the face's centre, along the beam, to the first surface; of no account where
            the background is tissue itself, which a probe touches wherever it is.
        sweep: Name of the sweep, for the message.

    Raises:
        UssimError: A pose that is not finite or not a rotation and a shift, or, in gel, that finds no surface in
            front of the probe. The message names sweep and frame.
    """
    from ussim.render.contact import contact_gap_mm

    where = f"sweep {sweep!r}, frame " if sweep else "pose "
    suspect = np.flatnonzero(~_are_rigid(poses))
    if len(suspect):
        raise UssimError(f"{where}{suspect[0]}: {_pose_fault(poses[suspect[0]])}")
    if scene.media[0].scatters:
        return
    gaps = contact_gap_mm(scene, poses)
    bad = np.flatnonzero(~(gaps <= max_gap_mm))
    if bad.size:
        frame = int(bad[0])
        more = f" ({bad.size} of {len(poses)} frames)" if bad.size > 1 else ""
        if np.isfinite(gaps[frame]):
            fault = f"the probe is {gaps[frame]:.1f} mm off the body; allowed: at most {max_gap_mm:g} mm"
        else:
            fault = "the probe is outside the body or points away from it: no surface lies in front of its face"
        raise UssimError(f"{where}{frame}: {fault}{more}")


def _are_rigid(poses: np.ndarray) -> np.ndarray:
    """Whether each pose is a rotation and a shift."""
    rotations = poses[:, :3, :3]
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs(rotations @ rotations.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
        handed = np.linalg.det(rotations) > 0
    is_finite, is_affine = np.isfinite(poses).all(axis=(1, 2)), (poses[:, 3] == [0, 0, 0, 1]).all(axis=1)
    return is_finite & is_affine & handed & (error <= _LEAST_RIGID)


def _pose_fault(pose: np.ndarray) -> str:
    """What is wrong with a pose that is not rigid."""
    if not np.isfinite(pose).all():
        return "the pose holds NaN or infinity"
    rotation = pose[:3, :3]
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > _LEAST_RIGID:
        return "the pose's axes are not orthonormal (perpendicular to each other and of length 1)"
    if np.linalg.det(rotation) < 0:
        return "the pose mirrors (elevational must be axial × lateral)"
    return "the pose's last row is not 0 0 0 1"
