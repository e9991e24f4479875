"""Tissues: what sound meets inside a surface, and the library that names them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.dataclasses import dataclass

from ussim.errors import UssimError
from ussim.settings import suggest
from ussim.toml import read_toml

PACKAGED_LIBRARY = Path(__file__).with_name("tissues.toml")

_CHECKED = ConfigDict(extra="forbid", allow_inf_nan=False)


def _between(low: float, high: float) -> object:
    # Strict, so that "1540" in quotes is an error and not a number.
    return Field(ge=low, le=high, strict=True)


@dataclass(frozen=True, config=_CHECKED)
class Tissue:
    """One tissue. Every value is checked when the object is made (``pydantic.ValidationError``).

    Attributes:
        name: The name scenes use.
        speed_m_s: Speed of sound, m/s.
        density_kg_m3: Mass density, kg/m³.
        attenuation_db_cm_mhz: Attenuation a at 1 MHz, dB/cm, one way. Over frequency it is a·fⁿ.
        attenuation_exponent: The n of a·fⁿ.
        scatter_mean: Mean amplitude of a scatterer.
        scatter_density: Chance that a cell of the scatterer lattice holds one, 0 to 1.
        scatter_std: Standard deviation of the amplitude. Density 1 with a standard deviation of 0 has no
            speckle.
        roughness_exponent: s of the power-cosine lobe cos τ = ξ^(1/(s+1)) that the surface normal is drawn
            from; large is a mirror.
        thickness_mm: Standard deviation of the depth at which the surface is met, mm.
        color: ``#rrggbb`` for pictures and legends; no influence on the simulation.
        source: Where the values come from: literature, estimate, or calibrated by eye.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
    speed_m_s: Annotated[float, _between(100, 8000)]
    density_kg_m3: Annotated[float, _between(0.1, 20000)]
    attenuation_db_cm_mhz: Annotated[float, _between(0, 100)]
    attenuation_exponent: Annotated[float, _between(0, 2.5)] = 1.0
    scatter_mean: Annotated[float, _between(0, 10)] = 0.0
    scatter_density: Annotated[float, _between(0, 1)] = 0.0
    scatter_std: Annotated[float, _between(0, 10)] = 0.0
    roughness_exponent: Annotated[float, _between(0, 1e6)] = 1e4
    thickness_mm: Annotated[float, _between(0, 10)] = 0.0
    color: Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")] = "#808080"
    source: Annotated[str, Field(min_length=1)] = "not stated"

    @property
    def impedance_mrayl(self) -> float:
        """Acoustic impedance Z = c·ρ, MRayl."""
        return self.speed_m_s * self.density_kg_m3 / 1e6

    @property
    def scatters(self) -> bool:
        """True of tissue proper, which shows speckle; gel, air and clear fluids show nothing."""
        return self.scatter_density > 0

    def attenuation_db_cm(self, frequency_mhz: float) -> float:
        """Return the one-way attenuation a·fⁿ in dB/cm at a frequency in MHz."""
        return self.attenuation_db_cm_mhz * frequency_mhz**self.attenuation_exponent


class _TissueFile(BaseModel):
    """What a tissues.toml holds."""

    model_config = _CHECKED

    format: Literal[1]
    tissue: Annotated[list[Tissue], Field(min_length=1)]

    @field_validator("tissue", mode="before")
    @classmethod
    def _every_row_has_a_source(cls, rows: list) -> list:
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, dict) and "source" not in row:
                raise ValueError(
                    f"'{row.get('name', '?')}' has no source: say where its values come from "
                    "(literature, estimate, calibrated by eye)"
                )
        return rows

    @field_validator("tissue")
    @classmethod
    def _names_are_unique(cls, rows: list[Tissue]) -> list[Tissue]:
        names = [row.name for row in rows]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two rows are named '{name}'; allowed: one row per name in a file")
        return rows


class TissueLibrary(Mapping[str, Tissue]):
    """Tissues by name, read-only."""

    def __init__(self, tissues: Mapping[str, Tissue]):
        self._tissues = dict(tissues)

    @classmethod
    def load(cls, *paths: Path) -> TissueLibrary:
        """Read the packaged library, then further files whose rows add to it or replace rows of the same
        name.

        Args:
            *paths: tissues.toml files, in the order in which they take effect.

        Raises:
            UssimError: A file is missing, is no TOML or holds a bad row; names file, tissue, field and range.
        """
        tissues: dict[str, Tissue] = {}
        for path in (PACKAGED_LIBRARY, *map(Path, paths)):
            tissues |= {row.name: row for row in read_toml(path, _TissueFile).tissue}
        return cls(tissues)

    def find(self, name: str) -> Tissue:
        """Return a tissue by name.

        Raises:
            UssimError: There is none; the message offers the nearest name and lists all.
        """
        if name not in self._tissues:
            raise UssimError(f"tissue = '{name}': no such tissue; {suggest(name, self)}")
        return self._tissues[name]

    def __getitem__(self, name: str) -> Tissue:
        return self._tissues[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tissues)

    def __len__(self) -> int:
        return len(self._tissues)
