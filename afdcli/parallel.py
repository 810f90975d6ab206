"""Work on many files at once, in order, in little memory, and unharmed by a file that kills a decoder."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

from afdcli.errors import AfdError
from afdcli.images import silence_decoders

CRASHED = "damaged image: its decoder crashed, or ran out of memory"
"""The error of a source on which a process died."""

SEVERAL = 8
"""Items that a process gets at a time, at most: each message between processes costs as much as some work."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    ahead: int | None = None,
    crashed: Callable[[Item], Result],
) -> Iterator[Result]:
    """`function` of each item, in the order of the items, worked out by `workers` processes (0: by this one).

    At most `ahead` items are taken from `items` before their turn; by default, what keeps all processes busy. An
    exception of `function` is raised here. An item on which a process dies (a decoder's crash, the system's memory
    killer) gives `crashed(item)`.
    """
    if workers == 0:
        yield from map(function, items)
        return
    items = iter(items)
    ahead = 2 * SEVERAL * workers if ahead is None else ahead
    several = max(1, min(SEVERAL, ahead // (2 * workers)))  # each process works on some while the next wait for it
    pool = _pool(workers)
    waiting: deque[tuple[list[Item], Future[list[Result]]]] = deque()
    try:
        while True:
            while len(waiting) < max(1, ahead // several) and (some := list(islice(items, several))):
                waiting.append((some, _submit(pool, function, some)))
            if not waiting:
                return
            some, future = waiting[0]
            try:
                results = future.result()
            except BrokenProcessPool:
                # Nobody says which item it was, so each one without a result has a process to itself.
                pool.shutdown()
                pool = _pool(workers)
                waiting = deque((some, _isolated(function, some, future, crashed)) for some, future in waiting)
                continue
            waiting.popleft()
            yield from results
            if rest := some[len(results) :]:
                waiting.appendleft((rest, _submit(pool, function, rest)))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def threaded_map(function: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """`function` of each item, in order, worked out by `threads` threads while the caller is busy with what is done.

    With 0, all is done by the caller: so it must be with torch, which in other threads gets fresh memory all the time.
    """
    if threads == 0:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        running: deque[Future[Result]] = deque()
        for item in items:
            running.append(pool.submit(function, item))
            if len(running) > threads:
                yield running.popleft().result()
        for last in running:
            yield last.result()


def in_parts(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """`items`, so many at a time; the last part may be short."""
    items = iter(items)
    return iter(lambda: list(islice(items, size)), [])


def _pool(workers: int) -> ProcessPoolExecutor:
    # Forking this process is unsafe once torch has started threads; a server that never had any can be forked.
    method = "spawn" if sys.platform == "win32" else "forkserver"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload([__name__])
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)


def _submit(pool: ProcessPoolExecutor, function: Callable[[Item], Result], items: list[Item]) -> Future[list[Result]]:
    try:
        return pool.submit(_each, function, items)
    except BrokenProcessPool as error:
        future: Future[list[Result]] = Future()
        future.set_exception(error)
        return future


def _each(function: Callable[[Item], Result], items: list[Item]) -> list[Result]:
    """The results up to the first item that raises an exception; if that is the very first one, its exception."""
    results: list[Result] = []
    for item in items:
        try:
            results.append(function(item))
        except Exception:
            if not results:
                raise
            break
    return results


def _isolated(
    function: Callable[[Item], Result],
    items: list[Item],
    future: Future[list[Result]],
    crashed: Callable[[Item], Result],
) -> Future[list[Result]]:
    """`future` if it has results, else a finished one, worked out in a process for each item."""
    if not isinstance(future.exception(), BrokenProcessPool):
        return future
    done: Future[list[Result]] = Future()
    try:
        done.set_result(_each(lambda item: _alone(function, item, crashed), items))
    except Exception as error:  # raised when its turn comes
        done.set_exception(error)
    return done


def _alone(function: Callable[[Item], Result], item: Item, crashed: Callable[[Item], Result]) -> Result:
    with _pool(1) as pool:
        try:
            pool.submit(_nothing).result()
        except BrokenProcessPool:
            raise AfdError(
                'Worker processes cannot start. A script needs `if __name__ == "__main__":` around its work, and must '
                "lie in a file; or use 0 workers."
            ) from None
        try:
            return pool.submit(function, item).result()
        except BrokenProcessPool:
            return crashed(item)


def _nothing() -> None:
    """What a worker can do if it can do anything."""


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent answers it.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    silence_decoders()


def _end_with_parent() -> None:
    """Without this, a worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)
