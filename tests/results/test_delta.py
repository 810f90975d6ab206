"""BD-rate and BD-accuracy are those of the package and a pencil; where they would mean nothing, there is a reason."""

import numpy as np
import pytest
from scipy.interpolate import Akima1DInterpolator

from afdcli.results.delta import Points, bd_accuracy, bd_rate, delta


def points(kilobytes, accuracy):
    return Points(np.array(kilobytes, float), np.array(accuracy, float))


# The example that the package publishes: kilobits a second and decibels of libx265 with two presets.
ANCHOR = points([1358.24, 2486.44, 4593.60, 9487.76], [34.851, 36.845, 38.615, 40.037])
TEST = points([1356.24, 2451.52, 4469.00, 9787.80], [34.987, 36.970, 38.651, 40.121])
BD_RATE, BD_PSNR = -4.425245157, 0.119409270  # printed as -4.4252 % and 0.1194 dB
LOW = points([10, 20, 40, 80], [50, 60, 70, 80])


def integral(x, y, low, high):
    return Akima1DInterpolator(x, y).integrate(low, high) / (high - low)


def test_the_packages_published_example():
    """What it prints, and what scipy gives by the definition."""
    low, high = 34.987, 40.037
    rates = [integral(one.accuracy, np.log10(one.kilobytes), low, high) for one in (ANCHOR, TEST)]
    assert bd_rate(ANCHOR, TEST) == pytest.approx(100 * (10 ** (rates[1] - rates[0]) - 1), abs=1e-6)
    low, high = np.log10(1358.24), np.log10(9487.76)
    heights = [integral(np.log10(one.kilobytes), one.accuracy, low, high) for one in (ANCHOR, TEST)]
    assert bd_accuracy(ANCHOR, TEST) == pytest.approx(heights[1] - heights[0], abs=1e-6)
    found = delta(ANCHOR, TEST)
    assert (found.rate, found.accuracy, found.reason) == (bd_rate(ANCHOR, TEST), bd_accuracy(ANCHOR, TEST), "")
    assert (found.rate, found.accuracy) == pytest.approx((BD_RATE, BD_PSNR), abs=1e-6)


def test_half_the_bytes_are_minus_50_percent_and_one_step_up():
    """Straight lines over the logarithm of bytes, ten points higher where bytes double: half the bytes are 10 up."""
    found = delta(LOW, points([5, 10, 20, 40], [50, 60, 70, 80]))
    assert found.rate == pytest.approx(-50, abs=1e-9)
    assert found.accuracy == pytest.approx(10, abs=1e-9)
    assert found.accuracies == (50, 80)
    assert found.kilobytes == pytest.approx((10, 40))


def test_two_points_are_a_line():
    assert delta(points([10, 40], [50, 70]), points([20, 80], [50, 70])).rate == pytest.approx(100)


def test_curves_need_not_have_as_many_points():
    assert delta(LOW, points([5, 10, 40], [50, 60, 80])).rate == pytest.approx(-50)


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        (points([10], [60]), "one point"),
        (points([10, 20, 40], [60, 60, 60]), "does not rise"),
        (points([10, 20, 40], [60, 59, 70]), "does not rise"),
        (points([10, 20, 40], [70, 60, 50]), "does not rise"),
        (points([10, 10, 40], [50, 60, 70]), "same bytes"),
        (points([10, 20, 40], [81, 85, 90]), "less than half of the smaller range of accuracies"),
        (points([10, 20, 40], [74, 80, 90]), "less than half of the smaller range of accuracies"),
        (points([14, 22, 36, 60], [50, 60, 70, 80]), "cross"),
    ],
)
def test_where_a_figure_would_mean_nothing_there_is_a_reason(test, reason):
    for pair in ((LOW, test), (test, LOW)):
        found = delta(*pair)
        assert np.isnan(found.rate) and reason in found.reason
        if "range" not in reason:
            assert np.isnan(found.accuracy)


def test_one_figure_may_be_there_without_the_other():
    found = delta(LOW, points([100, 200, 400], [50, 60, 70]))
    assert found.rate == pytest.approx(900) and np.isnan(found.accuracy)
    assert found.reason == "the curves share less than half of the smaller range of bytes"


def test_half_of_the_smaller_range_is_enough():
    assert not np.isnan(delta(LOW, points([5, 10, 20], [70, 75, 90])).rate)


def test_curves_that_are_the_same_but_for_rounding_do_not_cross():
    other = points([10.01, 19.99, 40.01, 79.99], [50, 60, 70, 80])
    assert delta(LOW, other).rate == pytest.approx(0, abs=0.1)


def test_curves_cross_where_their_band_does_and_not_where_that_is_noise():
    crossing = points([9, 20.5, 42, 84], [50, 60, 70, 80])
    assert "cross" in delta(LOW, crossing).reason
    wide = np.array([-0.2, -0.1]), np.array([0.1, 0.2])
    assert not delta(LOW, crossing, wide).reason
