"""Tile by tile, pixels become what they become as a whole; and no mode takes more memory than is promised."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from afdcli.options import ReadOptions
from afdcli.photos import reading
from afdcli.photos.reading import ORIENTATION, decode_rgb

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PROFILE = PROFILE.replace("sRGB".encode("utf-16-be"), "Mine".encode("utf-16-be")).replace(b"rXYZ", b"????")
PROFILE = PROFILE.replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")
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
MODES += [("TIFF", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I", "CMYK", "LAB")]
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


@pytest.mark.parametrize(("kind", "mode", "options"), MODES)
@pytest.mark.parametrize("profile", [None, PROFILE])
@pytest.mark.parametrize("tile", [20, 1024])
def test_tiles_give_the_pixels_of_the_whole(monkeypatch, kind, mode, options, profile, tile):
    monkeypatch.setattr(reading, "TILE", tile)
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
HUGE += [("PNG", "P", {"transparency": 0}), ("PNG", "RGB", {"transparency": (1, 2, 3), "icc_profile": PROFILE})]
HUGE += [("TIFF", mode, {"compression": "tiff_adobe_deflate"}) for mode in ("I", "CMYK", "RGBA")]
HUGE += [("JPEG", "RGB", {}), ("JPEG", "CMYK", {}), ("BMP", "RGB", {}), ("GIF", "P", {})]


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
