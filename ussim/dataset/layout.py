"""How Zarr is told to lay out a store: its arrays, their codecs, and what others put beside them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import zarr
from zarr.abc.store import Store
from zarr.codecs import Crc32cCodec, ZstdCodec

from ussim.dataset.digests import ATTRIBUTES_DIGEST, attributes_digest
from ussim.dataset.schema import ArraySpec, Header, array_specs, make_split, spread_over_scenes
from ussim.errors import UssimError


def create_array(group: zarr.Group, name: str, spec: ArraySpec, **attributes: str) -> zarr.Array:
    """An array of a store, with the codecs of them all."""
    return group.create_array(
        name,
        shape=spec.shape,
        chunks=spec.chunks,
        shards=spec.shards,
        dtype=spec.dtype,
        compressors=[ZstdCodec(level=1), Crc32cCodec()],
        filters=None,
        fill_value=0,
        dimension_names=spec.dimensions,
        attributes=dict[str, Any](attributes),
    )


def array_of(group: zarr.Group, name: str) -> zarr.Array:
    """An array of a store.

    Raises:
        KeyError: There is none.
        TypeError: A group has its name.
    """
    found = group[name]
    if not isinstance(found, zarr.Array):
        raise TypeError(f"{name} is no array but a group")
    return found


def added_arrays(names: Iterable[str], group: zarr.Group) -> dict[str, zarr.Array]:
    """Arrays that say who made them; what cannot be read is none."""
    found: dict[str, zarr.Array] = {}
    for name in sorted(names):
        try:
            array = array_of(group, name)
        except UssimError:
            raise
        except Exception:  # damaged metadata raise what they like; verify tells of the files
            continue
        maker = array.attrs.get("made_by")
        if isinstance(maker, str) and maker and maker.isprintable():
            found[name] = array
    return found


def write_skeleton(store: Store, header: Header, poses: np.ndarray, mask: np.ndarray) -> None:
    """A store without frames."""
    attributes = json.loads(json.dumps(header.model_dump(mode="json"), sort_keys=True))
    attributes[ATTRIBUTES_DIGEST] = attributes_digest(attributes)
    known = {"pose": poses, "mask": mask, "split": make_split(header.frames, header.split_seed)}
    if header.scenes:
        known["scene"] = spread_over_scenes(header.frames, len(header.scenes))
    with zarr.config.set({"array.write_empty_chunks": True}):
        group = zarr.create_group(store, zarr_format=3, attributes=attributes)
        for name, spec in array_specs(header).items():
            array = create_array(group, name, spec)
            if name in known:
                array[...] = known[name]
