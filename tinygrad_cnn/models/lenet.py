"""LeNet: the networks that read handwritten digits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import nn
from ..errors import ArgumentError
from ..ops.shape import cat
from ..tensor import Tensor


class LeNet5(nn.Module):
    """Two convolutions with pooling, then three dense layers: ``(N, in_channels, size, size)`` to logits.

    See :func:`lenet5` for the arguments.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1, image_size: int = 32) -> None:
        if image_size not in (28, 32):
            raise ArgumentError("lenet5", "the network is made for two sizes", got=f"{image_size}", expected="28 or 32")
        margin = (32 - image_size) // 2
        self.conv1 = nn.Conv2d(in_channels, 6, 5, padding=margin)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.relu3 = nn.ReLU()
        self.fc2 = nn.Linear(120, 84)
        self.relu4 = nn.ReLU()
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """``(N, in_channels, size, size)`` to logits ``(N, num_classes)``."""
        x = self.pool1(self.relu1(self.conv1(images)))  # (N, 6, 14, 14)
        x = self.pool2(self.relu2(self.conv2(x)))  # (N, 16, 5, 5)
        x = self.flatten(x)  # (N, 400)
        x = self.relu3(self.fc1(x))  # (N, 120)
        x = self.relu4(self.fc2(x))  # (N, 84)
        logits: Tensor = self.fc3(x)  # (N, num_classes)
        return logits


def lenet5(num_classes: int = 10, in_channels: int = 1, image_size: int = 32) -> LeNet5:
    """LeNet-5 as commonly implemented: full connections between maps, ReLU and max pooling.

    Args:
        num_classes: how many classes are told apart.
        in_channels: 1 for grey images, 3 for colour.
        image_size: 32, or 28 with a margin of 2 zeros that makes it 32.

    It has 61,706 parameters for one channel and ten classes. The original (LeCun et al., 1998, figure 2) differs in
    connecting only some maps of the second convolution, in tanh, in trainable average pooling and in its output units.

    Raises :class:`ArgumentError` for another image size.

    >>> import tinygrad_cnn as tg
    >>> model = lenet5()
    >>> sum(parameter.numel() for parameter in model.parameters())
    61706
    >>> model(tg.symbol((8, 1, 32, 32))).shape
    (8, 10)
    """
    return LeNet5(num_classes, in_channels, image_size)


class TableConv2d(nn.Module):
    """A convolution whose output maps each see only some of the input maps: ``(N, C, H, W)`` to ``(N, O, H', W')``.

    Args:
        table: for each output map, the input maps it sees.
        kernel_size: the height and width of the filters.

    >>> import tinygrad_cnn as tg
    >>> TableConv2d([(0,), (0, 1)], 5)(tg.symbol((1, 2, 12, 12))).shape
    (1, 2, 8, 8)
    """

    def __init__(self, table: Sequence[Sequence[int]], kernel_size: int) -> None:
        self.table = tuple([tuple(sees) for sees in table])
        self.maps = [nn.Conv2d(len(sees), 1, kernel_size) for sees in self.table]

    def forward(self, input: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, O, H', W')``."""
        maps = [
            conv(cat([input[:, each : each + 1] for each in sees], 1))
            for conv, sees in zip(self.maps, self.table, strict=True)
        ]
        return cat(maps, 1)


class Subsampling(nn.Module):
    """Averages of 2 by 2 pixels, times a trained number for each map, plus another: half the height and width.

    (LeCun et al., 1998, section II.B, layer S2)

    >>> import tinygrad_cnn as tg
    >>> Subsampling(6)(tg.symbol((1, 6, 28, 28))).shape
    (1, 6, 14, 14)
    """

    def __init__(self, channels: int) -> None:
        self.pool = nn.AvgPool2d(2)
        self.weight = nn.Parameter.initialised((channels, 1, 1), nn.init.Constant(1.0))
        self.bias = nn.Parameter.initialised((channels, 1, 1), nn.init.Constant(0.0))

    def forward(self, input: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C, H / 2, W / 2)``."""
        averages: Tensor = self.pool(input)
        return averages * self.weight + self.bias


class LeNet1(nn.Module):
    """Two convolutions and one dense layer: ``(N, 1, 28, 28)`` to scores. See :func:`lenet1`."""

    def __init__(self, num_classes: int = 10) -> None:
        self.conv1 = nn.Conv2d(1, 4, 5)  # (N, 1, 28, 28) -> (N, 4, 24, 24)
        self.tanh1 = nn.Tanh()
        self.pool1 = Subsampling(4)  # -> (N, 4, 12, 12)
        self.tanh2 = nn.Tanh()
        self.conv2 = TableConv2d(LENET1_TABLE, 5)  # -> (N, 12, 8, 8)
        self.tanh3 = nn.Tanh()
        self.pool2 = Subsampling(12)  # -> (N, 12, 4, 4)
        self.tanh4 = nn.Tanh()
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(12 * 4 * 4, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """``(N, 1, 28, 28)`` to scores ``(N, num_classes)``."""
        x = self.tanh2(self.pool1(self.tanh1(self.conv1(images))))
        x = self.tanh4(self.pool2(self.tanh3(self.conv2(x))))
        scores: Tensor = self.fc(self.flatten(x))
        return scores


LENET1_TABLE = (
    (0,), (0, 1), (0, 1), (1,), (0, 1), (0, 1),
    (2,), (2, 3), (2, 3), (3,), (2, 3), (2, 3),
)  # fmt: skip
"""The maps of the first layer that each map of the second convolution of LeNet-1 sees."""

LENET5_TABLE = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5),
)  # fmt: skip
"""The same for LeNet-5: table I of LeCun et al. (1998)."""


def lenet1(num_classes: int = 10) -> LeNet1:
    """LeNet-1, the first of them: 2,578 parameters for ten classes. (LeCun et al., 1990)

    Args:
        num_classes: how many classes are told apart.

    Images are 28 by 28, grey. The maps of the second convolution see one or two maps of the first, and pooling has
    a trained factor and bias for each map, so that there are 98,442 connections, as in the paper.

    >>> sum(parameter.numel() for parameter in lenet1().parameters())
    2578
    """
    return LeNet1(num_classes)


class LeNet5Original(nn.Module):
    """LeNet-5 as first described: ``(N, 1, 32, 32)`` to scores. See :func:`lenet5_1998`."""

    def __init__(self) -> None:
        self.c1 = nn.Conv2d(1, 6, 5)  # (N, 1, 32, 32) -> (N, 6, 28, 28)
        self.tanh1 = nn.Tanh()
        self.s2 = Subsampling(6)  # -> (N, 6, 14, 14)
        self.tanh2 = nn.Tanh()
        self.c3 = TableConv2d(LENET5_TABLE, 5)  # -> (N, 16, 10, 10)
        self.tanh3 = nn.Tanh()
        self.s4 = Subsampling(16)  # -> (N, 16, 5, 5)
        self.tanh4 = nn.Tanh()
        self.c5 = nn.Conv2d(16, 120, 5)  # -> (N, 120, 1, 1)
        self.tanh5 = nn.Tanh()
        self.flatten = nn.Flatten()
        self.f6 = nn.Linear(120, 84)
        self.tanh6 = nn.Tanh()
        self.output = RadialBasis(84, 10)

    def forward(self, images: Tensor) -> Tensor:
        """``(N, 1, 32, 32)`` to scores ``(N, 10)``: the largest is the answer."""
        x = self.tanh2(self.s2(self.tanh1(self.c1(images))))
        x = self.tanh4(self.s4(self.tanh3(self.c3(x))))
        x = self.flatten(self.tanh5(self.c5(x)))
        scores: Tensor = self.output(self.tanh6(self.f6(x)))
        return scores


class RadialBasis(nn.Module):
    """Minus the squared distance of the input from each of some fixed codes of -1 and 1: ``(N, F)`` to ``(N, O)``.

    (LeCun et al., 1998, equation 7; there the codes are little pictures of the characters)

    >>> import tinygrad_cnn as tg
    >>> RadialBasis(84, 10)(tg.symbol((2, 84))).shape
    (2, 10)
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        codes = np.random.default_rng(1998).choice(np.array([-1, 1], "float32"), (out_features, in_features))
        self.codes = nn.Buffer(codes)

    def forward(self, input: Tensor) -> Tensor:
        """``(N, F)`` to ``(N, O)``."""
        distances = input.reshape(input.shape[0], 1, input.shape[1]) - self.codes  # -> (N, O, F)
        return -(distances * distances).sum(2)


def lenet5_1998() -> LeNet5Original:
    """LeNet-5 as first described: 60,000 parameters. (LeCun et al., 1998, section II.B)

    Images are 32 by 32, grey. Maps of the second convolution see only some of the first, by the paper's table I;
    pooling has a trained factor and bias for each map; the ten outputs are minus the distances from fixed codes, here
    random ones. For :func:`lenet5` these things are replaced by what is usual today.

    >>> sum(parameter.numel() for parameter in lenet5_1998().parameters())
    60000
    """
    return LeNet5Original()
