"""What each command can be asked for, but for those with a file of their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_doc import Doc

from afdcli.errors import WrongUse
from afdcli.machines.hardware import default_workers
from afdcli.options.damage import Compression, Degradation, degradations_of, level_of
from afdcli.options.fields import Options
from afdcli.options.gallery import GalleryOptions
from afdcli.options.groups import (
    EXPORT_ENDINGS,
    MODEL,
    READING,
    RESULT_ENDINGS,
    STANDARD_OUTPUT,
    STREAMED,
    BackboneCheckpoint,
    Cluster,
    Ema,
    EveryFile,
    ModelOptions,
    Overwrite,
    Photos,
    ReadOptions,
    Resume,
    Seed,
    ShardSize,
    To,
    Weights,
    Workers,
)
from afdcli.options.rules import (
    AtLeast,
    Completes,
    EndsIn,
    MoreThan,
    Named,
    OneOf,
    Panel,
    Parsed,
    SameRows,
    Without,
)


@dataclass(frozen=True)
class ClassifyOptions(Options):
    """Classify photos: one row for every file, readable or not."""

    inputs: Annotated[
        tuple[str, ...],
        Named("PATH"),
        Doc(
            "Folders, which are searched through, single files, patterns such as 'a*.jpg', and URIs; also .zip and .tar"
            " archives, shards of WebDataset ('{000..127}.tar') and Parquet tables of images. - reads a list of them"
            " from standard input."
        ),
    ]
    output: Annotated[
        Path,
        Named("--output", "-o"),
        EndsIn(*RESULT_ENDINGS, also=STANDARD_OUTPUT),
        SameRows(),
        Doc(
            "The file for the rows; its ending chooses CSV, JSON Lines or Parquet. With - they go to standard output as"
            " they come, and all else to standard error."
        ),
    ] = Path("predictions.csv")
    format: Annotated[
        str, OneOf(*STREAMED), SameRows(), Doc("What the rows are on standard output; a file's ending chooses its own.")
    ] = "csv"
    topk: Annotated[int, AtLeast(1), Doc("How many classes each row names, the most probable first.")] = 5
    weights: Weights = "auto"
    resume: Resume = False
    model: ModelOptions = ModelOptions()
    read: ReadOptions = ReadOptions()
    workers: Workers = default_workers()
    fast_decode: Annotated[
        bool,
        Panel(READING),
        Doc(
            "Decode large JPEGs at a fraction of their size: faster, but other pixels, and now and then another class."
        ),
    ] = False
    every_file: EveryFile = False
    cluster: Cluster = "none"
    gallery: Annotated[
        bool,
        SameRows(),
        Doc("Also make a page of the photos and their classes, as afd gallery does, beside the output."),
    ] = False
    overwrite: Overwrite = False

    def __post_init__(self) -> None:
        """See `Options`.

        Raises:
            WrongUse: a value is not allowed, or there are no inputs.
        """
        super().__post_init__()
        if not self.inputs:
            raise WrongUse("Name at least one folder, file or pattern to classify, or - for a list on standard input.")
        if self.output == STANDARD_OUTPUT:
            needing = next((name for name in ("resume", "gallery", "overwrite") if getattr(self, name)), None)
            if needing:
                raise WrongUse(f"--{needing} needs the rows in a file. Name one with --output.")
        elif STREAMED[self.format] != ".csv" and self.output.suffix.lower() != STREAMED[self.format]:
            raise WrongUse(f"--format is about standard output, and '{self.output.name}' is named otherwise.")

    def to_gallery(self) -> GalleryOptions:
        """What `gallery` asks for, once the rows are there."""
        return GalleryOptions(
            self.output, photos=self.inputs, resume=True, read=self.read, workers=self.workers, overwrite=self.overwrite
        )


@dataclass(frozen=True)
class FuseOptions(Options):
    """Fold a trained module into single convolutions, for use."""

    source: Annotated[Path, Named("IN"), Doc("The file of a module that afd train wrote.")]
    destination: Annotated[
        Path, Named("OUT"), EndsIn(".safetensors"), Doc("The .safetensors file for the folded module.")
    ]
    photos: Annotated[
        tuple[str, ...],
        Named("--photos"),
        Doc("Photos on which both modules are compared: folders, files, patterns or URIs; may be repeated."),
    ]
    backbone_checkpoint: BackboneCheckpoint = None
    ema: Ema = "auto"
    read: ReadOptions = ReadOptions()
    overwrite: Overwrite = False


@dataclass(frozen=True)
class BenchOptions(Options):
    """Measure how many photos a second this machine reads and classifies, by each engine."""

    photos: Photos
    weights: Weights = "auto"
    seconds: Annotated[float, MoreThan(0), Doc("How many seconds each part is measured.")] = 3.0
    model: ModelOptions = ModelOptions()
    read: ReadOptions = ReadOptions()
    workers: Workers = default_workers()


@dataclass(frozen=True)
class ExportOptions(Options):
    """Write the classifier, module and all, as one file for other programs."""

    output: Annotated[
        Path,
        Named("OUT"),
        Doc("The file: .onnx, .xml (OpenVINO, whose weights lie beside it as .bin) or .pt2 (torch.export)."),
    ]
    photos: Annotated[
        tuple[str, ...],
        Named("--photos"),
        Doc(
            "Photos on which the file is compared with the classifier: folders, files, patterns or URIs; may be"
            " repeated."
        ),
    ]
    format: Annotated[
        str, OneOf("auto", *EXPORT_ENDINGS), Doc("The kind of file to write; auto is the one that OUT ends in.")
    ] = "auto"
    weights: Weights = "auto"
    model: Annotated[ModelOptions, Without("device", "batch_size", "engine", "precision")] = ModelOptions(device="cpu")
    read: ReadOptions = ReadOptions()
    overwrite: Overwrite = False

    def __post_init__(self) -> None:
        """See `Options`. The format `auto` becomes the one that it stands for.

        Raises:
            WrongUse: a value is not allowed, or the output does not end as the format's files do.
        """
        super().__post_init__()
        endings = tuple(EXPORT_ENDINGS.values()) if self.format == "auto" else (EXPORT_ENDINGS[self.format],)
        EndsIn(*endings).check("OUT", self.output)
        if self.format == "auto":
            named = {ending: name for name, ending in EXPORT_ENDINGS.items()}
            object.__setattr__(self, "format", named[self.output.suffix.lower()])


@dataclass(frozen=True)
class ExplainOptions(Options):
    """Draw what compression does to a photo inside the classifier, and what the module puts back."""

    photo: Annotated[
        Path | str, Doc("The photo to explain; with --statistics, a folder of photos, an archive, a pattern or a URI.")
    ]
    output: Annotated[Path, Named("--output", "-o"), EndsIn(".png"), Doc("The .png file for the picture.")] = Path(
        "explanation.png"
    )
    compression: Annotated[
        Compression | None,
        Parsed(level_of),
        Doc("How the photo is compressed first; if not given, it is looked at as it is."),
    ] = None
    statistics: Annotated[
        bool,
        Doc("Draw, over the photos of a folder, how far compression turns features and DCT coefficients away."),
    ] = False
    weights: Annotated[
        str,
        Completes(("auto",)),
        Panel(MODEL),
        Doc("The de-drifting module to look into: a file that afd train wrote; or auto, the one that comes with afd."),
    ] = "auto"
    model: Annotated[ModelOptions, Without("batch_size", "engine", "precision")] = ModelOptions()
    read: ReadOptions = ReadOptions()
    overwrite: Overwrite = False


@dataclass(frozen=True)
class DegradeOptions(Options):
    """Make compressed copies of photos, with a manifest."""

    source: Annotated[
        Path | str,
        Named("SRC"),
        Doc(
            "A folder of photos, which is searched through, one photo, an archive, a table of images, a pattern or a"
            " URI; - reads a list from standard input. It is never written to."
        ),
    ]
    destination: Annotated[
        Path, Named("DST"), Doc("The folder for the copies: it gets a folder and a manifest for each kind of damage.")
    ]
    degradations: Annotated[
        tuple[Degradation, ...], Parsed(degradations_of), Doc("The kinds of damage, each to a folder of its own.")
    ]
    to: To = "files"
    shard_size: ShardSize = 1000
    size: Annotated[
        int | None,
        AtLeast(1),
        Doc("First resize and crop each photo to a square of so many pixels, such as 224, as networks do."),
    ] = None
    seed: Seed = 0
    read: ReadOptions = ReadOptions(icc="apply")
    """A copy has no profile, so by default its colours are made those of sRGB, and look the same."""
    every_file: EveryFile = False
    workers: Workers = default_workers()
    cluster: Cluster = "none"
    overwrite: Overwrite = False

    def __post_init__(self) -> None:
        """See `Options`.

        Raises:
            WrongUse: a value is not allowed, or there is no damage, or the same twice.
        """
        super().__post_init__()
        if not self.degradations:
            raise WrongUse("Say how to degrade: --qf 10, --avif 30, --level webp:30 or --qf-sequence 25,10,7.")
        if len({degradation.name for degradation in self.degradations}) < len(self.degradations):
            raise WrongUse("Two of the degradations asked for are the same. Name each once.")
