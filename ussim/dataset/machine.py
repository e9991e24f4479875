"""What rounds: the versions and the CPU that decide the last bits of a rendering."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version

from pydantic import BaseModel, ConfigDict, Field


class Machine(BaseModel):
    """Versions and CPU; where two differ, the same settings may give other bytes.

    Attributes:
        numba: Version of Numba, which compiles the ray tracer.
        numpy: Version of NumPy.
        cpu: LLVM's name of the CPU.
        cpu_features: SHA-256 of its name and the instruction sets that LLVM may use on it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    numba: str = Field(max_length=64)
    numpy: str = Field(max_length=64)
    cpu: str = Field(max_length=64)
    cpu_features: str = Field(max_length=64)

    def differences(self, other: Machine) -> str:
        """What another machine has otherwise, in words; empty if nothing."""
        words = {"numba": "Numba", "numpy": "NumPy", "cpu": "CPU"}
        ours, theirs = self.model_dump(), other.model_dump()
        found = [f"{words[key]} {ours[key]} (here {theirs[key]})" for key in words if ours[key] != theirs[key]]
        if self.cpu == other.cpu and self.cpu_features != other.cpu_features:
            found.append("other instruction sets of the CPU")
        return ", ".join(found)


@cache
def this_machine() -> Machine:
    """The machine that this process runs on."""
    from llvmlite.binding import get_host_cpu_features, get_host_cpu_name

    cpu = get_host_cpu_name()
    features = sorted(name for name, is_there in get_host_cpu_features().items() if is_there)
    digest = hashlib.sha256(" ".join([cpu, *features]).encode()).hexdigest()
    return Machine(numba=version("numba"), numpy=version("numpy"), cpu=cpu, cpu_features=digest)
