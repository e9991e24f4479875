"""Tissue tables of made-up stores."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ussim.scene.tissue import Tissue


def tissue_rows(**tissues: dict[str, Any]) -> list[dict[str, Any]]:
    """The row outside the sector and one for each tissue, by name: what it has other than water."""
    rows: list[dict[str, Any]] = [{"id": 0, "name": "outside the sector", "color": "#000000"}]
    for number, (name, changes) in enumerate(tissues.items(), start=1):
        water = {"speed_m_s": 1500.0, "density_kg_m3": 1000.0, "attenuation_db_cm_mhz": 0.1}
        rows.append({"id": number, **asdict(Tissue(name, **{**water, **changes}))})
    return rows
