from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afdcli.errors import WrongUse
from afdcli.options import TrainOptions
from afdcli.training.mixture import Part, draws, mixture


@pytest.mark.slow
@given(
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=3),
    seed=st.integers(0, 2**31),
    start=st.integers(0, 60),
)
@settings(max_examples=50, deadline=None)
def test_going_on_draws_what_would_have_been_drawn(sizes, seed, start):
    parts = tuple(Part(tuple(f"{which}/{n}" for n in range(size)), which + 0.5) for which, size in enumerate(sizes))
    whole = list(draws(parts, seed, 0, 60))
    assert [number for number, _ in whole] == list(range(60))
    assert list(draws(parts, seed, start, 60)) == whole[start:]
    for which, part in enumerate(parts):
        own = [path for _, path in whole if path.startswith(f"{which}/")]
        for begin in range(0, len(own), len(part.photos)):
            one_round = own[begin : begin + len(part.photos)]
            assert len(set(one_round)) == len(one_round), "each once before any comes again"


def test_shares_are_kept_whatever_the_number_of_photos():
    parts = (Part(("a",), 3.0), Part(tuple(f"b{number}" for number in range(50)), 1.0))
    drawn = Counter(path[0] for _, path in draws(parts, 0, 0, 4000))
    assert 0.72 < drawn["a"] / 4000 < 0.78


@pytest.fixture
def folders(tmp_path):
    for name, count in (("one", 3), ("two", 2)):
        (tmp_path / name).mkdir()
        for number in range(count):
            (tmp_path / name / f"{number}.jpg").touch()
    return str(tmp_path / "one"), str(tmp_path / "two")


def test_each_input_has_its_share_and_a_photo_in_two_is_of_the_first(folders):
    photos = [
        f"{folder}/{number}.jpg" for folder, count in zip(folders, (3, 2), strict=True) for number in range(count)
    ]
    options = TrainOptions((*folders, photos[0]), shares=(2.0, 1.0, 0.0))
    assert mixture(options, photos[1:]) == (Part(tuple(photos[1:3]), 2.0), Part(tuple(photos[3:]), 1.0))
    assert mixture(TrainOptions(folders), photos) == (Part(tuple(photos), 1.0),)
    with pytest.raises(WrongUse, match="no photo to train on"):
        mixture(TrainOptions((folders[0], photos[0]), shares=(1.0, 1.0)), photos)


@pytest.mark.parametrize("shares", [(1.0,), (1.0, -1.0), (0.0, 0.0), (1.0, float("nan")), (float("inf"), 1.0)])
def test_shares_that_say_nothing_are_refused(shares):
    with pytest.raises(WrongUse, match="--share"):
        TrainOptions(("a", "b"), shares=shares)
