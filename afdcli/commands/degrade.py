"""`afd degrade`: compressed copies of a folder, each kind of damage in a mirror of its own, with a manifest.

DST/jpeg-10/holiday/a.jpg     the copy of SRC/holiday/a.jpg: exactly the bytes of the last pass
DST/jpeg-10.csv               the manifest: a row for every source, also for those that could not be read
DST/jpeg-10.csv.json          its record: the settings and versions that make the same bytes again
"""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from afdcli.errors import OutputRefused, UnreadableImage, WrongUse
from afdcli.formats import codecs
from afdcli.machines.cluster import OnAMachine, ray_map_parts
from afdcli.machines.processes import CRASHED, ordered_map
from afdcli.options import Degradation, DegradeOptions
from afdcli.photos import remote
from afdcli.photos.reading import Preprocessing, decode_rgb, read_file
from afdcli.photos.sources import Source, expand_inputs, find_images, printable
from afdcli.results import rowfile
from afdcli.results.rowfile import ResultFile, Row

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
"""Of a manifest. `path` is relative to the destination, `source` to the source folder; `quality` is the last pass's."""

PARTIAL = ".partial"
"""Where files are written, inside a degradation's folder, before they get their place there."""


@dataclass(frozen=True, slots=True)
class Task:
    """One source, and the row that each manifest has for it, or None."""

    source: Source
    rows: tuple[Row | None, ...]


@dataclass(frozen=True, slots=True)
class Copy:
    """What became of one source in one degradation: a row, and whether the manifest had just that."""

    row: Row
    known: bool


class Degrading:
    """One run: go through `copies`, and they are made.

    What an earlier run made is kept, if the SHA-256 of source and copy are still those of the manifest; everything else
    is made anew. The same options and versions make the same bytes, whatever the number of workers.
    """

    def __init__(self, options: DegradeOptions) -> None:
        """Find the photos, and check that nothing can be harmed.

        Raises:
            WrongUse: there are no photos.
            OutputRefused: the destination overlaps the source, or is not ours.
        """
        for degradation in options.degradations:
            codecs.require(degradation.last.codec)
            _check_folder(options, degradation)
        self._options = options
        self._paths = expand_inputs([str(options.source)])
        self.total = sum(1 for _ in find_images(self._paths))
        """Photos in all."""
        if self.total == 0:
            raise WrongUse(f"There is no image in '{options.source}'.")

    def copies(self) -> Iterator[tuple[Source, list[Copy]]]:
        """Each source and its copies, one for each degradation, once they and their rows are written.

        Raises:
            OutputRefused: the destination was made with other settings, or cannot be written.
        """
        options = self._options
        with ExitStack() as stack:
            manifests = [stack.enter_context(_open_manifest(options, one)) for one in options.degradations]
            before = []
            for degradation, manifest in zip(options.degradations, manifests, strict=True):
                folder = stack.enter_context(_partial_folder(options.destination / degradation.name / PARTIAL))
                before.append(manifest.kept(folder / "manifest"))
            work, crashed = partial(_degrade_one, options=options), partial(_crashed, options=options)
            tasks = _tasks(find_images(self._paths), before)
            done: Iterator[tuple[Source, list[Copy]]]
            if options.cluster == "ray":
                done = ray_map_parts(partial(OnAMachine, work, crashed), tasks)
            else:
                done = ordered_map(work, tasks, workers=options.workers, crashed=crashed)
            count = 0
            for count, (source, copies) in enumerate(done, start=1):
                for manifest, copy in zip(manifests, copies, strict=True):
                    if copy.known and manifest.rows >= count:
                        continue
                    if manifest.rows >= count:
                        manifest.keep(count - 1)
                    manifest.write([copy.row])
                yield source, copies
            for manifest in manifests:
                if manifest.rows > count:  # The last photos are gone from the source.
                    manifest.keep(count)


def _check_folder(options: DegradeOptions, degradation: Degradation) -> None:
    source, folder = Path(options.source).resolve(), (options.destination / degradation.name).resolve()
    if folder == source or folder in source.parents or source in folder.parents:
        raise OutputRefused(f"'{folder}' and the photos in '{options.source}' overlap. Choose another destination.")
    if folder.exists() and rowfile.read_record(_manifest_path(options, degradation)) is None:
        raise OutputRefused(f"'{folder}' exists, and was not made by afd degrade. Choose another destination.")


def _manifest_path(options: DegradeOptions, degradation: Degradation) -> Path:
    return options.destination / f"{degradation.name}.csv"


def _open_manifest(options: DegradeOptions, degradation: Degradation) -> ResultFile:
    settings = {
        "degradation": asdict(degradation),
        "size": options.size,
        "seed": options.seed,
        "exif": options.read.exif,
        "icc": options.read.icc,
        "encoder": codecs.versions()[degradation.last.codec],
    }
    try:
        options.destination.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputRefused(
            f"'{options.destination}' cannot be made: {error.strerror}. Choose another place."
        ) from None
    path = _manifest_path(options, degradation)
    return ResultFile(path, COLUMNS, rowfile.record("afd degrade", settings, options), resume=True)


@contextmanager
def _partial_folder(folder: Path) -> Iterator[Path]:
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _tasks(sources: Iterator[Source], before: list[Iterator[Row]]) -> Iterator[Task]:
    for source in sources:
        yield Task(source, tuple(next(rows, None) for rows in before))


def _degrade_one(task: Task, options: DegradeOptions) -> tuple[Source, list[Copy]]:
    """Make, or verify, all copies of one source; it is decoded at most once."""
    source = task.source
    try:
        if source.error:
            raise UnreadableImage(source.error)
        real = os.path.realpath(source.path)
        if any(real.startswith(_real_folder(options.destination, one.name)) for one in options.degradations):
            raise UnreadableImage("it is one of the copies, seen through a link")
        data = read_file(source.path)
        digest = hashlib.sha256(data).hexdigest()
        known = [
            row is not None and _is_verified(row, degradation, source, digest, options)
            for degradation, row in zip(options.degradations, task.rows, strict=True)
        ]
        if not all(known):
            image = decode_rgb(data, options.read).image
            if options.size is not None:
                image = Preprocessing(options.size)(image)
        copies = [
            Copy(row, True)
            if row is not None and is_known
            else Copy(_save(image, degradation, source, digest, options), False)
            for degradation, row, is_known in zip(options.degradations, task.rows, known, strict=True)
        ]
    except UnreadableImage as error:
        return source, _failed(task, str(error), options)
    return source, copies


@functools.lru_cache  # It is asked for with every photo.
def _real_folder(destination: Path, name: str) -> str:
    return os.path.join(os.path.realpath(destination / name), "")


def _is_verified(row: Row, degradation: Degradation, source: Source, digest: str, options: DegradeOptions) -> bool:
    """Whether `row` is of this source, as it is now, and the copy is still the one that was written."""
    path = Path(degradation.name, _copy_name(source, degradation.last.codec))
    if (row["path"], row["source"], row["source_sha256"]) != (printable(str(path)), printable(source.name), digest):
        return False
    try:
        return bool(row["sha256"] == hashlib.sha256((options.destination / path).read_bytes()).hexdigest())
    except OSError:
        return False


def _save(image: Image.Image, degradation: Degradation, source: Source, digest: str, options: DegradeOptions) -> Row:
    data = codecs.degrade_photo(image, degradation, options.seed, source.name)
    name = _copy_name(source, degradation.last.codec)
    folder = os.path.join(options.destination, degradation.name)  # plain texts: paths as objects take a while
    written, copy = os.path.join(folder, PARTIAL, str(os.getpid())), os.path.join(folder, name)
    try:
        with open(written, "wb") as file:  # noqa: PTH123
            file.write(data)
        try:
            os.replace(written, copy)
        except FileNotFoundError:  # the first copy in its folder
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            os.replace(written, copy)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise UnreadableImage("the name of its copy would be too long") from None
        raise OutputRefused(f"'{copy}' cannot be written: {error.strerror}. Mend that and run again.") from None
    return {
        **_row(source, degradation),
        "path": printable(f"{degradation.name}/{name}"),
        "status": "ok",
        "source_sha256": digest,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "width": image.width,
        "height": image.height,
    }


def _copy_name(source: Source, codec: str) -> str:
    """The source's name with an ending of the codec: kept, or else added, so that a.png and a.jpg stay apart.

    It is added once more where the source folder itself has a file of that name.
    """
    if os.path.splitext(source.name)[1].lower() in codecs.CODECS[codec].endings:
        return source.name
    added = codecs.CODECS[codec].endings[0]
    exists = remote.exists if remote.is_uri(source.path) else os.path.lexists
    while exists(source.path + added):
        added += codecs.CODECS[codec].endings[0]
    return source.name + added


def _row(source: Source, degradation: Degradation) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    last = degradation.last
    return row | {
        "source": printable(source.name),
        "codec": last.codec,
        "quality": last.quality,
        "passes": degradation.passes,
    }


def _failed(task: Task, reason: str, options: DegradeOptions) -> list[Copy]:
    copies = []
    for degradation, before in zip(options.degradations, task.rows, strict=True):
        row = {**_row(task.source, degradation), "status": "error", "error": printable(reason)}
        text = {name: "" if value is None else str(value) for name, value in row.items()}
        copies.append(Copy(row, before == text))
    return copies


def _crashed(task: Task, options: DegradeOptions) -> tuple[Source, list[Copy]]:
    return task.source, _failed(task, CRASHED, options)
