"""Layer, group, instance and local response normalisation against loops, and their layers."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import ArgumentError, ShapeError
from tinygrad_cnn.nn import functional as F


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def standardised(values: np.ndarray, eps: float) -> np.ndarray:
    flat = values.ravel().tolist()
    mean = sum(flat) / len(flat)
    variance = sum((each - mean) ** 2 for each in flat) / len(flat)
    return (values - mean) / (variance + eps) ** 0.5


def layer_by_hand(x, last, weight, bias, eps=1e-5):
    result = np.empty_like(x)
    for place in np.ndindex(*x.shape[: x.ndim - last]):
        result[place] = standardised(x[place], eps) * weight + bias
    return result


def groups_by_hand(x, groups, weight, bias, eps=1e-5):
    result, size = np.empty_like(x), x.shape[1] // groups
    for n in range(x.shape[0]):
        for g in range(groups):
            part = slice(g * size, (g + 1) * size)
            result[n, part] = standardised(x[n, part], eps)
        for c in range(x.shape[1]):
            result[n, c] = result[n, c] * weight[c] + bias[c]
    return result


def local_by_hand(x, size, alpha, beta, k):
    result = np.empty_like(x)
    for n, c in np.ndindex(*x.shape[:2]):
        first, last = c - size // 2, c + (size - 1) // 2
        squares = sum(x[n, each] ** 2 for each in range(max(first, 0), min(last, x.shape[1] - 1) + 1))
        result[n, c] = x[n, c] / (k + alpha * squares / size) ** beta
    return result


def set_affine(layer: nn.Module, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    weight, bias = draw(*shape, seed=1), draw(*shape, seed=2)
    layer.load_state_dict({**layer.state_dict(), "weight": tg.Tensor(weight), "bias": tg.Tensor(bias)})
    return weight, bias


@pytest.mark.parametrize(("shape", "last"), [((2, 3), 1), ((2, 3, 4), 2), ((3,), 1), ((2, 1, 2, 2), 3)])
def test_layer_norm(shape, last):
    layer = nn.LayerNorm(shape[-last:]).to("float64")
    weight, bias = set_affine(layer, shape[-last:])
    x = draw(*shape)
    np.testing.assert_allclose(layer(tg.Tensor(x)).numpy(), layer_by_hand(x, last, weight, bias), rtol=1e-10)
    tg.testing.check_grad(layer, [x], order=2, directions=1, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("shape", "groups"), [((2, 4), 2), ((2, 6, 3), 3), ((1, 4, 2, 2), 1), ((2, 2, 2, 1, 3), 2)])
def test_group_norm(shape, groups):
    layer = nn.GroupNorm(groups, shape[1]).to("float64")
    weight, bias = set_affine(layer, shape[1:2])
    x = draw(*shape)
    np.testing.assert_allclose(layer(tg.Tensor(x)).numpy(), groups_by_hand(x, groups, weight, bias), rtol=1e-10)
    tg.testing.check_grad(layer, [x], order=2, directions=1, rtol=1e-4, atol=1e-6)


KINDS = {3: nn.InstanceNorm1d, 4: nn.InstanceNorm2d, 5: nn.InstanceNorm3d}


@pytest.mark.parametrize("shape", [(2, 3, 4), (3, 2, 2, 3), (2, 1, 2, 2, 2)])
def test_instance_norm_is_group_norm_with_a_group_for_each_channel(shape):
    layer = KINDS[len(shape)](shape[1], affine=True).to("float64")
    weight, bias = set_affine(layer, shape[1:2])
    x = draw(*shape)
    expected = groups_by_hand(x, shape[1], weight, bias)
    np.testing.assert_allclose(layer(tg.Tensor(x)).numpy(), expected, rtol=1e-10)
    np.testing.assert_allclose(layer(tg.Tensor(x[0])).numpy(), expected[0], rtol=1e-10)
    tg.testing.check_grad(layer, [x], order=2, directions=1, rtol=1e-4, atol=1e-6)


def test_running_statistics_of_instance_norm():
    layer = nn.InstanceNorm1d(2, track_running_stats=True, momentum=0.25).to("float64")
    x = draw(3, 2, 5)
    layer(tg.Tensor(x))
    np.testing.assert_allclose(layer.running_mean.numpy(), 0.25 * x.mean(2).mean(0), rtol=1e-12)
    np.testing.assert_allclose(layer.running_var.numpy(), 0.75 + 0.25 * x.var(2, ddof=1).mean(0), rtol=1e-12)
    layer.eval()
    mean, var = layer.running_mean.numpy()[:, None], layer.running_var.numpy()[:, None]
    np.testing.assert_allclose(layer(tg.Tensor(x)).numpy(), (x - mean) / np.sqrt(var + 1e-5), rtol=1e-12)
    assert list(layer.state_dict()) == ["running_mean", "running_var", "num_batches_tracked"]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("shape", [(2, 5), (2, 6, 3), (1, 1, 2, 2)])
def test_local_response_norm(shape, size):
    layer = nn.LocalResponseNorm(size, alpha=0.5, beta=0.6, k=1.5)
    x = draw(*shape)
    np.testing.assert_allclose(layer(tg.Tensor(x)).numpy(), local_by_hand(x, size, 0.5, 0.6, 1.5), rtol=1e-12)
    tg.testing.check_grad(layer, [x], order=2, directions=1, rtol=1e-4, atol=1e-6)


def test_batch_norm_that_averages_all_batches_alike():
    layer = nn.BatchNorm1d(2, momentum=None).to("float64")
    batches = [draw(4, 2, seed=seed) for seed in range(3)]
    for batch in batches:
        layer(tg.Tensor(batch))
    np.testing.assert_allclose(layer.running_mean.numpy(), np.mean([each.mean(0) for each in batches], 0), rtol=1e-12)
    variances = [each.var(0, ddof=1) for each in batches]
    np.testing.assert_allclose(layer.running_var.numpy(), np.mean(variances, 0), rtol=1e-12)


MAKERS = {
    "layer": lambda: nn.LayerNorm(4),
    "group": lambda: nn.GroupNorm(3, 3),
    "instance": lambda: nn.InstanceNorm1d(3),
    "local": lambda: nn.LocalResponseNorm(2),
}


@pytest.mark.parametrize("name", MAKERS)
def test_types_symbols_and_no_samples(name):
    layer = MAKERS[name]()
    assert layer(tg.Tensor(draw(2, 3, 4), dtype="float32")).dtype == "float32"
    assert layer(tg.symbol((2, 3, 4))).shape == (2, 3, 4)
    assert layer(tg.Tensor(np.empty((0, 3, 4), "float32"))).shape == (0, 3, 4)


def test_text():
    assert repr(nn.LayerNorm((2, 3), bias=False)) == "LayerNorm((2, 3), bias=False)"
    assert repr(nn.GroupNorm(2, 4, affine=False)) == "GroupNorm(2, 4, affine=False)"
    assert list(nn.LayerNorm(2, elementwise_affine=False).state_dict()) == []


MISTAKES = [
    (lambda x: nn.LayerNorm(4)(x), ShapeError, "the input does not end in (4,)"),  # noqa: PLW0108 - made in the test, on its device
    (lambda x: F.layer_norm(x, 3, tg.Tensor([1.0])), ShapeError, "weight does not have the shape that is normalised"),
    (lambda x: nn.GroupNorm(4, 6), ArgumentError, "6 channels cannot be divided into 4 equal groups"),
    (lambda x: F.group_norm(x, 4), ShapeError, "6 channels cannot be divided into 4 equal groups"),
    (lambda x: nn.GroupNorm(2, 4)(x), ShapeError, "the input has 6 channels, weight has (4,)"),  # noqa: PLW0108 - made in the test, on its device
    (lambda x: nn.InstanceNorm2d(6)(tg.Tensor([1.0])), ShapeError, "the input has 1 axes"),
    (lambda x: nn.InstanceNorm1d(6)(tg.symbol((2, 6, 1))), ArgumentError, "a single value has no variance"),
    (lambda x: nn.LocalResponseNorm(0)(x), ArgumentError, "channels are counted from 1"),  # noqa: PLW0108 - made in the test, on its device
]


@pytest.mark.parametrize(("call", "kind", "words"), MISTAKES, ids=[words for *_, words in MISTAKES])
def test_errors(call, kind, words):
    with pytest.raises(kind) as caught:
        call(tg.Tensor(draw(2, 6, 3), dtype="float32"))
    assert words in str(caught.value)
