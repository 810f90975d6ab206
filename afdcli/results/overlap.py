"""What `afd degrade` checks before it writes: its folders lie apart from the photos, and are its own.

Folders are known by identity (device and number), not by how they are spelled: through links, mounts and other case.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Sequence
from pathlib import Path

from afdcli.errors import OutputRefused
from afdcli.options import Degradation, DegradeOptions
from afdcli.photos import remote
from afdcli.photos.folders import identity
from afdcli.photos.sources import local_path, printable
from afdcli.results.copies import PROGRAM
from afdcli.results.record import read_record


class Inside:
    """Tells in which of some folders a file lies, whatever it is called."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """Take `folders`, as they are there now."""
        self._folders = {identity(str(folder)): str(folder) for folder in folders}
        self._folder = functools.lru_cache(maxsize=10_000)(self._search)  # Most photos lie beside the last one.

    def __call__(self, path: str) -> str | None:
        """The folder that has the photo or folder at `path`, or is it; None if none has."""
        here = _on_this_machine(path)
        if here is None or "\0" in here:
            return None
        if os.path.islink(here) or os.path.isdir(here):
            return self._search(here)
        return self._folder(os.path.dirname(here) or ".")

    def _search(self, path: str) -> str | None:
        real = os.path.realpath(path)
        while True:
            if (found := self._folders.get(identity(real))) is not None:
                return found
            if (parent := os.path.dirname(real)) == real:
                return None
            real = parent


class Among:
    """Tells whether a file lies right in one folder, whatever both are called."""

    def __init__(self, folder: Path) -> None:
        """Of `folder`, which need not be there."""
        this = identity(str(folder))
        self._is_it = functools.lru_cache(maxsize=10_000)(lambda parent: identity(parent) == this)

    def __call__(self, path: str) -> bool:
        """Whether the photo at `path` lies there, and not in a folder in it."""
        here = _on_this_machine(path)
        return here is not None and self._is_it(os.path.dirname(here) or ".")


def check_apart(folders: Sequence[Path], paths: Sequence[str]) -> None:
    """Check that none of `folders`, which need not be there yet, lies in a folder of `paths`, or the other way round.

    Raises:
        OutputRefused: one does.
    """
    searched = [here for here in map(_on_this_machine, paths) if here is not None and os.path.isdir(here)]
    around, inside = Inside([Path(one) for one in searched]), Inside(folders)
    for folder in folders:
        if (photos := around(str(folder))) is not None:
            raise OutputRefused(
                f"'{folder}' and the photos in '{printable(photos)}' overlap. Choose another destination."
            )
    for photos in searched:
        if (found := inside(photos)) is not None:
            raise OutputRefused(
                f"'{found}' and the photos in '{printable(photos)}' overlap. Choose another destination."
            )


def check_own(options: DegradeOptions, degradation: Degradation, sources: list[str]) -> None:
    """Check that what is there of an earlier run can be gone on with: it is afd's own, and of the same `origin`.

    Raises:
        OutputRefused: it is not.
    """
    folder, found = folder_of(options, degradation), read_record(manifest_of(options, degradation))
    if folder.is_symlink():
        raise OutputRefused(f"'{folder}' is a link, and afd degrade makes none. Choose another destination.")
    if os.path.lexists(folder) and (found is None or found["program"] != PROGRAM):
        raise OutputRefused(f"'{folder}' exists, and was not made by afd degrade. Choose another destination.")
    if found is not None and found.get("sources", sources) != sources and not options.overwrite:
        before = printable(", ".join(found["sources"]))
        raise OutputRefused(
            f"'{folder}' has the copies of other photos: of '{before}'. Choose another destination, or add --overwrite."
        )


def origin(source: str, paths: Sequence[str]) -> list[str]:
    """What the record calls the sources, the same however they are spelled: a folder or file, a pattern, a URI; for a
    list, of which another time there may be more, the folder that has all of `paths`."""
    if source == "-":
        local = [os.path.abspath(path) for path in paths if not remote.is_uri(path)]
        common = os.path.commonpath([os.path.dirname(path) for path in local]) if local else ""
        servers = {"/".join(path.split("/")[:3]) for path in paths if remote.is_uri(path)}
        return [common, *sorted(servers)]
    if remote.is_uri(source):
        return [source]
    return [os.path.realpath(source) if os.path.lexists(source) else os.path.abspath(source)]


def folder_of(options: DegradeOptions, degradation: Degradation) -> Path:
    """Where the copies go."""
    return options.destination / degradation.name


def manifest_of(options: DegradeOptions, degradation: Degradation) -> Path:
    """Where their manifest lies."""
    return options.destination / f"{degradation.name}.csv"


def _on_this_machine(path: str) -> str | None:
    """The local path that `path` stands for; None if it is on another machine."""
    here = local_path(re.sub("^local:", "file:", path, flags=re.IGNORECASE))
    return None if remote.is_uri(here) else here
