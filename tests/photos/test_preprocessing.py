"""What a network is fed is timm's to the byte."""

import functools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pictures import apart, check_reason
from PIL import Image
from timm.data import create_transform

from afdcli.errors import UnreadableImage
from afdcli.photos.preprocessing import Preprocessing


@functools.cache
def timms(side, crop_pct, mode, interpolation):
    """timm's own transform, up to normalisation."""
    return create_transform(
        input_size=(3, side, side), crop_pct=crop_pct, crop_mode=mode, interpolation=interpolation, normalize=False
    )


SIZES = [(160, 120), (120, 160), (101, 77), (77, 101), (256, 256), (256, 300), (300, 256), (1, 1), (3, 200), (333, 250)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["center", "squash"])
@pytest.mark.parametrize(("side", "crop_pct"), [(224, 0.875), (240, 0.882), (64, 1.0), (33, 0.9)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_preprocessing_is_timms_to_the_byte(photo, size, mode, side, crop_pct, interpolation):
    image = photo.resize(size)
    theirs = timms(side, crop_pct, mode, interpolation)
    resampling = Image.Resampling[interpolation.upper()]
    ours = Preprocessing(side, crop_pct, resampling, squash=mode == "squash")
    expected = theirs(image).permute(1, 2, 0).numpy()
    assert expected.dtype == np.uint8
    assert apart(ours(image), expected) == 0


SMOOTH = Image.linear_gradient("L").resize((900, 900))
TEXTURE = Image.merge("RGB", [SMOOTH, SMOOTH.rotate(90), Image.radial_gradient("L").resize((900, 900))])
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (900, 900, 3), dtype=np.uint8))
NETWORKS = [(224, 0.875), (224, 0.9), (240, 0.882), (256, 0.95), (260, 0.904), (288, 1.0), (384, 1.0)]
SIDES = st.one_of(st.sampled_from([333, 375, 480, 500, 640]), st.integers(1, 900))


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    width=SIDES,
    height=SIDES,
    network=st.sampled_from(NETWORKS),
    mode=st.sampled_from(["center", "squash"]),
    interpolation=st.sampled_from(["bicubic", "bilinear", "lanczos"]),
    content=st.sampled_from([TEXTURE, NOISE]),
)
@example(261, 620, (224, 0.875), "center", "bicubic", NOISE)  # Pillow begins with the rows.
@example(215, 440, (256, 0.95), "squash", "bicubic", NOISE)
@example(320, 153, (260, 0.904), "center", "bilinear", TEXTURE)  # Many values lie half-way between two levels.
@example(900, 12, (224, 0.875), "center", "lanczos", NOISE)
def test_photos_of_any_size_are_preprocessed_as_by_timm(width, height, network, mode, interpolation, content):
    if max(width, height) > 80 * min(width, height):
        width = height
    image = content.crop((0, 0, width, height))
    expected = timms(*network, mode, interpolation)(image).permute(1, 2, 0).numpy()
    size, crop_pct = network
    ours = Preprocessing(size, crop_pct, Image.Resampling[interpolation.upper()], squash=mode == "squash")
    assert apart(ours(image), expected) == 0


@pytest.mark.slow
def test_a_photo_of_many_megapixels_is_preprocessed_as_by_timm():
    image = NOISE.resize((2600, 1950), Image.Resampling.BILINEAR)
    for photo in (image, image.transpose(Image.Transpose.ROTATE_90)):
        expected = timms(224, 0.875, "center", "bicubic")(photo).permute(1, 2, 0).numpy()
        assert apart(Preprocessing()(photo), expected) == 0


def test_preprocessing_leaves_a_photo_of_the_right_size_alone(photo):
    square = photo.resize((64, 64))
    assert apart(Preprocessing(64, 1.0)(square), square) == 0


def test_a_photo_too_narrow_to_be_resized_is_refused():
    line = Image.new("RGB", (1, 9_000_000))  # 9 kB as a PNG, and 256 x 2,304,000,000 pixels after resizing.
    try:
        assert Preprocessing()(line).size == (224, 224)
    except UnreadableImage as error:
        check_reason(str(error))
