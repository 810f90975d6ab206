"""Options that several commands share: how files are read, which classifier it is, and single ones."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from annotated_doc import Doc

from afdcli.errors import WrongUse
from afdcli.formats.exports import EXPORTS
from afdcli.formats.rows import FORMATS
from afdcli.formats.shards import SHARDS
from afdcli.options.damage import SHIFT
from afdcli.options.fields import Options
from afdcli.options.rules import AtLeast, Completes, Named, OneOf, Panel, SameRows, Shown

ENGINES = ("auto", "torch", "openvino", "onnxruntime")
CLUSTERS = ("none", "ray")
EXPORT_ENDINGS = {name: one.ending for name, one in EXPORTS.items()}
"""Formats for other programs, and how their files end."""
ESTIMATORS = ("angle", "paper")
"""How the drift may be estimated, see `methods.drift`."""
TAPS = ("stem", "stage1", "stage2")
"""Places for a module that most backbones have, see `models.taps`."""
RESULT_ENDINGS = tuple(FORMATS)
DEFAULT_BACKBONE = "tf_efficientnet_lite0"
MAX_PIXELS = 250_000_000
"""Larger than any phone's photo (200 megapixels). To read one of so many takes 2.3 GB at most beside the file, for its
pixels as decoded and as RGB; what decoders need themselves makes it 2.7 GB for AVIF and progressive JPEG, 4.2 GB for
WebP and 5 GB for JPEG 2000 (measured: 9, 10.6, 16.6 and 19.4 bytes a pixel)."""
MODEL, READING = "Model", "Reading"

Photos = Annotated[
    tuple[str, ...],
    Doc(
        "Folders, which are searched through, single files, patterns such as 'a*.jpg', and URIs; also .zip and .tar"
        " archives, shards of WebDataset ('{000..127}.tar') and Parquet tables of images."
    ),
]
Weights = Annotated[
    str,
    Completes(("auto", "none")),
    Panel(MODEL),
    Doc(
        "The de-drifting module, which undoes what compression does to the classifier's features: a file that afd train"
        " wrote; auto, the one that comes with afd for this backbone, if any; or none."
    ),
]
Workers = Annotated[
    int,
    AtLeast(0),
    Shown("what processors and memory allow"),
    SameRows(),
    Panel(READING),
    Doc("Processes that read and prepare photos side by side; 0 does that in the main process."),
]
Cluster = Annotated[
    str,
    OneOf(*CLUSTERS),
    SameRows(),
    Panel(READING),
    Doc(
        "With ray, the machines of the Ray cluster at RAY_ADDRESS share the work, each with all its processors; the"
        " results are the same, and written here."
    ),
]
BackboneCheckpoint = Annotated[
    Path | None,
    Panel(MODEL),
    Doc(
        "A file with the classifier's weights, as training programs leave it: .safetensors, or what torch.save wrote,"
        " of which no code is run. If not given, the installed or downloaded ones are used."
    ),
]
Ema = Annotated[
    str,
    OneOf("auto", "yes", "no"),
    Panel(MODEL),
    Doc(
        "Whether to take the moving average (EMA) of the weights from the file of --backbone-checkpoint: yes, no, or"
        " auto, which takes it where there is one."
    ),
]
EveryFile = Annotated[
    bool,
    SameRows(),
    Panel(READING),
    Doc(
        "Give each file in a folder a row, also those that are no image by their ending or their first bytes, which"
        " otherwise are passed over and counted."
    ),
]
Seed = Annotated[
    int, AtLeast(0), Doc("Everything drawn at random follows from this number: the same one, the same draws.")
]
To = Annotated[
    str,
    OneOf("files", *SHARDS),
    Doc(
        "How copies are kept: as files; or in shards, wds as WebDataset reads them, with the photos' keys and what lies"
        " beside them, or parquet as Hugging Face's datasets library does."
    ),
]
ShardSize = Annotated[int, AtLeast(1), Doc("How many photos a shard is made of.")]
Shift = Annotated[bool, Doc(SHIFT)]
STANDARD_OUTPUT = Path("-")
STREAMED = {"csv": ".csv", "jsonl": ".jsonl"}
"""The formats of rows on standard output, and how files of them end."""
Resume = Annotated[bool, SameRows(), Doc("Go on with an interrupted output instead of starting anew.")]
Overwrite = Annotated[bool, SameRows(), Doc("Replace a finished result of the same command.")]


@cache
def backbone_names() -> tuple[str, ...]:
    """The names of timm's models, and of torchvision's classifiers, as their sources have them: in a tenth of a second,
    while importing them takes seconds."""
    names = _registered("timm", r"^@register_model\s+def (\w+)") - {DEFAULT_BACKBONE}
    others = _registered("torchvision", r"^@register_model\(\)\s(?:@.*\s)*def (\w+)")
    return (DEFAULT_BACKBONE, *sorted(names), *(f"torchvision/{name}" for name in sorted(others)))


def _registered(package: str, pattern: str) -> set[str]:
    spec = find_spec(package)
    folders = [] if spec is None else spec.submodule_search_locations or []
    sources = (path for folder in folders for path in Path(folder, "models").glob("*.py"))
    return {name for path in sources for name in re.findall(pattern, path.read_text("utf-8"), re.MULTILINE)}


@dataclass(frozen=True)
class ReadOptions(Options, panel=READING):
    """How image files become pixels: the same for every command."""

    exif: Annotated[
        str,
        OneOf("apply", "ignore"),
        Doc(
            "Whether to apply a photo's EXIF orientation, which turns it upright, or to ignore it and take the pixels"
            " as they are stored."
        ),
    ] = "apply"
    icc: Annotated[
        str,
        OneOf("apply", "ignore"),
        Doc(
            "Whether to apply an embedded colour profile, which converts the colours to sRGB as viewers show them, or"
            " to ignore it, as networks are trained and published figures are measured."
        ),
    ] = "ignore"
    max_pixels: Annotated[
        int,
        AtLeast(1),
        Doc("Refuse, unread, images that have more pixels than this: a small file can claim to be huge."),
    ] = MAX_PIXELS
    truncated: Annotated[
        str,
        OneOf("refuse", "read"),
        Doc(
            "Whether to refuse a JPEG of whose picture a part is lost, at its end or in its middle, or to read what is"
            " there, the rest being grey; the rows then say of each photo whether it is complete."
        ),
    ] = "refuse"

    def deciding(self) -> dict[str, Any]:
        """The values by name, as a result's record has them: they decide its rows, and so whether it can be resumed.

        What is newer than the first records is among them only where it is not as it was then.
        """
        values = asdict(self)
        if self.truncated == "refuse":
            del values["truncated"]
        return values


@dataclass(frozen=True)
class ModelOptions(Options, panel=MODEL):
    """Which classifier, and where it runs."""

    backbone: Annotated[
        str,
        Completes(backbone_names),
        Doc(
            "The classifier: the name of a timm model; hf-hub:ORG/NAME, one of the Hugging Face hub for timm; or"
            " torchvision/NAME. The default's weights are installed with afd."
        ),
    ] = DEFAULT_BACKBONE
    backbone_checkpoint: BackboneCheckpoint = None
    device: Annotated[
        str,
        Completes(("auto", "cpu", "cuda", "mps")),
        Doc("What the network runs on: auto, a GPU where there is one; or a torch device, cpu, cuda, cuda:1 or mps."),
    ] = "auto"
    batch_size: Annotated[int, AtLeast(1), Doc("How many images go through the network together.")] = 16
    engine: Annotated[
        str,
        OneOf(*ENGINES),
        Doc("The program that runs the network; auto is the fastest one that is installed and can run it here."),
    ] = "auto"
    precision: Annotated[
        str,
        OneOf("float32", "bfloat16"),
        Doc(
            "The numbers that the network computes in: bfloat16 has half the bits, and is faster on GPUs and processors"
            " made for it. What is stored stays in float32."
        ),
    ] = "float32"
    ema: Ema = "auto"
    label_names: Annotated[
        Path | None,
        Named("--labels"),
        Doc(
            "A file of what the classes are called: a name a line, or JSON, a list of names, or an object from index to"
            " name; if not given, ImageNet's names where they fit, those that came with the weights, or indices."
        ),
    ] = None

    def __post_init__(self) -> None:
        """See `Options`.

        Raises:
            WrongUse: a value is not allowed, or does not go with another.
        """
        super().__post_init__()
        if self.ema != "auto" and self.backbone_checkpoint is None:
            raise WrongUse("--ema is for a file of --backbone-checkpoint: give that too.")

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of the files that it names."""
        return tuple(str(path) for path in (self.backbone_checkpoint, self.label_names) if path is not None)
