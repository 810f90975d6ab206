"""The process around a command: what it is told by the system, what it tells, and the exit code."""

from __future__ import annotations

import logging
import sys
import warnings
from typing import Any

import typer

from afdcli.cli import ending, streams
from afdcli.errors import AfdError, Fallback, OutputExists
from afdcli.machines import locks
from afdcli.machines.hardware import keep_to_quota

UsageError: type[typer.BadParameter] = typer.BadParameter.__mro__[1]  # type: ignore[assignment]
"""What Typer raises for a flag or an argument that makes no sense; it has no public name of its own."""


def run(app: typer.Typer) -> int:
    """Run the command that the process was started with to its end, whatever that is; returns the exit code.

    After it, the process can only end.
    """
    warnings.simplefilter("ignore")  # Libraries' warnings are for programmers. What a user must know is said by afd.
    warnings.simplefilter("always", Fallback)
    warnings.showwarning = _say
    logging.disable(logging.WARNING)
    keep_to_quota()
    with streams.lasting() as standard, ending.stopped_by_signals():
        try:
            return streams.exit_code(_end(app), *standard)
        finally:
            locks.release_all()


def _end(app: typer.Typer) -> int:
    try:
        return _asking(app) or ending.ALL_READ
    except (AfdError, UsageError) as error:
        from afdcli.cli import report

        return report.refuse(error)
    except (KeyboardInterrupt, typer.Abort) as interrupt:
        return ending.code_of(interrupt)
    except Exception as error:
        from afdcli.cli import report

        return report.fail(error)


def _asking(app: typer.Typer) -> Any:
    """Run the command; where it would replace a finished result, ask whoever sits at a terminal, and run it anew."""
    try:
        return app(standalone_mode=False)
    except OutputExists as found:
        from afdcli.cli.report import shown

        at_terminal = sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
        if not (at_terminal and typer.confirm(shown(f"{found.finding} Replace it?"), err=True)):
            raise
        command = next(place for place, one in enumerate(sys.argv) if place and not one.startswith("-"))
        return app([*sys.argv[1 : command + 1], "--overwrite", *sys.argv[command + 1 :]], standalone_mode=False)


def _say(message: Warning | str, *_: object, **__: object) -> None:
    """Say what is done in another way than it should be."""
    from afdcli.cli import report

    report.err.print(f"afd: {report.shown(str(message))}", markup=False)
