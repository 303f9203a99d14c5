"""Batch normalisation against plain NumPy, in training and evaluation, and its gradients of both orders."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import ArgumentError
from tinygrad_cnn.nn import functional as F

CASES = [
    (nn.BatchNorm1d, (6, 3)),
    (nn.BatchNorm1d, (3, 3, 4)),
    (nn.BatchNorm2d, (2, 3, 4, 1)),
    (nn.BatchNorm3d, (2, 3, 2, 1, 2)),
]
each_case = pytest.mark.parametrize(("kind", "shape"), CASES, ids=lambda value: getattr(value, "__name__", str(value)))


def made(kind: type[nn.Module], dtype: str = "float64", **settings: float) -> nn.Module:
    """A layer whose numbers are all different."""
    layer = kind(3, **settings)
    layer.load_state_dict(
        {
            "weight": [0.5, -1.5, 2.0], "bias": [1.0, 0.0, -2.0], "running_mean": [0.1, -0.2, 0.3],
            "running_var": [0.5, 1.5, 2.5], "num_batches_tracked": 4,
        }
    )  # fmt: skip
    return layer.to(dtype)


def draw(shape: tuple[int, ...]) -> np.ndarray:
    return 3.0 + 2.0 * np.random.default_rng(0).standard_normal(shape)


def by_hand(x: np.ndarray, mean: np.ndarray, var: np.ndarray, layer: nn.Module) -> np.ndarray:
    result = np.empty_like(x)
    for channel in range(3):
        scaled = (x[:, channel] - mean[channel]) / np.sqrt(var[channel] + layer.eps)
        result[:, channel] = scaled * layer.weight.numpy()[channel] + layer.bias.numpy()[channel]
    return result


@each_case
def test_training_uses_the_batch_and_moves_the_running_statistics(kind, shape):
    layer = made(kind, momentum=0.3, eps=1e-3)
    mean, var = layer.running_mean.numpy(), layer.running_var.numpy()
    for step in range(3):
        x = draw(shape) * (step + 1)
        channels = [x[:, channel] for channel in range(3)]
        output = layer(tg.Tensor(x)).numpy()
        expected = by_hand(x, [each.mean() for each in channels], [each.var() for each in channels], layer)
        np.testing.assert_allclose(output, expected, rtol=1e-10, atol=1e-12)
        mean = 0.7 * mean + 0.3 * np.array([each.mean() for each in channels])
        var = 0.7 * var + 0.3 * np.array([each.var(ddof=1) for each in channels])  # unbiased, as in PyTorch
        np.testing.assert_allclose(layer.running_mean.numpy(), mean, rtol=1e-12)
        np.testing.assert_allclose(layer.running_var.numpy(), var, rtol=1e-12)
        assert layer.num_batches_tracked.item() == 5 + step


@each_case
def test_evaluation_uses_the_running_statistics_and_leaves_them(kind, shape):
    layer = made(kind).eval()
    before = {name: each.numpy() for name, each in layer.state_dict().items()}
    x = draw(shape)
    expected = by_hand(x, before["running_mean"], before["running_var"], layer)
    np.testing.assert_allclose(layer(tg.Tensor(x)).numpy(), expected, rtol=1e-12)
    for name, each in layer.state_dict().items():
        np.testing.assert_array_equal(each.numpy(), before[name])


@each_case
def test_backward_in_evaluation(kind, shape):
    layer = made(kind).eval()
    x = tg.Tensor(draw(shape), requires_grad=True)
    layer(x).sum().backward()
    per_channel = layer.weight.numpy() / np.sqrt(layer.running_var.numpy() + layer.eps)
    for channel in range(3):
        np.testing.assert_allclose(x.grad.numpy()[:, channel], per_channel[channel], rtol=1e-12)
    count = x.numel() // 3
    np.testing.assert_allclose(layer.bias.grad.numpy(), np.full(3, float(count)))


@pytest.mark.parametrize("training", [True, False])
@each_case
def test_gradients_of_both_orders(kind, shape, training):
    layer = made(kind).train(training)
    mean, var = layer.running_mean.detach(), layer.running_var.detach()

    def function(x, weight, bias):
        return F.batch_norm(x, None if training else mean, None if training else var, weight, bias, training)

    inputs = (draw(shape), [0.5, -1.5, 2.0], [1.0, 0.0, -2.0])
    tg.testing.check_grad(function, inputs, order=2, directions=1, rtol=1e-4, atol=1e-6)


def test_a_shift_of_the_input_has_no_gradient_in_training():
    x = tg.Tensor(draw((5, 3)), requires_grad=True)
    (made(nn.BatchNorm1d)(x) * tg.Tensor(draw((5, 3)))).sum().backward()
    np.testing.assert_allclose(x.grad.numpy().sum(0), 0.0, atol=1e-12)


def test_running_statistics_are_no_part_of_the_graph():
    layer = made(nn.BatchNorm1d)
    layer(tg.Tensor(draw((5, 3)), requires_grad=True))
    assert layer.running_mean.is_leaf
    assert layer.running_var.is_leaf
    assert not layer.running_mean.requires_grad


def test_float32_stays_float32():
    layer = made(nn.BatchNorm2d, "float32")
    x = tg.Tensor(draw((2, 3, 2, 2)).astype(np.float32), requires_grad=True)
    for training in (True, False):
        y = layer.train(training)(x)
        y.sum().backward()
        for each in (y, x.grad, layer.weight.grad, layer.bias.grad, layer.running_mean, layer.running_var):
            assert each.dtype == each.array.dtype == np.float32
    assert layer.num_batches_tracked.dtype == np.int64


def test_without_running_statistics_evaluation_uses_the_batch():
    layer = nn.BatchNorm1d(3, affine=False, track_running_stats=False)
    assert list(layer.state_dict()) == []
    x = tg.Tensor(draw((5, 3)))
    np.testing.assert_array_equal(layer(x).numpy(), layer.eval()(x).numpy())
    np.testing.assert_allclose(layer(x).numpy().var(0), 1.0, rtol=1e-4)


def test_a_symbolic_call_leaves_the_running_statistics():
    layer = made(nn.BatchNorm2d)
    before = layer.running_mean.numpy()
    x = tg.symbol((2, 3, 2, 2), "float64")
    output = layer(x)
    np.testing.assert_array_equal(layer.running_mean.numpy(), before)
    assert layer.num_batches_tracked.item() == 4
    images = draw((2, 3, 2, 2))
    np.testing.assert_allclose(tg.evaluate(output, {x: images}).numpy(), layer(tg.Tensor(images)).numpy(), rtol=1e-12)


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1)])
def test_a_single_value_cannot_be_normalised_in_training(shape):
    layer = nn.BatchNorm1d(3)
    with pytest.raises(ArgumentError, match=r"1 value per channel has no variance.*\n.*\n.*two or more.*\n.*eval"):
        layer(tg.Tensor(np.zeros(shape, np.float32)))
    assert layer.eval()(tg.Tensor(np.zeros(shape, np.float32))).shape == shape


@pytest.mark.parametrize("training", [True, False])
def test_an_empty_batch_leaves_the_running_statistics(training):
    layer = made(nn.BatchNorm1d).train(training)
    before = layer.running_mean.numpy(), layer.running_var.numpy()
    x = tg.Tensor(np.zeros((0, 3)), requires_grad=True)
    output = layer(x)
    output.sum().backward()
    assert output.shape == x.grad.shape == (0, 3)
    np.testing.assert_array_equal(layer.weight.grad.numpy(), np.zeros(3))
    np.testing.assert_array_equal([layer.running_mean.numpy(), layer.running_var.numpy()], before)
