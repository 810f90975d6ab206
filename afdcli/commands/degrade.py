"""`afd degrade`: compressed copies of photos, each kind of damage in a mirror of its own, with a manifest.

Where copies and manifests lie, and what they are called: see `copies`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from afdcli.errors import OutputRefused, UnreadableImage
from afdcli.formats import codecs
from afdcli.formats.rows import Row
from afdcli.formats.shards import SHARDS
from afdcli.machines.cluster import ray_ordered_map
from afdcli.machines.locks import Lock
from afdcli.machines.processes import CRASHED, ordered_map
from afdcli.options import Degradation, DegradeOptions
from afdcli.photos import archives, remote
from afdcli.photos.damage import degrade_photo, size_of
from afdcli.photos.preprocessing import Preprocessing
from afdcli.photos.reading import Photo, decode_rgb, read_file, read_source
from afdcli.photos.sources import Source, Sources, printable
from afdcli.results.copies import (
    COLUMNS,
    COMPLETE,
    PARTIAL,
    PROGRAM,
    Places,
    check_free,
    folds_names,
    listed_in,
    make_folder,
    partial_folder,
    relative,
    write,
)
from afdcli.results.overlap import Among, Inside, check_apart, check_own, folder_of, manifest_of, origin
from afdcli.results.packing import Packed, Packing, Shards, member_names, shard_of
from afdcli.results.record import record
from afdcli.results.rowfile import ResultFile


@dataclass(frozen=True, slots=True)
class Task:
    """One source; and for each degradation its copy's name, and the row that the manifest has for it, or None."""

    source: Source
    names: tuple[str, ...]
    """Empty where the source has an error."""
    rows: tuple[Row | None, ...]
    there: tuple[str, ...] = ()
    """Where the copy of that name lies now, if it does: a path, or a member's address."""
    ours: tuple[bool, ...] = ()
    """Whether the manifest had a copy of that name, of whatever photo; empty where the source has an error."""


@dataclass(frozen=True, slots=True)
class Copy:
    """What became of one source in one degradation: a row, and whether the manifest had just that."""

    row: Row
    known: bool
    name: str = ""
    """What the copy is called, below its folder; empty if there is none."""
    data: bytes = field(default=b"", repr=False)
    """Its bytes, where they are still to be packed."""


class Degrading:
    """One run: go through `copies`, and they are made.

    What an earlier run made is kept, if the SHA-256 of source and copy are still those of the manifest; everything else
    is made anew. The same options and versions make the same bytes, whatever the number of workers.
    """

    def __init__(self, options: DegradeOptions) -> None:
        """Find the photos, and check that nothing can be harmed.

        Raises:
            WrongUse: there are no photos.
            OutputRefused: the destination overlaps the photos, is not ours, or was made of other photos.
        """
        self._options = options
        self.sources = Sources([str(options.source)], dataset=True, every_file=options.every_file)
        self._origin = origin(str(options.source), self.sources.paths)
        for degradation in options.degradations:
            codecs.require(degradation.last.codec)
        self.total = 0
        """Photos in all."""
        inside, among = self._inside(), Among(options.destination)
        check_apart([folder_of(options, one) for one in options.degradations], self.sources.paths)
        for source in self.sources:
            self.total += 1
            if (folder := inside(source.path)) is not None:
                raise OutputRefused(
                    f"'{folder}' and the photos overlap: '{printable(source.name)}' lies in it. Leave that out, or "
                    "choose another destination."
                )
            if among(source.path):
                raise OutputRefused(
                    f"'{options.destination}' is the folder that has '{printable(source.name)}' in it, and photos' own "
                    "folders are never written to. Choose another destination, such as a new folder in it."
                )
        for degradation in options.degradations:
            check_own(options, degradation, self._origin)

    def _inside(self) -> Inside:
        return Inside([folder_of(self._options, one) for one in self._options.degradations])

    def copies(self) -> Iterator[tuple[Source, list[Copy]]]:
        """Each source and its copies, one for each degradation, once they and their rows are written.

        Raises:
            OutputRefused: the destination was made with other settings, or cannot be written, or another afd is writing
                to it.
        """
        options = self._options
        listed = Places(folds=False)
        make_folder(options.destination)
        with ExitStack() as stack:
            for degradation in options.degradations:
                stack.enter_context(Lock(manifest_of(options, degradation)))
                for path in listed_in(manifest_of(options, degradation)):  # before --overwrite begins it anew
                    listed.claim(path, "")
                    listed.claim("/".join(path.split("/")[:2]), "")  # the shard, where there are shards
            manifests = [
                stack.enter_context(_open_manifest(options, one, self._origin, self.sources))
                for one in options.degradations
            ]
            before = []
            for degradation, manifest in zip(options.degradations, manifests, strict=True):
                folder = stack.enter_context(partial_folder(folder_of(options, degradation) / PARTIAL))
                before.append(manifest.kept(folder / "manifest"))
            places = {one.last.codec: Places(folds_names(folder)) for one in options.degradations}
            work, crashed = partial(_degrade_one, options=options), partial(_crashed, options=options)
            tasks = _tasks(self.sources.reading(), before, listed, places, self._inside(), options)
            done: Iterator[tuple[Source, list[Copy]]]
            if options.cluster == "ray":
                done = ray_ordered_map(work, tasks, crashed=crashed)
            else:
                done = ordered_map(work, tasks, workers=options.workers, crashed=crashed)
            packings = [
                Packing(folder_of(options, degradation), options, manifest, listed.has)
                for degradation, manifest in zip(options.degradations, manifests, strict=True)
                if options.to != "files"
            ]
            count = 0
            for count, (source, copies) in enumerate(done, start=1):
                if packings:
                    _pack(packings, source, copies)
                else:
                    _list(manifests, copies, count)
                yield source, copies
            for packing in packings:
                packing.finish()
            for manifest in manifests:
                if manifest.rows > count:  # The last photos are gone from the source.
                    manifest.truncate(count)


def _list(manifests: list[ResultFile], copies: list[Copy], count: int) -> None:
    """Have the rows of `copies`, those of photo number `count`, from 1, in the manifests."""
    for manifest, copy in zip(manifests, copies, strict=True):
        if copy.known and manifest.rows >= count:
            continue
        if manifest.rows >= count:
            manifest.truncate(count - 1)
        manifest.write([copy.row])


def _pack(packings: list[Packing], source: Source, copies: list[Copy]) -> None:
    for packing, copy in zip(packings, copies, strict=True):
        packing.take(Packed(source, copy.row, copy.name.partition("/")[2], copy.data, copy.known))


def _open_manifest(
    options: DegradeOptions, degradation: Degradation, made_of: list[str], sources: Sources
) -> ResultFile:
    settings = {
        "degradation": degradation.recorded(),
        "size": options.size,
        "seed": options.seed,
        **{name: value for name, value in options.read.deciding().items() if name != "max_pixels"},
        "encoder": codecs.kind(degradation.last.codec).provider(),
    }
    if options.to != "files":
        settings |= {"to": options.to, "shard_size": options.shard_size}
    path = manifest_of(options, degradation)
    content = {**record(PROGRAM, settings, options), "sources": made_of, **sources.left_out()}
    return ResultFile(path, _columns(options), content, resume=True, overwrite=options.overwrite)


def _columns(options: DegradeOptions) -> dict[str, type]:
    return COLUMNS | COMPLETE if options.read.truncated == "read" else COLUMNS


def _tasks(
    sources: Iterable[Source],
    before: list[Iterator[Row]],
    listed: Places,
    places: dict[str, Places],
    inside: Inside,
    options: DegradeOptions,
) -> Iterator[Task]:
    """What there is to do, in order. Names are given here, so that they depend on no order of work."""
    find = Shards()
    for number, source in enumerate(sources):
        rows, names = tuple(next(rows, None) for rows in before), {}
        try:
            if source.error:
                raise UnreadableImage(source.error)
            if inside(source.path) is not None:  # What showed only now: folders were searched before there were copies.
                raise UnreadableImage("it is one of the copies, seen through a link")
            for codec, taken in places.items():
                names[codec] = _claimed(source, number, codec, taken, options)
        except UnreadableImage as error:
            yield Task(replace(source, error=str(error)), (), rows)
        else:
            copies = [(one.name, names[one.last.codec]) for one in options.degradations]
            ours = tuple(listed.has(printable(f"{folder}/{name}")) for folder, name in copies)
            paths = [options.destination / folder / name for folder, name in copies]
            there = tuple(str(path) if options.to == "files" else find(path, options) for path in paths)
            yield Task(source, tuple(name for _, name in copies), rows, there, ours)


def _claimed(source: Source, number: int, codec: str, taken: Places, options: DegradeOptions) -> str:
    """The place of the copy of `source`, photo `number` from 0, which nobody else has.

    Raises:
        UnreadableImage: there is none.
    """
    folder, names = "", tuple[str, ...]()
    if options.to == "files":
        names = (_copy_name(source, codec),)
    else:
        folder = shard_of(number, options.shard_size, SHARDS[options.to].ending) + "/"
        names = member_names(source, codecs.CODECS[codec].endings[0])
    owner: str | None = None
    for name in names:
        if (owner := taken.claim(name, source.name)) is None:
            return folder + name
    raise UnreadableImage(f"its copy would take the place of that of '{printable(str(owner))}'")


def _degrade_one(task: Task, options: DegradeOptions) -> tuple[Source, list[Copy]]:
    """Make, or verify, all copies of one source; it is decoded at most once."""
    source = task.source
    try:
        if source.error:
            raise UnreadableImage(source.error)
        data = read_source(source)
        source = replace(source, data=b"")
        digest = hashlib.sha256(data).hexdigest()
        each = zip(options.degradations, task.names, task.rows, task.there, task.ours, strict=True)
        jobs = [_Job(source, *one, digest) for one in each]
        known = [job.is_verified(options) for job in jobs]
        if not all(known):
            photo = decode_rgb(data, options.read)
            if options.size is not None:
                photo = replace(photo, image=Preprocessing(options.size)(photo.image))
        copies = [
            Copy(job.before, True, job.name) if job.before is not None and is_known else job.make(photo, options)
            for job, is_known in zip(jobs, known, strict=True)
        ]
    except UnreadableImage as error:
        return source, _failed(task, str(error), options)
    except MemoryError:
        return source, _failed(task, "not enough memory to compress it", options)
    return source, copies


@dataclass(frozen=True, slots=True)
class _Job:
    """One copy of one source."""

    source: Source
    degradation: Degradation
    name: str
    """What the copy is called, below its folder."""
    before: Row | None
    """What the manifest had for it."""
    there: str
    """Where it lies now, if it does."""
    is_ours: bool
    """Whether the manifest had a copy of that name."""
    digest: str
    """The source's SHA-256."""

    def is_verified(self, options: DegradeOptions) -> bool:
        """Whether the row is of this source, as it is now, and of the copy, which is still the one that was written."""
        row, path = self.before, f"{self.degradation.name}/{self.name}"
        expected = (printable(path), printable(self.source.name), self.digest)
        if row is None or (row["path"], row["source"], row["source_sha256"]) != expected:
            return False
        try:
            data = read_file(self.there)
            is_same = row["sha256"] == hashlib.sha256(data).hexdigest()
            return is_same and row == self._row(data, size_of(data), row.get("complete"), options)
        except UnreadableImage:
            return False

    def make(self, photo: Photo, options: DegradeOptions) -> Copy:
        """Compress, and write. What one codec or file system refuses is no matter of the others."""
        try:
            data = degrade_photo(photo.image, self.degradation, options.seed, self.source.name)
            if options.to == "files":
                folder = os.path.join(options.destination, self.degradation.name)
                if not self.is_ours:
                    check_free(folder, self.name, data)
                write(folder, self.name, data)
        except UnreadableImage as error:
            return _error(self.source, self.degradation, self.before, str(error), options)
        row = self._row(data, photo.image.size, photo.complete, options)
        return Copy(row, False, self.name, b"" if options.to == "files" else data)

    def _row(self, data: bytes, size: tuple[int, int], complete: bool | None, options: DegradeOptions) -> Row:
        known = {"complete": complete} if "complete" in _columns(options) else {}
        return {
            **_row(self.source, self.degradation, options),
            "path": printable(f"{self.degradation.name}/{self.name}"),
            "status": "ok",
            "source_sha256": self.digest,
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
            "width": size[0],
            "height": size[1],
            **known,
        }


def _copy_name(source: Source, codec: str) -> str:
    """The source's name below a folder, with an ending of the codec: kept, or else added, so that a.png and a.jpg stay
    apart. It is added once more where the source folder itself has a file of that name.

    Raises:
        UnreadableImage: no copy can be called so.
    """
    name, endings = relative(source.name), codecs.kind(codec).endings
    if os.path.splitext(name)[1].lower() in endings:
        return name
    added = endings[0]
    if archives.is_address(source.path):  # What else is in its archive is known when it has come.
        return name + added
    exists = remote.exists if remote.is_uri(source.path) else os.path.lexists
    while exists(source.path + added):
        added += endings[0]
    return name + added


def _row(source: Source, degradation: Degradation, options: DegradeOptions) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(_columns(options))
    last = degradation.last
    return row | {
        "source": printable(source.name),
        "codec": degradation.kind,
        "quality": last.quality,
        "passes": degradation.passes,
    }


def _failed(task: Task, reason: str, options: DegradeOptions) -> list[Copy]:
    pairs = zip(options.degradations, task.rows, strict=True)
    return [_error(task.source, degradation, before, reason, options) for degradation, before in pairs]


def _error(source: Source, degradation: Degradation, before: Row | None, reason: str, options: DegradeOptions) -> Copy:
    row = {**_row(source, degradation, options), "status": "error", "error": printable(reason)}
    return Copy(row, before == row)


def _crashed(task: Task, options: DegradeOptions) -> tuple[Source, list[Copy]]:
    return task.source, _failed(task, CRASHED, options)
