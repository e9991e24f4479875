"""Whether frames are the same bytes on the plainest processor of this kind: no vectors beyond SSE2, no fused products.

    PYTHONPATH=.:tests python tests/bench/processors.py

Compiles everything anew, which takes some minutes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from support.cuda_frames import full_frame, phantom, small_frames

PLAINEST = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": ""}


def frames() -> dict[str, np.ndarray]:
    """Both qualities and all maps at full size, and small frames of the other probes."""
    return full_frame("cpu", phantom()) | small_frames("cpu", phantom())


def main() -> int:
    """Print which of the frames differ; 1 if one does."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "frames.npz"
        environment = {**os.environ, **PLAINEST, "NUMBA_CACHE_DIR": folder}
        subprocess.run([sys.executable, __file__, str(file)], env=environment, check=True)
        with np.load(file) as plain:
            unequal = {name: 100 * np.mean(plain[name] != frame) for name, frame in frames().items()}
    for name, percent in unequal.items():
        print(f"{name:20} {percent:.4f} % differ")
    return int(any(unequal.values()))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        np.savez(sys.argv[1], **frames())
    else:
        sys.exit(main())
