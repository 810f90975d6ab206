"""What is done to one batch on its way through a classifier, and what is kept of it."""

from __future__ import annotations

from torch import Tensor

from afdcli.methods.remedy import Remedy


class Visit:
    """A batch to which a module does what it does."""

    def __init__(self, module: Remedy, images: Tensor, quality: Tensor | None = None) -> None:
        """`images` (B, 3, H, W) are RGB in [0, 1]; `quality` (B,) is the JPEG quality factor, NaN where not known."""
        self.images, self.quality = images, quality
        self.restored = module.restore(images)
        """What the network gets."""
        self.drift: Tensor | None = None
        """The map of `Remedy.mend`, if there is one."""
        self._module = module

    def at_tap(self, features: Tensor) -> Tensor:
        """What goes on instead of the `features` (B, C, h, w) at the tap."""
        mended, self.drift = self._module.mend(features, self.images, self.quality)
        return mended

    def at_block(self, number: int, features: Tensor) -> Tensor:
        """What goes on instead of the map `features` (B, C, h, w) that block `number` after the tap gives."""
        return self._module.correct(self.drift, number, features)

    def left(self, output: Tensor) -> None:
        """Told of the output of each block after the tap, laid out as the model has it, when all is done to it."""


class Recording(Visit):
    """One of which all is kept that losses compare."""

    found: Tensor
    """(B, C, h, w) at the tap, before anything is mended."""
    features: Tensor
    """(B, C, h, w) at the tap, what goes on."""

    def __init__(self, module: Remedy, images: Tensor, quality: Tensor | None = None) -> None:
        super().__init__(module, images, quality)
        self.stages: list[Tensor] = []
        """The output of each block after the tap, corrected."""

    def at_tap(self, features: Tensor) -> Tensor:
        """See `Visit`."""
        self.found = features
        self.features = super().at_tap(features)
        return self.features

    def left(self, output: Tensor) -> None:
        """See `Visit`."""
        self.stages.append(output)


class Arrived(Exception):
    """The features at the tap are there, and nothing behind it is wanted."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.features = features


class Arrival(Visit):
    """One that ends at the tap, with `Arrived`."""

    def at_tap(self, features: Tensor) -> Tensor:
        """See `Visit`."""
        raise Arrived(features)
