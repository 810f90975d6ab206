"""The lossy formats, one row each: all that afd knows of a codec, but for the photos themselves.

Every start of afd imports this, for its options and its help, so it takes plain values, and Pillow and the plugins are
imported where they are first asked for.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from afdcli.errors import AfdError

AVIF_SPEED = 6
"""How little effort libavif makes. It changes what a quality means, so it is the same everywhere."""
WEBP_METHOD = 4
"""How much effort libwebp makes: its own default."""
JXL_EFFORT = 7
"""How much effort libjxl makes: its own default."""


class Setting:
    """What an encoder can be told beside a quality, by name."""

    def __init__(self, keyword: str, values: Mapping[str, Any], default: str) -> None:
        """`keyword` is that of Pillow's `save`, `values` what it is told for each text; `default` does as without."""
        self.keyword = keyword
        self.values = values
        self.default = default

    def __str__(self) -> str:
        texts = list(self.values)
        return f"{texts[0]} to {texts[-1]}" if texts[0].isdigit() else " or ".join(texts)


def _numbers(keyword: str, scale: range, default: int) -> Setting:
    return Setting(keyword, {str(number): number for number in scale}, str(default))


def _switch(keyword: str) -> Setting:
    return Setting(keyword, {"no": False, "yes": True}, "no")


@dataclass(frozen=True, kw_only=True)
class Codec:
    """How one lossy format is asked for, written and known."""

    pillow: str
    """Pillow's name for the format."""
    title: str
    """What tables and pictures call it."""
    endings: tuple[str, ...]
    """How its files end, the usual ending first."""
    begins: bytes
    """What its files begin with, as a regular expression."""
    qualities: Sequence[int]
    """The qualities it takes, best last: its own scale, which cannot be compared with another codec's."""
    subsamplings: tuple[str, ...] = ("4:2:0",)
    """The resolutions of its colour that can be chosen. Where none can, the default stands for what it does."""
    settings: Callable[[int, str], dict[str, Any]]
    """What Pillow's `save` is told, given a quality and a subsampling. All that an encoder would choose by itself is
    pinned here."""
    extras: Mapping[str, Setting] = field(default_factory=dict)
    """What else can be asked of its encoder, by the names that `--level` takes."""
    takes_tables: bool = False
    """Whether it can be given quantisation tables."""
    provider: Callable[[], str | None]
    """Says who reads and writes it here, None if nobody does. Where that is a plugin, asking registers it."""
    package: str
    """What to install where nobody does."""
    help: str
    """What its qualities mean to a user, as words that follow their scale in `--help`."""
    most_side: int | None = None
    """The longest side, in pixels, that is written here and read back. None: the encoder knows, and says so."""


def pillow_feature(name: str, library: str, version: str = "") -> Callable[[], str | None]:
    """The provider of a format that Pillow reads and writes by its feature `name`, if it was built with `library`.

    `version` is the feature that tells the library's version, if that is another one.
    """

    @functools.cache
    def provider() -> str | None:
        from PIL import features

        return f"{library} {features.version(version or name)}" if features.check(name) else None

    return provider


@functools.cache
def _avif_provider() -> str | None:
    """Pillow itself, or else the plugin."""
    if built_in := pillow_feature("avif", "Pillow with libavif")():
        return built_in
    try:
        import pillow_avif
    except ImportError:
        return None
    return f"pillow-avif-plugin {pillow_avif.__version__}"


@functools.cache
def _heic_provider() -> str | None:
    try:
        import pillow_heif
    except ImportError:
        return None
    pillow_heif.register_heif_opener()
    return f"pillow-heif {pillow_heif.__version__} with libheif {pillow_heif.libheif_version()}"


@functools.cache
def _jxl_provider() -> str | None:
    try:
        import pillow_jxl  # noqa: F401
    except ImportError:
        return None
    from importlib import metadata  # only here: `afd --help` imports this file

    return f"pillow-jxl-plugin {metadata.version('pillow-jxl-plugin')}"


CODECS = {
    "jpeg": Codec(
        pillow="JPEG",
        title="JPEG",
        endings=(".jpg", ".jpeg", ".jpe", ".jfif"),
        begins=rb"\xff\xd8\xff",
        qualities=range(1, 101),  # 0 is left out: encoders silently take it for 1
        subsamplings=("4:4:4", "4:2:2", "4:2:0"),
        settings=lambda quality, subsampling: {"quality": quality, "subsampling": subsampling},
        extras={"optimize": _switch("optimize"), "progressive": _switch("progressive")},
        takes_tables=True,
        provider=pillow_feature("jpg", "libjpeg-turbo", "libjpeg_turbo"),
        package="pillow",
        help="JPEG's quality factor",
        most_side=65_500,  # libjpeg's; the format itself has room for 65,535
    ),
    "avif": Codec(
        pillow="AVIF",
        title="AVIF",
        endings=(".avif",),
        begins=rb"....ftypavi[fs]",
        qualities=range(101),
        subsamplings=("4:4:4", "4:2:2", "4:2:0"),
        settings=lambda quality, subsampling: {
            "quality": quality,
            "subsampling": subsampling,
            "speed": AVIF_SPEED,
            "max_threads": 1,  # Their number changes the pixels. Files go through in parallel instead.
        },
        extras={"speed": _numbers("speed", range(11), AVIF_SPEED)},
        provider=_avif_provider,
        package="pillow-avif-plugin",
        help="libavif's quality",
        most_side=32_768,  # libavif writes up to 65,536, and reads no more than this
    ),
    "webp": Codec(
        pillow="WEBP",
        title="WebP",
        endings=(".webp",),
        begins=rb"RIFF....WEBP",
        qualities=range(101),
        settings=lambda quality, subsampling: {"quality": quality, "method": WEBP_METHOD, "lossless": False},
        extras={"method": _numbers("method", range(7), WEBP_METHOD), "sharp": _switch("use_sharp_yuv")},
        provider=pillow_feature("webp", "libwebp"),
        package="pillow",
        help="WebP's quality, its colour always at 4:2:0",
        most_side=16_383,
    ),
    "jp2": Codec(
        pillow="JPEG2000",
        title="JPEG 2000",
        endings=(".jp2", ".j2k", ".jpx"),
        begins=rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51",
        qualities=range(10, 61),
        settings=lambda quality, subsampling: {
            "quality_mode": "dB",
            "quality_layers": [quality],
            "irreversible": True,
        },
        provider=pillow_feature("jpg_2000", "openjpeg"),
        package="pillow",
        help="the error that JPEG 2000 aims at, as a peak signal-to-noise ratio in dB",
    ),
    "jxl": Codec(
        pillow="JXL",
        title="JPEG XL",
        endings=(".jxl",),
        begins=rb"\xff\x0a|\x00\x00\x00\x0cJXL ",
        qualities=range(101),
        settings=lambda quality, subsampling: {"quality": quality, "effort": JXL_EFFORT, "lossless": False},
        extras={"effort": _numbers("effort", range(1, 10), JXL_EFFORT)},
        provider=_jxl_provider,
        package="pillow-jxl-plugin",
        help="JPEG XL's quality",
    ),
    "heic": Codec(
        pillow="HEIF",
        title="HEIC",
        endings=(".heic", ".heif", ".hif"),
        begins=rb"....ftyp(hei[cmsx]|hev[cx]|mif1|msf1)",
        qualities=range(101),
        subsamplings=("4:4:4", "4:2:2", "4:2:0"),
        settings=lambda quality, subsampling: {"quality": quality, "chroma": int(subsampling.replace(":", ""))},
        provider=_heic_provider,
        package="pillow-heif",
        help="libheif's quality",
    ),
}
"""All that afd compresses with, by the names that `--level` takes. To add a codec, add its row."""


@functools.cache
def _corruptions_provider() -> str | None:
    from importlib import metadata  # as above

    try:
        return f"imagecorruptions-imaug {metadata.version('imagecorruptions-imaug')}"
    except metadata.PackageNotFoundError:
        return None


IMAGENET_C = (
    *("gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    *("snow", "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate"),
)
"""The corruptions of ImageNet-C (Hendrycks and Dietterich, ICLR 2019), but for JPEG's."""
CORRUPTIONS = {
    name: Codec(
        pillow="PNG",
        title=name.replace("_", " "),
        endings=(".png",),
        begins=rb"\x89PNG\r\n\x1a\n",
        qualities=range(5, 0, -1),
        settings=lambda quality, subsampling: {"compress_level": 1},
        provider=_corruptions_provider,
        package="imagecorruptions-imaug",
        help="ImageNet-C's severity",
    )
    for name in (*IMAGENET_C, "speckle_noise", "gaussian_blur", "spatter", "saturate")
}
"""Damage that is no compression: pixels are changed, and saved without loss. What is a quality elsewhere is a severity
here, from 1 to 5. `--level` takes their names as those of codecs."""


def kind(name: str) -> Codec:
    """The codec or corruption called `name`."""
    return CORRUPTIONS[name] if name in CORRUPTIONS else CODECS[name]


def scales() -> str:
    """Each codec with its scale, as one text for the user: `jpeg (1 to 100: JPEG's quality factor), avif (...)`."""
    return ", ".join(
        f"{name} ({codec.qualities[0]} to {codec.qualities[-1]}: {codec.help})" for name, codec in CODECS.items()
    )


def settings_told() -> str:
    """What each codec can be told beside a quality, as one text for the user: `avif (speed=0 to 10, ...), ...`."""
    told = []
    for name, codec in CODECS.items():
        words = [f"{setting}={values}" for setting, values in codec.extras.items()]
        words += ["subsampling=" + " or ".join(codec.subsamplings)] * (len(codec.subsamplings) > 1)
        words += ["qtables=FILE"] * codec.takes_tables
        if words:
            told.append(f"{name} ({', '.join(words)})")
    return ", ".join(told)


def available() -> tuple[str, ...]:
    """Pillow's names of the formats of `CODECS` that can be read here."""
    return tuple(CODECS[name].pillow for name in installed())


def installed() -> tuple[str, ...]:
    """The codecs that can be read and written here."""
    return tuple(name for name, codec in CODECS.items() if codec.provider() is not None)


def missing_package(data: bytes) -> str | None:
    """The package that would read `data`, the beginning of a file, where that is all that is missing."""
    for codec in CODECS.values():
        if re.match(codec.begins, data, re.DOTALL) and codec.provider() is None:
            return codec.package
    return None


def require(name: str) -> None:
    """Check, before any work is done, that the codec `name` can be written here.

    Raises:
        AfdError: it cannot; the text names the package to install.
    """
    if (provided := kind(name)).provider() is None:
        what = f"make {name}" if name in CORRUPTIONS else f"write {name.upper()}"
        raise AfdError(f"Nothing here can {what}. Install what is missing with: pip install {provided.package}")


def versions() -> dict[str, str | None]:
    """The encoder of each codec: the same ones make the same bytes."""
    return {name: codec.provider() for name, codec in CODECS.items()}
