"""Low-quality simulated ultrasound → high-quality: a conditional GAN on the stores that ``ussim render`` writes.

from translate import Generator

generator = Generator.load(Path("runs/lmsa"))
enhanced = generator.enhance(lq, mask, segmentation, attenuation)        # (N, H, W) uint8 in, the same out
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

# Names are imported when first used: torch takes seconds, `translate --help` must not. For type checkers they
# stand in __init__.pyi.
_HOMES = {
    "Generator": "use.inference",
    "StoreReader": "data.store",
    "TrainSettings": "settings",
    "evaluate": "evaluation.evaluate",
    "train": "training.loop",
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"translate.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'translate' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
