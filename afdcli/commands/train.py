"""`afd train`: teach a module to undo compression, from photos without labels.

Pairs of an original and its compressed copy are made on the fly; what the untouched classifier makes of the original is
the target. What is trained, and the losses, are the method's own. A pair depends on the seed and its number only, so a
run that was interrupted goes on as if it had not been. Started by torchrun, several processes share each batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from afdcli.errors import OutputRefused, TrainingStopped, WrongUse
from afdcli.machines.locks import Lock
from afdcli.methods.finite import not_finite
from afdcli.models import taps
from afdcli.models.backbones import Backbone, load_backbone, untrained_backbone
from afdcli.models.places import Place
from afdcli.models.sizes import sized
from afdcli.options import ModelOptions, TrainOptions
from afdcli.options.fields import settings_of
from afdcli.photos import archives
from afdcli.photos.labels import labels_of
from afdcli.photos.sources import Source, Sources
from afdcli.results.figures import training_curves
from afdcli.results.record import check_may_write, digest, read_record, record, write_record
from afdcli.results.rowfile import ResultFile, files_of
from afdcli.training.beginning import begin
from afdcli.training.glances import Glance, Glances
from afdcli.training.learner import LOSSES, Learner
from afdcli.training.mixture import draws, mixture
from afdcli.training.pairs import read_pairs
from afdcli.training.peers import Peers
from afdcli.training.state import PROGRAM, Kept, kept_files
from afdcli.training.validation import VALIDATION, hold_out, validate

LOG_COLUMNS = {"step": int, **dict.fromkeys((*LOSSES, *VALIDATION), float)}


@dataclass(frozen=True, slots=True)
class Step:
    """What one step of training did."""

    number: int
    """The step's number, from 1."""
    losses: dict[str, float]
    """The losses of its batch, by the names in `learner.LOSSES`."""
    validation: dict[str, float] | None = None
    """What was measured after it on the photos held out, by the names in `validation.VALIDATION`; mostly nothing."""
    glance: Glance | None = None
    """How far the training is, about once a minute, where nothing was validated."""


class Training:
    """One run: go through `steps`, and the best module is in the output; beside it, a log with a row for each step."""

    def __init__(self, options: TrainOptions, backbone: Backbone | None = None) -> None:
        """Find the photos, load the backbone or take that given, and build the module, or what an interrupted run left.

        Raises:
            WrongUse: there are too few photos that can be read, or no such module to go on from.
            BackboneUnavailable, BadCheckpoint, UnsupportedBackbone: see `load_backbone` and `models.taps`.
            OutputRefused: an output cannot be written or replaced, or is that of an interrupted or a living run.
            BadCheckpoint: there is nothing to resume, or not with these options; or the module is for another backbone.
        """
        self._options = options
        self._peers = Peers()
        self.leads = self._peers.rank == 0
        """Whether this process writes the files, see `Peers`."""
        self.log_path, self.curves_path = (options.output.with_suffix(ending) for ending in (".csv", ".png"))
        if self.leads:
            self._lock = Lock(options.output)  # as long as this object is there
            check_may_write(
                [*kept_files(options.output), *files_of(self.log_path), self.curves_path],
                PROGRAM,
                overwrite=options.overwrite,
                resume=options.resume,
                inputs=(*options.photos, options.weights, *options.model.files),
            )
        if options.model.batch_size % self._peers.count:
            raise WrongUse(f"--batch-size must be a multiple of the {self._peers.count} processes.")
        self.sources = Sources(options.photos, beside=options.labels)
        sources = [source.bare() for source in self.sources if not source.error]
        archives.check_any_order(source.path for source in sources)
        if len(sources) < 2:
            raise WrongUse(f"Training needs at least two photos, and there are {len(sources)}.")
        own, paths = options.model, [source.path for source in sources]
        self.backbone = backbone or sized(load_backbone(own.backbone, own.backbone_checkpoint, own.ema), own.size)
        learnt, self.held_out = hold_out(paths, options.read, self.backbone.preprocessing.short)
        self.mixture = mixture(options, learnt)
        """The photos that are trained on."""
        self.labels = _labels(sources, self.backbone) if options.labels else {}
        """The class of each photo by its path; empty if it learns without."""
        torch.manual_seed(options.seed)
        first = begin(options, self.backbone, self.mixture, self._peers)
        self.tap = first.tap
        """Where in the classifier the module is, see `models.taps`."""
        self.learner = Learner(self.backbone, first, options, self._peers, self.labels)
        self._settings = {**settings_of(options), "backbone_sha256": self.backbone.fingerprint}
        self._kept = Kept(options.output, self._settings)
        if options.resume:
            self._go_on()
        content = {**record(PROGRAM, self._settings, options), **self.sources.left_out()}
        self._log = _open_log(self.log_path, content, options, self._kept) if self.leads else None

    def _go_on(self) -> None:
        settings, log = self._kept.go_on(self.learner), read_record(self.log_path)
        if self.leads and log is not None and log["settings"] != settings:  # a lower rate, or an option that was new
            write_record(self.log_path, {**log, "settings": settings})

    @property
    def done(self) -> int:
        """How many steps are done, those of an interrupted run among them."""
        return self.learner.done

    @property
    def saved(self) -> int:
        """How many steps a run would go on from."""
        return self._kept.done

    def steps(self) -> Iterator[Step]:
        """Train; each step is yielded when it is in the log. After a validation all files are up to date, and after a
        glance those of the last module and what a run goes on from.

        Raises:
            OutputRefused: nothing can be written from the start.
            TrainingStopped: the loss or the weights are no numbers any more, photos have gone, the disk is full, or
                there is no module at the end. What is kept are the last good state and modules.
        """
        if self._log is None:
            yield from self._steps()
            return
        with self._log as log:
            if self.done == 0:
                self._kept.save_state(self.learner, digest(self.log_path))  # so that there is something to go on from
            try:
                for step in self._steps():
                    found = {"step": step.number, **step.losses, **(step.validation or {})}
                    log.write([{**dict.fromkeys(LOG_COLUMNS), **found}])
                    if step.validation is not None or step.glance is not None:
                        divergence = None if step.validation is None else step.validation["divergence"]
                        self._kept.keep(self.learner, divergence, digest(self.log_path))
                    yield step
            except (OutputRefused, TrainingStopped) as error:
                with suppress(OutputRefused):  # where the disk is full
                    self.draw_curves()
                raise error if isinstance(error, TrainingStopped) else self._stopped(str(error)) from None
            self._kept.check()

    def _steps(self) -> Iterator[Step]:
        options, peers = self._options, self._peers
        batch_size = options.model.batch_size // peers.count
        span = (steps * options.model.batch_size for steps in (self.done, options.steps))
        drawn = islice(draws(self.mixture, options.seed, *span), peers.rank, None, peers.count)
        pairs = read_pairs(drawn, self.backbone.preprocessing, options, ahead=2 * batch_size)
        glances = Glances(self.held_out, self.learner, options.read)
        while batch := list(islice(pairs, batch_size)):
            pairs_read = [pair for pair in batch if pair is not None]
            if not pairs_read:
                raise self._stopped(f"None of {batch_size} photos in a row can be read. Look with: afd classify.")
            losses = self.learner.step(pairs_read)
            if broken := next((name for name, loss in losses.items() if not math.isfinite(loss)), None):
                raise self._diverged(broken)
            due = self.leads and (self.done % options.validate_every == 0 or self.done == options.steps)
            validation = self._validate() if due else None
            yield Step(self.done, losses, validation, glances.look() if self.leads and not due else None)

    def _validate(self) -> dict[str, float]:
        """What is measured on the photos held out, of which all is finite."""
        learner = self.learner
        validation = validate(self.held_out, learner.teacher, learner.average, self._options.read)
        if validation is None:
            raise self._stopped(f"Not one of the {len(self.held_out)} photos held out can be read any more.")
        if broken := not_finite({**learner.state(), "divergence": torch.tensor(validation["divergence"])}):
            raise self._diverged(broken)
        return validation

    @property
    def last(self) -> Path:
        """The file of the module as it was when it was last kept."""
        return self._kept.last

    def draw_curves(self) -> None:
        """Draw the log so far as curves, if this process writes the files.

        Raises:
            OutputRefused: the picture cannot be written.
        """
        if self.leads:
            training_curves(self.log_path, self.curves_path)

    def _diverged(self, what: str) -> TrainingStopped:
        return self._stopped(
            f"Training has come apart in step {self.done:,}: '{what}' is not a number any more, or infinite.",
            f" and a lower --learning-rate than {self._options.learning_rate:g}",
        )

    def _stopped(self, sentence: str, change: str = "") -> TrainingStopped:
        return TrainingStopped(
            f"{sentence} All is kept as it was after step {self.saved:,}: go on from there with --resume{change}."
        )


def _open_log(path: Path, content: dict[str, Any], options: TrainOptions, kept: Kept) -> ResultFile:
    """The log at `path`, with the rows of the steps that are `kept`.

    Raises:
        OutputRefused: it must not be replaced, or has other rows than were written.
    """
    log = ResultFile(path, LOG_COLUMNS, content, resume=options.resume, overwrite=options.overwrite)
    log.truncate(sum((row["step"] or 0) <= kept.done for row in log.kept()))
    if log.rows and kept.log not in ("", digest(path)):
        log.leave()
        raise OutputRefused(
            f"'{path}' was changed by another program. Put it back as it was; or delete it, and training goes on with "
            "a log from there on."
        )
    return log


def taps_of(options: ModelOptions) -> tuple[list[Place], dict[str, str]]:
    """The places for a module in the backbone of `options`, and the short names that it has for some, see
    `models.taps`. Its weights are not looked at.

    Raises:
        BackboneUnavailable, UnsupportedBackbone: there is no such backbone, or it is not supported.
    """
    backbone = sized(untrained_backbone(options.backbone), options.size)
    return taps.listed(backbone.survey), taps.names(backbone.model, backbone.survey)


def _labels(sources: Sequence[Source], backbone: Backbone) -> dict[str, int]:
    """The classes of `sources` by their paths.

    Raises:
        WrongUse: there are none.
    """
    classes = zip(sources, labels_of(sources, backbone.labels), strict=True)
    labels = {source.path: label for source, label in classes if label is not None}
    if not labels:
        raise WrongUse("--labels needs one folder with a folder for each class in it, and there is none.")
    return labels
