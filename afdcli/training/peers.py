"""The processes that train one module together, as torchrun starts them."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor


class Peers:
    """This process among those that train together; by itself, unless torchrun started it."""

    def __init__(self) -> None:
        """Meet the others, and take a GPU of one's own, where there are GPUs."""
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        """This process's number, from 0; the first one alone writes files and speaks."""
        if self.count > 1 and not dist.is_initialized():
            if torch.accelerator.is_available():
                torch.accelerator.set_device_index(int(os.environ["LOCAL_RANK"]))
            dist.init_process_group()

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Make each of `tensors` the mean of what all processes have, in one message."""
        if self.count == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.count
        for tensor, mean in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))
