"""Folders on this machine: which is which, which are a system's own, and what a pattern matches in them."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Iterable, Iterator

SYSTEM_FOLDERS = (
    *("@eaDir", "@tmp", "#recycle", "#snapshot"),  # Synology
    *("@Recycle", "@Recently-Snapshot", ".@__thumb", ".@upload_cache"),  # QNAP
    *("$RECYCLE.BIN", "System Volume Information", "FOUND.[0-9][0-9][0-9]"),  # Windows
    *(".Trash", ".Trash-*", ".Trashes", "lost+found"),  # Linux, and macOS too
    *("__MACOSX", ".AppleDouble", ".AppleDB", ".AppleDesktop", ".Spotlight-V100", ".fseventsd", ".TemporaryItems"),
    *(".DocumentRevisions-V100", ".snapshot", ".snapshots", "~snapshot", ".zfs"),
)
"""Where NASes and systems keep thumbnails, deleted files and old states of everything: patterns, in any case. The
photos in them are others' doing, and there twice. Whoever names such a folder itself has it searched."""

_SYSTEM_FOLDER = re.compile("|".join(map(fnmatch.translate, SYSTEM_FOLDERS)), re.IGNORECASE)

Identity = tuple[int, int | str]
"""Of a folder, by whatever name it is reached: device and inode; (0, path) where there are none."""


def is_system_folder(name: str) -> bool:
    """Whether a folder called `name` is passed over."""
    return _SYSTEM_FOLDER.match(name) is not None


def identity(folder: str) -> Identity:
    """Which folder `folder` is, links followed; one that is not there differs from all that are."""
    try:
        status = os.stat(folder)
    except (OSError, ValueError):  # ValueError: NUL in a name
        return 0, os.path.abspath(folder)
    return status.st_dev, status.st_ino or os.path.realpath(folder)  # Some network drives number nothing.


class Pattern:
    """A pattern of paths: as in a shell, and `**` for folders at any depth; but what exists is no pattern.

    It is matched part by part. A part that names something in one of the folders is that name; otherwise its brackets
    belong to the name, if so something matches. So `trip [2019]/*.jpg` finds the photos of that trip.
    """

    def __init__(self, text: str) -> None:
        self._parts = text.replace(os.sep, "/").split("/")
        self.passed_over = 0
        """A system's own folders that were not looked into."""

    def matches(self) -> list[str]:
        """What matches, in order of name, each folder that `**` reaches once, however many links lead to it."""
        parts = [*self._parts, "*"] if self._parts[-1] == "**" else self._parts
        found = [""]
        for number, part in enumerate(parts, start=1):
            end = "/" if number < len(parts) else ""
            found = list(self._step(found, part, end))
        if "**" in parts:  # The files in a folder matched as well as the folder, which would be searched again.
            found = [path for path in found if not os.path.isdir(path)] or found
        return sorted(set(found))

    def _step(self, folders: list[str], part: str, end: str) -> Iterable[str]:
        """What `part` matches in `folders`; with "/" as `end`, only folders."""
        if part == "":
            return [f"{folder}{end}" for folder in folders]
        if part == "**":
            return self._below(folders)
        name, wild = glob.escape(part), part.replace("[", "[[]")
        for reading in dict.fromkeys((name, wild, part)):
            found = [path for folder in folders for path in glob.glob(glob.escape(folder) + reading + end)]
            if found and reading != name:
                return [path for path in found if not self._passes_over(path)]
            if found:
                return found
        return []

    def _below(self, folders: Iterable[str]) -> Iterator[str]:
        """`folders` and all folders below them, none twice."""
        seen = set()
        for folder in folders:
            stack = [folder]
            while stack:
                one = stack.pop()
                if identity(one or ".") in seen:
                    continue
                seen.add(identity(one or "."))
                yield one
                inside = glob.glob(glob.escape(one) + "*/")
                stack += (path for path in sorted(inside, reverse=True) if not self._passes_over(path))

    def _passes_over(self, path: str) -> bool:
        passed_over = is_system_folder(os.path.basename(path.rstrip("/"))) and os.path.isdir(path)
        self.passed_over += passed_over
        return passed_over
