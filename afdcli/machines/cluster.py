"""`--cluster ray`: work done by many machines, each as one would do it alone, a part at a time.

What comes back is small and in order, so that one process, which was asked, writes the same files as without a cluster.
A part whose machine dies is done again by another.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from itertools import chain
from typing import Any, TypeVar

from afdcli.errors import AfdError, WrongUse
from afdcli.machines.hardware import default_workers, reuse_memory, use_all_processors
from afdcli.machines.processes import in_parts, ordered_map

Item = TypeVar("Item")
Result = TypeVar("Result")

PART = 1024
"""Photos that a worker is sent at a time."""
AHEAD = 2
"""Items that each worker has at once: while it works on one, the next waits there."""
FAR = 64
"""Results for each worker that may wait for a slow one, at most."""


def ray_map(make: Callable[[], Callable[[Item], Result]], items: Iterable[Item]) -> Iterator[Result]:
    """The results for `items`, in their order, from one worker for each machine, or for each GPU if there are any.

    Each worker calls `make` once, and what that gives for every item it gets. The cluster is the one that the
    environment variable RAY_ADDRESS names; without it, this machine. Workers find files under the same paths as here.

    Raises:
        WrongUse: Ray is not installed.
        AfdError: a worker's, or the cluster is gone.
    """
    ray = _import_ray()
    started = not ray.is_initialized()
    if started:
        ray.init(log_to_driver=False, configure_logging=False, include_dashboard=False)
    workers = _workers(ray, make)
    try:
        yield from _ordered(ray, workers, iter(items))
    except ray.exceptions.RayTaskError as error:
        raise (error.cause if isinstance(error.cause, AfdError) else error) from None
    except ray.exceptions.RayError as error:
        raise AfdError(f"The cluster failed: {str(error).splitlines()[0]} Go on by adding --resume.") from None
    finally:
        for worker in workers:
            ray.kill(worker)
        if started:
            ray.shutdown()


class OnAMachine:
    """What a worker makes of a part of the items: what `ordered_map` does here, with all processors there."""

    def __init__(self, function: Callable[[Any], Any], crashed: Callable[[Any], Any]) -> None:
        """Both are as for `ordered_map`."""
        self._function, self._crashed = function, crashed

    def __call__(self, items: list[Any]) -> list[Any]:
        """The results, in the order of the items."""
        return list(ordered_map(self._function, items, workers=default_workers(), crashed=self._crashed))


def ray_map_parts(
    make: Callable[[], Callable[[list[Item]], Iterable[Result]]], items: Iterable[Item], together: int = 1
) -> Iterator[Result]:
    """As `ray_map`, but workers get `PART` items at once, whole batches of `together`, each giving several results."""
    size = max(PART // together, 1) * together
    return chain.from_iterable(ray_map(make, in_parts(items, size)))


def _ordered(ray: Any, workers: list[Any], items: Iterator[Item]) -> Iterator[Any]:
    """Whoever has least to do gets the next item; results wait for their turn."""
    waiting: deque[Any] = deque()  # references to results, in the order of the items
    busy: dict[Any, int] = {}  # those that are being worked on -> the worker's number
    for item in items:
        while len(busy) >= AHEAD * len(workers):
            (done,), _ = ray.wait(list(busy), num_returns=1)
            del busy[done]
        number = min(range(len(workers)), key=list(busy.values()).count)
        waiting.append(workers[number].call.remote(item))
        busy[waiting[-1]] = number
        while waiting and (waiting[0] not in busy or len(waiting) > FAR * len(workers)):
            busy.pop(waiting[0], None)
            yield ray.get(waiting.popleft())
    for reference in waiting:
        yield ray.get(reference)


def _workers(ray: Any, make: Callable[[], Callable[[Item], Result]]) -> list[Any]:
    """One for each machine or GPU, anywhere; those that die come back, and do what they were doing again."""
    machines = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    _check_machines(ray, machines)
    gpus = int(ray.cluster_resources().get("GPU", 0))
    remote = ray.remote(_Worker).options(
        num_cpus=1,
        num_gpus=1 if gpus else 0,
        scheduling_strategy="SPREAD",
        max_restarts=-1,
        max_task_retries=-1,
    )
    return [remote.remote(make) for _ in range(gpus or len(machines))]


def _check_machines(ray: Any, machines: list[str]) -> None:
    """See that each has what a worker needs: one that cannot begin would be begun again for ever."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    version = ray.remote(_version)
    there = [NodeAffinitySchedulingStrategy(machine, soft=False) for machine in machines]
    try:
        found = set(ray.get([version.options(num_cpus=0, scheduling_strategy=one).remote() for one in there]))
    except ray.exceptions.RayError as error:
        found = {str(error).strip().splitlines()[-1]}
    if others := sorted(found - {_version()}):
        raise AfdError(
            f"All machines of the cluster need afd-dedrift {_version()}, as there is here. Instead: {', '.join(others)}"
        )


def _version() -> str:
    return metadata.version("afd-dedrift")


class _Worker:
    def __init__(self, make: Callable[[], Callable[[Any], Any]]) -> None:
        self._make = make
        self._work: Callable[[Any], Any] | None = None

    def call(self, item: Any) -> Any:
        if self._work is None:  # only now: what is raised here reaches the one who asked
            reuse_memory()
            use_all_processors()
            self._work = self._make()
        return self._work(item)


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report its use to a server
    try:
        import ray
    except ImportError:
        raise WrongUse("--cluster ray needs Ray. Install it with: pip install 'afd-dedrift[ray]'") from None
    return ray
