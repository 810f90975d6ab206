"""Which files a command works on: every input once, in an order that is the same on every run."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from afdcli.errors import UnreadableImage, WrongUse
from afdcli.photos import remote

_IMAGE_NAMES = (
    "jpg jpeg jpe jfif mpo png apng webp avif avifs gif bmp dib tif tiff ppm pgm pbm pnm jp2 j2k jpx jxl heic heif hif"
)
IMAGE_ENDINGS = frozenset("." + name for name in _IMAGE_NAMES.split(" "))
"""What counts as a photo inside a folder. A file named by the user always counts."""


@dataclass(frozen=True, slots=True)
class Source:
    """One input."""

    path: str
    """For opening: a path, where bytes that are no UTF-8 are kept as surrogates (`os.fsdecode`); or a URI."""
    name: str
    """For showing: relative to the folder given, with `/` between folders on every system."""
    error: str = ""
    """Why it cannot be read, where that showed while searching."""


def expand_inputs(inputs: Sequence[str]) -> list[str]:
    """The folders, files and URIs that `inputs` names: patterns matched, `-` replaced by the list on standard input.

    The list is split at NULs if it has any (`find -print0`), else at line ends. What the list names may be missing,
    and will be reported as such in its place; a missing argument is more likely a typing error.

    Raises:
        WrongUse: an argument that does not exist, or a pattern that matches nothing.
    """
    paths: list[str] = []
    for text in inputs:
        if text == "-":
            listed = sys.stdin.buffer.read()
            lines = listed.split(b"\0") if b"\0" in listed else listed.replace(b"\r\n", b"\n").split(b"\n")
            paths += [os.fsdecode(line) for line in lines if line]
        elif os.path.lexists(text):
            paths.append(text)
        elif remote.is_uri(text):
            paths += remote.expand(text)
        elif glob.has_magic(text):
            matches = sorted(glob.glob(text, recursive=True))
            if not matches:
                raise WrongUse(f"No file matches '{printable(text)}'.")
            # `**` matches the files in a folder as well as the folder, which would be searched again.
            paths += [path for path in matches if "**" not in text or not os.path.isdir(path)]
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
        prefix = "" if alone else path.rstrip("/") + "/"
        if os.path.isdir(path):
            yield from _search(_Folder(path, prefix))
        elif remote.is_uri(path) and not _is_image(path):
            yield from _search_remote(path, prefix)
        else:
            yield Source(path, os.path.basename(path) if alone else path)


@dataclass(frozen=True, slots=True)
class _Folder:
    path: str
    prefix: str
    """What the names in it begin with."""
    parents: tuple[tuple[int, int], ...] = ()
    """The folders around it, by (device, inode)."""


def _search(root: _Folder) -> Iterator[Source]:
    """The images below `root`. Folders can be nested deeper than calls, so this keeps a stack of its own."""
    stack = [_entries(root)]
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
        elif isinstance(entry, _Folder):
            stack.append(_entries(entry))
        else:
            yield entry


def _entries(folder: _Folder) -> Iterator[Source | _Folder]:
    """The images and folders in `folder`, in order of name."""
    try:
        here = _identity(folder.path)
        with os.scandir(folder.path) as listing:
            # Names alone are kept, of what counts. Asking a plain file nothing saves a system call for each photo.
            found = sorted(
                (entry.name, entry.is_dir(follow_symlinks=False), entry.is_symlink())
                for entry in listing
                if not entry.name.startswith(".")
                and (_is_image(entry.name) or not entry.is_file(follow_symlinks=False))
            )
    except OSError as error:
        yield Source(folder.path, folder.prefix.rstrip("/") or folder.path, f"folder cannot be read: {error.strerror}")
        return
    for name, is_folder, is_link in found:
        source = Source(os.path.join(folder.path, name), folder.prefix + name)
        if not (is_folder or (is_link and os.path.isdir(source.path))):
            if _is_image(name):
                yield source
            continue
        if _is_image(name):
            yield replace(source, error="a folder, not a file")
        if is_link and _identity(source.path) in (*folder.parents, here):
            yield replace(source, error="symbolic link to a folder that contains it")
        else:
            yield _Folder(source.path, source.name + "/", (*folder.parents, here))


def _search_remote(uri: str, prefix: str) -> Iterator[Source]:
    """The images below `uri`, as in `_search`; or the one file that it is."""
    try:
        found = list(remote.entries(uri))
    except UnreadableImage as error:
        yield Source(uri, prefix.rstrip("/") or uri, str(error))
        return
    for path, name, is_folder in found:
        if path == uri:
            yield Source(uri, prefix.rstrip("/") or name)
        elif name.startswith("."):
            continue
        elif is_folder:
            yield from _search_remote(path, prefix + name + "/")
        elif _is_image(name):
            yield Source(path, prefix + name)


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_ENDINGS


def _identity(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def printable(name: str) -> str:
    r"""`name` as text that is valid UTF-8: bytes that are not show as `\xff`, everything else stays.

    Control characters stay as well: in a CSV they are quoted. For a terminal, see `report`.
    """
    return os.fsencode(name).decode("utf-8", "backslashreplace")
