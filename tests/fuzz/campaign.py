"""Thousands of damaged inputs, thrown at the commands: whatever comes, one line and an exit code::

    python -m tests.fuzz.campaign --kind scene --cases 5000 --seed 1
    python -m tests.fuzz.campaign --kind scene --seed 1 --case 1234      # one of them again, with all it says

Commands run in forked processes, some tens a second. It prints a table, writes the input of the first failure of each
cause into a folder, and ends with 1 if there was any.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
for _path in (ROOT / "tests", ROOT):
    if str(_path) not in sys.path:
        sys.path.insert(0, str(_path))
# One thread: small work, and a process that is forked must have no others.
os.environ |= {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}

from fuzz.judge import invoke  # noqa: E402
from fuzz.kinds import KINDS  # noqa: E402
from fuzz.worker import Kind, Outcome, build, fill, outcomes  # noqa: E402

FAULTS = ("traceback", "hang", "memory", "long line", "noise", "exit code", "outside")
COLUMNS = ("kind", "cases", "commands", "accepted", "refused", *FAULTS, "seconds")


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for; the exit code."""
    options = _options(arguments)
    fast = Path("/dev/shm")  # commands wait for the disk, which is not what is looked at here
    work = Path(tempfile.mkdtemp(prefix="ussim-fuzz-", dir=fast if fast.is_dir() else None))
    names = list(KINDS) if "all" in options.kind else options.kind
    try:
        if options.case is not None:
            return _replay(names[0], options.seed, options.case, work)
        rows = [_campaign(name, options, work / name) for name in names]
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print("\n| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
    for row in rows:
        print("| " + " | ".join(str(row[name]) for name in COLUMNS) + " |")
    return int(any(row[name] for row in rows for name in FAULTS))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", nargs="+", choices=[*KINDS, "all"], default=["all"])
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop a kind after so long")
    parser.add_argument("--case", type=int, help="run this one alone and show what it says")
    parser.add_argument("-o", "--output", type=Path, default=Path("fuzz_failures"), help="folder for failing inputs")
    return parser.parse_args(arguments)


def _prepare(name: str, work: Path) -> tuple[Kind, Path]:
    """A kind with its modules imported and its valid input written."""
    kind = KINDS[name]
    for module in ("cli.ussim", "cli.translate", "cli.ussim_pipeline", *kind.heavy):
        importlib.import_module(module)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    template = work / "template"
    template.mkdir(parents=True)
    fill(kind, template)
    return kind, template


def _campaign(name: str, options: argparse.Namespace, work: Path) -> dict[str, object]:
    """All cases of a kind; its row of the table."""
    began = time.monotonic()
    kind, template = _prepare(name, work)
    counts: Counter[str] = Counter()
    causes: Counter[tuple[str, str]] = Counter()
    cases = set()
    for outcome in outcomes(
        kind, name, options.seed, range(options.first, options.first + options.cases), template, work
    ):
        verdict = outcome.verdict
        counts["accepted" if verdict.code == 0 else "refused"] += not verdict.fault
        cases.add(outcome.case)
        if verdict.fault:
            counts[verdict.fault] += 1
            causes[verdict.fault, verdict.where] += 1
            if causes[verdict.fault, verdict.where] == 1:
                _keep(kind, name, options, outcome, template, work)
        if time.monotonic() - began > options.seconds:
            break
    for (fault, where), count in causes.most_common():
        print(f"{name}: {count} × {fault}: {where}", flush=True)
    error = work / "campaign_error.txt"
    if error.is_file():
        print(f"{name}: the campaign itself fell: {error.read_text()}")
    seconds = round(time.monotonic() - began, 1)
    row = dict.fromkeys(COLUMNS, 0) | counts
    return row | {"kind": name, "cases": len(cases), "commands": counts.total(), "seconds": seconds}


def _keep(kind: Kind, name: str, options: argparse.Namespace, outcome: Outcome, template: Path, work: Path) -> None:
    """Write a failing input, what was said, and how to run it again."""
    folder = options.output / f"{name}-{options.seed}-{outcome.case}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    build(kind, name, options.seed, outcome.case, template, work / "kept")
    shutil.copytree(work / "kept" / "case", folder / "case", symlinks=True)
    again = f"python -m tests.fuzz.campaign --kind {name} --seed {options.seed} --case {outcome.case}"
    verdict = outcome.verdict
    text = f"{verdict.fault}: {verdict.where}\n{again}\n{outcome.command}\n\n{verdict.said}\n"
    (folder / "verdict.txt").write_text(text, encoding="utf-8", errors="backslashreplace")


def _replay(name: str, seed: int, number: int, work: Path) -> int:
    """One case in this process, with all it says."""
    kind, template = _prepare(name, work)
    _, commands = build(kind, name, seed, number, template, work / "area")
    worst = 0
    for one in commands:
        print(f"$ {str(one)[:2000]}")
        result = invoke(one)
        print(result.output, f"exit code {result.exit_code}", sep="\n")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            import traceback

            traceback.print_exception(result.exception)
        worst = max(worst, result.exit_code)
    return worst


if __name__ == "__main__":
    sys.exit(main())
