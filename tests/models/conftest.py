"""A tiny model, and a file of its weights."""

import json

import pytest
import timm
import torch
from safetensors.torch import save_file

torch.set_num_threads(1)  # Threads that wait for a busy processor make small networks many times slower.
TINY = "test_vit"


@pytest.fixture(scope="module")
def tiny():
    """A small model with three classes, its weights random."""
    torch.manual_seed(0)
    return timm.create_model(TINY, num_classes=3).eval()


@pytest.fixture
def checkpoint(tiny, tmp_path):
    path = tmp_path / "tiny.safetensors"
    save_file(tiny.state_dict(), path, {"labels": json.dumps(["ant", "bee", "cat"])})
    return path
