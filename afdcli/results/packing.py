"""`afd degrade --to`: copies in shards of a fixed number of photos, each whole or not there.

DST/jpeg-10/000000.tar     the copies of the first photos, in order; those that could not be read are left out
DST/jpeg-10.csv            the manifest, as of copies that are files: a row's path is `jpeg-10/000000.tar/key.jpg`

A shard is made beside its place, and its rows follow it into the manifest. So what a killed run leaves is a number of
whole shards, and the next run begins with the one that it was at.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from afdcli.errors import OutputRefused, UnreadableImage
from afdcli.formats.rows import Row
from afdcli.formats.shards import SHARDS, Shard
from afdcli.options import DegradeOptions
from afdcli.photos import archives
from afdcli.photos.source import Source
from afdcli.results.copies import PARTIAL, relative
from afdcli.results.record import digest
from afdcli.results.rowfile import ResultFile


def member_names(source: Source, ending: str) -> tuple[str, ...]:
    """What the copy of `source` may be called in a shard, the first that is free: a key, and what it is.

    A photo from an archive keeps its key, the name up to its first dot, and what follows that, but for the ending. In
    others' names dots would end the key, so there they become `_`.

    Raises:
        UnreadableImage: no copy can be called so.
    """
    whole = relative(source.name)
    if source.inside:
        folder, _, last = relative(source.inside).rpartition("/")
        key, _, field = last.partition(".")
        inner, _, _ = field.rpartition(".")
        name = f"{folder}/{key}" if folder else key
        own = f"{name}.{inner}{ending}" if inner else f"{name}{ending}"
        return own, _plain(whole, ending)
    return _plain(os.path.splitext(whole)[0], ending), _plain(whole, ending)


def _plain(name: str, ending: str) -> str:
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.replace(".", "_") + ending


@dataclass(frozen=True, slots=True)
class Packed:
    """One photo's copy."""

    source: Source
    row: Row
    name: str
    """What it is called in its shard; empty where there is none."""
    data: bytes
    """Its bytes; none where those in the shard that is there are right."""
    known: bool
    """Whether the manifest had just this row."""


class _Digest(io.RawIOBase):
    """A file that keeps nothing of what is written but its SHA-256."""

    def __init__(self) -> None:
        super().__init__()
        self._sha256, self._size = hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self._sha256.update(view)
        self._size += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        return self._size

    def hexdigest(self) -> str:
        """The SHA-256 of all that was written, in hexadecimal digits."""
        return self._sha256.hexdigest()


class Packing:
    """The shards of one degradation, and its manifest."""

    def __init__(
        self, folder: Path, options: DegradeOptions, manifest: ResultFile, is_ours: Callable[[str], bool]
    ) -> None:
        """Pack into `folder`; `is_ours` knows of a shard, as `jpeg-10/000000.tar`, whether a manifest had it."""
        self._folder, self._kind, self._size = folder, SHARDS[options.to], options.shard_size
        self._manifest, self._is_ours = manifest, is_ours
        self._first = 0
        """The number of the first photo in the shard."""
        self._held: list[Packed] = []
        """The copies in it so far, without bytes."""
        self._fresh: Shard | None = None
        """The shard while it is made; None as long as the one that is there is right."""
        self._file: BinaryIO
        self._there: dict[str, str] = {}
        """The members of the one that is there, while another is made."""
        self._beside = ""
        """The key whose neighbours are in it."""

    def take(self, copy: Packed) -> None:
        """Pack the next photo's copy; at the end of a shard, it and its rows are in place.

        Raises:
            OutputRefused: it cannot be written, or something else is in its place.
        """
        try:
            if copy.data and self._fresh is None:
                self._begin()
            if self._fresh is not None:
                self._add(copy)
            self._held.append(replace(copy, data=b""))
            if len(self._held) == self._size:
                self.finish()
        except OSError as error:
            raise self._refused(error.strerror or str(error)) from None

    def finish(self) -> None:
        """Put the shard that is begun, and its rows, in place.

        Raises:
            OutputRefused: it cannot be written, or something else is in its place.
        """
        held, first, manifest = self._held, self._first, self._manifest
        if self._fresh is None and not self._is_as_it_was():
            self._begin()
        is_new = self._fresh is not None
        if self._fresh is not None:
            self._fresh.close()
            self._file.close()
            self._put()
        if is_new or manifest.rows < first + len(held) or not all(copy.known for copy in held):
            if manifest.rows > first:
                manifest.truncate(first)
            manifest.write([copy.row for copy in held])
        self._first, self._held, self._fresh, self._beside = first + len(held), [], None, ""

    @property
    def _path(self) -> Path:
        return self._folder / shard_of(self._first, self._size, self._kind.ending)

    @property
    def _partial(self) -> Path:
        return self._folder / PARTIAL / self._path.name

    def _begin(self) -> None:
        self._file = self._partial.open("wb")
        self._fresh, self._there = self._kind.begin(self._file), archives.addresses(self._path)
        for copy in self._held:
            self._add(copy)

    def _add(self, copy: Packed) -> None:
        """Add a copy to the shard that is made; one that is right is taken from the shard that is there."""
        assert self._fresh is not None
        if not copy.name:
            return
        try:
            data = copy.data or archives.read(self._there[copy.name])
        except (UnreadableImage, KeyError):
            raise self._refused("it was changed while it was read") from None
        self._fresh.add(copy.name, data, copy.source.stated or None, self._neighbours(copy))

    def _neighbours(self, copy: Packed) -> list[tuple[str, bytes]]:
        """What lies beside a photo, once for all photos of its key."""
        folder, slash, last = copy.name.rpartition("/")
        key = folder + slash + last.partition(".")[0]
        if not self._kind.has_beside or self._beside == key:
            return []
        self._beside = key
        return [(f"{key}.{ending}", data) for ending, data in copy.source.beside]

    def _is_as_it_was(self) -> bool:
        """Whether the shard that is there is, to the byte, what is held: it is made again, to nowhere."""
        there = [copy for copy in self._held if copy.name]
        if not there or not self._path.is_file():
            return not there and not os.path.lexists(self._path)
        nowhere = _Digest()
        self._fresh, self._there = self._kind.begin(cast(BinaryIO, nowhere)), archives.addresses(self._path)
        try:
            for copy in there:
                self._add(copy)
            self._fresh.close()
            return nowhere.hexdigest() == digest(self._path)
        finally:
            self._fresh, self._beside = None, ""

    def _put(self) -> None:
        path = self._path
        is_ours = not os.path.lexists(path) or self._is_ours(f"{self._folder.name}/{path.name}")
        if not is_ours and (path.is_symlink() or digest(path) != digest(self._partial)):
            raise self._refused("it is there already, and afd degrade did not write it")
        os.replace(self._partial, path)

    def _refused(self, why: str) -> OutputRefused:
        return OutputRefused(f"'{self._path}' cannot be written: {why}. Mend that and run again.")


def shard_of(number: int, size: int, ending: str) -> str:
    """What the shard is called that has photo `number`, from 0, where `size` are in each."""
    return f"{number // size:06}{ending}"


class Shards:
    """Finds what is in shards, each of which is gone through once."""

    def __init__(self) -> None:
        self._members: dict[Path, tuple[Path, dict[str, str]]] = {}
        """Of each folder, the shard that was asked for last."""

    def __call__(self, path: Path, options: DegradeOptions) -> str:
        """The address of the member at `path`, a shard's with the member's name added; empty if it has none."""
        level, shard, member = path.relative_to(options.destination).as_posix().split("/", 2)
        folder = options.destination / level
        if self._members.get(folder, (None,))[0] != folder / shard:
            self._members[folder] = folder / shard, archives.addresses(folder / shard)
        return self._members[folder][1].get(member, "")
