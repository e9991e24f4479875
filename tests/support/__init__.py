"""What tests share: fakes, phantoms, small scenes and stores, and how to call the commands."""

import os
import signal
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""

PATIENCE_S = 600.0
"""How long a test waits for what must come: so long only for what hangs, since machines strain and caches are cold."""

IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ
"""Whether this process is one of several that share the tests."""

# A suite that is begun in the background or under nohup ignores these, and so would all programs that it begins.
for _number in (signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGINT)):  # Windows has none
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.SIG_DFL)

# There are as many workers as cores: with several threads in each they would spend half of their time waiting for each
# other. Here, because it must be said before NumPy is imported.
if IS_WORKER:
    os.environ |= {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
