"""How far a run is, what failed in it, and how it ended: all read, some failed, or stopped by Ctrl-C."""

from __future__ import annotations

import time

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from afdcli.cli.ending import ALL_READ, SOME_FAILED, code_of
from afdcli.cli.report import err, shown

PLAIN_INTERVAL = 10.0
"""Seconds between the lines that stand for a progress bar where there is no terminal."""
PLAIN_SHARE = 0.1
"""The same as a share of the time so far: a night's log is no longer than an hour's."""
FAILURES_SHOWN = 5


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
        self._plain = not quiet and not err.is_terminal
        self._bar = Progress(
            BarColumn(bar_width=30),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f} " + noun),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            TextColumn("[red]{task.fields[failed]}"),
            console=err,
            transient=True,
            disable=quiet or self._plain,
        )
        self._task = self._bar.add_task("", total=total, rate="", note="", failed="")

    def __enter__(self) -> Tracker:
        self._bar.start()
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
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
        rate = max(self.done - self._already, 0) / max(self.seconds, 1e-9)
        failed = f"{self.failed:,} failed" if self.failed else ""
        self._bar.update(self._task, completed=self.done, rate=f"{rate:.1f} a second", note=note, failed=failed)
        if self._plain and time.monotonic() - self._said >= max(PLAIN_INTERVAL, PLAIN_SHARE * self.seconds):
            self._said = time.monotonic()
            parts = [f"{self.done:,} of {self._total:,} {self.noun}", f"{rate:.1f} a second", note, failed]
            if rate:
                parts.append(f"{(self._total - self.done) / rate:.0f} s left")
            err.print(", ".join(filter(None, parts)), markup=False)

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
