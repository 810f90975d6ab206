"""Classes that are hit worst: figures against ones worked out by hand, and against those of all photos."""

from math import prod, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from webpages import outcomes

from afdcli.results.worst_hit import class_hits, flips, right

Z = 1.959963984540054
CAT, DOG, OWL = 3, 5, 7
LABELS = [CAT, DOG, CAT, DOG, CAT]
SEEN = [  # photo, weights, level: undamaged, then two levels of damage
    [[CAT, DOG, OWL], [CAT, CAT, OWL]],  # a cat that is lost at both levels, and won back at one
    [[DOG, DOG, DOG], [DOG, DOG, OWL]],  # a dog that only the module loses
    [[CAT, CAT, DOG], [CAT, CAT, CAT]],  # a cat that is lost at one level, and won back there
    [[OWL, DOG, OWL], [OWL, OWL, OWL]],  # a dog that was never right undamaged
    [[CAT, CAT, CAT], [CAT, CAT, CAT]],  # a cat that stays
]


def wilson(share, photos):
    """E. B. Wilson, 1927."""
    centre = share + Z**2 / (2 * photos)
    spread = Z * sqrt(share * (1 - share) / photos + Z**2 / (4 * photos**2))
    return (centre - spread) / (1 + Z**2 / photos), (centre + spread) / (1 + Z**2 / photos)


def newcombe(both, lost, won, neither):
    """R. G. Newcombe, 1998, method 10: the interval of the change of a paired share, from before to after."""
    photos = both + lost + won + neither
    before, after = (both + lost) / photos, (both + won) / photos
    (low_before, high_before), (low_after, high_after) = wilson(before, photos), wilson(after, photos)
    margins = (both + lost) * (won + neither) * (both + won) * (lost + neither)
    excess = both * neither - lost * won
    excess = max(excess - photos / 2, 0) if excess > 0 else excess
    alike = excess / sqrt(margins) if margins else 0

    def spread(one, other):
        return sqrt(one**2 - 2 * alike * one * other + other**2)

    change = after - before
    return (
        change - spread(after - low_after, high_before - before),
        change + spread(high_after - after, before - low_before),
    )


def test_the_change_of_a_class_is_what_hand_counting_gives():
    cats, dogs = class_hits(outcomes(SEEN, LABELS))
    assert (cats.index, dogs.index) == (CAT, DOG), "the cats lose, the dogs do not"
    assert cats.members.tolist() == [0, 2, 4] and dogs.members.tolist() == [1, 3]
    assert cats.undamaged == [1, 1] and dogs.undamaged == [0.5, 0.5]
    assert cats.damaged[0].change == pytest.approx((0 + 1 / 2 + 1) / 3 - 1)
    assert cats.damaged[1].change == pytest.approx((1 / 2 + 1 + 1) / 3 - 1)
    assert cats.won_back[0] is None and cats.won_back[1].change == pytest.approx(2 / 2 / 3)
    # Of the dogs one stays right; the other one, wrong undamaged, is right at one of the two levels.
    assert dogs.damaged[0].change == pytest.approx((1 + 1 / 2) / 2 - 1 / 2)
    assert dogs.won_back[1].change == pytest.approx((1 / 2 + 0) / 2 - (1 + 1 / 2) / 2)


def test_the_intervals_are_of_the_mean_table_over_levels():
    cats, dogs = class_hits(outcomes(SEEN, LABELS))
    for found, table in (
        (cats.damaged[0], (1.5, 1.5, 0, 0)),
        (cats.damaged[1], (2.5, 0.5, 0, 0)),
        (cats.won_back[1], (1.5, 0, 1, 0.5)),
        (dogs.damaged[0], (1, 0, 0.5, 0.5)),
        (dogs.won_back[1], (0.5, 1, 0, 0.5)),
    ):
        assert (found.low, found.high) == pytest.approx(newcombe(*table), abs=1e-9)


def test_photos_that_flip_come_by_how_much_is_lost():
    measured = outcomes(SEEN, LABELS)
    correct = right(measured)
    cats, dogs = class_hits(measured)
    assert flips(correct, cats.members).photos == [0, 2]
    assert (flips(correct, cats.members).lost, flips(correct, cats.members).won_back) == (2, [0, 2])
    only_by_the_module = flips(correct, dogs.members)
    assert (only_by_the_module.photos, only_by_the_module.lost, only_by_the_module.won_back) == ([1], 0, [0, 0])


def test_without_labels_each_of_the_weights_agree_with_what_they_saw_undamaged():
    measured = outcomes([[[OWL, OWL, DOG], [CAT, CAT, CAT]], [[CAT, CAT, CAT], [CAT, OWL, OWL]]])
    owls, cats = class_hits(measured)
    assert (owls.index, cats.index) == (OWL, CAT), "the class is that of the first of the weights"
    assert [one.change for one in owls.damaged] == [-0.5, 0]
    assert [one.change for one in cats.damaged] == [0, -1]


def test_one_photo_that_is_lost_is_no_match_for_many():
    many = [[[CAT, DOG, DOG]]] * 8 + [[[CAT, CAT, CAT]]] * 2
    hits = class_hits(outcomes([[[OWL, DOG, DOG]], *many], [OWL, *[CAT] * 10], weights=("none",)))
    assert [one.index for one in hits] == [CAT, OWL]
    assert hits[0].damaged[0].change > hits[1].damaged[0].change == -1


@pytest.mark.slow
@given(st.data(), st.integers(1, 12), st.integers(1, 3), st.booleans())
def test_all_classes_together_are_all_photos(data, photos, damages, labelled):
    shape = (photos, 2, 1 + damages)
    flat = data.draw(st.lists(st.integers(0, 3), min_size=prod(shape), max_size=prod(shape)))
    labels = data.draw(st.lists(st.integers(0, 3), min_size=photos, max_size=photos)) if labelled else None
    measured = outcomes(np.reshape(flat, shape), labels, qualities=range(damages, 0, -1))
    hits, rows = class_hits(measured), measured.rows()
    assert sorted(place for one in hits for place in one.members.tolist()) == list(range(photos))
    for number in range(2):
        figures = [row["top1" if labelled else "agreement"] for row in rows[number * shape[2] :][: shape[2]]]
        change = sum(len(one.members) * one.damaged[number].change for one in hits) / photos
        assert 100 * change == pytest.approx(np.mean(figures[1:]) - figures[0], abs=0.011)
        for one in hits:
            found = one.damaged[number]
            bounds = [-1, found.low, found.change, found.high, 1]
            assert (np.diff(bounds) > -1e-9).all()
    lows = [-one.damaged[0].high for one in hits]
    assert lows == sorted(lows, reverse=True)
