"""GoogLeNet: inception modules, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from .. import nn
from ..nn.blocks import ConvNormActivation, Inception, NormLayer
from ..tensor import Tensor

_BATCH_NORM = partial(nn.BatchNorm2d, eps=0.001)

_WIDTHS = {  # in, 1x1, 3x3 reduced, 3x3, 5x5 reduced, 5x5, pooled: table 1 of the paper
    "inception3a": (192, 64, 96, 128, 16, 32, 32),
    "inception3b": (256, 128, 128, 192, 32, 96, 64),
    "inception4a": (480, 192, 96, 208, 16, 48, 64),
    "inception4b": (512, 160, 112, 224, 24, 64, 64),
    "inception4c": (512, 128, 128, 256, 24, 64, 64),
    "inception4d": (512, 112, 144, 288, 32, 64, 64),
    "inception4e": (528, 256, 160, 320, 32, 128, 128),
    "inception5a": (832, 256, 160, 320, 32, 128, 128),
    "inception5b": (832, 384, 192, 384, 48, 128, 128),
}


class GoogLeNetOutputs(NamedTuple):
    """What comes out in training: three guesses at the class, each ``(N, num_classes)``."""

    logits: Tensor
    aux_logits2: Tensor
    """Of the head after ``inception4d``."""
    aux_logits1: Tensor
    """Of the head after ``inception4a``."""


class InceptionAux(nn.Module):
    """A second classifier in the middle of the network, which brings gradient to the early layers in training.

    ``(N, in_channels, 14, 14)`` to logits ``(N, num_classes)``. (Szegedy et al., 2015, section 5)

    Args:
        in_channels: channels of the input.
        num_classes: how many classes are told apart.
        norm_layer: the normalisation after the convolution, if any.

    >>> import tinygrad_cnn as tg
    >>> InceptionAux(512, 1000)(tg.symbol((1, 512, 14, 14))).shape
    (1, 1000)
    """

    def __init__(self, in_channels: int, num_classes: int, norm_layer: NormLayer | None = None) -> None:
        self.avgpool = nn.AdaptiveAvgPool2d((4, 4))
        self.conv = nn.ChannelMix(in_channels, 128, norm_layer)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(4 * 4 * 128, 1024)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(0.7)
        self.fc2 = nn.Linear(1024, num_classes)

    def forward(self, input: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` to logits ``(N, num_classes)``."""
        x = self.flatten(self.conv(self.avgpool(input)))  # -> (N, 128, 4, 4) -> (N, 2048)
        logits: Tensor = self.fc2(self.dropout(self.relu(self.fc1(x))))
        return logits


class GoogLeNet(nn.Module):
    """Nine inception modules: ``(N, 3, H, W)`` to logits, in training to :class:`GoogLeNetOutputs`.

    See :func:`googlenet` for the arguments.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        norm_layer: NormLayer | None = _BATCH_NORM,
        large: Sequence[int] = (3,),
    ) -> None:
        def module(name: str) -> Inception:
            return Inception(*_WIDTHS[name], norm_layer=norm_layer, large=large)

        self.conv1 = ConvNormActivation(3, 64, 7, 2, 3, norm_layer=norm_layer)
        self.maxpool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = nn.ChannelMix(64, 64, norm_layer)
        self.conv3 = ConvNormActivation(64, 192, 3, norm_layer=norm_layer)
        self.maxpool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.inception3a = module("inception3a")
        self.inception3b = module("inception3b")
        self.maxpool3 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.inception4a = module("inception4a")
        self.inception4b = module("inception4b")
        self.inception4c = module("inception4c")
        self.inception4d = module("inception4d")
        self.inception4e = module("inception4e")
        self.maxpool4 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.inception5a = module("inception5a")
        self.inception5b = module("inception5b")
        self.aux1 = InceptionAux(512, num_classes, norm_layer) if aux_logits else None
        self.aux2 = InceptionAux(528, num_classes, norm_layer) if aux_logits else None
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(1024, num_classes)
        for part in self.modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                nn.init.normal_(part.weight, 0.0, 0.01)

    def forward(self, images: Tensor) -> Tensor | GoogLeNetOutputs:
        """``(N, 3, H, W)`` to logits ``(N, num_classes)``; in training also those of the heads in the middle."""
        x = self.maxpool1(self.conv1(images))  # (N, 3, 224, 224) -> (N, 64, 56, 56)
        x = self.maxpool2(self.conv3(self.conv2(x)))  # -> (N, 192, 28, 28)
        x = self.inception3b(self.inception3a(x))  # -> (N, 480, 28, 28)
        early = self.inception4a(self.maxpool3(x))  # -> (N, 512, 14, 14)
        late = self.inception4d(self.inception4c(self.inception4b(early)))  # -> (N, 528, 14, 14)
        x = self.inception4e(late)  # -> (N, 832, 14, 14)
        x = self.inception5b(self.inception5a(self.maxpool4(x)))  # -> (N, 1024, 7, 7)
        x = self.flatten(self.avgpool(x))  # -> (N, 1024)
        logits: Tensor = self.fc(self.dropout(x))
        if self.training and self.aux1 and self.aux2:
            return GoogLeNetOutputs(logits, self.aux2(late), self.aux1(early))
        return logits


def googlenet(num_classes: int = 1000, aux_logits: bool = True) -> GoogLeNet:
    """GoogLeNet with batch normalisation, with torchvision's widths and names. (Szegedy et al., 2015)

    Args:
        num_classes: how many classes are told apart.
        aux_logits: whether there are the two heads in the middle, which take part in training only.

    It has 13,004,888 parameters for 1000 classes, 6,624,904 of them without the heads. As in torchvision, what should
    be 5x5 convolutions in the inception modules are 3x3.

    >>> sum(parameter.numel() for parameter in googlenet(aux_logits=False).parameters())
    6624904
    """
    return GoogLeNet(num_classes, aux_logits)


def inception_v1(num_classes: int = 1000, aux_logits: bool = True) -> GoogLeNet:
    """GoogLeNet with the paper's convolutions: 5x5 where it says so, biases, no batch normalisation.

    The arguments are those of :func:`googlenet`. It has 13,378,280 parameters for 1000 classes, 6,998,552 of them
    without the heads. The local response normalisations of the paper, which have no parameters, are left out.
    (Szegedy et al., 2015, table 1)

    >>> sum(parameter.numel() for parameter in inception_v1(aux_logits=False).parameters())
    6998552
    """
    return GoogLeNet(num_classes, aux_logits, norm_layer=None, large=(5,))


def bn_inception(num_classes: int = 1000, aux_logits: bool = False) -> GoogLeNet:
    """GoogLeNet with the two ideas of BN-Inception: batch normalisation, and 5x5 made of two 3x3.

    The arguments are those of :func:`googlenet`. The published network has other widths, and modules that halve the
    image. (Ioffe and Szegedy, 2015, section 4.2)

    >>> import tinygrad_cnn as tg
    >>> bn_inception()(tg.symbol((1, 3, 224, 224))).shape
    (1, 1000)
    """
    return GoogLeNet(num_classes, aux_logits, large=(3, 3))
