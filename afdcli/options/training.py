"""What `afd train` can be asked for: a new module's shape, what its losses weigh, and the rest; recipes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from annotated_doc import Doc

from afdcli.errors import WrongUse
from afdcli.machines.hardware import default_workers
from afdcli.options.fields import Options
from afdcli.options.groups import ESTIMATORS, TAPS, ModelOptions, Overwrite, Photos, ReadOptions, Resume, Seed, Workers
from afdcli.options.rules import AtLeast, Between, Completes, EndsIn, MoreThan, Named, OneOf, Panel, SameRows, Without

MODULE = "Module"


class Method(NamedTuple):
    """What can be trained, known here without importing it."""

    where: str
    """Its class: the module it is in, a colon, and its name."""
    sentence: str
    """What it trains."""
    takes_labels: bool = False
    """Whether it can learn from the folders' classes."""


METHODS = {
    "afd": Method("afdcli.methods.afd:AFDModule", "a module that puts drifted features back, steered by a drift map"),
    "fct": Method("afdcli.methods.fct:FCTModule", "the backbone itself, to give the same features for both", True),
    "ddp": Method("afdcli.methods.ddp:DDPModule", "a module of plain convolutions, to compare with"),
    "augment": Method("afdcli.methods.augment:Augmentation", "the backbone, on compressed photos as new samples", True),
    "restore": Method("afdcli.methods.restore:ARCNN", "a network that mends the image, to compare with"),
}
"""By the name on the command line."""
METHOD_NAMES = tuple(METHODS)
LEARN_LABELS = tuple(name for name, method in METHODS.items() if method.takes_labels)


@dataclass(frozen=True, kw_only=True)
class ModuleShape(Options, panel=MODULE):
    """What makes a new module the module it is."""

    tap: Annotated[
        str,
        Completes(("auto", *TAPS)),
        Doc(
            "Where in the classifier the module goes: stem, stage1 or stage2, after its first layers, or after those at"
            " 1/4 or 1/8 of the resolution; the name of any submodule, such as layer2.1, that --list-taps names; or"
            " auto, where it does best."
        ),
    ] = "auto"
    width: Annotated[
        int,
        AtLeast(0),
        Doc("Channels of the network that corrects the features; of fct's mapping block, which is left out at 0."),
    ] = 24
    growth: Annotated[
        int, AtLeast(1), Doc("How many times as many channels each deeper level of that network has as the one above.")
    ] = 1
    depth: Annotated[int, Between(0, 16), Doc("How often that network halves the resolution of the features.")] = 2
    stride: Annotated[
        int, AtLeast(1), Doc("By how much the features' resolution is reduced before that network sees them.")
    ] = 1
    hidden: Annotated[int, AtLeast(1), Doc("Channels inside the network that estimates the drift.")] = 24
    pooled: Annotated[bool, Doc("Estimate one drift for each channel of an image, instead of one for each place.")] = (
        False
    )
    estimator: Annotated[
        str,
        OneOf(*ESTIMATORS),
        Doc(
            "How the drift is estimated: angle learns the true one, in degrees; paper is what the other losses make of"
            " an estimate from DCT coefficients."
        ),
    ] = "angle"
    rank: Annotated[
        int,
        AtLeast(0),
        Doc("Channels inside the corrections of the classifier's later layers; 0 corrects at the tap alone."),
    ] = 48


NARROWED = ("width", "growth", "hidden", "rank")
"""What of a module's shape `--narrow` makes smaller."""
SHAPE = tuple(field.name for field in fields(ModuleShape))


@dataclass(frozen=True, kw_only=True)
class LossWeights(Options, panel="Loss"):
    """How much each loss counts, of those that the method has."""

    feature_weight: Annotated[
        float, AtLeast(0), Doc("How much the drift that is left in the features at the tap counts.")
    ] = 2.0
    stage_weight: Annotated[
        float, AtLeast(0), Doc("How much the drift that is left in the classifier's later layers counts.")
    ] = 6.0
    logit_weight: Annotated[
        float, AtLeast(0), Doc("How much it counts that the prediction is another than for the original photo.")
    ] = 0.3
    drift_weight: Annotated[
        float,
        AtLeast(0),
        Doc("How much the error of the estimated angles counts; with the three above at 0, only they are learnt."),
    ] = 1.0
    pixel_weight: Annotated[
        float, AtLeast(0), Doc("How much the difference between the restored and the original image counts.")
    ] = 1.0
    quality_weight: Annotated[float, AtLeast(0), Doc("How much the error of the estimated quality factor counts.")] = (
        1.0
    )


@dataclass(frozen=True)
class TrainOptions(ModuleShape, LossWeights):
    """Teach a de-drifting module to undo compression, from photos without labels."""

    photos: Photos
    output: Annotated[
        Path,
        Named("--output", "-o"),
        EndsIn(".safetensors"),
        SameRows(),
        Doc("The .safetensors file for the best module so far; beside it lie the last one, the log and its curves."),
    ] = Path("module.safetensors")
    shares: Annotated[
        tuple[float, ...],
        Named("--share"),
        AtLeast(0),
        Doc(
            "How often each of PHOTOS is drawn from, in proportion to the others and however many photos it has: given"
            " once for each, in their order. If not given, every photo is drawn as often as any other."
        ),
    ] = ()
    least_crop: Annotated[
        int,
        AtLeast(0),
        Doc(
            "Pixels that no crop is smaller than, where a photo has as many: smaller ones are enlarged, and so blurred."
            " Photos that have no more are compressed after cropping only."
        ),
    ] = 0
    labels: Annotated[
        bool, Panel(MODULE), Doc("Learn the classes, of which PHOTOS has a folder each, with a method that can.")
    ] = False
    method: Annotated[
        str,
        OneOf(*METHODS),
        Panel(MODULE),
        Doc(f"What is trained: {'; '.join(f'{name}, {one.sentence}' for name, one in METHODS.items())}."),
    ] = "afd"
    weights: Annotated[
        str,
        Completes(("auto", "none")),
        Panel(MODULE),
        Doc(
            "A module to go on from, whose shape only --narrow changes: a file, or auto, the one that comes with afd;"
            " or none."
        ),
    ] = "none"
    narrow: Annotated[
        bool,
        Panel(MODULE),
        Doc(
            "Begin with those channels of the module of --weights that carry most, no more than --width, --growth,"
            " --hidden and --rank say, and train them on: the module gets faster."
        ),
    ] = False
    steps: Annotated[int, AtLeast(1), Doc("How many batches are learnt from in all.")] = 10_000
    learning_rate: Annotated[
        float, MoreThan(0), Doc("How far each step goes, at most: after a warm-up it falls to 0 along a cosine.")
    ] = 1e-3
    clean_share: Annotated[
        float,
        Between(0, 1),
        Panel("Loss"),
        Doc("The share of photos that are not compressed, which it must leave alone."),
    ] = 0.2
    crop_first_share: Annotated[
        float,
        Between(0, 1),
        Panel("Loss"),
        Doc("The share, of those compressed, that are compressed after cropping; the others before."),
    ] = 0.5
    validate_every: Annotated[
        int, AtLeast(1), Doc("How many steps lie between two validations, and between two savings to go on from.")
    ] = 500
    seed: Seed = 0
    resume: Resume = False
    model: Annotated[ModelOptions, Without("engine", "label_names")] = ModelOptions()
    read: ReadOptions = ReadOptions()
    workers: Workers = default_workers()
    overwrite: Overwrite = False

    def __post_init__(self) -> None:
        """See `Options`.

        Raises:
            WrongUse: a value is not allowed, or does not go with another.
        """
        super().__post_init__()
        if self.labels and self.method not in LEARN_LABELS:
            raise WrongUse(
                f"--labels are for --method {' and '.join(LEARN_LABELS)}; {self.method} learns without them."
            )
        if self.pooled and self.estimator != "paper":
            raise WrongUse("--pooled is for --estimator paper: angles are of one place each.")
        if self.shares and len(self.shares) != len(self.photos):
            raise WrongUse(f"Give --share once for each of the {len(self.photos)} inputs, or not at all.")
        if self.shares and not sum(self.shares):
            raise WrongUse("--share must be more than 0 for at least one of the inputs.")
        self._check_weights()
        AtLeast(0 if self.method == "fct" else 1).check("--width", self.width)

    def _check_weights(self) -> None:
        """Check that the shape is given for a new module only, or to be narrowed to."""
        if self.narrow and self.method != "afd":
            raise WrongUse(f"--narrow is for --method afd, not {self.method}.")
        if self.weights == "none":
            if self.narrow:
                raise WrongUse("--narrow takes channels from a trained module. Give that with --weights.")
            return
        for field in fields(ModuleShape):
            if getattr(self, field.name) == field.default or (self.narrow and field.name in NARROWED):
                continue
            change = " Add --narrow to make it smaller." if field.name in NARROWED and self.method == "afd" else ""
            raise WrongUse(f"--{field.name} is for a new module; the one of --weights stays as it is.{change}")


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
