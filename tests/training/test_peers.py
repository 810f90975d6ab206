"""Two processes that train together, and one alone."""

import csv
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from afdcli.commands.train import Training
from afdcli.errors import WrongUse
from afdcli.options import ModelOptions, TrainOptions
from afdcli.training.peers import Peers

pytestmark = pytest.mark.slow


def test_alone_there_is_nothing_to_average():
    peers, values = Peers(), torch.tensor([1.0, 2.0])
    peers.average([values])
    assert (peers.rank, peers.count) == (0, 1) and values.tolist() == [1, 2]


def test_two_processes_train_what_one_trains(tmp_path, dedrifted):
    (tmp_path / "photos").mkdir()
    for number in range(6):
        noise = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((200, 150)).save(tmp_path / "photos" / f"{number}.png")

    def train(name, *launcher):
        output = tmp_path / f"{name}.safetensors"
        flags = f"--backbone test_resnet --backbone-checkpoint {dedrifted[0]} --device cpu --batch-size 4 --workers 0"
        flags += " --width 4 --depth 1 --rank 4 --steps 6 --validate-every 3"
        command = [
            sys.executable,
            "-m",
            *launcher,
            "afdcli",
            "train",
            tmp_path / "photos",
            "-o",
            output,
            *flags.split(),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        with output.with_suffix(".csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        return load_file(output.with_suffix(".last.safetensors")), rows

    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    (alone, log), (together, shared_log) = train("alone"), train("together", *torchrun)
    assert alone.keys() == together.keys()
    for name, tensor in alone.items():
        # AdamW makes a whole step of a gradient that is all rounding: one value in a thousand may be such a one.
        far = ~torch.isclose(together[name], tensor, rtol=1e-3, atol=1e-5)
        assert far.float().mean() < 1e-3, name
    assert [row["step"] for row in shared_log] == [row["step"] for row in log]
    losses = ([float(row["loss"]) for row in rows] for rows in (log, shared_log))
    np.testing.assert_allclose(*losses, rtol=1e-3)


def test_a_batch_is_shared_out_evenly_or_not_at_all(tmp_path, dedrifted, photos, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    model = ModelOptions("test_resnet", dedrifted[0], "cpu", batch_size=5)
    with pytest.raises(WrongUse, match="multiple of the 2 processes"):
        Training(TrainOptions((str(photos),), tmp_path / "m.safetensors", model=model))
