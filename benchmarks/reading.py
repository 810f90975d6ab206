"""What a photo costs from its file to the network's input, stage by stage: Pillow's and timm's way against afd's.

    python benchmarks/reading.py FOLDER [--photos 300] [--rounds 5] [--network-size 224]

Each way has a process of its own, as afd's workers are, and they take turns at each photo. The least processor time of
some rounds counts; printed are the means over the photos, in milliseconds. The decoder's own time, into an array that
nobody looks at, is what no way of reading can be faster than.
"""

import argparse
import io
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from unittest.mock import patch

import numpy as np
import simplejpeg
from PIL import Image

from afdcli.machines.hardware import reuse_some_memory
from afdcli.options import IMAGENET_C, EvaluateOptions, ReadOptions, TrainOptions, degradations
from afdcli.photos import damage, reading
from afdcli.photos.preprocessing import Preprocessing
from afdcli.photos.quality import jpeg_quality
from afdcli.photos.reading import Photo
from afdcli.photos.samples import load_sample
from afdcli.photos.sources import Source, Sources
from afdcli.training import pairs

READ = ReadOptions()


class WholeThenCrop(Preprocessing):
    """timm's way: the whole photo is resized, and most of it cut off."""

    def __call__(self, image: Image.Image) -> Image.Image:
        width, height = image.size
        short = self.short
        scaled = (short, int(short * height / width)) if width <= height else (int(short * width / height), short)
        left, top = (round((side - self.size) / 2) for side in scaled)
        return image.resize(scaled, self.interpolation).crop((left, top, left + self.size, top + self.size))


def pillow_photo(data: bytes, options: ReadOptions, least: int | None = None) -> Photo:
    """Pillow's way, as far as these photos need it: no turn, no profile."""
    with Image.open(io.BytesIO(data)) as image:
        rgb = image.convert("RGB")
        quality, exact = jpeg_quality(image.quantization) if hasattr(image, "quantization") else (None, None)
        return Photo(rgb, rgb.size, str(image.format), quality, exact)


def pillow_decode(data: bytes) -> Image.Image:
    """The same of a file that afd has just made."""
    return Image.open(io.BytesIO(data)).convert("RGB")


def measured(path: str, way: str, size: int, rounds: int) -> dict[str, float]:
    """The least processor time in milliseconds that each stage of the `way`, old or new, took with one photo."""
    parts = {stage: run for (stage, whose), run in stages(path, size).items() if whose == way}
    least = dict.fromkeys(parts, float("inf"))
    for _ in range(rounds):
        for stage, run in parts.items():
            begin = time.process_time_ns()
            run()
            least[stage] = min(least[stage], (time.process_time_ns() - begin) / 1e6)
    return least


def stages(path: str, size: int) -> dict[tuple[str, str], Callable[[], object]]:
    """What is measured of one photo: (stage, way) -> a function without arguments."""
    old, new = WholeThenCrop(size), Preprocessing(size)
    source, data = Source(path, path), Path(path).read_bytes()
    photo = reading.decode_rgb(data, READ).image
    crop = new(photo)

    def old_whole() -> np.ndarray:
        with Image.open(io.BytesIO(Path(path).read_bytes())) as image:
            return np.array(old(image.convert("RGB")))

    def by_pillow(way: Callable[[], object]) -> Callable[[], object]:
        def run() -> object:
            with (
                patch.object(damage, "decode_rgb", pillow_photo),
                patch.object(damage, "decode", pillow_decode),
                patch.object(pairs, "read_rgb", lambda path, options: pillow_photo(Path(path).read_bytes(), options)),
            ):
                return way()

        return run

    evaluated = EvaluateOptions("photos", levels=IMAGENET_C, order="compress-first")
    chain = degradations(IMAGENET_C, 1, False)
    levels = [damage.Level.of(one, evaluated.order) for one in chain]
    trained = TrainOptions(("photos",))

    def evaluate(preprocessing: Preprocessing) -> Callable[[], object]:
        return lambda: damage.damage(damage.Case(source), evaluated, chain, levels, preprocessing)

    def train() -> object:
        return pairs.make_pair((0, path), size, trained)

    return {
        ("the file", "old"): lambda: Path(path).read_bytes(),
        ("the file", "new"): lambda: reading.read_file(path),
        ("decoding, to RGB", "old"): lambda: Image.open(io.BytesIO(data)).convert("RGB"),
        ("decoding, to RGB", "new"): lambda: reading.decode_rgb(data, READ),
        ("resizing, cropping", "old"): lambda: old(photo),
        ("resizing, cropping", "new"): lambda: new(photo),
        ("to an array", "old"): lambda: np.array(crop),
        ("to an array", "new"): lambda: np.array(crop),
        ("file to input", "old"): old_whole,
        ("file to input", "new"): lambda: load_sample(source, READ, new),
        ("the decoder alone", "new"): lambda: simplejpeg.decode_jpeg(data, "RGBX", strict=False),
        ("evaluate, 5 levels, compress-first", "old"): by_pillow(evaluate(old)),
        ("evaluate, 5 levels, compress-first", "new"): evaluate(new),
        ("train, a pair", "old"): by_pillow(train),
        ("train, a pair", "new"): train,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--network-size", type=int, default=Preprocessing.size)
    arguments = parser.parse_args()
    jpegs = [one.path for one in Sources((arguments.folder,)) if Path(one.path).read_bytes()[:2] == b"\xff\xd8"]
    chosen = jpegs[:: max(1, len(jpegs) // arguments.photos)][: arguments.photos]
    total: dict[str, dict[str, float]] = {"old": {}, "new": {}}
    with (
        ProcessPoolExecutor(1, get_context("spawn")) as old,
        ProcessPoolExecutor(1, get_context("spawn"), initializer=reuse_some_memory) as new,
    ):
        for path in chosen:
            for way, process in (("old", old), ("new", new)):
                found = process.submit(measured, path, way, arguments.network_size, arguments.rounds).result()
                for stage, least in found.items():
                    total[way][stage] = total[way].get(stage, 0.0) + least / len(chosen)
    print(f"{len(chosen)} photos; milliseconds a photo\n\n| | old | new | |\n| --- | --- | --- | --- |")
    for stage, after in total["new"].items():
        before = total["old"].get(stage)
        cells = ("", "") if before is None else (f"{before:.2f}", f"{100 * after / before:.0f} %")
        print(f"| {stage} | {cells[0]} | {after:.2f} | {cells[1]} |")
