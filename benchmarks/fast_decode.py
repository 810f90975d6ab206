"""What `--fast-decode` loses on photos of many megapixels, where twice and where four times the pixels needed are kept.

    python benchmarks/fast_decode.py DATASET [--megapixels 12] [--photos 500] [--weights none]

DATASET has photos in folders that are named by their class. Photos that are smaller than asked for are enlarged
(Lanczos) and saved as JPEG of quality 90. They are smoother than a camera's of that size, and so show less of a loss
than there may be; `--megapixels 0` takes photos as they are. Prints top-1 with its 95 % Wilson interval, and how many
photos keep the class that they get when decoded whole.
"""

import argparse
import io
import math
from functools import partial

import numpy as np
from PIL import Image

from afdcli.engines.loading import load_engine
from afdcli.machines.hardware import default_workers
from afdcli.machines.processes import in_parts, ordered_map
from afdcli.options import ModelOptions, ReadOptions
from afdcli.photos.labels import labels_of
from afdcli.photos.preprocessing import Preprocessing
from afdcli.photos.reading import decode_rgb, read_file
from afdcli.photos.sources import Source, Sources
from afdcli.results.statistics import wilson

READ = ReadOptions()
WAYS = {"whole": None, "4 times": 2, "twice": 1}
"""How much is kept, of what the network's image is resized to, and how often `decode_rgb` is to double that."""


def enlarged(data: bytes, megapixels: float) -> bytes:
    """The JPEG file `data`, made at least so large."""
    image = decode_rgb(data, READ).image
    factor = math.sqrt(megapixels * 1e6 / (image.width * image.height))
    if factor <= 1:
        return data
    buffer = io.BytesIO()
    size = (round(factor * image.width), round(factor * image.height))
    image.resize(size, Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=90, subsampling="4:2:0")
    return buffer.getvalue()


def views(source: Source, preprocessing: Preprocessing, megapixels: float) -> np.ndarray | None:
    """What the network sees of a photo, decoded in each of the ways: (W, H, W, 3) uint8."""
    data = enlarged(read_file(source.path), megapixels)
    leasts = [times and times * preprocessing.short for times in WAYS.values()]
    return np.stack([np.asarray(preprocessing(decode_rgb(data, READ, least).image)) for least in leasts])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--megapixels", type=float, default=12.0)
    parser.add_argument("--photos", type=int, default=500)
    parser.add_argument("--weights", default="none")
    arguments = parser.parse_args()
    engine = load_engine(ModelOptions(), arguments.weights)
    found = list(Sources((arguments.dataset,), dataset=True))
    sources = found[:: max(1, len(found) // arguments.photos)][: arguments.photos]
    labels = labels_of(sources, engine.about.labels)
    look = partial(views, preprocessing=engine.about.preprocessing, megapixels=arguments.megapixels)
    room = len(WAYS) * engine.about.preprocessing.nbytes
    seen = ordered_map(look, sources, workers=default_workers(), ahead=8, room=room, crashed=lambda _: None)
    classes, known = [], []
    for batch in in_parts(zip(labels, seen, strict=True), 16):
        readable = [(label, photo) for label, photo in batch if photo is not None]
        index = engine.predict_topk(np.concatenate([pixels for _, pixels in readable]), 1)[0]
        classes.append(index.reshape(len(readable), len(WAYS)))
        known += [one for one, _ in readable]
    each = np.concatenate(classes)
    print(f"{len(each)} photos of {arguments.megapixels:g} megapixels\n")
    print("| kept | top-1 | its interval | the class of the whole | its interval |\n| --- | --- | --- | --- | --- |")
    for number, way in enumerate(WAYS):
        right, same = each[:, number] == np.array(known), each[:, number] == each[:, 0]
        spans = [" - ".join(f"{100 * end:.1f}" for end in wilson(one)) for one in (right, same)]
        print(f"| {way} | {100 * right.mean():.1f} % | {spans[0]} | {same.sum()} of {len(same)} | {spans[1]} |")
