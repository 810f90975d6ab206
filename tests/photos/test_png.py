"""PNG: a fault in what does not count loses no picture, and what is transparent is what the file says."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import SRGB, apart, check_reason, decoded, pixels, refusal
from PIL import Image, PngImagePlugin
from ways import colour, deep, encoded, grey, png, png_chunk, shallow

from afdcli.errors import UnreadableImage
from afdcli.photos.rgb import ORIENTATION

WORDS = "a cat on a mat, 35 steps, seed 1 | " * 60_000


def broken(kind, body):
    """A chunk whose checksum is wrong."""
    return png_chunk(kind, body)[:-4] + bytes(4)


@pytest.mark.parametrize("make", [png_chunk, broken])
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"tEXt", b"Title\0hi"), (b"gAMA", b"\0"), (b"cHRM", b"\0" * 5), (b"pHYs", b"\0"), (b"sRGB", b""),
        (b"tRNS", b"\0"),
        (b"iCCP", b"name\0\0rubbish"), (b"iCCP", b""), (b"zTXt", b"Title\0\0rubbish"),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0?"),
        (b"acTL", b"\0"), (b"fcTL", b"\0"), (b"eXIf", b"II"), (b"zTXt", b"Raw profile type exif\0\0?"), (b"teSt", b""),
    ],
)  # fmt: skip
def test_a_fault_in_a_chunk_that_does_not_count_does_no_harm(make, kind, body):
    assert apart(pixels(png(deep(grey(), 8), 8, 0, make(kind, body)), icc="apply"), shallow(grey(), 8)) == 0


def test_so_it_is_behind_the_pixels():
    data = png(deep(colour(), 8), 8, 2)
    place = data.rindex(b"IEND") - 4
    assert apart(pixels(data[:place] + broken(b"tEXt", b"Title\0hi") + data[place:]), colour()) == 0


@pytest.mark.parametrize("kind", [b"IHDR", b"IDAT"])
def test_a_fault_in_what_counts_is_refused(kind):
    data = bytearray(png(deep(colour(), 8), 8, 2))
    data[data.index(kind) + 10] ^= 0x55
    refusal(bytes(data))


@pytest.mark.slow
def test_text_and_profiles_of_any_length_are_passed_over():
    for number, add in enumerate(
        (
            lambda info: info.add_text("parameters", WORDS, zip=True),
            lambda info: info.add_itxt("workflow", WORDS, zip=True),
            lambda info: [info.add_text(f"part {part}", WORDS, zip=True) for part in range(40)],
        )
    ):
        info = PngImagePlugin.PngInfo()
        add(info)
        assert apart(pixels(encoded(colour(), "PNG", pnginfo=info)), colour()) == 0, number


def test_a_long_profile_counts():
    linear = SRGB.replace(b"rXYZ", b"????").replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")
    longer = struct.pack(">I", 2_000_000) + linear[4:].ljust(1_999_996, b"\0")
    chunk = png_chunk(b"iCCP", b"long\0\0" + zlib.compress(longer))
    short = png_chunk(b"iCCP", b"short\0\0" + zlib.compress(linear))
    plain, by_long, by_short = (
        pixels(png(deep(colour(), 8), 8, 2, *one), icc="apply") for one in ((), (chunk,), (short,))
    )
    assert apart(by_long, by_short) == 0
    assert apart(by_long, plain) > 50


def test_what_turns_a_photo_is_kept():
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    assert decoded(encoded(colour(), "PNG", exif=exif)).image.size == (64, 128)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_of_a_transparent_grey_as_many_bits_count_as_a_sample_has(bits):
    samples = deep(grey(), bits)
    key = int(samples[0, 40])
    stray = key | (0x4000 if bits < 16 else 0)
    shown = pixels(png(samples, bits, 0, png_chunk(b"tRNS", struct.pack(">H", stray))))
    assert apart(shown, np.where((samples == key)[..., None], 255, shallow(samples, bits))) <= 1


def test_of_16_bits_all_count():
    samples = np.array([[[256, 512, 768], [256, 512, 769], [257, 512, 768], [1, 2, 3]]])
    shown = pixels(png(samples, 16, 2, png_chunk(b"tRNS", struct.pack(">3H", 256, 512, 768))))
    assert shown[0].tolist() == [[255, 255, 255], [1, 2, 3], [1, 2, 3], [0, 0, 0]]


@pytest.mark.slow
@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(8, 400), st.integers(0, 255)), max_size=6), st.integers(8, 5000))
def test_a_damaged_png_is_read_or_refused(changes, kept):
    data = bytearray(png(deep(colour(), 16), 16, 2, png_chunk(b"tRNS", bytes(6)), png_chunk(b"eXIf", b"II*\0")))
    for place, value in changes:
        data[place] = value
    try:
        decoded(bytes(data[:kept]), max_pixels=1_000_000)
    except UnreadableImage as error:
        check_reason(str(error))
