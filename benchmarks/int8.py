"""What the classifier, module and all, would lose and gain as 8-bit integers in OpenVINO.

    pip install nncf
    python benchmarks/int8.py PHOTOS LABELLED [--calibration 300]

PHOTOS, damaged as in training, give the range of every activation; LABELLED has a folder for each class, and is
damaged as in ImageNet-C. Prints for float32, int8, and bfloat16 where the processor has it: top-1 at each level, how
many photos keep float32's class, the largest change of a probability; and images a second, in turn.
"""

import argparse
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import nncf
import numpy as np
from PIL import Image

from afdcli import ModelOptions, TrainOptions
from afdcli.formats.exports import EXPORTS, Run, import_openvino
from afdcli.machines.processes import threaded_map
from afdcli.models.classifier import load_classifier
from afdcli.options import IMAGENET_C, ReadOptions
from afdcli.photos.damage import decode, encode
from afdcli.photos.labels import labels_of
from afdcli.photos.samples import load_sample
from afdcli.photos.sources import Sources
from afdcli.training.pairs import make_pair

BATCH = 32
ROUNDS = 9

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("photos")
parser.add_argument("labelled")
parser.add_argument("--calibration", type=int, default=300)


def probabilities(run: Run, pixels: np.ndarray) -> np.ndarray:
    """(B, classes) of `pixels` (B, H, W, 3), as many batches at once as in `afd classify`."""
    batches = [[pixels[begin : begin + BATCH]] for begin in range(0, len(pixels), BATCH)]
    return np.concatenate([outputs[0] for outputs in threaded_map(run, batches, EXPORTS["openvino"].threads)])


if __name__ == "__main__":
    arguments = parser.parse_args()
    classifier = load_classifier(ModelOptions(device="cpu"), "auto")
    preprocessing = classifier.backbone.preprocessing
    paths = [source.path for source in Sources((arguments.photos,))]
    drawn = np.random.default_rng(0).permutation(paths)[: arguments.calibration]
    draw = partial(make_pair, size=preprocessing.size, options=TrainOptions((arguments.photos,)))
    pairs = map(draw, enumerate(drawn))
    seen = nncf.Dataset([pair.degraded[None] for pair in pairs if pair is not None])

    sources = list(Sources((arguments.labelled,)))
    right = np.array(labels_of(sources, classifier.backbone.labels))
    samples = [load_sample(source, ReadOptions(), preprocessing) for source in sources]
    clean = [sample.pixels for sample in samples if sample.pixels is not None]
    assert len(clean) == len(sources), "all of these photos can be read"
    levels = {"undamaged": np.stack(clean)}
    for level in IMAGENET_C:
        copies = (decode(encode(Image.fromarray(pixels), level)) for pixels in clean)
        levels[f"JPEG {level.quality}"] = np.stack([np.asarray(copy) for copy in copies])

    with tempfile.TemporaryDirectory() as folder:
        network, quantised = Path(folder, "network.xml"), Path(folder, "int8.xml")
        EXPORTS["openvino"].save(classifier.graph(), network)
        model = import_openvino().Core().read_model(network)
        import_openvino().save_model(nncf.quantize(model, seen, subset_size=arguments.calibration), quantised)
        load = EXPORTS["openvino"].load
        runs = {"float32": load(network, "float32", None), "int8": load(quantised, "float32", None)}
        if EXPORTS["openvino"].computes("bfloat16"):
            runs["bfloat16"] = load(network, "bfloat16", None)

    expected = {name: probabilities(runs["float32"], pixels) for name, pixels in levels.items()}
    for precision, run in runs.items():
        print(precision)
        for name, pixels in levels.items():
            found = probabilities(run, pixels)
            top, kept = found.argmax(1), np.sum(found.argmax(1) == expected[name].argmax(1))
            print(
                f"    {name}: top-1 {100 * np.mean(top == right):.1f} %, {kept} of {len(top)} keep their class, "
                f"largest change {np.abs(found - expected[name]).max():.3f}"
            )
    times: dict[str, list[float]] = {precision: [] for precision in runs}
    for precision, run in list(runs.items()) * ROUNDS:
        begin = time.perf_counter()
        probabilities(run, levels["undamaged"])
        times[precision].append(time.perf_counter() - begin)
    for precision, seconds in times.items():
        print(f"{precision}: {len(clean) / statistics.median(seconds):.0f} images a second")
