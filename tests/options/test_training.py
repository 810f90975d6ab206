"""The groups of training's options, and its methods and recipes."""

import pytest

from afdcli.errors import WrongUse
from afdcli.methods import METHODS as CLASSES
from afdcli.options import RECIPES, SHAPE, LossWeights, ModuleShape, TrainOptions, build
from afdcli.options.training import METHODS


def test_the_groups_are_parts_of_the_whole():
    options = TrainOptions(("photos",), width=8, pixel_weight=0)
    assert isinstance(options, ModuleShape) and isinstance(options, LossWeights)
    assert (options.width, options.pixel_weight) == (8, 0.0)
    assert SHAPE == ("tap", "width", "growth", "depth", "stride", "hidden", "pooled", "estimator", "rank")


@pytest.mark.parametrize("name", METHODS)
def test_each_method_is_the_class_that_its_row_names(name):
    assert CLASSES[name].method == name
    assert CLASSES[name].__name__ == METHODS[name].where.partition(":")[2]


@pytest.mark.parametrize("recipe", RECIPES.values())
def test_each_recipe_makes_options(recipe):
    options = build(TrainOptions, recipe | {"photos": "a"})
    assert all(getattr(options, name) == value for name, value in recipe.items())


@pytest.mark.parametrize("name", METHODS)
def test_only_some_methods_learn_labels(name):
    if METHODS[name].takes_labels:
        assert TrainOptions("a", method=name, labels=True).labels
    else:
        with pytest.raises(WrongUse, match="--labels are for --method fct and augment"):
            TrainOptions("a", method=name, labels=True)
