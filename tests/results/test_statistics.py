"""Statistics are those of hand counting, and of the literature."""

import math

import numpy as np
import pytest
from scipy.stats import bootstrap

from afdcli.results.statistics import (
    calibration_error,
    compare,
    likelihood_loss,
    recovered_intervals,
    wilson,
)


def by_hand(right, total, z=1.959963984540054):
    """E. B. Wilson, 1927: the interval of a share, in percent."""
    share = right / total
    centre = share + z**2 / (2 * total)
    spread = z * (share * (1 - share) / total + z**2 / (4 * total**2)) ** 0.5
    return [100 * (centre + sign * spread) / (1 + z**2 / total) for sign in (-1, 1)]


def test_the_interval_is_that_of_the_literature():
    """81 of 263, R. G. Newcombe, Statistics in Medicine 17 (1998), table I: 0.2553 to 0.3662."""
    assert by_hand(81, 263) == pytest.approx([25.53, 36.62], abs=0.005)
    assert [100 * bound for bound in wilson(np.arange(263) < 81)] == pytest.approx([25.53, 36.62], abs=0.005)


def test_the_comparison_is_mcnemars_by_hand():
    both, won, lost, neither = 60, 9, 2, 29
    right = np.array([True] * (both + won) + [False] * (lost + neither))
    first = np.array([True] * both + [False] * won + [True] * lost + [False] * neither)
    undamaged = np.array([True] * 83 + [False] * 17)
    found = compare(right, first, undamaged)
    as_extreme = [0, 1, 2, 9, 10, 11]
    assert found["p_value"] == pytest.approx(sum(math.comb(11, k) for k in as_extreme) / 2**11, abs=1e-3)
    assert found["difference"] == 7.0
    assert found["recovered"] == pytest.approx(100 * 7 / (83 - 62), abs=0.01)
    assert compare(first, first, first) == {"difference": 0.0, "p_value": 1.0, "recovered": None}


def outcomes(photos, levels, lost, won, seed=0):
    """Who is right: these weights and the first ones (photos, levels), and the first ones on undamaged photos."""
    rng = np.random.default_rng(seed)
    undamaged = rng.random(photos) < 0.9
    first = undamaged[:, None] & (rng.random((photos, levels)) > lost)
    return first | (undamaged[:, None] & (rng.random((photos, levels)) < won)), first, undamaged


@pytest.mark.slow
def test_the_interval_of_what_is_recovered_is_that_of_a_paired_bootstrap():
    right, first, undamaged = outcomes(400, 3, 0.4, 0.5)

    def share(index):
        gain = (right[index].astype(int) - first[index]).sum()
        return gain / (undamaged[index].sum() * 3 - first[index].sum())

    whole = bootstrap((np.arange(400),), share, vectorized=False, method="percentile", n_resamples=2000, rng=1)
    found = recovered_intervals(right, first, undamaged)
    assert found.shape == (4, 2)
    assert found[-1] == pytest.approx(list(whole.confidence_interval), abs=0.015)
    gain, cost = right.sum(0) - first.sum(0).astype(int), undamaged.sum() - first.sum(0)
    assert (found[:-1, 0] < gain / cost).all() and (gain / cost < found[:-1, 1]).all()
    assert found[-1, 1] - found[-1, 0] < (found[:-1, 1] - found[:-1, 0]).min(), "more levels, a narrower interval"
    assert (recovered_intervals(right, first, undamaged) == found).all()
    assert (recovered_intervals(right, first, undamaged, seed=1) != found).any()


def test_many_photos_are_resampled_in_parts_to_the_same_interval(monkeypatch):
    given = outcomes(500, 2, 0.4, 0.5)
    whole = recovered_intervals(*given)
    monkeypatch.setattr("afdcli.results.statistics.AT_A_TIME", 700)
    assert recovered_intervals(*given) == pytest.approx(whole, abs=0.03)


def test_where_nothing_is_lost_there_is_no_interval():
    right, first, undamaged = outcomes(50, 2, 0.0, 0.5)
    assert np.isnan(recovered_intervals(right, first, undamaged)).all()
    right, first, undamaged = outcomes(30, 1, 0.05, 0.5)
    assert np.isnan(recovered_intervals(right, first, undamaged)).any(), "some samples lose nothing"


def test_what_recovers_all_or_nothing_has_no_width():
    _, first, undamaged = outcomes(200, 2, 0.5, 0.0)
    everything = np.repeat(undamaged[:, None], 2, 1)
    assert recovered_intervals(everything, first, undamaged) == pytest.approx(np.ones((3, 2)))
    assert recovered_intervals(first, first, undamaged) == pytest.approx(np.zeros((3, 2)))


def test_the_likelihood_loss_by_hand():
    assert likelihood_loss(np.array([1.0, 0.5, 0.25])) == pytest.approx((math.log(2) + math.log(4)) / 3)
    assert math.isfinite(likelihood_loss(np.array([0.0], np.float32)))


def test_the_calibration_error_by_hand():
    """Two bins of 15: 0.9 and 0.92, of which one is right; 0.3, which is right."""
    probabilities, right = np.array([0.9, 0.92, 0.3]), np.array([True, False, True])
    assert calibration_error(probabilities, right) == pytest.approx((abs(1 - 1.82) + abs(1 - 0.3)) / 3)
    assert calibration_error(np.array([1.0, 0.0]), np.array([True, False])) == 0


def test_the_calibration_error_is_that_of_a_loop_over_the_bins():
    rng = np.random.default_rng(0)
    probabilities = rng.random(500).astype(np.float32)
    right = rng.random(500) < probabilities**2
    expected = 0.0
    for number in range(15):
        inside = (probabilities > number / 15) & (probabilities <= (number + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - probabilities[inside].mean())
    assert calibration_error(probabilities, right) == pytest.approx(expected, abs=1e-6)
