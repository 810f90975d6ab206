"""Encoders are told what the codec's row says, and a chain of saves is just that."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import opened, psnr, saved
from PIL import Image, JpegImagePlugin

from afdcli.errors import UnreadableImage
from afdcli.formats.codecs import CODECS
from afdcli.options import QUALITIES, SUBSAMPLINGS, Compression, Degradation
from afdcli.options.damage import level_of
from afdcli.photos import damage
from afdcli.photos.damage import decode, degrade, encode, rng_for
from afdcli.photos.quality import jpeg_quality

JPEG_10 = Compression("jpeg", 10)
LEVELS = tuple(Compression("jpeg", quality) for quality in (10, 25, 50, 90))


def scale(codec, share):
    """The quality that is at `share` of the codec's scale."""
    return QUALITIES[codec][int(share * (len(QUALITIES[codec]) - 1))]


def chain(*choices, shift=False):
    """Passes that each have the given compressions to draw from."""
    return Degradation(tuple(part if isinstance(part, tuple) else (part,) for part in choices), shift)


# One save.


@pytest.mark.parametrize("quality", [1, 10, 75, 100])
@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_a_jpeg_is_pillows_with_its_subsampling_pinned(photo, quality, subsampling):
    data = encode(photo, Compression("jpeg", quality, subsampling))
    assert data == saved(photo, quality=quality, subsampling=subsampling)
    assert JpegImagePlugin.get_sampling(opened(data)) == SUBSAMPLINGS.index(subsampling)


@pytest.mark.parametrize("quality", [0, 40, 100])
@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_an_avif_is_pillows_with_its_speed_and_threads_pinned(photo, quality, subsampling):
    data = encode(photo, Compression("avif", quality, subsampling))
    assert data == saved(photo, "AVIF", quality=quality, subsampling=subsampling, speed=6, max_threads=1)


@pytest.mark.parametrize("quality", [0, 40, 100])
def test_a_webp_is_pillows_lossy_one_with_its_method_pinned(photo, quality):
    assert encode(photo, Compression("webp", quality)) == saved(photo, "WEBP", quality=quality, method=4)


@pytest.mark.parametrize("codec", QUALITIES)
def test_the_same_save_makes_the_same_bytes(photo, codec):
    assert len({encode(photo, Compression(codec, 30)) for _ in range(4)}) == 1


@pytest.mark.parametrize("codec", QUALITIES)
def test_what_was_encoded_decodes(photo, codec):
    data = encode(photo, Compression(codec, scale(codec, 0.9)))
    assert opened(data).format == CODECS[codec].pillow
    assert decode(data).mode == "RGB"
    assert psnr(decode(data), photo) > 25


@pytest.mark.parametrize("codec", QUALITIES)
def test_better_qualities_are_larger_and_nearer(photo, codec):
    files = [encode(photo, Compression(codec, scale(codec, share))) for share in (0.05, 0.3, 0.6, 0.95)]
    assert sorted(files, key=len) == files
    nearness = [psnr(decode(data), photo) for data in files]
    assert sorted(nearness) == nearness


@pytest.mark.parametrize("codec", QUALITIES)
def test_no_metadata_is_carried_over(photo, codec):
    exif = Image.Exif()
    exif[0x010F] = "camera"
    rich = opened(saved(photo, "PNG", exif=exif, icc_profile=b"profile", dpi=(300, 300)))
    rich.load()
    rich.info["comment"] = b"comment"
    rich.info["xmp"] = b"<x:xmpmeta/>"
    bare = opened(encode(photo, Compression(codec, 50)))
    data = encode(rich, Compression(codec, 50))
    assert opened(data).info == bare.info
    assert not opened(data).getexif()
    assert data == encode(photo, Compression(codec, 50))


@pytest.mark.parametrize(
    ("codec", "size"),
    [
        ("jpeg", (65501, 1)),
        ("jpeg", (1, 70000)),
        ("avif", (32769, 1)),
        ("avif", (2, 40000)),
        ("avif", (70000, 1)),
        ("webp", (16384, 1)),
    ],
)
def test_sides_longer_than_can_be_written_and_read_are_refused(codec, size):
    with pytest.raises(UnreadableImage, match=rf"^{codec.upper()} cannot hold a side of {max(size):,} pixels"):
        encode(Image.new("RGB", size), Compression(codec, 50))


@pytest.mark.parametrize(("codec", "side"), [("jpeg", 65500), ("avif", 32768), ("webp", 16383)])
def test_the_longest_sides_are_written_and_read_back(codec, side):
    image = Image.new("RGB", (side, 1))
    assert decode(degrade(image, Degradation(((Compression(codec, 50),),)), None)).size == (side, 1)


@pytest.mark.parametrize("passes", [1, 2])
def test_what_its_own_decoder_cannot_read_back_is_no_copy(photo, passes, monkeypatch):
    monkeypatch.setattr(damage, "encode", lambda *_: b"no file of any kind")
    with pytest.raises(UnreadableImage, match="cannot be read back"):
        degrade(photo, Degradation(((JPEG_10,),) * passes), rng_for(0))


@pytest.mark.parametrize(
    "error", [OSError(2, "x"), ValueError("x"), KeyError("x"), SystemError("x"), MemoryError(), OverflowError()]
)
def test_whatever_a_codec_raises_is_a_reason_in_words(photo, error, monkeypatch):
    def failing(*_, **__):
        raise error

    data = encode(photo, JPEG_10)
    monkeypatch.setattr(Image.Image, "save", failing)
    with pytest.raises(UnreadableImage, match=r"cannot be saved as JPEG at 160 x 120 pixels: ."):
        encode(photo, JPEG_10)
    monkeypatch.setattr(damage.jpeg, "load", failing)
    with pytest.raises(UnreadableImage, match=r"cannot be read back after compressing it: ."):
        decode(data)


def test_chains_have_no_limit_of_pixels_of_their_own(photo, monkeypatch):
    """`--max-pixels` has been asked before; Pillow's own limit is lower, and would be an exception."""
    chain = Degradation(((JPEG_10,), (JPEG_10,)), shift=True)
    expected = degrade(photo, chain, rng_for(0))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert degrade(photo, chain, rng_for(0)) == expected


@pytest.mark.parametrize("codec", QUALITIES)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 2), (17, 33)])
def test_small_and_odd_sizes_are_kept(codec, size):
    assert decode(encode(Image.new("RGB", size, "teal"), Compression(codec, 50))).size == size


# Several saves.


@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize("compression", [JPEG_10, Compression("avif", 30)])
def test_a_single_pass_is_one_plain_save(photo, compression, shift):
    assert degrade(photo, chain(compression, shift=shift), rng_for(0)) == encode(photo, compression)


def test_a_single_jpeg_pass_is_pillows_file(photo):
    assert degrade(photo, chain(JPEG_10), rng_for(0)) == saved(photo, quality=10, subsampling="4:2:0")


def test_a_sequence_is_what_is_done_by_hand(photo):
    by_hand = photo
    for quality in (25, 10, 7):
        data = saved(by_hand, quality=quality, subsampling="4:2:0")
        by_hand = opened(data).convert("RGB")
    sequence = chain(*(Compression("jpeg", quality) for quality in (25, 10, 7)))
    assert degrade(photo, sequence, rng_for(5, "a")) == data
    assert jpeg_quality(opened(data).quantization) == (7, True)


def test_the_photo_itself_stays(photo):
    before = photo.tobytes()
    degrade(photo, chain(JPEG_10, JPEG_10, shift=True), rng_for(0))
    assert photo.tobytes() == before


@pytest.mark.parametrize("size", [(160, 120), (1, 1), (13, 200)])
def test_shifting_keeps_the_size(photo, size):
    data = degrade(photo.resize(size), chain(*[JPEG_10] * 4, shift=True), rng_for(0))
    assert opened(data).size == size


def test_shifting_saves_on_another_grid(photo):
    last = Compression("jpeg", 40)
    by_hand = set()
    for offset in range(1, 64):
        top, left = divmod(offset, 8)
        padded = Image.fromarray(np.pad(np.asarray(photo), ((top, 0), (left, 0), (0, 0)), mode="edge"))
        once = opened(saved(padded, quality=10, subsampling="4:2:0")).convert("RGB")
        by_hand.add(saved(once.crop((left, top, left + 160, top + 120)), quality=40, subsampling="4:2:0"))
    shifted = {degrade(photo, chain(JPEG_10, last, shift=True), rng_for(seed)) for seed in range(20)}
    assert shifted <= by_hand
    assert len(shifted) > 10
    assert degrade(photo, chain(JPEG_10, last), rng_for(0)) not in by_hand


def test_saves_on_one_grid_come_to_rest_and_shifted_ones_do_not(photo):
    def after(passes, shift):
        return degrade(photo, chain(*[JPEG_10] * passes, shift=shift), rng_for(1))

    assert len({after(passes, False) for passes in range(6, 12)}) == 1
    assert len({after(passes, True) for passes in range(6, 12)}) > 3
    assert psnr(decode(after(11, True)), photo) < psnr(decode(after(11, False)), photo)


def test_draws_depend_on_seed_and_key_only(photo):
    drawn = chain(LEVELS, LEVELS, LEVELS, JPEG_10, shift=True)
    keys = [f"{number}.jpg" for number in range(8)]
    there = {key: degrade(photo, drawn, rng_for(3, key)) for key in keys}
    back = {key: degrade(photo, drawn, rng_for(3, key)) for key in reversed(keys)}
    assert there == back
    assert len(set(there.values())) == len(keys)
    assert there != {key: degrade(photo, drawn, rng_for(4, key)) for key in keys}


def test_draws_are_from_all_choices_and_from_no_others(photo):
    first = [encode(decode(encode(photo, level)), JPEG_10) for level in LEVELS]
    drawn = {degrade(photo, chain(LEVELS, JPEG_10), rng_for(seed)) for seed in range(40)}
    assert drawn == set(first)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**64), st.lists(st.text("ab/ \udcff", max_size=4), max_size=3))
def test_random_numbers_are_those_of_their_seed_and_key(seed, key):
    numbers = rng_for(seed, *key).integers(2**60, size=2).tolist()
    assert rng_for(seed, *key).integers(2**60, size=2).tolist() == numbers
    assert rng_for(seed + 1, *key).integers(2**60, size=2).tolist() != numbers
    assert rng_for(seed, *key, "more").integers(2**60, size=2).tolist() != numbers


def test_the_parts_of_a_key_stay_apart():
    keys = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc")]
    assert len({rng_for(0, *key).integers(2**60) for key in keys}) == len(keys)


@pytest.mark.parametrize(
    ("level", "told"),
    [
        ("webp:50:method=6", ("WEBP", {"quality": 50, "method": 6})),
        ("webp:50:sharp=yes", ("WEBP", {"quality": 50, "method": 4, "use_sharp_yuv": True})),
        ("jpeg:30:subsampling=4:4:4,optimize=yes", ("JPEG", {"quality": 30, "subsampling": "4:4:4", "optimize": True})),
        ("jpeg:30:optimize=no", ("JPEG", {"quality": 30, "subsampling": "4:2:0"})),
        ("jpeg:30:progressive=yes", ("JPEG", {"quality": 30, "subsampling": "4:2:0", "progressive": True})),
    ],
)
def test_the_encoder_is_told_its_settings(photo, level, told):
    name, settings = told
    assert encode(photo, level_of(level)) == saved(photo, name, **settings)


@pytest.mark.parametrize("level", ["avif:30:speed=10", "jxl:50:effort=3"])
def test_effort_changes_the_file(photo, level):
    assert encode(photo, level_of(level)) != encode(photo, level_of(level.rpartition(":")[0]))


@pytest.mark.parametrize("quality", [1, 7, 30, 49, 50, 51, 90, 100])
def test_the_standards_own_tables_make_the_same_file(photo, tmp_path, quality):
    """At quality 50 the tables of libjpeg are those of the standard, so the same scaling gives the same bytes."""
    tables = opened(encode(photo, Compression("jpeg", 50))).quantization
    (tmp_path / "standard.txt").write_text("\n".join(" ".join(map(str, tables[number])) for number in (0, 1)))
    level = level_of(f"jpeg:{quality}:qtables={tmp_path / 'standard.txt'}")
    assert encode(photo, level) == encode(photo, Compression("jpeg", quality))


def test_other_tables_are_those_in_the_file(photo, tmp_path):
    numbers = [*range(10, 74), *range(100, 164)]
    (tmp_path / "mine.txt").write_text(" ".join(map(str, numbers)))
    found = opened(encode(photo, level_of(f"jpeg:25:qtables={tmp_path / 'mine.txt'}"))).quantization
    assert [*found[0], *found[1]] == [min(2 * number, 255) for number in numbers]
