"""Work on many files at once, in order, in little memory, and unharmed by a file that kills a decoder."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import multiprocessing.util
import os
import pickle
import signal
import sys
import tempfile
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import cycle, islice
from typing import Any, TypeVar

import numpy as np

from afdcli.errors import AfdError, Fallback
from afdcli.machines import limits, places
from afdcli.machines.hardware import MOST_PROCESSES, reuse_some_memory
from afdcli.machines.watching import Watch

CRASHED = "damaged image: its decoder crashed, or ran out of memory"
"""The `error` of a photo on which the process that decoded it died."""

SEVERAL = 8
"""Items that a process gets at a time, at most: each message between processes costs as much as some work."""

Item = TypeVar("Item")
Result = TypeVar("Result")
Packed = tuple[bytes, list[int]]
"""Results without their arrays, pickled, and how many bytes each of those takes on its tray."""
NO_PROCESSES = (
    "Worker processes cannot be started here ({}), so {} threads do their work: it is slower, and a photo that crashes "
    "its decoder ends the run. They need a folder for temporary files that TMPDIR names, and on Linux /dev/shm."
)
"""What is said where there can be no processes: for what reason, and how many threads there are instead."""


def ordered_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    ahead: int | None = None,
    room: int = 0,
    crashed: Callable[[Item], Result],
) -> Iterator[Result]:
    """`function` of each item, in the order of the items, worked out by `workers` processes (0: by this one).

    At most `ahead` items are taken from `items` before their turn; by default, what keeps all processes busy. Where the
    arrays of a result take `room` bytes or less, they come through shared memory. An exception of `function` is raised
    here. An item on which a process dies (a decoder's crash, the system's memory killer), or that there is not enough
    memory for, gives `crashed(item)`. Where processes cannot be started, threads do the work.
    """
    if workers == 0:
        yield from map(partial(_here, function, crashed), items)
        return
    items = iter(items)
    ahead = 2 * SEVERAL * workers if ahead is None else ahead
    several = max(1, min(SEVERAL, ahead // (2 * workers)))  # each process works on some while the next wait for it
    flight = _Flight(max(1, ahead // several))
    trays = _Trays(flight.most, several * room)
    free = cycle(range(flight.most))  # The parts that wait are consecutive, so no two of them have the same tray.
    try:
        pool = _started(workers, function, trays)
    except (OSError, ImportError, NotImplementedError) as error:
        warnings.warn(Fallback(NO_PROCESSES.format(error, workers)), stacklevel=2)
        yield from threaded_map(partial(_here, function, crashed), items, max(1, min(workers, ahead - 1)))
        return
    waiting: deque[tuple[list[Item], int, Future[Packed]]] = deque()
    try:
        while True:
            while len(waiting) < flight.most and (some := list(islice(items, several))):
                tray = next(free)
                waiting.append((some, tray, _submit(pool, function, some, tray)))
            if not waiting:
                return
            some, tray, _ = waiting[0]
            try:
                results: list[Result | _NoMemory] = trays.take(tray, trays.watch.result(waiting))
            except BrokenProcessPool:
                # Nobody says which item it was, so each one without a result has a process to itself.
                pool.shutdown()
                workers = flight.after_a_crash(workers)
                pool = _pool(workers, function, trays)
                waiting = deque(
                    (some, tray, _isolated(function, some, future, crashed)) for some, tray, future in waiting
                )
                continue
            waiting.popleft()
            flight.landed()
            for item, result in zip(some, results, strict=False):
                yield crashed(item) if isinstance(result, _NoMemory) else result
            if rest := some[len(results) :]:
                waiting.appendleft((rest, tray, _submit(pool, function, rest, tray)))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class _Flight:
    """How many parts may be on their way: half as many each time a container's memory gets short."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._limited = limits.memory() is not None
        self._ended = limits.ended_processes()
        self._landed = 0

    def landed(self) -> None:
        """One part is through; once all have come that were on their way, see whether there may be as many again."""
        self._landed += 1
        if self._limited and self._landed >= self.most:
            self._landed = 0
            if limits.memory_is_short():
                self.most = max(1, self.most // 2)

    def after_a_crash(self, workers: int) -> int:
        """How many processes to go on with: half as many where the system has ended one for want of memory."""
        before, self._ended = self._ended, limits.ended_processes()
        if self._ended == before:
            return workers
        self.most = max(1, self.most // 2)
        return max(1, workers // 2)


class _NoMemory:
    """What stands for the result of an item for which there was not enough memory."""


def _here(function: Callable[[Item], Result], crashed: Callable[[Item], Result], item: Item) -> Result:
    """`function` of one item, in this process."""
    try:
        return function(item)
    except MemoryError:
        return crashed(item)


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
    """`items` in lists of `size`, in their order; the last list may be shorter."""
    items = iter(items)
    return iter(lambda: list(islice(items, size)), [])


class _Trays:
    """Memory that all processes share: through a pipe, photos would take 5 to 10 % longer to read.

    It has no name, so nothing is left of it whatever happens to the processes.
    """

    def __init__(self, count: int, size: int) -> None:
        self._size = size
        self.watch = Watch(count)
        try:
            self._memory: Any = multiprocessing.RawArray("B", max(1, count * size))
        except OSError:  # There is no place for so much: then all results come through pipes.
            self._size, self._memory = 0, bytearray(1)

    def put(self, tray: int, results: list[Any]) -> Packed:
        """Lay the arrays of `results` on a tray; those that there is no place for stay with the rest."""
        place, sizes = self._place(tray), list[int]()

        def lay(buffer: pickle.PickleBuffer) -> bool:
            array, begin = np.frombuffer(buffer.raw(), np.uint8), sum(sizes)
            if begin + len(array) > self._size:
                return True
            place[begin : begin + len(array)] = array
            sizes.append(len(array))
            return False

        return pickle.dumps(results, protocol=5, buffer_callback=lay), sizes

    def take(self, tray: int, packed: Packed) -> list[Any]:
        """The results that `put` laid on the tray `tray`, their arrays copied, so that the tray is free."""
        data, sizes = packed
        arrays = np.split(self._place(tray)[: sum(sizes)], np.cumsum(sizes)[:-1])
        results: list[Any] = pickle.loads(data, buffers=[array.copy() for array in arrays])
        return results

    def _place(self, tray: int) -> np.ndarray:
        return np.frombuffer(self._memory, np.uint8)[tray * self._size : (tray + 1) * self._size]


_trays: _Trays
"""In a worker: where its results go."""


def _started(workers: int, function: Callable[..., object], trays: _Trays) -> ProcessPoolExecutor:
    """Processes that are known to start.

    Raises:
        OSError, ImportError, NotImplementedError: the system lacks what it takes.
    """
    if sys.platform != "win32" and (folder := places.for_sockets()) is not None:
        before, tempfile.tempdir = tempfile.tempdir, str(folder)
        try:
            multiprocessing.util.get_temp_dir()  # which is where it keeps its sockets from now on
        finally:
            tempfile.tempdir = before
    pool = _pool(workers, function, trays)
    pool.submit(_nothing)
    return pool


def _pool(workers: int, function: Callable[..., object], trays: _Trays | None = None) -> ProcessPoolExecutor:
    """Processes that are ready for `function`: the server that they are forked from has its module already."""
    # Forking this process is unsafe once torch has started threads; a server that never had any can be forked.
    method = "spawn" if sys.platform == "win32" else "forkserver"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload([__name__, *_modules_of(function)])
    return ProcessPoolExecutor(
        min(workers, MOST_PROCESSES), mp_context=context, initializer=_start_worker, initargs=(trays,)
    )


def _modules_of(function: Callable[..., object]) -> list[str]:
    """The name of the module of `function`; none where that is the program, which workers import when they start."""
    while isinstance(function, partial):
        function = function.func
    return [function.__module__] if function.__module__ != "__main__" else []


def _submit(
    pool: ProcessPoolExecutor, function: Callable[[Item], Result], items: list[Item], tray: int
) -> Future[Packed]:
    try:
        return pool.submit(_each_on_tray, function, items, tray)
    except BrokenProcessPool as error:
        future: Future[Packed] = Future()
        future.set_exception(error)
        return future


def _each_on_tray(function: Callable[[Item], Result], items: list[Item], tray: int) -> Packed:
    return _trays.put(tray, _each(_trays.watch.marking(function, tray), items))


def _each(function: Callable[[Item], Result], items: list[Item]) -> list[Result | _NoMemory]:
    """The results up to the first item that raises an exception; if that is the very first one, its exception."""
    results: list[Result | _NoMemory] = []
    for item in items:
        try:
            results.append(function(item))
        except MemoryError:
            results.append(_NoMemory())
        except Exception:
            if not results:
                raise
            break
    return results


def _isolated(
    function: Callable[[Item], Result],
    items: list[Item],
    future: Future[Packed],
    crashed: Callable[[Item], Result],
) -> Future[Packed]:
    """`future` if it has results, else a finished one, worked out in a process for each item."""
    if not isinstance(future.exception(), BrokenProcessPool):
        return future
    done: Future[Packed] = Future()
    try:
        done.set_result((pickle.dumps(_each(lambda item: _alone(function, item, crashed), items)), []))
    except Exception as error:  # raised when its turn comes
        done.set_exception(error)
    return done


def _alone(function: Callable[[Item], Result], item: Item, crashed: Callable[[Item], Result]) -> Result:
    with _pool(1, function) as pool:
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


def _start_worker(trays: _Trays | None) -> None:
    if trays:
        global _trays
        _trays = trays
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent answers it.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    silence_decoders()
    reuse_some_memory()


def silence_decoders() -> None:
    """Send to nowhere what this process writes to standard error, for one that does nothing but decode.

    libtiff writes its complaints straight to standard error, by the thousand on a bad folder; what matters is in the
    error of the file's row.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _end_with_parent() -> None:
    """Without this, a worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)
