"""Counts what the CUDA kernels do for a frame of the demo scene, and works out how long an H100 takes at least.

    PYTHONPATH=.:tests python docs/count_gpu_work.py SCENE    # count, then write the table: two minutes
    python docs/count_gpu_work.py --table                     # only write the table again

No GPU is needed: the kernels that numba-cuda compiles run on this machine, each counting its instructions, and what
they make is compared with the CPU backend's. The counts go into docs/gpu_counted.json, and from there into the table
of docs/performance.md.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from pages import put_between

DOCS = Path(__file__).resolve().parent
RESULTS, PAGE = DOCS / "gpu_counted.json", DOCS / "performance.md"
BEGIN, END = "<!-- table of docs/count_gpu_work.py -->", "<!-- end of table -->"
# An H100 SXM: 132 processors that each issue to 128 lanes a cycle, of which 64 take whole numbers and 32 access memory.
_GHZ, _PROCESSORS = 1.98, 132
_RATE = {"all": 128, "float": 128, "integer": 64, "memory": 32}
_BYTES_PER_S = 3.35e12
_LAUNCH_S = 3e-6
_STAGES = {
    "sheets": ("sheets_kernel",),
    "rays": ("rays_kernel",),
    "gather": ("gather_kernel",),
    "march": ("march_kernel",),
    "reflect": ("reflect_kernel", "reflected_kernel"),
    "receive": (
        "pulse_kernel", "points_kernel", "walls_kernel", "side_lobes_kernel", "power_kernel", "grey_kernel",
    ),
    "scan-convert": ("scan_convert_kernel", "scan_convert_map_kernel"),
    "segmentation": ("flatten_kernel", "collect_kernel", "sort_kernel", "label_kernel"),
    "attenuation": ("attenuate_kernel", "decimate_kernel", "count_kernel", "choose_kernel"),
}  # fmt: skip


def count(scene_path: Path) -> dict[str, Any]:
    """What each kernel does for a frame: low quality, high quality, maps."""
    from support import stub_gpu

    counts = stub_gpu.install_counting()
    import numpy as np

    from ussim.probe.quality import HQ, LQ
    from ussim.render.backends.cuda import backend as cuda_backend
    from ussim.render.backends.cuda import compiler
    from ussim.render.renderer import Renderer
    from ussim.scene.scene import Scene

    folder = Path(tempfile.mkdtemp())
    compiler.code_folder = lambda path: folder  # what is counted is compiled here
    launches: list[dict[str, Any]] = []

    class Noted(cuda_backend.CudaBackend):
        def _run(self, kernel: Any, grid: tuple, block: tuple, *arguments: Any) -> None:
            super()._run(kernel, grid, block, *arguments)
            arrays = {a.pointer: a.nbytes for a in _arrays(arguments)}
            threads = int(np.prod(grid)) * int(np.prod(block))
            launches.append({"kernel": kernel.__name__, "threads": threads, "array_bytes": sum(arrays.values())})

    scene = Scene.load(scene_path)
    renderer = Renderer(scene, backend=Noted())
    poses = scene.sweep().poses(5)
    renderer.fit_tgc(poses[:4])
    tasks = {
        "lq": lambda: renderer.render(poses[2], LQ),
        "hq": lambda: renderer.render(poses[2], HQ),
        "maps": lambda: renderer.maps(poses[2]),
    }
    measured: dict[str, Any] = {"scene": scene.name, "triangles": len(scene.triangles)}
    measured |= {name: _counted(task, counts, launches) for name, task in tasks.items()}
    cuda_backend._MANY_STRIPS = 0  # as if there were many frames
    for name in ("lq", "hq"):
        measured[name]["march_kernel, batched"] = _counted(tasks[name], counts, launches)["march_kernel"]
    on_cpu = Renderer(scene, backend="cpu")
    on_cpu.tgc_db = renderer.tgc_db
    frames = [
        [*(one.render(poses[2], quality) for quality in (LQ, HQ)), *vars(one.maps(poses[2])).values()]
        for one in (renderer, on_cpu)
    ]
    measured["values_unlike_the_cpus"] = int(sum((a != b).sum() for a, b in zip(*frames, strict=True)))
    return measured


def _counted(task: Any, counts: dict[str, Any], launches: list[dict[str, Any]]) -> dict[str, Any]:
    """What each kernel of a task does."""
    from support.stub_gpu.counting import COUNTED

    task()  # compiles
    launches.clear()
    for one in counts.values():
        one[:] = [0] * len(one)
    task()
    rows: dict[str, Any] = {}
    for launch in launches:
        row = rows.setdefault(launch["kernel"], {"launches": 0, "threads": 0, "array_bytes": 0})
        row["launches"] += 1
        row["threads"] += launch["threads"]
        row["array_bytes"] += launch["array_bytes"]
    for kernel, row in rows.items():
        row |= dict(zip(COUNTED, map(int, counts[kernel]), strict=True))
    return rows


def _arrays(arguments: Any) -> Any:
    for value in arguments:
        if type(value).__name__ == "Geometry":  # of the triangles a frame reads a few
            continue
        if isinstance(value, tuple):
            yield from _arrays(value)
        elif hasattr(value, "pointer"):
            yield value


# Seconds from counts -----------------------------------------------------------------------------------
_WARPS_TO_HIDE_LATENCY = 8  # a quarter-processor that has so many issues one instruction a cycle
_CYCLES_ALONE = 12  # of an instruction where nothing hides its latency: 4 of arithmetic, some 100 of memory
_FRAMES = 256  # of a batch


def floor_s(rows: list[dict[str, int]]) -> float:
    """Least time of a stage for a frame: of its instructions by kind and of its arrays, read or written once."""
    lanes_per_s = _PROCESSORS * _GHZ * 1e9
    every = sum(row[name] for row in rows for name in ("float", "integer", "memory", "other"))
    work = {"all": every} | {name: sum(row[name] for row in rows) for name in ("float", "integer", "memory")}
    times = [work[name] / (lanes_per_s * _RATE[name]) for name in work]
    return max(*times, sum(row["array_bytes"] for row in rows) / _BYTES_PER_S)


def expected_s(rows: list[dict[str, int]], frames: int) -> float:
    """Time of a stage for a frame in a batch: of each kernel, as far as its threads fill the processors."""
    total = 0.0
    for row in rows:
        instructions = sum(row[name] for name in ("float", "integer", "memory", "other"))
        threads = row["threads"] / row["launches"] * frames
        busy = min(1.0, threads / 32 / (4 * _PROCESSORS * _WARPS_TO_HIDE_LATENCY))
        in_line = instructions / row["threads"] * row["launches"] * _CYCLES_ALONE / (_GHZ * 1e9) / frames
        total += max(floor_s([row]), min(floor_s([row]) / busy, in_line)) + row["launches"] * _LAUNCH_S / frames
    return total


def table(measured: dict[str, Any]) -> str:
    """The Markdown table."""
    lines = [
        "| | stage | instructions | bytes of its arrays | floor, ms | in a batch, ms | of its floor | alone, ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, title in (("lq", "LQ"), ("hq", "HQ"), ("maps", "maps")):
        kernels, sums = measured[name], [0.0, 0.0, 0.0]
        for stage, members in _STAGES.items():
            single = [kernels[member] for member in members if member in kernels]
            if not single:
                continue
            rows = [kernels.get(f"{member}, batched", kernels[member]) for member in members if member in kernels]
            times = [1e3 * time for time in (floor_s(rows), expected_s(rows, _FRAMES), expected_s(single, 1))]
            sums = [total + time for total, time in zip(sums, times, strict=True)]
            work = sum(row[kind] for row in rows for kind in ("float", "integer", "memory", "other"))
            size = sum(row["array_bytes"] for row in rows)
            lines.append(
                f"| {title} | {stage} | {work / 1e6:,.0f} M | {size / 1e6:.0f} MB | {times[0]:.4f} | {times[1]:.4f} "
                f"| {times[1] / times[0]:.1f} | {times[2]:.2f} |"
            )
        lines.append(
            f"| **{title}** | **all** | | | **{sums[0]:.3f}** | **{sums[1]:.3f}** | **{sums[1] / sums[0]:.1f}** "
            f"| **{sums[2]:.1f}** |"
        )
    return "\n".join(lines)


def main() -> None:
    """Count if a scene is given, and write the table."""
    if sys.argv[1] != "--table":
        RESULTS.write_text(json.dumps(count(Path(sys.argv[1])), indent=1) + "\n", "utf-8")
    rows = table(json.loads(RESULTS.read_text("utf-8")))
    PAGE.write_text(put_between(PAGE.read_text("utf-8"), BEGIN, rows, END), "utf-8")


if __name__ == "__main__":
    main()
