"""Looks at how far a training is, a minute apart: what the module wins back by now, and whether more time pays."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np
import torch
from torch import Tensor

from afdcli.errors import UnreadableImage
from afdcli.methods.distances import divergence
from afdcli.models.classifier import DedriftedClassifier
from afdcli.options import IMAGENET_C, ReadOptions
from afdcli.training.learner import Learner
from afdcli.training.validation import views

EVERY = 60.0
"""Seconds from one look to the next, at the least."""
SHARE = 0.05
"""No more than this share of a run's time is spent on looks: where one takes longer than 3 s, they come less often."""
PHOTOS = 64
"""How many of the photos held out are looked at, at most."""
BATCH = 16
LATEST = 5
"""Whether more time pays is told from so many looks, against as many before them."""


@dataclass(frozen=True, slots=True)
class Glance:
    """How far a training is, as its photos held out tell it; the numbers are rough, those of a validation count."""

    seconds: float
    """Since the first step of this run."""
    classes: float | None
    """Percent of the classes that compression changes which the module wins back: less than 0 if it changes more. None
    if compression changes none."""
    nearer: float
    """Percent by which predictions are nearer, in nats, to those of the originals than without the module."""
    pays: bool
    """Whether the last `LATEST` looks are better than those before them by more than their noise; True before there
    are as many."""


@dataclass(frozen=True)
class _Seen:
    """What stays the same from look to look: of N photos, one damaged view each, and what the teacher makes of it."""

    damaged: np.ndarray
    """(N, H, W, 3) uint8."""
    quality: Tensor
    """(N,) float32, the JPEG quality factors."""
    plain: Tensor
    """(N, classes) logits of the originals."""
    without: Tensor
    """(N, classes) logits of the damaged views."""


class Glances:
    """Looks, now and then, at what a learner has learnt.

    A look is one image through the network for each of 64 photos held out: they are damaged, read and shown to the
    teacher once, before the first look, which takes about as long as a batch of 128 images. Then the looks take 5 % of
    the time at most. A run of less than a minute has none.
    """

    def __init__(self, photos: Sequence[str], learner: Learner, read: ReadOptions) -> None:
        """`photos` are those held out."""
        self._photos = photos[:: math.ceil(len(photos) / PHOTOS)]
        self._learner, self._read = learner, read
        self._begun = time.monotonic()
        self._due = self._begun + EVERY
        self._seen: _Seen | None = None
        self._distances: list[np.ndarray] = []
        """Of each look, each photo's nats from its original's prediction."""

    @torch.inference_mode()
    def look(self) -> Glance | None:
        """Look, if it is time; None if it is not, or if none of the photos can be read."""
        begun = time.monotonic()
        if begun < self._due:
            return None
        if self._seen is None:
            self._seen = self._first()
            begun = time.monotonic()
        seen = self._seen
        if seen is None:
            self._due = math.inf
            return None
        logits = _logits(self._learner.average, seen.damaged, seen.quality)
        self._distances.append(_distances(logits, seen.plain))
        before = float(_distances(seen.without, seen.plain).mean())
        now = time.monotonic()
        self._due = now + max(EVERY, (now - begun) / SHARE)
        nearer = 100 * (1 - float(self._distances[-1].mean()) / before) if before else 0.0
        return Glance(now - self._begun, _won_back(seen, logits), nearer, pays(self._distances))

    def _first(self) -> _Seen | None:
        """Damage the photos, each once and in turn by each level, before or after cropping; None: none can be read."""
        teacher = self._learner.teacher
        ways = cycle([(level, is_cropped) for level in IMAGENET_C for is_cropped in (True, False)])
        found = []
        for path, (level, is_cropped) in zip(self._photos, ways, strict=False):
            try:
                pair = views(path, self._read, teacher.backbone.preprocessing, [(level, is_cropped)])
            except UnreadableImage:
                continue
            found.append((*pair, float(level.quality)))
        if not found:
            return None
        original, damaged, qualities = (np.stack(one) for one in zip(*found, strict=True))
        quality = torch.tensor(qualities, dtype=torch.float32).to(teacher.mean.device)
        return _Seen(damaged, quality, *(_logits(teacher, images, quality) for images in (original, damaged)))


def _logits(network: DedriftedClassifier, pixels: np.ndarray, quality: Tensor) -> Tensor:
    """Logits (N, classes), on the processor, of `pixels` (N, H, W, 3)."""
    batches = [slice(begin, begin + BATCH) for begin in range(0, len(pixels), BATCH)]
    return torch.cat(
        [network.predict(network.to_tensor(pixels[one]), quality[one])[0].float().cpu() for one in batches]
    )


def _distances(logits: Tensor, plain: Tensor) -> np.ndarray:
    """Nats (N,) from the originals' predictions."""
    return np.array([float(divergence(*pair)) for pair in zip(logits[:, None], plain[:, None], strict=True)])


def _won_back(seen: _Seen, logits: Tensor) -> float | None:
    """See `Glance.classes`."""
    with_module, without = (int((one.argmax(1) != seen.plain.argmax(1)).sum()) for one in (logits, seen.without))
    return 100 * (1 - with_module / without) if without else None


def pays(distances: Sequence[np.ndarray]) -> bool:
    """Whether the last `LATEST` looks are better than as many before them by more than noise, or are too few to tell.

    Each of `distances` (N,) is a look, at the same photos. The noise is the standard error of the photos' mean gain.
    """
    if len(distances) < 2 * LATEST:
        return True
    latest = np.mean(distances[-LATEST:], axis=0)
    gains = np.mean(distances[-2 * LATEST : -LATEST], axis=0) - latest
    noise = gains.std() / math.sqrt(len(gains))
    return bool(gains.mean() > noise)
