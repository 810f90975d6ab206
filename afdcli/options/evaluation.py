"""What `afd evaluate` can be asked for; and the presets, which are settings with a name."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from annotated_doc import Doc

from afdcli.errors import WrongUse
from afdcli.formats.codecs import CODECS, installed
from afdcli.formats.codecs import IMAGENET_C as CORRUPTIONS_C
from afdcli.machines.hardware import default_workers
from afdcli.options.damage import Compression, levels_of
from afdcli.options.fields import Options, fields_of, flat
from afdcli.options.groups import (
    MODEL,
    RESULT_ENDINGS,
    Cluster,
    ModelOptions,
    Overwrite,
    ReadOptions,
    Resume,
    Seed,
    Shift,
    Workers,
)
from afdcli.options.rules import (
    AtLeast,
    Commas,
    Completes,
    EndsIn,
    MoreThan,
    Named,
    NotEmpty,
    Once,
    OneOf,
    Panel,
    Parsed,
    SameRows,
    Shown,
)

INSTALLED = "installed"
"""Stands for all codecs that something here can write."""


@dataclass(frozen=True, kw_only=True)
class SmallestOptions(Options, panel="Smallest files"):
    """Which codecs are looked into, and the smallest files that are good enough."""

    codecs: Annotated[
        tuple[str, ...],
        Commas(),
        OneOf(*CODECS, INSTALLED),
        Once(),
        Shown("all of them"),
        Doc(
            "Measure only these of the codecs that --preset and --level name, or that --lose looks into, such as"
            " jpeg,avif; installed are all that something here can write."
        ),
    ] = ()

    lose: Annotated[
        float | None,
        MoreThan(0),
        Doc(
            "Look for the smallest files that lose less than so many points of top-1 against the undamaged photos, such"
            " as 1.0, for each codec and each of the weights; without labels, of agreement."
        ),
    ] = None
    sure: Annotated[
        str,
        OneOf("yes", "no"),
        Doc("Whether --lose holds with a probability of 95 % for photos like these, or only for just these photos."),
    ] = "yes"

    @property
    def searched(self) -> tuple[str, ...]:
        """The codecs that `--lose` looks into."""
        asked = () if self.codecs == (INSTALLED,) else tuple(one for one in self.codecs if one != INSTALLED)
        return asked or installed()


@dataclass(frozen=True)
class EvaluateOptions(SmallestOptions):
    """Measure accuracy on undamaged and on compressed photos."""

    dataset: Annotated[
        Path | str | None,
        Named("DATASET"),
        Doc(
            "A folder, or a URI, with one folder for each class, named by WordNet id, label or index; or an archive,"
            " shards or a table, where .cls, .json or a column may say the class; or photos without labels, of which"
            " agreement is measured."
        ),
    ] = None
    output: Annotated[
        Path,
        Named("--output", "-o"),
        EndsIn(".csv"),
        SameRows(),
        Doc("The .csv file for the rows, one for each level of damage."),
    ] = Path("accuracy.csv")
    levels: Annotated[
        tuple[Compression, ...],
        Parsed(levels_of),
        Doc("The damage to measure, each level a row. The undamaged photos are always the first row."),
    ] = ()
    passes: Annotated[
        tuple[int, ...],
        Commas(),
        NotEmpty(),
        AtLeast(1),
        Once(),
        Doc(
            "How often each photo is compressed, such as 1,2,5, each count a row: the last time at the row's quality,"
            " before that at qualities drawn from the codec's levels."
        ),
    ] = (1,)
    shift: Shift = False
    order: Annotated[
        str,
        OneOf("crop-first", "compress-first"),
        Doc("Whether what the network sees is compressed, after cropping (ImageNet-C), or the whole photo before."),
    ] = "crop-first"
    degraded: Annotated[
        Path | None, Doc("Measure on the copies that afd degrade made of DATASET in this folder, instead of new ones.")
    ] = None
    weights: Annotated[
        tuple[str, ...],
        Commas(),
        NotEmpty(),
        Completes(("auto", "none", "none,auto")),
        Panel(MODEL),
        Doc(
            "The de-drifting modules to compare, such as none,auto,FILE, on the same compressed photos; the others are"
            " compared with the first. Networks that remove artifacts may be among them."
        ),
    ] = ("auto",)
    compare: Annotated[
        bool,
        SameRows(),
        Doc(
            "Also write a page for the browser with the classes that are hit worst and their photos that flip, a"
            " Markdown table, curves over quality and over size as PNGs, and how many fewer bytes give the same"
            " accuracy as CSV, beside the output."
        ),
    ] = False
    per_photo: Annotated[
        Path | None,
        EndsIn(*RESULT_ENDINGS),
        SameRows(),
        Doc(
            "Also write what was measured of each photo to this .csv, .jsonl or .parquet file: a row for each of the"
            " weights and each level, with which statistics of your own can be made, and --from."
        ),
    ] = None
    outcomes: Annotated[
        tuple[Path, ...],
        Named("--from"),
        Doc(
            "Make rows, table, curves and page of what --per-photo wrote to this file, without photos and network; may"
            " be repeated, for parts of a data set, several modules or several backbones."
        ),
    ] = ()
    resume: Resume = False
    seed: Seed = 0
    model: ModelOptions = ModelOptions()
    read: ReadOptions = ReadOptions()
    workers: Workers = default_workers()
    cluster: Cluster = "none"
    overwrite: Overwrite = False

    def __post_init__(self) -> None:
        """See `Options`. Of the levels, those of `codecs` stay.

        Raises:
            WrongUse: a value is not allowed, or does not go with another.
        """
        super().__post_init__()
        if self.lose is not None:
            _check_lose(self)
            object.__setattr__(self, "order", "compress-first")
        elif self.codecs:
            object.__setattr__(self, "levels", _of_codecs(self.levels, self.codecs))
        if self.degraded is not None and (self.levels or self.passes != (1,)):
            raise WrongUse("--degraded brings its own levels: leave out --jpeg, --avif, --level and --passes.")
        files = [name if name in ("none", "auto") else os.path.realpath(name) for name in self.weights]
        twice = next((name for name, file in zip(self.weights, files, strict=True) if files.count(file) > 1), None)
        if twice is not None:
            raise WrongUse(f"--weights names '{twice}' twice, perhaps by two names. Name each module once.")
        if len(set(self.levels)) < len(self.levels):
            raise WrongUse("--jpeg, --avif and --level take each quality of a codec once.")
        if self.dataset is None and not self.outcomes:
            raise WrongUse("Name the folder of photos to measure, or a file of what was measured with --from.")
        if self.per_photo is not None and os.path.realpath(self.per_photo) == os.path.realpath(self.output):
            raise WrongUse("--per-photo and --output name the same file.")
        self._check_from()

    def _check_from(self) -> None:
        """Check that nothing is asked for with `--from` that it does not do."""
        values = flat(self)
        asked = [one.names[0] for one in fields_of(type(self)) if values[one.name] != one.default]
        if self.outcomes and (others := set(asked) - {"--from", "--output", "--compare", "--overwrite"}):
            raise WrongUse(f"--from measures nothing anew, and so does not go with {', '.join(sorted(others))}.")


def _of_codecs(levels: tuple[Compression, ...], names: tuple[str, ...]) -> tuple[Compression, ...]:
    """Those of `levels` that are of one of the codecs in `names`."""
    kept = names if INSTALLED not in names else (*names, *installed())
    found = tuple(level for level in levels if level.codec in kept)
    if not found:
        raise WrongUse(f"--codecs {','.join(names)} leaves nothing to measure: no level is of these codecs.")
    return found


def _check_lose(options: EvaluateOptions) -> None:
    """Check that nothing is asked for with `--lose` that it decides itself."""
    if options.levels or options.degraded is not None:
        raise WrongUse(
            "--lose finds the levels itself: leave out --preset, --jpeg, --avif, --level and --degraded. --codecs"
            " narrows what it looks into."
        )
    for flag, asked in (
        ("--compare", options.compare),
        ("--per-photo", options.per_photo is not None),
        ("--from", bool(options.outcomes)),
        ("--resume", options.resume),
        ("--passes", options.passes != (1,)),
    ):
        if asked:
            raise WrongUse(f"--lose measures whole photos, saved once, and does not go with {flag}.")


IMAGENET_C = tuple(Compression("jpeg", quality) for quality in (25, 18, 15, 10, 7))
"""The severities of ImageNet-C's JPEG compression, 1 to 5 (Hendrycks and Dietterich, ICLR 2019)."""
RATES = {
    "jpeg": (85, 60, 35, 20, 12, 7, 4),
    "webp": (88, 70, 45, 25, 10, 3, 0),
    "avif": (75, 58, 47, 38, 30, 20, 10),
    "jxl": (88, 70, 50, 30, 18, 10, 1),
    "heic": (60, 47, 38, 32, 25, 18, 10),
    "jp2": (34, 32, 30, 28, 26, 24, 22),
}
"""Qualities whose files are about as large in every codec: of photos of 0.2 megapixels, from 4 to 50 kilobytes."""
PRESETS: dict[str, dict[str, Any]] = {
    "imagenet-c": {"levels": IMAGENET_C},
    "multi": {"levels": IMAGENET_C, "passes": (1, 2, 3, 4, 5)},
    "avif": {"levels": tuple(Compression("avif", quality) for quality in (50, 40, 30, 20, 10))},
    "photos": {"levels": IMAGENET_C, "order": "compress-first"},
    "rate": {
        "levels": tuple(Compression(codec, quality) for codec, scale in RATES.items() for quality in scale),
        "order": "compress-first",
        "codecs": (INSTALLED,),
    },
    "unseen": {"levels": tuple(Compression(name, severity) for name in CORRUPTIONS_C for severity in range(1, 6))},
}
"""Protocols as settings of `EvaluateOptions`, by name: ImageNet-C's JPEG severities (AFD, Table V); one to five of them
one after the other (Table VI); about the same damage as AVIF; the same JPEG qualities as real photos have them; every
codec from the smallest files to such that cost nothing; and what is no compression, which no module was trained on."""
