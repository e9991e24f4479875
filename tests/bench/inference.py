"""Speed of inference on this machine's CPU: full images, engines side by side.

    PYTHONPATH=.:tests python tests/bench/inference.py [--ngf 16] [--size 1000x1386] [--frames 9]
        [--engine torch --engine openvino] [--model pix2pix --model fast] [--set KEY=VALUE]

The generators are untrained and the images made up: neither changes the time. ``network`` is the network alone,
``enhance`` adds padding, channels, rounding and mask, and takes a frame that is in memory; ``apply`` is the whole of
``translate apply`` on a store divided by its frames, reading and writing included. Generators and engines take
turns frame by frame, so that all see the same load of the machine. Seconds a frame: medians; ``apply`` is a mean.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from support.translate_runs import untrained_run
from support.translate_store import make_store

from translate.data.store import StoreReader
from translate.model.networks import parameters
from translate.settings import PRESETS, TrainSettings
from translate.use.apply import apply_to_store
from translate.use.inference import ENGINES, Generator


class Subject:
    """One generator in one engine, and the seconds that its parts took."""

    def __init__(self, run: Path, engine: str, store: StoreReader):
        self.generator = Generator.load(run, device="cpu", engine=engine)
        self.view = self.generator.view(store)
        self.name = f"{run.name} {engine}"
        multiple = self.generator.settings.multiple
        height, width = (-(-side // multiple) * multiple for side in store.shape)
        self.inputs = torch.rand(1, self.generator.encoder.channels, height, width) * 2 - 1
        self.seconds: dict[str, list[float]] = {"network": [], "enhance": []}

    def measure(self, frame: dict[str, np.ndarray], mask: np.ndarray) -> None:
        """One frame."""
        for name, work in (
            ("network", lambda: self.generator.run_network(self.inputs)),
            ("enhance", lambda: self.view.enhance(frame, mask)),
        ):
            start = time.perf_counter()
            work()
            self.seconds[name].append(time.perf_counter() - start)

    def apply(self, store: StoreReader) -> float:
        """Mean seconds a frame of the whole command, after its start."""
        start = time.perf_counter()
        count = apply_to_store(self.generator, store.place, self.name.replace(" ", "_"))
        return (time.perf_counter() - start) / count

    def row(self, applied: float) -> str:
        """A line of the table, without the first frame, which compiles."""
        network, enhance = (np.median(self.seconds[name][1:]) for name in ("network", "enhance"))
        best = min(self.seconds["enhance"][1:])
        count = parameters(self.generator.network) / 1e6
        shape = "×".join(map(str, self.inputs.shape[1:]))
        return f"{self.name:18}{count:8.2f}{shape:>15}{network:9.3f}{enhance:9.3f}{best:9.3f}{applied:9.3f}"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ngf", type=int, default=16)
    parser.add_argument("--size", default="1000x1386", help="height x width [px]")
    parser.add_argument("--frames", type=int, default=9)
    parser.add_argument("--engine", action="append", choices=ENGINES)
    parser.add_argument("--model", action="append", choices=tuple(PRESETS))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="another training setting")
    options = parser.parse_args()
    size = tuple(map(int, options.size.split("x")))
    given = dict(assignment.split("=", 1) for assignment in options.set)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = StoreReader(make_store(folder / "store.zarr", frames=options.frames, size=size))
        subjects = []
        for model in options.model or ("pix2pix",):
            settings = TrainSettings.make(model, ngf=options.ngf, **given)
            run = untrained_run(folder / model, store.place, settings)
            subjects += [Subject(run, engine, store) for engine in options.engine or ("torch", "openvino")]
        for index in range(options.frames):
            frame = store.frame(index)
            for subject in subjects:
                subject.measure(frame, store.mask)
        load = os.getloadavg()[0]
        print(f"{size[0]} × {size[1]} px, ngf {options.ngf}, {torch.get_num_threads()} threads, load {load:.1f}")
        heads = (f"{name:>9}" for name in ("network", "enhance", "fastest", "apply"))
        print(f"{'':18}{'M params':>8}{'inputs':>15}{''.join(heads)}   [s a frame]")
        for subject in subjects:
            print(subject.row(subject.apply(store)), flush=True)


if __name__ == "__main__":
    main()
