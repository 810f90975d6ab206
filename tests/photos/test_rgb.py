"""Pixels of any kind become upright 8-bit RGB, tile by tile as in a whole, and none takes more memory than promised."""

import io
import struct
import subprocess
import sys

import numpy as np
import pytest
from pictures import BLACK, BLUE, CAMERA, RED, SRGB, WHITE, apart, colour, decoded, oriented, pixels, refusal, saved
from PIL import Image, ImageCms, ImageOps
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from afdcli.options import ReadOptions
from afdcli.photos import rgb
from afdcli.photos.reading import decode_rgb
from afdcli.photos.rgb import ORIENTATION

SWAPPED = SRGB.replace("sRGB".encode("utf-16-be"), "Mine".encode("utf-16-be")).replace(b"rXYZ", b"????")
SWAPPED = SWAPPED.replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")
WIDTH, HEIGHT = 61, 43


def noise(mode):
    """An image of random pixels."""
    rng, bands = np.random.default_rng(5), len(Image.new(mode, (1, 1)).getbands())
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65536, (HEIGHT, WIDTH)).astype(np.uint16))
    if mode == "I":
        return Image.fromarray(rng.integers(-9, 70000, (HEIGHT, WIDTH)).astype(np.int32))
    if mode in ("1", "P"):
        grey = Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8))
        return grey.convert("1") if mode == "1" else noise("RGB").quantize(60)
    values = rng.integers(0, 256, (HEIGHT, WIDTH, bands), dtype=np.uint8)
    return Image.merge(mode, [Image.fromarray(values[..., band]) for band in range(bands)])


MODES = [("PNG", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")]
MODES += [("TIFF", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK", "LAB")]
MODES += [("JPEG", mode, {}) for mode in ("L", "RGB", "CMYK")]
MODES += [("PNG", "L", {"transparency": 7}), ("PNG", "1", {"transparency": 0}), ("PNG", "I;16", {"transparency": 700})]
MODES += [("PNG", "P", {"transparency": 3}), ("PNG", "P", {"transparency": bytes(range(0, 240, 4))})]
MODES += [("PNG", "RGB", {"transparency": (1, 2, 3)}), ("WEBP", "RGBA", {"lossless": True}), ("GIF", "P", {})]


def as_a_whole(data, profile):
    """The policy, said once more, for the whole image at a time."""
    image = Image.open(io.BytesIO(data))
    image.load()
    upright = ImageOps.exif_transpose(image) if image.format != "TIFF" else image
    if image.mode.startswith("I"):
        levels = np.asarray(upright).astype(float).clip(0, 65535)
        levels[levels == image.info.get("transparency", -1)] = 65535
        return Image.fromarray(np.rint(levels / 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        upright = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
    rgb = upright.convert("RGB")
    if profile and image.mode not in ("L", "CMYK"):
        source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        rgb = ImageCms.profileToProfile(rgb, source, target, outputMode="RGB")
    return rgb


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "mode", "options"), MODES)
@pytest.mark.parametrize("profile", [None, SWAPPED])
@pytest.mark.parametrize("tile", [20, 1024])
def test_tiles_give_the_pixels_of_the_whole(monkeypatch, kind, mode, options, profile, tile):
    monkeypatch.setattr(rgb, "TILE", tile)
    if profile and mode.startswith("I"):
        pytest.skip("a colour profile is not for these")
    for orientation in range(1, 9):
        exif, buffer = Image.Exif(), io.BytesIO()
        exif[ORIENTATION] = orientation
        more = {"exif": exif} if kind != "GIF" else {}
        noise(mode).save(buffer, kind, **options, **more, **({"icc_profile": profile} if profile else {}))
        found = decode_rgb(buffer.getvalue(), ReadOptions(icc="apply")).image
        expected = as_a_whole(buffer.getvalue(), None if kind == "GIF" else profile)  # GIFs have none
        assert found.size == expected.size
        assert np.array_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.parametrize("size", [(5000, 1), (1, 5000), (1025, 1023)])
def test_strips_are_converted_too(size):
    grey = Image.fromarray(np.random.default_rng(1).integers(0, 65536, size[::-1]).astype(np.uint16))
    buffer = io.BytesIO()
    grey.save(buffer, "PNG")
    found = np.asarray(decode_rgb(buffer.getvalue(), ReadOptions()).image)
    assert np.array_equal(found[..., 0], np.rint(np.asarray(grey) / 257))


MEASURED = """
import resource, sys
from afdcli.photos.reading import decode_rgb
from afdcli.options import ReadOptions
data = open(sys.argv[1], "rb").read()
decode_rgb(open(sys.argv[2], "rb").read(), ReadOptions(icc="apply"))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
decode_rgb(data, ReadOptions(icc="apply"))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
PIXELS = 16_000_000
HUGE = [("PNG", mode, {}) for mode in ("1", "L", "LA", "RGB", "RGBA", "I;16")]
HUGE += [("PNG", "P", {"transparency": 0}), ("PNG", "RGB", {"transparency": (1, 2, 3), "icc_profile": SWAPPED})]
HUGE += [("TIFF", mode, {"compression": "tiff_adobe_deflate"}) for mode in ("CMYK", "RGBA")]
HUGE += [("JPEG", "RGB", {}), ("JPEG", "CMYK", {}), ("BMP", "RGB", {}), ("GIF", "P", {})]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems measure it otherwise")
@pytest.mark.parametrize(("kind", "mode", "options"), HUGE)
def test_no_mode_takes_more_memory_than_is_promised(tmp_path, kind, mode, options):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    turned = {"exif": exif} if kind in ("PNG", "JPEG") else {}
    faster = {"compress_level": 1} if kind == "PNG" else {}
    for name, size in (("large", (PIXELS // 4000, 4000)), ("small", (50, 40))):
        Image.new(mode, size).save(tmp_path / name, kind, **options, **turned, **faster)
    command = [sys.executable, "-c", MEASURED, str(tmp_path / "large"), str(tmp_path / "small")]
    kilobytes = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert kilobytes * 1024 < 9 * PIXELS + 40_000_000  # twice 4 bytes a pixel, a file's or a decoder's own, some tiles


# EXIF orientation.


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_photos_are_turned_upright_as_pillow_does(photo, kind, orientation):
    data = oriented(photo, kind, orientation)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert upright.size == ((160, 120) if orientation < 5 else (120, 160))
    assert apart(pixels(data), upright) == 0


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_orientation_can_be_ignored(photo, kind, orientation):
    stored = pixels(saved(photo, kind))
    assert apart(pixels(oriented(photo, kind, orientation), exif="ignore"), stored) == 0


@pytest.mark.parametrize("orientation", [0, 9, 1000])
def test_orientations_that_do_not_exist_are_ignored(photo, orientation):
    assert apart(pixels(oriented(photo, "PNG", orientation)), photo) == 0


def test_palettes_and_greys_are_turned_too(photo):
    for image in (photo.convert("L"), photo.quantize(16), photo.convert("CMYK")):
        data = oriented(image, "JPEG" if image.mode == "CMYK" else "PNG", 6)
        assert decoded(data).image.size == (120, 160)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("cut", [7, 9, 15, 20, 30, 50])
def test_a_damaged_exif_block_does_not_lose_the_photo(photo, kind, cut):
    assert (
        apart(pixels(saved(photo, kind, exif=CAMERA.tobytes()[:cut]), exif="ignore"), pixels(saved(photo, kind))) == 0
    )
    assert decoded(saved(photo, kind, exif=CAMERA.tobytes()[:cut])).image.mode == "RGB"


def test_an_exif_block_of_rubbish_does_not_lose_the_photo(photo):
    for rubbish in (b"Exif\0\0", b"Exif\0\0rubbish", b"Exif\0\0II*\0\xff\xff\xff\xff", b"rubbish" * 99):
        assert apart(pixels(saved(photo, "JPEG", exif=rubbish)), pixels(saved(photo, "JPEG"))) == 0


# Colour profiles.


def swapping_profile():
    """A profile whose red is sRGB's blue and the reverse: made by exchanging the names of its tags."""
    data = SRGB.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))
    for red, blue in ((b"rXYZ", b"bXYZ"), (b"rTRC", b"bTRC")):
        data = data.replace(red, b"????").replace(blue, red).replace(b"????", blue)
    return data


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_profile_is_applied_when_asked(photo, kind):
    data = saved(photo, kind, icc_profile=swapping_profile())
    assert apart(pixels(data, icc="apply"), np.asarray(photo)[..., ::-1]) <= 1


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
def test_a_profile_is_applied_to_the_pixels_that_lossy_files_have(photo, kind):
    stored = pixels(saved(photo, kind))
    data = saved(photo, kind, icc_profile=swapping_profile())
    assert apart(pixels(data, icc="apply"), stored[..., ::-1]) <= 1


def test_a_profile_is_applied_to_the_colours_of_a_palette(photo):
    palette = photo.quantize(16)
    data = saved(palette, "PNG", icc_profile=swapping_profile())
    assert apart(pixels(data, icc="apply"), np.asarray(palette.convert("RGB"))[..., ::-1]) <= 1


def test_colours_are_as_stored_unless_asked(photo):
    assert apart(pixels(saved(photo, "PNG", icc_profile=swapping_profile())), photo) == 0


def test_an_srgb_profile_changes_no_pixel(photo):
    assert apart(pixels(saved(photo, "PNG", icc_profile=SRGB), icc="apply"), photo) == 0


@pytest.mark.parametrize(
    "profile",
    [
        b"rubbish",
        SRGB[:200],
        b"\0" * 500,
        SRGB[:128],
        ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),  # For other pixels than these.
    ],
)
def test_a_profile_that_is_damaged_or_unfit_is_ignored(photo, profile):
    assert apart(pixels(saved(photo, "PNG", icc_profile=profile), icc="apply"), photo) == 0


def test_a_grey_photo_with_a_colour_profile_stays_grey(photo):
    grey = photo.convert("L")
    data = saved(grey, "PNG", icc_profile=swapping_profile())
    assert apart(pixels(data, icc="apply"), grey.convert("RGB")) == 0


def profile(name, gamma, grey=False):
    """A profile (ICC.1:2001) with the primaries of sRGB, or for greys, whose curves are of this gamma."""

    def fixed(*values):
        return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))

    curve = b"curv" + struct.pack(">III", 0, 1, round(gamma * 256) << 16)
    text = b"desc" + struct.pack(">II", 0, len(name) + 1) + name.encode() + bytes(1 + 78)
    tags = {b"desc": text, b"wtpt": b"XYZ " + bytes(4) + fixed(0.9642, 1, 0.8249)}
    if grey:
        tags[b"kTRC"] = curve
    else:
        primaries = {b"r": (0.4361, 0.2225, 0.0139), b"g": (0.3851, 0.7169, 0.0971), b"b": (0.1431, 0.0606, 0.7141)}
        for band, values in primaries.items():
            tags[band + b"XYZ"], tags[band + b"TRC"] = b"XYZ " + bytes(4) + fixed(*values), curve
    body, table = b"", struct.pack(">I", len(tags))
    for tag, value in tags.items():
        table += tag + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    head = struct.pack(">I4sI4s4s4s", 132 + 12 * len(tags) + len(body), b"none", 0x2100000, b"mntr",
                       b"GRAY" if grey else b"RGB ", b"XYZ ")  # fmt: skip
    head = (head + bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1, 0.8249)).ljust(128, b"\0")
    return head + table + body


@pytest.mark.parametrize("name", ["GIMP built-in Linear sRGB", "sRGB-elle-V2-g10.icc", "Linear X"])
@pytest.mark.parametrize(("gamma", "expected"), [(1.0, 188), (1.8, 146)])
def test_a_profile_is_judged_by_its_curves_not_its_name(name, gamma, expected):
    data = saved(Image.new("RGB", (8, 8), (128, 128, 128)), "PNG", icc_profile=profile(name, gamma))
    assert apart(colour(data, icc="apply"), (expected,) * 3) <= 1


def test_a_profile_that_is_called_srgb_and_nearly_is_changes_nothing(photo):
    by_name = SRGB.replace("sRGB".encode("utf-16-be"), "Mine".encode("utf-16-be"))
    assert apart(pixels(saved(photo, "PNG", icc_profile=by_name), icc="apply"), photo) <= 1
    assert apart(pixels(saved(photo, "PNG", icc_profile=SRGB), icc="apply"), photo) == 0


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (Image.new("L", (8, 8), 128), {}),
        (Image.new("LA", (8, 8), (128, 255)), {}),
        (Image.new("L", (8, 8), 128), {"transparency": 7}),
        (Image.new("I;16", (8, 8), 128 * 257), {}),
    ],
)
@pytest.mark.parametrize("name", ["linear greys", "grey, sRGB"])
def test_a_profile_for_greys_is_applied_whatever_their_alpha(image, options, name):
    data = saved(image, "PNG", icc_profile=profile(name, 1.0, grey=True), **options)
    assert apart(colour(data, icc="apply"), (188, 188, 188)) <= 1


def test_a_profile_of_the_wrong_type_is_ignored(photo):
    tags = ImageFileDirectory_v2()
    tags.tagtype[34675] = 2
    tags[34675] = "text"
    assert apart(pixels(saved(photo, "TIFF", tiffinfo=tags), icc="apply"), photo) == 0


# Pixels of other kinds.


@pytest.mark.parametrize(
    ("image", "options", "expected"),
    [
        (Image.new("RGBA", (9, 9), (*RED, 0)), {}, WHITE),
        (Image.new("RGBA", (9, 9), (*RED, 255)), {}, RED),
        (Image.new("RGBA", (9, 9), (*BLACK, 51)), {}, (204, 204, 204)),
        (Image.new("LA", (9, 9), (0, 0)), {}, WHITE),
        (Image.new("LA", (9, 9), (7, 255)), {}, (7, 7, 7)),
        (Image.new("RGB", (9, 9), RED), {"transparency": RED}, WHITE),
        (Image.new("RGB", (9, 9), RED), {"transparency": BLUE}, RED),
        (Image.new("L", (9, 9), 7), {"transparency": 7}, WHITE),
        (Image.new("1", (9, 9), 0), {"transparency": 0}, WHITE),
        (Image.new("I;16", (9, 9), 700), {"transparency": 700}, WHITE),
    ],
)
def test_transparency_is_laid_over_white(image, options, expected):
    assert colour(saved(image, "PNG", **options)) == expected


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP"])
def test_a_transparent_entry_of_a_palette_is_white(kind):
    palette = Image.new("RGB", (9, 9), RED)
    palette.paste(BLUE, (0, 0, 4, 9))
    palette = palette.quantize(2)
    red = palette.getpixel((8, 0))
    data = saved(palette, "PNG", transparency=red)
    if kind != "PNG":
        data = saved(Image.open(io.BytesIO(data)), kind, **{"lossless": True} if kind == "WEBP" else {})
    shown = pixels(data)
    assert tuple(shown[0, 0]) == BLUE
    assert tuple(shown[0, 8]) == WHITE


@pytest.mark.parametrize(("ink", "expected"), [((0, 0, 0, 0), WHITE), ((0, 0, 0, 255), BLACK), ((255, 0, 0, 0), None)])
def test_a_cmyk_jpeg_has_the_colours_of_print(ink, expected):
    shown = colour(saved(Image.new("CMYK", (16, 16), ink), "JPEG", quality=95))
    if expected is None:  # Cyan: no red, much of the others.
        assert shown[0] < 10
        assert min(shown[1:]) > 150
    else:
        assert apart(shown, expected) <= 3


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_greys_are_scaled_not_clipped(kind):
    levels = np.arange(0, 65536, 64, dtype=np.uint16).reshape(32, 32)
    shown = pixels(saved(Image.fromarray(levels), kind))
    assert apart(shown[..., 1], np.rint(levels / 257)) == 0
    assert apart(shown[..., 0], shown[..., 2]) == 0


def test_16_bit_greys_of_either_byte_order_and_of_ppm_are_scaled():
    levels = np.array([[0, 257, 25700, 65535]], dtype=">u2")
    assert pixels(b"P5 4 1 65535\n" + levels.tobytes())[0, :, 0].tolist() == [0, 1, 100, 255]
    header = struct.pack(">2sHIH", b"MM", 42, 8, 8)
    for tag, value in ((256, 4), (257, 1), (258, 16), (259, 1), (262, 1), (273, 110), (278, 1), (279, 8)):
        header += struct.pack(">HHIHH", tag, 3, 1, value, 0)
    data = header.ljust(110, b"\0") + levels.tobytes()
    assert pixels(data)[0, :, 0].tolist() == [0, 1, 100, 255]


def test_bitmaps_are_black_and_white():
    bits = Image.new("1", (9, 9), 1)
    bits.putpixel((0, 0), 0)
    for kind in ("PNG", "TIFF", "BMP", "GIF", "PPM"):
        shown = pixels(saved(bits, kind))
        assert tuple(shown[0, 0]) == BLACK
        assert tuple(shown[8, 8]) == WHITE


def test_palettes_show_their_colours(photo):
    palette = photo.quantize(40)
    for kind in ("PNG", "GIF", "BMP", "TIFF"):
        assert apart(pixels(saved(palette, kind)), palette.convert("RGB")) == 0


def test_greys_have_three_equal_channels(photo):
    for kind in ("PNG", "JPEG", "BMP", "TIFF"):
        data = saved(photo.convert("L"), kind)
        assert apart(pixels(data), Image.open(io.BytesIO(data)).convert("RGB")) == 0


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_floating_point_pixels_are_refused(compression):
    floats = Image.fromarray(np.full((9, 9), 0.5, dtype=np.float32))
    assert "floating-point" in refusal(saved(floats, "TIFF", compression=compression))
