"""How far what a classifier makes of two images is apart."""

import torch
import torch.nn.functional as F
from torch import Tensor

RIGHT_ANGLE = 90.0
NEAR = 0.1
"""Relative errors much smaller than this count by their square, larger ones by themselves."""


def relative_error(features: Tensor, target: Tensor) -> Tensor:
    """The error over the target's own size, for each image, averaged: giving zeros is 0.9.

    It grows with the error itself, not its square, or the worst damaged images alone would be learnt from; below
    `NEAR` it is smooth.
    """
    axes = tuple(range(1, target.ndim))
    target = target.float()
    error = (features.float() - target).square().mean(axes)
    squared = error / (target.square().mean(axes) + 1e-6)
    return ((squared + NEAR**2).sqrt() - NEAR).mean()


def mean_relative_error(stages: list[Tensor], targets: list[Tensor]) -> Tensor:
    """The mean of `relative_error` over several layers."""
    return torch.stack([relative_error(*both) for both in zip(stages, targets, strict=True)]).mean()


def divergence(logits: Tensor, target: Tensor) -> Tensor:
    """Kullback-Leibler divergence of predictions from the target's, in nats an image."""
    logs, target_logs = logits.float().log_softmax(1), target.float().log_softmax(1)
    return F.kl_div(logs, target_logs, reduction="batchmean", log_target=True)


def feature_angle(features: Tensor, target: Tensor) -> Tensor:
    """Degrees (B, h, w) between `features` and `target`, each (B, C, h, w), place by place (AFD, figure 2)."""
    return F.cosine_similarity(features, target, dim=1).clamp(-1, 1).acos().rad2deg()


def map_angle(features: Tensor, target: Tensor) -> Tensor:
    """Degrees (B,) between `features` and `target`, each (B, C, h, w), with a whole map as one vector.

    Long vectors weigh more than in the mean of `feature_angle`, so the two are not the same number.
    """
    return F.cosine_similarity(features.flatten(1), target.flatten(1)).clamp(-1, 1).acos().rad2deg()


def angle_error(estimated: Tensor, features: Tensor, target: Tensor) -> Tensor:
    """How wrong the degrees `estimated` (B, 1, h, w) are, that `features` (B, C, h, w) are turned away from `target`.

    Errors of 27 degrees or more count by themselves, smaller ones by their square: some places nobody can know.
    """
    true = feature_angle(features.float(), target.float())
    return F.smooth_l1_loss(estimated[:, 0].float() / RIGHT_ANGLE, true / RIGHT_ANGLE, beta=0.3)
