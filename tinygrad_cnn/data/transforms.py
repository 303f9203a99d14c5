"""Random changes of images that leave their meaning as it is, so that a network sees more than was collected."""

from __future__ import annotations

import numpy as np

from ..errors import ArgumentError, ShapeError
from ..tensor import Tensor


class RandomAffine:
    """Turns, shifts and scales each image of a batch by its own random amounts; what comes in from outside is 0.

    Args:
        degrees: the largest angle to either side.
        translate: the largest shift, down and across, as shares of height and width.
        scale: smallest and largest factor.

    Pixels are read between four neighbours, linearly. Raises :class:`ArgumentError` for amounts out of range.

    >>> shift = RandomAffine(degrees=0, translate=(0, 0.5))
    >>> image = Tensor([[[[0.0, 1.0, 0.0, 0.0]]]])
    >>> shift(image, np.random.default_rng(0)).shape
    (1, 1, 1, 4)
    """

    def __init__(
        self, degrees: float, translate: tuple[float, float] = (0.0, 0.0), scale: tuple[float, float] = (1.0, 1.0)
    ) -> None:
        given = f"degrees={degrees}, translate={translate}, scale={scale}"
        if degrees < 0 or min(translate) < 0 or not 0 < scale[0] <= scale[1]:
            raise ArgumentError(
                "RandomAffine", "an amount is out of range", got=given,
                expected="degrees >= 0, translate >= 0, 0 < smallest scale <= largest scale",
            )  # fmt: skip
        self.degrees, self.translate, self.scale = degrees, translate, scale

    def __repr__(self) -> str:
        return f"RandomAffine(degrees={self.degrees}, translate={self.translate}, scale={self.scale})"

    def __call__(self, images: Tensor, random: np.random.Generator) -> Tensor:
        """The changed images, (N, C, H, W) as before, on the same device.

        Raises :class:`ShapeError` for another number of axes.
        """
        if images.ndim != 4:
            raise ShapeError("RandomAffine", "these are no images", got=repr(images.spec), expected="(N, C, H, W)")
        n, _, height, width = images.shape
        angle = np.deg2rad(random.uniform(-self.degrees, self.degrees, n))
        scale = random.uniform(*self.scale, n)
        down = random.uniform(-1, 1, n) * self.translate[0] * height
        across = random.uniform(-1, 1, n) * self.translate[1] * width
        # Each new pixel (y, x), seen from the image's centre, is read where the inverse change takes it: (N, H, W).
        y = (np.arange(height) - (height - 1) / 2)[None, :, None] - down[:, None, None]
        x = (np.arange(width) - (width - 1) / 2)[None, None, :] - across[:, None, None]
        cos, sin = ((f(angle) / scale)[:, None, None] for f in (np.cos, np.sin))
        moved = _read(images.numpy(), cos * y - sin * x + (height - 1) / 2, sin * y + cos * x + (width - 1) / 2)
        return Tensor(moved, device=images.device)


def _read(images: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Images (N, C, H, W) read at places (N, H, W) between pixels; 0 outside."""
    n, channels, height, width = images.shape
    wide = width + 2
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1))).reshape(n, channels, wide * (height + 2))
    y, x = np.clip(y + 1, 0, height + 1), np.clip(x + 1, 0, width + 1)
    top, left = np.minimum(y.astype(np.intp), height), np.minimum(x.astype(np.intp), width)
    fy, fx = (y - top).astype(images.dtype), (x - left).astype(images.dtype)
    corner = (top * wide + left).reshape(n, 1, height * width)
    result = np.zeros(images.shape, images.dtype)
    for step, weight in ((0, (1 - fy) * (1 - fx)), (1, (1 - fy) * fx), (wide, fy * (1 - fx)), (wide + 1, fy * fx)):
        result += weight[:, None] * np.take_along_axis(padded, corner + step, 2).reshape(images.shape)
    return result
