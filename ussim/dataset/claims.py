"""Who renders which unit, among workers that come and go: claims that a dead worker's successors take over.

A claim on a unit is a row of objects, ``claims/<unit>/<generation>``, each made only if it is not there yet. Who made
the highest generation holds the unit. The holder makes the next one now and then; an observer that has seen the same
one for a lease, by its own clock, makes the next itself and holds the unit. So no two clocks are ever compared, and of
two that try at once one succeeds. What finishes a unit removes its claims after the unit's flag is written, the highest
last: whoever then makes a claim finds the flag. What gives a unit up says so in a last generation.

No storage can stop a holder that sleeps between its last look and its write for longer than a lease: it then writes
what another writes at that time, the same bytes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from ussim.errors import UssimError

FOLDER = "claims"
"""Where claims lie in a store."""

LEASE_S = 60.0
"""Seconds after which a claim that nobody renews is taken over, unless asked otherwise."""

_RENEWALS = 4  # in a lease
_FREE = b"free"


class Objects(Protocol):
    """Small objects in a store, by names relative to it; one that was made is seen by everybody at once.

    :class:`ussim.dataset.place.Place` holds them.
    """

    def create(self, name: str, data: bytes) -> bool:
        """Make an object; False if there is one of that name."""

    def read(self, name: str) -> bytes | None:
        """An object's content; None if there is none."""

    def list(self, folder: str) -> list[str]:
        """Names of all objects in a folder and the folders in it."""

    def remove(self, name: str) -> None:
        """Remove an object if it is there."""


class Claims:
    """The claims of one worker, renewed by a thread of its own for as long as it lives. Close it in the end.

    Args:
        objects: Where claims lie.
        who: What others may read of the worker.
        lease_s: Seconds after which others take over what it does not renew; the same for all workers.
        clock: Seconds since some moment, never falling.
    """

    def __init__(
        self,
        objects: Objects,
        who: str,
        lease_s: float = LEASE_S,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._objects, self._who, self._lease_s, self._clock = objects, who.encode(), lease_s, clock
        self._held: dict[int, int] = {}
        self._seen: dict[int, tuple[int, float]] = {}  # of each unit that others hold: generation, and since when
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True, name="ussim-claims")
        self._thread.start()

    def look(self) -> set[int]:
        """Take note of all claims of others; units that cannot be taken now."""
        now, highest = self._clock(), _highest(self._objects.list(FOLDER))
        before = self._seen
        self._seen = {
            unit: before[unit] if before.get(unit, (0,))[0] == generation else (generation, now)
            for unit, generation in highest.items()
            if unit not in self._held
        }
        return {unit for unit in self._seen if not self._is_over(unit)}

    def take(self, unit: int) -> bool:
        """Try to claim a unit. Then look whether it is done: who had it before may have finished it meanwhile."""
        generation, _ = self._seen.get(unit, (0, 0.0))
        if generation and not self._is_over(unit):
            return False
        if not self._objects.create(_name(unit, generation + 1), self._who):
            self._seen[unit] = (generation + 1, self._clock())
            return False
        self._seen.pop(unit, None)
        with self._lock:
            self._held[unit] = generation + 1
        return True

    def renew(self, unit: int) -> bool:
        """Hold a unit for another lease; False if another worker has taken it over."""
        with self._lock:
            if unit not in self._held:
                return False
            if self._objects.create(_name(unit, self._held[unit] + 1), self._who):
                self._held[unit] += 1
                return True
            del self._held[unit]
            return False

    def finish(self, unit: int) -> None:
        """Remove the claims on a unit that is done."""
        with self._lock:
            self._held.pop(unit, None)
        remove_claims(self._objects, unit)

    def give_up(self, unit: int) -> None:
        """Leave a unit to others, at once."""
        with self._lock:
            generation = self._held.pop(unit, None)
        if generation is not None:
            self._objects.create(_name(unit, generation + 1), _FREE)

    def close(self) -> None:
        """Give up whatever is held, and stop renewing."""
        self._closed.set()
        self._thread.join()
        for unit in list(self._held):
            with suppress(UssimError):  # the lease of what cannot be given up, as on a full disk, runs out
                self.give_up(unit)

    def _is_over(self, unit: int) -> bool:
        generation, since = self._seen[unit]
        return self._clock() - since >= self._lease_s or self._objects.read(_name(unit, generation)) == _FREE

    def _keep(self) -> None:
        while not self._closed.wait(self._lease_s / _RENEWALS):
            for unit in list(self._held):
                with suppress(UssimError):  # it shows when the unit is to be written
                    self.renew(unit)


def remove_claims(objects: Objects, unit: int) -> None:
    """Remove all claims on a unit that is done."""
    for name in sorted(objects.list(f"{FOLDER}/{unit}"), key=_generation):
        objects.remove(name)


def remove_all_claims(objects: Objects) -> None:
    """Remove what is left of claims where no worker lives."""
    for name in objects.list(FOLDER):
        objects.remove(name)


def _name(unit: int, generation: int) -> str:
    return f"{FOLDER}/{unit}/{generation}"


def _generation(name: str) -> int:
    """The number that a claim's name ends with; 0 for what is no claim."""
    last = name.rpartition("/")[2]
    return int(last) if last.isdecimal() else 0


def _highest(names: list[str]) -> dict[int, int]:
    """The highest generation of each unit."""
    found: dict[int, int] = {}
    for name in names:
        unit = name.split("/")[1]
        if unit.isdecimal() and _generation(name):
            found[int(unit)] = max(found.get(int(unit), 0), _generation(name))
    return found
