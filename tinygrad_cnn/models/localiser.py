"""Localisation: what is in the image, and where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .. import nn
from ..tensor import Tensor


class ClassAndBox(NamedTuple):
    """What a localiser says about each image."""

    logits: Tensor
    """``(N, num_classes)``"""
    box: Tensor
    """``(N, 4)``: the centre's x and y, width and height of the box, as shares of the image's width and height."""


class Localiser(nn.Module):
    """Convolutions with two heads, for the class and for the box of a single object. See :func:`localiser`."""

    def __init__(self, num_classes: int, in_channels: int, image_size: int, widths: Sequence[int]) -> None:
        self.encoder = nn.Encoder(in_channels, widths)
        side = image_size
        for _ in widths:
            side = (side + 1) // 2
        self.flatten = nn.Flatten()
        self.shared = nn.Linear(widths[-1] * side * side, 128)
        self.relu = nn.ReLU()
        self.classifier = nn.Linear(128, num_classes)
        self.box = nn.Sequential(nn.Linear(128, 4), nn.Sigmoid())

    def forward(self, images: Tensor) -> ClassAndBox:
        """``(N, in_channels, image_size, image_size)`` to logits and boxes."""
        x = self.relu(self.shared(self.flatten(self.encoder(images))))
        return ClassAndBox(self.classifier(x), self.box(x))


def localiser(
    num_classes: int = 10, in_channels: int = 1, image_size: int = 64, widths: Sequence[int] = (16, 32, 64)
) -> Localiser:
    """The class and the box of a single object, by one network with two heads. (after Sermanet et al., 2014)

    Args:
        num_classes: how many classes are told apart.
        in_channels: 1 for grey images, 3 for colour.
        image_size: height and width of the images, in pixels.
        widths: channels of the convolutions, each of which halves the image.

    >>> import tinygrad_cnn as tg
    >>> found = localiser()(tg.symbol((8, 1, 64, 64)))
    >>> found.logits.shape, found.box.shape
    ((8, 10), (8, 4))
    """
    return Localiser(num_classes, in_channels, image_size, widths)
