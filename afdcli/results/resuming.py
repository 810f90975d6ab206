"""Rows of photos that a command writes as they come, and goes on with after an interruption, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from afdcli.errors import OutputRefused
from afdcli.formats.rows import Row
from afdcli.machines.processes import in_parts, threaded_map
from afdcli.photos.sources import Source, printable
from afdcli.photos.stamp import UNKNOWN, stamp
from afdcli.results.rowfile import ResultFile
from afdcli.results.stamps import Mark, Stamps, checksum

ASKED_AT_ONCE = 16
"""Photos whose size and time are asked for at a time."""

Photo = TypeVar("Photo")
Done = tuple[str, Sequence[Row]]
"""A photo that is done: its stamp, see `stamp`, and its rows."""


@dataclass(frozen=True, slots=True)
class Anew:
    """What `--resume` does again."""

    batches: frozenset[int]
    """The numbers of the batches, each whole: the same photos go through the network together as the first time."""
    failed: int
    """Photos that could not be read."""
    replaced: int
    """Photos that are not, by size or time, the file that was read."""
    altered: int
    """Photos whose rows are not those that were written."""

    def __str__(self) -> str:
        """The counts, in words."""
        altered = f", {self.altered:,} had other rows than were written" if self.altered else ""
        return f"{self.failed:,} had failed, {self.replaced:,} were replaced since{altered}"


class PhotoRows:
    """The rows of photos in a `ResultFile`, `each` for a photo, made in batches of `size` photos.

    Of what an earlier run has written, whole batches stay that are right: their photos could be read, are the same
    files as then, and their rows are as they were written.
    """

    def __init__(self, file: ResultFile, sources: Iterable[Source], *, size: int, each: int = 1) -> None:
        """See what `file` has of the photos of `sources`, and cut off what does not stay.

        Raises:
            OutputRefused: it has other photos, or what is no row.
        """
        self._file, self._size, self._each = file, size, each
        self._had = file.rows // each
        self._stamps = Stamps(file.path, self._had)
        try:
            stay, self.anew = self._compare(iter(sources))
            """What of an earlier run is done again."""
        except BaseException:  # Ctrl-C too: asking for the photos may take a while.
            self._stamps.close()
            self._file.leave()
            raise
        if stay * each < file.rows:
            self._file.truncate(stay * each)
            self._stamps.keep(stay)
        self._had = stay
        again = sum(min(size, stay - size * one) for one in self.anew.batches)
        self.already = stay - again
        """Photos that an earlier run had done, and that stay as they are."""

    def _compare(self, sources: Iterator[Source]) -> tuple[int, Anew]:
        """How many photos stay, of whole batches, and what of them is done anew."""
        batches, counts = set[int](), {"failed": 0, "replaced": 0, "altered": 0}
        # Asking a store or a network disk takes a while for each photo, so several are asked at a time.
        now = threaded_map(_with_stamp, islice(sources, self._had), ASKED_AT_ONCE)
        rows, records = in_parts(self._file.kept(), self._each), in_parts(self._file.records(), self._each)
        found: list[tuple[int, str]] = []
        for number, (own, before, lines) in enumerate(zip(rows, self._stamps, records, strict=False)):
            source, after = next(now, (None, UNKNOWN))
            if source is None or any(printable(source.name) != row["path"] for row in own):
                raise OutputRefused(
                    f"'{self._file.path}' was begun with other photos: it has '{own[0]['path']}' where there is now "
                    f"'{source.name if source else 'nothing'}'. Use another --output."
                )
            if before.checksum not in (UNKNOWN, checksum(lines)):
                found.append((number, "altered"))
            elif own[0]["status"] != "ok":
                found.append((number, "failed"))
            elif before.stamp not in (UNKNOWN, after):
                found.append((number, "replaced"))
        stay = self._had
        if next(sources, None) is not None:  # Whole batches only: what went through the network together does so again.
            stay -= stay % self._size
        for number, why in found:
            if number < stay:
                batches.add(number // self._size)
                counts[why] += 1
        return stay, Anew(frozenset(batches), **counts)

    def left(self, photos: Iterable[Photo]) -> Iterator[Photo]:
        """Those of `photos`, all in order, that are to be done: after those that are there, or anew."""
        return (
            photo
            for number, photo in enumerate(photos)
            if number >= self._had or number // self._size in self.anew.batches
        )

    def rows(self, done: Iterator[Sequence[Done]]) -> Iterator[Row]:
        """All rows in order, each once it is safe: those that stay, and those of `done`, the batches of what is `left`.

        Raises:
            OutputRefused: the output cannot be written.
        """
        with closing(self._stamps) as stamps, self._file as file:
            for number, kept in enumerate(in_parts(file.kept(), self._size * self._each)):
                if number not in self.anew.batches:
                    yield from kept
                    continue
                rows, marks = self._of(next(done))
                file.replace(number * self._size * self._each, rows)
                stamps.write(number * self._size, marks)
                yield from rows
            for batch in done:
                rows, marks = self._of(batch)
                stamps.write(file.rows // self._each, marks)
                file.write(rows)
                yield from rows

    def _of(self, batch: Sequence[Done]) -> tuple[list[Row], list[Mark]]:
        rows = [row for _, own in batch for row in own]
        return rows, [Mark(stamp, checksum(self._file.encode(own))) for stamp, own in batch]


def _with_stamp(source: Source) -> tuple[Source, str]:
    return source, stamp(source.path)
