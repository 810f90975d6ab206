"""`afd degrade`'s folders and manifests, written and found again; and ImageNet-C's folders.

DST/jpeg-10/holiday/a.jpg     the copy of SRC/holiday/a.jpg: exactly the bytes of the last pass
DST/jpeg-10.csv               the manifest: a row for every source, also for those that could not be read
DST/jpeg-10.csv.json          its record: the settings and versions that make the same bytes again, and the sources
"""

from __future__ import annotations

import csv
import errno
import ntpath
import os
import re
import shutil
import sqlite3
import stat
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from afdcli.errors import OutputRefused, UnreadableImage, WrongUse
from afdcli.formats.rows import Row
from afdcli.options import IMAGENET_C, Degradation, ReadOptions
from afdcli.photos import archives
from afdcli.photos.damage import Level, MadeCopy
from afdcli.photos.preprocessing import Preprocessing
from afdcli.photos.reading import read_rgb
from afdcli.photos.sources import Source, printable
from afdcli.results.record import read_record, record_path

PROGRAM = "afd degrade"
COLUMNS = {
    "path": str,
    "source": str,
    "status": str,
    "error": str,
    "source_sha256": str,
    "sha256": str,
    "bytes": int,
    "width": int,
    "height": int,
    "codec": str,
    "quality": int,
    "passes": int,
}
"""The columns of a manifest. `path` is relative to the destination, `source` the photo's name, `codec` the
degradation's kind, and `quality` the last pass's."""
READ = ("path", "source", "status", "error", "source_sha256", "sha256", "passes")
"""Those that measuring copies takes."""
COMPLETE = {"complete": bool}
"""The column that follows them where photos are read that have lost a part: whether this one has not."""
PARTIAL = ".partial"
"""Where files are written, inside a degradation's folder, before they get their place there."""
SEVERITIES = {str(number): level.quality for number, level in enumerate(IMAGENET_C, start=1)}
"""ImageNet-C's folders, and the JPEG quality that each stands for."""

_OF_THE_FOLDER = frozenset(
    getattr(errno, name, None)
    for name in ("ENOSPC", "EDQUOT", "EROFS", "EIO", "ESTALE", "ENODEV", "ENXIO", "EMFILE", "ENFILE")
)
"""What is wrong with a whole disk or folder, and so with every copy. All else can be the matter of one name."""


def relative(name: str, *, windows: bool = os.name == "nt") -> str:
    """The place that a source called `name` has below any folder: one that cannot lead out, whatever the name is.

    A URI's scheme, a drive and a root are dropped, and `..` goes up no further than the folder: `/a/b.jpg`,
    `../a/b.jpg` and `file:///a/b.jpg` all become `a/b.jpg`. Everything else stays as it is.

    Raises:
        UnreadableImage: nothing is left of the name, or no file can be called so.
    """
    path = re.sub("^([a-z][a-z0-9+.-]*://|file:/)", "", name, flags=re.IGNORECASE)
    if windows:
        path = ntpath.splitdrive(path)[1].replace("\\", "/")
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    if not parts or "\0" in path:
        raise UnreadableImage(f"no copy can be called '{printable(name)}'")
    if parts[0].casefold() == PARTIAL:
        raise UnreadableImage(f"no copy can lie in '{PARTIAL}', where unfinished ones do")
    if windows and (bad := next(filter(_is_reserved, parts), None)) is not None:
        raise UnreadableImage(f"Windows does not take the name '{printable(bad)}'")
    return "/".join(parts)


def _is_reserved(part: str) -> bool:
    """Whether Windows takes the name for something else: a device, a stream, or the same without its end."""
    device = re.match(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])\s*(\.|$)", part, re.IGNORECASE)
    return bool(device or re.search(r'[<>:"|?*\x00-\x1f]|[. ]$', part))


def place(folder: str, name: str) -> str:
    """Where a copy called `name`, see `relative`, lies in the degradation's `folder`.

    Raises:
        UnreadableImage: that is elsewhere, through a link for instance.
    """
    path = os.path.join(folder, name)
    try:
        real, inside = os.path.realpath(os.path.dirname(path)), os.path.realpath(folder)
    except (OSError, ValueError):
        raise UnreadableImage(f"no copy can be called '{printable(name)}'") from None
    if real != inside and not real.startswith(os.path.join(inside, "")):
        raise UnreadableImage(f"its copy would lie outside of '{os.path.basename(folder)}', through a link")
    return path


def listed_in(manifest: Path) -> Iterator[str]:
    """The paths of the copies that the file `manifest` has; none if it is not there, or cannot be read."""
    with suppress(OSError, csv.Error), manifest.open(newline="", encoding="utf-8", errors="replace") as file:
        yield from (row.get("path") or "" for row in csv.DictReader(file))


def check_free(folder: str, name: str, data: bytes) -> None:
    """Check that nothing lies at a copy's `place` but `data` itself, which a killed run has written, and no row yet.

    Raises:
        UnreadableImage: something does: a file, a folder, or a link to anything.
    """
    path = Path(place(folder, name))
    if not os.path.lexists(path):
        return
    with suppress(OSError):  # what nobody may read
        status = path.lstat()
        if stat.S_ISREG(status.st_mode) and status.st_size == len(data) and path.read_bytes() == data:
            return
    raise UnreadableImage(
        f"'{os.path.basename(folder)}/{printable(name)}' is there already, and the manifest has no such copy: "
        "afd degrade did not write it. Move it away"
    )


def write(folder: str, name: str, data: bytes) -> None:
    """Write a copy to its `place`: all of it or nothing. A link that is there is replaced, not followed.

    Raises:
        UnreadableImage: the name is refused by the file system, or it would not lie in `folder`.
        OutputRefused: nothing can be written there.
    """
    path = place(folder, name)
    written = os.path.join(folder, PARTIAL, os.urandom(8).hex())  # Processes of several machines may write here.
    try:
        with open(written, "wb") as file:  # noqa: PTH123  # plain texts: paths as objects take a while
            file.write(data)
    except OSError as error:
        raise _refusal(path, error) from None
    try:
        try:
            os.replace(written, path)
        except FileNotFoundError:  # the first copy in its folder
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.replace(written, path)
    except OSError as error:
        if error.errno in _OF_THE_FOLDER:
            raise _refusal(path, error) from None
        with suppress(OSError):
            os.unlink(written)
        what = f"'{os.path.basename(folder)}' does not take the name '{printable(name)}'"
        raise UnreadableImage(f"{what}: {error.strerror}") from None


def _refusal(path: str, error: OSError) -> OutputRefused:
    return OutputRefused(f"'{printable(path)}' cannot be written: {error.strerror}. Mend that and run again.")


class Places:
    """Whose copy lies where, over a whole run: no two sources may get the same place.

    It is kept on disk, in a file without a name, so that a million photos take no memory.
    """

    def __init__(self, folds: bool) -> None:
        """`folds`: see `folds_names`."""
        self._folds = folds
        self._base = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._base.execute("PRAGMA journal_mode = OFF")
        self._base.execute("CREATE TABLE places (place BLOB PRIMARY KEY, source BLOB) WITHOUT ROWID")
        self._base.execute("BEGIN")  # and never an end: nobody else reads it

    def claim(self, name: str, source: str) -> str | None:
        """Give the place `name` to `source`. The source that has it already, if there is one; else None."""
        folded = name
        if self._folds:
            parts = unicodedata.normalize("NFC", name).casefold().split("/")
            folded = "/".join(part.rstrip(". ") for part in parts)
        key, owner = (text.encode("utf-8", "surrogatepass") for text in (folded, source))
        if self._base.execute("INSERT OR IGNORE INTO places VALUES (?, ?)", (key, owner)).rowcount:
            return None
        ((first,),) = self._base.execute("SELECT source FROM places WHERE place = ?", (key,))
        return bytes(first).decode("utf-8", "surrogatepass")

    def has(self, name: str) -> bool:
        """Whether a source has the place `name`."""
        key = name.encode("utf-8", "surrogatepass")
        return self._base.execute("SELECT 1 FROM places WHERE place = ?", (key,)).fetchone() is not None


def folds_names(folder: Path) -> bool:
    """Whether two names can be one file in `folder`: by case, by how an accent is written, or by dots at their end."""
    names = ("caf\u00e9.", "CAF\u00c9.", "cafe\u0301.", "caf\u00e9")
    first, *others = (folder / os.fsdecode(name.encode()) for name in names)  # as where the system knows ASCII alone
    first.touch()
    return any(map(os.path.lexists, others))


def read_copies(
    folder: Path, sources: Sequence[Source], preprocessing: Preprocessing
) -> tuple[list[Level], list[tuple[MadeCopy, ...]]]:
    """The levels in a folder made by `afd degrade`, and for each source its copies at these levels.

    Levels come by kind, the best quality first. One of photos already cropped as by `preprocessing` is crop-first. A
    copy that is missing says so when it is read. One of ImageNet-C's folders, `jpeg_compression` say, will do as well.

    Raises:
        WrongUse: there are no manifests, or the photos were cropped in another way.
    """
    if any((folder / severity).is_dir() for severity in SEVERITIES):
        return _read_imagenet_c(folder, sources, preprocessing)
    found: dict[str, tuple[Level, Mapping[str, Row]]] = {}
    packed: dict[str, str] = {}
    for manifest in sorted(folder.glob("*.csv")):
        made = read_record(manifest)
        if made is None and record_path(manifest).exists():
            raise WrongUse(f"'{record_path(manifest)}' was changed by another program. Run afd degrade again.")
        if made is None or made["program"] != PROGRAM or not (rows := _rows_in(manifest)):
            continue
        size = made["settings"]["size"]
        if size is not None and Preprocessing(size) != preprocessing:
            raise WrongUse(
                f"The photos in '{folder / manifest.stem}' were cropped to {size} pixels, and this backbone crops "
                "otherwise. Make copies without --size."
            )
        if "to" in made["settings"]:
            packed |= _in_shards(folder / manifest.stem)
        order = "compress-first" if size is None else "crop-first"
        found[manifest.stem] = Level.of(Degradation.of_record(made["settings"]["degradation"]), order), rows
    if not found:
        raise WrongUse(f"'{folder}' has no copies made by afd degrade.")
    levels = _told_apart({name: level for name, (level, _) in found.items()})
    kinds = list(dict.fromkeys(level.codec for level in levels.values()))
    names = sorted(
        levels, key=lambda one: (kinds.index(levels[one].codec), -(levels[one].quality or 0), levels[one].passes)
    )
    paths = [[_made_copy(folder, name, source, found[name][1], packed) for source in sources] for name in names]
    return [levels[name] for name in names], list(zip(*paths, strict=True))


def _rows_in(manifest: Path) -> dict[str, Row]:
    """The rows of the file `manifest` by their source, but for one that was cut short.

    Raises:
        WrongUse: it is no manifest any more.
    """
    try:
        with manifest.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if not set(READ) <= set(reader.fieldnames or ()):
                raise ValueError
            return {row["source"]: row for row in reader if row["passes"]}
    except (ValueError, csv.Error):
        raise WrongUse(f"'{manifest}' was changed by another program. Delete it, and run afd degrade again.") from None


def _told_apart(levels: Mapping[str, Level]) -> dict[str, Level]:
    """`levels`, by folder; those that look the same are called by their folder."""
    every = list(levels.values())
    return {
        name: level if every.count(level) == 1 else replace(level, codec=f"{level.codec} ({name})")
        for name, level in levels.items()
    }


def _in_shards(folder: Path) -> dict[str, str]:
    """The addresses of the copies in the shards in `folder`, by what the manifest calls each."""
    return {
        printable(f"{folder.name}/{shard.name}/{name}"): address
        for shard in sorted(folder.iterdir())
        for name, address in archives.addresses(shard).items()
    }


def _made_copy(
    folder: Path, level: str, source: Source, rows: Mapping[str, Row], packed: Mapping[str, str]
) -> MadeCopy:
    row = rows.get(printable(source.name))
    if row is None or row["status"] != "ok":
        return MadeCopy("", level, error="" if row is None else row["error"])
    if (address := packed.get(row["path"])) is not None:
        return MadeCopy(address, level, row["sha256"], row["source_sha256"])
    # The manifest has names in text that can be read; those of files can be of any bytes. What was added is known.
    path, given = row["path"], f"{level}/{_relative(source)}"
    if path.startswith(printable(given)):
        path = given + path.removeprefix(printable(given))
    return MadeCopy(str(folder / path), level, row["sha256"], row["source_sha256"])


def _relative(source: Source) -> str:
    """`relative`, or an empty text where no copy can be called as `source`."""
    try:
        return relative(source.name)
    except UnreadableImage:
        return ""


def _read_imagenet_c(
    folder: Path, sources: Sequence[Source], preprocessing: Preprocessing
) -> tuple[list[Level], list[tuple[MadeCopy, ...]]]:
    """`read_copies` for `CORRUPTION/1..5/CLASS/NAME`: a level is a corruption at a severity, or JPEG at its quality."""
    found = [severity for severity in SEVERITIES if (folder / severity).is_dir()]
    levels, paths = [], []
    for severity in found:
        copies = [str(folder / severity / _relative(source)) for source in sources]
        size = next((_size(copy) for copy in copies if Path(copy).exists()), None)
        if size is None:
            raise WrongUse(f"'{folder / severity}' has none of the photos of the dataset.")
        jpeg = folder.name == "jpeg_compression"
        order = "crop-first" if size == (preprocessing.size, preprocessing.size) else "compress-first"
        quality = SEVERITIES[severity] if jpeg else int(severity)
        levels.append(Level("jpeg" if jpeg else folder.name, quality, 1, order))
        paths.append([MadeCopy(copy, f"{folder.name}/{severity}") for copy in copies])
    return levels, list(zip(*paths, strict=True))


def _size(path: str) -> tuple[int, int] | None:
    try:
        return read_rgb(path, ReadOptions()).image.size
    except UnreadableImage:
        return None


def make_folder(destination: Path) -> None:
    """Make the folder for all copies, unless it is there.

    Raises:
        OutputRefused: it cannot be made.
    """
    try:
        destination.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputRefused(f"'{destination}' cannot be made: {error.strerror}. Choose another place.") from None


@contextmanager
def partial_folder(folder: Path) -> Iterator[Path]:
    """Make `folder` for copies that are not whole yet, empty; it goes in the end.

    Raises:
        OutputRefused: it cannot be made.
    """
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise OutputRefused(f"'{folder}' cannot be made: {error.strerror}. Mend that and run again.") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
