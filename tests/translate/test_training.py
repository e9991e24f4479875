"""Training: exact resume, several processes, stops, mistakes; and a small network that beats the low quality."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support import PATIENCE_S, ROOT
from support.translate_store import make_store

from translate.data.store import StoreReader
from translate.model import losses
from translate.model.checkpoint import load_network, load_state
from translate.settings import Run, TrainSettings
from translate.training import loop
from translate.training.devices import Team, choose_device
from translate.training.log import read_log
from translate.training.loop import Session, StoppedError, train
from translate.training.run_folder import only_training
from translate.training.trainer import LOSSES, Trainer
from ussim.cpus import usable_cpus
from ussim.errors import UssimError

SMALL = {"ngf": 4, "depth": 4, "crop": 32, "batch": 4, "iterations": 8, "threads": 1, "log_every": 2}


def settings(**given) -> TrainSettings:
    return TrainSettings.make(**{**SMALL, **given})


def same(one, other) -> bool:
    """Whether two nested states are equal bit by bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def losses_of(run: Path) -> list[dict]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def trained_state(run: Path) -> dict:
    return {name: value for name, value in load_state(run).items() if name != "seconds"}


# What a run does --------------------------------------------------------------------------------------


def test_a_run_leaves_weights_log_preview_and_settings(store, tmp_path):
    seen = []
    wanted = settings(checkpoint_every=4, preview_every=4)
    summary = train(wanted, store, tmp_path / "run", progress=lambda *call: seen.append(call))
    files = {path.relative_to(tmp_path / "run").as_posix() for path in (tmp_path / "run").rglob("*.*")}
    assert files == {
        "settings.json", "environment.json", "mask.png", "log.jsonl", "checkpoint_last.pt", "generator.safetensors",
        "previews/000004.png", "previews/000008.png",
    }  # fmt: skip
    assert Run.load(tmp_path / "run").train == wanted
    assert [line["iteration"] for line in losses_of(tmp_path / "run")] == [2, 4, 6, 8]
    assert summary.iterations == 8
    assert seen[-1][:3] == ("train", 8, 8)
    assert "L1 0." in seen[-1][3]
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert environment["torch"] == torch.__version__


@pytest.mark.parametrize(
    "variant",
    [
        {"rate_decay": 0.75},
        {"norm": "batch", "polar": True, "flip": True, "feature_matching": 10.0, "full_frames": 0.25},
    ],
    ids=["pix2pix", "options"],
)
def test_resume_is_exact_bit_by_bit(store, tmp_path, variant, monkeypatch):
    train(settings(**variant), store, tmp_path / "whole")
    stop_after(monkeypatch, 5)
    with pytest.raises(StoppedError, match="checkpoint at iteration 5 of 8"):
        train(settings(**variant), store, tmp_path / "parts")
    monkeypatch.undo()
    train(settings(**variant), store, tmp_path / "parts", resume=True)
    assert same(trained_state(tmp_path / "whole"), trained_state(tmp_path / "parts"))
    weights = [load_file(tmp_path / name / "generator.safetensors") for name in ("whole", "parts")]
    assert same(*weights)
    assert losses_of(tmp_path / "whole")[-1]["iteration"] == losses_of(tmp_path / "parts")[-1]["iteration"] == 8


def stop_after(monkeypatch, iterations: int) -> None:
    """Let SIGINT arrive while an iteration runs."""
    step = Trainer.step

    def interrupted(trainer, batch):
        if trainer.iteration == iterations - 1:
            os.kill(os.getpid(), signal.SIGINT)
        return step(trainer, batch)

    monkeypatch.setattr(Trainer, "step", interrupted)


def test_a_log_line_is_not_repeated_after_resume(store, tmp_path):
    run = tmp_path / "run"
    train(settings(iterations=4), store, run)
    with (run / "log.jsonl").open("a") as file:  # as if killed after the checkpoint
        file.write('{"iteration": 6}\n')
    train(settings(), store, run, resume=True)
    assert [line["iteration"] for line in losses_of(run)] == [2, 4, 6, 8]


def test_a_log_line_that_was_cut_off_by_a_kill_is_left_out(store, tmp_path):
    run = tmp_path / "run"
    train(settings(iterations=4), store, run)
    with (run / "log.jsonl").open("a") as file:
        file.write('{"iteration": 6, "discri')
    assert [line["iteration"] for line in read_log(run)] == [2, 4]
    train(settings(), store, run, resume=True)
    assert [line["iteration"] for line in losses_of(run)] == [2, 4, 6, 8]


@pytest.mark.parametrize("line", ["nothing", "[1]", '{"discriminator": 0.1}', '{"iteration": "two"}'])
def test_a_damaged_log_is_an_error(store, finished, tmp_path, line):
    run = shutil.copytree(finished, tmp_path / "run")
    text = (run / "log.jsonl").read_text()
    (run / "log.jsonl").write_text(f"{text}{line}\n{text}")
    with pytest.raises(UssimError, match=r"log\.jsonl: line 2 is damaged: [^\n]*; remove it and what follows$"):
        train(settings(), store, run, resume=True)


def test_averaged_weights_follow_the_trained_ones(store, tmp_path):
    train(settings(iterations=1), store, tmp_path / "run")
    state = load_state(tmp_path / "run")
    torch.manual_seed(0)
    start = session(store, tmp_path / "other").trainer.generator.state_dict()
    for name, kept in state["average"].items():
        expected = torch.lerp(start[name], state["generator"][name], 0.9)  # decay 0.1 in the first iteration
        torch.testing.assert_close(kept, expected)


def session(store, run, team=None, **given) -> Session:
    reader = StoreReader(store)
    team = team or Team(torch.device("cpu"))
    return Session(Run(train=settings(**given), data=reader.info()), [reader], run, team, None)


# The objective ----------------------------------------------------------------------------------------


def test_adversarial_loss_is_binary_cross_entropy():
    logits = torch.tensor([0.0, 2.0])
    probability = torch.sigmoid(logits)
    assert float(losses.adversarial(logits, True)) == pytest.approx(float(-probability.log().mean()))
    assert float(losses.adversarial(logits, False)) == pytest.approx(float(-(1 - probability).log().mean()))


def test_what_lies_outside_the_mask_never_counts(store, tmp_path):
    results = []
    for filling in (0.3, -0.9):
        trainer = session(store, tmp_path).trainer
        batch = session(store, tmp_path).batch(0)
        assert (batch.mask == 0).any()
        target = torch.where(batch.mask > 0, batch.target, torch.full_like(batch.target, filling))
        results.append((trainer.step(replace(batch, target=target)), trainer.generator.state_dict()))
    assert same(*results)


def test_without_adversarial_weight_the_discriminator_rests(store, tmp_path):
    one = session(store, tmp_path, adversarial_weight=0.0)
    before = {name: value.clone() for name, value in one.trainer.discriminator.state_dict().items()}
    values = one.trainer.step(one.batch(0))
    assert same(before, one.trainer.discriminator.state_dict())
    assert values[0] == values[1] == 0
    assert values[2] > 0


def test_frozen_norms_keep_their_statistics_and_what_they_do_in_use(store, tmp_path):
    free, frozen = (session(store, tmp_path, norm="batch", freeze_norm=freeze).trainer for freeze in (False, True))
    batch = session(store, tmp_path).batch(0)
    for trainer in (free, frozen):
        before = {name: value.clone() for name, value in trainer.generator.named_buffers()}
        weights = {name: value.clone() for name, value in trainer.generator.named_parameters()}
        trainer.step(batch)
        assert same(before, dict(trainer.generator.named_buffers())) == (trainer is frozen)
        assert not same(weights, dict(trainer.generator.named_parameters()))


def test_the_learning_rate_falls_in_a_straight_line_to_what_is_left_for_the_last_update(store, tmp_path):
    settings = TrainSettings.make(iterations=10, learning_rate=0.5, rate_decay=0.4)
    expected = [0.5] * 6 + [0.4, 0.3, 0.2, 0.1]
    assert [settings.rate_at(iteration) for iteration in range(10)] == pytest.approx(expected)
    still, falling = (session(store, tmp_path, iterations=1000, rate_decay=decay).trainer for decay in (0.0, 1.0))
    for trainer in (still, falling):
        before = [weights.detach().clone() for weights in trainer.discriminator.parameters()]
        trainer.iteration = 999
        trainer.step(session(store, tmp_path).batch(0))
        # Adam's first step is the learning rate, whatever the gradient
        moved = max(
            float((a - b.detach()).abs().max()) for a, b in zip(before, trainer.discriminator.parameters(), strict=True)
        )
        expected = trainer.settings.learning_rate / (1 if trainer is still else 1001)
        assert moved == pytest.approx(expected, rel=0.02)


def test_the_last_iterations_see_whole_frames(store, tmp_path):
    one = session(store, tmp_path, full_frames=0.25)
    assert one.batch(5).inputs.shape[2:] == (32, 32)
    assert one.batch(6).inputs.shape == (2, 4, 80, 112)


# Several processes ------------------------------------------------------------------------------------


def test_processes_share_a_batch(store, tmp_path):
    alone = session(store, tmp_path).batch(3)
    shares = [Team(torch.device("cpu"), rank, 2).share(4) for rank in (0, 1)]
    assert torch.equal(torch.cat([alone.inputs[share] for share in shares]), alone.inputs)
    with pytest.raises(UssimError, match="batch 5 cannot be divided among 2"):
        Team(torch.device("cpu"), 0, 2).share(5)


def torchrun(*arguments: object) -> subprocess.CompletedProcess:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={port}"]
    command += ["-m", "cli.translate", "train", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE_S)


def test_two_processes_train_what_one_does(store, tmp_path):
    options = ["--ngf=4", "--crop=32", "--batch=4", "--iterations=3", "--set=depth=4", "--set=log_every=1"]
    done = torchrun(store, "-o", tmp_path / "two", *options)
    assert done.returncode == 0, done.stderr
    train(settings(iterations=3, log_every=1), store, tmp_path / "one")
    for one, two in zip(losses_of(tmp_path / "one"), losses_of(tmp_path / "two"), strict=True):
        assert two == pytest.approx(one, rel=1e-3)
    assert json.loads((tmp_path / "two" / "environment.json").read_text())["processes"] == 2


# Stops and mistakes -----------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(store, tmp_path, monkeypatch):
    run = tmp_path / "run"
    step = Trainer.step

    def poisoned(trainer, batch):
        if trainer.iteration == 5:
            batch = replace(batch, target=batch.target * float("nan"))
        return step(trainer, batch)

    monkeypatch.setattr(Trainer, "step", poisoned)
    with pytest.raises(UssimError) as caught:
        train(settings(checkpoint_every=4), store, run)
    message = str(caught.value)
    assert "loss of iteration 5 is not finite" in message
    assert "crops of frames" in message
    assert "\n" not in message
    assert load_state(run)["iteration"] == 4
    assert all(torch.isfinite(value).all() for value in load_file(run / "generator.safetensors").values())


def test_weights_that_are_not_finite_are_not_saved(store, tmp_path):
    one = session(store, tmp_path)
    with torch.no_grad():
        next(one.trainer.generator.parameters())[0] = float("inf")
    with pytest.raises(UssimError, match="weights are not finite"):
        one.checkpoint()
    assert not (tmp_path / "checkpoint_last.pt").exists()


def test_a_run_folder_that_exists_is_an_error(store, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").touch()
    with pytest.raises(UssimError, match="exists already; go on with --resume"):
        train(settings(), store, tmp_path / "run")


@pytest.fixture(scope="module")
def finished(store, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "finished"
    train(settings(iterations=2), store, run)
    return run


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"inputs": "LM"}, "was trained with inputs = 'LMSA'; it cannot go on with 'LM'"),
        ({"ngf": 8}, "was trained with ngf = 4"),
        ({"iterations": 1}, "has seen 2 iterations already, more than 1"),
    ],
)
def test_going_on_with_other_settings_is_an_error(store, finished, given, message):
    with pytest.raises(UssimError, match=message):
        train(settings(**given), store, finished, resume=True)


def test_going_on_with_another_store_is_an_error(finished, tmp_path):
    other = make_store(tmp_path / "other.zarr", frames=12, seed=5)
    with pytest.raises(UssimError, match=r"another store than other\.zarr"):
        train(settings(), other, finished, resume=True)


def test_a_checkpoint_of_another_network_is_an_error(store, finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    Run(train=settings(ngf=8), data=StoreReader(store).info()).save(run)
    with pytest.raises(UssimError, match="is of another run than the settings"):
        train(settings(ngf=8), store, run, resume=True)


@pytest.mark.parametrize("at", [0.02, 0.3, 0.6, 0.9])
def test_one_flipped_bit_in_a_checkpoint_is_found(store, finished, tmp_path, at):
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    file = run / "checkpoint_last.pt"
    with zipfile.ZipFile(file) as archive:
        tensors = [one for one in archive.infolist() if one.file_size > 200 and "/data/" in one.filename]
    place = tensors[int(at * len(tensors))]
    data = bytearray(file.read_bytes())
    data[place.header_offset + 300 + place.file_size // 2] ^= 4
    file.write_bytes(data)
    with pytest.raises(UssimError, match=r"checkpoint_last\.pt: damaged checkpoint"):
        train(settings(iterations=12), store, run, resume=True)


def test_every_flipped_bit_in_weights_is_found(finished, tmp_path):
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    whole = (run / "generator.safetensors").read_bytes()
    for at in range(8, len(whole), len(whole) // 40):
        (run / "generator.safetensors").write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :])
        with pytest.raises(UssimError, match=r"damaged weights|another run|weights of another network"):
            load_network(run, Run.load(run))


def test_weights_can_be_read_by_everybody(finished):
    assert (finished / "generator.safetensors").stat().st_mode & 0o044 == 0o044


def test_a_checkpoint_of_another_run_of_the_same_networks_is_an_error(store, finished, tmp_path):
    train(settings(seed=1, iterations=2), store, tmp_path / "other")
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    shutil.copy(tmp_path / "other" / "checkpoint_last.pt", run)
    with pytest.raises(UssimError, match=r"checkpoint_last\.pt: is of another run than the settings"):
        train(settings(iterations=12), store, run, resume=True)


# Two at once, and none at all -------------------------------------------------------------------------


def test_a_second_training_in_a_folder_is_refused_and_changes_nothing(store, tmp_path):
    run = tmp_path / "run"
    with only_training(run, resume=False):
        for resume in (False, True):
            with pytest.raises(UssimError, match="another training is at work here"):
                train(settings(), store, run, resume=resume)
        assert [path.name for path in run.iterdir()] == [".lock.training"]
    assert not run.exists()


@pytest.mark.parametrize("left", ["lock", "partial", "settings"])
def test_a_training_that_was_killed_before_its_first_checkpoint_begins_again(store, finished, tmp_path, left):
    run = tmp_path / "run"
    run.mkdir()
    match left:
        case "lock":
            (run / ".lock.training").write_text("")
        case "partial":
            (run / f".settings.json.{'0' * 32}.partial").write_text("half")
        case "settings":
            for name in ("settings.json", "environment.json", "log.jsonl"):
                shutil.copy(finished / name, run)
    train(settings(), store, run, resume=True)
    train(settings(), store, tmp_path / "whole")
    assert same(trained_state(run), trained_state(tmp_path / "whole"))
    assert losses_of(run) == losses_of(tmp_path / "whole")
    assert not list(run.glob(".*"))


def test_a_finished_training_is_not_loaded_again(store, finished, tmp_path, monkeypatch):
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    monkeypatch.setattr(loop, "Session", None)
    summary = train(settings(iterations=Run.load(run).train.iterations), store, run, resume=True)
    assert tuple(summary.losses) == LOSSES


# Threads ----------------------------------------------------------------------------------------------


def test_a_training_uses_the_threads_it_began_with_whatever_used_the_process_before(store, tmp_path, monkeypatch):
    seen = []
    step = Trainer.step

    def noted(self: Trainer, batch: object) -> object:
        seen.append(torch.get_num_threads())
        return step(self, batch)

    monkeypatch.setattr(Trainer, "step", noted)
    for before, stop in ((1, 4), (3, 8)):
        torch.set_num_threads(before)
        train(settings(iterations=stop, threads=0), store, tmp_path / "run", resume=stop == 8)
        assert torch.get_num_threads() == before
    assert seen == [usable_cpus()] * 8
    assert Run.load(tmp_path / "run").threads == usable_cpus()


def test_a_damaged_checkpoint_is_an_error(store, finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    (run / "checkpoint_last.pt").write_bytes(b"nothing")
    with pytest.raises(UssimError, match="damaged checkpoint"):
        train(settings(), store, run, resume=True)


def test_nothing_to_resume_is_an_error(store, tmp_path):
    with pytest.raises(UssimError, match="no such run"):
        train(settings(), store, tmp_path / "run", resume=True)


def test_mistakes_leave_no_run_folder(store, tmp_path):
    with pytest.raises(UssimError, match="larger than the frames"):
        train(settings(crop=128), store, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_empty_training_split_is_an_error(store, tmp_path, monkeypatch):
    monkeypatch.setattr(StoreReader, "frames", lambda self, split="all", by="frame": self.split[:0])
    with pytest.raises(UssimError, match="training split has no frames"):
        train(settings(), store, tmp_path / "run")


@pytest.mark.skipif(torch.cuda.is_available(), reason="checks what happens without a GPU")
def test_a_gpu_that_is_not_there_is_an_error():
    with pytest.raises(UssimError, match="'cuda': this machine has no GPU that torch can use"):
        choose_device("cuda")


def test_an_unknown_device_is_an_error():
    with pytest.raises(UssimError, match="must be auto, cpu, cuda or cuda:N"):
        choose_device("tpu9")
