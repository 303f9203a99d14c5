"""Blocks that make images smaller and larger again: encoders, decoders, and the levels of a U-Net."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ShapeError
from ..ops.shape import cat
from ..tensor import Tensor
from .activation import ReLU
from .blocks import ActivationLayer, ConvNormActivation, NormLayer
from .container import Sequential
from .conv import Conv2d, ConvTranspose2d
from .module import Module
from .norm import BatchNorm2d
from .pool import MaxPool2d


class Encoder(Module):
    """Convolutions that each halve the image: ``(N, in_channels, H, W)`` to ``(N, widths[-1], H / 2^k, W / 2^k)``.

    Args:
        in_channels: channels of the input.
        widths: the channels of each of the ``k`` levels.
        norm_layer: as in :class:`ConvNormActivation`.
        activation_layer: as in :class:`ConvNormActivation`.

    >>> import tinygrad_cnn as tg
    >>> Encoder(1, (16, 32))(tg.symbol((8, 1, 28, 28))).shape
    (8, 32, 7, 7)
    """

    def __init__(
        self,
        in_channels: int,
        widths: Sequence[int],
        norm_layer: NormLayer | None = BatchNorm2d,
        activation_layer: ActivationLayer | None = ReLU,
    ) -> None:
        self.levels = [
            ConvNormActivation(before, after, 3, 2, norm_layer=norm_layer, activation_layer=activation_layer)
            for before, after in zip([in_channels, *widths], widths, strict=False)
        ]

    def forward(self, images: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` to the code. An odd height or width is halved upwards."""
        for level in self.levels:
            images = level(images)
        return images


class _Enlarge(Module):
    """A transposed convolution that doubles the image, a normalisation and an activation."""

    def __init__(
        self, in_channels: int, out_channels: int, norm_layer: NormLayer | None,
        activation_layer: ActivationLayer | None,
    ) -> None:  # fmt: skip
        self.conv = ConvTranspose2d(in_channels, out_channels, 4, 2, 1, bias=norm_layer is None)
        self.bn = norm_layer(out_channels) if norm_layer else None
        self.activation = activation_layer() if activation_layer else None

    def forward(self, input: Tensor) -> Tensor:
        x: Tensor = self.conv(input)
        x = self.bn(x) if self.bn else x
        return self.activation(x) if self.activation else x


class Decoder(Module):
    """Transposed convolutions that each double the image, then a 3x3 convolution without activation.

    ``(N, widths[0], h, w)`` to ``(N, out_channels, h * 2^k, w * 2^k)``. The kernels of 4 by 4 with stride 2 overlap
    evenly, so that they leave no checkerboard. (Odena, Dumoulin and Olah, 2016)

    Args:
        widths: the channels of the code, and of what comes out of each level but the last one's convolution: as for
            the :class:`Encoder`, the other way round.
        out_channels: channels of the result.
        norm_layer: as in :class:`ConvNormActivation`.
        activation_layer: as in :class:`ConvNormActivation`.

    >>> import tinygrad_cnn as tg
    >>> Decoder((32, 16), 1)(tg.symbol((8, 32, 7, 7))).shape
    (8, 1, 28, 28)
    """

    def __init__(
        self,
        widths: Sequence[int],
        out_channels: int,
        norm_layer: NormLayer | None = BatchNorm2d,
        activation_layer: ActivationLayer | None = ReLU,
    ) -> None:
        self.levels = [
            _Enlarge(before, after, norm_layer, activation_layer)
            for before, after in zip(widths, [*widths[1:], widths[-1]], strict=True)
        ]
        self.output = Conv2d(widths[-1], out_channels, 3, padding=1)

    def forward(self, code: Tensor) -> Tensor:
        """``(N, widths[0], h, w)`` to ``(N, out_channels, h * 2^k, w * 2^k)``."""
        for level in self.levels:
            code = level(code)
        images: Tensor = self.output(code)
        return images


class Autoencoder(Module):
    """An encoder and a decoder, one after the other. (Hinton and Salakhutdinov, 2006)

    Args:
        encoder: makes the code.
        decoder: makes the result from the code.

    >>> import tinygrad_cnn as tg
    >>> model = Autoencoder(tg.nn.Linear(784, 32), tg.nn.Linear(32, 784))
    >>> model.encoder(tg.symbol((8, 784))).shape, model(tg.symbol((8, 784))).shape
    ((8, 32), (8, 784))
    """

    def __init__(self, encoder: Module, decoder: Module) -> None:
        self.encoder, self.decoder = encoder, decoder

    def forward(self, input: Tensor) -> Tensor:
        """What the decoder makes of the encoder's code."""
        output: Tensor = self.decoder(self.encoder(input))
        return output


class UNetLevel(Module):
    """One level of a U-Net: convolutions, something that works on the halved image, and convolutions of both.

    What ``inner`` gives is doubled in size, joined along the channels with what came before the halving, and mixed.
    Levels are put into each other; the innermost holds a few convolutions. (Ronneberger, Fischer and Brox, 2015,
    figure 1; here the image is padded, so that the result is as large as the input)

    Args:
        in_channels: channels of the input.
        channels: of this level and of its output.
        inner: a module that takes ``channels`` and keeps the size of the image.
        inner_channels: what comes out of it.
        norm_layer: as in :class:`ConvNormActivation`; the paper has none.

    Raises :class:`ShapeError` when called with an odd height or width, which cannot be halved.

    >>> import tinygrad_cnn as tg
    >>> bottom = tg.nn.ConvNormActivation(16, 32)
    >>> UNetLevel(3, 16, bottom, 32)(tg.symbol((1, 3, 64, 64))).shape
    (1, 16, 64, 64)
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        inner: Module,
        inner_channels: int,
        norm_layer: NormLayer | None = BatchNorm2d,
    ) -> None:
        self.down = double_convolution(in_channels, channels, norm_layer)
        self.pool = MaxPool2d(2)
        self.inner = inner
        self.enlarge = ConvTranspose2d(inner_channels, channels, 2, 2)
        self.up = double_convolution(2 * channels, channels, norm_layer)

    def forward(self, images: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` to ``(N, channels, H, W)``."""
        if any(length % 2 for length in images.shape[2:]):
            raise ShapeError(
                "UNetLevel",
                "an image of odd height or width cannot be halved and doubled again",
                got=repr(images.spec),
                expected="an even height and width at each level",
                fix="with k levels, cut or pad the images to a height and width that 2^k divides",
            )
        kept = self.down(images)  # (N, channels, H, W)
        enlarged = self.enlarge(self.inner(self.pool(kept)))  # -> (N, channels, H, W)
        output: Tensor = self.up(cat([kept, enlarged], 1))
        return output


def double_convolution(in_channels: int, out_channels: int, norm_layer: NormLayer | None = BatchNorm2d) -> Sequential:
    """Two 3x3 convolutions with normalisation and ReLU, as on each level of a U-Net.

    >>> len(double_convolution(3, 8))
    2
    """
    return Sequential(
        ConvNormActivation(in_channels, out_channels, norm_layer=norm_layer),
        ConvNormActivation(out_channels, out_channels, norm_layer=norm_layer),
    )
