"""The page of `afd evaluate --compare`: curves, the rows, the classes that are hit worst, and the photos that flip.

It is one file with all that it shows: of the photos, small pictures of a few. Which these are is decided by what is
known of all photos, so no more of them are ever held than are shown.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from afdcli.errors import UnreadableImage
from afdcli.formats.rows import Row
from afdcli.machines.processes import ordered_map
from afdcli.options import ReadOptions
from afdcli.photos.reading import read_file
from afdcli.photos.thumbnails import encoded
from afdcli.results.naming import WEIGHTS, damage_title, is_compression, level_title, told_apart, visible
from afdcli.results.outcomes import Outcomes
from afdcli.results.webpage import render
from afdcli.results.worst_hit import Change, ClassHit, class_hits, flips, right

LISTED = 1000
"""How many classes are in the table, the worst-hit."""
WITH_PHOTOS = 20
"""Of how many classes, of all backbones together, photos are shown."""
PHOTOS = 12
"""How many photos of a class are shown."""
SIDE = 240
"""The longer side of a photo's picture, in pixels: twice what most screens show it with."""
WEBP = "data:image/webp;base64,"
SHOWN = (
    *("top1", "top1_low", "top1_high", "top5", "difference", "p_value", "recovered", "recovered_low", "recovered_high"),
    *("agreement", "nll", "ece", "kilobytes", "bits_per_pixel"),
)
"""The columns of the rows that the page shows, where there is anything in them."""


@dataclass(frozen=True)
class Pictures:
    """Where pictures of photos come from."""

    find: Callable[[Collection[str]], Mapping[str, str]]
    """From names of photos, as in the rows, to where they are; those that are not there any more are left out."""
    read: ReadOptions
    workers: int
    """How many processes make them."""

    def of(self, sizes: Mapping[str, int]) -> dict[str, str]:
        """For each photo of `sizes`, the bytes of files by name, that is still the same: a `data:` URL of a picture."""
        paths = self.find(sizes.keys()) if sizes else {}
        wanted = [(path, sizes[name]) for name, path in paths.items()]
        made = ordered_map(partial(_picture, read=self.read), wanted, workers=self.workers, crashed=lambda _: b"")
        return {name: WEBP + base64.b64encode(one).decode() for name, one in zip(paths, made, strict=True) if one}


def _picture(photo: tuple[str, int], read: ReadOptions) -> bytes:
    """One of the file at a path, if that still has so many bytes: then it is what was measured. Else nothing."""
    path, size = photo
    try:
        data = read_file(path)
        return encoded(data, SIDE, read) if len(data) == size else b""
    except UnreadableImage:
        return b""


def page(title: str, found: Sequence[Row], outcomes: Sequence[Outcomes], pictures: Pictures) -> str:
    """The page of `found`, the rows of all `outcomes`, as HTML."""
    rows = iter(found)
    runs = [_run(one, [next(rows) for _ in range(one.run.each)], WITH_PHOTOS // len(outcomes)) for one in outcomes]
    sizes = {photo["name"]: photo["bytes"] for run in runs for one in run["classes"] for photo in one["photos"]}
    content = {"runs": runs, "pictures": pictures.of(sizes)}
    return render("accuracy", title, content, count=len(outcomes[0].paths))


def _run(outcomes: Outcomes, rows: Sequence[Row], with_photos: int) -> dict[str, Any]:
    """What the page's script gets of a backbone; of `with_photos` of its classes there are photos."""
    run, labelled = outcomes.run, outcomes.labels is not None
    endings = told_apart(list(run.costs))
    hits = class_hits(outcomes) if len(run.levels) > 1 else []
    correct = right(outcomes)
    overall = outcomes.recovered()
    return {
        "backbone": visible(run.backbone),
        "photos": len(outcomes.paths),
        "failed": len(outcomes.failed),
        "order": run.levels[0].order,
        "labelled": labelled,
        "weights": [WEIGHTS.get(name, f"with {visible(endings[name])}") for name in run.costs],
        "levels": [
            {
                "name": level_title(level.codec, level.quality, level.passes),
                "kind": damage_title(level.codec) + f", {level.passes} passes" * (level.passes > 1),
                "scale": "quality" if is_compression(level.codec) else "severity",
                "quality": level.quality,
            }
            for level in run.levels
        ],
        "rows": [
            {name: row[name] for name in SHOWN if row[name] is not None} | {"weights": number // len(run.levels)}
            for number, row in enumerate(rows)
        ],
        "recovered": [overall.get(name) for name in run.costs],
        "classes": [_hit(outcomes, hit, correct, number < with_photos) for number, hit in enumerate(hits[:LISTED])],
        "more": len(hits[LISTED:]),
    }


def _hit(outcomes: Outcomes, hit: ClassHit, correct: np.ndarray, with_photos: bool) -> dict[str, Any]:
    flipped = flips(correct, hit.members)
    return {
        "label": _name(outcomes, hit.index),
        "count": len(hit.members),
        "undamaged": [round(one, 4) for one in hit.undamaged],
        "damaged": [_numbers(one) for one in hit.damaged],
        "back": [None if one is None else _numbers(one) for one in hit.won_back],
        "flips": len(flipped.photos),
        "lost": flipped.lost,
        "won": flipped.won_back,
        "photos": [_photo(outcomes, place, correct) for place in flipped.photos[: PHOTOS * with_photos]],
    }


def _photo(outcomes: Outcomes, place: int, correct: np.ndarray) -> dict[str, Any]:
    """For each of the weights and each level: what is seen, how probable that is in percent, and if it is right."""
    classes, sure = outcomes.array("classes")[place, ..., 0], outcomes.array("probabilities")[place, ..., 0]
    return {
        "name": outcomes.paths[place],
        "bytes": int(outcomes.array("sizes")[place, 0, 0]),
        "seen": [[_name(outcomes, int(index)) for index in levels] for levels in classes],
        "sure": np.round(100 * sure).astype(int).tolist(),
        "right": correct[place].astype(int).tolist(),
    }


def _name(outcomes: Outcomes, index: int) -> str:
    return outcomes.names.get(index, f"class {index}")


def _numbers(change: Change) -> list[float]:
    return [round(one, 4) for one in (change.change, change.low, change.high)]
