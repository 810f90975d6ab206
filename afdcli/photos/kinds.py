"""Which files are images that afd reads: by how their names end, or else by how they begin."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Mapping

from afdcli.formats.codecs import CODECS

_LOSSLESS = (".png", ".apng", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm")
_SEVERAL = (".mpo", ".avifs")
"""The endings of files with several lossy pictures: they are read, and never written."""
IMAGE_ENDINGS = frozenset([*_LOSSLESS, *_SEVERAL, *(ending for codec in CODECS.values() for ending in codec.endings)])
"""What counts as a photo inside a folder, unseen. A file named by the user always counts."""
_RAW = "3fr arw cr2 dcr dng erf fff iiq k25 kdc mef mos nef nrw pef ptx raw rw2 rwl sr2 srf srw"
RAW_ENDINGS = frozenset(f".{name}" for name in _RAW.split())
"""Cameras' raw files begin as TIFF does, and what a TIFF's reader finds first in them is a thumbnail."""
_LOSSLESS_BEGIN = (
    rb"\x89PNG\r\n\x1a\n|GIF8[79]a|II[*+]\0|MM\0[*+]|P[1-6]\s[\s\d#]"
    rb"|BM.{4}\0{4}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0"  # file size, reserved, offset, one of the headers' sizes
)
_BEGINS = re.compile(b"|".join([_LOSSLESS_BEGIN, *(codec.begins for codec in CODECS.values())]), re.DOTALL)
HEAD = 32
"""So many bytes tell how a file begins."""
HIDDEN = "hidden"
"""What names that begin with a dot are counted under; no ending is called so."""
NAMED = 6
"""So many endings are named, at most, where it is said what was passed over."""


def has_image_ending(name: str) -> bool:
    """Whether a file called `name` counts as a photo, unseen."""
    return os.path.splitext(name)[1].lower() in IMAGE_ENDINGS


def may_be_image(name: str) -> bool:
    """Whether a file called `name`, which has no image's ending, has to be looked at."""
    return os.path.splitext(name)[1].lower() not in RAW_ENDINGS


def begins_as_image(head: bytes) -> bool:
    """Whether a file whose first `HEAD` bytes are `head` is an image that afd reads, perhaps a damaged one."""
    return _BEGINS.match(head) is not None


def head_of(path: str) -> bytes:
    """The first bytes of a file on this machine; none where there is no plain file that can be read."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # Opening a named pipe would wait for ever.
            return b""
        file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError):
        return b""
    try:
        return os.read(file, HEAD)
    except OSError:
        return b""
    finally:
        os.close(file)


def ending(name: str) -> str:
    """What `name` is counted under: `.tga`, in lower case. Empty where there are no up to ten letters and digits.

    A number is none, nor is what follows a name in an address.
    """
    found = os.path.splitext(name)[1].lower()
    return found if re.fullmatch(r"\.(?!\d+$)[^\W_]{1,10}", found) else ""


def in_words(passed_over: Mapping[str, int]) -> str:
    """How many files were passed over, by their ending, as in `649 .tga, 23 .dds, 5 without an ending`."""
    most = Counter(passed_over).most_common()
    shown = [f"{count:,} {name or 'without an ending'}" for name, count in most[:NAMED]]
    if rest := most[NAMED:]:
        shown.append(f"{sum(count for _, count in rest):,} with {len(rest):,} other endings")
    return ", ".join(shown)
