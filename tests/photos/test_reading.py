"""One decode policy: whatever the bytes are, out come RGB pixels or one sentence on why not."""

import io
import os
import re
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import (
    BLACK,
    BLUE,
    CAMERA,
    RED,
    SRGB,
    apart,
    check_reason,
    colour,
    decoded,
    oriented,
    pixels,
    refusal,
    saved,
)
from PIL import Image, ImageOps

from afdcli.errors import UnreadableImage
from afdcli.options import ReadOptions
from afdcli.photos import reading
from afdcli.photos.reading import decode_rgb, read_rgb


def refused_file(path):
    """Why the file at `path` is refused."""
    with pytest.raises(UnreadableImage) as error:
        read_rgb(str(path), ReadOptions())
    check_reason(str(error.value))
    return str(error.value)


# Whole files.

LOSSLESS = [("PNG", {}), ("WEBP", {"lossless": True}), ("BMP", {}), ("PPM", {}), ("TIFF", {})]
LOSSLESS += [("TIFF", {"compression": compression}) for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits")]
LOSSY = [("JPEG", {}), ("JPEG", {"progressive": True}), ("WEBP", {}), ("AVIF", {}), ("TIFF", {"compression": "jpeg"})]
KINDS = [*LOSSLESS, *LOSSY, ("GIF", {})]


@pytest.mark.parametrize(("kind", "options"), LOSSLESS)
def test_lossless_files_give_the_pixels_saved(photo, kind, options):
    assert apart(pixels(saved(photo, kind, **options)), photo) == 0


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_files_give_what_pillow_reads(photo, kind, options):
    data = saved(photo, kind, **options)
    assert apart(pixels(data), Image.open(io.BytesIO(data)).convert("RGB")) == 0
    assert decoded(data).format == kind


def test_files_are_read_from_their_path(photos):
    for path in photos.rglob("*.*"):
        assert apart(read_rgb(str(path), ReadOptions()).image, Image.open(path).convert("RGB")) == 0


@pytest.mark.parametrize("name", ["a.jpg", "a", "a.txt", "a.gif"])
def test_the_format_is_that_of_the_bytes_not_of_the_ending(tmp_path, photo, name):
    (tmp_path / name).write_bytes(saved(photo, "PNG"))
    read = read_rgb(str(tmp_path / name), ReadOptions())
    assert (read.format, read.quality) == ("PNG", None)
    assert apart(read.image, photo) == 0


@pytest.mark.parametrize("quality", [1, 10, 50, 75, 95, 100])
def test_the_quality_of_a_jpeg_is_read(photo, quality):
    read = decoded(saved(photo, "JPEG", quality=quality))
    assert (read.quality, read.quality_exact) == (quality, True)


def test_the_quality_of_tables_of_its_own_is_near_only(photo):
    read = decoded(saved(photo, "JPEG", quality="web_low"))
    assert read.quality_exact is False
    assert 1 <= read.quality <= 100


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM"])
def test_other_formats_have_no_jpeg_quality(photo, kind):
    read = decoded(saved(photo, kind))
    assert (read.quality, read.quality_exact) == (None, None)


def test_a_phones_multi_picture_file_is_a_jpeg_and_its_first_picture_counts(photo):
    data = saved(photo, "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))], quality=83)
    assert Image.open(io.BytesIO(data)).format == "MPO"
    read = decoded(data)
    assert (read.format, read.quality, read.quality_exact) == ("JPEG", 83, True)
    assert apart(read.image, pixels(saved(photo, "JPEG", quality=83))) == 0


# Files that end early, are damaged, or are something else.


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_a_file_cut_anywhere_is_refused_or_loses_nothing(photo, kind, options):
    data = saved(photo.resize((40, 30)), kind, **options)
    whole = pixels(data)
    for length in range(1, len(data), 7):
        try:
            assert apart(pixels(data[:length]), whole) == 0
            assert length > len(data) - 30  # At most the mark at the end was lost.
        except UnreadableImage as error:
            check_reason(str(error))


@pytest.mark.parametrize(("kind", "options"), [*LOSSY[:4], ("PNG", {})])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_truncated_photos_are_refused(photo, kind, options, share):
    data = saved(photo, kind, **options)
    refusal(data[: int(len(data) * share)])


@pytest.mark.parametrize("size", [10**11, 2**40])
def test_a_file_larger_than_memory_is_refused_unread(tmp_path, size, monkeypatch):
    with (tmp_path / "huge.jpg").open("wb") as file:
        try:
            file.truncate(size)
        except OSError:
            pytest.skip("no such file can be made here")
    monkeypatch.setattr(reading, "most_memory", lambda: 10**10)
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("it was read"))
    assert re.fullmatch(r"too large: [\d,.]+ GB, and there is memory for 10\.0 GB", refused_file(tmp_path / "huge.jpg"))


def test_where_memory_ends_while_a_file_is_read_it_is_refused(tmp_path, monkeypatch):
    def refuse(_):
        raise MemoryError

    (tmp_path / "a.jpg").write_bytes(b"x")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert refused_file(tmp_path / "a.jpg") == "not enough memory to read it"


def test_several_threads_may_lift_pillows_limit_at_a_time():
    limit, inside, may_go = Image.MAX_IMAGE_PIXELS, threading.Barrier(2), threading.Event()

    def stay():
        with reading.unhampered_pillow():
            inside.wait(10)
            may_go.wait(10)
            assert Image.MAX_IMAGE_PIXELS is None

    thread = threading.Thread(target=stay)
    with reading.unhampered_pillow():
        thread.start()
        inside.wait(10)
    assert Image.MAX_IMAGE_PIXELS is None
    may_go.set()
    thread.join()
    assert limit == Image.MAX_IMAGE_PIXELS


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "x.jpg").touch()
    assert refused_file(tmp_path / "x.jpg") == "the file is empty"


@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.webp", "x.avif", "x.tif"])
def test_random_bytes_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(np.random.default_rng(0).bytes(5000))
    assert "not an image" in refused_file(tmp_path / name)


@pytest.mark.parametrize(
    "data", [b"no photo\n", b"<svg/>", b"%PDF-1.7", b"{}", b"\0", b"\xff\xd8\xff", b"GIF89a", b"P6"]
)
def test_other_files_are_refused(data):
    refusal(data)


def test_a_rare_format_that_pillow_could_read_is_refused(photo):
    for kind in ("TGA", "PCX", "ICO", "EPS", "SGI"):
        refusal(saved(photo, kind))


def test_a_damaged_chunk_inside_a_png_is_told_in_words(photo):
    data = bytearray(saved(photo, "PNG"))
    start = data.index(b"IDAT") - 4
    data[start : start + 4] = struct.pack(">I", 1000)  # The next chunk begins amid the pixels.
    refusal(bytes(data))


@pytest.mark.parametrize("header", [b"P6 1\xff2 9 255\n", b"P6 x 9 255\n", b"P6 99999999999999 9 255\n", b"P5 9 9 0\n"])
def test_a_damaged_header_of_a_ppm_is_told_in_words(header):
    refusal(header + b"\0" * 999)


def test_a_missing_file_is_told_from_a_broken_link(tmp_path):
    (tmp_path / "gone.jpg").symlink_to("nowhere")
    assert refused_file(tmp_path / "missing.jpg") == "no such file"
    assert refused_file(tmp_path / "gone.jpg") == "broken symbolic link"


def test_a_link_to_itself_is_refused(tmp_path):
    (tmp_path / "x.jpg").symlink_to("x.jpg")
    assert refused_file(tmp_path / "x.jpg") == "symbolic link that leads back to itself"


def test_a_folder_is_refused(tmp_path):
    (tmp_path / "x.jpg").mkdir()
    assert refused_file(tmp_path / "x.jpg") == "a folder, not a file"


def test_a_named_pipe_is_refused_without_waiting_for_a_writer(tmp_path):
    os.mkfifo(tmp_path / "x.jpg")
    assert refused_file(tmp_path / "x.jpg") == "not a regular file"


def test_a_file_without_permission_is_refused(tmp_path, monkeypatch, unprivileged):
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o755)
    Path("x.jpg").write_bytes(b"x")
    Path("x.jpg").chmod(0)
    with unprivileged():
        assert refused_file("x.jpg") == "no permission to read it"


def test_a_path_through_a_file_or_too_long_is_refused(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"x")
    refused_file(tmp_path / "x.jpg" / "y.jpg")
    refused_file(tmp_path / ("x" * 300))


# Mutations. A valid file of each format, and what befell it: bytes set, the end cut off.

SMALL = Image.fromarray(np.random.default_rng(3).integers(0, 256, (18, 24, 3), dtype=np.uint8))
VALID = {
    "jpeg": saved(SMALL, "JPEG", exif=CAMERA, icc_profile=SRGB),
    "mpo": saved(SMALL, "MPO", save_all=True, append_images=[SMALL]),
    "png": saved(SMALL, "PNG", exif=CAMERA),
    "palette": saved(SMALL.quantize(9), "PNG", transparency=2),
    "webp": saved(SMALL, "WEBP", exif=CAMERA),
    "avif": saved(SMALL, "AVIF", exif=CAMERA),
    "gif": saved(SMALL, "GIF", save_all=True, append_images=[SMALL.rotate(90)]),
    "bmp": saved(SMALL, "BMP"),
    "ppm": saved(SMALL, "PPM"),
    "tiff": saved(SMALL, "TIFF"),
    "tiff-lzw": saved(SMALL, "TIFF", compression="tiff_lzw"),
    "tiff-jpeg": saved(SMALL, "TIFF", compression="jpeg"),
}
POSITIONS = st.one_of(st.integers(0, 99), st.integers(0, 9999))  # Headers are where most can go wrong.
BYTES = st.one_of(st.sampled_from([0, 1, 127, 128, 255]), st.integers(0, 255))


@pytest.mark.slow
@pytest.mark.parametrize("name", VALID)
@settings(max_examples=120, deadline=None, derandomize=True)
@given(changes=st.lists(st.tuples(POSITIONS, BYTES), max_size=8), kept=st.one_of(st.just(9999), POSITIONS))
def test_mutated_files_decode_or_are_refused_and_nothing_else(name, changes, kept):
    data = bytearray(VALID[name])
    for position, value in changes:
        data[position % len(data)] = value
    try:
        image = decoded(bytes(data[:kept]), max_pixels=1_000_000, icc="apply").image
        assert image.mode == "RGB"
        image.load()
    except UnreadableImage as error:
        check_reason(str(error))


@pytest.mark.slow
@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.binary(max_size=60))
def test_any_bytes_decode_or_are_refused(data):
    for head in (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"P6 ", b"RIFF\0\0\0\0WEBP"):
        try:
            decoded(head + data, max_pixels=1_000_000)
        except UnreadableImage as error:
            check_reason(str(error))


# Decompression bombs.


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def claiming(width, height, depth=8, colours=2):
    """A small PNG that says it is large."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")


def gif_claiming(width, height):
    """A GIF of one pixel whose first frame is larger."""
    return b"GIF89a\1\0\1\0\0\0\0," + struct.pack("<HHHH", 0, 0, width, height) + b"\0\2\2\x4c\1\0;"


def bmp_claiming(width, height):
    data = saved(SMALL, "BMP")
    return data[:18] + struct.pack("<ii", width, height) + data[26:]


def test_a_photo_over_the_limit_is_refused_and_one_at_it_is_not(photo):
    assert "19,200 pixels" in refusal(saved(photo, "JPEG"), max_pixels=160 * 120 - 1)
    assert decoded(saved(photo, "JPEG"), max_pixels=160 * 120).image.size == (160, 120)


@pytest.mark.parametrize("make", [claiming, gif_claiming, bmp_claiming])
@pytest.mark.parametrize("limit_of_pillow", [None, Image.MAX_IMAGE_PIXELS])
def test_a_small_file_that_claims_to_be_huge_is_refused(monkeypatch, make, limit_of_pillow):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit_of_pillow)  # Processes that only decode go without it.
    assert "--max-pixels" in refusal(make(60000, 60000))


def test_the_limit_is_the_one_asked_for_and_not_the_lower_one_of_pillow():
    data = claiming(15000, 15000, depth=1, colours=0)  # 225 million; Pillow's limit is 179.
    assert "truncated" in refusal(data, max_pixels=250_000_000)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {}), ("AVIF", {"quality": 100})],
)
def test_of_several_frames_the_first_is_used(kind, options):
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE, BLACK)]
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert apart(colour(data), RED) <= 2


# Silence.


def test_odd_files_cause_no_warnings(photo):
    data = bytearray(saved(photo, "MPO", save_all=True, append_images=[photo]))
    data[data.index(b"MPF\0") + 8] ^= 0xFF  # Where its index begins.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert apart(pixels(bytes(data)), pixels(saved(photo, "JPEG"))) == 0
        assert (
            apart(pixels(saved(photo, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x09\0")), pixels(saved(photo, "JPEG")))
            == 0
        )


# Decoding at a fraction.


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("least", "factor"), [(61, 1), (60, 1), (30, 2), (29, 2), (10, 4), (1, 8)])
def test_large_jpegs_are_decoded_at_a_fraction_and_keep_their_size(photo, orientation, least, factor):
    data = oriented(photo, "JPEG", orientation)
    read = decode_rgb(data, ReadOptions(), least)
    drafted = Image.open(io.BytesIO(data))
    drafted.draft(None, (160 // factor, 120 // factor))
    assert apart(read.image, ImageOps.exif_transpose(drafted)) == 0
    assert read.image.size == tuple(side // factor for side in read.size)
    assert read.size == decoded(data).image.size


def test_only_jpegs_are_decoded_at_a_fraction(photo):
    for kind in ("PNG", "WEBP", "AVIF", "TIFF"):
        data = oriented(photo, kind, 6)
        read = decode_rgb(data, ReadOptions(), 1)
        assert apart(read.image, decoded(data).image) == 0
        assert read.size == (120, 160)


def test_a_thumbnail_never_takes_the_place_of_its_photo(photo):
    pytest.importorskip("pillow_heif").register_heif_opener()
    data = saved(photo, "HEIF", quality=90, thumbnails=[64])
    assert apart(decode_rgb(data, ReadOptions(), 1).image, decoded(data).image) == 0


def test_a_jpeg_that_ends_early_is_refused_at_a_fraction_too(photo):
    data = saved(photo, "JPEG")
    with pytest.raises(UnreadableImage):
        decode_rgb(data[: len(data) // 2], ReadOptions(), 1)
