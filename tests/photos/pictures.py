"""Files of pictures, and what is said of them: what the tests of this room share."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from afdcli.errors import UnreadableImage
from afdcli.options import ReadOptions
from afdcli.photos.reading import decode_rgb
from afdcli.photos.rgb import ORIENTATION

WHITE, BLACK, RED, BLUE = (255, 255, 255), (0, 0, 0), (255, 0, 0), (0, 0, 255)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
CAMERA = Image.Exif()
CAMERA[ORIENTATION] = 6
CAMERA[0x010F] = "camera"


def saved(image, kind="JPEG", **options):
    """The bytes of the file that Pillow makes."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(data, **options):
    return decode_rgb(data, ReadOptions(**options))


def pixels(data, **options):
    """Decoded to uint8, (H, W, 3)."""
    image = decoded(data, **options).image
    assert image.mode == "RGB"
    return np.asarray(image)


def colour(data, **options):
    """The one colour of a plain image."""
    colours = np.unique(pixels(data, **options).reshape(-1, 3), axis=0)
    assert len(colours) == 1
    return tuple(int(value) for value in colours[0])


def apart(first, second):
    """The largest difference between two images, in levels."""
    first, second = np.asarray(first).astype(int), np.asarray(second).astype(int)
    assert first.shape == second.shape
    return np.abs(first - second).max()


def check_reason(text):
    """`text` is for a person: one line, and nothing of Python's or of where the file is."""
    assert text.strip() == text != ""
    assert text.isprintable()
    for sign in ("b'", 'b"', "\\x", "object at 0x", "<", "Traceback", "Error", "bytes-like", "/", "not 'int'"):
        assert sign not in text


def refusal(data, **options):
    """Why `data` is refused."""
    with pytest.raises(UnreadableImage) as error:
        decoded(data, **options)
    check_reason(str(error.value))
    return str(error.value)


def opened(data):
    """What Pillow makes of the bytes of a file."""
    return Image.open(io.BytesIO(data))


def oriented(image, kind, orientation, **options):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return saved(image, kind, exif=exif, **options)


def psnr(first, second):
    """The peak signal-to-noise ratio in dB."""
    error = np.square(np.asarray(first, dtype=float) - np.asarray(second, dtype=float)).mean()
    return 10 * np.log10(255**2 / error)
