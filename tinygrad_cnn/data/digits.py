"""Real handwritten digits: the 1,797 that come with scikit-learn, 8x8 pixels each.

They are the test part of the "Optical Recognition of Handwritten Digits" data (Alpaydin and Kaynak, 1998), written by
13 people. Nothing is downloaded.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from ..errors import ArgumentError
from ..extras import require
from ..tensor import Tensor
from .loader import TensorDataset
from .transforms import interpolation


def digits(split: Literal["train", "test"] = "train", size: int = 32) -> TensorDataset:
    """Handwritten digits with their labels 0 to 9: 1,437 to train on, or the 360 held out.

    Args:
        split: ``"train"`` or ``"test"``. The split is the same in every run: the digits are put in order of their
            class, otherwise as they come, and every fifth is held out. So each class has its share of 35 to 37
            held-out digits. The writers occur in both parts: the test asks for new digits of known hands.
        size: height and width in pixels, 8 or more. The drawn part becomes ``3 * size // 4`` pixels large by bilinear
            interpolation, with an empty margin around it; size 8 gives the original pixels.

    Returns images (N, 1, size, size) as float32 from 0 (paper) to 1 (ink), and labels (N,) as int64.

    Raises :class:`ArgumentError` for another ``split`` or a ``size`` below 8, :class:`MissingPackageError` without
    scikit-learn.

    >>> images, labels = digits("test").tensors
    >>> images.shape, labels.shape
    ((360, 1, 32, 32), (360,))
    """
    if split not in ("train", "test"):
        raise ArgumentError("digits", "there is no such split", got=repr(split), expected="'train' or 'test'")
    if size < 8:
        raise ArgumentError("digits", "the digits have 8x8 pixels and are not made smaller", got=f"size={size}")
    source = require("digits", "sklearn.datasets", "scikit-learn", "data").load_digits()
    held_out = np.zeros(len(source.target), bool)
    held_out[np.argsort(source.target, kind="stable")[::5]] = True
    chosen = held_out if split == "test" else ~held_out
    images = enlarge(source.images[chosen].astype(np.float32) / 16, size)
    return TensorDataset(Tensor(images[:, None]), Tensor(source.target[chosen].astype(np.int64)))


def enlarge(images: np.ndarray, size: int) -> np.ndarray:
    """Images (N, H, H) in the middle of (N, size, size), drawn larger by bilinear interpolation where there is room.

    >>> enlarge(np.ones((1, 8, 8), np.float32), 32)[0, 16, 2:6]
    array([0., 0., 1., 1.], dtype=float32)
    """
    small = images.shape[-1]
    inner = max(small, 3 * size // 4)
    before = (size - inner) // 2
    matrix = interpolation(small, inner).astype(np.float32)
    margins = (before, size - inner - before)
    # (inner, H) @ (N, H, H) @ (H, inner) -> (N, inner, inner)
    return np.pad(matrix @ images @ matrix.T, ((0, 0), margins, margins))
