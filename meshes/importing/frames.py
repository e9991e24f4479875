"""Which way do x, y and z of a mesh point in the patient? Some files say, and not all say the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from meshes.importing.mesh_files import FileSurface
from ussim.errors import UssimError
from ussim.scene.formats.stated import Stated

FRAMES = ("lps", "ras", "none")
"""What ``--frame`` takes: the axes of files that state none; or to turn none, whatever they state."""
_PATIENT = "the patient's, x to the right, y to the front, z up"


@dataclass(frozen=True)
class Frame:
    """The axes of a user's meshes.

    Attributes:
        is_patient: True if x points to the patient's right, y to the front and z up.
        why: One clause that says what they are and how that is known.
    """

    is_patient: bool
    why: str


def to_patient_frame(surfaces: Sequence[FileSurface], wanted: str | None = None) -> tuple[list[FileSurface], Frame]:
    """Turn every surface whose file states its axes so that x points to the right, y to the front and z up.

    Args:
        surfaces: As their files have them.
        wanted: One of :data:`FRAMES`, or None.

    Raises:
        UssimError: Some files state their axes, others do not, and nothing else says.
    """
    silent = [one for one in surfaces if not one.stated.axes]
    stating = [one for one in surfaces if one.stated.axes]
    if wanted == "none":
        return list(surfaces), Frame(False, "as in the files, as given with --frame")
    if wanted is None and not stating:
        return list(surfaces), Frame(False, "not stated, so taken as it is (a patient's: --frame lps|ras)")
    if wanted is None and silent:
        raise UssimError(
            f"{stating[0].source} states its frame, {stating[0].stated.axes}, and {silent[0].source} states none; say "
            "--frame lps or --frame ras for those that state none, or --frame none to turn none"
        )
    turned = [_turned(one, one.stated.axes or str(wanted).upper()) for one in surfaces]
    reasons = []
    if stating:
        axes = dict.fromkeys(one.stated.axes for one in stating)
        reasons.append(f"the files state {' and '.join(axes)}")
    if silent:
        reasons.append(f"{str(wanted).upper()} as given with --frame" + (" where they state none" if stating else ""))
    return turned, Frame(True, f"{_PATIENT}; {', '.join(reasons)}")


def _turned(surface: FileSurface, axes: str) -> FileSurface:
    signs = np.array(Stated(axes=axes).signs)
    triangles = surface.triangles if signs.prod() > 0 else np.ascontiguousarray(surface.triangles[:, ::-1])
    return replace(surface, vertices=surface.vertices * signs, triangles=triangles)
