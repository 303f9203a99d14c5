"""U-Net: a class for each pixel."""

from __future__ import annotations

from .. import nn
from ..errors import ArgumentError
from ..nn.blocks import NormLayer
from ..nn.encoder import UNetLevel, double_convolution
from ..tensor import Tensor


class UNet(nn.Module):
    """Levels of convolutions put into each other: ``(N, in_channels, H, W)`` to logits ``(N, num_classes, H, W)``.

    See :func:`unet` for the arguments.
    """

    def __init__(
        self, in_channels: int, num_classes: int, width: int, depth: int, norm_layer: NormLayer | None
    ) -> None:  # fmt: skip
        if depth < 1:
            raise ArgumentError("unet", "without a level it is no U-Net", got=f"depth={depth}", expected="1 or more")
        widths = [width * 2**level for level in range(depth + 1)]
        inner: nn.Module = double_convolution(widths[-2], widths[-1], norm_layer)
        for level in range(depth - 1, -1, -1):
            before = widths[level - 1] if level else in_channels
            inner = UNetLevel(before, widths[level], inner, widths[level + 1], norm_layer)
        self.levels = inner
        self.output = nn.Conv2d(width, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` to logits ``(N, num_classes, H, W)``."""
        logits: Tensor = self.output(self.levels(images))
        return logits


def unet(
    in_channels: int = 1,
    num_classes: int = 2,
    width: int = 64,
    depth: int = 4,
    norm_layer: NormLayer | None = nn.BatchNorm2d,
) -> UNet:
    """U-Net: each pixel is told apart by what is around it, near and far. (Ronneberger, Fischer and Brox, 2015)

    Args:
        in_channels: 1 for grey images, 3 for colour.
        num_classes: planes of the result, one for each class; ``cross_entropy`` takes them as they are.
        width: channels of the outermost level; each level further in has twice as many.
        depth: how many times the image is halved. Height and width must be divisible by ``2^depth``.
        norm_layer: as in :class:`~tinygrad_cnn.nn.ConvNormActivation`; the paper has none.

    Convolutions are padded, so that the result is as large as the input; in the paper it is smaller.

    Raises :class:`ArgumentError` for a depth below 1.

    >>> import tinygrad_cnn as tg
    >>> unet(width=8, depth=2)(tg.symbol((1, 1, 64, 64))).shape
    (1, 2, 64, 64)
    """
    return UNet(in_channels, num_classes, width, depth, norm_layer)
