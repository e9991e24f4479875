"""Which steps are due, and doing them: finished work is kept, changed settings are named, a stop can be resumed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cli.pipeline import STEP_NAMES
from cli.pipeline.context import Context
from cli.pipeline.meter import Meter
from cli.pipeline.records import Record, Records, load_settings, save_settings
from cli.pipeline.settings import PipelineSettings
from cli.pipeline.steps import STEPS, Step
from ussim.errors import UssimError, is_out_of_memory
from ussim.lock import only_writer
from ussim.scratch import remove_partial


class StoppedPipelineError(UssimError):
    """A step ended early; the message says what is finished and how to go on."""

    def __init__(self, message: str, interrupted: bool):
        super().__init__(message)
        self.interrupted = interrupted


@dataclass(frozen=True)
class Due:
    """What is to be done about a step.

    Attributes:
        step: Its name.
        state: ``done``, ``new``, ``unfinished``, ``stale`` or ``redo``.
        reason: Why, in words; empty if it is done or new.
    """

    step: str
    state: str
    reason: str = ""

    @property
    def is_due(self) -> bool:
        """Whether it has to be done."""
        return self.state != "done"


def survey(context: Context, start: str | None = None) -> list[Due]:
    """What is to be done about each step, and the outputs of those that are done, put into the context.

    Args:
        context: Folder and settings.
        start: Step to redo, with all that use it.

    Raises:
        UssimError: A damaged record, or a user's scene that cannot be read.
    """
    records, found = Records(context.folder), {}
    for step in STEPS:
        anew = [name for name in step.needs if found[name].is_due]
        forced = step.name == start or any(found[name].state == "redo" for name in anew)
        record = _record(records, step, forced)
        if record is None:
            due = Due(step.name, "new")
        elif forced:
            due = Due(step.name, "redo", f"--from {start}")
        elif anew:
            due = Due(step.name, "stale", f"it uses {anew[0]}, which is to be made anew")
        else:
            due = _judge(context, step, record)
        if not due.is_due:
            context.outputs[step.name] = record.outputs
        found[step.name] = due
    return list(found.values())


def _record(records: Records, step: Step, forced: bool) -> Record | None:
    try:
        return records.get(step.name)
    except UssimError:
        if not forced:
            raise
        return Record(key="")  # damaged, and about to be redone


def _judge(context: Context, step: Step, record: Record) -> Due:
    """What is to be done about a step whose inputs are all there."""
    if record.key != step.key(context):
        return Due(step.name, "stale", "its settings or what it is made from have changed")
    if record.state != "done":
        return Due(step.name, "unfinished", "it was stopped")
    if not step.is_whole(context, record.outputs):
        return Due(step.name, "stale", "its output was changed or removed since it was made")
    return Due(step.name, "done")


def open_folder(
    folder: Path, wanted: Callable[[PipelineSettings | None], PipelineSettings]
) -> tuple[PipelineSettings, list[str]]:
    """The settings to run a folder with, and how they differ from those it has, in words.

    Args:
        folder: The pipeline's folder; may not exist.
        wanted: From the settings the folder has (None if it is new) to those asked for.
    """
    before = load_settings(folder)
    settings = wanted(before)
    if before is None:
        return settings, []
    old, new = before.flat(), settings.flat()
    names = dict.fromkeys([*old, *new])
    changes = [f"{name}: {_show(old, name)} → {_show(new, name)}" for name in names if old.get(name) != new.get(name)]
    return settings, changes


def _show(pairs: dict, name: str) -> str:
    value = pairs.get(name)
    return "default" if value is None else str(value)


def run(
    context: Context,
    *,
    changes: list[str],
    resume: bool = False,
    start: str | None = None,
) -> list[Due]:
    """Do the steps that are due.

    Args:
        context: Folder, settings and devices.
        changes: How the settings differ from those the folder has.
        resume: Go on where a run was stopped.
        start: Redo this step and all that use it.

    Returns:
        What was due, before it was done.

    Raises:
        StoppedPipelineError: A step failed or was interrupted.
        UssimError: Steps are stale or unfinished and the user did not say what to do about it; another process works
            in the folder.
    """
    try:
        context.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UssimError(f"{context.folder}: cannot be made: {error.strerror or error}") from None
    with only_writer(context.folder, "pipeline", "another ussim-pipeline is at work here"):
        remove_partial(context.folder)
        due = survey(context, start)
        _require_permission(context.folder, due, changes, resume, start)
        save_settings(context.folder, context.settings)
        _clear(context, due)
        for number, step in enumerate(STEPS):
            _do(context, step, due[number], number + 1)
        return due


def _require_permission(folder: Path, due: list[Due], changes: list[str], resume: bool, start: str | None) -> None:
    """Nothing that is finished is made anew, and nothing is resumed, unless the user says so."""
    stale = [item for item in due if item.state == "stale"]
    if stale:
        why = f"changed: {'; '.join(changes)}; " if changes else f"{stale[0].step}: {stale[0].reason}; "
        raise UssimError(
            f"{folder}: {why}stale: {', '.join(item.step for item in stale)}; "
            f"make them anew with --from {stale[0].step}, or choose another folder"
        )
    waiting = next((item for item in due if item.is_due), None)
    if start is not None and waiting and STEP_NAMES.index(waiting.step) < STEP_NAMES.index(start):
        raise UssimError(f"{folder}: {waiting.step} is not finished, so --from {start} has nothing to start from")
    begun = any(item.state in ("done", "unfinished") for item in due)
    if waiting and begun and not resume and start is None:
        raise UssimError(f"{folder}: stopped at {waiting.step}; go on with --resume, or choose another folder")


def _clear(context: Context, due: list[Due]) -> None:
    """Remove what is to be redone, the last step first: whatever stops this, what is left fits together."""
    records = Records(context.folder)
    for step, item in reversed(list(zip(STEPS, due, strict=True))):
        if item.state == "redo":
            step.clear(context)
            records.drop(step.name)


def _do(context: Context, step: Step, due: Due, number: int) -> None:
    """Do a step that is due, and remember it."""
    title = f"[{number}/{len(STEPS)}] {step.name}"
    if not due.is_due:
        context.say(f"{title}: done")
        return
    context.say(title)
    records = Records(context.folder)
    record = records.get(step.name) or Record(key=step.key(context))
    record.sessions += 1
    records.put(step.name, record)
    meter = Meter()
    try:
        with meter:
            result = step.run(context)
    except BaseException as error:
        _count(record, meter)
        records.put(step.name, record)
        raise _explained(context, step, error) from (None if isinstance(error, UssimError) else error)
    _count(record, meter)
    record.state, record.outputs, record.notes = "done", result.outputs, result.notes
    record.device = result.device or record.device
    records.put(step.name, record)
    context.outputs[step.name] = result.outputs


def _count(record: Record, meter: Meter) -> None:
    record.seconds += meter.seconds
    record.peak_memory_bytes = max(record.peak_memory_bytes, meter.peak_memory_bytes)


def _explained(context: Context, step: Step, error: BaseException) -> BaseException:
    """The error of a step, with what is finished and how to go on; a defect of ours stays what it is."""
    interrupted = isinstance(error, KeyboardInterrupt) or getattr(error, "interrupted", False)
    if isinstance(error, UssimError):
        what = str(error)
    elif interrupted:
        what = "interrupted"
    elif is_out_of_memory(error):
        what = f"out of memory ({' '.join(str(error).split())[:120]})"
    elif isinstance(error, OSError):
        what = f"{error.filename or context.folder}: {error.strerror or error}"
    else:
        return error
    finished = [name for name in STEP_NAMES if name in context.outputs]
    message = f"{step.name}: {what}; finished and kept: {', '.join(finished) or 'nothing yet'}; go on with --resume"
    return StoppedPipelineError(message, interrupted)
