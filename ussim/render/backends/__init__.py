"""Where the stages run. Both backends launch the same loop bodies; only how they loop differs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ussim.errors import UssimError

BACKENDS = ("auto", "cpu", "cuda")
_log = logging.getLogger(__name__)


def open_backend(name: str, renderer: Callable[..., Any]) -> Any:
    """Return the backend ``"cpu"`` or ``"cuda"``.

    ``"auto"`` takes the GPU when there is one whose image of a small scene is that of the CPU, which is tried once for
    each GPU, driver and version; otherwise the CPU, and says why if there is a GPU.

    Args:
        name: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        renderer: The class :class:`~ussim.render.renderer.Renderer`, which stands above this and makes that image.

    Raises:
        UssimError: If the name is unknown, or CUDA is asked for and there is none.
    """
    if name not in BACKENDS:
        raise UssimError(f"backend = {name!r}: must be one of {', '.join(BACKENDS)}")
    if name != "cpu":
        from ussim.render.backends.cuda import why_unavailable

        reason = why_unavailable()
        if reason is None:
            try:
                return _open_cuda(renderer if name == "auto" else None)
            except UssimError as error:
                if name == "cuda":
                    raise
                _log.warning("the GPU is not used, but the CPU: %s", error)
        elif name == "cuda":
            raise UssimError(f"backend = 'cuda': {reason}; allowed here: cpu")
    from ussim.render.backends.cpu import CpuBackend

    return CpuBackend()


def _open_cuda(compared_by: Callable[..., Any] | None) -> Any:
    from ussim.render.backends.cuda.backend import CudaBackend
    from ussim.render.backends.cuda.check import check_against_cpu

    backend = CudaBackend()
    if compared_by is not None:
        check_against_cpu(backend, compared_by)
    return backend
