"""Bodies far from the origin, as on a scanner's table or in a survey's grid, moved to where float32 is fine enough."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ussim.scene.check import FARTHEST_FROM_ORIGIN_MM

# Steps of numbers that are coarser than this show in a surface.
_COARSE_MM = 0.01


def shift_to_origin(clouds: Sequence[np.ndarray]) -> np.ndarray | None:
    """By how much to move everything, (3,) whole mm; None if it is near enough, or too large for any place.

    Args:
        clouds: (V, 3) vertices of each surface, mm; those that are not finite do not count.
    """
    corners = [cloud[np.isfinite(cloud).all(axis=1)] for cloud in clouds]
    corners = [cloud for cloud in corners if len(cloud)]
    if not corners:
        return None
    low = np.min([cloud.min(axis=0) for cloud in corners], axis=0).astype(np.float64)
    high = np.max([cloud.max(axis=0) for cloud in corners], axis=0).astype(np.float64)
    far = max(np.abs(low).max(), np.abs(high).max())
    if far < FARTHEST_FROM_ORIGIN_MM or (high - low).max() / 2 >= FARTHEST_FROM_ORIGIN_MM:
        return None
    return 0.0 - np.round((low + high) / 2)


def shift_text(shift_mm: np.ndarray) -> str:
    """The shift, and how to undo it."""
    return (
        f"everything was moved by [{', '.join(f'{side:.0f}' for side in shift_mm)}] mm to lie near the origin; "
        "subtract that from coordinates of the scene to have those of the files"
    )


def coarse_numbers(clouds: Sequence[np.ndarray], scale: float) -> str:
    """A sentence where the files' own numbers are too coarse so far out; else empty.

    Args:
        clouds: (V, 3) float64 as the files have them.
        scale: Their unit, mm.
    """
    far = max((float(np.abs(cloud[np.isfinite(cloud)]).max(initial=0.0)) for cloud in clouds), default=0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        step = float(np.spacing(np.float32(far))) * scale
        single = all((cloud.astype(np.float32) == cloud).all() for cloud in clouds)
    if not single or not step > _COARSE_MM:
        return ""
    return f"so far from the origin the files' numbers step by {step:.2g} mm: export the meshes nearer to it"
