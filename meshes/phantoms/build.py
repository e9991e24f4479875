"""A phantom → a scene folder."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from meshes.folder import PHANTOM_MARK, new_scene
from meshes.phantoms.catalogue import PHANTOMS, Phantom
from meshes.shapes.mesher import write_ply
from ussim.errors import UssimError
from ussim.scene.file import SCENE_FILE_NAME, SceneFile
from ussim.scene.tissue import Tissue
from ussim.scene.writer import scene_text, sweep_entry
from ussim.settings import suggest
from ussim.toml import toml_value


def build_phantom(name: str, out_dir: Path) -> Path:
    """Writes a phantom as a scene folder.

    Args:
        name: "pins", "cysts", "grey-scale" or "uniform".
        out_dir: folder to write into; made if missing.

    Returns:
        Path of the scene.toml. An older scene that was built in the folder is replaced once the new one is whole.

    Raises:
        UssimError: there is no phantom of that name.
        OutputError: the folder cannot be written, or holds a scene or meshes of somebody else.
    """
    if name not in PHANTOMS:
        raise UssimError(f"phantom = '{name}': no such phantom; {suggest(name, PHANTOMS)}")
    phantom = PHANTOMS[name]()
    with new_scene(Path(out_dir)) as folder:
        for surface in phantom.surfaces:
            write_ply(surface.mesh, folder / _mesh_path(surface.name))
        (folder / "tissues.toml").write_text(_tissues_text(phantom), "utf-8")
        (folder / SCENE_FILE_NAME).write_text(_scene_text(phantom), "utf-8")
    return Path(out_dir) / SCENE_FILE_NAME


def _mesh_path(name: str) -> str:
    return f"meshes/{name}.ply"


def _tissues_text(phantom: Phantom) -> str:
    tables = ["\n".join(["[[tissue]]", *_tissue_lines(tissue)]) for tissue in phantom.tissues]
    return "\n\n".join(["format = 1", *tables]) + "\n"


def _tissue_lines(tissue: Tissue) -> list[str]:
    return [f"{field} = {toml_value(value)}" for field, value in asdict(tissue).items()]


def _scene_text(phantom: Phantom) -> str:
    surfaces = [
        {"name": one.name, "mesh": _mesh_path(one.name), "tissue": one.tissue, "priority": 1 if number == 0 else 2}
        for number, one in enumerate(phantom.surfaces)
    ]
    points = [{"position_mm": list(one.position_mm), "strength_db": one.strength_db} for one in phantom.points]
    file = SceneFile(
        format=1,
        name=phantom.title,
        tissues=["tissues.toml"],
        surface=surfaces,
        point=points,
        sweep=[sweep_entry(sweep) for sweep in phantom.sweeps],
    )
    return scene_text(file, header=[PHANTOM_MARK])
