"""Options that several commands share: how files are read, which classifier it is, and single ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from annotated_doc import Doc

from afdcli.formats.exports import EXPORTS
from afdcli.formats.rows import FORMATS
from afdcli.formats.shards import SHARDS
from afdcli.options.damage import SHIFT
from afdcli.options.fields import Options
from afdcli.options.rules import AtLeast, Completes, OneOf, Panel, SameRows, Shown

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
    """The names of timm's models as its source has them: in a tenth of a second, while importing it takes seconds."""
    spec = find_spec("timm")
    folders = [] if spec is None else spec.submodule_search_locations or []
    sources = sorted(path for folder in folders for path in Path(folder, "models").glob("*.py"))
    found = (re.findall(r"^@register_model\s+def (\w+)", path.read_text("utf-8"), re.MULTILINE) for path in sources)
    return (DEFAULT_BACKBONE, *sorted({name for names in found for name in names} - {DEFAULT_BACKBONE}))


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


@dataclass(frozen=True)
class ModelOptions(Options, panel=MODEL):
    """Which classifier, and where it runs."""

    backbone: Annotated[
        str,
        Completes(backbone_names),
        Doc("The classifier: the name of a timm model. The default's weights are installed with afd."),
    ] = DEFAULT_BACKBONE
    backbone_checkpoint: Annotated[
        Path | None,
        Doc(
            "A file with the classifier's weights, .safetensors, or .pth without pickled code; if not given, the"
            " installed or downloaded ones are used."
        ),
    ] = None
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
