"""What lies in a container: a member of an archive, a row of a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

LARGEST = 1 << 30
"""A member of more bytes is not read: a small archive can claim to be huge."""
TOO_LARGE = f"its contents are more than the limit of {LARGEST >> 20:,} MB in an archive"
CUT_OFF = "cut off: its archive ends in it"
REST_IS_CUT_OFF = "cut off: it ends before its end mark, so what followed is lost"


@dataclass(frozen=True, slots=True)
class Member:
    """One file in a container, or what cannot be read of it."""

    name: str
    """As the container has it: only a name, wherever it would lead. Empty: this is about the container itself."""
    place: str = ""
    """What `read` finds it by again, see `containers`; empty where its container can only be gone through."""
    begin: Callable[[int], bytes] | None = None
    """Gives its first bytes, so many at most, until the next member is asked for."""
    whole: Callable[[], bytes] | None = None
    """Gives all its bytes, likewise, where a container is gone through best."""
    error: str = ""
    """Why it cannot be read, where that shows already."""
    label: str | None = None
    """The class that a table has for it."""
    is_photo: bool = False
    """Whether its container says that it is one."""
