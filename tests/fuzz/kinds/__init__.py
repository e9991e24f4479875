"""The kinds of cases, by name: what is valid, how it is damaged, and which commands have to do with it."""

from __future__ import annotations

from fuzz.kinds import labels, meshes, options, pipelines, runs, scenes, stores
from fuzz.worker import Kind

_SCENES = ("ussim.dataset.job", "ussim.scene.scene", "ussim.dataset.verify", "ussim.probe.settings")
_TORCH = (
    "ussim.dataset.verify", "translate.training.loop", "translate.use.apply", "translate.use.export",
    "translate.evaluation.evaluate", "matplotlib.pyplot",
)  # fmt: skip
_ALL = (*_SCENES, *_TORCH, "cli.pipeline.runner")

KINDS: dict[str, Kind] = {
    "scene": Kind(scenes.make, scenes.sound, scenes.damage_scene, heavy=_SCENES),
    "tissues": Kind(scenes.make, scenes.sound, scenes.damage_tissues, heavy=_SCENES),
    "set": Kind(options.make, options.sound, options.damage, may_write=("data.zarr",), heavy=_ALL),
    "nifti": Kind(labels.make, labels.sound, labels.damage_volume, heavy=("nibabel", "meshes.importing.from_labels")),
    "labels": Kind(labels.make, labels.sound, labels.damage_map, heavy=("nibabel", "meshes.importing.from_labels")),
    "store": Kind(stores.make, stores.sound, stores.damage, may_write=("data.zarr",), heavy=(*_SCENES, *_TORCH)),
    "mesh": Kind(meshes.make, meshes.sound, meshes.damage, heavy=(*_SCENES, "meshes.importing.from_meshes")),
    "run": Kind(runs.make, runs.sound, runs.damage, may_write=("run", "data.zarr"), heavy=_TORCH),
    "pipeline": Kind(pipelines.make, pipelines.sound, pipelines.damage, may_write=("whole",), heavy=_ALL),
}
