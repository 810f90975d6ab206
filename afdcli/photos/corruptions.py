"""Damage that is no compression: the corruptions of "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations" (Hendrycks and Dietterich, ICLR 2019), as the package `imagecorruptions-imaug` makes them.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from afdcli.errors import UnreadableImage

LEAST_SIDE = 32
"""The shortest side, in pixels, that they are defined for."""
OWN_SEED = ("impulse_noise", "glass_blur")
"""Those that draw by a seed of their own, and not by numpy's."""


def corrupted(image: Image.Image, name: str, severity: int, rng: np.random.Generator) -> Image.Image:
    """`image` (mode RGB) after the corruption called `name` at a `severity` from 1 to 5; `rng` decides what is drawn.

    Raises:
        UnreadableImage: it is too small.
    """
    if min(image.size) < LEAST_SIDE:
        raise UnreadableImage(f"{name} takes no side of less than {LEAST_SIDE} pixels")
    from imagecorruptions import corrupt  # takes two seconds: numba and OpenCV

    seed, before = int(rng.integers(2**31)), np.random.get_state()
    np.random.seed(seed)
    try:
        own = {"seed": seed} if name in OWN_SEED else {}
        return Image.fromarray(corrupt(np.asarray(image), severity, name, **own))
    finally:
        np.random.set_state(before)
