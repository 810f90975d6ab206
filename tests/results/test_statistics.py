"""Statistics are those of hand counting, and of the literature."""

import math

import numpy as np
import pytest

from afdcli.results.statistics import compare, wilson


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
