"""Runs that are followed to their end: how far they are, what failed, what is shown. Each gives its exit code."""

from __future__ import annotations

from afdcli.cli import learning, progress, report
from afdcli.cli.ending import ALL_READ
from afdcli.machines.hardware import reuse_memory
from afdcli.options import EvaluateOptions, GalleryOptions, TrainOptions


def evaluate(options: EvaluateOptions, quiet: bool) -> int:
    """Measure photos, and show the rows."""
    from afdcli.commands.evaluate import Evaluation

    reuse_memory()
    with report.loading(quiet):
        run = Evaluation(options)
    with progress.Tracker(len(run.cases), "photos", quiet, already=run.already) as tracker:
        for photo in run.photos():
            tracker.advance(photo.case.source.name, photo.error)
    if tracker.interrupted:
        return progress.stopped(tracker, f"They are kept in {run.outcomes_path}. Go on by adding --resume.")
    rows = run.rows()
    with report.shown_anyway(lambda: report.show_accuracies(rows, None), quiet):
        run.write(rows)
    if not quiet:
        report.show_accuracies(rows, options.output, run.about)
        _show_page(options)
        report.show_passed_over(run.sources)
    return tracker.conclude("They are in no row.")


def evaluate_again(options: EvaluateOptions, quiet: bool) -> int:
    """Make rows of what was measured before, and show them."""
    from afdcli.commands.evaluate import from_outcomes

    rows = from_outcomes(options)
    if not quiet:
        report.show_accuracies(rows, options.output)
        _show_page(options)
    return ALL_READ


def _show_page(options: EvaluateOptions) -> None:
    if options.compare:
        from afdcli.results.naming import page_beside

        report.show_page("Curves, the worst-hit classes and their photos that flip", page_beside(options.output))


def lose(options: EvaluateOptions, quiet: bool) -> int:
    """Look for the smallest files that lose at most so much, and show them."""
    from afdcli.commands.lose import ROUNDS, Search, degrade_command

    reuse_memory()
    with report.loading(quiet):
        search = Search(options)
    with progress.Tracker(ROUNDS * len(search.cases), "photos", quiet) as tracker:
        for photo in search.photos():
            tracker.advance(photo.case.source.name, photo.error)
    if tracker.interrupted:
        return progress.stopped(tracker, "Nothing was written.")
    rows = search.write()
    if not quiet:
        report.show_smallest(rows, options, degrade_command(rows, options))
        report.show_passed_over(search.sources)
    return tracker.conclude("They count nowhere.")


def taps(options: TrainOptions) -> int:
    """Print where in the classifier a module can go."""
    from afdcli.commands.train import taps_of

    report.show_taps(*taps_of(options.model))
    return ALL_READ


def train(options: TrainOptions, quiet: bool) -> int:
    """Train a module, and say what that takes, how it goes, and once, that more time hardly pays."""
    from afdcli.commands.train import Training

    reuse_memory()
    run = Training(options)
    quiet = quiet or not run.leads
    if not quiet:
        report.show_passed_over(run.sources)
    with progress.Tracker(options.steps, "steps", quiet, already=run.done) as tracker:
        said = learning.Said(tracker, options.steps, run.last, quiet)
        for step in run.steps():
            tracker.reach(step.number, f"loss {step.losses['loss']:.3f}")
            said.after(step)
    run.draw_curves()
    if tracker.interrupted:
        return progress.stopped(tracker, f"Go on from step {run.saved:,} by adding --resume.")
    return ALL_READ


def gallery(options: GalleryOptions, quiet: bool) -> int:
    """Make the page of a result, and say where it is."""
    from afdcli.commands.gallery import Gallery

    run = Gallery(options)
    with progress.Tracker(run.total, "pictures", quiet) as tracker:
        for name, failure in run.pictures():
            tracker.advance(name, failure)
    if tracker.interrupted:
        return progress.stopped(tracker, "Run the same command again to go on.")
    run.write()
    if not quiet:
        report.show_page("The photos", run.page)
    return tracker.conclude("They are shown without a picture.")
