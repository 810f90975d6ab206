"""Zip files: their members by the directory at their end, or, where that is lost, one after the other."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from afdcli.errors import UnreadableImage
from afdcli.formats.members import CUT_OFF, LARGEST, REST_IS_CUT_OFF, TOO_LARGE, Member

_LOCAL = struct.Struct("<4s5H3L2H")
"""The header before a member: mark, version, flags, method, time, date, checksum, both sizes, lengths of name and
extra."""
_MARK, _DESCRIPTOR = b"PK\3\4", b"PK\7\x08"
_ENCRYPTED, _SIZES_FOLLOW, _UTF8 = 0x1, 0x8, 0x800
_PART = 1 << 16
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}


def members(file: BinaryIO) -> Iterator[Member]:
    """The files in the zip `file`, in the order of its directory; one that is an error where it is cut short."""
    try:
        with zipfile.ZipFile(file) as archive:
            found = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError):
        found = None
    if found is None:
        yield from _walk(file)
        return
    for info in found:
        if not info.is_dir():
            yield _member(info, file)


def read(file: BinaryIO, place: str, most: int | None = None) -> bytes:
    """The bytes of the member at `place`; or the first of them, `most` at most.

    Raises:
        UnreadableImage: it is damaged, or the file ends before.
    """
    begin, method, flags, checksum, packed, size = map(int, place.split())
    info = zipfile.ZipInfo("member")
    info.compress_type, info.flag_bits, info.CRC = method, flags & ~_ENCRYPTED, checksum
    info.compress_size, info.file_size = packed, size
    try:
        file.seek(begin)
        *_, name, extra = _LOCAL.unpack(file.read(_LOCAL.size))
        file.seek(begin + _LOCAL.size + name + extra)
        with zipfile.ZipExtFile(file, "r", info) as opened:  # type: ignore[arg-type]
            data = opened.read(size if most is None else min(most, size))
            if most is None and len(data) == size:
                opened.read(1)  # An empty rest has the checksum looked at.
    except (struct.error, EOFError):
        raise UnreadableImage(CUT_OFF) from None
    except Exception:  # Decompressors raise what they like.
        raise UnreadableImage("damaged in its archive: it cannot be unpacked, or its checksum is wrong") from None
    if most is None and len(data) < size:
        raise UnreadableImage(CUT_OFF)
    return data


def _member(info: zipfile.ZipInfo, file: BinaryIO) -> Member:
    if info.flag_bits & _ENCRYPTED:
        return Member(info.filename, error="needs a password in its archive, which cannot be given")
    if info.compress_type not in _METHODS:
        return Member(
            info.filename, error=f"compressed in its archive in a way that is not read ({info.compress_type})"
        )
    if info.file_size > LARGEST:
        return Member(info.filename, error=TOO_LARGE)
    numbers = (info.header_offset, info.compress_type, info.flag_bits, info.CRC, info.compress_size, info.file_size)
    place = " ".join(map(str, numbers))

    def begin(size: int) -> bytes:
        try:
            return read(file, place, size)
        except UnreadableImage:
            return b""

    return Member(info.filename, place, begin)


def _walk(file: BinaryIO) -> Iterator[Member]:
    """The members that are whole, by the headers before them."""
    begin, end = 0, file.seek(0, 2)
    while True:
        file.seek(begin)
        head = file.read(_LOCAL.size)
        if not head.startswith(_MARK) or len(head) < _LOCAL.size:
            yield Member("", error=REST_IS_CUT_OFF if begin else "not a zip file, or damaged at its beginning")
            return
        _, _, flags, method, _, _, checksum, packed, size, name, extra = _LOCAL.unpack(head)
        info = zipfile.ZipInfo(file.read(name).decode("utf-8" if flags & _UTF8 else "cp437", "replace") or "member")
        info.header_offset, info.compress_type, info.flag_bits = begin, method, flags
        data = begin + _LOCAL.size + name + extra
        after = data + packed
        if flags & _SIZES_FOLLOW:
            found = _unpacked(file, data) if method == zipfile.ZIP_DEFLATED else None
            if found is None:
                yield Member(info.filename, error=CUT_OFF)
                return
            packed, size, checksum = found
            file.seek(data + packed)
            after = data + packed + (16 if file.read(4) == _DESCRIPTOR else 12)
        if data + packed > end:
            yield Member(info.filename, error=CUT_OFF)
            return
        info.CRC, info.compress_size, info.file_size = checksum, packed, size
        if not info.is_dir():
            yield _member(info, file)
        begin = after


def _unpacked(file: BinaryIO, begin: int) -> tuple[int, int, int] | None:
    """Of what is deflated from `begin` on, its size, its size unpacked, and its checksum; None if it ends early."""
    file.seek(begin)
    inflate, packed, size, checksum = zlib.decompressobj(-15), 0, 0, 0
    try:
        while not inflate.eof and size <= LARGEST:
            part = inflate.unconsumed_tail
            if not part:
                part = file.read(_PART)
                packed += len(part)
            if not part:
                return None
            data = inflate.decompress(part, 16 * _PART)
            size, checksum = size + len(data), zlib.crc32(data, checksum)
    except zlib.error:
        return None
    return (packed - len(inflate.unused_data), size, checksum) if inflate.eof else None
