"""Digests of what a store holds: of its attributes, and of every frame in every array.

A checksum of a chunk tells whether it was damaged. It does not tell whether the chunk is where it belongs: one of
another frame, array or store has a sound checksum too. A digest here is therefore taken over the store's, the array's
name and the number of the frame as well as the values.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

ATTRIBUTES_DIGEST = "sha256"
"""Name of the attribute that holds the digest of the others."""
DIGEST_BYTES = 16


def attributes_digest(attributes: Mapping[str, Any]) -> str:
    """SHA-256 of a store's attributes, that of the digest left out, hexadecimal."""
    others = {name: value for name, value in attributes.items() if name != ATTRIBUTES_DIGEST}
    return hashlib.sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()


def frame_digest(store: str, name: str, frame: int, values: np.ndarray) -> np.ndarray:
    """Digest of what an array holds of a frame.

    Args:
        store: Digest of the store's settings.
        name: Of the array.
        frame: Number of the frame.
        values: As stored, of any shape.

    Returns:
        The first bytes of a SHA-256, uint8 of shape (16,).
    """
    digest = hashlib.sha256(f"{store} {name} {frame}\n".encode())
    little_endian = values.astype(values.dtype.newbyteorder("<"), copy=False)
    digest.update(np.ascontiguousarray(little_endian).data)
    return np.frombuffer(digest.digest()[:DIGEST_BYTES], np.uint8)
