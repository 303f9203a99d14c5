"""VGG: deep stacks of 3x3 convolutions."""

from __future__ import annotations

from collections.abc import Sequence

from .. import nn
from ..tensor import Tensor

CONFIGURATIONS = {
    11: ((64,), (128,), (256, 256), (512, 512), (512, 512)),
    13: ((64, 64), (128, 128), (256, 256), (512, 512), (512, 512)),
    16: ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)),
    19: ((64, 64), (128, 128), (256, 256, 256, 256), (512, 512, 512, 512), (512, 512, 512, 512)),
}
"""The filters of each convolution, by the number of layers with weights; a pooling ends each group. Columns A, B, D
and E of the paper's table 1."""


class VGG(nn.Module):
    """Groups of 3x3 convolutions with pooling between them, and three dense layers: ``(N, 3, H, W)`` to logits.

    Args:
        groups: the filters of each convolution, see :data:`CONFIGURATIONS`.
        batch_norm: whether a batch normalisation follows each convolution.
        num_classes: how many classes are told apart.
        dropout: the probability behind the first two dense layers.

    The weights start as in torchvision: those of convolutions by He et al. (2015), those of dense layers with a
    standard deviation of 0.01.

    >>> import tinygrad_cnn as tg
    >>> VGG([[8], [16]], batch_norm=False, num_classes=10)(tg.symbol((1, 3, 32, 32))).shape
    (1, 10)
    """

    def __init__(
        self, groups: Sequence[Sequence[int]], batch_norm: bool, num_classes: int = 1000, dropout: float = 0.5
    ) -> None:
        layers: list[nn.Module] = []
        channels = 3
        for group in groups:
            for filters in group:
                conv = nn.Conv2d(channels, filters, 3, padding=1)
                nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
                _zero_bias(conv)
                layers += [conv, nn.BatchNorm2d(filters), nn.ReLU()] if batch_norm else [conv, nn.ReLU()]
                channels = filters
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.flatten = nn.Flatten()
        self.classifier = nn.Sequential(
            _dense(channels * 7 * 7, 4096), nn.ReLU(), nn.Dropout(dropout),
            _dense(4096, 4096), nn.ReLU(), nn.Dropout(dropout),
            _dense(4096, num_classes),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        """``(N, 3, H, W)`` to logits ``(N, num_classes)``."""
        logits: Tensor = self.classifier(self.flatten(self.avgpool(self.features(images))))
        return logits


def _dense(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, 0.0, 0.01)
    _zero_bias(layer)
    return layer


def _zero_bias(layer: nn.Conv2d | nn.Linear) -> None:
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def vgg11(num_classes: int = 1000, dropout: float = 0.5) -> VGG:
    """VGG-11, configuration A: 132,863,336 parameters for 1000 classes. (Simonyan and Zisserman, 2015)

    Args:
        num_classes: how many classes are told apart.
        dropout: the probability behind the first two dense layers.

    >>> sum(parameter.numel() for parameter in vgg11().parameters())
    132863336
    """
    return VGG(CONFIGURATIONS[11], False, num_classes, dropout)


def vgg11_bn(num_classes: int = 1000, dropout: float = 0.5) -> VGG:
    """:func:`vgg11` with batch normalisation: 132,868,840 parameters for 1000 classes."""
    return VGG(CONFIGURATIONS[11], True, num_classes, dropout)


def vgg13(num_classes: int = 1000, dropout: float = 0.5) -> VGG:
    """VGG-13, configuration B: 133,047,848 parameters for 1000 classes; arguments as for :func:`vgg11`."""
    return VGG(CONFIGURATIONS[13], False, num_classes, dropout)


def vgg13_bn(num_classes: int = 1000, dropout: float = 0.5) -> VGG:
    """:func:`vgg13` with batch normalisation: 133,053,736 parameters for 1000 classes."""
    return VGG(CONFIGURATIONS[13], True, num_classes, dropout)


def vgg16(num_classes: int = 1000, dropout: float = 0.5) -> VGG:
    """VGG-16, configuration D: 138,357,544 parameters for 1000 classes; arguments as for :func:`vgg11`.

    >>> import tinygrad_cnn as tg
    >>> vgg16()(tg.symbol((1, 3, 224, 224))).shape
    (1, 1000)
    """
    return VGG(CONFIGURATIONS[16], False, num_classes, dropout)


def vgg16_bn(num_classes: int = 1000, dropout: float = 0.5) -> VGG:
    """:func:`vgg16` with batch normalisation: 138,365,992 parameters for 1000 classes."""
    return VGG(CONFIGURATIONS[16], True, num_classes, dropout)


def vgg19(num_classes: int = 1000, dropout: float = 0.5) -> VGG:
    """VGG-19, configuration E: 143,667,240 parameters for 1000 classes; arguments as for :func:`vgg11`."""
    return VGG(CONFIGURATIONS[19], False, num_classes, dropout)


def vgg19_bn(num_classes: int = 1000, dropout: float = 0.5) -> VGG:
    """:func:`vgg19` with batch normalisation: 143,678,248 parameters for 1000 classes."""
    return VGG(CONFIGURATIONS[19], True, num_classes, dropout)
