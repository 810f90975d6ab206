"""What linear layers that fold into a single convolution have in common."""

import torch
from torch import Tensor, nn


def parameters(convolution: nn.Module, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weight and bias of `convolution`, which has both, in `dtype`."""
    assert isinstance(convolution, nn.Conv2d) and convolution.bias is not None
    return convolution.weight.to(dtype), convolution.bias.to(dtype)


def filled(convolution: nn.Conv2d, weight: Tensor, bias: Tensor, like: Tensor) -> nn.Conv2d:
    """`convolution` with these weights, with the device and precision of `like`."""
    convolution.to(weight).load_state_dict({"weight": weight, "bias": bias})
    return convolution.to(like)
