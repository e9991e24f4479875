"""Draco, the compression of ``KHR_draco_mesh_compression``, by way of DracoPy where that is installed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ussim.errors import UssimError

_USES = "uses KHR_draco_mesh_compression"


def decode_draco(data: bytes | memoryview, attributes: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Decode one primitive.

    Args:
        data: As compressed.
        attributes: The number that Draco has for each attribute of glTF.

    Returns:
        Places (V, 3) of whatever type was packed, and the corners of its triangles (3 T,) int64.

    Raises:
        UssimError: DracoPy is not installed, or the data are broken.
    """
    try:
        import DracoPy
    except ImportError:
        raise UssimError(f"{_USES}: export without compression, or pip install 'ussim[draco]'") from None
    try:
        mesh = DracoPy.decode(bytes(data))
        faces = np.asarray(mesh.faces, dtype=np.int64).reshape(-1)
        wanted = attributes["POSITION"]
        points = next((one["data"] for one in mesh.attributes if one["unique_id"] == wanted), mesh.points)
    except Exception as error:  # it fails in as many ways as there are broken files
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise UssimError(f"{_USES}, and its data cannot be decoded ({reason}): export without compression") from None
    return np.asarray(points), faces
