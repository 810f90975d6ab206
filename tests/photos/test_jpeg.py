"""JPEGs have the pixels that Pillow gives, and say what they have lost."""

import io
import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pictures import apart, decoded, opened, pixels, refusal, saved
from PIL import Image

from afdcli.options import ReadOptions
from afdcli.photos.reading import decode_rgb

EOI = b"\xff\xd9"
NOISE = Image.fromarray(np.random.default_rng(1).integers(0, 256, (90, 90, 3), dtype=np.uint8))


def starts(data, markers):
    """Where each of these markers is."""
    return [found.start() for found in re.finditer(rb"\xff[" + markers + rb"]", data)]


def scan_of(data):
    """Where the data of the first scan begin."""
    start = starts(data, rb"\xda")[0]
    return start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")


def segment(marker, content):
    return bytes((0xFF, marker)) + (2 + len(content)).to_bytes(2, "big") + content


def after_start(data, inserted):
    return data[:2] + inserted + data[2:]


@pytest.fixture
def large(photo):
    return photo.resize((480, 360))


# Whole pictures.

WAYS = [
    {},
    {"quality": 5},
    {"quality": 100, "subsampling": 0},
    {"subsampling": 1},
    {"progressive": True},
    {"optimize": True},
    {"restart_marker_rows": 1},
    {"restart_marker_blocks": 3, "progressive": True},
    {"keep_rgb": True},
]


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    way=st.sampled_from(WAYS),
    mode=st.sampled_from(["RGB", "RGB", "L", "CMYK"]),
)
@example((1, 1), {}, "RGB")
@example((8, 1), {}, "L")
def test_the_pixels_are_pillows(size, way, mode):
    image = NOISE.crop((0, 0, *size)).convert(mode)
    if mode != "RGB":
        way = {name: value for name, value in way.items() if name != "keep_rgb"}
    data = saved(image, **way)
    read = decoded(data)
    assert apart(read.image, opened(data).convert("RGB")) == 0
    assert (read.complete, read.present, read.format) == (True, 100.0, "JPEG")


def two_scans(photo):
    """A baseline JPEG of which each colour has a scan of its own, put together from three grey ones."""
    greys = [saved(part) for part in photo.convert("YCbCr").split()]
    scans = []
    for number, grey in enumerate(greys, start=1):
        start = starts(grey, rb"\xda")[0]
        scans.append(grey[start:-2].replace(b"\xff\xda\0\x08\1\1", bytes((0xFF, 0xDA, 0, 8, 1, number)), 1))
    start, frame = starts(greys[0], rb"\xda")[0], starts(greys[0], rb"\xc0")[0]
    head = greys[0][:start]
    three = head[frame : frame + 9] + b"\3" + b"".join(bytes((number, 0x11, 0)) for number in (1, 2, 3))
    three = three[:2] + (17).to_bytes(2, "big") + three[4:]
    return [head[:frame] + three + head[frame + 13 :], *scans]


def test_a_jpeg_with_a_scan_for_each_colour_is_whole_only_with_all_of_them(photo):
    parts = two_scans(photo)
    whole = b"".join(parts) + EOI
    assert apart(pixels(whole), opened(whole)) == 0
    assert "truncated" in refusal(b"".join(parts[:-1]) + EOI)


# Oddities that no pixel depends on.

ODDITIES = {
    "no end marker": lambda data: data[:-2],
    "half an end marker": lambda data: data[:-1],
    "no end marker, then zeros": lambda data: data[:-2] + bytes(500),
    "bytes after the end": lambda data: data + b"hello" * 100,
    "another picture after the end": lambda data: data + saved(NOISE),
    "zeros before the end": lambda data: data[:-2] + bytes(300) + EOI,
    "filling before the end": lambda data: data[:-2] + b"\xff" * 30 + EOI,
    "an unknown version of JFIF": lambda data: data.replace(b"JFIF\0\1", b"JFIF\0\7"),
    "an unknown transform of Adobe's": lambda data: after_start(data, segment(0xEE, b"Adobe\0\x64\0\0\0\0\x07")),
    "the same, without JFIF": lambda data: b"\xff\xd8" + segment(0xEE, b"Adobe\0\x64\0\0\0\0\x07") + data[20:],
    "rubbish between segments": lambda data: data[:20] + b"\0\1\2" + data[20:],
    "a profile of which a part is missing": lambda data: after_start(
        data, segment(0xE2, b"ICC_PROFILE\0\2\3" + bytes(40))
    ),
    "EXIF before JFIF": lambda data: after_start(data, segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0")),
    "a damaged EXIF": lambda data: after_start(data, segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\x7f")),
    "a thumbnail, cut off": lambda data: after_start(data, segment(0xE1, b"Exif\0\0" + saved(NOISE)[:900])),
    "other scan parameters than there are": lambda data: data.replace(b"\0\x3f\0", b"\0\0\0", 1),
}


@pytest.mark.parametrize("oddity", ODDITIES)
def test_a_picture_that_is_whole_is_read(large, oddity):
    data = saved(large, quality=90)
    odd = ODDITIES[oddity](data)
    assert odd != data
    read = decoded(odd)
    assert apart(read.image, pixels(data)) == 0
    assert (read.complete, read.present) == (True, 100.0)


@pytest.mark.slow
def test_flat_places_may_be_coded_in_zeros():
    flat = Image.new("RGB", (900, 900), "white")
    flat.paste(NOISE, (30, 30))
    for way in WAYS:
        data = saved(flat, **way)
        assert apart(pixels(data), opened(data)) == 0
    assert bytes(32) in saved(flat, optimize=True)


# Pictures that have lost data.


def half(data):
    start = scan_of(data)
    return data[: start + (len(data) - start) // 2]


def with_zeros(data, count, share=0.4):
    start = scan_of(data)
    start += int(share * (len(data) - start))
    return data[:start] + bytes(count) + data[start + count :]


def spliced(data, other):
    start = scan_of(data) + 4000
    return data[:start] + other[scan_of(other) + 4000 :]


def of_another(data):
    return saved(opened(data).transpose(Image.Transpose.ROTATE_180), quality=90)


LOSSES = {
    "the second half": half,
    "the second half, with an end marker": lambda data: half(data) + EOI,
    "the same, and a second picture": lambda data: half(data) + EOI + saved(NOISE),
    "all but the head": lambda data: data[: scan_of(data) + 2] + EOI,
    "a piece in the middle": lambda data: data[: scan_of(data) + 3000] + data[scan_of(data) + 5000 :],
    "a cluster, now zeros": lambda data: with_zeros(data, 512),
    "a few bytes, now zeros": lambda data: with_zeros(data, 64, 0.7),
    "a large cluster, now zeros": lambda data: with_zeros(data, 4096),
    "its end, now zeros": lambda data: data[:-700] + bytes(700),
    "its end, now zeros, with an end marker": lambda data: data[:-700] + bytes(698) + EOI,
    "a place in its code, and so some bytes are left over": lambda data: data[:-2] + bytes(range(1, 13)) + EOI,
    "the same, and equal ones": lambda data: data[:-2] + b"\x5a" * 14 + EOI,
    "a half, now another's": lambda data: spliced(data, of_another(data)),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_picture_that_has_lost_data_is_refused_or_read_as_far_as_it_goes(large, loss, mode):
    whole = saved(large.convert(mode), quality=90)
    data = LOSSES[loss](whole)
    assert re.match("truncated: |damaged image: ", refusal(data))
    read = decoded(data, truncated="read")
    assert not read.complete
    assert read.image.size == large.size
    assert (read.quality, read.image.mode) == (90, "RGB")


RESTARTS = {
    "a marker with another number": lambda data, at: data[: at[3] + 1] + b"\xd7" + data[at[3] + 2 :],
    "a marker missing": lambda data, at: data[: at[3]] + data[at[3] + 2 :],
    "a marker of zeros": lambda data, at: data[: at[3]] + b"\0\0" + data[at[3] + 2 :],
    "a part missing": lambda data, at: data[: at[3]] + data[at[4] :],
    "a part twice": lambda data, at: data[: at[4]] + data[at[3] :],
    "as many parts missing as there are numbers": lambda data, at: data[: at[3]] + data[at[11] :],
}


@pytest.mark.parametrize("loss", RESTARTS)
def test_restart_markers_in_disorder_are_seen(large, loss):
    data = saved(large, restart_marker_rows=1)
    damaged = RESTARTS[loss](data, starts(data, rb"\xd0-\xd7"))
    assert "damaged" in refusal(damaged)
    assert not decoded(damaged, truncated="read").complete


@pytest.mark.parametrize("scans", range(1, 10))
@pytest.mark.parametrize("end", [b"", EOI])
def test_a_progressive_picture_is_whole_only_with_its_last_scan(large, scans, end):
    data = saved(large, progressive=True)
    at = starts(data, rb"\xda")
    assert len(at) == 10
    assert "truncated" in refusal(data[: at[scans]] + end)
    assert not decoded(data[: at[scans]] + end, truncated="read").complete


def test_what_is_there_is_told_and_is_what_it_was(large):
    whole = saved(large, quality=90, subsampling=0)
    before = pixels(whole)
    for share in (0.25, 0.5, 0.75):
        read = decoded(whole[: int(share * len(whole))], truncated="read")
        rows = round(read.present / 100 * 360)
        assert abs(read.present - 100 * share) < 15
        assert apart(np.asarray(read.image)[: rows - 8], before[: rows - 8]) == 0
        assert (np.asarray(read.image)[rows:] == 128).all()


def test_a_picture_of_many_megapixels_that_has_lost_data_is_seen_at_a_fraction_too(large):
    data = saved(large.resize((1200, 900)))
    assert decode_rgb(data, ReadOptions(), 100).image.size == (300, 225)
    with pytest.raises(Exception, match="truncated"):
        decode_rgb(half(data) + EOI, ReadOptions(), 100)
    read = decode_rgb(half(data) + EOI, ReadOptions(truncated="read"), 100)
    assert (read.complete, read.image.size, read.size) == (False, (300, 225), (1200, 900))


# Kinds that few programs read.


def with_frame(data, kind=0xC0, bits=8):
    start = starts(data, rb"\xc0")[0]
    return data[:start] + bytes((0xFF, kind)) + data[start + 2 : start + 4] + bytes((bits,)) + data[start + 5 :]


@pytest.mark.parametrize(
    ("kind", "bits", "words"),
    [
        (0xC1, 12, "a JPEG of 12 bits a sample"),
        (0xC3, 16, "a lossless JPEG of 16 bits a sample"),
        (0xC5, 8, "a hierarchical JPEG"),
        (0xCB, 8, "an arithmetic-coded JPEG"),
    ],
)
def test_a_kind_that_is_not_read_is_named(photo, kind, bits, words):
    assert refusal(with_frame(saved(photo), kind, bits)).startswith(words)


def lossless(grey):
    """A lossless JPEG (ITU-T T.81, annex H) of 8 bits, each sample predicted by the one to its left."""
    height, width = grey.shape
    left = np.concatenate([np.full((height, 1), 128), grey[:, :-1]], axis=1).astype(int)
    left[1:, 0] = grey[:-1, 0]  # Each row begins with what is above.
    codes = []
    for difference in (grey.astype(int) - left).ravel():
        size = int(abs(difference)).bit_length()
        codes.append(f"{size:04b}")  # The code of each size is its own number, in four bits.
        if size:
            codes.append(f"{difference if difference > 0 else difference + (1 << size) - 1:0{size}b}")
    bits = "".join(codes)
    bits += "1" * (-len(bits) % 8)
    scan = bytes(int(bits[place : place + 8], 2) for place in range(0, len(bits), 8)).replace(b"\xff", b"\xff\0")
    frame = b"\x08" + height.to_bytes(2, "big") + width.to_bytes(2, "big") + b"\1\1\x11\0"
    table = b"\0" + bytes((0, 0, 0, 9)) + bytes(12) + bytes(range(9))
    parts = segment(0xC3, frame), segment(0xC4, table), segment(0xDA, b"\1\1\0\1\0\0"), scan
    return b"\xff\xd8" + b"".join(parts) + EOI


def test_a_lossless_jpeg_is_read_and_has_no_quality(photo):
    grey = np.asarray(photo.convert("L"))
    read = decoded(lossless(grey))
    assert (read.quality, read.quality_exact, read.complete) == (None, None, True)
    assert apart(read.image, np.stack([grey] * 3, axis=2)) == 0


def test_a_picture_that_somebody_opened_with_pillow_is_left_to_it(photo):
    from afdcli.photos.reading import photo_of

    data = saved(photo, quality=83)
    read = photo_of(Image.open(io.BytesIO(data)), ReadOptions())
    assert (read.quality, apart(read.image, opened(data))) == (83, 0)
