"""Files that are whole or not there: each is written under another name beside its place, and then moved to it."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from afdcli.errors import AfdError, OutputRefused

PREFIX = ".afd-"
"""What the names begin with that files have until they are whole; only a killed process leaves any."""

FULL = 1 << 26
"""With no more bytes free, what a library could not write found no room: some take back what they had begun."""


@contextmanager
def file(path: Path) -> Iterator[Path]:
    """Give a new name beside `path`, with its ending, to write to; what is there takes its place at the end.

    If the block fails, `path` stays as it was, and nothing is left beside it.

    Raises:
        OutputRefused: the block, or the move, raised an OSError: no permission; or anything, with the disk full.
    """
    fresh = path.with_name(PREFIX + os.urandom(8).hex() + path.suffix)
    try:
        yield fresh
        os.replace(fresh, path)
    except Exception as error:
        raise _in_words(path, path.parent, error) from None
    finally:
        with suppress(FileNotFoundError):
            fresh.unlink()


@contextmanager
def files(folder: Path) -> Iterator[Path]:
    """Give an empty folder inside `folder`; the files written to it are moved up, together, at the end.

    If the block fails, none is.

    Raises:
        OutputRefused: the block, or a move, raised an OSError; or anything, with the disk full.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=PREFIX, dir=folder) as fresh:
            try:
                yield Path(fresh)
            except Exception as error:  # here, where what was written still fills the disk
                raise _in_words(folder, folder, error) from None
            for path in sorted(Path(fresh).iterdir()):
                os.replace(path, folder / path.name)
    except OSError as error:
        raise _in_words(folder, folder, error) from None


def _in_words(path: Path, folder: Path, error: Exception) -> Exception:
    """What to raise for `error`, on the way to `path`: libraries that write files say many things of a full disk."""
    if isinstance(error, AfdError):
        return error
    if not isinstance(error, OSError):
        if shutil.disk_usage(folder).free > FULL:
            return error
        error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return OutputRefused(f"'{path}' cannot be written: {error.strerror or error}. Mend that, or choose another place.")
