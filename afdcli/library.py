"""afd from Python: the commands as functions that give rows, and the classifier as something to call.

All options are keywords, by the names of their fields in `afdcli.options`, which check them. Photos are read in the
process itself unless `workers` says otherwise, so nothing here needs `if __name__ == "__main__":`; with `workers`,
other processes import the script that runs, and that line must keep them from running it.
"""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, overload

from afdcli.errors import UnreadableImage, WrongUse
from afdcli.options import (
    PRESETS,
    ClassifyOptions,
    Compression,
    Degradation,
    DegradeOptions,
    EvaluateOptions,
    TrainOptions,
)
from afdcli.options.damage import Level, degradations, degradations_of, levels_of, sequence, whole_numbers
from afdcli.options.fields import Field, Options, build, fields_of
from afdcli.options.groups import ModelOptions, ReadOptions, Weights
from afdcli.options.rules import OneOf, nearest

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image
    from torch import nn

    from afdcli.engines.engine import Engine
    from afdcli.models.checkpoint import Checkpoint

    Picture: TypeAlias = "str | os.PathLike[str] | Image.Image | np.ndarray"

Row: TypeAlias = dict[str, Any]
Place: TypeAlias = "str | os.PathLike[str]"
Call = TypeVar("Call", bound=Callable[..., Any])
NEED_OUTPUT = ("resume", "overwrite", "compare", "per_photo")
"""Options that say something of the output."""


def _by_keyword(options: type[Options]) -> Callable[[Call], Call]:
    """Have the function below refuse keywords that neither it nor `options` have; and `help` list them all, with what
    they do, in place of its `**options`."""

    def register(run: Call) -> Call:
        signature = inspect.signature(run)
        own = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        names = {one.name for one in own}
        fields = [one for one in fields_of(options) if not one.unused and one.name not in names and not one.required]
        parameters = [*own, *map(_parameter, fields)]
        allowed = [one.name for one in parameters]

        @wraps(run)
        def call(*arguments: Any, **given: Any) -> Any:
            unknown = next((name for name in given if name not in allowed), None)
            if unknown is not None:
                raise WrongUse(f"There is no option '{unknown}'{nearest(unknown, allowed)}.")
            return run(*arguments, **given)

        call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        told = [f"{one.name}: {one.sentence}" for one in fields]
        call.__doc__ = "\n".join([inspect.cleandoc(run.__doc__ or ""), "", "Options:", *(f"    {one}" for one in told)])
        return call  # type: ignore[return-value]

    return register


def _parameter(field: Field) -> inspect.Parameter:
    kind = field.kind | None if field.optional else field.kind
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=kind)


@_by_keyword(ClassifyOptions)
def classify(
    inputs: Place | Iterable[Place], *, output: Place | None = None, workers: int = 0, **options: Any
) -> Iterator[Row]:
    """Classify photos: a row for every file, readable or not, with the columns that `afd classify` writes.

    `inputs` are folders, files, patterns and URIs: one, or several. Values of the rows are typed, and None where there
    is none; `status` is `ok` or `error`. Photos are classified as the rows are gone through.

    Nothing is written unless there is an `output`, a file that ends in .csv, .jsonl or .parquet: it then has each row
    once it is given. `workers` other processes read photos; with 0, this one does.

    Raises:
        WrongUse: an option is not allowed or not known, or there are no photos.
        OutputRefused: the output cannot be written, or must not be replaced.
        BackboneUnavailable, BadCheckpoint, UnsupportedBackbone: there is no such classifier.
    """
    from afdcli.commands.classify import Classification, rows_of

    asked = build(ClassifyOptions, {"inputs": inputs, "workers": workers, **_written(output, options)})
    return map(dict, rows_of(asked) if output is None else Classification(asked).rows())


@_by_keyword(EvaluateOptions)
def evaluate(
    dataset: Place | None = None,
    *,
    preset: str = "",
    levels: Level | Iterable[Level] = (),
    subsampling: str = Compression.subsampling,
    output: Place | None = None,
    workers: int = 0,
    **options: Any,
) -> list[Row]:
    """Measure accuracy on undamaged and on compressed photos: a row for each level of damage and each of the `weights`.

    `dataset` has a folder for each class, named by WordNet id, label or index; of photos without labels, agreement is
    measured. `levels` are text such as "jpeg:25,10", `Compression` objects, or several of these, and `subsampling` is
    that of those named by text; `preset` names a protocol of the literature, such as "imagenet-c", for all that is not
    given. The rows have the columns that `afd evaluate` writes, for `pandas.DataFrame` to take. With
    `outcomes`, files that `per_photo` named in earlier runs, the rows are made of these, and there is no `dataset`.

    Nothing is written unless there is an `output`, a .csv file. `workers` other processes read and compress photos;
    with 0, this one does. Photos that cannot be read are in no row: a warning tells how many, and why.

    Raises:
        WrongUse: an option is not allowed or not known, or there are no photos, or none can be read.
        OutputRefused: the output cannot be written, or must not be replaced.
        BackboneUnavailable, BadCheckpoint, UnsupportedBackbone: there is no such classifier.
    """
    from afdcli.commands.evaluate import Evaluation, from_outcomes

    if preset:
        OneOf(*PRESETS).check("--preset", preset)
    given = {**PRESETS.get(preset, {}), "dataset": dataset, "workers": workers, **_written(output, options)}
    if asked_levels := levels_of(levels, subsampling):
        given["levels"] = asked_levels
    asked = build(EvaluateOptions, given)
    if asked.outcomes:
        return list(map(dict, from_outcomes(asked, writes=output is not None)))
    if asked.lose is not None:
        from afdcli.commands.lose import Search

        search = Search(asked, writes=output is not None)
        list(search.photos())
        return list(map(dict, search.rows() if output is None else search.write()))
    run = Evaluation(asked, writes=output is not None)
    failed = [f"{photo.case.source.name}: {photo.error}" for photo in run.photos() if photo.error]
    rows = run.rows() if output is None else run.write()
    if failed:
        some = "; ".join(failed[:3]) + "; ..." * (len(failed) > 3)
        warnings.warn(f"{len(failed)} of {len(run.cases)} photos are in no row ({some})", stacklevel=3)
    return list(map(dict, rows))


@_by_keyword(DegradeOptions)
def degrade(
    source: Place,
    destination: Place,
    *,
    qf: int | str | Iterable[int] = (),
    levels: Level | Iterable[Level] = (),
    qf_sequence: str | Iterable[int] = (),
    degradations: Iterable[Degradation] = (),
    passes: int = 1,
    shift: bool = False,
    subsampling: str = Compression.subsampling,
    workers: int = 0,
    **options: Any,
) -> list[Row]:
    """Make compressed copies of photos below `destination`; returns the rows of their manifests.

    The damage is given by JPEG qualities, `qf`, one or several; by `levels`, text such as "webp:50,20" or `Compression`
    objects; by `qf_sequence`, JPEG qualities one after the other; or by `degradations`. `passes`, `shift` and
    `subsampling` are as for `afd degrade`, and change what all but the last name.

    There is a row for each photo and each kind of damage, all kinds of a photo together. Copies that are there and
    verified are kept. `workers` other processes
    compress photos; with 0, this one does.

    Raises:
        WrongUse: an option is not allowed or not known, or there are no photos.
        OutputRefused: the destination overlaps the photos, is not ours, or cannot be written.
    """
    from afdcli.commands.degrade import Degrading

    wanted = _degradations(levels_of(levels, subsampling), qf, qf_sequence, passes, shift, subsampling)
    given = {"source": source, "destination": destination, "degradations": (*wanted, *degradations_of(degradations))}
    run = Degrading(build(DegradeOptions, {**given, "workers": workers, **options}))
    return [dict(copy.row) for _, copies in run.copies() for copy in copies]


def _degradations(
    levels: tuple[Compression, ...],
    qf: int | str | Iterable[int],
    qf_sequence: str | Iterable[int],
    passes: int,
    shift: bool,
    subsampling: str,
) -> tuple[Degradation, ...]:
    single = tuple(Compression("jpeg", one, subsampling) for one in whole_numbers("--qf", _text(qf)))
    wanted = degradations(single + levels, passes, shift)
    if one_after_the_other := whole_numbers("--qf-sequence", _text(qf_sequence)):
        wanted += (sequence(one_after_the_other, subsampling, shift),)
    return wanted


def _text(values: int | str | Iterable[int]) -> str:
    """Numbers as they are given on a command line."""
    return ",".join(map(str, values)) if isinstance(values, Iterable) and not isinstance(values, str) else str(values)


def _written(output: Place | None, options: dict[str, Any]) -> dict[str, Any]:
    """`options` with their output; without one, those that are about it make no sense."""
    if output is not None:
        return {**options, "output": output}
    for name in NEED_OUTPUT:
        if options.get(name):
            raise WrongUse(f"'{name}' is about an output, and nothing is written without one. Give output= as well.")
    return options


@dataclass(frozen=True)
class Result:
    """What the classifier sees in one picture."""

    labels: tuple[str, ...]
    """The most probable classes, by name, the most probable first."""
    probabilities: tuple[float, ...]
    """How probable each is, in [0, 1]; over all classes, they sum to 1."""
    indices: tuple[int, ...]
    """Where each is among the classifier's classes, from 0."""
    drift: float | None
    """How far compression has turned what the classifier sees, the mean over the picture, in degrees; of a module with
    the paper's estimate, a number in (0, 1). None without a module that estimates it."""

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.labels[0]

    @property
    def probability(self) -> float:
        """How probable that is, in [0, 1]."""
        return self.probabilities[0]


@dataclass(frozen=True)
class _LoadOptions(Options):
    weights: Weights = "auto"
    model: ModelOptions = ModelOptions()
    read: ReadOptions = ReadOptions()


@_by_keyword(TrainOptions)
def train_module(
    model: nn.Module,
    photos: Place | Iterable[Place],
    *,
    output: Place = TrainOptions.output,
    tap: str = TrainOptions.tap,
    preprocessing: Any = None,
    workers: int = 0,
    **options: Any,
) -> Checkpoint:
    """Train a module for `model`, any classifier of torch, from photos without labels; `plug` puts it in.

    `model` takes normalised images and gives logits, or an object with `logits`; it is left as it is. `preprocessing`
    says how it is fed: torchvision's `weights.transforms()`, transformers' image processor, timm's config of data, or
    an `Input`; models of timm know it themselves. `tap` is the name of a submodule, see `afd train --tap`. The best
    module so far is in `output`, a .safetensors file, and with `resume=True` a run that was interrupted goes on.

    Raises:
        WrongUse: an option is not allowed or not known, there are too few photos, or how `model` is fed is not known.
        UnsupportedBackbone: `model` has no such tap, or a part of the preprocessing is not supported.
        OutputRefused: the output cannot be written, or must not be replaced.
        TrainingStopped: training has come apart, or the disk is full.
    """
    from afdcli.commands.train import Training
    from afdcli.models.checkpoint import load_checkpoint
    from afdcli.models.plug import backbone_of

    given = {"photos": photos, "output": output, "tap": tap, "workers": workers, **options}
    asked = build(TrainOptions, given)
    for _ in Training(asked, backbone_of(model, preprocessing)).steps():
        pass
    return load_checkpoint(asked.output)


@_by_keyword(_LoadOptions)
def load(backbone: str = ModelOptions.backbone, *, weights: str = "auto", **options: Any) -> Model:
    """Load a classifier, to be called with pictures.

        model = afdcli.load()
        model("cat.jpg").label

    `backbone` is the name of a timm model; `weights` are the de-drifting module: a file that afd train wrote, "auto"
    for the one that comes with afd, or "none".

    Raises:
        WrongUse: an option is not allowed or not known, or the engine or the device is not there.
        BackboneUnavailable, BadCheckpoint, UnsupportedBackbone: there is no such classifier.
    """
    from afdcli.engines.loading import load_engine

    asked = build(_LoadOptions, {"backbone": backbone, "weights": weights, **options})
    return Model(load_engine(asked.model, asked.weights), asked.read, asked.model.batch_size)


class Model:
    """A classifier to be called with pictures; `load` makes it."""

    def __init__(self, classifier: Engine, read: ReadOptions, batch_size: int) -> None:
        self.classifier = classifier
        """What classifies, and on what it runs; `classifier.about` has the names of all classes."""
        self._read = read
        self._batch_size = batch_size

    def __repr__(self) -> str:
        about = self.classifier.about
        return f"<afdcli.Model {about.backbone}, method {about.method}, on {self.classifier.engine}>"

    @overload
    def __call__(self, pictures: Picture, topk: int = 5) -> Result: ...

    @overload
    def __call__(self, pictures: list[Any] | tuple[Any, ...], topk: int = 5) -> list[Result]: ...

    def __call__(self, pictures: Picture | list[Any] | tuple[Any, ...], topk: int = 5) -> Result | list[Result]:
        """The `topk` most probable classes, and the drift, of one picture, or of each in a list.

        A picture is the path or URI of a file, an image of Pillow, or an array (H, W, 3), uint8 RGB in [0, 255]. Its
        JPEG quality is known of files and of images as Pillow opened them, and is used by modules that ask for it.

        Raises:
            UnreadableImage: a picture cannot be read. Of folders, `classify` has rows for those too.
            WrongUse: it is none of these, or `topk` is below 1.
        """
        if topk < 1:
            raise WrongUse(f"topk must be 1 or more, not {topk}.")
        from afdcli.machines.processes import in_parts

        several = pictures if isinstance(pictures, list | tuple) else [pictures]
        found = [one for part in in_parts(several, self._batch_size) for one in self._classify(part, topk)]
        return found if isinstance(pictures, list | tuple) else found[0]

    def _classify(self, pictures: Sequence[Picture], topk: int) -> list[Result]:
        import numpy as np

        pixels, qualities = zip(*map(self._prepared, pictures), strict=True)
        names = self.classifier.about.labels.names
        indices, probabilities, drifts = self.classifier.predict_topk(
            np.stack(pixels),
            min(topk, len(names)),
            np.array(qualities, dtype=np.float32),  # None becomes NaN
        )
        return [
            Result(
                tuple(names[index] for index in indices[place]),
                tuple(map(float, probabilities[place])),
                tuple(map(int, indices[place])),
                None if drifts is None else float(drifts[place]),
            )
            for place in range(len(pixels))
        ]

    def _prepared(self, picture: Picture) -> tuple[np.ndarray, int | None]:
        """The pixels that the network sees, (S, S, 3) uint8, and the JPEG quality of the last save, if it is known."""
        import numpy as np
        from PIL import Image

        from afdcli.photos.reading import photo_of, read_rgb

        if isinstance(picture, str | os.PathLike):
            try:
                photo = read_rgb(os.fspath(picture), self._read)
            except UnreadableImage as error:
                raise UnreadableImage(f"'{Path(picture)}' cannot be read: {error}.") from None
        else:
            image = Image.fromarray(_pixels(picture)) if isinstance(picture, np.ndarray) else picture
            if not isinstance(image, Image.Image):
                raise WrongUse(f"A picture is a path, an image of Pillow or an array, not {type(picture).__name__}.")
            try:
                photo = photo_of(image, self._read)
            except UnreadableImage as error:
                raise UnreadableImage(f"The image cannot be used: {error}.") from None
        return np.array(self.classifier.about.preprocessing(photo.image)), photo.quality


def _pixels(array: np.ndarray) -> np.ndarray:
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != "uint8" or not array.size:
        raise WrongUse(
            f"An array must be (height, width, 3) of uint8, RGB in 0 to 255, not {array.shape} of {array.dtype}. Give "
            "several as a list."
        )
    return array
