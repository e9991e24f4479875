"""What an evaluation finds, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from translate.data.metrics import FigureSummary, PairedTest
from translate.evaluation.distances import KernelDistance
from translate.evaluation.figures import Example
from translate.evaluation.protocol import EvaluationProtocol
from translate.evaluation.speckle import Statistics

LOW_QUALITY = "Low quality"
HIGH_QUALITY = "High quality"
FIGURES = ("psnr", "ssim", "pkl")


@dataclass(frozen=True)
class Distance:
    """How far the distribution of a row's images is from that of the high-quality images.

    Attributes:
        frechet: Fréchet distance.
        low, high: Its 95 % bootstrap interval over images.
        kid: Kernel distance.
        pieces: Pieces of 299 × 299 in each set.
        images: Images they are from.
    """

    frechet: float
    low: float
    high: float
    kid: KernelDistance
    pieces: int
    images: int


@dataclass(frozen=True)
class FullView:
    """The whole field of view in one go, against crops, at the same pixels.

    Attributes:
        gap: Figure of the full-view output at the crops minus figure of the crops' own output: mean over
            crops, by figure; inside the mask.
        core_gap: The same over the core of each crop, a quarter of its side away from its edges: there the crop's
            output suffers less from what was cut off, and what remains is due to what differs between images.
        band_gap, core_band_gap: Both in each depth band, by figure; NaN where no crop has enough of the band.
        relative_pkl, core_relative_pkl, band_relative_pkl, core_band_relative_pkl: pKL gap as a share of the crops'
            pKL: in all, in the core, in each band, and in each band of the core.
        overlap_grey: Mean absolute difference of overlapping crops' outputs [grey levels]; NaN without overlap.
    """

    gap: dict[str, float]
    core_gap: dict[str, float]
    band_gap: dict[str, tuple[float, ...]]
    core_band_gap: dict[str, tuple[float, ...]]
    relative_pkl: float
    core_relative_pkl: float
    band_relative_pkl: tuple[float, ...]
    core_band_relative_pkl: tuple[float, ...]
    overlap_grey: float


@dataclass(frozen=True)
class Steadiness:
    """Root mean square change of tissue from one frame of a slow sweep to the next [grey levels].

    Attributes:
        pixel: Of single pixels, speckle included.
        patch: Of means over pieces of a few millimetres, which the eye sees as flicker.
    """

    pixel: float
    patch: float


@dataclass(frozen=True)
class RowResult:
    """Everything about one row of the table.

    Attributes:
        name: ``Low quality``, ``L2HMSA``, …
        run: The run folder's name; empty for images of the store.
        whole, inside: Figures over whole crops (the paper's) and inside the mask, by name.
        distance: None if no extractor is at hand.
        speckle: Statistics of whole images.
        full_view: None for images of the store.
    """

    name: str
    run: str
    whole: dict[str, FigureSummary]
    inside: dict[str, FigureSummary]
    distance: Distance | None
    speckle: Statistics
    full_view: FullView | None


@dataclass(frozen=True)
class Comparison:
    """Wilcoxon's test of a figure between two rows; its median difference is second − first."""

    figure: str
    first: str
    second: str
    result: PairedTest


@dataclass(frozen=True)
class Evaluation:
    """The whole result.

    Attributes:
        store: Name of the store's folder.
        digest: SHA-256 of its attributes.
        protocol: How it was done.
        shape: (H, W) of the images.
        test_images: Test images used.
        crops: Crops in all.
        band_edges_mm: Depths between the bands.
        extractor: Name, label and SHA-256 of the feature extractor; or why there is none.
        rows: One for each line of the table.
        reference_speckle: Speckle of the high-quality images.
        tests: Wilcoxon's tests between rows.
        steadiness: Of a slow sweep, by row, that of the high-quality images last; empty without a sweep.
        notes: What a reader has to know.
        scores: Figures of every crop, (crops, 3) by row and by ``whole`` or ``inside``.
        places: Frame, row and column of every crop.
        patch_examples, full_examples: For the pictures.
        seconds: How long it took.
    """

    store: str
    digest: str
    protocol: EvaluationProtocol
    shape: tuple[int, int]
    test_images: int
    crops: int
    band_edges_mm: tuple[float, ...]
    extractor: dict[str, str]
    rows: list[RowResult]
    reference_speckle: Statistics
    tests: list[Comparison]
    steadiness: dict[str, Steadiness]
    notes: list[str]
    scores: dict[str, dict[str, np.ndarray]] = field(repr=False)
    places: np.ndarray = field(repr=False)
    patch_examples: list[Example] = field(repr=False)
    full_examples: list[Example] = field(repr=False)
    seconds: float
