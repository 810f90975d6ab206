"""What learns: a student with the module, the untouched teacher, and the average of the student's weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import fields, replace

import numpy as np
import torch
from torch import Tensor, nn

from afdcli.methods.remedy import Batch, Remedy
from afdcli.models.backbones import Backbone
from afdcli.models.checkpoint import Checkpoint
from afdcli.models.classifier import DedriftedClassifier, pick_device
from afdcli.options import TrainOptions
from afdcli.options.training import LossWeights
from afdcli.training.pairs import Pair
from afdcli.training.peers import Peers

EMA_DECAY = 0.999
WEIGHT_DECAY = 0.01
RATES = {"module.": 1.0, "backbone.": 0.1}
"""Shares of the learning rate. A backbone's own weights have a small one: they are nearly right already."""
GRADIENT_NORM = 1.0
WARM_UP = 500
"""Steps over which the learning rate rises."""
LOSSES = {
    "loss": "what is made small: the weighted sum of those below that the method has",
    "feature": "how far the features at the tap are from the original's, see `methods.distances.relative_error`",
    "stage": "how far what the later blocks make of the features is from the original's, the mean over all of them",
    "logit": "nats from the original's prediction",
    "drift": "error of the estimated angles, see `methods.distances.angle_error`",
    "pixel": "squared error of the restored image, in thousandths",
    "quality": "error of the estimated quality factor, of 1",
}


class Learner:
    """A module that learns, and what it learns with: `step` by step, from pairs of originals and compressed copies."""

    def __init__(
        self, backbone: Backbone, begin: Checkpoint, options: TrainOptions, peers: Peers, labels: Mapping[str, int]
    ) -> None:
        """Put the module of `begin` into `backbone`, on the device of `options`.

        `labels` are the photos' classes by their paths; empty if it learns without.

        Raises:
            WrongUse: there is no such device.
            UnsupportedBackbone: `backbone` has no such tap as that of `begin`.
        """
        self._backbone, self._tap = backbone, begin.tap
        self._options, self._peers, self._labels = options, peers, labels
        self.average = self._network(begin.module, begin.changed)
        """The classifier with a moving average of the weights that are trained: it is what is validated and written."""
        self.student = self._network(deepcopy(begin.module), begin.changed)
        """The classifier whose weights each step changes."""
        self.teacher = self._network(Remedy())
        """The classifier without a module, which is never changed."""
        groups = [
            {"params": [value for name, value in trained(self.student).items() if name.startswith(part)], "rate": rate}
            for part, rate in RATES.items()
        ]
        self._optimizer = torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY)
        self.done = 0
        """How many steps are done, those of an interrupted run among them."""

    def _network(self, module: Remedy, changed: Mapping[str, Tensor] | None = None) -> DedriftedClassifier:
        """The backbone with `module`, on its device; a copy of it with what was `changed`, if it is trained as well."""
        backbone = self._backbone
        if module.trains_backbone:
            backbone = replace(backbone, model=deepcopy(backbone.model).requires_grad_())
            backbone.model.load_state_dict(changed or {}, strict=False)
        network = DedriftedClassifier(backbone, module, self._tap).eval()
        return network.to(pick_device(self._options.model.device)).to(memory_format=torch.channels_last)

    def step(self, pairs: Sequence[Pair]) -> dict[str, float]:
        """Learn from `pairs` once, together with the peers; returns the losses, which are among `LOSSES`."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._options.learning_rate * group["rate"] * _schedule(self.done, self._options.steps)
        losses = self._losses(pairs)
        self._optimizer.zero_grad()
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        gradients = [parameter.grad for parameter in trained(self.student).values() if parameter.grad is not None]
        self._peers.average([*gradients, *(loss.data for loss in losses.values())])
        nn.utils.clip_grad_norm_(trained(self.student).values(), GRADIENT_NORM)
        self._optimizer.step()
        self._follow()
        self.done += 1
        return {name: loss.item() for name, loss in losses.items()}

    def _losses(self, pairs: Sequence[Pair]) -> dict[str, Tensor]:
        """The method's losses of `pairs`, and `loss`, their weighted sum."""
        module = self.student.module
        assert module is not None
        batch = self._batch(pairs)
        precision = self._options.model.precision
        with torch.autocast(batch.original.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            losses = module.losses(self.student, self.teacher, batch)
        weights = {field.name: getattr(self._options, field.name) for field in fields(LossWeights)}
        # What has no weight gives no gradient, not even zeros: the optimizer leaves alone what has none.
        counted = [weight * loss for name, loss in losses.items() if (weight := weights[f"{name}_weight"])]
        losses["loss"] = torch.stack(counted).sum()
        return losses

    def _batch(self, pairs: Sequence[Pair]) -> Batch:
        """The tensors of `pairs`, on the device."""
        original = self.teacher.to_tensor(np.stack([pair.original for pair in pairs]))
        degraded = self.teacher.to_tensor(np.stack([pair.degraded for pair in pairs]))
        quality = original.new_tensor([pair.quality for pair in pairs])
        labels = [self._labels[pair.path] for pair in pairs] if self._labels else None
        return Batch(original, degraded, quality, None if labels is None else torch.tensor(labels).to(quality.device))

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average a little towards the student."""
        decay = min(EMA_DECAY, (1 + self.done) / (10 + self.done))  # shorter at first, when the weights are random
        averages = trained(self.average)
        for name, parameter in trained(self.student).items():
            averages[name].lerp_(parameter, 1 - decay)

    def checkpoint(self) -> Checkpoint:
        """What is worth keeping of the run so far: the average."""
        module, model = self.average.module, self.average.backbone.model
        assert module is not None
        changed = dict(model.named_parameters()) if module.trains_backbone else {}
        where = self._tap, self._backbone.name, self._backbone.fingerprint
        return Checkpoint(module, *where, changed, self._backbone.input)

    def state(self) -> dict[str, Tensor]:
        """All tensors that `step` changes, by names that `load` knows."""
        tensors: dict[str, Tensor] = {f"student.{name}": value for name, value in trained(self.student).items()}
        tensors |= {f"average.{name}": value for name, value in trained(self.average).items()}
        for number, state in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": value for name, value in state.items()}
        return tensors

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor], done: int) -> None:
        """Go on from `tensors`, which `state` gave after `done` steps.

        Raises:
            KeyError: there are not all of them.
            RuntimeError: one has another shape.
        """
        for prefix, network in (("student", self.student), ("average", self.average)):
            for name, parameter in trained(network).items():
                parameter.copy_(tensors[f"{prefix}.{name}"])
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                _, number, key = name.split(".")
                state.setdefault(int(number), {})[key] = value
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": state})
        self.done = done


def trained(network: DedriftedClassifier) -> dict[str, nn.Parameter]:
    """What training changes in `network`, by names that tell the module's from the backbone's."""
    module = network.module
    assert module is not None
    own = {f"module.{name}": parameter for name, parameter in module.named_parameters()}
    if not module.trains_backbone:
        return own
    return own | {f"backbone.{name}": parameter for name, parameter in network.backbone.model.named_parameters()}


def _schedule(done: int, steps: int) -> float:
    """The share of the learning rate at a step: a linear warm-up, then a cosine to 0."""
    warm_up = min(WARM_UP, steps // 10 + 1)
    if done < warm_up:
        return (done + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (done - warm_up) / max(1, steps - warm_up)))
