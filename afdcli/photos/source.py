"""One input of a command."""

from __future__ import annotations

from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Source:
    """One input."""

    path: str
    """For opening: a path, where bytes that are no UTF-8 are kept as surrogates (`os.fsdecode`); or a URI; or the
    address of a member of an archive at either, see `archives`."""
    name: str
    """For showing: as given, or relative to the one folder given; with `/` between folders on every system."""
    error: str = ""
    """Why it cannot be read, where that showed while searching."""
    data: bytes = field(default=b"", repr=False)
    """Its bytes, where they were read on the way; `bare` has none."""
    inside: str = ""
    """What it is called in its container; empty where it is in none."""
    label: str | None = None
    """Its class as its container states it, which may be an empty text; None where its folder may."""
    beside: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)
    """What lies beside it in its container under the same key: ending, without the first dot, and bytes."""

    @property
    def stated(self) -> str:
        """The name of its class, as its container states it, or else of the folder that it lies in; empty without."""
        return self.name.rpartition("/")[0].partition("/")[0] if self.label is None else self.label

    def bare(self) -> Source:
        """The same without what it brings, to be kept, or sent back from where it was read."""
        return replace(self, data=b"", beside=()) if self.data or self.beside else self
