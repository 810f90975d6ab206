"""What the `drift` column and its map are worth, against the truth: the angle between damaged and original features.

    python benchmarks/drift.py PHOTOS [--weights auto] [--limit 200]

For JPEG of five qualities, compressed after cropping and before: the mean true angle and the mean estimate; Pearson,
place by place, the mean over photos; and AUC, how well the mean estimate tells damaged from undamaged photos. Then,
over all photos: Pearson but at the first quality, Spearman of the means, and that AUC with those undamaged photos
alone whose own last save was of quality 90 or more: the others are damaged, and the estimate says so.
"""

import argparse
from itertools import islice

import numpy as np
import torch
from scipy.stats import mannwhitneyu, spearmanr

from afdcli.machines.hardware import reuse_memory
from afdcli.methods.distances import feature_angle
from afdcli.models.classifier import DedriftedClassifier, load_classifier
from afdcli.options import DEFAULT_BACKBONE, Compression, ModelOptions, ReadOptions
from afdcli.photos.damage import decode, encode
from afdcli.photos.reading import read_rgb
from afdcli.photos.sources import Sources

QUALITIES = (60, 25, 15, 10, 7)
GOOD = 90


@torch.inference_mode()
def maps(network: DedriftedClassifier, path: str, order: str) -> tuple[np.ndarray, np.ndarray, int | None]:
    """Estimated and true angles (1 + qualities, h, w) of a photo, undamaged first; and the quality it came with."""
    photo, crop = read_rgb(path, ReadOptions()), network.backbone.preprocessing
    views = [crop(photo.image)]
    for quality in QUALITIES:
        whole = views[0] if order == "crop-first" else photo.image
        damaged = decode(encode(whole, Compression("jpeg", quality)))
        views.append(damaged if order == "crop-first" else crop(damaged))
    images = network.to_tensor(np.stack([np.asarray(view) for view in views]))
    features = network.features(images)
    assert network.module is not None
    _, drift = network.module.mend(features, images)
    assert drift is not None
    return network.module.drift_of(drift).numpy(), feature_angle(features, features[:1]).numpy(), photo.quality


def auc(undamaged: np.ndarray, damaged: np.ndarray) -> float:
    """How often a damaged photo is estimated higher than an undamaged one."""
    return float(mannwhitneyu(damaged, undamaged).statistic / (len(damaged) * len(undamaged)))


def report(network: DedriftedClassifier, paths: list[str], order: str) -> None:
    """Print the rows of one order."""
    found = [maps(network, path, order) for path in paths]
    estimated, true = (np.stack(each) for each in ([one[0] for one in found], [one[1] for one in found]))
    good = np.array([(one[2] or 0) >= GOOD for one in found])
    means, truths = estimated.mean((2, 3)), true.mean((2, 3))
    print(f"| undamaged, {order} | 0.0 | {means[:, 0].mean():.2f} | - | - |")
    pearsons = []
    for number, quality in enumerate(QUALITIES, start=1):
        pairs = zip(estimated[:, number], true[:, number], strict=True)
        pearsons.append(np.mean([np.corrcoef(one.ravel(), other.ravel())[0, 1] for one, other in pairs]))
        row = f"{truths[:, number].mean():.1f} | {means[:, number].mean():.2f} | {pearsons[-1]:.2f}"
        print(f"| JPEG {quality}, {order} | {row} | {auc(means[:, 0], means[:, number]):.3f} |", flush=True)
    spearman = spearmanr(means[:, 1:].ravel(), truths[:, 1:].ravel()).statistic
    print(f"{order}: Pearson {np.mean(pearsons[1:]):.3f}, Spearman {spearman:.3f}")
    of_good = auc(means[good, 0], means[good, 1])
    print(f"AUC of JPEG {QUALITIES[0]}, {good.sum()} photos of quality {GOOD} or more: {of_good:.3f}\n", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos")
    parser.add_argument("--weights", default="auto")
    parser.add_argument("--backbone", default=DEFAULT_BACKBONE)
    parser.add_argument("--limit", type=int, default=200)
    arguments = parser.parse_args()
    reuse_memory()
    network = load_classifier(ModelOptions(arguments.backbone, device="cpu"), arguments.weights)
    every = [source.path for source in Sources((arguments.photos,))]
    paths = list(islice(every[:: max(1, len(every) // arguments.limit)], arguments.limit))
    print(f"{len(paths)} photos\n\n| | true angle: mean | mean estimate | Pearson | AUC |")
    print("| --- | --- | --- | --- | --- |")
    for order in ("crop-first", "compress-first"):
        report(network, paths, order)
