"""HEIC and AVIF: what their decoders do not look at is looked at, and nothing that is right is refused for it."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import apart, decoded, oriented, pixels, refusal
from PIL import Image
from ways import colour, encoded
from ways_encoded import pillow_heif

from afdcli.errors import UnreadableImage
from afdcli.photos import heif
from afdcli.photos.boxes import Item, boxes, find

AVIF = {"quality": 95, "subsampling": "4:4:4", "max_threads": 1, "speed": 9}
TILES = encoded(colour(), "HEIF", quality=95, tile_size=64)
assert pillow_heif


def with_property(data, kind, body):
    """An AVIF of one picture of which something more is said."""
    meta = find(data, b"meta")
    iprp = find(data, b"iprp", meta, 4)
    ipco, ipma = find(data, b"ipco", iprp), find(data, b"ipma", iprp)
    number = len(list(boxes(data, ipco.begin, ipco.end))) + 1
    added = struct.pack(">I4s", 8 + len(body), kind) + body
    changed = bytearray(data)
    for box, more in ((meta, len(added) + 1), (iprp, len(added) + 1), (ipco, len(added)), (ipma, 1)):
        changed[box.begin - 8 : box.begin - 4] = struct.pack(">I", box.end - box.begin + 8 + more)
    changed[ipma.begin + 10] += 1  # how many are said of it
    changed[ipma.begin + 11 : ipma.begin + 11] = bytes([0x80 | number])  # essential, and the first to be applied
    changed[ipco.end : ipco.end] = added
    place = struct.pack(">I", find(data, b"mdat").begin)
    iloc = find(data, b"iloc", meta, 4)
    moved = bytes(changed[iloc.begin : iloc.end]).replace(place, struct.pack(">I", find(changed, b"mdat").begin))
    changed[iloc.begin : iloc.end] = moved
    return bytes(changed)


def clap(width, height, right, down):
    """A clean aperture: its size, and how far its middle is from the picture's, each a numerator and a denominator."""
    return struct.pack(">8i", *width, *height, *right, *down)


@pytest.mark.parametrize("tenths", range(1, 10))
@pytest.mark.parametrize("format", ["HEIF", "AVIF"])
def test_a_picture_that_is_cut_off_is_truncated(format, tenths):
    data = TILES if format == "HEIF" else encoded(colour(), "AVIF", **AVIF)
    assert "truncated" in refusal(data[: len(data) * tenths // 10])


def test_a_whole_picture_of_tiles_is_read():
    assert np.abs(pixels(TILES).astype(int) - colour()).mean() < 6


@pytest.mark.parametrize("value", [0, 255])
def test_a_tile_that_is_not_made_of_whole_units_is_refused(value):
    begin = find(TILES, b"mdat").begin
    middle = begin + (len(TILES) - begin) // 2
    refusal(TILES[: begin + 50] + bytes([value]) * (middle - begin) + TILES[middle + 50 :])


def test_zeros_behind_the_last_unit_do_no_harm():
    units = b"\0\0\0\3abc\0\0\0\1d"
    for data, whole in ((units, True), (units + bytes(9), True), (units + b"\0\0\0\2e", False), (bytes(9), False)):
        assert heif._whole_units(data, Item(b"hvc1", [(0, len(data))])) is whole


@pytest.mark.parametrize(
    ("said", "box"),
    [
        (clap((64, 1), (32, 1), (0, 1), (0, 1)), (32, 16, 96, 48)),
        (clap((64, 1), (32, 1), (-32, 1), (16, 1)), (0, 32, 64, 64)),
        (clap((200, 4), (20, 1), (3, 1), (0, 1)), (42, 22, 92, 42)),
    ],
)
def test_the_clean_aperture_of_an_avif_is_what_is_shown(said, box):
    data = encoded(colour(), "AVIF", **AVIF)
    whole = Image.fromarray(pixels(data))
    assert apart(pixels(with_property(data, b"clap", said)), whole.crop(box)) == 0


def test_it_is_applied_before_the_turn():
    data = oriented(Image.fromarray(colour()), "AVIF", 6, **AVIF)
    whole = Image.fromarray(pixels(encoded(colour(), "AVIF", **AVIF)))
    cropped = with_property(data, b"clap", clap((64, 1), (32, 1), (-32, 1), (16, 1)))
    assert apart(pixels(cropped), whole.crop((0, 32, 64, 64)).transpose(Image.Transpose.ROTATE_270)) == 0


@pytest.mark.parametrize("said", [bytes(32), clap((500, 1), (5, 1), (0, 1), (0, 1))])
def test_an_aperture_that_cannot_be_is_none(said):
    data = encoded(colour(), "AVIF", **AVIF)
    assert apart(pixels(with_property(data, b"clap", said)), pixels(data)) == 0


def test_an_avif_that_is_too_large_is_called_so():
    wide = np.tile(colour()[:16], (1, 300, 1))[:, :33_000]
    assert "too large" in refusal(encoded(wide, "AVIF", quality=50, speed=10, max_threads=1))


@pytest.mark.slow
@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), max_size=6), st.integers(0, len(TILES)))
def test_boxes_that_are_damaged_are_left_to_the_decoder(changes, kept):
    data = bytearray(TILES)
    for place, value in changes:
        data[place] = value
    try:
        heif.check_whole(bytes(data[:kept]))
    except UnreadableImage:
        return
    heif.clean_aperture(bytes(data[:kept]))
    heif.too_large(bytes(data[:kept]))


def test_exif_and_xmp_turn_neither_heic_nor_avif_nor_jpeg_xl():
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
    )
    for format, how in (("AVIF", AVIF), ("JXL", {"lossless": True})):
        assert decoded(encoded(colour(), format, xmp=xmp, **how)).image.size == (128, 64)
