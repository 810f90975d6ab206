"""`afd gallery`: a result of `afd classify` as a page in a folder, with small pictures of its photos."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import quote

from afdcli import atomic
from afdcli.errors import OutputRefused, WrongUse
from afdcli.formats.rows import Row
from afdcli.machines.locks import Lock
from afdcli.machines.processes import CRASHED, ordered_map
from afdcli.options.gallery import GalleryOptions
from afdcli.photos.sources import find_named
from afdcli.photos.thumbnails import LARGE, SMALL, Thumbnail, make, name_of
from afdcli.results.gallery import PAGE, Shown, page, read_predictions
from afdcli.results.record import check_may_write, digest, read_record, record, write_record

PROGRAM = "afd gallery"
BY_BROWSERS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP")
"""Formats that every browser shows: of a photo in one of these, the photo itself is shown large."""
THUMBS, PREVIEWS = "thumbs", "previews"


class Gallery:
    """One run: go through `pictures`, then `write`."""

    def __init__(self, options: GalleryOptions) -> None:
        """Read the rows, and find their photos.

        Raises:
            OutputRefused: the rows cannot be read, or the folder must not be written to, or another process does so.
            WrongUse: none of the photos is found.
        """
        self._options = options
        self._lock = Lock(options.folder)  # as long as this object is there
        self.page = options.folder / PAGE
        """The page."""
        _check_folder(options.folder, self.page)
        if options.folder.is_dir():
            inputs = (options.predictions, options.compare)
            check_may_write(
                [self.page], PROGRAM, overwrite=options.overwrite, resume=options.resume or None, inputs=inputs
            )
        rows = read_predictions(options.predictions)
        others = None if options.compare is None else read_predictions(options.compare)
        pairs = [(row, None) for row in rows] if others is None else _differing(rows, others)
        paths = self._find({row["path"] for row, _ in pairs if row["status"] == "ok"})
        self._shown = [self._with_urls(row, other, paths.get(row["path"], "")) for row, other in pairs]
        self.total = sum(1 for one in self._shown if one.path)
        """How many photos were found."""

    def _find(self, names: set[str]) -> dict[str, str]:
        """The paths of the photos called `names`: found as they were when they were classified."""
        known = read_record(self._options.predictions) or {}
        inputs = self._options.photos or tuple(known.get("options", {}).get("inputs", ()))
        found = find_named(inputs, names) if inputs and "-" not in inputs else {}
        if names and not found:
            raise WrongUse(
                f"None of the photos in '{self._options.predictions}' is found from this folder. Run afd gallery where "
                "afd classify was run, or say where they are with --photos."
            )
        return found

    def _with_urls(self, row: Row, other: Row | None, path: str) -> Shown:
        if not path:
            return Shown(row, other)
        name = name_of(path)
        if row.get("format") in BY_BROWSERS and os.path.isfile(path):
            large = quote(os.fsencode(os.path.relpath(path, self._options.folder).replace(os.sep, "/")))
        else:
            large = f"{PREVIEWS}/{name}"
        return Shown(row, other, path, f"{THUMBS}/{name}", large)

    def pictures(self) -> Iterator[tuple[str, str]]:
        """Make the small pictures; gives the name of each photo and why there is none of it, or an empty text."""
        folder, options = self._options.folder, self._options
        try:
            for name in (THUMBS, PREVIEWS):
                (folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputRefused(f"'{folder}' cannot be written: {error.strerror}. Choose another --output.") from None
        if not self.page.exists():
            write_record(self.page, {**self._record(), "complete": False})
        wanted = [
            Thumbnail(one.path, folder / url, side)
            for one in self._shown
            for url, side in ((one.thumb, SMALL), (one.large, LARGE))
            if url.startswith((THUMBS, PREVIEWS))
        ]
        if options.overwrite:
            for one in wanted:
                one.path.unlink(missing_ok=True)
        failures = ordered_map(
            partial(make, read=options.read), wanted, workers=options.workers, crashed=lambda _: CRASHED
        )
        for one, failure in zip(wanted, failures, strict=True):
            if one.side == SMALL:
                yield one.source, failure

    def write(self) -> None:
        """Write the page, once all pictures are there.

        Raises:
            OutputRefused: it cannot be written.
        """
        options, folder = self._options, self._options.folder
        shown = [
            one if not one.thumb or (folder / one.thumb).exists() else Shown(one.row, one.other) for one in self._shown
        ]
        names = None if options.compare is None else (options.predictions.name, options.compare.name)
        title = " and ".join(names) if names else options.predictions.name
        with atomic.file(self.page) as fresh:
            fresh.write_text(page(title, shown, names), encoding="utf-8")
        write_record(self.page, {**self._record(), "complete": True, "files": {PAGE: digest(self.page)}})

    def _record(self) -> dict[str, object]:
        return record(PROGRAM, {"predictions": self._options.predictions}, self._options)


def _check_folder(folder: Path, page: Path) -> None:
    if not os.path.lexists(folder):
        if not folder.parent.is_dir():
            raise OutputRefused(f"There is no folder '{folder.parent}' to make '{folder.name}' in. Make it first.")
        return
    if not folder.is_dir():
        raise OutputRefused(f"'{folder}' exists, and is no folder. Choose another --output.")
    known = read_record(page)
    if any(folder.iterdir()) and (known is None or known["program"] != PROGRAM):
        raise OutputRefused(
            f"'{folder}' exists, and has other files in it. Choose another --output, or an empty folder."
        )


def _differing(rows: list[Row], others: list[Row]) -> list[tuple[Row, Row | None]]:
    """The rows whose class is another one in `others`, each with the row there.

    Raises:
        WrongUse: the two have no photo in common.
    """
    by_name = {row["path"]: row for row in others}
    common = [(row, by_name[row["path"]]) for row in rows if row["path"] in by_name]
    if not common:
        raise WrongUse("The two results have no photo in common, by name: there is nothing to compare.")
    return [(row, other) for row, other in common if row["label_1"] != other["label_1"]]
