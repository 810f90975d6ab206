"""What a network is fed is timm's to the byte."""

import numpy as np
import pytest
from pictures import apart, check_reason
from PIL import Image
from timm.data import create_transform

from afdcli.errors import UnreadableImage
from afdcli.photos.preprocessing import Preprocessing

SIZES = [(160, 120), (120, 160), (101, 77), (77, 101), (256, 256), (256, 300), (300, 256), (1, 1), (3, 200), (333, 250)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["center", "squash"])
@pytest.mark.parametrize(("side", "crop_pct"), [(224, 0.875), (240, 0.882), (64, 1.0), (33, 0.9)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_preprocessing_is_timms_to_the_byte(photo, size, mode, side, crop_pct, interpolation):
    image = photo.resize(size)
    theirs = create_transform(
        input_size=(3, side, side), crop_pct=crop_pct, crop_mode=mode, interpolation=interpolation, normalize=False
    )
    resampling = Image.Resampling[interpolation.upper()]
    ours = Preprocessing(side, crop_pct, resampling, squash=mode == "squash")
    expected = theirs(image).permute(1, 2, 0).numpy()
    assert expected.dtype == np.uint8
    assert apart(ours(image), expected) == 0


def test_preprocessing_leaves_a_photo_of_the_right_size_alone(photo):
    square = photo.resize((64, 64))
    assert apart(Preprocessing(64, 1.0)(square), square) == 0


def test_a_photo_too_narrow_to_be_resized_is_refused():
    line = Image.new("RGB", (1, 9_000_000))  # 9 kB as a PNG, and 256 x 2,304,000,000 pixels after resizing.
    try:
        assert Preprocessing()(line).size == (224, 224)
    except UnreadableImage as error:
        check_reason(str(error))
