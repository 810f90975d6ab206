"""The JSON beside a result, and the one rule of what may be replaced.

A file may be written if it isn't there, or if it is an unfinished result of the same command that is gone on with. A
finished result of the same command is replaced only if that was asked for. Anything else never is: not other people's
files, not links, not folders, not what the command reads. A file is known as a command's by the record beside it
(`predictions.csv.json`), which lists what else was written, or by the mark inside it, see `marks`.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import stat
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from afdcli import atomic
from afdcli.errors import OutputExists, OutputRefused
from afdcli.formats import codecs
from afdcli.formats.marks import read_mark
from afdcli.formats.rows import FORMATS
from afdcli.options.fields import Options, flat

DRAWS_BESIDE_ITS_LOG = "afd train"
PARTIAL = ".partial"
"""What is added to the name of a Parquet file for the rows that gather beside it."""
CHECKSUM = "checksum"
"""The key in a record by which it is seen that another program has changed it."""
STAMPS, CHANGES = ".stamps", ".changes"
"""What is added to the name of a result for what the photos were, and for rows that wait for their places: see `stamps`
and `changes`."""


def record(program: str, settings: Mapping[str, Any], options: Options | None = None) -> dict[str, Any]:
    """What is written beside a result, so that it can be made again: all `options` of the command, by name.

    The `settings` are what decides the rows, and so whether the result can be resumed. Values may be of any type that
    has a text.
    """
    return {
        "program": program,
        "command": sys.argv,
        "options": json.loads(json.dumps({} if options is None else flat(options), default=_plain)),
        "settings": json.loads(json.dumps(settings, default=str)),
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("afd-dedrift", "pillow", "torch", "timm")},
            **codecs.versions(),
        },
    }


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)


def record_path(path: Path) -> Path:
    """Where the record of the result at `path` is."""
    return path.with_name(path.name + ".json")


def write_record(path: Path, content: Mapping[str, Any]) -> None:
    """Write the record of the result at `path`, all of it or nothing.

    Raises:
        OutputRefused: it cannot be written.
    """
    content = {name: value for name, value in content.items() if name != CHECKSUM}
    with atomic.file(record_path(path)) as fresh:
        fresh.write_text(json.dumps({**content, CHECKSUM: _checksum(content)}, indent=2) + "\n", encoding="utf-8")


def read_record(path: Path) -> dict[str, Any] | None:
    """The record of the result at `path`; None where there is none, or not one as afd wrote it."""
    return _parse(record_path(path))


def _parse(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or not str(content.get("program")).startswith("afd "):
        return None
    expected = content.pop(CHECKSUM, None)  # none in those of before there were checksums
    if expected not in (None, _checksum(content)):
        return None
    return content if all(isinstance(content.get(name, {}), dict) for name in ("settings", "files")) else None


def _checksum(content: Mapping[str, Any]) -> str:
    """16 characters that change with anything in a record, but not with how it is laid out."""
    text = json.dumps(json.loads(json.dumps(content)), sort_keys=True)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def digest(path: Path) -> str:
    """The SHA-256 of a file, as in the `files` of a record."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            found.update(part)
    return found.hexdigest()


def check_may_write(
    paths: Sequence[Path],
    program: str,
    *,
    overwrite: bool,
    resume: bool | None = None,
    inputs: Iterable[str | Path | None] = (),
    flag: str = "--output",
) -> None:
    """Check, before any work is done, that `program` may write all of `paths`; some may be records themselves.

    `resume` says whether what is unfinished is gone on with, and is None where a command cannot. `inputs` are what it
    reads: what is no file among them doesn't matter. `flag` is how its user names an output.

    Raises:
        OutputExists: there is a finished result of `program`, and no `overwrite`.
        OutputRefused: a file cannot be written, must not be replaced, or is unfinished and not gone on with.
    """
    existing = [path for path in paths if os.path.lexists(path)]
    for path in existing:
        _check_own(path, program, inputs, bool(resume))
    for path in paths:
        _check_writable(path)
    # A record alone, and what goes with rows, keep nothing of worth.
    results = [path for path in existing if path.suffix not in (".json", STAMPS, CHANGES)]
    if not results or overwrite or resume:
        return
    if any((found := read_record(path)) and not found.get("complete") for path in paths):
        advice = "--overwrite to start anew" if resume is None else "--resume to go on, or --overwrite to start anew"
        raise OutputRefused(f"'{results[0]}' is from an interrupted run. Add {advice}.")
    raise OutputExists(results[0], program, flag)


def _check_own(path: Path, program: str, inputs: Iterable[str | Path | None], resume: bool) -> None:
    """Check that what is at `path` is a file of `program`'s, as it was written; or, with `resume`, as it was left."""
    kind = path.lstat().st_mode
    if stat.S_ISLNK(kind):
        raise OutputRefused(f"'{path}' exists, and is a link. Name what it links to, or choose another name.")
    if not stat.S_ISREG(kind):
        raise OutputRefused(f"'{path}' exists, and is {'a folder' if stat.S_ISDIR(kind) else 'no plain file'}.")
    if any(_is_same(path, one) for one in inputs if one is not None):
        raise OutputRefused(f"'{path}' is read by this command, and so cannot be written. Choose another name.")
    if _maker(path, resume) != program:
        raise OutputRefused(
            f"'{path}' exists, and is not from {program}, or was changed since. Choose another name, or delete it."
        )


def _is_same(path: Path, other: str | Path) -> bool:
    try:
        return os.path.samefile(path, other)
    except (OSError, ValueError):  # no file: a URI, a pattern, `auto`
        return False


def _maker(path: Path, resume: bool) -> str | None:
    """The command that wrote the file at `path`, as it is now; None if nothing says so.

    Rows that are gone on with may have been cut by a power failure: what of them can be used is for `results` to see.
    """
    ending = path.suffix.lower()
    if ending == ".json":
        found = _parse(path)
        return None if found is None else str(found["program"])
    if ending in (PARTIAL, STAMPS, CHANGES):
        found = read_record(path.with_suffix(""))
        return None if found is None else str(found["program"])
    if ending in FORMATS:
        found = read_record(path)
        if found is not None and (resume or "files" not in found):  # Those of before there were lists have none.
            return str(found["program"])
        return _listed(path, found)
    if ending == ".html" and (found := read_record(path)) is not None:
        return _listed(path, found)
    if ending in (".md", ".html"):
        return _listed(path, read_record(path.with_suffix(".csv")))
    mark = read_mark(path)
    if ending == ".png" and (mark is None or mark.startswith("Matplotlib")):
        return _drew_without_mark(path, resume)
    return mark


def _drew_without_mark(path: Path, resume: bool) -> str | None:
    """Who drew a picture that says nothing of afd: afd train did before there were marks, beside its log.

    A log that says so is of before as well, or of a run that went on from there and is gone on with again.
    """
    log = read_record(path.with_suffix(".csv"))
    if log is None or log["program"] != DRAWS_BESIDE_ITS_LOG or not (resume or "files" not in log):
        return None
    return DRAWS_BESIDE_ITS_LOG


def _listed(path: Path, found: dict[str, Any] | None) -> str | None:
    """Who wrote `path`, by a record that lists it: with its SHA-256, or null while it is being written."""
    if found is None or path.name not in found.get("files", {}):
        return None
    expected = found["files"][path.name]
    return str(found["program"]) if expected is None or expected == digest(path) else None


def _check_writable(path: Path) -> None:
    try:
        if not path.parent.is_dir():
            raise OutputRefused(f"There is no folder '{path.parent}' to write '{path.name}' to. Make it first.")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise OutputRefused(f"'{path}' cannot be written: no permission. Choose another place.")
    except OSError as error:
        raise OutputRefused(f"'{path}' cannot be written: {error.strerror}. Choose another place.") from None
