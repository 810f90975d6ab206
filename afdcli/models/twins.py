"""Copies of a network in structure, whose weights are not copied."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from torch import Tensor, nn


def twin(model: nn.Module) -> nn.Module:
    """A copy of `model` that shares its tensors, whatever becomes of them: moved for one, they are moved for both."""
    memo: dict[int, Any] = {}
    for module in model.modules():
        for table in (module._parameters, module._buffers):
            memo[id(table)] = table
            memo |= {id(tensor): tensor for tensor in table.values() if tensor is not None}
    return deepcopy(model, memo)


def changed_twin(model: nn.Module, change: Callable[[Tensor], Tensor]) -> nn.Module:
    """A copy of `model`, its weights frozen, that has `change` of each tensor of it."""
    memo: dict[int, Any] = {}
    for module in model.modules():
        for value in (*module._parameters.values(), *module._buffers.values(), *vars(module).values()):
            if isinstance(value, Tensor) and id(value) not in memo:
                changed = change(value)
                is_weight = isinstance(value, nn.Parameter)
                memo[id(value)] = nn.Parameter(changed, requires_grad=False) if is_weight else changed
    return deepcopy(model, memo)
