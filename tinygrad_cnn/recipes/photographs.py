"""Patches of photographs, as the recipes use them."""

from __future__ import annotations

import numpy as np

from ..data.photos import Split, patches, photograph, photographs
from ..tensor import Tensor


def small_patches(split: Split, count: int, size: int, seed: int = 0) -> np.ndarray:
    """Squares of ``size`` pixels from random places of the coloured scenes at half their size: (count, 3, size, size).

    Each pixel is the mean of 2x2: noise and traces of compression go, and a patch shows more.

    Raises :class:`MissingPackageError` without scikit-learn or scikit-image.
    """
    halved = []
    for name in photographs(split, "scene"):
        pixels = photograph(name).numpy()
        height, width = (length // 2 for length in pixels.shape[1:])
        whole = pixels[:, : 2 * height, : 2 * width].reshape(3, height, 2, width, 2)
        halved.append(Tensor(whole.mean((2, 4)), device="cpu"))
    found: np.ndarray = patches(halved, size, count=count, seed=seed).numpy()
    return found
