"""Damaged scene and tissue files."""

from __future__ import annotations

import random
from pathlib import Path

from support import scenes

from fuzz.damage import damage_text
from fuzz.judge import Command, command

TISSUES = """format = 1
[[tissue]]
name = "jelly"
speed_m_s = 1540.0
density_kg_m3 = 1000.0
attenuation_db_cm_mhz = 0.5
scatter_mean = 0.1
scatter_density = 0.5
scatter_std = 0.2
roughness_exponent = 100.0
thickness_mm = 0.1
source = "a guess"
[[tissue]]
name = "stone"
speed_m_s = 3000.0
density_kg_m3 = 2000.0
attenuation_db_cm_mhz = 5.0
source = "another guess"
"""
TRANSFORM = "[[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]"
SCENE = (
    'format = 1\nname = "test scene"\nbackground = "gel"\ntissues = ["more.toml"]\n'
    + "".join(
        f'[[surface]]\nname = "{name}"\nmesh = "{name}.stl"\ntissue = "{tissue}"\npriority = {priority}\n'
        f'group = "mother"\nscale = 1.0\ntransform = {TRANSFORM}\n'
        for name, tissue, priority in (("ball", "jelly", 10), ("stone", "stone", 11))
    )
    + scenes.SWEEP
    + "\n[[point]]\nposition_mm = [0.0, 0.0, 30.0]\nstrength_db = 1.0\n"
)
SMALL = (
    "--set", "probe.scanlines=16", "--set", "probe.axial_samples=64", "--set", "probe.depth_mm=100", "--size", "24x33",
)  # fmt: skip


def make(folder: Path) -> None:
    """A ball with a stone in it, and a tissue library."""
    meshes = {"ball": scenes.sphere_mesh(60, (0, 0, 65), 1), "stone": scenes.sphere_mesh(8, (0, 0, 45), 1)}
    scenes.write_scene(folder / "scene", meshes)
    (folder / "scene" / "scene.toml").write_text(SCENE)
    (folder / "scene" / "more.toml").write_text(TISSUES)


def damage_scene(rng: random.Random, folder: Path) -> list[Command]:
    damage_text(rng, folder / "scene" / "scene.toml")
    return _commands(rng, folder)


def damage_tissues(rng: random.Random, folder: Path) -> list[Command]:
    damage_text(rng, folder / "scene" / "more.toml")
    return _commands(rng, folder)


def sound(folder: Path) -> list[Command]:
    return _commands(random.Random(0), folder)


def _commands(rng: random.Random, folder: Path) -> list[Command]:
    """A look at the scene, and a plan for it."""
    scene = folder / "scene"
    look = command("ussim", "scene", "info", scene, *rng.choice([(), (), ("--json",)]))
    plan = command("ussim", "render", scene, "-o", folder / "out" / "a.zarr", "-n", 12, *SMALL, "--dry-run")
    return [look, plan]
