"""What each command can be asked for: frozen dataclasses, checked once, for the command line and for Python."""

from afdcli.machines.hardware import default_workers
from afdcli.options.commands import (
    BenchOptions,
    ClassifyOptions,
    DegradeOptions,
    ExplainOptions,
    ExportOptions,
    FuseOptions,
)
from afdcli.options.damage import (
    QUALITIES,
    SUBSAMPLED,
    SUBSAMPLINGS,
    Compression,
    Degradation,
    degradations,
)
from afdcli.options.evaluation import IMAGENET_C, PRESETS, EvaluateOptions
from afdcli.options.fields import Options, build
from afdcli.options.gallery import GalleryOptions
from afdcli.options.groups import (
    CLUSTERS,
    DEFAULT_BACKBONE,
    ENGINES,
    EXPORT_ENDINGS,
    MAX_PIXELS,
    RESULT_ENDINGS,
    TAPS,
    ModelOptions,
    ReadOptions,
)
from afdcli.options.training import METHOD_NAMES, RECIPES, SHAPE, LossWeights, ModuleShape, TrainOptions

__all__ = [
    "CLUSTERS",
    "DEFAULT_BACKBONE",
    "ENGINES",
    "EXPORT_ENDINGS",
    "IMAGENET_C",
    "MAX_PIXELS",
    "METHOD_NAMES",
    "PRESETS",
    "QUALITIES",
    "RECIPES",
    "RESULT_ENDINGS",
    "SHAPE",
    "SUBSAMPLED",
    "SUBSAMPLINGS",
    "TAPS",
    "BenchOptions",
    "ClassifyOptions",
    "Compression",
    "Degradation",
    "DegradeOptions",
    "EvaluateOptions",
    "ExplainOptions",
    "ExportOptions",
    "FuseOptions",
    "GalleryOptions",
    "LossWeights",
    "ModelOptions",
    "ModuleShape",
    "Options",
    "ReadOptions",
    "TrainOptions",
    "build",
    "default_workers",
    "degradations",
]
