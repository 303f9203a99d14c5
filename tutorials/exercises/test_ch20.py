"""Checks of the exercises of chapter 20."""

import ch20
import numpy as np
import pytest

import tinygrad_cnn as tg

pytestmark = pytest.mark.ch20


def test_last_bias_gradient() -> None:
    random = np.random.default_rng(0)
    logits, labels = 3 * random.standard_normal((7, 4)), random.integers(4, size=7)
    bias = tg.Tensor(np.zeros(4), requires_grad=True)
    tg.nn.functional.cross_entropy(tg.Tensor(logits) + bias, tg.Tensor(labels)).backward()
    assert np.allclose(ch20.last_bias_gradient(logits, labels), bias.grad.numpy(), atol=1e-12)
    assert np.isfinite(ch20.last_bias_gradient(np.array([[1000.0, 0.0]]), np.array([1]))).all()


def test_precision_and_recall() -> None:
    precision, recall = ch20.precision_and_recall(np.array([[3, 1, 0], [0, 4, 0], [2, 0, 0]]))
    assert np.allclose(precision, [3 / 5, 4 / 5, 0])
    assert np.allclose(recall, [3 / 4, 1, 0])


def test_lenet_without() -> None:
    expected = {None: 61706, "conv1": 59550, "pool1": 290186, "conv2": 46570, "pool2": 205706, "fc1": 37106}
    for layer, parameters in expected.items():
        network = ch20.lenet_without(layer)
        assert sum(each.numel() for each in network.parameters()) == parameters, layer
        assert network(tg.symbol((3, 1, 28, 28))).shape == (3, 10), layer
