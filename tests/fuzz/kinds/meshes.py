"""Damaged mesh files."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
from support.mesh_files import Gltf, obj_text, ply_bytes, stl_bytes, stl_text
from support.scenes import sphere_mesh, write_scene

from fuzz.damage import damage_bytes, damage_json, damage_text, mistakes
from fuzz.judge import Command, command
from fuzz.values import value

SWEEP = """
[[sweep]]
name = "exam"
[[sweep.key]]
position_mm = [0.0, 0.0, 0.0]
axial = [0.0, 0.0, 1.0]
lateral = [1.0, 0.0, 0.0]
"""


def make(folder: Path) -> None:
    """A ball in a ball, in all formats, and a scene that names a file of each."""
    outer, inner = sphere_mesh(60, (0, 0, 65), 1), sphere_mesh(20, (0, 0, 60), 1)
    parts = {"skin": outer, "liver": inner}
    files = folder / "files"
    write_scene(files, {"ball": outer}, extra=SWEEP)
    (files / "binary.stl").write_bytes(stl_bytes(outer))
    (files / "ascii.stl").write_text(stl_text(parts))
    (files / "parts.obj").write_text("mtllib parts.mtl\n" + obj_text(parts))
    (files / "parts.mtl").write_text("newmtl skin\nKd 1 0 0\n")
    (files / "one.ply").write_bytes(ply_bytes(outer))
    (files / "ascii.ply").write_bytes(outer.export(file_type="ply", encoding="ascii"))
    (files / "one.off").write_text(outer.export(file_type="off"))
    for ending in ("glb", "gltf"):
        gltf = Gltf()
        for name, mesh in parts.items():
            gltf.node(mesh=gltf.mesh(gltf.primitive(mesh)), name=name, matrix=np.eye(4).ravel().tolist())
        gltf.save(files / f"parts.{ending}", buffer=files / "parts.bin" if ending == "gltf" else None, uri="parts.bin")


def sound(folder: Path) -> list[Command]:
    files = folder / "files"
    made = [one for one in sorted(files.iterdir()) if one.suffix in (".stl", ".obj", ".ply", ".off", ".glb", ".gltf")]
    return [
        command("ussim", "scene", "info", files),
        *(command("ussim", "scene", "init", one, "-o", folder / "out" / one.name) for one in made),
    ]


def damage(rng: random.Random, folder: Path) -> list[Command]:
    files = folder / "files"
    name = rng.choice(
        ["binary.stl", "ascii.stl", "parts.obj", "one.ply", "ascii.ply", "one.off", "parts.glb", "parts.gltf"]
    )
    path = files / name
    if name == "parts.gltf" and rng.random() < 0.8:
        damage_json(rng, path)
    elif name in ("ascii.stl", "parts.obj", "ascii.ply", "one.off") and rng.random() < 0.7:
        _damage_words(rng, path)
    elif name.endswith(".obj") and rng.random() < 0.5:
        damage_text(rng, path)
    else:
        damage_bytes(rng, path)
    if rng.random() < 0.3:
        scene = files / "scene.toml"
        scene.write_text(scene.read_text().replace("ball.stl", name))
        return [command("ussim", "scene", "info", files)]
    options = rng.choice([(), (), ("--repair",), ("--units", "cm"), ("--scale", "1e-3"), ("--frame", "ras")])
    return [command("ussim", "scene", "init", path, "-o", folder / "out" / "scene", *options)]


def _damage_words(rng: random.Random, path: Path) -> None:
    """Numbers and words of a text that are others, too many or missing."""
    lines = path.read_text().splitlines()
    for _ in mistakes(rng):
        at = rng.randrange(min(len(lines), 12)) if rng.random() < 0.4 else rng.randrange(len(lines))
        words = lines[at].split() or [""]
        place = rng.randrange(len(words))
        match rng.randrange(4):
            case 0:
                del words[place]
            case 1:
                words.insert(place, value(rng))
            case _:
                words[place] = value(rng)
        lines[at] = " ".join(words)
    path.write_text("\n".join([*lines, ""]), encoding="utf-8", errors="surrogatepass")
