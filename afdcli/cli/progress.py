"""How far a run is, what failed in it, and how it ended: all read, some failed, or stopped by Ctrl-C."""

from __future__ import annotations

import time
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from afdcli.cli.ending import ALL_READ, SOME_FAILED, code_of
from afdcli.cli.report import err, shown
from afdcli.machines import watching

PLAIN_INTERVAL = 10.0
"""Seconds between the lines that stand for a progress bar where there is no terminal."""
PLAIN_SHARE = 0.1
"""The same as a share of the time so far: a night's log is no longer than an hour's."""
SETTLED = 2.0
"""Seconds after the first result from which on the rate is that since then."""
BURST = 0.2
"""Results that come so many seconds after the first are of its batch."""
FAILURES_SHOWN = 5


def in_words(seconds: float) -> str:
    """A time that is still to wait, no more exactly than it can be known: `40 s`, `12 min`, `3 h 20 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60 // 10 * 10} min"


class Tracker:
    """How far a batch is: a bar on a terminal, now and then a line in a pipe, nothing if `quiet`.

    A context manager that ends on Ctrl-C, or SIGTERM, without an exception, and then is `interrupted`.
    """

    def __init__(self, total: int, noun: str, quiet: bool, already: int = 0) -> None:
        """`already` of the `total` were done by an earlier run, and do not count for the rate."""
        self.done = 0
        self.failed = 0
        self.interrupted: KeyboardInterrupt | None = None
        """What has stopped it."""
        self.noun = noun
        self._total, self._already = total, already
        self._failures: list[tuple[str, str]] = []
        self._begun = self._said = time.monotonic()
        self._base = (self._begun, already)
        """When, and with how many done, the rate begins: the first result comes after processes have started."""
        self._quiet, self._plain = quiet, not quiet and not err.is_terminal
        self._bar = Progress(
            BarColumn(bar_width=30),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f} " + noun),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[note]}"),
            TextColumn("[red]{task.fields[failed]}"),
            console=err,
            transient=True,
            disable=quiet or self._plain,
        )
        self._task = self._bar.add_task("", total=total, rate="", left="", note="", failed="")

    def __enter__(self) -> Tracker:
        self._bar.start()
        watching.tell = None if self._quiet else self._takes_long
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        watching.tell = None
        self._bar.stop()
        self.interrupted = error if isinstance(error, KeyboardInterrupt) else None
        return self.interrupted is not None

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._begun

    def reach(self, done: int, note: str) -> None:
        """`done` are done in all; a `note` says how it goes."""
        self.done = done
        self._show(note)

    def advance(self, name: str, error: str | None) -> None:
        """One more is done: `name`, which failed if there is an `error`."""
        self.done += 1
        if error:
            self.failed += 1
            if self.failed <= FAILURES_SHOWN:
                self._failures.append((name, error))
        self._show()

    def _show(self, note: str = "") -> None:
        rate = self.rate()
        left = f"{in_words((self._total - self.done) / rate)} left" if rate else ""
        failed = f"{self.failed:,} failed" if self.failed else ""
        self._bar.update(
            self._task, completed=self.done, rate=f"{rate:.1f} a second", left=left, note=note, failed=failed
        )
        if self._plain and time.monotonic() - self._said >= max(PLAIN_INTERVAL, PLAIN_SHARE * self.seconds):
            self._said = time.monotonic()
            parts = [f"{self.done:,} of {self._total:,} {self.noun}", f"{rate:.1f} a second", note, failed, left]
            err.print(", ".join(filter(None, parts)), markup=False)

    def rate(self) -> float:
        """How many are done in a second: from the first results on, once that is long enough to tell."""
        now = time.monotonic()
        begun, done = self._base
        if self.done - self._already <= 1 or (done > self._already and now - begun < BURST):
            self._base = (now if done <= self._already else begun), max(self.done, self._already)
        begun, done = self._base
        if now - begun >= SETTLED and self.done > done:
            return (self.done - done) / (now - begun)
        return max(self.done - self._already, 0) / max(self.seconds, 1e-9)

    def _takes_long(self, item: Any) -> None:
        """Name what one of the processes has been at for long."""
        source = getattr(item, "source", item)
        name = getattr(source, "name", None) or (item[1] if isinstance(item, tuple) else item)
        err.print(f"Still at {shown(str(name))}, after {watching.LONG:.0f} s.", markup=False)

    def conclude(self, where: str) -> int:
        """Name the first failures and `where` the others are; returns the exit code."""
        if not self.failed:
            return ALL_READ
        err.print(f"\n{self.failed:,} of {self._total:,} {self.noun} could not be used:", style="bold", markup=False)
        width = max(len(shown(name)) for name, _ in self._failures)
        for name, error in self._failures:
            err.print(Text.assemble(f"  {shown(name):{width}}  ", (shown(error), "red")))
        if self.failed > FAILURES_SHOWN:
            err.print(f"  and {self.failed - FAILURES_SHOWN:,} more. {shown(where)}", markup=False)
        return SOME_FAILED


def stopped(tracker: Tracker, advice: str) -> int:
    """Say how far it came before it was interrupted; returns the exit code."""
    err.print(f"Stopped after {tracker.done:,} {tracker.noun}. {shown(advice)}", markup=False)
    return code_of(tracker.interrupted)
