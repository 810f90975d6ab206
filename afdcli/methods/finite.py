"""Weights have to be numbers: one NaN or infinity makes every answer of a network worthless, without an error."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from afdcli.errors import BadCheckpoint


def not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The name of the first of `tensors` that has a NaN or an infinity in float32; None if all are sound.

    float32 is what every network here computes in, so what is too large for it counts as well.
    """
    floating = ((name, tensor) for name, tensor in tensors.items() if tensor.is_floating_point())
    return next((name for name, tensor in floating if not tensor.detach().float().isfinite().all()), None)


def check_finite(tensors: Mapping[str, Tensor], source: Path | str) -> None:
    """Check `tensors`, which are from `source`.

    Raises:
        BadCheckpoint: one of them is not finite; the text names it.
    """
    name = not_finite(tensors)
    if name is not None:
        raise BadCheckpoint(
            f"'{source}' has NaN or infinity in its tensor '{name}', so nothing it gives would mean anything. Get it "
            "again, or train it again with a lower learning rate."
        )
