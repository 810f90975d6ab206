"""`afd train`: teach a module to undo compression, from photos without labels.

Pairs of an original and its compressed copy are made on the fly; what the untouched classifier makes of the original is
the target. What is trained, and the losses, are the method's own. A pair depends on the seed and its number only, so a
run that was interrupted goes on as if it had not been. Started by torchrun, several processes share each batch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from afdcli.errors import BadCheckpoint, TrainingStopped, WrongUse
from afdcli.formats.marks import PROGRAM_KEY
from afdcli.machines.processes import ordered_map
from afdcli.methods import METHODS
from afdcli.methods.finite import check_finite, not_finite
from afdcli.methods.remedy import Batch, Remedy
from afdcli.models.backbones import load_backbone
from afdcli.models.checkpoint import Checkpoint, check_backbone, load_checkpoint, save_checkpoint, write_tensors
from afdcli.models.classifier import DedriftedClassifier, find_weights, pick_device
from afdcli.models.taps import default_tap, split
from afdcli.options import TrainOptions
from afdcli.options.fields import settings_of
from afdcli.photos.labels import labels_of
from afdcli.photos.samples import Pair, make_pair
from afdcli.photos.sources import Sources
from afdcli.results.record import check_may_write, read_record, record, write_record
from afdcli.results.rowfile import ResultFile, files_of
from afdcli.training.mixture import draws, mixture
from afdcli.training.peers import Peers
from afdcli.training.validation import VALIDATION, hold_out, validate

PROGRAM = "afd train"
EMA_DECAY = 0.999
WEIGHT_DECAY = 0.01
BACKBONE_RATE = 0.1
"""Of the learning rate, for a backbone's own weights: they are nearly right already."""
GRADIENT_NORM = 1.0
WARM_UP = 500
"""Steps over which the learning rate rises."""


LOSSES = {
    "loss": "what is made small: the weighted sum of those below that the method has",
    "feature": "how far the features at the tap are from the original's, see `methods.distances.relative_error`",
    "stage": "the same for what the tail's layers make of them, the mean over all layers",
    "logit": "nats from the original's prediction",
    "drift": "error of the estimated angles, see `methods.distances.angle_error`",
    "pixel": "squared error of the restored image, in thousandths",
    "quality": "error of the estimated quality factor, of 1",
}
LOG_COLUMNS = {"step": int, **dict.fromkeys((*LOSSES, *VALIDATION), float)}


@dataclass(frozen=True, slots=True)
class Step:
    """What one step of training did."""

    number: int
    """From 1."""
    losses: dict[str, float]
    """See `LOSSES`."""
    validation: dict[str, float] | None = None
    """Every now and then, over the photos held out: see `validation.VALIDATION`."""


class Training:
    """One run: go through `steps`, and the best module is in the output; beside it, a log with a row for each step."""

    def __init__(self, options: TrainOptions) -> None:
        """Find the photos, load the backbone, and build the module, or load what an interrupted run left.

        Raises:
            WrongUse: there are too few photos that can be read, or no such module to go on from.
            BackboneUnavailable, BadCheckpoint, UnsupportedBackbone: see `load_backbone` and `split`.
            OutputRefused: an output cannot be written or replaced, or is that of an interrupted run.
            BadCheckpoint: there is nothing to resume, or it was begun with other options; or the module to go on from
                is for another backbone.
        """
        self._peers = Peers()
        self.leads = self._peers.rank == 0
        """Whether this process writes the files, see `Peers`."""
        self._options = options
        self.log_path, self.curves_path = (options.output.with_suffix(ending) for ending in (".csv", ".png"))
        if self.leads:
            check_may_write(
                [options.output, self._last_path(), self._state_path(), *files_of(self.log_path), self.curves_path],
                PROGRAM,
                overwrite=options.overwrite,
                resume=options.resume,
                inputs=(*options.photos, options.weights, options.model.backbone_checkpoint),
            )
        if options.model.batch_size % self._peers.count:
            raise WrongUse(f"--batch-size must be a multiple of the {self._peers.count} processes.")
        self.sources = Sources(options.photos)
        sources = [source for source in self.sources if not source.error]
        photos = [source.path for source in sources]
        if len(photos) < 2:
            raise WrongUse(f"Training needs at least two photos, and there are {len(photos)}.")
        self.backbone = load_backbone(options.model.backbone, options.model.backbone_checkpoint)
        learnt, self._held_out = hold_out(photos, options.read, self.backbone.preprocessing.short)
        self._mixture = mixture(options, learnt)
        self._labels: dict[str, int] = {}
        if options.labels:
            classes = labels_of(sources, self.backbone.labels)
            self._labels = {path: label for path, label in zip(photos, classes, strict=True) if label is not None}
            if not self._labels:
                raise WrongUse("--labels needs one folder with a folder for each class in it, and there is none.")
        torch.manual_seed(options.seed)
        begin = self._begin()
        self.tap = begin.tap
        """Where the module is."""
        self._average = self._network(begin.module, begin.changed)
        """A moving average of the weights that are trained: it is what is validated and written."""
        self._student = self._network(deepcopy(begin.module), begin.changed)
        self._teacher = self._network(Remedy())
        parts = {"module.": 1.0, "backbone.": BACKBONE_RATE}
        groups = [
            {"params": [value for name, value in trained(self._student).items() if name.startswith(part)], "rate": rate}
            for part, rate in parts.items()
        ]
        self._optimizer = torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY)
        self.done = 0
        """Steps done, by an interrupted run too."""
        self.saved = 0
        """Steps that a run would go on from."""
        self._best = math.inf
        if options.resume:
            self._load_state()
        self._log: ResultFile | None = None
        if self.leads:
            content = record(PROGRAM, self._settings(), options)
            log = ResultFile(self.log_path, LOG_COLUMNS, content, resume=options.resume, overwrite=options.overwrite)
            log.keep(min(self.done, log.rows))
            self._log = log

    def _begin(self) -> Checkpoint:
        """What is trained, and where: a new module, or the one to go on from."""
        options, backbone = self._options, self.backbone
        if options.weights == "none":
            method = METHODS[options.method]
            tap = method.tap if options.tap == "auto" else options.tap
            if tap == "auto":
                tap = default_tap(backbone)
            cut = split(backbone, tap)
            return Checkpoint(method.build(options, cut.channels, cut.blocks), tap, backbone.name, backbone.fingerprint)
        path = find_weights(options.weights, backbone)
        if path is None:
            raise WrongUse(f"No module for {backbone.name} comes with afd. Leave out --weights, or give it a file.")
        checkpoint = load_checkpoint(path)
        check_backbone(checkpoint, backbone, path)
        if checkpoint.module.method != options.method:
            raise WrongUse(f"'{path}' is of another method. Add --method {checkpoint.module.method}.")
        return checkpoint

    def _network(self, module: Remedy, changed: Mapping[str, Tensor] | None = None) -> DedriftedClassifier:
        """The backbone with `module`, on its device; a copy of it with what was `changed`, if it is trained as well."""
        backbone = self.backbone
        if module.trains_backbone:
            backbone = replace(backbone, model=deepcopy(backbone.model).requires_grad_())
            backbone.model.load_state_dict(changed or {}, strict=False)
        network = DedriftedClassifier(backbone, module, self.tap).eval()
        return network.to(pick_device(self._options.model.device)).to(memory_format=torch.channels_last)

    def steps(self) -> Iterator[Step]:
        """Train; each step is yielded when it is in the log. After a validation all files are up to date.

        Raises:
            TrainingStopped: the loss or the weights are no numbers any more, photos have gone, or there is no module at
                the end. What is kept are the last good state and modules.
        """
        if self._log is None:
            yield from self._steps()
            return
        with self._log as log:
            if self.done == 0:
                self._save_state()  # so that there is always something to go on from
            for step in self._steps():
                log.write(
                    [{**dict.fromkeys(LOG_COLUMNS), "step": step.number, **step.losses, **(step.validation or {})}]
                )
                yield step
            self._check_output()

    def _steps(self) -> Iterator[Step]:
        options, peers = self._options, self._peers
        batch_size = options.model.batch_size // peers.count
        begin, end = (steps * options.model.batch_size for steps in (self.done, options.steps))
        preprocessing = self.backbone.preprocessing
        pairs = ordered_map(
            partial(make_pair, size=preprocessing.size, options=options),
            islice(draws(self._mixture, options.seed, begin, end), peers.rank, None, peers.count),
            workers=options.workers,
            ahead=2 * batch_size,
            room=2 * preprocessing.nbytes,
            crashed=_no_pair,
        )
        while batch := list(islice(pairs, batch_size)):
            pairs_read = [pair for pair in batch if pair is not None]
            if not pairs_read:
                sentence = f"None of {batch_size} photos in a row could be read. Look at them with: afd classify."
                raise self._stopped(sentence, "")
            losses = self._step(pairs_read)
            self.done += 1
            broken = next((name for name, loss in losses.items() if not math.isfinite(loss)), None)
            if broken is not None:
                raise self._diverged(broken)
            validation = None
            if self.leads and (self.done % options.validate_every == 0 or self.done == options.steps):
                validation = self._keep()
            yield Step(self.done, losses, validation)

    def _step(self, pairs: list[Pair]) -> dict[str, float]:
        """One step of AdamW on `pairs`; returns the losses."""
        options, module = self._options, self._student.module
        assert module is not None
        for group in self._optimizer.param_groups:
            group["lr"] = options.learning_rate * group["rate"] * _schedule(self.done, options.steps)
        original = self._teacher.to_tensor(np.stack([pair.original for pair in pairs]))
        degraded = self._teacher.to_tensor(np.stack([pair.degraded for pair in pairs]))
        quality = original.new_tensor([pair.quality for pair in pairs])
        labels = [self._labels[pair.path] for pair in pairs] if self._labels else None
        batch = Batch(original, degraded, quality, None if labels is None else torch.tensor(labels).to(quality.device))
        with torch.autocast(degraded.device.type, torch.bfloat16, enabled=options.model.precision == "bfloat16"):
            losses = module.losses(self._student, self._teacher, batch)
        weights = {
            "feature": options.feature_weight,
            "stage": options.stage_weight,
            "logit": options.logit_weight,
            "drift": options.drift_weight,
            "pixel": options.pixel_weight,
            "quality": options.quality_weight,
        }
        # What has no weight gives no gradient, not even zeros: the optimizer leaves alone what has none.
        counted = [weights[name] * loss for name, loss in losses.items() if weights[name]]
        losses["loss"] = torch.stack(counted).sum()
        self._optimizer.zero_grad()
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        gradients = [parameter.grad for parameter in trained(self._student).values() if parameter.grad is not None]
        self._peers.average([*gradients, *(loss.data for loss in losses.values())])
        nn.utils.clip_grad_norm_(trained(self._student).values(), GRADIENT_NORM)
        self._optimizer.step()
        decay = min(EMA_DECAY, (1 + self.done) / (10 + self.done))  # shorter at first, when the weights are random
        with torch.no_grad():
            averages = trained(self._average)
            for name, parameter in trained(self._student).items():
                averages[name].lerp_(parameter, 1 - decay)
        return {name: loss.item() for name, loss in losses.items()}

    def _keep(self) -> dict[str, float]:
        """Validate, and write the last module, the best one and the state; returns what was measured."""
        output = self._options.output
        validation = validate(self._held_out, self._teacher, self._average, self._options.read)
        if validation is None:
            raise self._stopped(f"Not one of the {len(self._held_out)} photos held out can be read any more.", "")
        broken = not_finite({**self._state(), "divergence": torch.tensor(validation["divergence"])})
        if broken is not None:
            raise self._diverged(broken)
        save_checkpoint(self._checkpoint(), self._last_path())
        if validation["divergence"] < self._best:
            self._best = validation["divergence"]
            save_checkpoint(self._checkpoint(), output)
        self._save_state()
        return validation

    def _diverged(self, what: str) -> TrainingStopped:
        rate = self._options.learning_rate
        sentence = f"Training has come apart in step {self.done:,}: '{what}' is not a number any more, or infinite."
        return self._stopped(sentence, f" and a lower --learning-rate than {rate:g}")

    def _stopped(self, sentence: str, change: str) -> TrainingStopped:
        return TrainingStopped(
            f"{sentence} All is kept as it was after step {self.saved:,}: go on from there with --resume{change}."
        )

    def _check_output(self) -> None:
        """Check that there is something to show for a run at its end."""
        try:
            load_checkpoint(self._options.output)
        except BadCheckpoint as error:
            raise TrainingStopped(
                f"Training is at its end, but its best module is not there, or not whole: {error} The last one is "
                f"'{self._last_path()}'; or train anew, without --resume."
            ) from None

    def _checkpoint(self) -> Checkpoint:
        """What is worth keeping of the run so far."""
        module, model = self._average.module, self._average.backbone.model
        assert module is not None
        changed = dict(model.named_parameters()) if module.trains_backbone else {}
        return Checkpoint(module, self.tap, self.backbone.name, self.backbone.fingerprint, changed)

    def _last_path(self) -> Path:
        return self._options.output.with_suffix(".last.safetensors")

    def _state_path(self) -> Path:
        return self._options.output.with_suffix(".state.safetensors")

    def _settings(self) -> dict[str, Any]:
        """The options that decide what comes out."""
        return {**settings_of(self._options), "backbone_sha256": self.backbone.fingerprint}

    def _state(self) -> dict[str, Tensor]:
        """All tensors that training changes, by names that `_load_state` knows."""
        tensors: dict[str, Tensor] = {f"student.{name}": value for name, value in trained(self._student).items()}
        tensors |= {f"average.{name}": value for name, value in trained(self._average).items()}
        for number, state in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": value for name, value in state.items()}
        return tensors

    def _save_state(self) -> None:
        """Write all that `_load_state` needs, all of it or nothing."""
        metadata = {
            PROGRAM_KEY: PROGRAM,
            "settings": _text(self._settings()),
            "done": str(self.done),
            "best": repr(self._best),
        }
        write_tensors(self._state_path(), self._state(), metadata)
        self.saved = self.done

    def _load_state(self) -> None:
        path = self._state_path()
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError):
            raise BadCheckpoint(f"There is no '{path}' that could be gone on with. Start without --resume.") from None
        self._check_settings(json.loads((metadata or {}).get("settings", "{}")))
        check_finite(tensors, path)
        with torch.no_grad():
            for prefix, network in (("student", self._student), ("average", self._average)):
                for name, parameter in trained(network).items():
                    parameter.copy_(tensors[f"{prefix}.{name}"])
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                _, number, key = name.split(".")
                state.setdefault(int(number), {})[key] = value
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": state})
        self.done = self.saved = int(metadata["done"])
        best = float(metadata["best"])
        if self._options.output.exists() and not math.isnan(best):  # otherwise the next module is the best there is
            self._best = best

    def _check_settings(self, before: dict[str, Any]) -> None:
        """Check that a run begun with the settings `before` may go on with those of now.

        A lower learning rate is the one thing that may have changed: where training has come apart, it would again.

        Raises:
            BadCheckpoint: it may not.
        """
        now = json.loads(_text(self._settings()))
        lower = now["learning_rate"] < before.get("learning_rate", 0)
        if now != (before | {"learning_rate": now["learning_rate"]} if lower else before):
            raise BadCheckpoint(
                f"'{self._state_path()}' was begun with other options. Use those, or start without --resume. Only "
                "--learning-rate may be lower now."
            )
        log = read_record(self.log_path)
        if lower and self.leads and log is not None:
            write_record(self.log_path, {**log, "settings": now})


def trained(network: DedriftedClassifier) -> dict[str, nn.Parameter]:
    """What training changes in `network`, by names that tell the module's from the backbone's."""
    module = network.module
    assert module is not None
    own = {f"module.{name}": parameter for name, parameter in module.named_parameters()}
    if not module.trains_backbone:
        return own
    return own | {f"backbone.{name}": parameter for name, parameter in network.backbone.model.named_parameters()}


def _text(settings: dict[str, Any]) -> str:
    return json.dumps(settings, default=str)


def _no_pair(_: tuple[int, str]) -> None:
    return None


def _schedule(done: int, steps: int) -> float:
    """The share of the learning rate at a step: a linear warm-up, then a cosine to 0."""
    warm_up = min(WARM_UP, steps // 10 + 1)
    if done < warm_up:
        return (done + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (done - warm_up) / max(1, steps - warm_up)))
