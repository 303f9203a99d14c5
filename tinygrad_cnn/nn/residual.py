"""Residual blocks: a few layers learn what is to be added to their input."""

from __future__ import annotations

from typing import Literal, get_args

from ..errors import ArgumentError
from ..ops.shape import pad
from ..tensor import Tensor
from .activation import ReLU
from .blocks import ActivationLayer, NormLayer, require_makers
from .container import Sequential
from .conv import Conv2d
from .linear import Linear
from .module import Module
from .norm import BatchNorm2d

Shortcut = Literal["A", "B", "C"]
"""How the input reaches the sum (He et al., 2016a, section 4.1). A: as it is; where the shape changes, every
``stride``-th pixel with channels of zeros added, so that no shortcut has parameters. B: as it is; where the shape
changes, through a 1x1 convolution. C: always through a 1x1 convolution."""


class ZeroPadShortcut(Module):
    """Option A: every ``stride``-th pixel, and channels of zeros after those there are. It has no parameters.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output, no fewer.
        stride: the distance between the pixels that are kept.

    Raises :class:`ArgumentError` for fewer output channels.

    >>> import tinygrad_cnn as tg
    >>> ZeroPadShortcut(16, 32, 2)(tg.symbol((1, 16, 32, 32))).shape
    (1, 32, 16, 16)
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        if out_channels < in_channels:
            raise ArgumentError(
                "ZeroPadShortcut", "channels can be added, not taken away", got=f"{in_channels} to {out_channels}",
                fix="use shortcut option B or C",
            )  # fmt: skip
        self.added, self.stride = out_channels - in_channels, stride

    def forward(self, input: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` to ``(N, out_channels, ceil(H / stride), ceil(W / stride))``."""
        x = input[:, :, :: self.stride, :: self.stride] if self.stride > 1 else input
        return pad(x, (0, 0, 0, 0, 0, self.added)) if self.added else x


class _Residual(Module):
    """What residual blocks share: the shortcut, and how many channels come out for each that the body has."""

    expansion = 1
    """Channels of the output for each of ``planes``."""

    def _shortcut(
        self, inplanes: int, planes: int, stride: int, option: Shortcut, norm_layer: NormLayer | None
    ) -> Module | None:
        """The way past the body; none where the input itself is added."""
        if option not in get_args(Shortcut):
            raise ArgumentError(
                type(self).__name__, "no such shortcut", got=repr(option), expected="'A', 'B' or 'C'"
            )  # fmt: skip
        outplanes = planes * self.expansion
        if option != "C" and stride == 1 and inplanes == outplanes:
            return None
        if option == "A":
            return ZeroPadShortcut(inplanes, outplanes, stride)
        projection = Conv2d(inplanes, outplanes, 1, stride, bias=False)
        return Sequential(projection, norm_layer(outplanes)) if norm_layer else projection


class BasicBlock(_Residual):
    """Two 3x3 convolutions and a shortcut: ``relu(x + F(x))``, ``(N, inplanes, H, W)`` to ``(N, planes, H', W')``.

    Args:
        inplanes: channels of the input.
        planes: channels of the two convolutions.
        stride: of the first convolution and of the shortcut.
        shortcut: ``"A"``, ``"B"`` or ``"C"``, see :data:`Shortcut`.
        activation_layer: makes the activations.
        norm_layer: makes the normalisation after each convolution.

    (He et al., 2016a, "Deep residual learning for image recognition", figure 5 left)

    Raises :class:`ArgumentError` for another shortcut, and where a layer is given for what makes layers.

    >>> import tinygrad_cnn as tg
    >>> BasicBlock(64, 128, stride=2)(tg.symbol((1, 64, 56, 56))).shape
    (1, 128, 28, 28)
    """

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        shortcut: Shortcut = "B",
        activation_layer: ActivationLayer = ReLU,
        norm_layer: NormLayer = BatchNorm2d,
    ) -> None:
        require_makers(type(self).__name__, norm_layer=norm_layer, activation_layer=activation_layer)
        self.conv1 = Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn1 = norm_layer(planes)
        self.relu1 = activation_layer()
        self.conv2 = Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = norm_layer(planes)
        self.downsample = self._shortcut(inplanes, planes, stride, shortcut, norm_layer)
        self.relu2 = activation_layer()

    def forward(self, input: Tensor) -> Tensor:
        """``(N, inplanes, H, W)`` to ``(N, planes, H', W')``."""
        x = self.relu1(self.bn1(self.conv1(input)))
        x = self.bn2(self.conv2(x))
        x = x + (self.downsample(input) if self.downsample else input)
        output: Tensor = self.relu2(x)
        return output


class Bottleneck(_Residual):
    """1x1 to fewer channels, 3x3, 1x1 to four times as many, and a shortcut: ``relu(x + F(x))``.

    The arguments are those of :class:`BasicBlock`; the output has ``4 * planes`` channels. The stride is that of the
    3x3 convolution, as torchvision has it; in the paper it is that of the first 1x1. (He et al., 2016a, figure 5 right)

    Raises :class:`ArgumentError` for another shortcut, and where a layer is given for what makes layers.

    >>> import tinygrad_cnn as tg
    >>> Bottleneck(256, 64)(tg.symbol((1, 256, 56, 56))).shape
    (1, 256, 56, 56)
    """

    expansion = 4

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        shortcut: Shortcut = "B",
        activation_layer: ActivationLayer = ReLU,
        norm_layer: NormLayer = BatchNorm2d,
    ) -> None:
        require_makers(type(self).__name__, norm_layer=norm_layer, activation_layer=activation_layer)
        self.conv1 = Conv2d(inplanes, planes, 1, bias=False)
        self.bn1 = norm_layer(planes)
        self.relu1 = activation_layer()
        self.conv2 = Conv2d(planes, planes, 3, stride, 1, bias=False)
        self.bn2 = norm_layer(planes)
        self.relu2 = activation_layer()
        self.conv3 = Conv2d(planes, planes * self.expansion, 1, bias=False)
        self.bn3 = norm_layer(planes * self.expansion)
        self.downsample = self._shortcut(inplanes, planes, stride, shortcut, norm_layer)
        self.relu3 = activation_layer()

    def forward(self, input: Tensor) -> Tensor:
        """``(N, inplanes, H, W)`` to ``(N, 4 * planes, H', W')``."""
        x = self.relu1(self.bn1(self.conv1(input)))
        x = self.relu2(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        x = x + (self.downsample(input) if self.downsample else input)
        output: Tensor = self.relu3(x)
        return output


class PreActBasicBlock(_Residual):
    """:class:`BasicBlock` with normalisation and activation in front of each convolution: ``x + F(x)``.

    Nothing comes after the sum, so the input passes through a chain of such blocks unchanged. A projection takes the
    normalised input. The arguments are those of :class:`BasicBlock`. (He et al., 2016b, "Identity mappings in deep
    residual networks", figure 4e)

    Raises :class:`ArgumentError` for another shortcut, and where a layer is given for what makes layers.

    >>> import tinygrad_cnn as tg
    >>> PreActBasicBlock(16, 32, stride=2)(tg.symbol((1, 16, 32, 32))).shape
    (1, 32, 16, 16)
    """

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        shortcut: Shortcut = "B",
        activation_layer: ActivationLayer = ReLU,
        norm_layer: NormLayer = BatchNorm2d,
    ) -> None:
        require_makers(type(self).__name__, norm_layer=norm_layer, activation_layer=activation_layer)
        self.bn1 = norm_layer(inplanes)
        self.relu1 = activation_layer()
        self.conv1 = Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn2 = norm_layer(planes)
        self.relu2 = activation_layer()
        self.conv2 = Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.downsample = self._shortcut(inplanes, planes, stride, shortcut, None)

    def forward(self, input: Tensor) -> Tensor:
        """``(N, inplanes, H, W)`` to ``(N, planes, H', W')``."""
        normal = self.relu1(self.bn1(input))
        x: Tensor = self.conv2(self.relu2(self.bn2(self.conv1(normal))))
        return x + _past(self.downsample, input, normal)


class PreActBottleneck(_Residual):
    """:class:`Bottleneck` with normalisation and activation in front of each convolution: ``x + F(x)``.

    The arguments are those of :class:`BasicBlock`; the output has ``4 * planes`` channels. (He et al., 2016b)

    Raises :class:`ArgumentError` for another shortcut, and where a layer is given for what makes layers.

    >>> import tinygrad_cnn as tg
    >>> PreActBottleneck(64, 16, stride=2)(tg.symbol((1, 64, 32, 32))).shape
    (1, 64, 16, 16)
    """

    expansion = 4

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        shortcut: Shortcut = "B",
        activation_layer: ActivationLayer = ReLU,
        norm_layer: NormLayer = BatchNorm2d,
    ) -> None:
        require_makers(type(self).__name__, norm_layer=norm_layer, activation_layer=activation_layer)
        self.bn1 = norm_layer(inplanes)
        self.relu1 = activation_layer()
        self.conv1 = Conv2d(inplanes, planes, 1, bias=False)
        self.bn2 = norm_layer(planes)
        self.relu2 = activation_layer()
        self.conv2 = Conv2d(planes, planes, 3, stride, 1, bias=False)
        self.bn3 = norm_layer(planes)
        self.relu3 = activation_layer()
        self.conv3 = Conv2d(planes, planes * self.expansion, 1, bias=False)
        self.downsample = self._shortcut(inplanes, planes, stride, shortcut, None)

    def forward(self, input: Tensor) -> Tensor:
        """``(N, inplanes, H, W)`` to ``(N, 4 * planes, H', W')``."""
        normal = self.relu1(self.bn1(input))
        x = self.conv2(self.relu2(self.bn2(self.conv1(normal))))
        x = self.conv3(self.relu3(self.bn3(x)))
        output: Tensor = x + _past(self.downsample, input, normal)
        return output


def _past(shortcut: Module | None, input: Tensor, normal: Tensor) -> Tensor:
    """The other term of a pre-activation block's sum: only a projection takes the normalised input."""
    if shortcut is None:
        return input
    output: Tensor = shortcut(input if isinstance(shortcut, ZeroPadShortcut) else normal)
    return output


class ResidualLinear(Module):
    """``x + W2 relu(W1 x)``: a block of a residual multi-layer perceptron, ``(N, features)`` to the same.

    Args:
        features: of input and output.
        hidden: between the two dense layers; as many as ``features`` without it.
        activation_layer: makes the activation.

    >>> import tinygrad_cnn as tg
    >>> ResidualLinear(16)(tg.symbol((2, 16))).shape
    (2, 16)
    """

    def __init__(self, features: int, hidden: int | None = None, activation_layer: ActivationLayer = ReLU) -> None:
        self.fc1 = Linear(features, hidden or features)
        self.relu = activation_layer()
        self.fc2 = Linear(hidden or features, features)

    def forward(self, input: Tensor) -> Tensor:
        """``(N, features)`` to the same."""
        output: Tensor = self.fc2(self.relu(self.fc1(input)))
        return input + output
