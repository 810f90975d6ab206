"""Files that are whole or not there: each is written under another name beside its place, and then moved to it."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from afdcli.errors import OutputRefused

PREFIX = ".afd-"
"""What the names begin with that files have until they are whole; only a killed process leaves any."""


@contextmanager
def file(path: Path) -> Iterator[Path]:
    """Give a new name beside `path`, with its ending, to write to; what is there takes its place at the end.

    If the block fails, `path` stays as it was, and nothing is left beside it.

    Raises:
        OutputRefused: the block, or the move, raised an OSError: no room, no permission.
    """
    fresh = path.with_name(PREFIX + secrets.token_hex(8) + path.suffix)
    try:
        yield fresh
        os.replace(fresh, path)
    except OSError as error:
        raise _refused(path, error) from None
    finally:
        with suppress(FileNotFoundError):
            fresh.unlink()


@contextmanager
def files(folder: Path) -> Iterator[Path]:
    """Give an empty folder inside `folder`; the files written to it are moved up, together, at the end.

    If the block fails, none is.

    Raises:
        OutputRefused: the block, or a move, raised an OSError.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=PREFIX, dir=folder) as fresh:
            yield Path(fresh)
            for path in sorted(Path(fresh).iterdir()):
                os.replace(path, folder / path.name)
    except OSError as error:
        raise _refused(folder, error) from None


def _refused(path: Path, error: OSError) -> OutputRefused:
    return OutputRefused(f"'{path}' cannot be written: {error.strerror or error}. Mend that, or choose another place.")
