"""Residual networks: for ImageNet, for CIFAR, and a small one for digits."""

from __future__ import annotations

from collections.abc import Sequence

from .. import nn
from ..errors import ArgumentError
from ..nn.blocks import ActivationLayer, require_makers
from ..nn.residual import BasicBlock, Bottleneck, PreActBasicBlock, PreActBottleneck, Shortcut
from ..tensor import Tensor

Block = type[BasicBlock] | type[Bottleneck] | type[PreActBasicBlock] | type[PreActBottleneck]


class ResNet(nn.Module):
    """Stages of residual blocks, each stage with half the image and more channels: ``(N, C, H, W)`` to logits.

    Args:
        block: the kind of block; with a pre-activation block a normalisation and an activation end the last stage.
        layers: how many blocks in each stage.
        num_classes: how many classes are told apart.
        in_channels: 3 for colour images, 1 for grey ones.
        widths: the ``planes`` of the blocks in each stage.
        shortcut: ``"A"``, ``"B"`` or ``"C"``, see :data:`~tinygrad_cnn.nn.residual.Shortcut`.
        activation_layer: makes the activations.
        small_images: begins with a 3x3 convolution that keeps the size, as for CIFAR; else with a 7x7 convolution
            and a pooling that leave a quarter of height and width, as for ImageNet.

    Convolutions start by He et al. (2015) with ``fan_out``, as in torchvision; so are the names of the parts.

    Raises :class:`ArgumentError` for another shortcut.

    >>> import tinygrad_cnn as tg
    >>> model = ResNet(BasicBlock, (1, 1), num_classes=10, widths=(8, 16), small_images=True)
    >>> model(tg.symbol((1, 3, 32, 32))).shape
    (1, 10)
    """

    def __init__(
        self,
        block: Block,
        layers: Sequence[int],
        num_classes: int = 1000,
        in_channels: int = 3,
        widths: Sequence[int] = (64, 128, 256, 512),
        shortcut: Shortcut = "B",
        activation_layer: ActivationLayer = nn.ReLU,
        small_images: bool = False,
    ) -> None:
        require_makers("ResNet", activation_layer=activation_layer)
        first = not issubclass(block, PreActBasicBlock | PreActBottleneck)
        inplanes = widths[0]
        if small_images:
            self.conv1 = nn.Conv2d(in_channels, inplanes, 3, padding=1, bias=False)
        else:
            self.conv1 = nn.Conv2d(in_channels, inplanes, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(inplanes) if first else None
        self.relu = activation_layer() if first else None
        self.maxpool = None if small_images else nn.MaxPool2d(3, 2, 1)
        self.stages: tuple[str, ...] = tuple([f"layer{number}" for number in range(1, len(layers) + 1)])
        for number, (name, planes, count) in enumerate(zip(self.stages, widths, layers, strict=True)):
            blocks = []
            for position in range(count):
                stride = 2 if number and not position else 1
                blocks.append(block(inplanes, planes, stride, shortcut, activation_layer))
                inplanes = planes * block.expansion
            vars(self)[name] = nn.Sequential(*blocks)
        self.last_bn = None if first else nn.BatchNorm2d(inplanes)
        self.last_relu = None if first else activation_layer()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(inplanes, num_classes)
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """``(N, C, H, W)`` to logits ``(N, num_classes)``."""
        x = self.conv1(images)
        for part in (self.bn1, self.relu, self.maxpool, *[vars(self)[name] for name in self.stages]):
            x = part(x) if part else x
        for part in (self.last_bn, self.last_relu):
            x = part(x) if part else x
        logits: Tensor = self.fc(self.flatten(self.avgpool(x)))
        return logits


def resnet18(num_classes: int = 1000, shortcut: Shortcut = "B", activation_layer: ActivationLayer = nn.ReLU) -> ResNet:
    """ResNet-18: 11,689,512 parameters for 1000 classes. (He et al., 2016a, table 1)

    Args:
        num_classes: how many classes are told apart.
        shortcut: ``"A"``, ``"B"`` or ``"C"``, see :data:`~tinygrad_cnn.nn.residual.Shortcut`.
        activation_layer: makes the activations, such as ``nn.PReLU``.

    >>> sum(parameter.numel() for parameter in resnet18().parameters())
    11689512
    """
    return ResNet(BasicBlock, (2, 2, 2, 2), num_classes, shortcut=shortcut, activation_layer=activation_layer)


def resnet34(num_classes: int = 1000, shortcut: Shortcut = "B", activation_layer: ActivationLayer = nn.ReLU) -> ResNet:
    """ResNet-34: 21,797,672 parameters for 1000 classes; arguments as for :func:`resnet18`."""
    return ResNet(BasicBlock, (3, 4, 6, 3), num_classes, shortcut=shortcut, activation_layer=activation_layer)


def resnet50(num_classes: int = 1000, shortcut: Shortcut = "B", activation_layer: ActivationLayer = nn.ReLU) -> ResNet:
    """ResNet-50: 25,557,032 parameters for 1000 classes; arguments as for :func:`resnet18`."""
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes, shortcut=shortcut, activation_layer=activation_layer)


def resnet101(num_classes: int = 1000, shortcut: Shortcut = "B", activation_layer: ActivationLayer = nn.ReLU) -> ResNet:
    """ResNet-101: 44,549,160 parameters for 1000 classes; arguments as for :func:`resnet18`."""
    return ResNet(Bottleneck, (3, 4, 23, 3), num_classes, shortcut=shortcut, activation_layer=activation_layer)


def resnet152(num_classes: int = 1000, shortcut: Shortcut = "B", activation_layer: ActivationLayer = nn.ReLU) -> ResNet:
    """ResNet-152: 60,192,808 parameters for 1000 classes; arguments as for :func:`resnet18`."""
    return ResNet(Bottleneck, (3, 8, 36, 3), num_classes, shortcut=shortcut, activation_layer=activation_layer)


def preact_resnet18(num_classes: int = 1000, shortcut: Shortcut = "B") -> ResNet:
    """ResNet-18 with normalisation and activation in front of each convolution. (He et al., 2016b)

    Args:
        num_classes: how many classes are told apart.
        shortcut: as for :func:`resnet18`.

    >>> import tinygrad_cnn as tg
    >>> preact_resnet18()(tg.symbol((1, 3, 224, 224))).shape
    (1, 1000)
    """
    return ResNet(PreActBasicBlock, (2, 2, 2, 2), num_classes, shortcut=shortcut)


def preact_resnet50(num_classes: int = 1000, shortcut: Shortcut = "B") -> ResNet:
    """ResNet-50 with normalisation and activation in front of each convolution; as :func:`preact_resnet18`."""
    return ResNet(PreActBottleneck, (3, 4, 6, 3), num_classes, shortcut=shortcut)


def cifar_resnet(depth: int, num_classes: int = 10, shortcut: Shortcut = "A", pre_activation: bool = False) -> ResNet:
    """A residual network for 32x32 colour images: three stages of 16, 32 and 64 channels. (He et al., 2016a, table 6)

    Args:
        depth: layers with weights, ``6 n + 2`` for ``n`` blocks in each stage.
        num_classes: how many classes are told apart.
        shortcut: the paper uses ``"A"``, which takes no parameters.
        pre_activation: whether normalisation and activation stand in front of the convolutions. (He et al., 2016b)

    With 20, 32, 44 and 56 layers it has 269,722, 464,154, 658,586 and 853,018 parameters: the paper's 0.27, 0.46, 0.66
    and 0.85 million.

    Raises :class:`ArgumentError` for another depth.

    >>> sum(parameter.numel() for parameter in cifar_resnet(20).parameters())
    269722
    """
    if depth < 8 or depth % 6 != 2:
        raise ArgumentError(
            "cifar_resnet", "three stages of equally many blocks have another depth", got=f"depth={depth}",
            expected="6 n + 2: 8, 14, 20, 26, 32 ...", fix=f"depth={max(8, round((depth - 2) / 6) * 6 + 2)}",
        )  # fmt: skip
    block = PreActBasicBlock if pre_activation else BasicBlock
    layers = [(depth - 2) // 6] * 3
    return ResNet(block, layers, num_classes, widths=(16, 32, 64), shortcut=shortcut, small_images=True)


def resnet20(num_classes: int = 10, shortcut: Shortcut = "A") -> ResNet:
    """:func:`cifar_resnet` of 20 layers: 269,722 parameters."""
    return cifar_resnet(20, num_classes, shortcut)


def resnet32(num_classes: int = 10, shortcut: Shortcut = "A") -> ResNet:
    """:func:`cifar_resnet` of 32 layers: 464,154 parameters."""
    return cifar_resnet(32, num_classes, shortcut)


def resnet44(num_classes: int = 10, shortcut: Shortcut = "A") -> ResNet:
    """:func:`cifar_resnet` of 44 layers: 658,586 parameters."""
    return cifar_resnet(44, num_classes, shortcut)


def resnet56(num_classes: int = 10, shortcut: Shortcut = "A") -> ResNet:
    """:func:`cifar_resnet` of 56 layers: 853,018 parameters."""
    return cifar_resnet(56, num_classes, shortcut)


def resnet8(num_classes: int = 10, in_channels: int = 1) -> ResNet:
    """A residual network of 8 layers for small images such as digits: one block in each of three stages.

    Args:
        num_classes: how many classes are told apart.
        in_channels: 1 for grey images, 3 for colour.

    The image may have any size; 28 and 32 are usual.

    >>> import tinygrad_cnn as tg
    >>> resnet8()(tg.symbol((8, 1, 28, 28))).shape
    (8, 10)
    """
    return ResNet(
        BasicBlock, (1, 1, 1), num_classes, in_channels, widths=(16, 32, 64), shortcut="B", small_images=True
    )  # fmt: skip
