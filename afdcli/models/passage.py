"""A model with something done to the features at its tap and behind its blocks, in its own, unchanged forward.

It is done by forward hooks on a twin of the model, which has the same tensors in a structure of its own. A wrapper in
the place of the submodule would change the names of weights, and hide what parents read off it. Hooks on the model
itself would meet each other where two classifiers share it, and would stay in it. The twin has the model's names,
attributes and classes, nobody else has the twin, and a hook that is a method of this object goes along with copies,
`torch.compile` and `torch.export`. What is known of a batch on its way is kept apart for each thread.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

from torch import Tensor, nn

from afdcli.models.layouts import Layout
from afdcli.models.taps import Tap
from afdcli.models.twins import twin
from afdcli.models.visits import Visit


class _Here(threading.local):
    """The visit that is going on, in each thread its own."""

    visit: Visit | None = None

    def __reduce__(self) -> tuple[Any, ...]:  # so that it can be copied: where nothing is going on
        return _Here, ()


class Passage(nn.Module):
    """The model, with what a `Visit` does on the way."""

    def __init__(self, model: nn.Module, tap: Tap) -> None:
        """`model` is left as it is; its tensors are shared, see `twin`."""
        super().__init__()
        self.model = twin(model)
        self._here = _Here()
        for number, place in reversed(list(enumerate((tap.place, *tap.blocks), start=-1))):
            hook = partial(self._pass, number, place.layout)
            self.model.get_submodule(place.name).register_forward_hook(hook)

    def forward(self, images: Tensor, visit: Visit) -> Any:
        """What the model gives for `images` (B, 3, H, W), normalised as it takes them, changed by `visit`."""
        before, self._here.visit = self._here.visit, visit
        try:
            return self.model(images)
        finally:
            self._here.visit = before

    def _pass(self, number: int, layout: Layout, _: nn.Module, __: tuple[Any, ...], output: Tensor) -> Tensor:
        visit = self._here.visit
        assert visit is not None
        features = layout.read(output, (int(visit.images.shape[2]), int(visit.images.shape[3])))
        changed = visit.at_tap(features) if number < 0 else visit.at_block(number, features)
        if changed is not features:
            output = layout.write(output, changed)
        if number >= 0:
            visit.left(output)
        return output
