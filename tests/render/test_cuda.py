"""The CUDA backend: against the CPU in the simulator and on a GPU, and what its kernels compile to.

What a test records is what it judges; docs/measure_physics.py puts it into the table of docs/physics.md.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import ROOT
from support.scenes import layered_phantom
from support.simulate_frame import small_frame

from ussim.probe.quality import HQ, LQ
from ussim.render.backends import cuda as backend
from ussim.render.renderer import Renderer

KERNELS = sorted(name for name in vars(backend) if name.endswith("_kernel") and not name.startswith("_"))
WHY_NO_GPU = backend.why_unavailable()


def assert_same_frames(a, b):
    difference = np.abs(a["image"].astype(int) - b["image"])
    assert a["image"].any(axis=(1, 2)).all()
    assert (difference > 1).mean() <= 1e-3
    np.testing.assert_array_equal(a["segmentation"], b["segmentation"])
    np.testing.assert_allclose(a["attenuation"], b["attenuation"], atol=1e-4)
    np.testing.assert_allclose(a["tgc"], b["tgc"], atol=1e-2)


@pytest.mark.slow
def test_simulated_cuda_frame_equals_the_cpu_frame(tmp_path, record_property):
    out = tmp_path / "frame.npz"
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(
        [sys.executable, str(ROOT / "tests" / "support" / "simulate_frame.py"), "cuda", str(out)],
        env=environment, check=True, timeout=300,
    )  # fmt: skip
    with np.load(out) as simulated:
        simulated, expected = dict(simulated), small_frame("cpu")
    difference = np.abs(simulated["image"].astype(int) - expected["image"])
    record_property("differ_percent", 100 * (difference > 1).mean())
    assert_same_frames(simulated, expected)


@pytest.mark.gpu
@pytest.mark.skipif(WHY_NO_GPU is not None, reason=str(WHY_NO_GPU))
def test_gpu_frame_equals_the_cpu_frame():
    assert_same_frames(small_frame("cuda"), small_frame("cpu"))


@pytest.mark.gpu
@pytest.mark.skipif(WHY_NO_GPU is not None, reason=str(WHY_NO_GPU))
def test_gpu_frames_do_not_depend_on_the_batch():
    scene = layered_phantom([("fat", 6), ("liver", 120)])
    poses = np.stack([np.eye(4)] * 5)
    poses[:, 0, 3] = range(5)
    renderer = Renderer(scene, backend="cuda")
    for quality in (LQ, HQ):
        together = renderer.render(poses, quality)
        alone = np.concatenate([renderer.render(p, quality, frames=[i]) for i, p in enumerate(poses)])
        np.testing.assert_array_equal(together, alone)


# What the kernels compile to, without a GPU ----------------------------------------------------------


@pytest.fixture(scope="module")
def signatures():
    """Argument types of every kernel, taken from the CPU's tables: they have the same types."""
    from numba import typeof

    renderer = Renderer(layered_phantom([("fat", 6), ("liver", 60)]), backend="cpu")
    beam, work = renderer._aperture.beam(HQ), renderer._aperture._work_for(1, HQ)
    geometry, media = renderer._geometry, renderer._media
    pixels, display, mask = renderer._pixels, renderer._display, renderer._mask
    poses, keys, one = np.zeros((1, 4, 4), np.float32), np.zeros(1, np.uint32), np.int32(1)
    plane, row = np.zeros((2, 2), np.float32), np.zeros(2, np.float32)
    counts, table = np.zeros(2, np.int32), np.zeros((2, 2), np.int32)
    arguments = {
        "sheets_kernel": (geometry, media, beam, poses, work.sheets),
        "rays_kernel": (geometry, media, beam, poses, work.sheets, work.passed),
        "gather_kernel": (beam, work.passed, work.seen),
        "march_kernel": (media, beam, poses, work.sheets, work.seen, plane, plane),
        "reflect_kernel": (geometry, media, beam, poses, work.sheets, work.seen, work.reflected),
        "reflected_kernel": (beam, work.reflected, plane, plane),
        "points_kernel": (plane, beam, display, poses, work.sheets, work.seen, plane, plane),
        "walls_kernel": (beam, display, work.sheets, work.seen, plane, plane),
        "side_lobes_kernel": (beam, renderer._aperture._lobes, plane, plane, plane, plane),
        "power_kernel": (beam, display, keys, plane, plane, plane),
        "pulse_kernel": (display, plane, plane, plane, plane),
        "grey_kernel": (display, plane, plane),
        "scan_convert_kernel": (one, pixels, plane, np.zeros((2, 2), np.uint8)),
        "scan_convert_map_kernel": (one, pixels, plane, row, plane),
        "attenuate_kernel": (geometry, media, beam, poses, plane),
        "decimate_kernel": (one, plane, plane),
        "flatten_kernel": (geometry, plane, plane),
        "collect_kernel": (geometry, plane, counts, plane, table),
        "fill_kernel": (geometry, mask, counts, plane, table, mask),
    }
    assert sorted(arguments) == KERNELS, "every kernel must be compiled here"
    return {name: tuple(typeof(value) for value in values) for name, values in arguments.items()}


def _ptxas() -> Path:
    nvcc = pytest.importorskip("nvidia.cuda_nvcc", reason="ptxas comes with numba-cuda[cu12]")
    return Path(next(iter(nvcc.__path__))) / "bin" / "ptxas"


@pytest.mark.parametrize("capability", [(7, 5), (9, 0)], ids=["sm_75", "sm_90"])
@pytest.mark.parametrize("name", KERNELS)
def test_kernel_compiles_without_spills_or_double_precision(
    name, capability, signatures, monkeypatch, tmp_path, record_property
):
    import numba.cuda.dispatcher

    ptxas = _ptxas()
    # Device functions ask for the current device to compile for; there need not be one.
    device = type("Device", (), {"compute_capability": capability})
    monkeypatch.setattr(numba.cuda.dispatcher, "get_current_device", lambda: device)
    kernel = getattr(backend, name).py_func
    ptx, _ = backend.cuda.compile(kernel, signatures[name], cc=capability, device=False, abi="numba", output="ptx")
    assert ".f64" not in ptx
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
