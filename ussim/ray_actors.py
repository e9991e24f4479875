"""Work spread over the machines of a Ray cluster: which machine does what is Ray's affair, and who died is begun anew.

A worker is an actor that makes what it needs once, then does one item after the other, two of them at hand at a time.
It writes what it makes by itself and answers in a few bytes. One that dies is started again, as often as it takes, and
does again what it was doing: whatever is done here must give the same when it is done twice.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from ussim.cpus import usable_cpus
from ussim.errors import UssimError, one_line, refusal

CORES_EACH = 4
"""Of a worker without a GPU, unless so many workers are asked for that it comes to less."""

_AT_HAND = 2  # items of a worker: the next waits while the last is written
_OBJECT_STORE_BYTES = 150 * 2**20  # results are small; the default is a third of the memory
_ANSWER_S = 14.0  # for an address
_START_S = 120.0  # for workers, which import from disks that may be far
_POLL_S = 0.5
_DEATHS_S = 5.0  # until the deaths of workers that died together are all known
_LOOK_S = 30.0  # without a result, after which machines that are lost are looked for
_SURROUNDINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # under `uv run`, Ray would install everything anew for each worker
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else a warning each time
}
_ALONE = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on Linux too: loopback only, no port that others could reach
    "RAY_worker_niceness": "0",  # as urgent as this process would be itself; 15 else
}
_PROBE = """
import logging, sys, ray
try:
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level=logging.CRITICAL)
except Exception as error:
    sys.exit(" ".join(str(error).split()))
"""

Make = Callable[[int], Any]
"""Makes, in a worker, what does the work there; it is given the number of cores. A method ``close`` is called last."""


@dataclass(frozen=True)
class Result:
    """What a worker made of an item.

    Attributes:
        item: The item.
        value: What was made of it.
        seconds: How long that took.
        worker: Who, as in ``worker node3 (process 4711)``.
        refused: Why it could not be done, in one line; empty if it was.
    """

    item: Any
    value: Any
    seconds: float
    worker: str
    refused: str = ""


@contextmanager
def cluster_at(address: str | None) -> Iterator[None]:
    """Be connected to a Ray cluster; what was connected before is used, and stays.

    Args:
        address: ``HOST:PORT``, or ``auto`` for the one that this machine belongs to; without one a cluster of this
            machine alone is started, and ended with the ``with`` block.

    Raises:
        UssimError: Nothing answers at the address, or a cluster of other versions.
    """
    surroundings = _SURROUNDINGS | ({} if address else _ALONE)
    os.environ.update({name: value for name, value in surroundings.items() if name not in os.environ})
    import ray

    if ray.is_initialized():
        yield
        return
    with _nothing_printed():
        with _signals_kept():
            _connect(address)
        try:
            yield
        finally:
            ray.shutdown()


def _connect(address: str | None) -> None:
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    alone: dict[str, Any] = {
        "num_cpus": usable_cpus(),
        "object_store_memory": _OBJECT_STORE_BYTES,
        "include_dashboard": False,
        "_node_ip_address": "127.0.0.1",
    }
    if address is not None:
        _require_answer(address)
    try:  # "local", lest it is the one that RAY_ADDRESS names
        ray.init(address=address or "local", **quiet, **({} if address else alone))
    except Exception as error:  # of several kinds, Exception itself among them
        where = f"--address {address}: cannot be joined" if address else "Ray cannot start on this machine"
        raise UssimError(f"{where}: {' '.join(str(error).split())}") from error


@contextmanager
def _nothing_printed() -> Iterator[None]:
    """Keep Ray from printing among a program's own output which workers died; it has no switch for that."""
    from ray._private import worker as ray_worker

    worker: Any = ray_worker
    before = getattr(worker, "print_to_stdstream", None)
    worker.print_to_stdstream = lambda *args, **keys: None
    try:
        yield
    finally:
        worker.print_to_stdstream = before


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Give signals back to whoever had them: Ray takes SIGTERM."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _require_answer(address: str) -> None:
    """Refuse an address that Ray would wait for, or that would end this process: another one tries it first."""
    end = time.monotonic() + _ANSWER_S
    remedy = "start one with: ray start --head, or leave --address out to use this machine alone"
    if address != "auto":
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port[:6]) < 65536:
            raise UssimError(f"--address {address}: write auto, or HOST:PORT as in 10.0.0.1:6379")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S / 2).close()
        except OSError as error:
            reason = error.strerror or str(error)
            raise UssimError(f"--address {address}: no Ray cluster answers ({reason}): {remedy}") from None
    probe = [sys.executable, "-P", "-c", _PROBE, address]  # without the folder that this is called in
    try:
        tried = subprocess.run(
            probe,
            timeout=max(1.0, end - time.monotonic()),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
    except subprocess.TimeoutExpired:
        raise UssimError(
            f"--address {address}: no Ray cluster answers within {_ANSWER_S:.0f} seconds: {remedy}; "
            "one that asks for a token needs RAY_AUTH_MODE=token, or --address auto"
        ) from None
    if tried.returncode:
        said = tried.stderr.strip().splitlines()
        if "version mismatch" in tried.stderr.lower():
            raise UssimError(f"--address {address}: {said[-1]}; install the same versions of Python and Ray everywhere")
        raise UssimError(f"--address {address}: no Ray cluster answers ({said[-1] if said else 'it fails'}): {remedy}")


class _Actor:
    """What runs on a machine of the cluster."""

    def __init__(self, cores: int):
        self._cores = cores
        self._made: Any = None
        self._lock = threading.Lock()

    def about(self) -> tuple[str, str, dict[str, str]]:
        """Where this is, in words; the node's number in the cluster; and versions that must be equal everywhere."""
        import ray

        return _this_worker(), ray.get_runtime_context().get_node_id(), _versions()

    def do(self, make: list[Any], function: Callable[[Any, Any], Any], item: Any) -> Result:
        """Do one item. What a user can mend comes back as words; anything else is a defect, and raised."""
        import ray

        start = time.perf_counter()
        try:
            with self._lock:
                if self._made is None:
                    self._made = ray.get(make[0])(self._cores)
            value = function(self._made, item)
        except Exception as error:
            refused = str(error) if isinstance(error, UssimError) else refusal(error)
            if not refused:
                raise
            return Result(item, None, time.perf_counter() - start, _this_worker(), refused)
        return Result(item, value, time.perf_counter() - start, _this_worker())

    def close(self) -> None:
        """End well."""
        if hasattr(self._made, "close"):
            self._made.close()


def _this_worker() -> str:
    return f"worker {socket.gethostname()} (process {os.getpid()})"


def _versions() -> dict[str, str]:
    import ussim

    libraries = {name: version(name) for name in ("numba", "numpy")}
    return {"ussim": ussim.__version__, "Python": ".".join(map(str, sys.version_info[:3])), **libraries}


class Workers:
    """Workers that are at hand; made by :func:`workers`."""

    def __init__(self, actors: Sequence[Any], nodes: Sequence[str], make: list[Any]):
        self._actors, self._nodes, self._make = actors, nodes, make

    def __len__(self) -> int:
        return len(self._actors)

    def one(self, function: Callable[[Any, Any], Any], item: Any = None) -> Any:
        """Let one worker do one item.

        Raises:
            UssimError: As :meth:`each`.
        """
        (result,) = self.each(function, [[item]])
        return result.value

    def all(
        self, function: Callable[[Any, Any], Any], items: Sequence[Any], meanwhile: Callable[[], None] = lambda: None
    ) -> list[Any]:
        """Let every worker do its own item, all at the same time; what became of them.

        Args:
            function: What is called in a worker, with what it made and its item.
            items: As many as there are workers.
            meanwhile: Called twice a second.

        Raises:
            UssimError: An item that could not be done; the others, which may wait for it, are given some seconds. Or a
                worker that died.
        """
        import ray

        references = [
            actor.do.remote(self._make, function, item) for actor, item in zip(self._actors, items, strict=True)
        ]
        results: dict[int, Result] = {}
        died: dict[int, Exception] = {}  # also of what the others did when they lost it
        refused, end = "", float("inf")
        while len(results) + len(died) < len(references) and time.monotonic() < end:
            left = [reference for number, reference in enumerate(references) if number not in results | died]
            ready, _ = ray.wait(left, timeout=_POLL_S)
            for reference in ready:
                number = references.index(reference)
                try:
                    results[number] = self._answer(number, reference)
                    refused = refused or results[number].refused
                except (UssimError, ray.exceptions.RayError) as error:
                    died[number] = error
                if refused or died:
                    end = min(end, time.monotonic() + (_LOOK_S if refused else _DEATHS_S))
            if not ready and not died:
                meanwhile()
        if refused:
            raise UssimError(refused)
        if died:
            raise min(died.values(), key=lambda error: not isinstance(error, UssimError))
        return [results[number].value for number in range(len(references))]

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """What a function makes of items, in the order of the items, as ``map`` does.

        Raises:
            UssimError: As :meth:`each`.
        """
        return self.in_order(_Alone(function), items)

    def in_order(self, function: Callable[[Any, Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """As :meth:`each`, but what became of the items, in their order.

        Raises:
            UssimError: As :meth:`each`.
        """
        found: dict[int, Any] = {}
        given = 0
        for result in self.each(_Numbered(function), [list(enumerate(items))]):
            found[result.item[0]] = result.value
            while given in found:
                yield found.pop(given)
                given += 1

    def each(self, function: Callable[[Any, Any], Any], groups: Iterable[Sequence[Any]]) -> Iterator[Result]:
        """Let workers do items, in any order.

        Args:
            function: What is called in a worker, with what it made and an item.
            groups: Items that a worker had better do one after the other, as those of one scene. A worker without a
                group helps with the longest.

        Raises:
            UssimError: An item that could not be done, or a machine that is lost and no room for its worker elsewhere.
        """
        import ray

        left = [deque(group) for group in groups if group]
        whose: list[int | None] = [None] * len(left)
        own: list[deque[Any]] = [deque() for _ in self._actors]
        running: dict[Any, int] = {}
        sent = Counter[int]()

        def feed(number: int) -> None:
            while sent[number] < _AT_HAND:
                if not own[number]:
                    waiting = [k for k, group in enumerate(left) if group]
                    if not waiting:
                        return
                    chosen = min(waiting, key=lambda k: (whose[k] is not None, -len(left[k]), k))
                    whose[chosen], own[number] = number, left[chosen]
                reference = self._actors[number].do.remote(self._make, function, own[number].popleft())
                running[reference] = number
                sent[number] += 1

        for _ in range(_AT_HAND):
            for number in range(len(self._actors)):
                feed(number)
        while running:
            ready, _ = ray.wait(list(running), timeout=_LOOK_S)
            if not ready:
                self._require_alive(set(running.values()))
            for reference in ready:
                number = running.pop(reference)
                sent[number] -= 1
                result = self._answer(number, reference)
                if result.refused:
                    raise UssimError(f"{result.worker}: {result.refused}")
                feed(number)
                yield result

    def _answer(self, number: int, reference: Any) -> Result:
        import ray

        try:
            return ray.get(reference)
        except ray.exceptions.RayActorError:  # only of workers that are not started again
            raise UssimError(f"worker {number + 1} of {len(self)} died") from None

    def _require_alive(self, numbers: set[int]) -> None:
        """Refuse to wait for ever for a worker whose machine is lost and that Ray finds no other machine for."""
        import ray

        alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        for number in sorted(numbers):
            if self._nodes[number] not in alive:
                answer = self._actors[number].about.remote()
                if not ray.wait([answer], timeout=_LOOK_S)[0]:
                    raise UssimError(
                        f"worker {number + 1} of {len(self)}: its machine is lost, and no other has room for it"
                    )


@dataclass(frozen=True)
class _Alone:
    """A function of items that needs nothing that a worker made."""

    function: Callable[[Any], Any]

    def __call__(self, made: Any, item: Any) -> Any:
        return self.function(item)


@dataclass(frozen=True)
class _Numbered:
    """A function of items, for items with a number."""

    function: Callable[[Any, Any], Any]

    def __call__(self, made: Any, numbered: tuple[int, Any]) -> Any:
        return self.function(made, numbered[1])


def nothing(cores: int) -> object:
    """What workers make that need nothing."""
    return object()


@contextmanager
def workers(
    make: Make = nothing, count: int | None = None, *, on_gpus: bool = False, restarts: int = -1
) -> Iterator[Workers]:
    """Workers on the cluster that this process is connected to, see :func:`cluster_at`.

    Args:
        make: Makes what works, once in each worker. It travels to all of them.
        count: How many workers; None takes one for each GPU, or for every few cores.
        on_gpus: Whether a worker takes a GPU, where the cluster has any.
        restarts: How often a worker that dies is started again; -1 for as often as it takes.

    Raises:
        UssimError: The cluster has no room for so many, or a worker has other versions than this process.
    """
    import ray

    count, cores, gpus = _share([node["Resources"] for node in ray.nodes() if node["Alive"]], count, on_gpus)
    options = {"num_cpus": cores, "num_gpus": gpus, "max_restarts": restarts, "max_task_retries": restarts}
    kind: Any = ray.remote(_Actor)
    kind = kind.options(**options, max_concurrency=_AT_HAND + 1)
    made = [ray.put(make)]  # in a list: it is fetched where it is needed, not with each item
    actors: list[Any] = [kind.remote(cores) for _ in range(count)]
    try:
        yield Workers(actors, _started(actors), made)
        with suppress(ray.exceptions.RayError):
            ray.get([actor.close.remote() for actor in actors], timeout=_LOOK_S)
    finally:
        for actor in actors:
            ray.kill(actor)


def _share(nodes: Sequence[dict[str, float]], count: int | None, on_gpus: bool) -> tuple[int, int, int]:
    """Number of workers, and cores and GPUs of each, so that all of them find room."""
    with_gpu = [node for node in nodes if node.get("GPU", 0) >= 1] if on_gpus else []
    if with_gpu:
        most, what = int(sum(node["GPU"] for node in with_gpu)), "GPUs"
        cores = max(1, int(min(node.get("CPU", 0) // node["GPU"] for node in with_gpu)))
    else:
        cpus = [int(node.get("CPU", 0)) for node in nodes]
        most, what = sum(cpus), "cores"
        cores = min(CORES_EACH, max(cpus, default=1)) or 1
        while count and cores > 1 and sum(cpu // cores for cpu in cpus) < count:
            cores -= 1
        if count is not None and count <= most:  # all cores are used
            while sum(cpu // (cores + 1) for cpu in cpus) >= count:
                cores += 1
    if count is not None and not 1 <= count <= most:
        raise UssimError(f"--workers {count}: the cluster has {most} {what}; allowed: 1 to {most}")
    if with_gpu:
        return count or most, cores, 1
    return count or max(1, sum(cpu // cores for cpu in cpus)), cores, 0


def _started(actors: Sequence[Any]) -> list[str]:
    """Wait until all workers have started, and compare their versions; the machine of each."""
    import ray

    answers = [actor.about.remote() for actor in actors]
    ready, _ = ray.wait(answers, num_returns=len(answers), timeout=_START_S)
    if len(ready) < len(actors):
        raise UssimError(
            f"{len(ready)} of {len(actors)} workers started within {_START_S:.0f} seconds: the cluster is busy, or too "
            "small; wait, or ask for fewer with --workers"
        )
    try:
        found = ray.get(answers)
    except ray.exceptions.RayError as error:
        lines = str(error).strip().splitlines() or [""]
        raise UssimError(
            f"a worker cannot start: {one_line(lines[-1].strip())}; install ussim there, the same version as here"
        ) from None
    here = _versions()
    for worker, _, there in found:
        other = [f"{name} {there[name]} (here {here[name]})" for name in here if there[name] != here[name]]
        if other:
            raise UssimError(f"{worker} has {', '.join(other)}: install the same versions everywhere")
    return [node for _, node, _ in found]
