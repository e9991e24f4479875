"""What the CUDA backend does on the driver that is not there, as frames and facts: run by ``test_cuda.py``.

PYTHONPATH=.:tests python -m support.stub_gpu.run FOLDER
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

from support import stub_gpu

DRIVER = stub_gpu.install()

import numpy as np  # noqa: E402

from support.cuda_frames import FEW, SMALL, full_frame, phantom, small_frames  # noqa: E402
from ussim.errors import UssimError  # noqa: E402
from ussim.probe.probe import ConvexProbe  # noqa: E402
from ussim.probe.quality import LQ  # noqa: E402
from ussim.render.backends import open_backend  # noqa: E402
from ussim.render.backends.cuda import backend as cuda_backend  # noqa: E402
from ussim.render.backends.cuda import check, compiler, kernels  # noqa: E402
from ussim.render.backends.cuda.backend import CudaBackend  # noqa: E402
from ussim.render.live import Live  # noqa: E402
from ussim.render.renderer import Renderer  # noqa: E402


def poses(count: int) -> np.ndarray:
    """A row of positions of the probe."""
    several = np.stack([np.eye(4)] * count)
    several[:, 0, 3] = range(count)
    return several


def small_renderer(backend: Any) -> Renderer:
    """Renders small frames."""
    return Renderer(phantom(), ConvexProbe(**SMALL), backend=backend)


def in_batches(backend: CudaBackend) -> dict[str, bool]:
    """Whether frames are the same together and alone, and when memory is short for a batch."""
    renderer = small_renderer(backend)
    together, maps = renderer.render(poses(5), LQ), renderer.maps(poses(5))
    alone = np.concatenate([renderer.render(pose, LQ, frames=[i]) for i, pose in enumerate(poses(5))])
    maps_alone = np.concatenate([renderer.maps(pose).attenuation for pose in poses(5)])
    cuda_backend._MANY_STRIPS = 0
    in_long_blocks = renderer.render(poses(5), LQ)
    cuda_backend._MANY_STRIPS = 256
    return {
        "images": bool((together == alone).all()),
        "blocks": bool((together == in_long_blocks).all()),
        "maps": bool((maps.attenuation == maps_alone).all()),
    }


def short_of_memory() -> dict[str, Any]:
    """What happens when less memory is there than was free before."""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    logging.getLogger("ussim").addHandler(handler)
    backend = CudaBackend()
    renderer = small_renderer(backend)
    expected = np.concatenate([renderer.render(pose, LQ, frames=[i]) for i, pose in enumerate(poses(8))])
    frame = renderer._batch_bytes((LQ,))
    DRIVER.stub_limit(DRIVER.stub_used() + 3 * frame)
    got = renderer.render(poses(8), LQ)
    logging.getLogger("ussim").removeHandler(handler)
    renderer.close()
    DRIVER.stub_limit(frame // 2)
    error = ""
    try:
        small_renderer(CudaBackend()).render(np.eye(4), LQ)
    except UssimError as refused:
        error = str(refused)
    DRIVER.stub_limit(8 << 30)
    return {"same": bool((expected == got).all()), "said": said, "error": error}


def without_memory_at_the_end() -> int:
    """Bytes that a closed renderer keeps."""
    before = DRIVER.stub_used()
    with small_renderer(CudaBackend()) as renderer:
        renderer.render(np.eye(4), FEW)
    return DRIVER.stub_used() - before


def crowded(backend: CudaBackend) -> bool:
    """Whether labels are the same when rows have more crossings than there is room for at first."""
    expected = small_renderer(backend).maps(np.eye(4)).segmentation
    backend._room = 1
    return bool((small_renderer(backend).maps(np.eye(4)).segmentation == expected).all() and backend._room > 1)


def recorded(backend: CudaBackend) -> bool:
    """Whether a recorded graph does what launches do."""
    values, out = np.arange(24, dtype=np.float32).reshape(2, 12), backend.empty((2, 4), np.float32)
    array = backend.put(values)
    launch = lambda: backend._over_rows(kernels.decimate_kernel, out.shape, np.int32(3), array, out)  # noqa: E731
    launch()
    backend.clear(out)
    replay = backend.gpu.record(launch)
    is_empty = not backend.get(out).any()
    replay()
    return bool(is_empty and (backend.get(out) == values[:, ::3]).all())


def held_in_the_hand(backend: CudaBackend) -> dict[str, bool]:
    """Whether a live view shows what a renderer renders, also after other frames and another gain."""
    renderer, seen = small_renderer(backend), []

    class Enhance:
        arrays = ("lq", "attenuation")

        def __call__(self, maps: dict[str, Any]) -> np.ndarray:
            seen.append(sorted(maps))
            assert all(maps[name].__cuda_array_interface__["shape"] == (48, 64) for name in maps)
            return np.full((48, 64), len(seen), np.uint8)

    live = Live(renderer, enhance=Enhance(), maps=True)
    is_same, launches = [], []
    for number, pose in enumerate(poses(5)):
        if number == 3:
            renderer.render(poses(4), FEW)
            renderer.fit_tgc(pose)
        before = DRIVER.stub_launches()
        look = live.look(pose, number)
        launches.append(DRIVER.stub_launches() - before)
        maps = renderer.maps(pose)
        is_same.append(
            (look.image == renderer.render(pose, LQ, [number])[0]).all()
            and (look.segmentation == maps.segmentation[0]).all()
            and (look.attenuation == maps.attenuation[0]).all()
            and look.enhanced[0, 0] == number + 1
        )
    return {"same": bool(all(is_same)), "by_a_graph": launches[2] == launches[4] == 0 < launches[3]}


def kept_on_disk() -> bool:
    """Whether a kernel is compiled once."""
    compiled = []
    original = compiler.ptx_of
    compiler.ptx_of = lambda *arguments: compiled.append(arguments) or original(*arguments)
    kinds = tuple(compiler.pack(value).type for value in (np.int32(1), np.float32(2)))

    def kernel(a: Any, b: Any) -> None:
        """Does nothing."""

    programs = [compiler.program_of(kernel, kinds, (10, 0)) for _ in range(2)]
    compiler.ptx_of = original
    return len(compiled) == 1 and programs[0] == programs[1]


def automatic() -> dict[str, Any]:
    """What ``auto`` takes: a GPU that was compared, one that was compared before, one that is wrong."""
    compared = []
    check.differing_share = lambda backend, renderer: compared.append(backend) or 0.0
    first, remembered = (open_backend("auto", Renderer).name for _ in range(2))
    for file in check.code_folder(Path()).glob("gpu-*.json"):
        file.unlink()
    count, check.differing_share = len(compared), lambda backend, renderer: 1.0
    return {"first": first, "remembered": remembered, "wrong": open_backend("auto", Renderer).name, "compared": count}


def failing() -> str:
    """What is said of a GPU that fails in the middle of a frame; nothing works on it afterwards."""
    renderer = small_renderer(CudaBackend())
    DRIVER.stub_fail_after(3)
    try:
        renderer.render(np.eye(4), LQ)
    except UssimError as error:
        return str(error)
    return "nothing failed"


def main(folder: Path) -> None:
    """Write frames.npz and facts.json."""
    # The driver knows kernels of this process only.
    compiler.code_folder = check.code_folder = lambda path: folder
    backend = CudaBackend()
    frames = full_frame(backend, phantom()) | small_frames(backend, phantom())
    np.savez(folder / "frames.npz", **frames)
    facts = {
        "batches": in_batches(backend),
        "crowded": crowded(backend),
        "recorded": recorded(backend),
        "live": held_in_the_hand(backend),
        "kept_on_disk": kept_on_disk(),
        "memory": short_of_memory(),
        "left": without_memory_at_the_end(),
        "auto": automatic(),
        "failing": failing(),
    }
    (folder / "facts.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
