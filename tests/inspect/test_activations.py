"""The outputs of all layers by name."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import ArgumentError
from tinygrad_cnn.inspect import activations
from tinygrad_cnn.inspect.activations import layer_output, untouched


class Twice(nn.Module):
    def __init__(self) -> None:
        self.layer, self.pair = nn.Linear(2, 2), Pair()

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.pair(self.layer(self.layer(x)))[0]


class Pair(nn.Module):
    def forward(self, x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        return x, x


def test_names():
    model = tg.models.lenet5()
    x = tg.Tensor(np.random.default_rng(0).random((2, 1, 32, 32), dtype=np.float32))
    found = activations(model, x)
    assert list(found)[:3] == ["conv1", "relu1", "pool1"]
    assert list(found)[-1] == ""
    by_hand = model.pool1(model.relu1(model.conv1(x)))
    np.testing.assert_array_equal(found["pool1"].numpy(), by_hand.numpy())
    assert not any(each.requires_grad for each in found.values())


def test_a_layer_that_is_called_twice_and_one_that_gives_no_single_tensor():
    found = activations(Twice(), tg.Tensor([[1.0, 2.0]]))
    assert list(found) == ["layer", "layer#2", ""]


def test_the_model_is_left_as_it_was():
    model = Twice()
    activations(model, tg.Tensor([[1.0, 2.0]]))
    assert "forward" not in vars(model.layer)
    model.layer.weight.grad = tg.Tensor([[1.0, 1.0], [1.0, 1.0]])
    model.layer.bias.requires_grad_(False)
    with untouched(model):
        assert not model.training
        assert not model.layer.weight.requires_grad
    assert model.training
    assert model.layer.weight.requires_grad
    assert not model.layer.bias.requires_grad
    assert model.layer.weight.grad is not None


def test_errors():
    with pytest.raises(ArgumentError, match="there is no layer 'conv9'"):
        layer_output(Twice(), "conv9", tg.Tensor([[1.0, 2.0]]))
    with pytest.raises(ArgumentError, match="'pair' gave no tensor"):
        layer_output(Twice(), "pair", tg.Tensor([[1.0, 2.0]]))
