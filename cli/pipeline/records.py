"""What a pipeline's folder remembers of its steps: what each was made from, what it gave, and what it cost."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from cli.pipeline.settings import PipelineSettings
from cli.show import gigabytes
from ussim.dataset.digests import attributes_digest
from ussim.errors import UssimError
from ussim.files import write_text
from ussim.lock import is_begun
from ussim.probe.retired import without_retired
from ussim.settings import read_json

SETTINGS_FILE = "pipeline.json"
RECORDS = "steps"


class Record(BaseModel):
    """One step.

    Attributes:
        state: ``begun`` or ``done``.
        key: Digest of all that decides the step's result.
        outputs: Digests of what it gave, by name.
        seconds: Time spent on it, over all sessions.
        peak_memory_bytes: Largest resident memory of the process while it ran.
        sessions: How often it was begun.
        device: What did the work, in words.
        notes: What is worth knowing of the result, by name.
        sha256: Digest of all of this: what others wrote into a record is no record.
    """

    model_config = ConfigDict(extra="forbid")

    state: Literal["begun", "done"] = "begun"
    key: str
    outputs: dict[str, str] = {}
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    sessions: int = 0
    device: str = ""
    notes: dict[str, Any] = {}
    sha256: str = ""

    def digest(self) -> str:
        """What ``sha256`` has to be."""
        return attributes_digest(self.model_dump(mode="json"))

    @property
    def peak_memory(self) -> str:
        """Its peak memory in words; – where it is not known."""
        return gigabytes(self.peak_memory_bytes) if self.peak_memory_bytes else "–"


class Records:
    """The records of a pipeline's folder, one JSON file a step."""

    def __init__(self, folder: Path):
        self._folder = folder / RECORDS

    def get(self, step: str) -> Record | None:
        """The record of a step, None if it was never begun.

        Raises:
            UssimError: A damaged record.
        """
        path = self._folder / f"{step}.json"
        if not path.is_file():
            return None
        try:
            record = read_json(Record, path)
            if record.sha256 != record.digest():
                raise UssimError(
                    f"{path}: its digest does not fit: it was changed, or made by another version of ussim"
                )
            return record
        except UssimError as error:
            raise UssimError(f"{error}; redo the step: --from {step}") from None

    def put(self, step: str, record: Record) -> None:
        """Write a record, whole or not at all."""
        sealed = record.model_copy(update={"sha256": record.digest()})
        write_text(self._folder / f"{step}.json", sealed.model_dump_json(indent=2) + "\n")

    def drop(self, step: str) -> None:
        """Forget a step."""
        (self._folder / f"{step}.json").unlink(missing_ok=True)


def load_settings(folder: Path) -> PipelineSettings | None:
    """The settings a folder was last run with, None if it is new. Retired ones are left out: nothing reads them.

    Raises:
        UssimError: The folder holds something else, or a damaged file.
    """
    path = folder / SETTINGS_FILE
    if path.is_file():
        try:
            settings = read_json(PipelineSettings, path)
            overrides = {part: without_retired(part, given) for part, given in settings.overrides.items()}
            settings = settings.model_copy(update={"overrides": overrides})
            settings.check()
        except UssimError as error:
            fault = str(error).removeprefix(f"{path}: ")
            raise UssimError(
                f"{path}: {fault}; it was damaged or made by another version of ussim: choose another folder"
            ) from None
        return settings
    if is_begun(folder) or (folder.exists() and not folder.is_dir()):
        raise UssimError(f"{folder} exists and was not made by ussim-pipeline: choose another folder")
    return None


def save_settings(folder: Path, settings: PipelineSettings) -> None:
    """Write the settings of a folder."""
    write_text(folder / SETTINGS_FILE, settings.model_dump_json(indent=2) + "\n")


def digest_of(value: Any) -> str:
    """SHA-256 of plain data."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
