"""The commands: options -> one call -> show. Heavy imports wait until a command runs."""

from __future__ import annotations

import sys

import typer

from afdcli.cli import ending, process
from afdcli.cli import shortcuts as short
from afdcli.cli.ending import ALL_READ
from afdcli.cli.flags import Given, command
from afdcli.errors import WrongUse
from afdcli.options import (
    IMAGENET_C,
    PRESETS,
    RECIPES,
    BenchOptions,
    ClassifyOptions,
    Compression,
    DegradeOptions,
    EvaluateOptions,
    ExplainOptions,
    ExportOptions,
    FuseOptions,
    GalleryOptions,
    TrainOptions,
    degradations,
)
from afdcli.options.damage import sequence, whole_numbers

app = typer.Typer(
    name="afd",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Classify compressed images, measure what compression costs, and make compressed copies.",
    epilog=ending.EXIT_CODES,
)


def main() -> None:
    """The `afd` command. A refusal ends it with a sentence and its exit code, mostly 2."""
    sys.exit(process.run(app))


@app.callback()
def _afd(version: short.Version = False, debug: short.Debug = False) -> None:
    pass


@command(app, ClassifyOptions)
def classify(given: Given[ClassifyOptions], quiet: short.Quiet = False) -> int:
    options = given.options()

    from afdcli.cli import progress, report, runs, streams
    from afdcli.commands.classify import Classification
    from afdcli.machines.hardware import reuse_memory

    reuse_memory()
    stream = streams.RowStream(options)
    with report.loading(quiet):
        run = Classification(options)
    stream.begin(run.columns)
    summary = report.ClassifySummary(options, run.total)
    tracker = progress.Tracker(run.total, "photos", quiet or stream.is_seen, already=run.already)
    with report.shown_anyway(lambda: summary.show(run.classifier, tracker.seconds, run.anew), quiet), tracker:
        for row in run.rows():
            tracker.advance(row["path"], row["error"])
            summary.add(row)
            if not stream.take(row):  # Nobody reads on.
                return ALL_READ
    if tracker.interrupted:
        return progress.stopped(tracker, summary.kept)
    if not quiet:
        summary.show(run.classifier, tracker.seconds, run.anew)
        report.show_passed_over(run.sources)
    code = tracker.conclude(f"Look for the status 'error' in {summary.rows}.")
    return max(code, runs.gallery(options.to_gallery(), quiet)) if options.gallery else code


@command(app, EvaluateOptions)
def evaluate(
    given: Given[EvaluateOptions],
    preset: short.Preset = "",
    jpeg: short.JpegQualities = "",
    avif: short.AvifQualities = "",
    level: short.Level = None,
    subsampling: short.Subsampling = Compression.subsampling,
    quiet: short.Quiet = False,
) -> int:
    damage = short.levels(jpeg, avif, level, subsampling, "--jpeg")
    protocol = short.named("--preset", preset, PRESETS)
    options = given.options({**protocol, "levels": damage or protocol.get("levels", ())})

    from afdcli.cli import runs

    if options.outcomes:
        return runs.evaluate_again(options, quiet)
    return runs.evaluate(options, quiet) if options.lose is None else runs.lose(options, quiet)


@command(app, DegradeOptions)
def degrade(
    given: Given[DegradeOptions],
    qf: short.JpegEach = None,
    avif: short.AvifEach = None,
    level: short.Level = None,
    qf_sequence: short.JpegSequence = "",
    passes: short.Passes = 1,
    shift: short.Shift = False,
    subsampling: short.Subsampling = Compression.subsampling,
    quiet: short.Quiet = False,
) -> int:
    wanted = degradations(short.levels(",".join(qf or ()), ",".join(avif or ()), level, subsampling), passes, shift)
    if qf_sequence:
        wanted += (sequence(whole_numbers("--qf-sequence", qf_sequence), subsampling, shift),)
    options = given.options({"degradations": wanted})

    from afdcli.cli import progress, report
    from afdcli.commands.degrade import Degrading

    run = Degrading(options)
    with progress.Tracker(run.total, "photos", quiet) as tracker:
        for source, copies in run.copies():
            tracker.advance(source.name, next((copy.row["error"] for copy in copies if copy.row["error"]), None))
    if tracker.interrupted:
        return progress.stopped(tracker, "Run the same command again to go on.")
    if not quiet:
        report.show_copies(options, tracker.done - tracker.failed)
        report.show_passed_over(run.sources)
    return tracker.conclude("Look for the status 'error' in the manifests.")


@command(app, TrainOptions)
def train(
    given: Given[TrainOptions],
    recipe: short.Recipe = "default",
    list_taps: short.ListTaps = False,
    quiet: short.Quiet = False,
) -> int:
    options = given.options({**short.named("--recipe", recipe, RECIPES), **({"photos": ()} if list_taps else {})})

    from afdcli.cli import runs

    return runs.taps(options) if list_taps else runs.train(options, quiet)


@command(app, GalleryOptions)
def gallery(given: Given[GalleryOptions], quiet: short.Quiet = False) -> int:
    options = given.options()

    from afdcli.cli import runs

    return runs.gallery(options, quiet)


@command(app, FuseOptions)
def fuse(given: Given[FuseOptions]) -> None:
    options = given.options()

    from afdcli.cli import report
    from afdcli.commands.fuse import fuse

    report.show_fused(fuse(options))


@command(app, BenchOptions)
def bench(given: Given[BenchOptions]) -> None:
    options = given.options()

    from afdcli.cli import report
    from afdcli.commands.bench import bench, limit
    from afdcli.machines.hardware import reuse_memory

    reuse_memory()
    report.show_limit(limit(report.show_rates(bench(options)), options))


@command(app, ExportOptions)
def export(given: Given[ExportOptions]) -> None:
    options = given.options()

    from afdcli.cli import report
    from afdcli.commands.export import export

    report.show_exported(export(options))


@command(app, ExplainOptions)
def explain(
    given: Given[ExplainOptions],
    qf: short.JpegFirst = "",
    avif: short.AvifFirst = "",
    level: short.Level = None,
) -> None:
    asked = short.levels(qf, avif, level, Compression.subsampling)
    options = given.options({"compression": asked[0] if asked else None})
    if len(asked) + options.statistics > 1:
        raise WrongUse("Give one of --qf, --avif, --level and --statistics.")

    from afdcli.cli import report
    from afdcli.commands import explain
    from afdcli.machines.locks import Lock
    from afdcli.results import figures

    with Lock(options.output):
        if options.statistics:
            figures.drift_statistics(list(explain.drift_statistics(options, IMAGENET_C)), options.output)
        else:
            figures.explanation(explain.explain(options), options.output)
    report.out.print(f"The picture is {report.shown(str(options.output))}.", markup=False)
