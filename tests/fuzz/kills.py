"""Kill programs at random moments, go on, and compare what comes out with what an undisturbed run gives.

``python tests/fuzz/kills.py --kind train --kills 50 --seed 1``: so many runs are killed once or twice each, by SIGKILL,
at moments spread over their whole time, half of them with OMP_NUM_THREADS=1, and then finished with --resume. Whatever
is left must be equal byte for byte, but for times. With --signals each gets SIGINT, SIGTERM or SIGHUP instead, and must
end at once with one line and the exit code 130, 143 or 129.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support import PATIENCE_S, scenes  # noqa: E402

SMALL = ["--set=probe.scanlines=24", "--set=probe.axial_samples=256", "--set=hq.rays=4"]
RENDER = ["-n", "40", "--size=96x133", "--unit=2", "--backend=cpu", *SMALL]
TRAIN = [
    "--ngf=4", "--crop=32", "--batch=2", "--iterations=120", "--set=depth=4", "--set=log_every=10",
    "--set=checkpoint_every=30", "--set=preview_every=60",
]  # fmt: skip
PIPELINE = [
    f"--set={name}={value}"
    for name, value in {
        "render.frames": 40, "render.size": "96x133", "render.unit": 4, "probe.scanlines": 24,
        "probe.axial_samples": 256, "hq.rays": 4, "train.init": "random", "train.variants": "LM,LMSA", "train.ngf": 4,
        "train.ndf": 4,
        "train.depth": 4, "train.crop": 64, "train.batch": 2, "train.iterations": 60, "train.checkpoint_every": 20,
        "train.log_every": 5, "evaluate.crops": 2,
    }.items()
]  # fmt: skip
SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


class Job:
    """A command that writes to a place and can go on with it."""

    def __init__(self, kind: str, scene: Path, store: Path):
        self.kind = kind
        self._words = {
            "render": ["ussim", "render", str(scene), "-o", "{out}.zarr", *RENDER],
            "train": ["translate", "train", str(store), "-o", "{out}", *TRAIN],
            "pipeline": ["ussim_pipeline", "run", str(scene), "-o", "{out}", *PIPELINE],
        }[kind]

    def start(self, out: Path, resume: bool, **environment: str) -> subprocess.Popen:
        """Start it in a process of its own."""
        program, *words = (word.format(out=out) for word in self._words)
        resumes = resume and (self.kind == "pipeline" or self.place(out).is_dir())
        return subprocess.Popen(
            [sys.executable, "-m", f"cli.{program}", *words, *(["--resume"] if resumes else [])],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def place(self, out: Path) -> Path:
        """What it writes to."""
        return out.with_name(out.name + ".zarr") if self.kind == "render" else out

    def content(self, out: Path) -> dict[str, str]:
        """Digests of all files, without what holds times."""
        found = {}
        place = self.place(out)
        for path in sorted(place.rglob("*")):
            name = path.relative_to(place).as_posix()
            if not path.is_file() or name.startswith("steps/") or path.name in ("report.html", "report.md"):
                continue
            data = path.read_bytes()
            if path.name == "checkpoint_last.pt":
                data = _state(path)
            elif path.name == "log.jsonl":
                lines = [json.loads(line) for line in data.decode().splitlines()]
                data = json.dumps([{**line, "seconds": 0} for line in lines]).encode()
            elif name == "evaluation/report.json":
                data = json.dumps({**json.loads(data), "seconds": 0}).encode()
            found[name] = hashlib.sha256(data).hexdigest()
        return found


def _state(path: Path) -> bytes:
    """All of a checkpoint but the time."""
    import torch

    digest = hashlib.sha256()

    def take(value: object) -> None:
        if isinstance(value, dict):
            for key in sorted(value, key=str):
                digest.update(str(key).encode())
                take(value[key])
        elif isinstance(value, list | tuple):
            for one in value:
                take(one)
        elif isinstance(value, torch.Tensor):
            digest.update(value.contiguous().numpy().tobytes())
        else:
            digest.update(repr(value).encode())

    take({**torch.load(path, weights_only=True), "seconds": 0})
    return digest.digest()


def killed(job: Job, folder: Path, wanted: dict[str, str], duration: float, chance: random.Random) -> str:
    """Kill a run once or twice, finish it, and say what is wrong with what it left; empty if nothing."""
    out = folder / "run"
    environment = {"OMP_NUM_THREADS": "1"} if chance.random() < 0.5 else {}
    moments = [chance.uniform(0.0, duration) for _ in range(chance.choice([1, 1, 2]))]
    for number, moment in enumerate(moments):
        process = job.start(out, number > 0, **environment)
        try:
            process.communicate(timeout=moment)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
    process = job.start(out, True, **environment)
    _, said = process.communicate(timeout=PATIENCE_S)
    if process.returncode:
        return f"killed at {moments}: ends with {process.returncode}: {said.strip().splitlines()[-1:]}"
    found = job.content(out)
    other = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
    left = [path.name for path in folder.iterdir() if path != job.place(out)]
    if other or left:
        return f"killed at {moments} {environment}: differs in {other[:5]}, leaves {left}"
    return ""


def told(job: Job, folder: Path, duration: float, chance: random.Random) -> str:
    """Send a signal to a run and say what is wrong with its end; empty if nothing."""
    number = chance.choice(list(SIGNALS))
    moment = chance.uniform(0.15, 0.8 * duration)  # before, there is no program yet; after, it may have ended
    process = job.start(folder / "run", False)
    try:
        process.communicate(timeout=moment)
        return "" if process.returncode == 0 else f"ended by itself with {process.returncode}"
    except subprocess.TimeoutExpired:
        process.send_signal(number)
    start = time.monotonic()
    _, said = process.communicate(timeout=PATIENCE_S)
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    if process.returncode != SIGNALS[number] or len(lines) != 1 or "Traceback" in said:
        return f"{signal.Signals(number).name} at {moment:.2f} s: {process.returncode}, {said.splitlines()[-3:]}"
    took = time.monotonic() - start
    return f"{signal.Signals(number).name} at {moment:.2f} s took {took:.0f} s" if took > 10 else ""


def campaign(kind: str, count: int, seed: int, signals: bool) -> int:
    """Run it, print what was found, and return the number of faults."""
    chance, faults = random.Random(seed), Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        ball, stone = scenes.sphere_mesh(60, (0, 0, 65)), scenes.sphere_mesh(8, (0, 0, 45), subdivisions=2)
        (base / "scene").mkdir()
        scenes.write_scene(base / "scene", {"ball": ball, "stone": stone}, extra=scenes.SWEEP)
        store = Job("render", base / "scene", base)
        assert store.start(base / "store", False).wait() == 0
        job = Job(kind, base / "scene", base / "store.zarr")
        (base / "whole").mkdir()
        start = time.monotonic()
        assert job.start(base / "whole" / "run", False).wait() == 0
        duration = time.monotonic() - start
        wanted = job.content(base / "whole" / "run")
        for number in range(count):
            folder = base / f"case{number}"
            folder.mkdir()
            fault = told(job, folder, duration, chance) if signals else killed(job, folder, wanted, duration, chance)
            if fault:
                faults[fault] += 1
                print(f"{number}: {fault}", flush=True)
            shutil.rmtree(folder)
    what = "signals" if signals else "kills"
    print(f"{kind}: {count} {what} over {duration:.1f} s, {len(wanted)} files compared, {sum(faults.values())} faults")
    return sum(faults.values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=("render", "train", "pipeline"), required=True)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--signals", action="store_true", help="send signals that can be handled instead")
    given = parser.parse_args()
    sys.exit(bool(campaign(given.kind, given.kills, given.seed, given.signals)))
