"""Rows in a file that is valid at every moment, survives being killed, and can be gone on with.

Beside `predictions.csv` lies its record, `predictions.csv.json`: the settings, the versions, and whether the file is
complete. It is how a file is known to be afd's own, and what `--resume` compares; see `record`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from afdcli.errors import OutputRefused
from afdcli.formats.rows import BATCH, FORMATS, Columns, Row
from afdcli.machines.processes import in_parts
from afdcli.results.changes import Changes, changes_path
from afdcli.results.journal import Journal, foreign, no_room
from afdcli.results.record import PARTIAL, check_may_write, digest, read_record, record_path, write_record
from afdcli.results.stamps import stamps_path


def files_of(path: Path) -> list[Path]:
    """All files that the result at `path` is made of, whether they are there now or not."""
    return list(dict.fromkeys((path, _journal_path(path), record_path(path), stamps_path(path), changes_path(path))))


def _journal_path(path: Path) -> Path:
    """Where the rows of the result at `path` gather: in itself, if its format can grow."""
    return path.with_name(path.name + PARTIAL) if FORMATS[path.suffix.lower()].whole else path


class ResultFile:
    """The rows of one command, as CSV, JSON Lines or Parquet by the file's ending, see `formats.rows`.

    A context manager, inside which rows are written: leaving it without an exception marks the file as complete.
    Parquet files cannot grow, so their rows gather in JSON Lines beside them (`NAME.partial`), and become Parquet on
    leaving, after Ctrl-C as well. One that is finished is so until rows are cut off it or it is entered: a command that
    has to refuse what it finds may `leave` it as it was.
    """

    def __init__(
        self,
        path: Path,
        columns: Columns,
        content: Mapping[str, Any],
        *,
        resume: bool | None,
        overwrite: bool = False,
        also: Sequence[Path] = (),
    ) -> None:
        """Begin the file, or, with `resume`, go on after the `rows` that it has; None: its command never does.

        With `overwrite`, what is finished, or has other settings, is begun anew. `also` are files beside it that are
        written before it is complete, and listed in its record.

        Raises:
            OutputRefused: something is there that must not be lost, or that was made with other settings.
        """
        self.path = path
        self._also = tuple(also)
        self._columns = columns
        format_ = FORMATS[path.suffix.lower()]
        format_.require()
        self._whole = format_.whole
        self._journal = Journal(_journal_path(path), format_.lines(columns), path)
        self._changes = Changes(path)
        check_may_write(files_of(path), program := content["program"], overwrite=overwrite, resume=resume)
        before = read_record(path)
        listed = (before or {}).get("files", {})  # Others of this command's stay so.
        self._content = {**content, "files": {**listed, **{one.name: None for one in (path, *self._also)}}}
        goes_on = bool(resume and before and (path.exists() or self._journal.path.exists()))
        if before and goes_on and (changed := _changed(before["settings"], content["settings"])):
            if not overwrite:
                raise OutputRefused(
                    f"'{path}' was begun with other settings: {changed}. Use those, or another name, or --overwrite to "
                    "begin anew."
                )
            check_may_write(files_of(path), program, overwrite=True)
            goes_on = False
        if goes_on and self._whole is not None and not self._journal.path.exists():
            _check_whole(path, listed.get(path.name))
        try:
            self._begin(goes_on)
        except OSError as error:
            raise OutputRefused(f"'{path}' cannot be written: {error.strerror}. Choose another place.") from None

    def _begin(self, goes_on: bool) -> None:
        if not goes_on:
            # The old rows go before the new record comes: they must never pass for rows of this run.
            for file in (self.path, changes_path(self.path), stamps_path(self.path)):
                file.unlink(missing_ok=True)
            self._write_record(complete=False)
            self._journal.begin()
        elif self._whole is not None and not self._journal.path.exists():
            try:
                self._journal.begin(self._whole.read(self.path))
            except ValueError:
                raise foreign(self.path) from None
        self._journal.check_head()
        self._changes.apply(self._journal)  # of a run that was killed before it did
        self._journal.open()

    def _write_record(self, *, complete: bool) -> None:
        write_record(self.path, {**self._content, "complete": complete})

    @property
    def rows(self) -> int:
        """Complete rows in the file."""
        return self._journal.rows

    def kept(self, snapshot: Path | None = None) -> Iterator[Row]:
        """The rows in the file now, in order, as they were written; those changed by `replace` as they were before.

        With `snapshot`, they are read from a copy made there, and so do not change when `keep` cuts the file.
        """
        return self._journal.read(snapshot)

    def records(self) -> Iterator[bytes]:
        """The bytes of the rows that `kept` gives."""
        return islice(self._journal.records(), self.rows)

    def encode(self, rows: Iterable[Row]) -> list[bytes]:
        """Each of `rows` as bytes, as they are in the file, or gather beside it."""
        return self._journal.encode(rows)

    def leave(self) -> None:
        """Close the file without having changed it: what was finished still is."""
        self._journal.close()
        if self._whole is not None and (read_record(self.path) or {}).get("complete"):
            self._journal.path.unlink()

    def truncate(self, rows: int) -> None:
        """Cut the file after its first `rows` rows. It is not finished any more, then."""
        self._write_record(complete=False)
        self._journal.truncate(rows)

    def write(self, rows: Iterable[Row]) -> None:
        """Append `rows`, and have them in the file when this returns.

        Raises:
            OutputRefused: there is no room. The file ends in its last complete row.
        """
        self._journal.append(rows)

    def replace(self, first: int, rows: Iterable[Row]) -> None:
        """Have `rows` stand for those in the file from number `first` on (from 0): each time after those before.

        They are safe when this returns, in a file beside, and get their place on leaving, or else with `resume`.

        Raises:
            OutputRefused: there is no room. None of `rows` counts.
        """
        try:
            self._changes.add(first, self._journal.encode(rows))
        except OSError as error:
            raise no_room(self.path, error) from None

    def __enter__(self) -> ResultFile:
        self._write_record(complete=False)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        journal = self._journal
        try:
            journal.check_there()
            journal.settle()  # Ctrl-C may have come when rows were written and not counted, or amid one.
        finally:
            journal.close()
        self._changes.apply(self._journal)
        if self._whole is not None:
            try:
                self._whole.write(self.path, self._columns, journal.read())
            except OutputRefused as error:
                raise OutputRefused(
                    f"{error} The rows are in '{journal.path}'; --resume makes the file of them."
                ) from None
        if kind is None:
            self._content["files"] |= {one.name: digest(one) for one in (self.path, *self._also)}
            self._write_record(complete=True)
            if self._whole is not None:
                journal.path.unlink()


def _check_whole(path: Path, expected: str | None) -> None:
    """Check that the file at `path` has this SHA-256, if that is known: its decoder is trusted with no other."""
    if expected is not None and expected != digest(path):
        raise foreign(path)


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """How the settings differ, in words; empty if they do not."""
    changed = sorted(name for name in now.keys() | before.keys() if now.get(name) != before.get(name))
    return "; ".join(f"{name} was {before.get(name)}, and is {now.get(name)} now" for name in changed)


def read_rows(path: Path, columns: Columns) -> Iterator[Row]:
    """The rows of the finished result at `path`, in order, as they were written.

    Raises:
        OutputRefused: they are not rows of these columns, or a package is missing.
    """
    format_ = FORMATS[path.suffix.lower()]
    format_.require()
    if format_.whole is not None:
        try:
            yield from format_.whole.read(path)
        except ValueError:
            raise foreign(path) from None
        return
    journal = Journal(path, format_.lines(columns), path)
    journal.check_head()
    yield from map(journal.decode, journal.records())


def copy_rows(
    source: Path, path: Path, columns: Columns, content: Mapping[str, Any], *, overwrite: bool = False
) -> None:
    """Write the rows of the finished result at `source` to `path`, perhaps as a file of another kind.

    Raises:
        OutputRefused: `path` cannot be written, or must not be replaced.
    """
    with ResultFile(path, columns, content, resume=None, overwrite=overwrite) as file:
        for some in in_parts(read_rows(source, columns), BATCH):
            file.write(some)
