"""The log of a run: a line of losses now and then, in ``log.jsonl`` and, if wanted, for TensorBoard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ussim.errors import UssimError
from ussim.files import write_text

LOG = "log.jsonl"


class Log:
    """Appends to the log of a run.

    Args:
        run: The run folder.
        iteration: Where training goes on; what was logged after it is trained, and logged, again.
        tensorboard: Write for TensorBoard too.
        name: Of the log.

    Raises:
        UssimError: The log that is there is damaged or cannot be written, or TensorBoard is not installed.
    """

    def __init__(self, run: Path, iteration: int, tensorboard: bool = False, name: str = LOG):
        kept = [line for line in read_log(run, name) if line["iteration"] <= iteration]
        path = run / name
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._writer = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                raise UssimError("TensorBoard is not installed: pip install tensorboard") from None
            self._writer = SummaryWriter(run / "tensorboard", purge_step=iteration)

    def write(self, iteration: int, values: dict[str, float], seconds: float) -> None:
        """Add a line: values by name, such as the mean losses since the last, and the time spent so far [s]."""
        self._file.write(json.dumps({"iteration": iteration, **values, "seconds": round(seconds, 3)}) + "\n")
        if self._writer:
            for name, value in values.items():
                self._writer.add_scalar(name, value, iteration)

    def close(self) -> None:
        """Nothing more will come."""
        self._file.close()
        if self._writer:
            self._writer.close()


def last_losses(run: Path) -> dict[str, float]:
    """The losses of the last line, by name; empty if there is none.

    Raises:
        UssimError: The log is damaged.
    """
    last = (read_log(run) or [{}])[-1]
    return {name: value for name, value in last.items() if name not in ("iteration", "seconds")}


def read_log(run: Path, name: str = LOG) -> list[dict[str, Any]]:
    """The lines of a log of a run, none if there is no log: ``iteration``, values by name and ``seconds``.

    A last line without an end was cut off when its process was killed, and is left out.

    Raises:
        UssimError: It is damaged, or cannot be read.
    """
    path = run / name
    if not path.exists():
        return []
    lines = []
    try:
        whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
        for text in whole.splitlines():
            line = json.loads(text)
            if not (isinstance(line, dict) and isinstance(line.get("iteration"), int)):
                raise ValueError("no iteration in it")
            lines.append(line)
    except OSError as error:
        raise UssimError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise UssimError(f"{path}: line {len(lines) + 1} is damaged: {error}; remove it and what follows") from None
    return lines
