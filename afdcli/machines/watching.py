"""Which items take long, of those that other processes work on: who shows progress is told while they still do."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from itertools import count
from typing import Any, TypeVar

LONG = 5.0
"""Seconds after which an item is told of."""
EACH = 1.0
"""Seconds between two looks at what is in work."""

Item = TypeVar("Item")
Result = TypeVar("Result")

tell: Callable[[Any], None] | None = None
"""Who wants to know: set by who shows progress, for as long as that is."""


class Watch:
    """What of each tray of items is in work, and since when, in memory that all processes share."""

    def __init__(self, trays: int) -> None:
        try:
            self._work: Any = multiprocessing.RawArray("d", 2 * trays)
        except OSError:  # where there is no place that processes can share
            self._work = None
        self._told: set[tuple[int, float]] = set()

    def marking(self, function: Callable[[Item], Result], tray: int) -> Callable[[Item], Result]:
        """`function`, to be called for each item of a tray in turn, saying each time that it begins."""
        numbers = count()

        def run(item: Item) -> Result:
            if self._work is not None:
                self._work[2 * tray : 2 * tray + 2] = [next(numbers), time.time()]
            return function(item)

        return run

    def result(self, waiting: Iterable[tuple[list[Any], int, Future[Result]]]) -> Result:
        """The result of the first of those `waiting`: items, tray and future; meanwhile, it is told what takes long."""
        _, _, first = next(iter(waiting))
        while tell is not None and not wait([first], timeout=EACH).done:
            for items, tray, future in waiting:
                if self._work is not None and not future.done():
                    self._look(items, tray)
        return first.result()

    def _look(self, items: list[Any], tray: int) -> None:
        number, begun = self._work[2 * tray : 2 * tray + 2]
        is_long = begun and time.time() - begun > LONG and number < len(items)
        if tell is not None and is_long and (tray, begun) not in self._told:
            self._told.add((tray, begun))
            tell(items[int(number)])
