"""One step: the student moves, the average follows, the teacher and the backbone stay; and the state is all of it."""

import numpy as np
import pytest
import torch

from afdcli.models.backbones import load_backbone
from afdcli.models.checkpoint import load_checkpoint
from afdcli.options import ModelOptions, TrainOptions
from afdcli.training.learner import Learner
from afdcli.training.pairs import Pair
from afdcli.training.peers import Peers

torch.set_num_threads(1)


@pytest.fixture
def made(dedrifted):
    """What makes the same learner again and again, and a batch for it."""
    network, file = dedrifted
    options = TrainOptions(("photos",), weights=str(file), model=ModelOptions("test_resnet", network, "cpu"))
    backbone = load_backbone("test_resnet", network)
    size, rng = backbone.preprocessing.size, np.random.default_rng(0)
    crops = rng.integers(0, 256, (2, 2, size, size, 3), dtype=np.uint8)
    batch = [Pair(f"{number}.jpg", original, degraded, 50.0) for number, (original, degraded) in enumerate(crops)]
    return lambda: Learner(backbone, load_checkpoint(file), options, Peers(), {}), batch


@pytest.mark.slow
def test_a_step_moves_the_student_the_average_follows_and_the_rest_stays(made):
    make, batch = made
    learner = make()
    before = {name: value.clone() for name, value in learner.state().items()}
    backbone = {name: value.clone() for name, value in learner.teacher.backbone.model.state_dict().items()}
    losses = learner.step(batch)
    assert learner.done == 1 and losses["loss"] > 0
    after = learner.state()
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert any(name.startswith("student.") for name in moved) and any(name.startswith("average.") for name in moved)
    name = next(name for name in moved if name.startswith("student."))
    average = name.replace("student.", "average.")
    # At first the average keeps a tenth of itself.
    torch.testing.assert_close(after[average], 0.1 * before[average] + 0.9 * after[name])
    for one, value in learner.teacher.backbone.model.state_dict().items():
        assert torch.equal(value, backbone[one])


@pytest.mark.slow
def test_the_state_is_all_that_a_step_depends_on(made):
    make, batch = made
    learner, other = make(), make()
    learner.step(batch)
    other.load({name: value.clone() for name, value in learner.state().items()}, learner.done)
    assert learner.step(batch) == other.step(batch)
    assert all(torch.equal(value, other.state()[name]) for name, value in learner.state().items())
    with pytest.raises(KeyError):
        make().load({}, 1)
