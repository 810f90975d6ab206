import numpy as np
import torch

from afdcli.methods import METHODS
from afdcli.methods.distances import divergence, relative_error
from afdcli.methods.remedy import Batch, Remedy, misprediction
from afdcli.options import METHOD_NAMES


def test_losses_by_hand():
    target = torch.tensor([[1.0, 2.0], [0.0, 2.0]])
    assert relative_error(target, target) == 0
    torch.testing.assert_close(relative_error(torch.zeros(2, 2), target), torch.tensor(1.01).sqrt() - 0.1)
    right, wrong = torch.tensor([[0.0, 0.0]]), torch.tensor([[np.log(3.0), 0.0]])
    expected = 0.5 * np.log(0.5 / 0.75) + 0.5 * np.log(0.5 / 0.25)
    torch.testing.assert_close(divergence(wrong, right).item(), expected, rtol=1e-5, atol=0)


def test_labels_go_before_the_untouched_prediction() -> None:
    images, logits = torch.rand(2, 3, 8, 8), torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    unlabelled = Batch(images, images, torch.full((2,), 100.0))
    assert misprediction(logits, unlabelled, logits) == 0
    labelled = Batch(images, images, torch.full((2,), 100.0), torch.tensor([0, 0]))
    expected = (np.log(1 + np.exp(-2)) + np.log(1 + np.exp(1))) / 2
    torch.testing.assert_close(misprediction(logits, labelled, logits).item(), expected, rtol=1e-5, atol=0)


def test_a_remedy_alone_changes_nothing() -> None:
    remedy, features, images = Remedy(), torch.randn(1, 4, 5, 5), torch.rand(1, 3, 20, 20)
    assert remedy.restore(images) is images
    assert remedy.mend(features, images) == (features, None)
    assert remedy.correct(None, 0, features) is features
    assert remedy.folded() is remedy and remedy.is_folded


def test_every_method_has_the_name_it_is_asked_for_by() -> None:
    assert tuple(METHODS) == METHOD_NAMES
