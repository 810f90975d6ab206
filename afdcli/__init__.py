"""Classify compressed images, measure what compression costs and win it back, and make compressed copies.

The names here are all that a script needs; each is imported when it is first used, torch with the first that needs it.

    import afdcli

    for row in afdcli.classify("photos"):
        print(row["path"], row["label_1"])

    model = afdcli.load()
    print(model("cat.jpg").label)

`classify`, `evaluate`, `degrade` and `load` take all options by keyword. Below them, each command is a frozen dataclass
of options, and what runs it.
"""

from importlib import import_module
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
    from afdcli.library import Model, Result, classify, degrade, evaluate, load, train_module
    from afdcli.models.classifier import DedriftedClassifier, load_classifier
    from afdcli.models.origin import Input
    from afdcli.models.plug import plug
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
    "Input",
    "Model",
    "ModelOptions",
    "Preprocessing",
    "ReadOptions",
    "Result",
    "TrainOptions",
    "Training",
    "bench",
    "classify",
    "degrade",
    "evaluate",
    "explain",
    "export",
    "fuse",
    "load",
    "load_classifier",
    "plug",
    "read_rgb",
    "train_module",
]

_MODULES = {
    "AfdError": "errors",
    "Classification": "commands.classify",
    "DedriftedClassifier": "models.classifier",
    "Degrading": "commands.degrade",
    "Evaluation": "commands.evaluate",
    "Preprocessing": "photos.preprocessing",
    "Model": "library",
    "Result": "library",
    "Training": "commands.train",
    "bench": "commands.bench",
    "classify": "library",
    "degrade": "library",
    "evaluate": "library",
    "explain": "commands.explain",
    "export": "commands.export",
    "fuse": "commands.fuse",
    "load": "library",
    "Input": "models.origin",
    "load_classifier": "models.classifier",
    "plug": "models.plug",
    "train_module": "library",
    "read_rgb": "photos.reading",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib import metadata  # only here: `afd --help` waits for no package's files

        return metadata.version("afd-dedrift")
    if name not in __all__:
        raise AttributeError(f"module 'afdcli' has no attribute '{name}'")
    return getattr(import_module(f"afdcli.{_MODULES.get(name, 'options')}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
