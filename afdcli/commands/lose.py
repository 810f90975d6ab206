"""`afd evaluate --lose`: the smallest files that lose at most so much, for each codec and each of the weights.

All searches go on together: in a round each photo is read and decoded once, and compressed at every quality that one of
them asks for next.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from afdcli.commands.evaluate import PROGRAM, classify_all, load_all
from afdcli.formats import codecs
from afdcli.formats.rows import Row
from afdcli.options import Compression, Degradation, EvaluateOptions
from afdcli.photos.damage import Case, Damaged, Level
from afdcli.photos.labels import labels_of
from afdcli.photos.sources import Sources
from afdcli.results.record import check_may_write, record
from afdcli.results.rowfile import ResultFile, files_of
from afdcli.results.smallest import COLUMNS, Bisection, Loss, losses
from afdcli.results.statistics import percent

USUAL = Compression("jpeg", 90)
"""What the smallest files are also compared with."""
ROUNDS = max(len(codec.qualities).bit_length() for codec in codecs.CODECS.values())
"""How many qualities a search tries at most."""


class Search:
    """One run: go through `photos`, then `write` the rows, or only look at `rows`."""

    def __init__(self, options: EvaluateOptions, *, writes: bool = True) -> None:
        """Find the photos and their classes, and load the classifiers; with `writes`, see that the output can be.

        Raises:
            WrongUse: there are no photos, or their folders fit no class.
            AfdError: a codec cannot be written here.
            OutputRefused: the output cannot be written, or is not ours.
        """
        assert options.lose is not None
        if writes:
            inputs = (*options.weights, options.model.backbone_checkpoint)
            check_may_write(files_of(options.output), PROGRAM, overwrite=options.overwrite, inputs=inputs)
        self._options, self._share = options, options.lose / 100
        for name in options.searched:
            codecs.require(name)
        self._classifiers = load_all(options)
        about = next(iter(self._classifiers.values())).about
        self._backbone = about.backbone
        self.sources = Sources([str(options.dataset)], dataset=True)
        sources = list(self.sources)
        labels = labels_of(sources, about.labels)
        self.cases = [Case(source, label) for source, label in zip(sources, labels, strict=True)]
        self.labelled = labels[0] is not None
        self._searches = {
            (name, weights): Bisection(codecs.CODECS[name].qualities)
            for weights in options.weights
            for name in options.searched
        }
        self._losses: dict[tuple[Compression, str], Loss] = {}
        self._kilobytes: dict[
            Compression, tuple[float, float]
        ] = {}  # of a level's files, and of the photos as they are

    def photos(self) -> Iterator[Damaged]:
        """Read, compress and classify all photos, in as many rounds as it takes; each is yielded in every round.

        Raises:
            WrongUse: not one photo could be read.
        """
        extra = (USUAL,) if codecs.CODECS[USUAL.codec].provider() is not None else ()
        while levels := self._next():
            yield from self._round((*levels, *(one for one in extra if one not in levels)))
            extra = ()

    def _next(self) -> tuple[Compression, ...]:
        """The levels that are to be tried; what one search knows already, another needs not try."""
        levels: dict[Compression, None] = {}
        for (codec, weights), search in self._searches.items():
            while (quality := search.next) is not None:
                level = Compression(codec, quality)
                if (loss := self._losses.get((level, weights))) is None:
                    levels[level] = None
                    break
                search.tell(loss.is_below(self._share, self._options.sure == "yes"))
        return tuple(levels)

    def _round(self, levels: tuple[Compression, ...]) -> Iterator[Damaged]:
        options = replace(self._options, lose=None, codecs=(), levels=levels)
        kinds = [Level.of(Degradation(((level,),)), options.order) for level in levels]
        counts = dict.fromkeys(self._classifiers, np.zeros((len(levels), 4), int))
        sizes, photos = np.zeros(1 + len(levels)), 0
        for outcome in classify_all(self.cases, self._classifiers, options, kinds):
            readable = [one for one in outcome.batch if not one.error]
            labels = np.array([one.case.label for one in readable])[:, None] if self.labelled else None
            for weights, said in outcome.said.items():
                top = said.classes[:, :, 0]
                counts[weights] = counts[weights] + _counted(top == (top[:, :1] if labels is None else labels))
            sizes += sum(one.sizes[:, 0] for one in readable if one.sizes is not None)
            photos += len(readable)
            yield from outcome.batch
        if not photos:
            raise self.sources.unreadable()
        for number, level in enumerate(levels):
            # those of the level's files, and of the photos as they are
            self._kilobytes[level] = sizes[1 + number] / photos / 1000, sizes[0] / photos / 1000
            for weights, found in counts.items():
                self._losses[level, weights] = Loss(*map(int, found[number]))

    def rows(self) -> list[Row]:
        """The values for `COLUMNS`: for each of the weights, a row for each codec, the smallest files first."""
        rows = [self._row(codec, weights, search) for (codec, weights), search in self._searches.items()]
        order = list(self._options.weights)
        return sorted(rows, key=lambda row: (order.index(row["weights"]), row["kilobytes"] or np.inf))

    def _row(self, codec: str, weights: str, search: Bisection) -> Row:
        quality = search.found
        level = Compression(codec, search.scale[-1] if quality is None else quality)
        loss = self._losses[level, weights]
        row = {
            **dict.fromkeys(COLUMNS),
            "backbone": self._backbone,
            "weights": weights,
            "codec": codec,
            "measure": "top1" if self.labelled else "agreement",
            **losses(loss),
            "levels": search.tried,
        }
        if quality is None:
            return {**row, "photos_needed": loss.photos_needed(self._share)}
        size, before = self._kilobytes[level]
        usual = self._kilobytes.get(USUAL, (None, None))[0]
        return {
            **row,
            "quality": quality,
            "kilobytes": round(size, 3),
            "saved": percent(1 - size / before),
            "saved_jpeg90": None if usual is None else percent(1 - size / usual),
        }

    def write(self) -> list[Row]:
        """Write the rows to the output, and return them.

        Raises:
            OutputRefused: there is no room.
        """
        rows, options = self.rows(), self._options
        settings = {"lose": options.lose, "sure": options.sure, "codecs": options.searched, "read": options.read.exif}
        content = {**record(PROGRAM, settings, options), **self.sources.left_out()}
        with ResultFile(options.output, COLUMNS, content, resume=None, overwrite=options.overwrite) as file:
            file.write(rows)
        return rows


def _counted(right: np.ndarray) -> np.ndarray:
    """(levels, 4): how many photos of `right` (photos, 1 + levels) are of each of the kinds of `Loss`, in its order."""
    before, after = right[:, :1], right[:, 1:]
    kinds = (before & after, before & ~after, ~before & after, ~before & ~after)
    return np.stack([kind.sum(0) for kind in kinds], axis=1)


def degrade_command(rows: list[Row], options: EvaluateOptions) -> str:
    """The `afd degrade` that makes the copies of `rows`, as they were measured; empty where no quality was found."""
    levels = dict.fromkeys(f"--level {row['codec']}:{row['quality']}" for row in rows if row["quality"] is not None)
    if not levels:
        return ""
    read = [f"--icc {options.read.icc}"] + [f"--exif {options.read.exif}"] * (options.read.exif != "apply")
    return " ".join(["afd degrade", shlex.quote(str(options.dataset)), "copies", *levels, *read])
