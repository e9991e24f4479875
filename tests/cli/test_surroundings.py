"""Whatever surrounds a program: closed streams, shut folders, signals. It does its work, or ends with one line."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from support import PATIENCE_S, ROOT

from cli import say, surroundings
from ussim import errors, stop
from ussim.errors import UssimError, UssimWarning, one_line, printable, refusal
from ussim.files import read_file, require_place

RENDER = ("--size=60x83", "-n", "4", "--backend=cpu", "--set=probe.scanlines=16", "--set=probe.axial_samples=64")


def program(*words: object, threads: str = "1", **options) -> subprocess.Popen:
    """A program in a process of its own, as it is installed."""
    name, *arguments = map(str, words)
    code = f"import sys; from cli.start import {name} as start; sys.argv[0] = '{name}'; start()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_NUM_THREADS": threads}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment, text=True, **options)


# Streams ----------------------------------------------------------------------------------------------


def test_a_render_does_its_work_with_all_streams_closed(ball_scene, tmp_path):
    shut = lambda: [os.close(number) for number in (0, 1, 2)]  # noqa: E731
    process = program("ussim", "render", ball_scene, "-o", tmp_path / "a.zarr", *RENDER, preexec_fn=shut)
    assert process.wait() == 0
    assert (tmp_path / "a.zarr" / "done" / "c" / "0").is_file()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_behind_a_stream_is_one_line_or_none(ball_scene, tmp_path):
    with open("/dev/full", "w") as full:
        process = program("ussim", "scene", "info", ball_scene, stdout=full, stderr=subprocess.PIPE)
        _, said = process.communicate()
        assert (process.returncode, said) == (2, "error: standard output: No space left on device: make room\n")
        process = program("ussim", "render", ball_scene, "-o", tmp_path / "a.zarr", *RENDER, stderr=full)
        assert process.wait() == 0


def test_a_reader_that_has_seen_enough_ends_the_program_without_a_word():
    process = program("ussim", "--help", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    process.stdout = None
    said = process.communicate()[1]
    assert said == ""
    assert process.returncode in (0, 1)


def test_a_name_of_any_bytes_can_be_told(tmp_path):
    process = program("ussim", "info", tmp_path / "\udcff.zarr", stderr=subprocess.PIPE)
    _, said = process.communicate()
    assert process.returncode == 2
    assert said.startswith("error: ")
    assert said.count("\n") == 1


# Folders ----------------------------------------------------------------------------------------------


@pytest.fixture
def shut(tmp_path) -> Path:
    """A folder that only somebody else may open."""
    folder = tmp_path / "shut"
    folder.mkdir(mode=0o700)
    if os.getuid() == 0:
        os.chown(folder, 65534, 65534)
    else:
        folder.chmod(0)
    return folder


def without_privileges(*words: object) -> subprocess.CompletedProcess:
    """A program that may do no more than its user, though that be root."""
    setpriv = ["setpriv", "--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all", "--reuid=0"]
    before = setpriv if os.getuid() == 0 else []
    if before and not shutil.which("setpriv"):
        pytest.skip("root may open anything, and there is no setpriv to forbid it")
    name, *arguments = map(str, words)
    code = f"from cli.start import {name}; {name}()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*before, sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "words",
    [
        ("ussim", "info", "SHUT/a.zarr"),
        ("ussim", "verify", "SHUT"),
        ("ussim", "scene", "info", "SHUT/scene"),
        ("ussim", "scene", "init", "SHUT/a.stl", "-o", "DIR/new"),
        ("ussim", "scene", "phantom", "pins", "-o", "SHUT/pins"),
        ("ussim", "scene", "from-labels", "SHUT/a.nii", "-o", "DIR/new"),
        ("ussim", "render", "SCENE", "-o", "SHUT/a.zarr", *RENDER),
        ("translate", "train", "SHUT/a.zarr", "-o", "DIR/run"),
        ("translate", "apply", "SHUT/run", "DIR", "-o", "DIR/out"),
        ("pipeline", "run", "SCENE", "-o", "SHUT/out"),
    ],
    ids=" ".join,
)
def test_a_folder_that_may_not_be_opened_is_named_in_one_line(ball_scene, tmp_path, shut, words):
    places = {"SHUT": shut, "DIR": tmp_path, "SCENE": ball_scene}
    filled = []
    for word in words:
        for name, place in places.items():
            word = word.replace(name, str(place))
        filled.append(word)
    done = without_privileges(*filled)
    lines = done.stderr.splitlines()
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert [line.startswith("error: ") for line in lines].count(True) == 1
    assert str(shut) in lines[-1]


def test_an_output_that_cannot_be_made_is_refused_before_any_work(tmp_path):
    (tmp_path / "nowhere").symlink_to(tmp_path / "none")
    with pytest.raises(UssimError, match="a link that leads nowhere"):
        require_place(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(UssimError, match="file is a file"):
        require_place(tmp_path / "file" / "a" / "b.zarr")
    require_place(tmp_path / "new" / "a.zarr")


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "large", "name"])
def test_only_ordinary_files_of_a_size_are_read(tmp_path, kind):
    path = tmp_path / "file"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
        case "large":
            path.write_bytes(bytes(1001))
        case "name":
            path = tmp_path / "a\0b"
    with pytest.raises(OSError, match=r"ordinary file|a folder|larger than|no path"):
        read_file(path, most_bytes=1000)


# Signals ----------------------------------------------------------------------------------------------


def takes(process: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    caught = next(line.split()[1] for line in lines if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (number - 1) & 1)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("moment", [0.0, 0.35, 0.85])
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system does not tell who takes which signals")
def test_a_signal_ends_a_program_with_one_line_and_its_code(ball_scene, tmp_path, number, code, moment):
    """However early: from when it takes signals at all, before which Python itself is still being read."""
    process = program(
        "ussim", "render", ball_scene, "-o", tmp_path / "a.zarr", *RENDER[:1], "-n", "4000", *RENDER[3:],
        stderr=subprocess.PIPE,
    )  # fmt: skip
    while not takes(process.pid, stop.SIGNALS[-1]):
        assert process.poll() is None
        time.sleep(0.001)
    time.sleep(moment)
    process.send_signal(number)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, said
    assert "Traceback" not in said
    assert sum(line.startswith("error: ") for line in said.splitlines()) == 1


def test_a_program_under_nohup_goes_on_when_the_terminal_is_gone():
    code = (
        "import os, signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from ussim.stop import end_on_signals; end_on_signals()\n"
        "os.kill(os.getpid(), signal.SIGHUP); print('goes on')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "goes on\n"


def test_a_signal_in_the_middle_of_an_import_is_not_lost(tmp_path):
    """Libraries catch whatever ends an import, and go on without the module."""
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(1000)")
    (tmp_path / "greedy.py").write_text("try:\n    import slow\nexcept BaseException:\n    slow = None\n")
    code = (
        "from ussim.stop import end_on_signals; end_on_signals(); print('up', flush=True); import greedy; print('on')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "up\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    out, said = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out, said.strip()) == (143, "", "error: terminated")


def test_a_signal_ends_a_program_that_python_cannot_reach(tmp_path):
    """As while a large function is compiled."""
    code = (
        "import hashlib; from ussim import stop; stop.PATIENCE_S = 0.5; stop.end_on_signals()\n"
        "print('up', flush=True); hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "up\n"
    time.sleep(0.3)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert time.monotonic() - start < 60, "the sum takes ten minutes"


# Words ------------------------------------------------------------------------------------------------


def test_a_message_is_one_printable_line_that_can_be_read():
    assert str(UssimError("a\nb\x1b[2J\u202e")) == "a\\nb\\x1b[2J\\u202e"
    long = one_line("x" * 100_000)
    assert len(long) < errors.LONGEST_MESSAGE + 10
    assert " … " in long
    assert printable("Körper 肝脏") == "Körper 肝脏"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            PermissionError(13, "Permission denied", "/x/y"),
            "/x/y: Permission denied: see that you may read or write it",
        ),
        (OSError(28, "No space left on device", "/x"), "/x: No space left on device: make room"),
        (OSError(36, "File name too long", "y" * 300), "File name too long: use a shorter name"),
        (MemoryError(), "out of memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "out of memory"),
        (ValueError("embedded null byte"), "a path holds a NUL byte"),
    ],
)
def test_what_the_system_refuses_becomes_a_line_with_a_remedy(error, words):
    assert words in refusal(error)


@pytest.mark.parametrize("error", [KeyError("x"), RuntimeError("a defect"), ValueError("a defect"), AssertionError()])
def test_a_defect_of_ours_is_none_of_these(error):
    assert refusal(error) == ""


def test_only_warnings_of_ours_are_told(capsys):
    told: list[str] = []
    with say.quiet_libraries(told.append):
        warnings.warn("theirs", stacklevel=1)
        logging.getLogger("lib").warning("theirs too")
        warnings.warn("ours", UssimWarning, stacklevel=1)
    assert told == ["ours"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("threads", ["0", "x", "-1", "", "9" * 400])
def test_a_number_of_threads_that_is_none_is_one_line(threads):
    process = program("ussim", "--version", stderr=subprocess.PIPE, threads=threads)
    _, said = process.communicate()
    assert process.returncode == 2
    assert said.startswith("error: NUMBA_NUM_THREADS = ")
    assert said.count("\n") == 1


def test_threads_for_sums_are_as_many_as_cpus_whatever_the_caller_says(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    surroundings._fix_threads()
    assert os.environ["OMP_NUM_THREADS"] == str(surroundings.usable_cpus())
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "torchrun")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    surroundings._fix_threads()
    assert os.environ["OMP_NUM_THREADS"] == "1"
    assert stop.exit_code() >= 128
