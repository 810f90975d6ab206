"""Classify compressed images, measure what compression costs and win it back, and make compressed copies.

The names here are all that a script needs; each is imported when it is first used, torch with the first that needs it.

    from afdcli import Classification, ClassifyOptions

    for row in Classification(ClassifyOptions(inputs=("photos",))).rows():
        print(row["path"], row["label_1"])
"""

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from afdcli.commands.bench import bench
    from afdcli.commands.classify import Classification
    from afdcli.commands.degrade import Degrading
    from afdcli.commands.evaluate import Evaluation
    from afdcli.commands.explain import explain
    from afdcli.commands.export import export
    from afdcli.commands.fuse import fuse
    from afdcli.commands.train import Training
    from afdcli.errors import AfdError
    from afdcli.models.classifier import DedriftedClassifier, load_classifier
    from afdcli.options import (
        BenchOptions,
        ClassifyOptions,
        Compression,
        Degradation,
        DegradeOptions,
        EvaluateOptions,
        ExplainOptions,
        ExportOptions,
        FuseOptions,
        ModelOptions,
        ReadOptions,
        TrainOptions,
    )
    from afdcli.photos.preprocessing import Preprocessing
    from afdcli.photos.reading import read_rgb

__version__ = metadata.version("afd-dedrift")
__all__ = [
    "AfdError",
    "BenchOptions",
    "Classification",
    "ClassifyOptions",
    "Compression",
    "DedriftedClassifier",
    "Degradation",
    "DegradeOptions",
    "Degrading",
    "EvaluateOptions",
    "Evaluation",
    "ExplainOptions",
    "ExportOptions",
    "FuseOptions",
    "ModelOptions",
    "Preprocessing",
    "ReadOptions",
    "TrainOptions",
    "Training",
    "bench",
    "explain",
    "export",
    "fuse",
    "load_classifier",
    "read_rgb",
]

_MODULES = {
    "AfdError": "errors",
    "Classification": "commands.classify",
    "DedriftedClassifier": "models.classifier",
    "Degrading": "commands.degrade",
    "Evaluation": "commands.evaluate",
    "Preprocessing": "photos.preprocessing",
    "Training": "commands.train",
    "bench": "commands.bench",
    "explain": "commands.explain",
    "export": "commands.export",
    "fuse": "commands.fuse",
    "load_classifier": "models.classifier",
    "read_rgb": "photos.reading",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'afdcli' has no attribute '{name}'")
    return getattr(import_module(f"afdcli.{_MODULES.get(name, 'options')}"), name)
