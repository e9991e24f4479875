"""The CUDA backend: its compiled kernels run on this machine, and on a GPU where there is one.

On a machine without a GPU, a driver of the tests' own runs what numba-cuda compiles (:mod:`support.stub_gpu`), and the
programs for a GPU are read. What a test records is what it judges; docs/measure_physics.py puts it into the table of
docs/physics.md.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import PATIENCE_S, ROOT
from support.cuda_frames import FEW, SMALL, full_frame, phantom, small_frames
from support.dry_gpu import dry_backend

from ussim.errors import UssimError
from ussim.probe.probe import ConvexProbe
from ussim.probe.quality import HQ, LQ
from ussim.render.backends import open_backend
from ussim.render.backends.cuda import check, kernels, why_unavailable
from ussim.render.backends.cuda.compiler import ptx_of
from ussim.render.renderer import Renderer

KERNELS = sorted(name for name, value in vars(kernels).items() if name.endswith("_kernel"))
WHY_NO_GPU = why_unavailable()


def assert_same_frames(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> None:
    """Images, maps and gain are the same to the last bit."""
    assert set(ours) == set(theirs)
    for name, expected in theirs.items():
        assert expected.any()
        np.testing.assert_array_equal(ours[name], expected, err_msg=name)


# The compiled kernels on this machine ----------------------------------------------------------------


@pytest.fixture(scope="module")
def stub(tmp_path_factory) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Frames and facts of the CUDA backend on a driver that is not there."""
    if shutil.which("cc") is None:
        pytest.skip("a C compiler is needed to build the driver")
    folder = tmp_path_factory.mktemp("stub")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests")))}
    command = [sys.executable, "-m", "support.stub_gpu.run", str(folder)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    with np.load(folder / "frames.npz") as frames:
        return dict(frames), json.loads((folder / "facts.json").read_text())


@pytest.mark.slow
def test_compiled_kernels_make_the_cpus_frames_at_full_size(stub, record_property):
    expected = full_frame("cpu", phantom()) | small_frames("cpu", phantom())
    assert expected["hq"].shape == (1, 1000, 1386)
    unequal = [100 * np.mean(stub[0][name] != frame) for name, frame in expected.items()]
    record_property("differ_percent", max(unequal))
    assert_same_frames(stub[0], expected)


@pytest.mark.slow
def test_compiled_frames_depend_neither_on_the_batch_nor_on_how_it_is_cut(stub):
    assert stub[1]["batches"] == {"images": True, "blocks": True, "maps": True}


@pytest.mark.slow
def test_a_row_with_more_crossings_than_there_is_room_for_is_labelled_all_the_same(stub):
    assert stub[1]["crowded"]


@pytest.mark.slow
def test_a_batch_that_finds_too_little_memory_is_halved_and_this_is_said(stub):
    memory = stub[1]["memory"]
    assert memory["same"]
    assert memory["said"]
    assert all("too little memory" in line and "half" in line for line in memory["said"])


@pytest.mark.slow
def test_one_frame_too_large_for_the_gpu_is_refused_in_one_line(stub):
    assert "too little memory" in stub[1]["memory"]["error"]
    assert "cpu" in stub[1]["memory"]["error"]


@pytest.mark.slow
def test_a_closed_renderer_holds_no_memory_of_the_gpu(stub):
    assert stub[1]["left"] == 0


@pytest.mark.slow
def test_a_recorded_graph_does_what_its_launches_do(stub):
    assert stub[1]["recorded"]


@pytest.mark.slow
def test_a_live_view_replays_a_graph_and_shows_what_is_rendered(stub):
    assert stub[1]["live"] == {"same": True, "by_a_graph": True}


@pytest.mark.slow
def test_a_kernel_is_compiled_once_and_kept_on_disk(stub):
    assert stub[1]["kept_on_disk"]


@pytest.mark.slow
def test_auto_takes_a_gpu_only_after_it_was_compared_with_the_cpu(stub):
    auto = stub[1]["auto"]
    assert (auto["first"], auto["remembered"], auto["wrong"]) == ("cuda", "cuda", "cpu")
    assert auto["compared"] == 1


@pytest.mark.slow
def test_a_gpu_that_fails_in_the_middle_of_a_frame_is_named_in_one_line(stub):
    assert re.search(
        r"^backend = 'cuda': the GPU failed \(CUDA_ERROR_\w+\); --backend cpu does without it$", stub[1]["failing"]
    )


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"STUB_INIT": "100"}, "no NVIDIA GPU"),
        ({"STUB_INIT": "999"}, "does not start"),
        ({"STUB_VERSION": "11040"}, "11.4"),
    ],
)
def test_a_machine_without_a_usable_driver_is_told_why(variables, named):
    if shutil.which("cc") is None:
        pytest.skip("a C compiler is needed to build the driver")
    code = (
        "from support import stub_gpu; stub_gpu.load_driver()\n"
        "from ussim.render.backends.cuda import why_unavailable; print(why_unavailable())"
    )
    environment = {**os.environ, **variables, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests")))}
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert named in said.stdout


@pytest.mark.skipif(WHY_NO_GPU is None, reason="there is a GPU")
def test_cuda_where_there_is_no_gpu_is_refused_in_one_line():
    with pytest.raises(UssimError, match=r"backend = 'cuda': .*allowed here: cpu"):
        open_backend("cuda", Renderer)
    assert open_backend("auto", Renderer).name == "cpu"


# On a GPU --------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(WHY_NO_GPU is not None, reason=str(WHY_NO_GPU))
def test_gpu_frames_are_the_cpus_at_full_size():
    assert_same_frames(
        full_frame("cuda", phantom()) | small_frames("cuda", phantom()),
        full_frame("cpu", phantom()) | small_frames("cpu", phantom()),
    )


@pytest.mark.gpu
@pytest.mark.skipif(WHY_NO_GPU is not None, reason=str(WHY_NO_GPU))
def test_gpu_frames_do_not_depend_on_the_batch():
    poses = np.stack([np.eye(4)] * 5)
    poses[:, 0, 3] = range(5)
    with Renderer(phantom(), ConvexProbe(**SMALL), backend="cuda") as renderer:
        for quality in (LQ, HQ):
            together = renderer.render(poses, quality)
            alone = np.concatenate([renderer.render(p, quality, frames=[i]) for i, p in enumerate(poses)])
            np.testing.assert_array_equal(together, alone)


# What the kernels compile to, without a GPU ----------------------------------------------------------


@pytest.fixture(scope="module")
def launched() -> dict[str, tuple]:
    """The types that each kernel is launched with."""
    with pytest.MonkeyPatch.context() as patch:
        backend, gpu = dry_backend(patch)
        renderer = Renderer(phantom(), ConvexProbe(**SMALL, apodisation="rectangular"), backend=backend)
        renderer.fit_tgc(np.eye(4))
        renderer.maps(np.eye(4))
        renderer.render(np.eye(4), FEW)
    kinds = {kernel.__name__: kinds for kernel, kinds in gpu.kernels.values()}
    assert len(kinds) == len(gpu.kernels), "a kernel is compiled for one set of types only"
    assert sorted(kinds) == KERNELS, "every kernel is launched"
    return kinds


def _ptxas() -> Path:
    nvcc = pytest.importorskip("nvidia.cuda_nvcc", reason="ptxas comes with numba-cuda[cu12]")
    return Path(next(iter(nvcc.__path__))) / "bin" / "ptxas"


@pytest.mark.parametrize("capability", [(7, 5), (9, 0)], ids=["sm_75", "sm_90"])
@pytest.mark.parametrize("name", KERNELS)
def test_kernel_compiles_to_exact_arithmetic_without_spills(
    name, capability, launched, monkeypatch, tmp_path, record_property
):
    import numba.cuda.dispatcher

    ptxas = _ptxas()
    # Device functions ask for the current device to compile for; there need not be one.
    device = type("Device", (), {"compute_capability": capability})
    monkeypatch.setattr(numba.cuda.dispatcher, "get_current_device", lambda: device)
    _, ptx = ptx_of(getattr(kernels, name), launched[name], capability)
    assert ".f64" not in ptx
    # Only what every processor rounds alike: no approximations, no products fused into sums.
    assert not re.search(r"\.approx|\bfma\.", ptx)
    source = tmp_path / "kernel.ptx"
    source.write_text(ptx)
    arch = f"-arch=sm_{capability[0]}{capability[1]}"
    report = subprocess.run(
        [str(ptxas), arch, "-v", str(source), "-o", os.devnull], capture_output=True, text=True, check=True
    ).stderr
    spills = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", report)
    record_property("kernels", 1)
    record_property("spilled_bytes", sum(int(size) for pair in spills for size in pair))
    assert spills == [("0", "0")]


def test_a_difference_from_the_cpu_is_found(monkeypatch):
    frame = [np.zeros((1, 10, 10), np.uint8)] * 3 + [np.zeros((1, 10, 10), np.float16)]
    other = [frame[0] + np.uint8(2), *frame[1:]]
    for theirs, expected in ((frame, 0.0), (other, 0.25)):
        monkeypatch.setattr(check, "_frame", lambda backend, _, given=theirs: given if backend == "gpu" else frame)
        assert check.differing_share("gpu", Renderer) == expected
