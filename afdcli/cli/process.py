"""The process around a command: what it is told by the system, what it tells, and the exit code."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable

import typer

from afdcli.cli import ending, streams
from afdcli.errors import AfdError, Fallback
from afdcli.machines.hardware import keep_to_quota

UsageError: type[typer.BadParameter] = typer.BadParameter.__mro__[1]  # type: ignore[assignment]
"""What Typer raises for a flag or an argument that makes no sense; it has no public name of its own."""


def run(command: Callable[[], int | None]) -> int:
    """Run `command` to its end, whatever that is; returns the exit code. After it, the process can only end."""
    warnings.simplefilter("ignore")  # Libraries' warnings are for programmers. What a user must know is said by afd.
    warnings.simplefilter("always", Fallback)
    warnings.showwarning = _say
    logging.disable(logging.WARNING)
    keep_to_quota()
    with streams.lasting() as standard, ending.stopped_by_signals():
        return streams.exit_code(_end(command), *standard)


def _end(command: Callable[[], int | None]) -> int:
    try:
        return command() or ending.ALL_READ
    except (AfdError, UsageError) as error:
        from afdcli.cli import report

        return report.refuse(error)
    except (KeyboardInterrupt, typer.Abort) as interrupt:
        return ending.code_of(interrupt)
    except Exception as error:
        from afdcli.cli import report

        return report.fail(error)


def _say(message: Warning | str, *_: object, **__: object) -> None:
    """Say what is done in another way than it should be."""
    from afdcli.cli import report

    report.err.print(f"afd: {report.shown(str(message))}", markup=False)
