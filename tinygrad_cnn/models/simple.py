"""The simplest networks: perceptrons of many layers, and small stacks of convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from .. import nn
from ..errors import ArgumentError
from ..nn.blocks import ActivationLayer, require_makers
from ..tensor import Tensor


class MLP(nn.Module):
    """Dense layers with activations between them: ``(N, ...)`` to ``(N, sizes[-1])``. See :func:`mlp`."""

    def __init__(self, sizes: Sequence[int], activation_layer: ActivationLayer = nn.ReLU) -> None:
        if len(sizes) < 2:
            raise ArgumentError(
                "mlp", "a layer needs an input and an output", got=f"sizes={tuple(sizes)}",
                expected="two or more sizes, such as (784, 300, 10)",
            )  # fmt: skip
        require_makers("mlp", activation_layer=activation_layer)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), activation_layer()]
        self.flatten = nn.Flatten()
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, input: Tensor) -> Tensor:
        """``(N, ...)`` to ``(N, sizes[-1])``."""
        output: Tensor = self.layers(self.flatten(input))
        return output


def mlp(sizes: Sequence[int] = (784, 300, 10), activation_layer: ActivationLayer = nn.ReLU) -> MLP:
    """A multi-layer perceptron; images are flattened first. (Rumelhart, Hinton and Williams, 1986)

    Args:
        sizes: features of the input, of each hidden layer, and of the output.
        activation_layer: makes the activations between the layers.

    The usual sizes are those of LeCun et al. (1998, section III.C.2) for digits of 28 by 28: 238,510 parameters.

    Raises :class:`ArgumentError` for fewer than two sizes.

    >>> sum(parameter.numel() for parameter in mlp().parameters())
    238510
    """
    return MLP(sizes, activation_layer)


class ResidualMLP(nn.Module):
    """Residual blocks of two dense layers: ``(N, ...)`` to ``(N, num_classes)``. See :func:`residual_mlp`."""

    def __init__(self, in_features: int, num_classes: int, width: int, depth: int) -> None:
        self.flatten = nn.Flatten()
        self.input = nn.Linear(in_features, width)
        self.blocks = nn.Sequential(*[nn.ResidualLinear(width) for _ in range(depth)])
        self.relu = nn.ReLU()
        self.output = nn.Linear(width, num_classes)

    def forward(self, input: Tensor) -> Tensor:
        """``(N, ...)`` to ``(N, num_classes)``."""
        x = self.blocks(self.input(self.flatten(input)))
        output: Tensor = self.output(self.relu(x))
        return output


def residual_mlp(in_features: int = 784, num_classes: int = 10, width: int = 128, depth: int = 8) -> ResidualMLP:
    """A multi-layer perceptron with shortcuts, which stays trainable when it is deep. (after He et al., 2016)

    Args:
        in_features: numbers in one input; images are flattened first.
        num_classes: how many classes are told apart.
        width: features between the blocks.
        depth: how many blocks, of two dense layers each.

    >>> import tinygrad_cnn as tg
    >>> residual_mlp(depth=20)(tg.symbol((1, 1, 28, 28))).shape
    (1, 10)
    """
    return ResidualMLP(in_features, num_classes, width, depth)


class KerasCNN(nn.Module):
    """Three convolutions and two dense layers for digits of 28 by 28. See :func:`keras_cnn`."""

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        self.conv1 = nn.Conv2d(in_channels, 32, 3)  # (N, 1, 28, 28) -> (N, 32, 26, 26)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)  # -> (N, 32, 13, 13)
        self.conv2 = nn.Conv2d(32, 64, 3)  # -> (N, 64, 11, 11)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)  # -> (N, 64, 5, 5)
        self.conv3 = nn.Conv2d(64, 64, 3)  # -> (N, 64, 3, 3)
        self.relu3 = nn.ReLU()
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(64 * 3 * 3, 64)
        self.relu4 = nn.ReLU()
        self.fc2 = nn.Linear(64, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """``(N, in_channels, 28, 28)`` to logits ``(N, num_classes)``."""
        x = self.pool1(self.relu1(self.conv1(images)))
        x = self.pool2(self.relu2(self.conv2(x)))
        x = self.relu3(self.conv3(x))
        logits: Tensor = self.fc2(self.relu4(self.fc1(self.flatten(x))))
        return logits


def keras_cnn(num_classes: int = 10, in_channels: int = 1) -> KerasCNN:
    """The small network of Keras' first examples for digits. (Chollet, 2017, listings 5.1 and 5.2)

    Args:
        num_classes: how many classes are told apart.
        in_channels: 1 for grey images, 3 for colour.

    It has 93,322 parameters for one channel and ten classes.

    >>> sum(parameter.numel() for parameter in keras_cnn().parameters())
    93322
    """
    return KerasCNN(num_classes, in_channels)


def conv_pattern(
    input_shape: Sequence[int] = (3, 32, 32),
    num_classes: int = 10,
    channels: Sequence[int] = (32, 64),
    n: int = 2,
    pool: bool = True,
    features: Sequence[int] = (128,),
    kernel_size: int = 3,
    softmax: bool = False,
) -> nn.ConvPattern:
    """A network by the pattern ``[(CONV-RELU)*N - POOL?]*M - (FC-RELU)*K - FC``. (Stanford CS231n)

    The arguments and errors are those of :class:`~tinygrad_cnn.nn.ConvPattern`.

    >>> import tinygrad_cnn as tg
    >>> conv_pattern((1, 28, 28), channels=(8, 16, 32))(tg.symbol((1, 1, 28, 28))).shape
    (1, 10)
    """
    return nn.ConvPattern(input_shape, num_classes, channels, n, pool, features, kernel_size, softmax)
