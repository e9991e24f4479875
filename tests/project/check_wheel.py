"""Build wheel and sdist, install the wheel into a clean environment outside the checkout, and use it there.

python tests/project/check_wheel.py FOLDER

The environment gets what the wheel asks for and nothing else: a file, a template or a dependency that was
forgotten shows here, where tests in the checkout cannot see it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("ussim", "translate", "ussim-pipeline")
SHIPPED = ROOT / "translate" / "shipped" / "generator.safetensors"
SDIST_BYTES = 1_000_000 + SHIPPED.stat().st_size

USE = """
import sys
from importlib.resources import files
from pathlib import Path
import numpy as np, trimesh
import cli.pipeline.report, meshes, translate, ussim
from ussim import LQ, ConvexProbe, Renderer, Scene, Surface

environment, checkout = map(Path, sys.argv[1:])
for package in (cli, meshes, translate, ussim):
    assert environment in Path(package.__file__).parents, package.__file__
assert not [path for path in sys.path if checkout in Path(path).resolve().parents or checkout == Path(path).resolve()]
assert all((files(package) / "py.typed").is_file() for package in (meshes, translate, ussim))
assert (files(cli.pipeline.report) / "page.html.j2").is_file()
assert (files(meshes) / "tissues.toml").is_file()
assert (files(meshes) / "importing" / "terms.toml").is_file()
assert all((files(translate) / "shipped" / name).is_file() for name in ("card.json", "settings.json", "mask.png"))
assert (files(translate) / "shipped" / "generator.safetensors").is_file()

ball = trimesh.creation.icosphere(subdivisions=3, radius=30)
ball.apply_translation((0, 0, 35))
surface = Surface.from_mesh(ball, name="ball", tissue="liver")
scene = Scene.from_surfaces([surface], background="gel", name="ball")
probe = ConvexProbe(scanlines=32, axial_samples=256, depth_mm=60, image_height=48, image_width=64)
renderer = Renderer(scene, probe, backend="cpu")
renderer.fit_tgc(np.eye(4))
image = renderer.render(np.eye(4), LQ)
assert image.shape == (1, 48, 64) and image.max() > 60, (image.shape, image.max())
print("one frame rendered by ussim", ussim.__version__)
"""


def call(*words: object, where: Path) -> str:
    """Run a command that knows nothing of the checkout."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run([*map(str, words)], cwd=where, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))[:200]}: exit code {done.returncode}\n{done.stdout}")
    return done.stdout


def names_in(wheel: Path) -> list[str]:
    """The files of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return sorted(archive.namelist())


def main(folder: Path) -> None:
    """Build into the folder and check what was built."""
    call(sys.executable, "-m", "hatchling", "build", "-d", folder, where=ROOT)
    wheel, sdist = max(folder.glob("*.whl"), key=os.path.getmtime), max(folder.glob("*.tar.gz"), key=os.path.getmtime)
    assert sdist.stat().st_size < SDIST_BYTES, f"{sdist}: {sdist.stat().st_size} bytes"
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch).resolve()
        with tarfile.open(sdist) as archive:
            archive.extractall(place, filter="data")
        call(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", place / "again",
             where=place / sdist.name.removesuffix(".tar.gz"))  # fmt: skip
        assert names_in(wheel) == names_in(place / "again" / wheel.name), "the sdist makes another wheel"

        venv.create(place / "env", with_pip=True)
        python = place / "env/bin/python"
        call(python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel, where=place)
        for program in PROGRAMS:
            assert "Usage: " in call(place / "env/bin" / program, "--help", where=place)
            version = call(place / "env/bin" / program, "--version", where=place)
            assert version.strip().endswith(f" {wheel.name.split('-')[1]}"), version
        print(call(python, "-c", USE, place / "env", ROOT, where=place), end="")
    print(f"{wheel}: {wheel.stat().st_size:,} bytes; {sdist}: {sdist.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
