"""Classify compressed images, measure what compression costs and win it back, and make compressed copies.

The names here are all that a script needs; each is imported when it is first used, torch with the first that needs it.

    from afdcli import Classification, ClassifyOptions

    for row in Classification(ClassifyOptions(inputs=("photos",))).rows():
        print(row["path"], row["label_1"])
"""

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from afdcli.benching import bench
    from afdcli.classifier import DedriftedClassifier, load_classifier
    from afdcli.degrade import Degrading
    from afdcli.errors import AfdError
    from afdcli.evaluation import Evaluation
    from afdcli.explaining import explain
    from afdcli.exporting import export
    from afdcli.fusing import fuse
    from afdcli.images import Preprocessing, read_rgb
    from afdcli.inference import Classification
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
    from afdcli.training import Training

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
    "Classification": "inference",
    "DedriftedClassifier": "classifier",
    "Degrading": "degrade",
    "Evaluation": "evaluation",
    "Preprocessing": "images",
    "Training": "training",
    "bench": "benching",
    "explain": "explaining",
    "export": "exporting",
    "fuse": "fusing",
    "load_classifier": "classifier",
    "read_rgb": "images",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'afdcli' has no attribute '{name}'")
    return getattr(import_module(f"afdcli.{_MODULES.get(name, 'options')}"), name)
