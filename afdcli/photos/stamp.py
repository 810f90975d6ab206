"""What tells that a photo is still the file that was read: a stamp of its size and time."""

from __future__ import annotations

import hashlib
import os

from afdcli.photos import remote

UNKNOWN = "-" * 16
"""The stamp of what cannot be asked."""


def stamp(path: str) -> str:
    """16 characters that change when the photo at `path`, which may be a URI, is replaced: of its size and time."""
    path, _, place = path.partition("\0")  # of a member's address
    if remote.is_uri(path):
        state = remote.state(path)
    else:
        try:
            status = os.stat(path)
        except (OSError, ValueError):  # the latter for names that no file can have
            return UNKNOWN
        state = f"{status.st_size} {status.st_mtime_ns}"
    state += f" {place}" if place and state else ""
    return hashlib.blake2b(state.encode(), digest_size=8).hexdigest() if state else UNKNOWN
