"""A search takes few looks and finds what it looks for; its limit holds as often as it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdcli.formats.codecs import CODECS
from afdcli.results.smallest import EACH_LOOK, Bisection, Loss
from afdcli.results.statistics import loss_limits

LONGEST = max((codec.qualities for codec in CODECS.values()), key=len)


@given(st.sampled_from(sorted(CODECS)), st.integers(0, 200))
def test_the_lowest_that_is_good_enough_is_found_in_at_most_8_looks(codec, first):
    scale = CODECS[codec].qualities
    search, looked = Bisection(scale), []
    while (quality := search.next) is not None:
        looked.append(quality)
        search.tell(scale.index(quality) >= first)
    assert search.found == (scale[first] if first < len(scale) else None)
    assert len(looked) == search.tried <= 8 and len(set(looked)) == len(looked)
    assert search.found is None or search.found in looked


def test_the_limits_are_those_that_newcombe_published():
    """Of his method 10, table II: 56 pairs, of which 36, 12, 2 and 0 (and others) are of the four kinds."""
    low, high = loss_limits(36, 12, 2, 0, 0.975)
    assert (low, high) == pytest.approx((0.0569, 0.3404), abs=5e-5)
    low, high = loss_limits(20, 0, 0, 30, 0.975)
    assert low == pytest.approx(-high) and high < 0.07


def test_a_limit_is_that_of_wilson_where_all_were_right_before():
    """Of agreement, all photos agree with themselves: what is lost is one share, with the interval of one share."""
    from scipy.stats import binomtest

    _, high = loss_limits(190, 10, 0, 0, 0.975)
    assert high == pytest.approx(binomtest(10, 200).proportion_ci(0.95, "wilson").high)


@pytest.mark.slow
@given(st.lists(st.integers(0, 500), min_size=4, max_size=4).filter(any), st.sampled_from([0.9, 0.95, 0.985]))
def test_limits_enclose_the_loss_and_are_tighter_for_more_photos(counts, sure):
    loss = Loss(*counts)
    low, high = loss.limits(sure)
    assert -1 - 1e-9 <= low <= loss.share + 1e-12 and loss.share - 1e-12 <= high <= 1 + 1e-9
    more = loss.limits(sure, 100 * loss.photos)
    assert more[1] - more[0] <= high - low + 1e-9


def test_the_photos_that_are_needed_are_just_enough():
    loss = Loss(both=290, lost=1, won=1, neither=8)
    needed = loss.photos_needed(0.01)
    assert loss.limits(EACH_LOOK)[1] >= 0.01
    assert loss.limits(EACH_LOOK, needed)[1] < 0.01 <= loss.limits(EACH_LOOK, needed - 1)[1]
    assert Loss(both=290, lost=5, won=0, neither=5).photos_needed(0.01) is None


@pytest.mark.slow
@pytest.mark.parametrize(("photos", "share"), [(300, 0.02), (1000, 0.01)])
def test_the_limit_at_the_quality_that_is_found_holds_in_95_percent_of_data_sets(photos, share):
    """1,000 data sets are drawn, whose true loss is known at every quality, and each is searched through."""
    quality, rng = np.arange(101), np.random.default_rng(0)
    lost = 0.1 * np.exp(-quality / 25)  # of the photos that are right, those that no longer are below each quality
    won = 0.6 * lost
    true, held, wrong = 0.88 * lost - 0.12 * won, 0, 0
    for _ in range(1000):
        right, chance = rng.random(photos) < 0.88, rng.random(photos)
        search, losses = Bisection(LONGEST), {}
        while (level := search.next) is not None:
            falls, rises = right & (chance < lost[level]), ~right & (chance < won[level])
            kinds = (right & ~falls, falls, rises, ~right & ~rises)
            losses[level] = Loss(*(int(kind.sum()) for kind in kinds))
            search.tell(losses[level].is_below(share, sure=True))
        found = search.found
        held += found is None or true[found] <= losses[found].limits(EACH_LOOK)[1]
        wrong += found is not None and true[found] >= share
    assert held >= 950 and wrong <= 50
