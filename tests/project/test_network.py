"""No program talks to anybody: whatever it is asked to do, none opens a connection or looks up a name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from support import ROOT

# Python tells its audit hooks of each socket and each name that is looked up, whichever library asks for it.
WATCHED = """
import json, socket, sys
asked = []
def watch(event, arguments):
    if event == "socket.__new__" and arguments[1] in (socket.AF_INET, socket.AF_INET6):
        asked.append([event, str(arguments[1])])
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.connect", "urllib.Request"):
        asked.append([event, str(arguments[:2])])
sys.addaudithook(watch)
from click.testing import CliRunner
import cli.translate, cli.ussim, cli.ussim_pipeline
programs = {"ussim": cli.ussim.main, "translate": cli.translate.main, "ussim-pipeline": cli.ussim_pipeline.main}
for program, *arguments in json.loads(sys.argv[1]):
    result = CliRunner().invoke(programs[program], arguments)
    if result.exit_code:
        sys.exit(f"{program} {arguments}: {result.output} {result.exception!r}")
    if asked:
        sys.exit(f"{program} {arguments}: {asked}")
"""
SMALL = ["--size=96x133", "--set=probe.scanlines=24", "--set=probe.axial_samples=256", "--set=hq.rays=4"]
TINY = ["--ngf=4", "--crop=32", "--batch=2", "--iterations=2", "--set=depth=4", "--set=threads=1"]


def test_no_command_opens_a_connection(ball_scene, tmp_path):
    scene, store, run = str(ball_scene), str(tmp_path / "a.zarr"), str(tmp_path / "run")
    home = tmp_path / "home"
    home.mkdir()
    commands = [
        ["ussim", "scene", "phantom", "pins", "-o", str(tmp_path / "pins")],
        ["ussim", "scene", "info", scene],
        ["ussim", "render", scene, "-o", store, "-n", "12", "--backend=cpu", *SMALL],
        ["ussim", "verify", store],
        ["ussim", "info", store],
        ["ussim", "preview", store, "-o", str(tmp_path / "sheet.png")],
        ["ussim", "gallery", scene, "-o", str(tmp_path / "g"), "--sweep=exam", "--width=100", *SMALL[1:]],
        ["translate", "train", store, "-o", run, *TINY],
        ["translate", "evaluate", run, store, "-o", str(tmp_path / "report"), "--crop=64"],
        ["translate", "export", run, "--format=onnx"],
        ["translate", "export", run, "--format=openvino"],
        ["translate", "apply", run, store],
        ["translate", "apply", run, store, "--name=other", "--engine=openvino"],
    ]
    process = subprocess.run(
        [sys.executable, "-c", WATCHED, json.dumps(commands)],
        cwd=ROOT, env={**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(_cache())},
        capture_output=True, text=True,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert not list(home.iterdir()), "nor does one leave an identifier with the user"


def _cache() -> Path:
    """Where compiled code is kept for the other tests."""
    from platformdirs import user_cache_path

    return user_cache_path()
