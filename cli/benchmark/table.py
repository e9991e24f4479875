"""The figures of a suite as Markdown."""

from __future__ import annotations

from typing import Any


def markdown(figures: dict[str, Any], command: str) -> str:
    """A section of docs/performance.md."""
    return "\n".join([*_head(figures, command), *_frames(figures), *_stages(figures), *_rest(figures), ""])


def _head(figures: dict[str, Any], command: str) -> list[str]:
    height, width = figures["image"]
    return [
        f"### {figures['device']}",
        "",
        f"`{command}`, {figures['date']}: {figures['scene']}, {figures['triangles']:,} triangles, {height} × {width} "
        f"pixels; medians. Memory takes {figures['bandwidth_gb_s']} GB/s.",
        "",
    ]


def _frames(figures: dict[str, Any]) -> list[str]:
    lines = ["| | a single frame, ms | in batches of | a frame of them, ms |", "|---|---|---|---|"]
    for name, row in figures["frames"].items():
        lines.append(f"| {name} | {row['single_ms']:.4g} | {row['frames_per_batch']} | {row['batched_ms']:.4g} |")
    for name, row in figures["live"].items():
        lines.append(f"| live: {name} | {row['median_ms']:.4g} (p95 {row['p95_ms']:.4g}) | | |")
    writing = figures["writing"]
    per_pair = 1000 * writing["seconds"] / writing["pairs"]
    lines.append(f"| pairs with maps into Zarr | | {writing['pairs']} | {per_pair:.4g} |")
    return [*lines, ""]


def _stages(figures: dict[str, Any]) -> list[str]:
    """Every stage of single frames: its time, and that of its arrays once through the memory."""
    kinds = [name for name in figures["frames"] if name != "reference"]
    names = list(dict.fromkeys(stage for kind in kinds for stage in figures["frames"][kind]["stages"]))
    lines = [f"| ms (floor of bytes) | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for kind in kinds:
        stages = figures["frames"][kind]["stages"]
        cells = [f"{stages[n]['ms']:.3g} ({stages[n]['floor_ms']:.2g})" if n in stages else "" for n in names]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return [*lines, ""]


def _rest(figures: dict[str, Any]) -> list[str]:
    hits, others = figures["peers"]["closest_hits"], figures["peers"]["scatterers"]
    lines = ["| closest hits | million a second | ussim over it |", "|---|---|---|"]
    for name in ("ussim", "embreex", "mitsuba"):
        rate, ratio = hits.get(name, ""), hits.get(f"ussim over {name}", "")
        lines.append(f"| {name} | {rate} | {ratio} |")
    if isinstance(others.get("pymust"), dict):
        one = others["pymust"]
        lines += ["", f"PyMUST makes an image of {one['scatterers']} scatterers, without walls, in {one['seconds']} s."]
    return lines
