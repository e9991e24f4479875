"""How much of a mesh file is read."""

from __future__ import annotations

from ussim.errors import UssimError

MOST_BYTES = 2 * 2**30
"""Largest file, and largest array in one."""
MOST_UNPACKED_BYTES = 2**30
"""Of a .gz or a .zip, all that is read of it together."""
MOST_TRIANGLES = 50_000_000
"""Of one mesh file."""


def require_triangles(count: int) -> None:
    """Refuse more than may be, or more polygons.

    Raises:
        UssimError: Says how many.
    """
    if count > MOST_TRIANGLES:
        raise UssimError(f"holds {count:,} triangles; allowed: at most {MOST_TRIANGLES:,}")


def require_bytes(size: int, what: str, most: int = MOST_BYTES) -> None:
    """Refuse more than may be.

    Raises:
        UssimError: Says how much.
    """
    if size > most:
        raise UssimError(f"{what} {size / 2**30:.3g} GiB; allowed: at most {most / 2**30:.3g} GiB")
