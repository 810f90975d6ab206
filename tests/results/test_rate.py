"""Curves over the size of files: which are compared, on the same photos, and how sure that is."""

import numpy as np
import pytest
import webpages
from hypothesis import given
from hypothesis import strategies as st

from afdcli.photos.damage import Level
from afdcli.results import rate
from afdcli.results.outcomes import Outcomes, Run
from afdcli.results.rate import COLUMNS, Curve, Samples, compare_curves, curves_of, markdown, pairs, rate_rows

PHOTOS = 400
BYTES = {"jpeg": (40, 20, 10, 5), "avif": (20, 10, 5, 2.5)}
LEVELS = [
    Level("clean", None, 0, "compress-first"),
    *(Level(codec, quality, 1, "compress-first") for codec in BYTES for quality in (80, 60, 40, 20)),
]


def sizes_of(rng):
    """(photos, levels, 2): photos differ in size, all by the same factor at every level."""
    factor = rng.lognormal(0, 0.2, PHOTOS)
    kilobytes = np.array([100.0, *BYTES["jpeg"], *BYTES["avif"]])
    return np.stack([1000 * factor[:, None] * kilobytes, np.full((PHOTOS, len(LEVELS)), 5e4)], axis=2)


def measured(weights, shares, rng):
    """Photos differ in how hard they are: at each level the easiest, as many as `shares`, get the right class, 0."""
    hard = rng.permutation(PHOTOS)[:, None] + rng.normal(0, 15, (PHOTOS, len(shares)))
    right = hard < PHOTOS * np.array(shares)
    return weights, np.where(right, 0, 1)[:, :, None]


def outcomes(sizes, *measured, labels=True):
    """Of photos whose class is 0."""
    arrays = {
        "labels": np.full(PHOTOS, 0 if labels else -1),
        "sizes": sizes,
        "classes": np.stack([said for _, said in measured], 1),
        "probabilities": np.zeros((PHOTOS, len(measured), len(LEVELS), 2)),
    }
    run = Run("net", tuple(LEVELS), {weights: (0, 0) for weights, _ in measured})
    return Outcomes.of(run, [f"{number}.jpg" for number in range(PHOTOS)], {}, arrays)


SHARES = [0.9, 0.8, 0.7, 0.6, 0.5]


@pytest.fixture(scope="module")
def evaluated():
    rng = np.random.default_rng(0)
    none = measured("none", [*SHARES, *SHARES[1:]], rng)
    module = measured("m", [0.9, 0.85, 0.8, 0.7, 0.6, 0.85, 0.8, 0.7, 0.6], rng)
    return outcomes(sizes_of(rng), none, module)


@pytest.fixture(scope="module")
def curves(evaluated):
    return curves_of(evaluated)


def test_the_fewest_bytes_come_first_whatever_the_order_of_levels(curves):
    assert [(one.weights, one.codec) for one in curves] == [
        (weights, codec) for weights in ("none", "m") for codec in BYTES
    ]
    points = curves[0].points()
    assert (np.diff(points.kilobytes) > 0).all()
    assert points.accuracy == pytest.approx([50, 60, 70, 80], abs=3)


def test_each_codec_is_compared_with_jpeg_and_each_of_the_weights_with_the_first(curves):
    found = [(one.weights, one.codec, first.weights, first.codec) for first, one in pairs(curves)]
    assert found == [
        ("none", "avif", "none", "jpeg"),
        ("m", "avif", "m", "jpeg"),
        ("m", "jpeg", "none", "jpeg"),
        ("m", "avif", "none", "avif"),
    ]


def test_rows_have_the_known_distance_in_their_interval(evaluated):
    rows = rate_rows(evaluated)
    assert [list(row) for row in rows] == [list(COLUMNS)] * 4
    assert rows[0]["bd_rate_low"] < -50 < rows[0]["bd_rate_high"]  # AVIF's files are half as large at the same accuracy
    assert rows[0]["bd_accuracy_low"] < 10 < rows[0]["bd_accuracy_high"]
    assert all(row["bd_rate_low"] < row["bd_rate"] < row["bd_rate_high"] < 0 for row in rows)
    assert rows[0]["accuracy_to"] - rows[0]["accuracy_from"] == pytest.approx(30, abs=5)
    assert {row["reason"] for row in rows} == {None}


@pytest.mark.slow
def test_the_same_seed_draws_the_same_photos_and_pairs_them(curves):
    first, again, other = (compare_curves(curves, seed) for seed in (0, 0, 1))
    assert first == again != other
    same = Curve("m", "jpeg", 1, curves[0].right, curves[0].kilobytes)
    (row,) = compare_curves([curves[0], same])
    assert [row[name] for name in ("bd_rate", "bd_rate_low", "bd_rate_high")] == [0, 0, 0]


@pytest.mark.slow
def test_an_interval_is_as_wide_as_figures_of_new_photos_vary(curves):
    """The bootstrap against the thing itself: the same study done again with other photos."""
    figures = []
    for seed in range(60):
        rng = np.random.default_rng(100 + seed)
        none = measured("none", [*SHARES, *SHARES[1:]], rng)
        jpeg, avif = curves_of(outcomes(sizes_of(rng), none))
        figures.append(rate.delta(jpeg.points(), avif.points()).rate)
    row = compare_curves(curves)[0]
    assert row["bd_rate_high"] - row["bd_rate_low"] == pytest.approx(3.92 * np.std(figures), rel=0.4)


def test_without_labels_a_photo_is_right_where_it_keeps_its_class(curves):
    rng = np.random.default_rng(0)
    one = measured("none", [0.5] * 9, rng)
    (jpeg, _) = curves_of(outcomes(sizes_of(rng), one, labels=False))
    assert (jpeg.right[:, -1] == (one[1][:, 1, 0] == one[1][:, 0, 0])).all()


def test_noise_is_left_out_of_a_curve_and_a_fall_is_not():
    rng = np.random.default_rng(0)
    kilobytes = np.tile([1.0, 2, 4, 8], (PHOTOS, 1))
    hard = rng.permutation(PHOTOS)[:, None]

    def curve(*shares):
        return Curve("none", "jpeg", 1, hard < PHOTOS * np.array(shares), kilobytes)

    assert list(curve(0.5, 0.7, 0.6975, 0.8).points().kilobytes) == [1, 2, 8]
    assert rate.no_curve(curve(0.5, 0.7, 0.6, 0.8).points()).startswith("a curve does not rise")
    assert rate.no_curve(curve(0.5, 0.5, 0.5, 0.5).points()).startswith("a curve does not rise")


def test_a_sample_has_the_points_that_are_better_than_all_cheaper_ones():
    kilobytes, accuracy = np.array([[1.0, 2, 4, 8]]), np.array([[50.0, 60, 55, 70]])
    found = Samples.of(kilobytes, accuracy)
    assert found.count == [3]
    assert found.kilobytes[0, :3].tolist() == [1, 2, 8] and found.accuracy[0, :3].tolist() == [50, 60, 70]


def test_what_cannot_be_compared_has_a_reason_and_no_figure(curves):
    one_point = Curve("none", "webp", 1, curves[0].right[:, :1], curves[0].kilobytes[:, :1])
    falling = Curve("none", "jxl", 1, curves[0].right[:, ::-1], curves[0].kilobytes)
    beyond = Curve("none", "heic", 1, curves[0].right | (np.arange(PHOTOS) % 10 < 8)[:, None], curves[0].kilobytes)
    rows = compare_curves([curves[0], one_point, falling, beyond])
    assert [row["codec"] for row in rows] == ["webp", "jxl", "heic"]
    for row, reason in zip(rows, ("one point", "does not rise", "range of accuracies"), strict=True):
        assert row["bd_rate"] is row["bd_rate_low"] is row["accuracy_from"] is None and reason in row["reason"]
    table = markdown([{"measure": "top1", **row} for row in rows])
    assert "| WebP, none | JPEG, none | none: one point is no curve" in table
    assert compare_curves([]) == [] and markdown([]) == ""


def test_curves_that_surely_cross_have_no_figure(curves):
    jpeg = curves[0]
    steeper = np.sort(jpeg.kilobytes.mean(0)) * np.array([2, 1.2, 0.8, 0.5])
    other = Curve("none", "avif", 1, jpeg.right, np.sort(np.tile(steeper, (PHOTOS, 1)), axis=1))
    (row,) = compare_curves([jpeg, other])
    assert row["bd_rate"] is None and "cross" in row["reason"]


@pytest.mark.slow
def test_the_table_names_both_curves_their_range_and_intervals(evaluated):
    rows = rate_rows(evaluated)
    lines = markdown(rows).splitlines()
    assert lines[1] == "Bjontegaard deltas of top-1, with 95 % intervals."
    figures = f"{rows[0]['bd_rate']:+.1f} % ({rows[0]['bd_rate_low']:+.1f} to {rows[0]['bd_rate_high']:+.1f})"
    assert lines[5].startswith(f"| AVIF, none | JPEG, none | {figures} | {rows[0]['accuracy_from']:.1f} to ")


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 2), st.integers(1, 4), st.booleans())
def test_of_few_photos_there_are_rows_or_reasons_whatever_is_measured(seed, photos, weights, levels, labelled):
    """Their samples may reach no accuracy in common."""
    rng = np.random.default_rng(seed)
    seen = rng.integers(0, 2, (photos, weights, 1 + levels))
    labels = rng.integers(0, 2, photos) if labelled else None
    qualities = range(levels, 0, -1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rate, "SAMPLES", 60)
        rows = rate_rows(webpages.outcomes(seen, labels, weights=("none", "auto")[:weights], qualities=qualities))
    for row in rows:
        assert row["reason"] or None not in (row["bd_rate"], row["bd_accuracy"])
