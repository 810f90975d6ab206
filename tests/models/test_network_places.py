"""Where a module can go is found by running a network, whatever it is."""

import pytest
import timm
import torch
from torch import nn

from afdcli.models.layouts import Layout, fitting
from afdcli.models.places import survey

torch.set_num_threads(1)


class Head(nn.Module):
    def forward(self, x):
        return x.flatten(1)[:, :5]


class Branches(nn.Module):
    """Two streams from the pixels on, which meet at the end."""

    def __init__(self):
        super().__init__()
        self.one, self.other, self.both, self.head = (
            nn.Conv2d(3, 4, 3, 2, 1),
            nn.Conv2d(3, 4, 3, 2, 1),
            Twice(),
            Head(),
        )

    def forward(self, x):
        return self.head(self.both(self.one(x), self.other(x)))


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = nn.Conv2d(4, 4, 1)

    def forward(self, x, y):
        return self.act(x) + self.act(y)


class Halves(nn.Module):
    """A submodule of which one half of the output goes one way, and the other another."""

    def __init__(self):
        super().__init__()
        self.first, self.part, self.head = nn.Conv2d(3, 4, 3, 2, 1), Part(), Head()

    def forward(self, x):
        x = self.first(x)
        return self.head(self.part(x) + x.chunk(2, 1)[1])


class Part(nn.Module):
    def forward(self, x):
        return x.chunk(2, 1)[0]


class InPlace(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.act, self.head = nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(inplace=True), Head()

    def forward(self, x):
        return self.head(self.act(self.first(x)))


class Shuffled(nn.Module):
    """Tokens column by column, or row by row."""

    def __init__(self, order):
        super().__init__()
        self.embed, self.tokens, self.head = nn.Conv2d(3, 4, 4, 4), Tokens(order), Head()

    def forward(self, x):
        return self.head(self.tokens(self.embed(x)))


class Tokens(nn.Module):
    def __init__(self, order):
        super().__init__()
        self.order = order

    def forward(self, x):
        return (x.mT if self.order == "columns" else x).flatten(2).transpose(1, 2)


def names(model, side=32):
    return [place.name for place in survey(model.eval(), (side, side)).places]


def test_only_what_all_goes_through_is_a_place():
    found = survey(Branches().eval(), (32, 32))
    assert [place.name for place in found.places] == ["both"]
    assert found.refused["both.act"] == "is called 2 times"
    assert "passed by" in found.refused["one"] and "passed by" in found.refused["other"]


def test_one_of_several_outputs_of_a_node_is_no_place():
    assert names(Halves()) == ["first"]


def test_what_is_changed_in_place_is_no_place_but_what_changes_it_is():
    found = survey(InPlace().eval(), (32, 32))
    assert [place.name for place in found.places] == ["act"]
    assert "changed in place" in found.refused["first"]


def test_tokens_must_be_in_the_order_of_their_places():
    assert names(Shuffled("rows")) == ["embed", "tokens"]
    found = survey(Shuffled("columns").eval(), (32, 32))
    assert [place.name for place in found.places] == ["embed"] and "another order" in found.refused["tokens"]


def test_a_model_that_looks_at_numbers_is_run_with_numbers():
    class Looks(InPlace):
        def forward(self, x):
            assert torch.isfinite(x).all().item()
            return super().forward(x)

    assert names(Looks()) == ["act"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_the_model_is_left_as_it_is(name):
    model = timm.create_model(name).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    random = torch.get_rng_state()
    survey(model, (160, 160))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert torch.equal(random, torch.get_rng_state())


@pytest.mark.parametrize(
    ("shape", "image", "layout"),
    [
        ((2, 24, 56, 56), (224, 224), "map"),
        ((2, 56, 56, 24), (224, 224), "last"),
        ((2, 24, 71, 71), (299, 299), "map"),
        ((2, 24, 20, 40), (160, 320), "map"),
        ((2, 20, 40, 24), (160, 320), "last"),
        ((2, 196, 64), (224, 224), "tokens"),
        ((2, 198, 64), (224, 224), "tokens+2"),
        ((2, 201, 64), (160, 320), "tokens+1"),
        ((2, 730, 64), (224, 224), "tokens+1"),
        ((2, 768, 1), (224, 224), None),
        ((2, 200, 64), (224, 224), "tokens+4"),
        ((2, 215, 64), (224, 224), None),
        ((2, 64, 1, 1), (224, 224), None),
        ((2, 64), (224, 224), None),
    ],
)
def test_a_layout_is_told_by_the_shape(shape, image, layout):
    found = next(fitting(shape, image), None)
    assert (found and str(found)) == layout


@pytest.mark.parametrize("layout", [Layout("map"), Layout("last"), Layout("tokens"), Layout("tokens", 3)])
@pytest.mark.parametrize("grid", [(4, 4), (4, 6), (6, 3)])
def test_what_is_read_is_written_back_where_it_was(layout, grid):
    height, width = grid
    image = (8 * height, 8 * width)
    shape = {"map": (2, 5, *grid), "last": (2, *grid, 5), "tokens": (2, layout.prefix + height * width, 5)}[layout.kind]
    x = torch.randn(shape)
    features = layout.read(x, image)
    assert features.shape == (2, 5, height, width)
    assert torch.equal(layout.write(x, features), x)
    changed = layout.write(x, features + torch.eye(height, width))
    assert torch.equal(layout.read(changed, image) - features, (features + torch.eye(height, width)) - features)
    assert torch.equal(changed[:, : layout.prefix], x[:, : layout.prefix])
