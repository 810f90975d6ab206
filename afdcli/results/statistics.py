"""Statistics of what was measured: arrays over photos in, figures out."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import binomtest, norm

RESAMPLES = 2000
"""How many samples of the photos the bootstrap draws: bounds move by a twentieth of the interval with another seed."""
AT_A_TIME = 4_000_000
"""How many photos are drawn at a time: what memory holds of them."""
BINS = 15
"""Into how many bins of equal width the calibration error sorts probabilities (Guo et al., ICML 2017)."""
LEAST = float(np.finfo(np.float32).tiny)
"""A probability that is less counts as this: 87 nats."""


def percent(share: Any) -> float:
    """`share`, a number in [0, 1], in percent, with two digits."""
    return round(100 * float(share), 2)


def wilson(right: np.ndarray) -> tuple[float, float]:
    """The 95 % Wilson interval of the share of `right` (photos,), truth values: two shares, the lower first."""
    interval = binomtest(int(right.sum()), len(right)).proportion_ci(0.95, "wilson")
    return float(interval.low), float(interval.high)


def compare(right: np.ndarray, first: np.ndarray, undamaged: np.ndarray) -> dict[str, float | None]:
    """The columns `difference`, `p_value` and `recovered`.

    All are truth values (photos,), who is right: `right` these weights and `first` the first ones, both at a level, and
    `undamaged` the first ones on undamaged photos. Nothing is recovered, None, where nothing is lost.
    """
    won, lost = int((right & ~first).sum()), int((first & ~right).sum())
    cost = int(undamaged.sum()) - int(first.sum())
    return {
        "difference": percent((won - lost) / len(right)),
        "p_value": float(f"{binomtest(won, won + lost).pvalue:.2g}") if won + lost else 1.0,
        "recovered": percent((won - lost) / cost) if cost > 0 else None,
    }


def recovered_intervals(right: np.ndarray, first: np.ndarray, undamaged: np.ndarray, seed: int = 0) -> np.ndarray:
    """The 95 % intervals of the shares of the loss that are recovered, by a paired bootstrap over photos.

    `right` and `first` (photos, levels) are truth values: whether these weights, and the first ones, are right at each
    level; `undamaged` (photos,) whether the first ones are on undamaged photos. All levels are of the same photos in
    each sample, and the same `seed` draws the same photos.

    Returns shares (levels + 1, 2), the lower bound first, and those of the mean over all levels last. NaN stands where
    there is no bound: in more than one of 40 samples nothing is lost that could be recovered.
    """
    photos, levels = right.shape
    gains = np.column_stack([right.astype(np.float32) - first, np.zeros(photos)])
    costs = np.column_stack([undamaged[:, None].astype(np.float32) - first, np.zeros(photos)])
    gains[:, -1], costs[:, -1] = gains[:, :-1].sum(1), costs[:, :-1].sum(1)
    both = np.column_stack([gains, costs]).astype(np.float32)  # (photos, 2 * (levels + 1))
    sums = resampled(both, seed)
    gain, cost = sums[:, : levels + 1], sums[:, levels + 1 :]
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(cost > 0, gain / cost, np.where(gain < 0, -np.inf, np.inf))
    bounds = np.quantile(shares, (0.025, 0.975), axis=0, method="inverted_cdf").T
    return np.where(np.isfinite(bounds), bounds, np.nan)  # type: ignore[no-any-return]


def resampled(values: np.ndarray, seed: int, samples: int = RESAMPLES) -> np.ndarray:
    """The sums (samples, columns) of `values` (photos, columns) over samples of as many photos, with replacement."""
    rng, photos = np.random.default_rng(seed), len(values)
    sums = []
    for begin in range(0, samples, step := max(1, AT_A_TIME // photos)):
        count = min(step, samples - begin)
        drawn = rng.integers(photos, size=(count, photos)) + photos * np.arange(count)[:, None]
        times = np.bincount(drawn.ravel(), minlength=count * photos).reshape(count, photos)
        sums.append(times.astype(np.float32) @ values)
    return np.concatenate(sums)


def likelihood_loss(probabilities: np.ndarray) -> float:
    """The mean negative logarithm, in nats, of what the right classes got: `probabilities` (photos,) in [0, 1]."""
    return float(-np.log(np.maximum(probabilities.astype(np.float64), LEAST)).mean())


def calibration_error(probabilities: np.ndarray, right: np.ndarray) -> float:
    """The expected calibration error, in [0, 1]: how far probabilities are from the share of photos that are right.

    `probabilities` (photos,) in [0, 1] are those of the most probable class, `right` (photos,) whether that is the
    class. They are sorted into `BINS` bins, and the distances of the bins' means count by the photos in them.
    """
    bins = np.clip(np.ceil(probabilities.astype(np.float64) * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = np.bincount(bins, right - probabilities.astype(np.float64), BINS)
    return float(np.abs(gaps).sum() / len(right))


def loss_limits(both: Any, lost: Any, won: Any, neither: Any, sure: float = 0.95) -> tuple[Any, Any]:
    """The one-sided limits, each kept with the probability `sure`, of how much of a share is lost: two shares.

    They are those of R. G. Newcombe's method 10 for differences of paired shares (Statistics in Medicine 17, 1998).
    Of the photos, `both` are right before and after, `lost` only before, `won` only after: numbers, or arrays of them;
    they need not be whole, so that one can ask what more photos like these would say.
    """
    photos = both + lost + won + neither
    before, after = (both + lost) / photos, (both + won) / photos
    deviations = float(norm.ppf(sure))
    low_before, high_before = _wilson(before, photos, deviations)
    low_after, high_after = _wilson(after, photos, deviations)
    excess = both * neither - lost * won
    corrected = np.where(excess > 0, np.maximum(excess - photos / 2, 0), excess)
    margins = (both + lost) * (won + neither) * (both + won) * (lost + neither)
    with np.errstate(divide="ignore", invalid="ignore"):
        alike = np.where(margins > 0, corrected / np.sqrt(margins), 0)

    def spread(one: Any, other: Any) -> Any:
        return np.sqrt(np.maximum(one**2 - 2 * alike * one * other + other**2, 0))

    loss = before - after
    return (
        loss - spread(before - low_before, high_after - after),
        loss + spread(high_before - before, after - low_after),
    )


def _wilson(share: Any, photos: Any, deviations: float) -> tuple[Any, Any]:
    """The ends of the Wilson interval of a `share` of so many `photos`, so many standard `deviations` wide."""
    square = deviations**2
    centre = share + square / (2 * photos)
    spread = deviations * np.sqrt(share * (1 - share) / photos + square / (4 * photos**2))
    return (centre - spread) / (1 + square / photos), (centre + spread) / (1 + square / photos)
