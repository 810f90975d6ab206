"""`--cluster ray`: work done by many machines, each as one would do it alone, a part at a time.

What comes back is small and in order, so that one process, which was asked, writes the same files as without a cluster.
A part whose machine dies is done again by another.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib import metadata
from itertools import chain
from typing import Any, Generic, TypeVar

from afdcli.errors import AfdError, WrongUse
from afdcli.machines.hardware import default_workers, reuse_memory, use_all_processors
from afdcli.machines.processes import in_parts, ordered_map

Item = TypeVar("Item")
Result = TypeVar("Result")
Loaded = TypeVar("Loaded")

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
        AfdError: a worker raised it, or the cluster is gone, or its machines have another version of afd.
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


class OnAMachine(Generic[Loaded, Item, Result]):
    """What a worker of a cluster does with a part of the items: what is done here, with all processors there."""

    def __init__(self, load: Callable[[], Loaded], run: Callable[[list[Item], Loaded, int], Iterable[Result]]) -> None:
        """`load` is called once, here and now; `run` for each part, with what `load` gave and how many processes the
        machine has processors for, and gives the results in the order of the items."""
        self._loaded, self._run = load(), run

    def __call__(self, items: list[Item]) -> list[Result]:
        """The results for a part of the items, in their order."""
        return list(self._run(items, self._loaded, default_workers()))


def ray_map_parts(
    load: Callable[[], Loaded],
    run: Callable[[list[Item], Loaded, int], Iterable[Result]],
    items: Iterable[Item],
    together: int = 1,
) -> Iterator[Result]:
    """The results of `run` for all `items`, in their order; both functions are as for `OnAMachine`.

    Machines get about `PART` items at once, whole batches of `together`, so that these are the same as here.
    """
    size = max(PART // together, 1) * together
    return chain.from_iterable(ray_map(partial(OnAMachine, load, run), in_parts(items, size)))


def ray_ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], *, crashed: Callable[[Item], Result]
) -> Iterator[Result]:
    """`ordered_map` by all machines of the cluster: `function` of each item, in order; raises what `ray_map` does."""
    return ray_map_parts(_load_nothing, partial(_map_here, function=function, crashed=crashed), items)


def _load_nothing() -> None:
    """What a worker loads that needs nothing but the items."""


def _map_here(
    items: list[Item], _: None, workers: int, function: Callable[[Item], Result], crashed: Callable[[Item], Result]
) -> Iterator[Result]:
    return ordered_map(function, items, workers=workers, crashed=crashed)


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
    """Check that each machine has what a worker needs: one that cannot begin would be begun again for ever."""
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
    """A process of Ray on one of its machines. It makes what it works with when it gets its first item."""

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
