"""What each command can be asked for: frozen dataclasses, checked once, for the command line and for Python."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from afdcli.errors import WrongUse

QUALITIES = {
    "jpeg": range(1, 101),
    "avif": range(101),
    "webp": range(101),
    "jp2": range(10, 61),
    "jxl": range(101),
    "heic": range(101),
}
"""The qualities each codec takes, best last. JPEG quality 0 is left out: encoders silently take it for 1. That of
JPEG 2000 is the error it aims at, as a peak signal-to-noise ratio in dB."""
SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")
SUBSAMPLED = ("jpeg", "avif", "heic")
"""The codecs whose subsampling can be chosen."""
ESTIMATORS = ("angle", "paper")
"""Of the drift, see `methods.drift`."""
METHOD_NAMES = ("afd", "fct", "ddp", "augment", "restore")
"""What can be trained, see `methods`."""
ENGINES = ("auto", "torch", "openvino", "onnxruntime")
CLUSTERS = ("none", "ray")
EXPORT_ENDINGS = {"onnx": ".onnx", "openvino": ".xml", "pt2": ".pt2"}
"""Formats for other programs, and how their files end."""
TAPS = ("stem", "stage1", "stage2")
"""Where a backbone can be cut, see `backbones.split`."""
RESULT_ENDINGS = (".csv", ".jsonl", ".parquet")
SHAPE = ("tap", "width", "growth", "depth", "stride", "hidden", "pooled", "rank", "estimator")
"""What of `TrainOptions` makes a new module the module it is."""
DEFAULT_BACKBONE = "tf_efficientnet_lite0"
MAX_PIXELS = 250_000_000
"""Larger than any phone's photo (200 megapixels), small enough to decode in 1 GB."""


def default_workers() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _at_least(flag: str, value: int, least: int) -> None:
    if value < least:
        raise WrongUse(f"{flag} must be {least} or more, not {value}.")


def _one_of(flag: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise WrongUse(f"{flag} must be one of {', '.join(choices)}, not '{value}'.")


def _check_ending(flag: str, path: Path, endings: tuple[str, ...]) -> None:
    if path.suffix.lower() not in endings:
        raise WrongUse(f"{flag} must end in {' or '.join(endings)}, not '{path.name}'.")


@dataclass(frozen=True)
class Compression:
    """One lossy save: a level of damage."""

    codec: str
    """`jpeg`, `avif`, `webp`, `jp2`, `jxl` or `heic`."""
    quality: int
    """The codec's own scale, see `QUALITIES`. The scales of two codecs cannot be compared."""
    subsampling: str = "4:2:0"
    """Resolution of the colour channels. Codecs where that cannot be chosen take only the default."""

    def __post_init__(self) -> None:
        _one_of("The codec", self.codec, tuple(QUALITIES))
        scale = QUALITIES[self.codec]
        if self.quality not in scale:
            raise WrongUse(f"{self.codec.upper()} takes qualities from {scale[0]} to {scale[-1]}, not {self.quality}.")
        _one_of("--subsampling", self.subsampling, SUBSAMPLINGS if self.codec in SUBSAMPLED else ("4:2:0",))


@dataclass(frozen=True)
class Degradation:
    """What is done to one image: lossy saves, one after the other. The last one's file is the result."""

    chain: tuple[tuple[Compression, ...], ...]
    """For each pass the compressions that it is drawn from, uniformly. The last pass has just one."""
    shift: bool = False
    """Move the block grid between passes, by an offset drawn for each image."""

    @property
    def passes(self) -> int:
        """Lossy saves in all."""
        return len(self.chain)

    @property
    def last(self) -> Compression:
        """The save whose file is the result, and whose quality is in that file's quantisation tables."""
        return self.chain[-1][0]

    @property
    def name(self) -> str:
        """The folder for its results: `jpeg-10`, `jpeg-25-10` (a sequence), `jpeg-10-passes-3` (drawn), `...-shift`."""
        if all(len(choices) == 1 for choices in self.chain):
            name = "-".join([self.last.codec, *(str(choices[0].quality) for choices in self.chain)])
        else:
            name = f"{self.last.codec}-{self.last.quality}-passes-{self.passes}"
        return name + "-shift" * (self.shift and self.passes > 1)


def degradations(levels: tuple[Compression, ...], passes: int, shift: bool) -> tuple[Degradation, ...]:
    """Each level as the last of `passes` saves, the earlier ones drawn from the levels of the same codec."""
    _at_least("--passes", passes, 1)
    return tuple(
        Degradation(
            (tuple(other for other in levels if other.codec == level.codec),) * (passes - 1) + ((level,),), shift
        )
        for level in levels
    )


@dataclass(frozen=True)
class ReadOptions:
    """How image files become pixels: the same for every command."""

    exif: str = "apply"
    """`apply` turns each photo upright by its EXIF orientation, `ignore` takes the pixels as stored."""
    icc: str = "ignore"
    """`ignore` takes the colours as stored, as networks are trained and published figures are measured; `apply`
    converts them to sRGB by the embedded profile, as viewers show them."""
    max_pixels: int = MAX_PIXELS
    """Images with more pixels are refused, unread: a small file can claim to be huge (decompression bomb)."""

    def __post_init__(self) -> None:
        _one_of("--exif", self.exif, ("apply", "ignore"))
        _one_of("--icc", self.icc, ("apply", "ignore"))
        _at_least("--max-pixels", self.max_pixels, 1)


@dataclass(frozen=True)
class ModelOptions:
    """Which classifier, and where it runs."""

    backbone: str = DEFAULT_BACKBONE
    """A timm model name. The default's weights are installed with afd."""
    backbone_checkpoint: Path | None = None
    """Weights for `backbone`: .safetensors, or .pth without pickled code. None: the installed or downloaded ones."""
    device: str = "auto"
    """`auto` (a GPU where there is one), or a torch device such as `cpu`, `cuda:1`, `mps`."""
    batch_size: int = 16
    """Images that go through the network together."""
    engine: str = "auto"
    """What classifies and evaluates run on: `torch`; `openvino`, compiled for the processor; `auto`, the faster one."""
    precision: str = "float32"
    """`bfloat16` computes in half the bits what may be: faster on GPUs and on processors that have it. What is stored,
    and what is learnt from, stays in float32."""

    def __post_init__(self) -> None:
        _one_of("--precision", self.precision, ("float32", "bfloat16"))
        _one_of("--engine", self.engine, ENGINES)
        _at_least("--batch-size", self.batch_size, 1)


@dataclass(frozen=True)
class ClassifyOptions:
    """`afd classify`."""

    inputs: tuple[str, ...]
    """Folders (searched recursively), files, glob patterns and URIs; `-` reads a list of them from standard input."""
    output: Path = Path("predictions.csv")
    """Where the rows go; the ending chooses CSV, JSON Lines or Parquet."""
    topk: int = 5
    """Classes reported for each image, most probable first."""
    weights: str = "auto"
    """The de-drifting module: a file of `afd train`, `none`, or `auto` (the one shipped for the backbone, if any)."""
    resume: bool = False
    """Go on with an interrupted `output` instead of starting anew."""
    model: ModelOptions = ModelOptions()
    read: ReadOptions = ReadOptions()
    workers: int = default_workers()
    """Processes that decode. 0 decodes in this one, where libtiff may write complaints to standard error."""
    fast_decode: bool = False
    """Decode large JPEGs at a fraction of their size, see `reading.decode_rgb`. It changes pixels, and so, now and
    then, a class."""
    cluster: str = "none"
    """`ray`: many machines do the work, each with all its processors; the rows are the same, and written here."""

    def __post_init__(self) -> None:
        if not self.inputs:
            raise WrongUse("Name at least one folder, file or pattern to classify, or - for a list on standard input.")
        _check_ending("--output", self.output, RESULT_ENDINGS)
        _one_of("--cluster", self.cluster, CLUSTERS)
        _at_least("--topk", self.topk, 1)
        _at_least("--workers", self.workers, 0)


@dataclass(frozen=True)
class EvaluateOptions:
    """`afd evaluate`."""

    dataset: Path | str
    """A folder, or a URI, with one folder a class, named by WordNet id, label or index; or unlabelled photos."""
    output: Path = Path("accuracy.csv")
    levels: tuple[Compression, ...] = ()
    """The damage to measure, each level a row. The undamaged photos are always the first row."""
    passes: tuple[int, ...] = (1,)
    """How often an image is compressed, each count a row: the last time at the row's quality, before that at
    qualities drawn from the codec's levels (AFD, Table VI)."""
    shift: bool = False
    """Move the block grid between passes."""
    order: str = "crop-first"
    """`crop-first` compresses the network's input (ImageNet-C), `compress-first` the photo at its own size."""
    degraded: Path | None = None
    """Read the levels from this folder made by `afd degrade` from `dataset`, instead of compressing here."""
    weights: tuple[str, ...] = ("auto",)
    """De-drifting modules to compare, each as for `ClassifyOptions`, on the same compressed bytes; the others are
    compared with the first. Networks that remove artifacts (.pth, .safetensors) may be among them."""
    compare: bool = False
    """Also write a Markdown table and PNG curves, beside the output."""
    seed: int = 0
    """Of the drawn qualities and grid shifts."""
    model: ModelOptions = ModelOptions()
    read: ReadOptions = ReadOptions()
    workers: int = default_workers()
    """Processes that decode and compress. 0 works in this one."""
    cluster: str = "none"
    """As for `ClassifyOptions`."""

    def __post_init__(self) -> None:
        _check_ending("--output", self.output, (".csv",))
        _one_of("--order", self.order, ("crop-first", "compress-first"))
        _one_of("--cluster", self.cluster, CLUSTERS)
        _at_least("--workers", self.workers, 0)
        _at_least("--seed", self.seed, 0)
        for count in self.passes:
            _at_least("--passes", count, 1)
        if not self.passes or not self.weights:
            raise WrongUse("--passes and --weights take at least one value.")
        if self.degraded is not None and (self.levels or self.passes != (1,)):
            raise WrongUse("--degraded brings its own levels: leave out --jpeg, --avif, --level and --passes.")
        if len(set(self.levels)) < len(self.levels) or len(set(self.passes)) < len(self.passes):
            raise WrongUse("--jpeg, --avif, --level and --passes take each value once.")


IMAGENET_C = tuple(Compression("jpeg", quality) for quality in (25, 18, 15, 10, 7))
"""The severities of ImageNet-C's JPEG compression, 1 to 5 (Hendrycks and Dietterich, ICLR 2019)."""
PRESETS: dict[str, dict[str, Any]] = {
    "imagenet-c": {"levels": IMAGENET_C},
    "multi": {"levels": IMAGENET_C, "passes": (1, 2, 3, 4, 5)},
    "avif": {"levels": tuple(Compression("avif", quality) for quality in (50, 40, 30, 20, 10))},
    "photos": {"levels": IMAGENET_C, "order": "compress-first"},
}
"""Protocols as settings of `EvaluateOptions`, by name: ImageNet-C's JPEG severities (AFD, Table V); one to five of them
one after the other (Table VI); about the same damage as AVIF; and the same JPEG qualities as real photos have them."""


@dataclass(frozen=True)
class TrainOptions:
    """`afd train`."""

    photos: tuple[str, ...]
    """Folders, files and patterns of photos. Labels are not needed."""
    output: Path = Path("module.safetensors")
    """The best module so far, by validation. Beside it lie the last one, `.last.safetensors`; the log, `.csv`, and its
    curves, `.png`; and `.state.safetensors`, to go on from."""
    shares: tuple[float, ...] = ()
    """For each of `photos`, how often it is drawn from in proportion to the others, however many photos are in it; 0 is
    never. Empty: every photo is drawn as often as any other."""
    least_crop: int = 0
    """Pixels: no crop has a shorter side, where a photo has as many. In smaller crops everything is blurred, for they
    are enlarged. And photos that have no more are damaged after cropping only: before, it would be hardly the same."""
    labels: bool = False
    """The one folder in `photos` has a folder for each class, and `fct` and `augment` learn these; otherwise the target
    is the untouched classifier's prediction for the original."""
    method: str = "afd"
    """What is trained: `afd`; `fct`, which trains the backbone itself; or, to compare with, `ddp`, `augment` (the
    backbone as well) or `restore` (the image)."""
    weights: str = "none"
    """A module to go on from, of the same method: a file, or `auto`, the one that comes with afd for this backbone. It
    keeps its `SHAPE`. `none` begins anew."""
    tap: str = "auto"
    """Where the module goes: `stem`, `stage1` or `stage2`; `auto` is where the method does best."""
    width: int = 24
    """Channels of the enhancer, see `AFDConfig`, as of the next five; or of the residual mapping block of `fct`, which
    has none at 0."""
    growth: int = 1
    depth: int = 2
    stride: int = 1
    hidden: int = 24
    pooled: bool = False
    estimator: str = "angle"
    """Of the drift: `angle` learns the true one, in degrees; `paper` is what the other losses make of it."""
    rank: int = 48
    """Channels inside the corrections of the tail's later stages; 0: the paper's module, which corrects at the tap."""
    steps: int = 10_000
    """Batches in all."""
    learning_rate: float = 1e-3
    """Of AdamW, after the warm-up; it falls to 0 along a cosine. A backbone that is trained gets a tenth of it."""
    feature_weight: float = 2.0
    """Of the drift that is left at the tap: the paper's loss."""
    stage_weight: float = 6.0
    """Of the drift that is left at the tail's later stages."""
    logit_weight: float = 0.3
    """Of the divergence between the predictions for the original and for its mended copy."""
    drift_weight: float = 1.0
    """Of the error of the estimated angles. With the three above at 0, nothing but that estimate is trained."""
    pixel_weight: float = 1.0
    """Of the difference between the original and its restored copy."""
    quality_weight: float = 1.0
    """Of the error of the estimated quality factor."""
    clean_share: float = 0.2
    """Of the pairs, how many are not compressed: the module must leave those alone."""
    crop_first_share: float = 0.5
    """Of the others, how many are compressed after cropping, the rest before."""
    validate_every: int = 500
    """Steps between two looks at the photos held out; also between two savings of the state."""
    seed: int = 0
    """Of the pairs and the first weights."""
    resume: bool = False
    """Go on with an interrupted run; it ends as if it had not been."""
    model: ModelOptions = ModelOptions()
    read: ReadOptions = ReadOptions()
    workers: int = default_workers()
    """Processes that make pairs. 0 makes them in this one."""

    def __post_init__(self) -> None:
        _check_ending("--output", self.output, (".safetensors",))
        _one_of("--method", self.method, METHOD_NAMES)
        if self.labels and self.method not in ("fct", "augment"):
            raise WrongUse(f"--labels are for --method fct and augment; {self.method} learns without them.")
        for field in fields(self):
            if self.weights != "none" and field.name in SHAPE and getattr(self, field.name) != field.default:
                raise WrongUse(f"--{field.name} is for a new module; the one of --weights stays as it is.")
        _one_of("--tap", self.tap, ("auto", *TAPS))
        _one_of("--estimator", self.estimator, ESTIMATORS)
        if self.pooled and self.estimator != "paper":
            raise WrongUse("--pooled is for --estimator paper: angles are of one place each.")
        _at_least("--width", self.width, 0 if self.method == "fct" else 1)
        for flag in ("growth", "stride", "hidden", "steps", "validate_every"):
            _at_least(f"--{flag.replace('_', '-')}", getattr(self, flag), 1)
        if self.shares and len(self.shares) != len(self.photos):
            raise WrongUse(f"Give --share once for each of the {len(self.photos)} inputs, or not at all.")
        if self.shares and not (min(self.shares) >= 0 and 0 < sum(self.shares) < math.inf):
            raise WrongUse("--share must be 0 or more, and more than 0 for at least one of the inputs.")
        for flag in ("depth", "rank", "seed", "workers", "least_crop"):
            _at_least(f"--{flag.replace('_', '-')}", getattr(self, flag), 0)
        for flag in ("clean_share", "crop_first_share"):
            if not 0 <= getattr(self, flag) <= 1:
                raise WrongUse(f"--{flag.replace('_', '-')} must lie between 0 and 1, not {getattr(self, flag)}.")


RECIPES: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": {
        "tap": "stem",
        "width": 16,
        "growth": 2,
        "hidden": 64,
        "estimator": "paper",
        "rank": 0,
        "feature_weight": 1.0,
        "stage_weight": 0.0,
        "logit_weight": 0.0,
        "clean_share": 0.0,
        "crop_first_share": 1.0,
    },
}
"""Settings of `TrainOptions`, by name. `paper`: the module after the stem, taught by the stem's features alone."""


@dataclass(frozen=True)
class FuseOptions:
    """`afd fuse`."""

    source: Path
    """A file of `afd train`."""
    destination: Path
    """Where the folded module goes. What is there is replaced."""
    photos: tuple[str, ...]
    """Folders, files and patterns of the photos on which both are compared."""
    backbone_checkpoint: Path | None = None
    """Weights of the backbone, where they are not the installed or downloaded ones."""
    read: ReadOptions = ReadOptions()

    def __post_init__(self) -> None:
        _check_ending("OUT", self.destination, (".safetensors",))


@dataclass(frozen=True)
class BenchOptions:
    """`afd bench`."""

    photos: tuple[str, ...]
    """Folders, files and patterns of the photos to measure with: typical ones."""
    weights: str = "auto"
    """The de-drifting module, as for `ClassifyOptions`; each engine is measured with it and without."""
    seconds: float = 3.0
    """How long each part is measured."""
    model: ModelOptions = ModelOptions()
    read: ReadOptions = ReadOptions()
    workers: int = default_workers()
    """Processes that decode. 0 decodes in this one."""

    def __post_init__(self) -> None:
        _at_least("--workers", self.workers, 0)
        if not self.seconds > 0:
            raise WrongUse(f"--seconds must be more than 0, not {self.seconds}.")


@dataclass(frozen=True)
class ExportOptions:
    """`afd export`."""

    output: Path
    """The file. What is there is replaced. OpenVINO's weights lie beside it, as `.bin`."""
    photos: tuple[str, ...]
    """Folders, files and patterns of the photos on which the file is compared with the classifier."""
    format: str = "auto"
    """`onnx`, `openvino`, `pt2` (torch.export), or `auto`, the one that `output` ends in."""
    weights: str = "auto"
    """The de-drifting module, as for `ClassifyOptions`."""
    model: ModelOptions = ModelOptions(device="cpu")
    read: ReadOptions = ReadOptions()

    def __post_init__(self) -> None:
        _one_of("--format", self.format, ("auto", *EXPORT_ENDINGS))
        endings = tuple(EXPORT_ENDINGS.values()) if self.format == "auto" else (EXPORT_ENDINGS[self.format],)
        _check_ending("OUT", self.output, endings)
        if self.format == "auto":
            named = {ending: name for name, ending in EXPORT_ENDINGS.items()}
            object.__setattr__(self, "format", named[self.output.suffix.lower()])


@dataclass(frozen=True)
class ExplainOptions:
    """`afd explain`."""

    photo: Path
    """A photo; or, for the statistics, a folder of them."""
    output: Path = Path("explanation.png")
    """The picture. What is there is replaced."""
    compression: Compression | None = None
    """How the photo is compressed first. None: it is looked at as it is."""
    statistics: bool = False
    """Draw the angles of features and of DCT coefficients, over many photos, instead of one photo."""
    weights: str = "auto"
    """The de-drifting module, as for `ClassifyOptions`."""
    model: ModelOptions = ModelOptions()
    read: ReadOptions = ReadOptions()

    def __post_init__(self) -> None:
        _check_ending("--output", self.output, (".png",))


@dataclass(frozen=True)
class DegradeOptions:
    """`afd degrade`."""

    source: Path | str
    """A folder (searched recursively), one file, or a URI. Never written to."""
    destination: Path
    """Gets one folder and one manifest for each degradation."""
    degradations: tuple[Degradation, ...]
    """The damage, each to its own folder."""
    size: int | None = None
    """First resize and crop each photo to this square, as networks do. None: compress at the photo's own size."""
    seed: int = 0
    """Of the drawn qualities and grid shifts."""
    read: ReadOptions = ReadOptions(icc="apply")
    """A copy has no profile, so by default its colours are made those of sRGB, and look the same."""
    workers: int = default_workers()
    """Processes that decode and compress. 0 works in this one."""
    cluster: str = "none"
    """As for `ClassifyOptions`."""

    def __post_init__(self) -> None:
        if not self.degradations:
            raise WrongUse("Say how to degrade: --qf 10, --avif 30, --level webp:30 or --qf-sequence 25,10,7.")
        if len({degradation.name for degradation in self.degradations}) < len(self.degradations):
            raise WrongUse("Two of the degradations asked for are the same. Name each once.")
        if self.size is not None:
            _at_least("--size", self.size, 1)
        _one_of("--cluster", self.cluster, CLUSTERS)
        _at_least("--seed", self.seed, 0)
        _at_least("--workers", self.workers, 0)
