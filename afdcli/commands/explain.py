"""`afd explain`: what compression does to one photo inside the classifier, and what the module puts back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from afdcli.errors import UnreadableImage, WrongUse
from afdcli.methods.dct import BlockDCT
from afdcli.methods.distances import feature_angle
from afdcli.models.classifier import DedriftedClassifier, load_classifier
from afdcli.options import Compression, ExplainOptions
from afdcli.photos import damage
from afdcli.photos.reading import decode_rgb, read_rgb, read_source
from afdcli.photos.sources import Sources
from afdcli.results.figures import Explanation
from afdcli.results.record import check_may_write

PROGRAM = "afd explain"
TOP = 5


def explain(options: ExplainOptions) -> Explanation:
    """Explain the one photo of `options`.

    Raises:
        WrongUse: there is no module for the backbone.
        UnreadableImage: the photo cannot be read.
        OutputRefused: the output cannot be written, or must not be replaced.
    """
    _check_output(options)
    classifier = _load(options)
    preprocessing = classifier.backbone.preprocessing
    try:
        image = read_rgb(str(options.photo), options.read).image
    except UnreadableImage as error:
        raise UnreadableImage(f"'{options.photo}' cannot be read: {error}.") from None
    photo, compressed = preprocessing(image), None
    if options.compression is not None:
        try:
            compressed = preprocessing(damage.decode(damage.encode(image, options.compression)))
        except UnreadableImage as error:
            raise UnreadableImage(f"'{options.photo}' cannot be compressed: {error}. Choose another codec.") from None
    with torch.inference_mode():
        images = classifier.to_tensor(np.stack([np.asarray(view) for view in (photo, compressed) if view is not None]))
        assert classifier.module is not None
        untouched = DedriftedClassifier(classifier.backbone).to(images.device)
        outputs = classifier.outputs(images)
        features, mended, drift = outputs.found, outputs.features, outputs.drift
        assert features is not None and drift is not None
        plain, dedrifted = untouched(images).softmax(1), outputs.logits.softmax(1)
    labels = classifier.backbone.labels.names
    title = "photo"
    tops = {title: _top(plain[0], labels)}
    if options.compression is not None:
        title = f"{options.compression.codec.upper()} quality {options.compression.quality}"
        tops[title] = _top(plain[1], labels)
    tops[f"{title}, de-drifted"] = _top(dedrifted[-1], labels)
    return Explanation(
        title,
        np.asarray(photo),
        None if compressed is None else np.asarray(compressed),
        classifier.module.drift_of(drift)[-1].cpu().numpy(),
        classifier.module.measures_drift,
        None if compressed is None else feature_angle(features[1:], features[:1])[0].cpu().numpy(),
        None if compressed is None else feature_angle(mended[1:], features[:1])[0].cpu().numpy(),
        tops,
    )


def drift_statistics(options: ExplainOptions, levels: Sequence[Compression]) -> Iterator[dict[str, float]]:
    """How far compression turns the photos below `options.photo`, at each of `levels` (AFD, figure 4).

    For each photo and level, compressed as the network sees it, this yields its `quality`, and the mean angles in
    degrees between it and the original: `dct_angle` of the DCT coefficients of their blocks, and `feature_angle` of
    their features at the tap. Photos that cannot be read or compressed are passed over.

    Raises:
        WrongUse: there is no module for the backbone, which says where the tap is; or not one photo can be read.
        OutputRefused: the output cannot be written, or must not be replaced.
    """
    _check_output(options)
    classifier, dct = _load(options), BlockDCT()
    sources, seen = Sources([str(options.photo)]), 0
    for source in sources.reading():
        try:
            photo = classifier.backbone.preprocessing(decode_rgb(read_source(source), options.read).image)
            damaged = [damage.decode(damage.encode(photo, level)) for level in levels]
        except UnreadableImage:
            continue
        seen += 1
        with torch.inference_mode():
            images = classifier.to_tensor(np.stack([np.asarray(view) for view in (photo, *damaged)]))
            features, coefficients = classifier.features(images), dct.to(images.device)(images)
        for number, level in enumerate(levels, start=1):
            one = slice(number, number + 1)
            yield {
                "quality": level.quality,
                "dct_angle": float(feature_angle(coefficients[one], coefficients[:1]).mean()),
                "feature_angle": float(feature_angle(features[one], features[:1]).mean()),
            }
    if not seen:
        raise sources.unreadable()


def _load(options: ExplainOptions) -> DedriftedClassifier:
    classifier = load_classifier(options.model, options.weights)
    if classifier.module is None or not classifier.module.estimates_drift:
        raise WrongUse(
            f"There is no de-drifting module for {classifier.backbone.name} to explain. Train one with afd train, and "
            "name it with --weights."
        )
    return classifier


def _top(probabilities: Tensor, labels: Sequence[str]) -> list[tuple[str, float]]:
    values, indices = probabilities.topk(min(TOP, len(labels)))
    return [(labels[index], float(value)) for value, index in zip(values, indices, strict=True)]


def _check_output(options: ExplainOptions) -> None:
    inputs = (str(options.photo), options.weights, *options.model.files)
    check_may_write([options.output], PROGRAM, overwrite=options.overwrite, inputs=inputs)
