"""How a command ends: exit codes, the signals that stop it, and what to do with an exception that nobody foresaw."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from afdcli.errors import AfdError

ALL_READ, SOME_FAILED, REFUSED = 0, 1, AfdError.exit_code
"""Every input was read; some were not, see the rows; nothing was done (an `AfdError` may have a code of its own)."""
UNEXPECTED, NOT_SHOWN = 70, 74
"""A mistake in afd, or no memory; all was done, and standard output did not take it: as in BSD's sysexits.h."""
INTERRUPTED, PIPE_CLOSED = 130, 141
"""Ctrl-C; whoever read the output has gone. Other signals end with 128 and their number, as in every shell."""

EXIT_CODES = (
    "Exit codes: 0, every file was read; 1, some were not, and their rows say why; 2, nothing was done, and a sentence "
    "says why; 3, training stopped by itself; 70, a mistake in afd, or no memory left; 74, all was done, but standard "
    "output did not take what was to be shown; 130, stopped by Ctrl-C; 141, whoever read the output has gone; 143, "
    "stopped by SIGTERM."
)
"""What `--help` says of them."""


class Stopped(KeyboardInterrupt):
    """A signal asks this process to end: what is done about Ctrl-C is done about it, but for the exit code."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


def code_of(interrupt: BaseException | None) -> int:
    """The exit code of a command that `interrupt` has stopped, or what Typer makes of that."""
    cause = next((one for one in (interrupt, interrupt and interrupt.__cause__) if isinstance(one, Stopped)), None)
    return INTERRUPTED if cause is None else cause.exit_code


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Within this, SIGTERM, which batch systems send, and SIGHUP, of a terminal that goes, raise `Stopped`: once.

    After it they are ignored, for the process is ending anyhow. So are those that were ignored before, as by nohup.
    What torchrun has started, it ends by itself.
    """
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    taken = [one for one in numbers if signal.getsignal(one) is signal.SIG_DFL and "WORLD_SIZE" not in os.environ]

    def ignore() -> None:
        for one in taken:
            signal.signal(one, signal.SIG_IGN)

    def stop(number: int, _: FrameType | None) -> None:
        ignore()  # A second signal must not come amid what the first one has begun.
        raise Stopped(number)

    for one in taken:
        signal.signal(one, stop)
    try:
        yield
    finally:
        ignore()


def unexpected(error: Exception) -> str:
    """A sentence about an exception that nobody foresaw; where its traceback is, is the second."""
    import traceback
    from importlib import metadata

    from afdcli.machines import places

    if isinstance(error, MemoryError):
        what = "There is not enough memory. Use fewer --workers, or a smaller --batch-size."
    elif isinstance(error, OSError) and places.for_temporary_files() is None:
        what = "There is no folder for temporary files that can be written to. Set TMPDIR to one."
    else:
        what = f"This should not have happened: {type(error).__name__}: {str(error).strip() or 'no more is known'}"
    trace = "".join(traceback.format_exception(error))
    if "--debug" in sys.argv[1:2]:  # it stands before the command, and has no other use
        return f"{what}\n{trace}"
    version = metadata.version("afd-dedrift")
    path = places.write_log(f"afd {version}, Python {sys.version}\n{sys.platform}: {sys.argv}\n\n{trace}")
    return f"{what} (See '{path}', and send it with a report.)" if path else f"{what}\n{trace}"
