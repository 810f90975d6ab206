"""Tar files, plain or compressed, whose members come in order, also those before the place where one is damaged."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, BinaryIO

from afdcli.errors import UnreadableImage
from afdcli.formats.members import CUT_OFF, LARGEST, REST_IS_CUT_OFF, TOO_LARGE, Member

DAMAGED = "damaged: what follows cannot be found in it"


def _zstd(file: BinaryIO) -> Any:
    try:
        import zstandard
    except ImportError:
        raise UnreadableImage("compressed with Zstandard, which needs: pip install 'afd-dedrift[zst]'") from None
    return zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)


_COMPRESSED: dict[bytes, Callable[[BinaryIO], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"\x28\xb5\x2f\xfd": _zstd,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
}
"""How compressed files begin, and what reads what is in them."""


def members(file: BinaryIO) -> Iterator[Member]:
    """The files in the tar `file`, which is plain or compressed, in order; at its end perhaps one that is an error."""
    head = file.read(6)
    file.seek(0)
    opener = next((opener for begin, opener in _COMPRESSED.items() if head.startswith(begin)), None)
    try:
        watched = _Watched(file if opener is None else opener(file), plain=opener is None)
        yield from _members(watched)
    except UnreadableImage as error:
        yield Member("", error=str(error))
    except Exception:  # Decompressors raise nearly anything where a file is damaged, and some where it ends early.
        yield Member("", error=REST_IS_CUT_OFF)


def read(file: BinaryIO, place: str) -> bytes:
    """The bytes of the member at `place`.

    Raises:
        UnreadableImage: the tar ends before.
    """
    begin, size = map(int, place.split())
    file.seek(begin)
    data = file.read(size)
    if len(data) < size:
        raise UnreadableImage(CUT_OFF)
    return data


class _Watched:
    """A file for `tarfile`, which takes what is no header for the end: the block that it saw last tells."""

    def __init__(self, file: Any, plain: bool) -> None:
        self._file = file
        self.end = file.seek(0, 2) if plain else None
        """Where it ends, if that can be known before."""
        if plain:
            file.seek(0)
        self.last = b""
        self.failed = False
        """Whether a member could not be read to its end, which its row says."""
        self.tell, self.seek = file.tell, file.seek
        self.seen = b""

    def read(self, size: int) -> bytes:
        parts = []
        while size and (part := self._file.read(size)):  # Some decompressors give less than they are asked for.
            parts.append(part)
            size -= len(part)
        self.last = b"".join(parts)
        return self.last

    def begin(self, size: int, most: int) -> bytes:
        """The first bytes, `most` at most, of the member of `size` bytes that the file is in."""
        try:
            self.seen += self.read(min(size, most) - len(self.seen))
        except Exception:  # Going on to the next member tells.
            self.seen = b""
        return self.seen[:most]

    def whole(self, size: int) -> bytes:
        """All bytes of that member.

        Raises:
            UnreadableImage: the file ends before, or is damaged.
        """
        seen, self.seen = self.seen, b""
        try:
            data = seen + self.read(size - len(seen))
        except Exception:  # Each decompressor has its own.
            data = b""
        if len(data) < size:
            self.failed = True
            raise UnreadableImage(CUT_OFF)
        return data


def _members(file: _Watched) -> Iterator[Member]:
    with tarfile.open(fileobj=file, mode="r:", errorlevel=2) as tar:  # type: ignore[call-overload]
        while (info := tar.next()) is not None:
            tar.members, file.seen = [], b""  # They would gather.
            if info.isdir():
                continue
            if file.end is not None and info.offset_data + info.size > file.end and info.isreg():
                yield Member(info.name, error=CUT_OFF)
                return
            yield _member(info, file)
            if file.failed:
                return
    if file.last != bytes(tarfile.BLOCKSIZE):
        whole_block = len(file.last) == tarfile.BLOCKSIZE
        yield Member("", error=DAMAGED if whole_block else REST_IS_CUT_OFF)


def _member(info: tarfile.TarInfo, file: _Watched) -> Member:
    if info.issym() or info.islnk():
        return Member(info.name, error="a link in an archive, which is not followed")
    if not info.isreg():
        return Member(info.name, error="not a regular file")
    if info.issparse():
        return Member(info.name, error="stored with holes, which is not read: make the archive without --sparse")
    if info.size > LARGEST:
        return Member(info.name, error=TOO_LARGE)
    if file.end is not None:
        return Member(info.name, f"{info.offset_data} {info.size}", lambda size: _begin(file, info, size))
    return Member(info.name, begin=partial(file.begin, info.size), whole=partial(file.whole, info.size))


def _begin(file: _Watched, info: tarfile.TarInfo, size: int) -> bytes:
    file.seek(info.offset_data)
    return file.read(min(size, info.size))
