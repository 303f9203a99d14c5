"""Networks that mend photographs: noise, missing colour, a watermark, missing sharpness."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .. import data, nn
from ..data import GaussianNoise, Grayscale, TensorDataset
from ..extras import require
from ..models import unet
from ..nn import functional as F
from ..tensor import Tensor
from ..train import Epoch
from .base import Painter, Recipe, Result, predict
from .photographs import small_patches


class Mending(nn.Module):
    """The spoilt image plus what a network says is missing: ``(N, C, H, W)`` to ``(N, 3, H, W)``.

    The last layer starts at 0, so an untrained network leaves the image as it is. (after Zhang et al., 2017)
    """

    def __init__(self, inner: nn.Module) -> None:
        self.inner = inner
        last = [part for part in inner.modules() if isinstance(part, nn.Conv2d)][-1]
        for parameter in last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, images: Tensor) -> Tensor:
        """Images to mended images."""
        mended: Tensor = images + self.inner(images)
        return mended


def autoencoder(in_channels: int) -> nn.Sequential:
    """Four convolutions that keep height and width. The code in the middle has 20 numbers for each pixel, more than go
    in: what keeps it from copying is that its input is spoilt. (Vincent et al., 2008, section 2.3)
    """
    return nn.Sequential(
        nn.Conv2d(in_channels, 20, 3, padding=1), nn.ReLU(),
        nn.Conv2d(20, 20, 3, padding=1), nn.ReLU(),
        nn.Conv2d(20, 20, 3, padding=1), nn.ReLU(),
        nn.Conv2d(20, 3, 3, padding=1),
    )  # fmt: skip


class Restoration(Recipe):
    """What the four share: pairs of spoilt and good patches, squared error, PSNR."""

    data = "1,200 patches of 5 photographs, tested on 200 patches of 2 others; 32x32 pixels"
    epochs = 8
    batch_size = 16
    lr = 0.003
    lr_decay = 0.85
    loss_name = "mean squared error"
    input_name: ClassVar[str] = "input"

    def __init__(self) -> None:
        self.train_set, self.test_set = self.pairs("train", 1200, 32), self.pairs("test", 200, 32)
        self.model = Mending(self.network())

    def network(self) -> nn.Module:
        """What says what is missing."""
        return autoencoder(3)

    def pairs(self, split: Any, count: int, size: int) -> TensorDataset:
        """Spoilt and good patches."""
        good = small_patches(split, count, size)
        return TensorDataset(Tensor(self.spoil(good, np.random.default_rng(len(good)))), Tensor(good))

    def spoil(self, images: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """The network's inputs for good images (N, 3, H, W)."""
        raise NotImplementedError

    def simple_means(self, spoilt: np.ndarray) -> dict[str, np.ndarray]:
        """What can be had without a network, for comparison."""
        return {}

    def loss(self, outputs: Any, *targets: Tensor) -> Tensor:
        return F.mse_loss(outputs, targets[0])

    def measure(self) -> Result:
        spoilt, good = self.test_set.tensors
        outputs = predict(self.model, spoilt).numpy()
        means = {self.input_name: spoilt.numpy()} | self.simple_means(spoilt.numpy())
        return Result(
            "PSNR", psnr(outputs, good.numpy()), "dB", f"all pixels of {len(good)} patches of photographs held out",
            {name: psnr(images, good.numpy()) for name, images in means.items()},
            # Each patch for itself: smooth ones, which are easy, count for more.
            {
                f"mean of the patches' own PSNR (dB), {name}": float(
                    np.mean([psnr(each, truth) for each, truth in zip(images, good.numpy(), strict=True)])
                )
                for name, images in ({"network": outputs} | means).items()
            },
        )  # fmt: skip

    def pictures(self, epochs: list[Epoch]) -> dict[str, Painter]:
        from .. import pictures

        spoilt, good = self.pairs("test", 8, 96).tensors
        rows = {self.input_name: spoilt, "network": predict(self.model, spoilt), "original": good}

        return super().pictures(epochs) | {
            "mended.png": lambda path: pictures.draw_image_rows(rows, path, f"{self.name}: photographs held out", 1.5)
        }


class Denoise(Restoration):
    """Normally distributed noise on each pixel and colour."""

    name = "denoise"
    text = "an autoencoder removes noise from photographs"
    input_name = "noisy"

    def spoil(self, images: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return GaussianNoise(sigma=0.1).change(images, random)

    def simple_means(self, spoilt: np.ndarray) -> dict[str, np.ndarray]:
        scipy = require("denoise", "scipy.ndimage", "SciPy", "data")
        return {
            "median of 3x3 pixels": scipy.median_filter(spoilt, (1, 1, 3, 3)),
            "Gaussian filter, 1.1 pixels": scipy.gaussian_filter(spoilt, (0, 0, 1.1, 1.1)),
        }


class Colourise(Restoration):
    """Colour from brightness. What cannot be known, such as the colour of a car, becomes a mean of the likely."""

    name = "colourise"
    text = "a U-Net gives colour to grey photographs"
    input_name = "grey"
    lr = 0.004

    def network(self) -> nn.Module:
        return unet(1, 3, width=8, depth=2, norm_layer=None)

    def spoil(self, images: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return Grayscale().change(images, random)

    def simple_means(self, spoilt: np.ndarray) -> dict[str, np.ndarray]:
        grey, good = (tensor.numpy() for tensor in self.train_set.tensors)
        tint = (good - grey).mean((0, 2, 3), keepdims=True)
        return {"grey with the mean tint of the training patches": spoilt + tint}


class Watermark(Restoration):
    """A white pattern that lets half of the photograph shine through."""

    name = "watermark"
    text = "an autoencoder removes a watermark from photographs"
    input_name = "watermarked"

    def spoil(self, images: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return data.Watermark(opacity=0.5, spacing=16, thickness=2).change(images, random)

    def simple_means(self, spoilt: np.ndarray) -> dict[str, np.ndarray]:
        scipy = require("watermark", "scipy.ndimage", "SciPy", "data")
        return {"median of 5x5 pixels": scipy.median_filter(spoilt, (1, 1, 5, 5))}


class Superres(Restoration):
    """Four times as many pixels: what the small image has lost is guessed from what photographs look like."""

    name = "superres"
    text = "an autoencoder sharpens photographs that were enlarged"
    input_name = "cubic interpolation"

    def spoil(self, images: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return _enlarge(_shrink(images), 3)

    def simple_means(self, spoilt: np.ndarray) -> dict[str, np.ndarray]:
        small = _shrink(self.test_set.tensors[1].numpy())
        return {"bilinear interpolation": _enlarge(small, 1), "nearest pixel": _enlarge(small, 0)}


def _shrink(images: np.ndarray) -> np.ndarray:
    """Means of 2x2 pixels."""
    n, channels, height, width = images.shape
    means: np.ndarray = images.reshape(n, channels, height // 2, 2, width // 2, 2).mean((3, 5))
    return means


def _enlarge(images: np.ndarray, order: int) -> np.ndarray:
    """Twice as high and wide by splines of an order: 0 nearest, 1 linear, 3 cubic."""
    zoom = require("superres", "scipy.ndimage", "SciPy", "data").zoom
    enlarged: np.ndarray = zoom(images, (1, 1, 2, 2), order=order, mode="nearest", grid_mode=True)
    return enlarged


def psnr(images: np.ndarray, truth: np.ndarray) -> float:
    """The peak signal-to-noise ratio of all pixels together in dB: ``10 log10(1 / mean squared error)``.

    What lies outside 0 to 1 counts as 0 or 1, as a screen would show it.

    >>> round(psnr(np.zeros((1, 3, 2, 2)), np.full((1, 3, 2, 2), 0.1)), 6)
    20.0
    """
    return float(-10 * np.log10(((images.clip(0, 1) - truth) ** 2).mean()))
