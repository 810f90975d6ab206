"""Many curves at once are what scipy makes of each."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import Akima1DInterpolator, make_interp_spline

from afdcli.results.akima import Curves


@pytest.mark.slow
@given(st.integers(2, 9), st.integers(0, 2**32 - 1), st.sampled_from([1e-3, 1.0, 1e3]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_each_curve_is_that_of_scipy(count, seed, scale, straight):
    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.random((5, count)) + 0.01, axis=1)
    y = scale * (2 * x + 1 if straight else np.cumsum(rng.random((5, count)), axis=1))
    low, high = x[:, 0] + 0.1 * np.ptp(x, axis=1), x[:, -1] - 0.2 * np.ptp(x, axis=1)
    places = np.linspace(x.min() - 0.1, x.max() + 0.1, 23)
    curves = Curves(x, y)
    for number, (at, integral) in enumerate(zip(curves.at(places), curves.integrals(low, high), strict=True)):
        one = (x[number], y[number])
        scipys = Akima1DInterpolator(*one) if count > 2 else make_interp_spline(*one, k=1)
        inside = (places >= x[number, 0]) & (places <= x[number, -1])
        assert at[inside] == pytest.approx(scipys(places[inside]), rel=1e-9, abs=1e-9 * scale)
        assert np.isnan(at[~inside]).all()
        assert integral == pytest.approx(float(scipys.integrate(low[number], high[number])), rel=1e-9, abs=1e-9 * scale)
