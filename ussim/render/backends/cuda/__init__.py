"""The stages on an NVIDIA GPU. Nothing else knows of it; numba-cuda compiles, the driver's own interface runs."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

_NEEDED = ("numba-cuda", "cuda-bindings")


def why_unavailable() -> str | None:
    """Reason why no GPU can be used, None if one can."""
    for package in _NEEDED:
        try:
            version(package)
        except PackageNotFoundError:
            return f"{package} is not installed; install ussim[cuda]"
    try:
        from ussim.render.backends.cuda.gpu import why_no_gpu
    except ImportError as error:
        return f"{error}; install ussim[cuda] anew"
    return why_no_gpu()
