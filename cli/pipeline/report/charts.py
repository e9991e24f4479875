"""Charts of the report as SVG text: losses of the training, histograms of grey levels and envelopes."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import zarr

from cli.pipeline import ENHANCED
from cli.pipeline.context import Context
from translate.data.tiles import tiles
from translate.evaluation.speckle import PATCH_PX, amplitudes
from translate.training.log import read_log
from ussim.dataset.store import Dataset

COLOURS = {"low quality": "#ff8f5a", "enhanced": "#5ad1c8", "high quality": "#f2f2f2"}
LINES = ("#5ad1c8", "#ff8f5a", "#b392f0", "#f2cc60")
INK, FAINT = "#c9d1d9", "#30363d"
_LOSSES = {"discriminator": "discriminator", "adversarial": "adversarial (generator)", "fidelity": "L1"}


def loss_chart(runs: Mapping[str, Path]) -> str:
    """Losses of each run over its iterations."""
    figure, axes = _figure(len(_LOSSES), "iteration")
    for axis, (name, title) in zip(axes, _LOSSES.items(), strict=True):
        for index, (variant, folder) in enumerate(runs.items()):
            lines = read_log(folder)
            axis.plot(
                [line["iteration"] for line in lines], [line[name] for line in lines], color=LINES[index], label=variant
            )
        axis.set_title(title)
        axis.set_ylim(bottom=0)
    axes[0].legend()
    return _svg(figure, "Losses of the training")


def histogram_chart(context: Context, dataset: Dataset) -> str:
    """How often each grey level occurs, and the envelope in patches of one tissue beside Rayleigh's distribution."""
    grey, envelope = _speckle_samples(context, dataset)
    figure, (left, right) = _figure(2, "grey level")
    edges = np.linspace(0, 256, 52)
    for name, values in grey.items():
        left.stairs(np.histogram(values, edges, density=True)[0], edges, color=COLOURS[name], label=name)
    left.set_title("grey levels in the sector")
    left.set_yscale("log")
    left.legend()
    edges = np.linspace(0, 4, 61)
    for name, values in envelope.items():
        if values.size:
            right.stairs(np.histogram(values, edges, density=True)[0], edges, color=COLOURS[name])
    r = np.linspace(0, 4, 200)
    right.plot(r, math.pi / 2 * r * np.exp(-math.pi / 4 * r**2), "--", color=INK, linewidth=1, label="Rayleigh")
    right.set_title("envelope in patches of one tissue")
    right.set_xlabel("envelope / its mean")
    right.legend()
    return _svg(figure, "Histograms of grey levels and of the envelope")


def _speckle_samples(context: Context, dataset: Dataset) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Grey levels in the sector, and envelopes over their patch's mean, of all enhanced frames by image."""
    enhanced = zarr.open_array(context.store / ENHANCED, mode="r")
    amplitude = amplitudes(dataset.header)
    grey, envelope = ({name: [] for name in COLOURS} for _ in range(2))
    for number in context.shown_frames(dataset):
        frame = dataset.frame(int(number))
        images = dict(zip(COLOURS, (frame.lq, np.asarray(enhanced[int(number)]), frame.hq), strict=True))
        ids, target = _patches(frame.segmentation), _patches(frame.hq)
        # one tissue, in the sector, neither black nor clipped in the high quality
        usable = (ids == ids[:, :1]).all(1) & (ids[:, 0] > 0) & (target.min(1) > 0) & (target.max(1) < 255)
        for name, image in images.items():
            grey[name].append(image[frame.mask > 0])
            patches = amplitude[_patches(image)[usable]]
            envelope[name].append((patches / patches.mean(axis=1, keepdims=True)).ravel())
    return tuple({name: np.concatenate(values) for name, values in parts.items()} for parts in (grey, envelope))


def _patches(image: np.ndarray) -> np.ndarray:
    """(H, W) → (patches, 32²)."""
    return tiles(image, PATCH_PX).reshape(-1, PATCH_PX**2)


def _figure(columns: int, x_label: str):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.4, 3.2), layout="constrained", facecolor="none")
    axes = figure.subplots(1, columns)
    for axis in axes:
        axis.set_facecolor("none")
        axis.set_xlabel(x_label)
        axis.grid(color=FAINT, linewidth=0.6)
        axis.tick_params(colors=INK)
        for part in (axis.xaxis.label, axis.yaxis.label, axis.title):
            part.set_color(INK)
        for spine in axis.spines.values():
            spine.set_color(FAINT)
    return figure, axes


def _svg(figure, label: str) -> str:
    """The figure as an SVG element that scales with the page; text stays text."""
    from matplotlib import rc_context

    for axis in figure.axes:
        legend = axis.get_legend()
        if legend:
            legend.get_frame().set(facecolor="#161b22", edgecolor=FAINT)
            for text in legend.get_texts():
                text.set_color(INK)
    data = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "ussim", "font.family": "sans-serif"}):
        figure.savefig(data, format="svg", metadata={"Date": None, "Creator": None})
    svg = data.getvalue()
    return svg[svg.index("<svg") :].replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
