"""Networks whose output is an image again: autoencoders, and networks that enlarge an image."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from .. import nn
from ..errors import ArgumentError
from ..tensor import Tensor


def dense_autoencoder(sizes: Sequence[int] = (784, 128, 32)) -> nn.Autoencoder:
    """An autoencoder of dense layers: ``(N, sizes[0])`` to the same, through a code of ``sizes[-1]`` numbers.

    Args:
        sizes: features of the input, of each hidden layer of the encoder, and of the code; the decoder has the same
            the other way round.

    The last layer has no activation, nor has the code. (Hinton and Salakhutdinov, 2006)

    Raises :class:`ArgumentError` for fewer than two sizes.

    >>> import tinygrad_cnn as tg
    >>> model = dense_autoencoder((784, 64, 2))
    >>> model.encoder(tg.symbol((8, 784))).shape, model(tg.symbol((8, 784))).shape
    ((8, 2), (8, 784))
    """
    if len(sizes) < 2:
        raise ArgumentError(
            "dense_autoencoder", "there is no code", got=f"sizes={tuple(sizes)}",
            expected="two or more sizes, such as (784, 128, 32)",
        )  # fmt: skip
    return nn.Autoencoder(_dense(sizes), _dense(sizes[::-1]))


def _dense(sizes: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def conv_autoencoder(
    in_channels: int = 1, out_channels: int | None = None, widths: Sequence[int] = (16, 32)
) -> nn.Autoencoder:
    """An autoencoder of convolutions: ``(N, in_channels, H, W)`` to ``(N, out_channels, H, W)``.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the result; those of the input without it. Grey to colour is 1 to 3.
        widths: the channels of each level of the encoder; each halves height and width.

    For denoising, colouring and mending images the input is the spoilt image and the target the good one. (Vincent et
    al., 2008, for the idea; Masci et al., 2011, for convolutions). Height and width must be divisible by 2 to the
    number of levels, else the result is a little larger than the input.

    >>> import tinygrad_cnn as tg
    >>> conv_autoencoder(1, 3)(tg.symbol((1, 1, 32, 32))).shape
    (1, 3, 32, 32)
    """
    out_channels = in_channels if out_channels is None else out_channels
    return nn.Autoencoder(nn.Encoder(in_channels, widths), nn.Decoder(widths[::-1], out_channels))


class SRCNN(nn.Module):
    """Three convolutions that sharpen an enlarged image: ``(N, channels, H, W)`` to the same. See :func:`srcnn`."""

    def __init__(self, channels: int = 1) -> None:
        self.patches = nn.Conv2d(channels, 64, 9, padding=4)
        self.relu1 = nn.ReLU()
        self.mapping = nn.Conv2d(64, 32, 1)
        self.relu2 = nn.ReLU()
        self.output = nn.Conv2d(32, channels, 5, padding=2)

    def forward(self, images: Tensor) -> Tensor:
        """``(N, channels, H, W)`` to the same."""
        output: Tensor = self.output(self.relu2(self.mapping(self.relu1(self.patches(images)))))
        return output


def srcnn(channels: int = 1) -> SRCNN:
    """Super-resolution by three convolutions, of 9x9, 1x1 and 5x5. (Dong et al., 2014)

    Args:
        channels: 1 for brightness alone, as in the paper, or 3.

    The input is the small image, enlarged by interpolation. It has 8,032 weights, as the paper counts, and 97 biases.
    The paper does not pad the images; here the result is as large as the input.

    >>> sum(parameter.numel() for parameter in srcnn().parameters() if parameter.ndim > 1)
    8032
    """
    return SRCNN(channels)


class ESPCN(nn.Module):
    """Convolutions on the small image whose channels become pixels. See :func:`espcn`."""

    def __init__(self, scale: int = 3, channels: int = 1) -> None:
        self.scale, self.channels = scale, channels
        self.conv1 = nn.Conv2d(channels, 64, 5, padding=2)
        self.tanh1 = nn.Tanh()
        self.conv2 = nn.Conv2d(64, 32, 3, padding=1)
        self.tanh2 = nn.Tanh()
        self.conv3 = nn.Conv2d(32, channels * scale**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, images: Tensor) -> Tensor:
        """``(N, channels, H, W)`` to ``(N, channels, scale * H, scale * W)``."""
        output: Tensor = self.shuffle(self.conv3(self.tanh2(self.conv2(self.tanh1(self.conv1(images))))))
        return output


def espcn(scale: int = 3, channels: int = 1) -> ESPCN:
    """Super-resolution at the cost of the small image: pixels are made of channels at the end. (Shi et al., 2016)

    Args:
        scale: how many times higher and wider the result is.
        channels: 1 for brightness alone, as in the paper, or 3.

    >>> import tinygrad_cnn as tg
    >>> espcn(2)(tg.symbol((1, 1, 24, 24))).shape
    (1, 1, 48, 48)
    """
    return ESPCN(scale, channels)
