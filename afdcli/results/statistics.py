"""Statistics of what was measured: arrays over photos in, figures out."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import binomtest


def percent(share: Any) -> float:
    """`share`, a number in [0, 1], in percent, with two digits."""
    return round(100 * float(share), 2)


def wilson(right: np.ndarray) -> tuple[float, float]:
    """The 95 % Wilson interval of the share of `right` (photos,), truth values: two shares, the lower first."""
    interval = binomtest(int(right.sum()), len(right)).proportion_ci(0.95, "wilson")
    return float(interval.low), float(interval.high)


def compare(right: np.ndarray, first: np.ndarray, undamaged: np.ndarray) -> dict[str, float | None]:
    """The columns `difference`, `p_value` and `recovered`, of who is right (photos,): these weights and the first ones
    at a level, and the first ones on undamaged photos."""
    won, lost = int((right & ~first).sum()), int((first & ~right).sum())
    cost = int(undamaged.sum()) - int(first.sum())
    return {
        "difference": percent((won - lost) / len(right)),
        "p_value": float(f"{binomtest(won, won + lost).pvalue:.2g}") if won + lost else 1.0,
        "recovered": percent((won - lost) / cost) if cost > 0 else None,
    }
