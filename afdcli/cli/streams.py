"""The standard streams as a command finds them: closed, full, without a reader, or of an encoding that lacks letters.

None of that keeps a command from its work. What cannot be shown is dropped, and the exit code tells of it at the end.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from afdcli.cli.ending import ALL_READ, NOT_SHOWN, PIPE_CLOSED, SOME_FAILED
from afdcli.errors import OutputRefused
from afdcli.formats.rows import FORMATS, Columns, Lines, Row
from afdcli.options import ClassifyOptions
from afdcli.options.groups import STANDARD_OUTPUT, STREAMED


class Lasting:
    r"""A text stream that never fails: once it takes no more, all is dropped. Letters it lacks show as `\xe4`."""

    def __init__(self, stream: TextIO | None) -> None:
        """Write to `stream`; None, as Python has it where it was closed, drops all."""
        self.stream = stream
        self.error: OSError | None = None
        """Why it takes no more."""
        self.encoding = (stream and stream.encoding) or "utf-8"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def isatty(self) -> bool:
        """Whether somebody sees it."""
        return self.stream is not None and self.stream.isatty()

    def write(self, text: str) -> int:
        """Write `text`, as far as it can be."""
        shown = text.encode(self.encoding, "backslashreplace").decode(self.encoding)
        if self.stream is not None and self.error is None:
            try:
                self.stream.write(shown)
            except OSError as error:
                self._give_up(error)
        return len(text)

    def write_bytes(self, data: bytes) -> bool:
        """Write `data` as it is, and hand it on; whether that could be."""
        if self.stream is not None and self.error is None:
            try:
                self.stream.buffer.write(data)
                self.stream.flush()
            except OSError as error:
                self._give_up(error)
        return self.stream is not None and self.error is None

    def flush(self) -> None:
        """Hand on what was written."""
        if self.stream is not None and self.error is None:
            try:
                self.stream.flush()
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Python would try again, and complain, when it ends: so what it has goes to nowhere."""
        self.error = error
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)


class RowStream:
    """Rows on standard output, for another program to read: exactly as a file has them, each once it is there."""

    def __init__(self, options: ClassifyOptions) -> None:
        """Where `options` want them there, take standard output: what else is shown goes to standard error from now on.

        It is so until `lasting` ends.
        """
        self._ending = STREAMED[options.format]
        self._stream: Any = None
        if options.output == STANDARD_OUTPUT:
            self._stream, sys.stdout = sys.stdout, sys.stderr
        self._lines: Lines | None = None

    @property
    def is_seen(self) -> bool:
        """Whether rows come on a terminal, where a bar would stand in their way."""
        return self._stream is not None and self._stream.isatty()

    def begin(self, columns: Columns) -> None:
        """Write what comes before the rows.

        Raises:
            OutputRefused: there is no standard output, or it is full.
        """
        self._lines = FORMATS[self._ending].lines(columns)
        self._take(self._lines.head)

    def take(self, row: Row) -> bool:
        """Hand on a row, if rows go there; False once nobody reads them any more.

        Raises:
            OutputRefused: standard output is full.
        """
        return self._lines is None or self._stream is None or self._take(self._lines.encode(row))

    def _take(self, data: bytes) -> bool:
        if self._stream is None:
            return True
        taken: bool = self._stream.write_bytes(data)
        if not taken and not isinstance(self._stream.error, BrokenPipeError):
            why = "it is closed" if self._stream.error is None else self._stream.error.strerror
            raise OutputRefused(f"Standard output cannot be written: {why}. Name a file with --output.")
        return taken


@contextmanager
def lasting() -> Iterator[tuple[Lasting, Lasting]]:
    """Within this, standard output and standard error are `Lasting`; gives both."""
    _occupy()
    before = sys.stdout, sys.stderr
    out, err = Lasting(sys.stdout), Lasting(sys.stderr)
    sys.stdout, sys.stderr = out, err  # type: ignore[assignment]
    try:
        yield out, err
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before


def _occupy() -> None:
    """Have something at the numbers of all standard streams.

    A file that is opened gets the lowest number that is free: rows would get that of standard output, say, and all
    that libraries print would be among them.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)


def exit_code(code: int, out: Lasting, err: Lasting) -> int:
    """What to end with where the work ends with `code`: a reader that has gone, or a full disk, is told by it."""
    out.flush()
    err.flush()
    errors = [one.error for one in (out, err) if one.error is not None]
    if code not in (ALL_READ, SOME_FAILED) or not errors:
        return code
    if any(isinstance(error, BrokenPipeError) for error in errors):
        return PIPE_CLOSED
    if out.error is not None:
        err.write(f"afd: Standard output cannot be written: {out.error.strerror}. All else was done.\n")
    return NOT_SHOWN
