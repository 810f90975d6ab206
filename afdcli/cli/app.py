"""The commands: flags -> one options object -> one call -> show. Heavy imports wait until a command runs."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from afdcli.errors import AfdError, WrongUse
from afdcli.options import (
    DEFAULT_BACKBONE,
    IMAGENET_C,
    MAX_PIXELS,
    PRESETS,
    RECIPES,
    BenchOptions,
    ClassifyOptions,
    Compression,
    Degradation,
    DegradeOptions,
    EvaluateOptions,
    ExplainOptions,
    ExportOptions,
    FuseOptions,
    ModelOptions,
    ReadOptions,
    TrainOptions,
    default_workers,
    degradations,
)

UsageError: type[typer.BadParameter] = typer.BadParameter.__mro__[1]  # type: ignore[assignment]
"""What Typer raises for a flag or an argument that makes no sense; it has no public name of its own."""

app = typer.Typer(
    name="afd",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Classify compressed images, measure what compression costs, and make compressed copies.",
)

WORKERS = default_workers()

MODEL, READING, MODULE, LOSS = "Model", "Reading", "Module", "Loss"
Backbone = Annotated[str, typer.Option(help="A timm model name.", rich_help_panel=MODEL)]
BackboneCheckpoint = Annotated[
    Path | None,
    typer.Option(help="Weights for the backbone: .safetensors, or .pth.", rich_help_panel=MODEL, show_default=False),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.", rich_help_panel=MODEL)]
Weights = Annotated[str, typer.Option(help="De-drifting module: auto, none or a file.", rich_help_panel=MODEL)]
EngineName = Annotated[
    str, typer.Option("--engine", help="auto, torch, openvino or onnxruntime.", rich_help_panel=MODEL)
]
Precision = Annotated[
    str,
    typer.Option(help="float32, or bfloat16: faster where there is hardware for it.", rich_help_panel=MODEL),
]
BatchSize = Annotated[int, typer.Option(help="Images that go through the network together.", rich_help_panel=MODEL)]
Exif = Annotated[str, typer.Option(help="EXIF orientation: apply or ignore.", rich_help_panel=READING)]
Icc = Annotated[
    str, typer.Option(help="Embedded colour profile: apply (convert to sRGB) or ignore.", rich_help_panel=READING)
]
MaxPixels = Annotated[int, typer.Option(help="Refuse images with more pixels.", rich_help_panel=READING)]
Workers = Annotated[int, typer.Option(help="Processes that decode.", rich_help_panel=READING)]
ClusterName = Annotated[
    str, typer.Option("--cluster", help="ray: by many machines, see RAY_ADDRESS.", rich_help_panel=READING)
]
Level = Annotated[
    list[str],
    typer.Option(help="Any codec, such as webp:50,20 (jxl, heic, jp2); may be repeated.", show_default=False),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing unless something is wrong.")]
Seed = Annotated[int, typer.Option(help="Of everything drawn at random.")]


def _recipe_flag(field: str, text: str, panel: str) -> Any:
    """A flag for a field of `TrainOptions` that a recipe may set."""
    return typer.Option(help=text, rich_help_panel=panel, show_default=str(getattr(TrainOptions, field)))


def main() -> None:
    """The `afd` command. A refusal ends it with a sentence and exit code 2."""
    warnings.simplefilter("ignore")  # Libraries' warnings are for programmers. What a user must know is said by afd.
    logging.disable(logging.WARNING)
    try:
        sys.exit(app(standalone_mode=False))
    except (AfdError, UsageError) as error:
        from afdcli.cli import report

        sys.exit(report.refuse(error))
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)


@app.command()
def classify(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="Folders, files, patterns or URIs; - reads a list.", show_default=False),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A .csv, .jsonl or .parquet file.")
    ] = ClassifyOptions.output,
    topk: Annotated[int, typer.Option(help="Classes for each photo.")] = ClassifyOptions.topk,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted output.")] = False,
    quiet: Quiet = False,
    backbone: Backbone = DEFAULT_BACKBONE,
    backbone_checkpoint: BackboneCheckpoint = None,
    weights: Weights = "auto",
    device: Device = "auto",
    batch_size: BatchSize = ModelOptions.batch_size,
    engine: EngineName = ModelOptions.engine,
    precision: Precision = ModelOptions.precision,
    exif: Exif = "apply",
    icc: Icc = "ignore",
    max_pixels: MaxPixels = MAX_PIXELS,
    fast_decode: Annotated[
        bool,
        typer.Option("--fast-decode", help="Decode large JPEGs at a fraction: other pixels.", rich_help_panel=READING),
    ] = False,
    workers: Workers = WORKERS,
    cluster: ClusterName = "none",
) -> None:
    """Classify photos: one row for every file, readable or not."""
    model = ModelOptions(backbone, backbone_checkpoint, device, batch_size, engine, precision)
    options = ClassifyOptions(
        tuple(inputs),
        output,
        topk,
        weights,
        resume,
        model,
        ReadOptions(exif, icc, max_pixels),
        workers,
        fast_decode,
        cluster,
    )
    raise typer.Exit(_classify(options, quiet))


def _classify(options: ClassifyOptions, quiet: bool) -> int:
    from afdcli.cli import report
    from afdcli.commands.classify import Classification
    from afdcli.machines.hardware import reuse_memory

    reuse_memory()
    with report.busy():
        run = Classification(options)
    summary = report.ClassifySummary(options, run.total)
    with report.Tracker(run.total, "photos", quiet, already=run.already) as tracker:
        for row in run.rows():
            tracker.advance(row["path"], row["error"])
            summary.add(row)
    if tracker.interrupted:
        return report.stopped(tracker, f"{options.output} is valid as it is. Go on with it by adding --resume.")
    if not quiet:
        summary.show(run.classifier, tracker.seconds)
    return tracker.conclude(f"Look for the status 'error' in {options.output}.")


@app.command()
def evaluate(
    dataset: Annotated[str, typer.Argument(help="One folder a class, or photos without labels.", show_default=False)],
    preset: Annotated[
        str, typer.Option(help="A protocol: imagenet-c, multi, avif or photos; the flags below go before it.")
    ] = "",
    jpeg: Annotated[str, typer.Option(help="JPEG qualities, such as 25,18,15,10,7.")] = "",
    avif: Annotated[str, typer.Option(help="AVIF qualities, such as 50,40,30,20,10.")] = "",
    level: Level = [],  # noqa: B006
    passes: Annotated[
        str, typer.Option(help="Saves of each photo, such as 1,2,5; all but the last one drawn.", show_default="1")
    ] = "",
    shift: Annotated[bool, typer.Option("--shift", help="Move the block grid between passes.")] = False,
    order: Annotated[
        str, typer.Option(help="crop-first (ImageNet-C) or compress-first (photos).", show_default="crop-first")
    ] = "",
    subsampling: Annotated[str, typer.Option(help="4:4:4, 4:2:2 or 4:2:0.")] = "4:2:0",
    degraded: Annotated[
        Path | None, typer.Option(help="Take the copies that afd degrade made of DATASET.", show_default=False)
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="A .csv file.")] = EvaluateOptions.output,
    compare: Annotated[bool, typer.Option("--compare", help="Also write a Markdown table and PNG curves.")] = False,
    seed: Seed = 0,
    quiet: Quiet = False,
    backbone: Backbone = DEFAULT_BACKBONE,
    backbone_checkpoint: BackboneCheckpoint = None,
    weights: Annotated[
        str, typer.Option(help="De-drifting modules, such as none,auto,FILE.", rich_help_panel=MODEL)
    ] = "auto",
    device: Device = "auto",
    batch_size: BatchSize = ModelOptions.batch_size,
    engine: EngineName = ModelOptions.engine,
    precision: Precision = ModelOptions.precision,
    exif: Exif = "apply",
    icc: Icc = "ignore",
    max_pixels: MaxPixels = MAX_PIXELS,
    workers: Workers = WORKERS,
    cluster: ClusterName = "none",
) -> None:
    """Measure accuracy on undamaged and on compressed photos."""
    levels = [Compression("jpeg", quality, subsampling) for quality in _numbers("--jpeg", jpeg)]
    levels += [Compression("avif", quality, subsampling) for quality in _numbers("--avif", avif)]
    levels += _levels(level, subsampling)
    if preset and preset not in PRESETS:
        raise WrongUse(f"--preset must be one of {', '.join(PRESETS)}, not '{preset}'.")
    given = {"levels": tuple(levels), "passes": tuple(_numbers("--passes", passes)), "order": order}
    options = EvaluateOptions(
        dataset=dataset,
        output=output,
        compare=compare,
        shift=shift,
        degraded=degraded,
        weights=tuple(weights.split(",")),
        seed=seed,
        model=ModelOptions(backbone, backbone_checkpoint, device, batch_size, engine, precision),
        read=ReadOptions(exif, icc, max_pixels),
        workers=workers,
        cluster=cluster,
        **{**PRESETS.get(preset, {}), **{name: value for name, value in given.items() if value}},
    )
    raise typer.Exit(_evaluate(options, quiet))


def _evaluate(options: EvaluateOptions, quiet: bool) -> int:
    from afdcli.cli import report
    from afdcli.commands.evaluate import Evaluation
    from afdcli.machines.hardware import reuse_memory

    reuse_memory()
    with report.busy():
        run = Evaluation(options)
    with report.Tracker(len(run.cases), "photos", quiet) as tracker:
        for photo in run.photos():
            tracker.advance(photo.case.source.name, photo.error)
    if tracker.interrupted:
        return report.stopped(tracker, "Nothing was written.")
    rows = run.write()
    if not quiet:
        report.show_accuracies(rows, options.output)
    return tracker.conclude("They are in no row.")


@app.command()
def degrade(
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="A folder or URI of photos, or one photo.", show_default=False)
    ],
    destination: Annotated[Path, typer.Argument(metavar="DST", help="Where the copies go.", show_default=False)],
    qf: Annotated[list[int], typer.Option(help="JPEG quality factor; may be repeated.", show_default=False)] = [],  # noqa: B006
    avif: Annotated[list[int], typer.Option(help="AVIF quality; may be repeated.", show_default=False)] = [],  # noqa: B006
    level: Level = [],  # noqa: B006
    qf_sequence: Annotated[str, typer.Option(help="JPEG saves one after the other, such as 25,10,7.")] = "",
    passes: Annotated[
        int, typer.Option(help="Saves of each photo; all but the last one drawn from the qualities given.")
    ] = 1,
    shift: Annotated[bool, typer.Option("--shift", help="Move the block grid between passes.")] = False,
    subsampling: Annotated[str, typer.Option(help="4:4:4, 4:2:2 or 4:2:0.")] = "4:2:0",
    size: Annotated[
        int | None, typer.Option(help="First resize and crop to this square, such as 224.", show_default=False)
    ] = None,
    seed: Seed = 0,
    quiet: Quiet = False,
    exif: Exif = "apply",
    icc: Icc = "apply",
    max_pixels: MaxPixels = MAX_PIXELS,
    workers: Workers = WORKERS,
    cluster: ClusterName = "none",
) -> None:
    """Make compressed copies of photos, with a manifest."""
    levels = [Compression("jpeg", quality, subsampling) for quality in qf]
    levels += [Compression("avif", quality, subsampling) for quality in avif]
    levels += _levels(level, subsampling)
    wanted = degradations(tuple(levels), passes, shift)
    if qf_sequence:
        sequence = _numbers("--qf-sequence", qf_sequence)
        wanted += (Degradation(tuple((Compression("jpeg", quality, subsampling),) for quality in sequence), shift),)
    read = ReadOptions(exif, icc, max_pixels)
    raise typer.Exit(_degrade(DegradeOptions(source, destination, wanted, size, seed, read, workers, cluster), quiet))


def _degrade(options: DegradeOptions, quiet: bool) -> int:
    from afdcli.cli import report
    from afdcli.commands.degrade import Degrading

    run = Degrading(options)
    with report.Tracker(run.total, "photos", quiet) as tracker:
        for source, copies in run.copies():
            tracker.advance(source.name, copies[0].row["error"])
    if tracker.interrupted:
        return report.stopped(tracker, "Run the same command again to go on.")
    if not quiet:
        report.show_copies(options, tracker)
    return tracker.conclude("Look for the status 'error' in the manifests.")


@app.command()
def train(
    photos: Annotated[
        list[str], typer.Argument(metavar="PHOTOS", help="Folders, files, patterns or URIs.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="A .safetensors file.")] = TrainOptions.output,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    steps: Annotated[int, typer.Option(help="Batches in all.")] = TrainOptions.steps,
    learning_rate: Annotated[float, typer.Option(help="Of AdamW, at its highest.")] = TrainOptions.learning_rate,
    validate_every: Annotated[int, typer.Option(help="Steps between validations.")] = TrainOptions.validate_every,
    share: Annotated[
        list[float],
        typer.Option(help="How often each of PHOTOS is drawn from: once for each, in order.", show_default=False),
    ] = [],  # noqa: B006
    least_crop: Annotated[int, typer.Option(help="Pixels that no crop is smaller than.")] = TrainOptions.least_crop,
    quiet: Quiet = False,
    method: Annotated[
        str, typer.Option(help="afd or fct; to compare: ddp, augment or restore.", rich_help_panel=MODULE)
    ] = TrainOptions.method,
    labels: Annotated[
        bool, typer.Option("--labels", help="PHOTOS has a folder for each class: learn these.", rich_help_panel=MODULE)
    ] = False,
    weights: Annotated[
        str, typer.Option(help="Module to go on from: a file, auto, or none.", rich_help_panel=MODULE)
    ] = TrainOptions.weights,
    recipe: Annotated[
        str, typer.Option(help="default, or paper; the flags below go before it.", rich_help_panel=MODULE)
    ] = "default",
    tap: Annotated[str | None, _recipe_flag("tap", "auto, stem, stage1 or stage2.", MODULE)] = None,
    width: Annotated[int | None, _recipe_flag("width", "Channels of the enhancer.", MODULE)] = None,
    growth: Annotated[int | None, _recipe_flag("growth", "Times as many a level deeper.", MODULE)] = None,
    depth: Annotated[int | None, _recipe_flag("depth", "Its levels.", MODULE)] = None,
    stride: Annotated[int | None, _recipe_flag("stride", "Its reduction.", MODULE)] = None,
    hidden: Annotated[int | None, _recipe_flag("hidden", "Channels of the estimate.", MODULE)] = None,
    rank: Annotated[int | None, _recipe_flag("rank", "Of the corrections after the tap; 0: none.", MODULE)] = None,
    pooled: Annotated[
        bool, typer.Option("--pooled", help="One drift a channel, not a place.", rich_help_panel=MODULE)
    ] = False,
    estimator: Annotated[str | None, _recipe_flag("estimator", "Of the drift: angle or paper.", MODULE)] = None,
    feature_weight: Annotated[
        float | None, _recipe_flag("feature_weight", "Of the drift left at the tap.", LOSS)
    ] = None,
    stage_weight: Annotated[float | None, _recipe_flag("stage_weight", "Of the drift left further on.", LOSS)] = None,
    logit_weight: Annotated[float | None, _recipe_flag("logit_weight", "Of the change in predictions.", LOSS)] = None,
    clean_share: Annotated[float | None, _recipe_flag("clean_share", "Pairs left undamaged.", LOSS)] = None,
    crop_first_share: Annotated[
        float | None, _recipe_flag("crop_first_share", "Damaged pairs cropped first.", LOSS)
    ] = None,
    backbone: Backbone = DEFAULT_BACKBONE,
    backbone_checkpoint: BackboneCheckpoint = None,
    device: Device = "auto",
    batch_size: BatchSize = ModelOptions.batch_size,
    precision: Precision = ModelOptions.precision,
    exif: Exif = "apply",
    icc: Icc = "ignore",
    max_pixels: MaxPixels = MAX_PIXELS,
    workers: Workers = WORKERS,
    seed: Seed = 0,
) -> None:
    """Teach a de-drifting module to undo compression, from photos without labels."""
    if recipe not in RECIPES:
        raise WrongUse(f"--recipe must be one of {', '.join(RECIPES)}, not '{recipe}'.")
    given = {
        "tap": tap,
        "width": width,
        "growth": growth,
        "depth": depth,
        "stride": stride,
        "hidden": hidden,
        "rank": rank,
        "estimator": estimator,
        "feature_weight": feature_weight,
        "stage_weight": stage_weight,
        "logit_weight": logit_weight,
        "clean_share": clean_share,
        "crop_first_share": crop_first_share,
    }
    options = TrainOptions(
        photos=tuple(photos),
        output=output,
        shares=tuple(share),
        least_crop=least_crop,
        labels=labels,
        method=method,
        weights=weights,
        pooled=pooled,
        steps=steps,
        learning_rate=learning_rate,
        validate_every=validate_every,
        seed=seed,
        resume=resume,
        model=ModelOptions(backbone, backbone_checkpoint, device, batch_size, precision=precision),
        read=ReadOptions(exif, icc, max_pixels),
        workers=workers,
        **{**RECIPES[recipe], **{name: value for name, value in given.items() if value is not None}},
    )
    raise typer.Exit(_train(options, quiet))


def _train(options: TrainOptions, quiet: bool) -> int:
    from afdcli.cli import report
    from afdcli.commands.train import Training
    from afdcli.machines.hardware import reuse_memory
    from afdcli.results import figures

    reuse_memory()
    run = Training(options)
    quiet = quiet or not run.leads
    with report.Tracker(options.steps, "steps", quiet, already=run.done) as tracker:
        for step in run.steps():
            tracker.reach(step.number, f"loss {step.losses['loss']:.3f}")
            if step.validation is not None and not quiet:
                report.show_validation(step.number, step.losses, step.validation)
    if run.leads:
        figures.training_curves(run.log_path, options.output.with_suffix(".png"))
    if tracker.interrupted:
        return report.stopped(tracker, f"Go on from step {run.saved:,} by adding --resume.")
    return report.ALL_READ


@app.command()
def fuse(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A module of afd train.", show_default=False)],
    destination: Annotated[Path, typer.Argument(metavar="OUT", help="A .safetensors file.", show_default=False)],
    photos: Annotated[list[str], typer.Option(help="Where to compare both; may be repeated.", show_default=False)],
    backbone_checkpoint: BackboneCheckpoint = None,
) -> None:
    """Fold a trained module into single convolutions, for use."""
    from afdcli.cli import report
    from afdcli.commands.fuse import fuse

    report.show_fused(fuse(FuseOptions(source, destination, tuple(photos), backbone_checkpoint)))


@app.command()
def bench(
    photos: Annotated[
        list[str], typer.Argument(metavar="PHOTOS", help="Folders, files, patterns or URIs.", show_default=False)
    ],
    seconds: Annotated[float, typer.Option(help="How long each part is measured.")] = BenchOptions.seconds,
    backbone: Backbone = DEFAULT_BACKBONE,
    backbone_checkpoint: BackboneCheckpoint = None,
    weights: Weights = "auto",
    device: Device = "auto",
    batch_size: BatchSize = ModelOptions.batch_size,
    engine: EngineName = ModelOptions.engine,
    precision: Precision = ModelOptions.precision,
    exif: Exif = "apply",
    icc: Icc = "ignore",
    max_pixels: MaxPixels = MAX_PIXELS,
    workers: Workers = WORKERS,
) -> None:
    """Measure how many photos a second this machine reads and classifies, by each engine."""
    from afdcli.cli import report
    from afdcli.commands.bench import bench
    from afdcli.machines.hardware import reuse_memory

    reuse_memory()
    model = ModelOptions(backbone, backbone_checkpoint, device, batch_size, engine, precision)
    read = ReadOptions(exif, icc, max_pixels)
    report.show_rates(bench(BenchOptions(tuple(photos), weights, seconds, model, read, workers)))


@app.command()
def export(
    output: Annotated[
        Path, typer.Argument(metavar="OUT", help="A .onnx, .xml (OpenVINO) or .pt2 file.", show_default=False)
    ],
    photos: Annotated[list[str], typer.Option(help="Where to compare; may be repeated.", show_default=False)],
    format_: Annotated[str, typer.Option("--format", help="onnx, openvino, pt2; auto: by OUT's ending.")] = "auto",
    weights: Weights = "auto",
    backbone: Backbone = DEFAULT_BACKBONE,
    backbone_checkpoint: BackboneCheckpoint = None,
) -> None:
    """Write the classifier, module and all, as one file for other programs."""
    from afdcli.cli import report
    from afdcli.commands.export import export

    model = ModelOptions(backbone, backbone_checkpoint, "cpu")
    report.show_exported(export(ExportOptions(output, tuple(photos), format_, weights, model)))


@app.command()
def explain(
    photo: Annotated[Path, typer.Argument(help="A photo; for --statistics, a folder.", show_default=False)],
    qf: Annotated[int | None, typer.Option(help="Compress it first, at this JPEG quality factor.")] = None,
    avif: Annotated[int | None, typer.Option(help="At this AVIF quality.")] = None,
    level: Level = [],  # noqa: B006
    statistics: Annotated[
        bool, typer.Option("--statistics", help="Draw angles of features and DCT over many photos.")
    ] = False,
    output: Annotated[Path, typer.Option("--output", "-o", help="A .png file.")] = ExplainOptions.output,
    backbone: Backbone = DEFAULT_BACKBONE,
    backbone_checkpoint: BackboneCheckpoint = None,
    weights: Annotated[
        str, typer.Option(help="De-drifting module: auto or a file.", rich_help_panel=MODEL)
    ] = ExplainOptions.weights,
    device: Device = "auto",
    exif: Exif = "apply",
    icc: Icc = "ignore",
    max_pixels: MaxPixels = MAX_PIXELS,
) -> None:
    """Draw what compression does to a photo inside the classifier, and what the module puts back."""
    asked = [Compression(codec, quality) for codec, quality in (("jpeg", qf), ("avif", avif)) if quality is not None]
    asked += _levels(level)
    if len(asked) + statistics > 1:
        raise WrongUse("Give one of --qf, --avif, --level and --statistics.")
    compression = asked[0] if asked else None
    model, read = ModelOptions(backbone, backbone_checkpoint, device), ReadOptions(exif, icc, max_pixels)
    _explain(ExplainOptions(photo, output, compression, statistics, weights, model, read))


def _explain(options: ExplainOptions) -> None:
    from afdcli.cli import report
    from afdcli.commands import explain
    from afdcli.results import figures

    if options.statistics:
        points = list(explain.drift_statistics(options, IMAGENET_C))
        if not points:
            raise WrongUse(f"There is no photo that can be read in '{options.photo}'.")
        figures.drift_statistics(points, options.output)
    else:
        figures.explanation(explain.explain(options), options.output)
    report.out.print(f"The picture is {options.output}.", markup=False)


def _levels(texts: list[str], subsampling: str = Compression.subsampling) -> list[Compression]:
    """The levels that `--level` names, each `CODEC:QUALITY,QUALITY,...`."""
    levels = []
    for text in texts:
        codec, _, qualities = text.partition(":")
        if not qualities:
            raise WrongUse(f"--level takes a codec and its qualities, such as webp:50,20, not '{text}'.")
        levels += [Compression(codec, quality, subsampling) for quality in _numbers("--level", qualities)]
    return levels


def _numbers(flag: str, text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if text]
    except ValueError:
        raise WrongUse(f"{flag} takes whole numbers with commas between them, not '{text}'.") from None
