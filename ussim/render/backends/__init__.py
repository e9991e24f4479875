"""Where the stages run. Both backends launch the same loop bodies; only how they loop differs."""

from __future__ import annotations

from ussim.errors import UssimError


def open_backend(name: str = "auto"):
    """Return the backend ``"cpu"`` or ``"cuda"``; ``"auto"`` takes the GPU when there is a usable one.

    Raises:
        UssimError: If the name is unknown, or CUDA is asked for and there is none.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise UssimError(f"backend = {name!r}: must be one of auto, cpu, cuda")
    if name != "cpu":
        from ussim.render.backends.cuda import CudaBackend, why_unavailable

        reason = why_unavailable()
        if reason is None:
            return CudaBackend()
        if name == "cuda":
            raise UssimError(f"backend = 'cuda': {reason}; allowed here: cpu")
    from ussim.render.backends.cpu import CpuBackend

    return CpuBackend()
