"""Corruptions are those of the package, drawn by the seed and the photo's name alone, and saved without loss."""

import numpy as np
import pytest
from PIL import Image

from afdcli.errors import UnreadableImage, WrongUse
from afdcli.formats.codecs import CORRUPTIONS, IMAGENET_C
from afdcli.options import PRESETS, Compression
from afdcli.options.damage import degradations_of, levels_of
from afdcli.photos.corruptions import corrupted
from afdcli.photos.damage import decode, degrade_photo, encode

pytest.importorskip("imagecorruptions")


SAME_FOR_ALL = "defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "gaussian_blur", "saturate"


def changed(photo, name, severity, seed=0):
    return np.abs(np.asarray(corrupted(photo, name, severity, np.random.default_rng(seed))).astype(int) - photo).mean()


@pytest.mark.slow
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_is_damage_that_is_drawn_by_the_seed_alone(photo, name):
    (level,) = degradations_of(f"{name}:3")
    first, other = degrade_photo(photo, level, 0, "a.jpg"), degrade_photo(photo, level, 0, "b.jpg")
    np.random.seed(1)  # what others drew before changes nothing, and nothing changes for them
    before = np.random.get_state()[1].copy()
    assert degrade_photo(photo, level, 0, "a.jpg") == first
    assert (np.random.get_state()[1] == before).all()
    assert decode(first).size == photo.size and decode(first).tobytes() != photo.tobytes()
    assert (first != other) == (name not in SAME_FOR_ALL)


@pytest.mark.parametrize("name", ["gaussian_noise", "defocus_blur", "fog", "contrast", "pixelate"])
def test_more_severe_is_more_damage(photo, name):
    assert changed(photo, name, 1) < changed(photo, name, 5)


def test_noise_is_as_strong_as_imagenet_c_defines_it():
    """Of mid-grey, where nothing is cut off: a standard deviation of 0.08 to 0.38 of the range (its code, line 1)."""
    grey = Image.new("RGB", (200, 200), (128, 128, 128))
    for severity, deviation in ((1, 0.08), (2, 0.12)):
        noise = np.asarray(corrupted(grey, "gaussian_noise", severity, np.random.default_rng(0))) / 255
        assert noise.std() == pytest.approx(deviation, rel=0.02)


def test_they_are_named_as_codecs_are():
    assert levels_of("gaussian_noise:1,3,5") == tuple(Compression("gaussian_noise", one) for one in (1, 3, 5))
    assert [one.name for one in degradations_of("fog:2")] == ["fog-2"]
    with pytest.raises(WrongUse, match="FOG takes severities from 1 to 5, not 6"):
        levels_of("fog:6")
    with pytest.raises(WrongUse, match="The nearest is 'gaussian_noise'"):
        levels_of("gausian_noise:1")
    with pytest.raises(WrongUse, match="takes nothing beside its quality, not 'speed'"):
        levels_of("fog:1:speed=4")


def test_the_preset_has_imagenet_cs_but_for_jpeg():
    levels = PRESETS["unseen"]["levels"]
    assert len(IMAGENET_C) == 14 and len(levels) == 70
    assert {level.codec for level in levels} == set(IMAGENET_C)


def test_a_photo_that_is_too_small_says_so():
    with pytest.raises(UnreadableImage, match="no side of less than 32 pixels"):
        encode(Image.new("RGB", (31, 40)), Compression("fog", 1))
