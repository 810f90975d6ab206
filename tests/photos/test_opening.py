"""A file that is not read is called what it is: cut off, of a kind that is not supported, too large, or damaged."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import apart, pixels, refusal
from PIL import Image
from ways import WIDTH, Way, colour, deep, encoded, grey, samples_in_tiff, tiff
from ways_encoded import all_ways, bmp, bmp_rows, gifs

from afdcli.photos import cut, opening

WEBP_INSIDE = {258: [8] * 3, 259: [50001], 262: [2], 277: [3]}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (tiff([encoded(colour(), "WEBP")], {tag: ("H", value) for tag, value in WEBP_INSIDE.items()}),
         "TIFF with WebP in it, which is not supported"),
        (bmp(encoded(colour(), "JPEG"), 0, 4), "BMP with a JPEG in it, which is not supported"),
        (bmp(encoded(colour(), "PNG"), 0, 5), "BMP with a PNG in it, which is not supported"),
        (bmp(bmp_rows(deep(grey(), 12), 16), 16, 3, (0xF00, 0xF0, 0xF)), "bit fields of this kind"),
        (samples_in_tiff(deep(grey(), 8), 8, 1, tags={339: [2]}), "signed samples"),
        (samples_in_tiff(deep(grey(), 16), 16, 1, tags={339: [3]}), "floating-point"),
        (samples_in_tiff(deep(grey(), 16), 16, 32803), "a camera's raw pixels"),
        (samples_in_tiff(deep(colour(), 16), 16, 8), "Lab colours"),
        (b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\nabc", "a PAM, which is not supported"),
        (b"%PDF-1.7 and so on", "a PDF, which is not supported"),
        (b"8BPS" + bytes(40), "a Photoshop document"),
        (b"\0\0\0\x18ftypisom" + bytes(12) + b"\0\0\0\x08moov", "a video"),
        (b"no photo at all, but words", "not an image"),
    ],
)  # fmt: skip
def test_what_is_whole_is_called_what_it_is(data, words):
    reason = refusal(data)
    assert words in reason
    assert "truncated" not in reason
    assert "cut off" not in reason


@pytest.mark.parametrize("format", ["PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM", "JPEG"])
@pytest.mark.parametrize("length", [12, 20, 40])
def test_what_is_cut_off_at_its_beginning_is_called_truncated(format, length):
    assert "truncated" in refusal(encoded(colour(), format)[:length])


@pytest.mark.slow
def test_a_whole_file_does_not_end_early():
    assert [way.name for way in all_ways() if cut.ends_early(way.data)] == []


@pytest.mark.slow
@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.deferred(lambda: st.sampled_from([way.data for way in all_ways()[::9]])),
    st.integers(0, 60),
    st.binary(max_size=8),
    st.integers(0, 9000),
)
def test_nothing_that_is_damaged_is_too_much_for_the_words(data, place, body, kept):
    damaged = (data[:place] + body + data[place + len(body) :])[:kept]
    assert opening.unidentified(damaged)
    opening.undecoded(damaged)


def test_more_pixels_than_allowed_are_refused_before_they_are_unpacked():
    chunk = zlib.compress(bytes(100))
    tags = {258: ("H", [12]), 259: ("H", [8]), 262: ("H", [1]), 277: ("H", [1])}
    data = tiff([chunk], tags).replace(
        struct.pack("<HHII", 256, 4, 1, WIDTH), struct.pack("<HHII", 256, 4, 1, 60_000_000)
    )
    assert "--max-pixels" in refusal(data)


def test_an_image_that_somebody_opened_with_pillow_is_corrected_too(tmp_path):
    from afdcli.options import ReadOptions
    from afdcli.photos.reading import photo_of

    smaller: Way = next(way for way in gifs() if "smaller" in way.writing)
    (tmp_path / "a.gif").write_bytes(smaller.data)
    with Image.open(tmp_path / "a.gif") as image:
        assert apart(photo_of(image, ReadOptions()).image, smaller.right) == 0


def test_copies_are_made_of_the_right_pixels(tmp_path):
    from afdcli import Degradation, DegradeOptions, Degrading
    from afdcli.options import Compression

    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.tif").write_bytes(samples_in_tiff(deep(grey(), 12), 12, 0))
    once = Degradation(((Compression("jpeg", 100),),))
    list(Degrading(DegradeOptions(tmp_path / "in", tmp_path / "out", (once,), workers=0)).copies())
    (copy,) = tmp_path.rglob("*.jpg")
    assert np.abs(pixels(copy.read_bytes()).astype(int) - (255 - grey())[..., None]).mean() < 2


def test_ycbcr_without_compression_is_read_at_half_the_resolution_and_at_the_whole():
    y, blue, red = (np.asarray(band) for band in Image.fromarray(colour()).convert("YCbCr").split())
    units = np.empty((32, 64, 6), np.uint8)  # four of Y, then one of each colour: TIFF 6.0, section 21
    units[..., :4] = y.reshape(32, 2, 64, 2).transpose(0, 2, 1, 3).reshape(32, 64, 4)
    units[..., 4], units[..., 5] = blue[::2, ::2], red[::2, ::2]
    tags = {258: [8] * 3, 259: [1], 262: [6], 277: [3], 278: [64]}
    half = tiff([units.tobytes()], {tag: ("H", value) for tag, value in {**tags, 530: [2, 2]}.items()})
    whole = tiff(
        [np.dstack((y, blue, red)).tobytes()], {tag: ("H", value) for tag, value in {**tags, 530: [1, 1]}.items()}
    )
    assert np.abs(pixels(half).astype(int) - colour()).mean() < 3
    assert apart(pixels(whole), colour()) <= 3
