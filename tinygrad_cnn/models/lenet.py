"""LeNet: the networks that read handwritten digits."""

from __future__ import annotations

from .. import nn
from ..errors import ArgumentError
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
