"""Which files a command works on: every input once, in an order that is the same on every run."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from afdcli.errors import WrongUse

_IMAGE_NAMES = "jpg jpeg jpe jfif mpo png apng webp avif avifs gif bmp dib tif tiff ppm pgm pbm pnm"
IMAGE_ENDINGS = frozenset("." + name for name in _IMAGE_NAMES.split(" "))
"""What counts as a photo inside a folder. A file named by the user always counts."""


@dataclass(frozen=True, slots=True)
class Source:
    """One input."""

    path: str
    """For opening. Bytes that are no UTF-8 are kept as surrogates (`os.fsdecode`)."""
    name: str
    """For showing: relative to the folder given, with `/` between folders on every system."""
    error: str = ""
    """Why it cannot be read, where that showed while searching."""


def expand_inputs(inputs: Sequence[str]) -> list[str]:
    """The folders and files that `inputs` names: patterns matched, `-` replaced by the list on standard input.

    The list is split at NULs if it has any (`find -print0`), else at line ends. What the list names may be missing,
    and will be reported as such in its place; a missing argument is more likely a typing error.

    Raises:
        WrongUse: an argument that does not exist, or a pattern that matches nothing.
    """
    paths: list[str] = []
    for text in inputs:
        if text == "-":
            listed = sys.stdin.buffer.read()
            lines = listed.split(b"\0") if b"\0" in listed else listed.splitlines()
            paths += [os.fsdecode(line) for line in lines if line]
        elif os.path.lexists(text):
            paths.append(text)
        elif glob.has_magic(text):
            matches = sorted(glob.glob(text, recursive=True))
            if not matches:
                raise WrongUse(f"No file matches '{printable(text)}'.")
            paths += matches
        else:
            raise WrongUse(f"There is no file or folder '{printable(text)}'. Check the spelling.")
    return paths


def find_images(paths: Sequence[str]) -> Iterator[Source]:
    """The files of `paths` in the order given, folders searched recursively and in order of name.

    Names are relative to the folder where there is only one, else they begin with the path as given. Names that begin
    with a dot are passed over, as elsewhere; links to folders are followed, once round. Memory is that of one folder.
    """
    alone = len(paths) == 1
    for path in paths:
        if os.path.isdir(path):
            yield from _search(path, "" if alone else path.rstrip("/") + "/", ())
        else:
            yield Source(path, os.path.basename(path) if alone else path)


def _search(folder: str, prefix: str, parents: tuple[tuple[int, int], ...]) -> Iterator[Source]:
    """The images below `folder`, whose own parents are known by (device, inode)."""
    try:
        status = os.stat(folder)
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        yield Source(folder, prefix.rstrip("/") or folder, f"folder cannot be read: {error.strerror}")
        return
    parents += ((status.st_dev, status.st_ino),)
    for entry in entries:
        if entry.name.startswith("."):
            continue
        name = prefix + entry.name
        is_image = os.path.splitext(entry.name)[1].lower() in IMAGE_ENDINGS
        # Asking a plain file nothing saves one system call for each photo.
        if not (entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and os.path.isdir(entry.path))):
            if is_image:
                yield Source(entry.path, name)
            continue
        if is_image:
            yield Source(entry.path, name, "a folder, not a file")
        if entry.is_symlink() and _identity(entry.path) in parents:
            yield Source(entry.path, name, "symbolic link to a folder that contains it")
        else:
            yield from _search(entry.path, name + "/", parents)


def _identity(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def printable(name: str) -> str:
    r"""`name` as text that is valid UTF-8: bytes that are not show as `\xff`, everything else stays.

    Control characters stay as well: in a CSV they are quoted. For a terminal, see `report`.
    """
    return os.fsencode(name).decode("utf-8", "backslashreplace")
