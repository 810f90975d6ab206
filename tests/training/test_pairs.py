from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from afdcli.options import TrainOptions
from afdcli.training.pairs import Pair, make_pair, random_box, random_degradation


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """Six smooth photos of 200 x 150 pixels."""
    folder = tmp_path_factory.mktemp("pairs")
    for number in range(6):
        noise = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((200, 150)).save(folder / f"{number}.png")
    return TrainOptions(photos=(str(folder),), workers=0)


def test_a_pair_depends_on_its_number_and_the_seed_only(options):
    photo = f"{options.photos[0]}/0.png"
    first, again, other = (make_pair((number, photo), 64, options) for number in (7, 7, 8))
    assert np.array_equal(first.original, again.original) and np.array_equal(first.degraded, again.degraded)
    assert not np.array_equal(first.original, other.original)
    reseeded = make_pair((7, photo), 64, replace(options, seed=1))
    assert not np.array_equal(first.original, reseeded.original)


@pytest.mark.parametrize("crop_first", [0.0, 1.0])
def test_a_damaged_pair_shows_the_same_crop(options, crop_first):
    options = replace(options, clean_share=0.0, crop_first_share=crop_first)
    for number in range(8):
        pair = make_pair((number, f"{options.photos[0]}/{number % 6}.png"), 64, options)
        apart = np.abs(pair.original.astype(int) - pair.degraded).mean()
        assert 0 < apart < 25, "the photos are smooth, so another crop would be further away"


@pytest.mark.slow
def test_the_clean_share_is_kept(options):
    photo = f"{options.photos[0]}/0.png"
    pairs = [make_pair((number, photo), 32, replace(options, clean_share=0.5)) for number in range(60)]
    assert 18 <= sum(np.array_equal(pair.original, pair.degraded) for pair in pairs) <= 42


def test_a_photo_that_cannot_be_read_gives_no_pair(options):
    assert make_pair((0, "nowhere.jpg"), 64, options) is None
    assert isinstance(make_pair((0, f"{options.photos[0]}/0.png"), 64, options), Pair)


def test_no_crop_is_smaller_than_asked_where_the_photo_has_as_many_pixels(options):
    photo = f"{options.photos[0]}/0.png"  # 200 x 150
    for least, smallest in ((0, 75), (120, 120), (400, 150)):
        boxes = [random_box((200, 150), least, np.random.default_rng(seed)) for seed in range(200)]
        sides = [right - left for left, _, right, _ in boxes]
        assert smallest <= min(sides) + 1e-9 and max(sides) <= 150 + 1e-9
        assert np.min(boxes) >= 0
        assert max(right for _, _, right, _ in boxes) <= 200 and max(bottom for *_, bottom in boxes) <= 150
    small = replace(options, clean_share=0.0, crop_first_share=0.0, least_crop=150)
    first = replace(small, crop_first_share=1.0)
    for number in range(6):
        one, other = (make_pair((number, photo), 64, asked).degraded for asked in (small, first))
        assert np.array_equal(one, other)


def test_degradations_are_of_the_kinds_promised():
    drawn = [random_degradation(np.random.default_rng(seed)) for seed in range(300)]
    assert {one.last.codec for one in drawn} == {"jpeg", "avif", "webp"}
    assert {one.passes for one in drawn} == {1, 2, 3, 4, 5}
    qualities = [one.last.quality for one in drawn if one.last.codec == "jpeg"]
    assert min(qualities) >= 5 and max(qualities) <= 95 and np.median(qualities) < 40
