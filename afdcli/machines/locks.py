"""One writer for each output: two runs that write the same file would make of it what neither meant.

A lock is the operating system's, of a file beside the output. It goes with its process, however that ends: what a
killed run left behind locks nothing. Where a file system has no locks, or no file can be made, nothing is locked.
"""

from __future__ import annotations

import os
import platform
import sys
import weakref
from contextlib import suppress
from pathlib import Path

from afdcli.atomic import PREFIX
from afdcli.errors import OutputRefused

ENDING = ".lock"
BEGIN = b"afd writes here: "
"""How the file of a lock begins; who has it follows. What begins otherwise is somebody else's, and left alone."""
BEYOND = 2**30
"""The byte that is locked on Windows: what is locked there cannot be read."""


class Lock:
    """The right of this process to write `path`, as long as this object is there, or to the end of a `with` block.

    The same process may have several of the same path.
    """

    def __init__(self, path: Path) -> None:
        """Take it.

        Raises:
            OutputRefused: another process has it.
        """
        self.file = path.absolute().with_name(f"{PREFIX}{path.name}{ENDING}")
        if any(one.file == self.file for one in _held):
            return
        try:
            number = _locked(self.file)
        except BlockingIOError:
            who = _holder(self.file)
            raise OutputRefused(
                f"'{path}' is being written by another afd{who}. Wait for that, or choose another place."
            ) from None
        except OSError:  # Whether the output can be written is not for a lock to say.
            return
        self._release = weakref.finalize(self, _unlock, number, self.file)
        _held.add(self)

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Let others write."""
        if self in _held:
            _held.discard(self)
            self._release()


_held: weakref.WeakSet[Lock] = weakref.WeakSet()


def release_all() -> None:
    """Let others write whatever this process has locked: it is ending."""
    for one in list(_held):
        one.release()


def _locked(path: Path) -> int:
    """Make and lock the file at `path`, and write into it who has it; returns the number that it is open by.

    Raises:
        BlockingIOError: another process has locked it.
        OSError: it cannot be made, or locked, or is somebody else's.
    """
    while True:
        number = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            _lock(number)
            if _is_at(path, number):  # and not one that its holder has deleted just now
                if not (os.read(number, len(BEGIN)) or BEGIN) == BEGIN:
                    raise FileExistsError(path)
                _sign(number)
                return number
        except BaseException:
            os.close(number)
            raise
        os.close(number)


def _sign(number: int) -> None:
    """Write who has the lock, for those who come later; where the disk is full, they will not know."""
    with suppress(OSError):
        os.ftruncate(number, 0)
        os.lseek(number, 0, os.SEEK_SET)
        os.write(number, BEGIN + f"process {os.getpid()} on {platform.node() or 'this machine'}".encode())


def _holder(path: Path) -> str:
    """Who has locked the file at `path`, as a sentence has it; empty where it does not say so."""
    try:
        text = path.read_bytes()
    except OSError:
        return ""
    return ", " + text.removeprefix(BEGIN).decode("utf-8", "replace") if text.startswith(BEGIN) else ""


def _is_at(path: Path, number: int) -> bool:
    try:
        return os.path.samestat(os.fstat(number), path.stat())
    except FileNotFoundError:
        return False


def _lock(number: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(number, BEYOND, os.SEEK_SET)
        try:
            msvcrt.locking(number, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            raise BlockingIOError from None
        os.lseek(number, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _unlock(number: int, path: Path) -> None:
    """Delete the file, if it is still this one, and let it go: on Windows the other way round, or it could not be."""
    with suppress(OSError):
        if sys.platform == "win32":
            os.close(number)
            path.unlink()
        elif _is_at(path, number):
            path.unlink()
    if sys.platform != "win32":
        os.close(number)
