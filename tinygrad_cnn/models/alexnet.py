"""AlexNet, the network that won the ImageNet competition of 2012."""

from __future__ import annotations

from .. import nn
from ..tensor import Tensor


class AlexNet(nn.Module):
    """Five convolutions and three dense layers: ``(N, 3, H, W)`` to logits. See :func:`alexnet`."""

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=2),  # (N, 3, 224, 224) -> (N, 64, 55, 55)
            nn.ReLU(),
            nn.MaxPool2d(3, 2),  # -> (N, 64, 27, 27)
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),  # -> (N, 192, 13, 13)
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),  # -> (N, 256, 6, 6)
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.flatten = nn.Flatten()
        self.classifier = _dense_layers(num_classes, dropout)

    def forward(self, images: Tensor) -> Tensor:
        """``(N, 3, H, W)`` to logits ``(N, num_classes)``."""
        logits: Tensor = self.classifier(self.flatten(self.avgpool(self.features(images))))
        return logits


class AlexNet2012(nn.Module):
    """AlexNet on two processors, which exchange their channels only in the third convolution. See
    :func:`alexnet_2012`.
    """

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        self.features = nn.Sequential(
            nn.Conv2d(3, 96, 11, stride=4),  # (N, 3, 227, 227) -> (N, 96, 55, 55)
            nn.ReLU(),
            nn.LocalResponseNorm(5, alpha=5e-4, k=2.0),
            nn.MaxPool2d(3, 2),  # -> (N, 96, 27, 27)
            nn.Conv2d(96, 256, 5, padding=2, groups=2),
            nn.ReLU(),
            nn.LocalResponseNorm(5, alpha=5e-4, k=2.0),
            nn.MaxPool2d(3, 2),  # -> (N, 256, 13, 13)
            nn.Conv2d(256, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 384, 3, padding=1, groups=2),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1, groups=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),  # -> (N, 256, 6, 6)
        )
        self.flatten = nn.Flatten()
        self.classifier = _dense_layers(num_classes, dropout)

    def forward(self, images: Tensor) -> Tensor:
        """``(N, 3, 227, 227)`` to logits ``(N, num_classes)``."""
        logits: Tensor = self.classifier(self.flatten(self.features(images)))
        return logits


def _dense_layers(num_classes: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Dropout(dropout), nn.Linear(256 * 6 * 6, 4096), nn.ReLU(),
        nn.Dropout(dropout), nn.Linear(4096, 4096), nn.ReLU(),
        nn.Linear(4096, num_classes),
    )  # fmt: skip


def alexnet(num_classes: int = 1000, dropout: float = 0.5) -> AlexNet:
    """AlexNet in one tower, with torchvision's widths and names. (Krizhevsky, 2014)

    Args:
        num_classes: how many classes are told apart.
        dropout: the probability in front of the first two dense layers.

    It has 61,100,840 parameters for 1000 classes.

    >>> import tinygrad_cnn as tg
    >>> model = alexnet()
    >>> sum(parameter.numel() for parameter in model.parameters())
    61100840
    >>> model(tg.symbol((1, 3, 224, 224))).shape
    (1, 1000)
    """
    return AlexNet(num_classes, dropout)


def alexnet_2012(num_classes: int = 1000, dropout: float = 0.5) -> AlexNet2012:
    """AlexNet as first described: two towers as groups, local response normalisation. (Krizhevsky et al., 2012)

    The arguments are those of :func:`alexnet`. It has 60,965,224 parameters for 1000 classes, the paper's "60 million".
    The paper's text says images of 224 by 224; its numbers fit 227 by 227.

    >>> sum(parameter.numel() for parameter in alexnet_2012().parameters())
    60965224
    """
    return AlexNet2012(num_classes, dropout)
