"""Receptive fields: what the graph says against what gradients show, and figures that are known."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import ArgumentError
from tinygrad_cnn.inspect import measured_receptive_field, receptive_field


class Shortcut(nn.Module):
    """A sum of a short and a long way."""

    def __init__(self) -> None:
        self.long = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 1, 5, padding=2))

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return x + self.long(x)


class Ways(nn.Module):
    """Two kernels side by side, joined along the channels; the second sees the image moved by one row."""

    def __init__(self) -> None:
        self.small, self.large = nn.Conv2d(1, 2, 1), nn.Conv2d(1, 2, (3, 7), padding=(1, 3))

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return tg.cat([self.small(x), self.large(tg.pad(x, (0, 0, 1, 0))[:, :, :-1])], 1)


class Turned(nn.Module):
    """Axes exchanged, the image flipped, every other row taken."""

    def __init__(self) -> None:
        self.conv = nn.Conv2d(1, 1, (1, 5))

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.conv(tg.flip(tg.permute(x, (0, 1, 3, 2)), (2,))[:, :, ::2])


NETS = {
    "one 5x5": lambda: nn.Conv2d(1, 2, 5),
    "two 3x3": lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3)),
    "dilated": lambda: nn.Sequential(nn.Conv2d(1, 2, 3, dilation=2, padding=2), nn.Conv2d(2, 1, 3, dilation=3)),
    "strided": lambda: nn.Sequential(nn.Conv2d(1, 2, 3, stride=2, padding=1), nn.Conv2d(2, 1, (1, 3), stride=(1, 2))),
    "pooled": lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), nn.Conv2d(2, 1, 3, padding=1)),
    "pooled beyond the end": lambda: nn.Sequential(nn.MaxPool2d(3, 2, ceil_mode=True), nn.AvgPool2d(2, 1)),
    "transposed": lambda: nn.Sequential(nn.Conv2d(1, 2, 3, stride=2), nn.ConvTranspose2d(2, 1, 4, stride=2, padding=1)),
    "normalised": lambda: nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2), nn.Tanh()),
    "shortcut": Shortcut,
    "side by side": Ways,
    "turned": Turned,
    "enlarged": lambda: nn.Sequential(nn.Conv2d(1, 1, 3, stride=3), nn.Upsample(scale_factor=2, mode="bilinear")),
    "flattened": lambda: nn.Sequential(nn.Conv2d(1, 2, 3, stride=2), nn.Flatten(), nn.Linear(128, 3)),
    "averaged": lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(2)),
}
SHAPE = (1, 1, 18, 18)


@pytest.mark.parametrize("name", NETS)
def test_the_graph_and_the_gradient_agree(name):
    model = NETS[name]()
    output = model(tg.symbol(SHAPE)).shape
    units = [None] if len(output) < 4 or name == "dilated" else [None, (0, 0), (output[2] - 1, output[3] - 2)]
    for unit in units:
        by_graph = receptive_field(model, SHAPE, unit=unit, clip=True)
        by_gradient = measured_receptive_field(model, SHAPE, unit=unit, samples=12)
        assert (by_graph.first, by_graph.last) == (by_gradient.first, by_gradient.last)


def test_two_small_kernels_see_what_a_large_one_sees():
    two, one = (receptive_field(NETS[name](), SHAPE) for name in ("two 3x3", "one 5x5"))
    assert two.size == one.size == (5, 5)


def test_known_figures():
    vgg, resnet = tg.models.vgg16(), tg.models.resnet18()
    assert receptive_field(vgg, (1, 3, 224, 224), "features.28").size == (196, 196)
    assert receptive_field(vgg, (1, 3, 224, 224), "features.30")[:2] == ((212, 212), (32.0, 32.0))
    assert receptive_field(resnet, (1, 3, 224, 224), "layer4")[:2] == ((435, 435), (32.0, 32.0))
    assert receptive_field(tg.models.lenet5(), (1, 1, 32, 32), "pool2").size == (16, 16)


def test_a_unit_at_the_border_sees_padding():
    model = nn.Conv2d(1, 1, 5, padding=2)
    assert receptive_field(model, SHAPE, unit=(0, 17)) == ((5, 5), (1.0, 1.0), (-2, 15), (2, 19))
    assert receptive_field(model, SHAPE, unit=(0, 17), clip=True)[2:] == ((0, 15), (2, 17))


def test_one_and_three_axes():
    assert receptive_field(nn.Conv1d(2, 3, 4, stride=2), (1, 2, 20))[:2] == ((4,), (2.0,))
    assert receptive_field(nn.MaxPool3d(2), (1, 1, 6, 8, 4)).size == (2, 2, 2)


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Conv2d(1, 1, 3), nn.BatchNorm2d(1))
    before = {name: each.numpy() for name, each in model.state_dict().items()}
    measured_receptive_field(model, SHAPE, samples=1)
    assert model.training
    assert all(each.requires_grad and each.grad is None for each in model.parameters())
    for name, each in model.state_dict().items():
        np.testing.assert_array_equal(each.numpy(), before[name])


def test_errors():
    model = nn.Conv2d(1, 1, 3)
    with pytest.raises(ArgumentError, match="there is no such unit"):
        receptive_field(model, SHAPE, unit=(16, 0))
    with pytest.raises(ArgumentError, match="there is no layer 'conv9'"):
        receptive_field(model, SHAPE, "conv9")
