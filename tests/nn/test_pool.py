"""Pooling layers: what each calls, both orders of axes, text forms, and a round trip through the places."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import ArgumentError, ShapeError
from tinygrad_cnn.nn import functional as F

X = np.random.default_rng(1).uniform(0.1, 2.0, (2, 4, 5, 6)).astype(np.float32)

# layer, function, text form
LAYERS = [
    (
        lambda **more: nn.MaxPool2d(3, 2, 1, ceil_mode=True, **more),
        lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True),
        "MaxPool2d(kernel_size=3, stride=2, padding=1, ceil_mode=True",
    ),
    (
        lambda **more: nn.AvgPool2d(2, divisor_override=3, **more),
        lambda x: F.avg_pool2d(x, 2, divisor_override=3),
        "AvgPool2d(kernel_size=2, divisor_override=3",
    ),
    (lambda **more: nn.SumPool2d(2, 1, **more), lambda x: F.sum_pool2d(x, 2, 1), "SumPool2d(kernel_size=2, stride=1"),
    (
        lambda **more: nn.LPPool2d(3, (2, 3), **more),
        lambda x: F.lp_pool2d(x, 3, (2, 3)),
        "LPPool2d(norm_type=3, kernel_size=(2, 3)",
    ),
    (
        lambda **more: nn.WeightedAvgPool2d(3, 1, "same", "gaussian", **more),
        lambda x: F.weighted_pool2d(x, 3, 1, "same", "gaussian"),
        "WeightedAvgPool2d(kernel_size=3, stride=1, padding='same', weights='gaussian'",
    ),
    (
        lambda **more: nn.AdaptiveAvgPool2d((None, 4), **more),
        lambda x: F.adaptive_avg_pool2d(x, (5, 4)),
        "AdaptiveAvgPool2d(output_size=(None, 4)",
    ),
    (
        lambda **more: nn.AdaptiveMaxPool2d(3, **more),
        lambda x: F.adaptive_max_pool2d(x, 3),
        "AdaptiveMaxPool2d(output_size=3",
    ),
    (
        lambda **more: nn.GlobalAvgPool2d(keepdim=True, **more),
        lambda x: F.adaptive_avg_pool2d(x, 1),
        "GlobalAvgPool2d(keepdim=True",
    ),
    (
        lambda **more: nn.GlobalMaxPool2d(True, **more),
        lambda x: F.adaptive_max_pool2d(x, 1),
        "GlobalMaxPool2d(keepdim=True",
    ),
]

NAMES = [row[2].partition("(")[0] for row in LAYERS]

each_layer = pytest.mark.parametrize(("build", "function", "text"), LAYERS, ids=NAMES)


@each_layer
def test_channels_first(build, function, text):
    layer = build()
    assert repr(layer) == text + ")"
    np.testing.assert_array_equal(layer(tg.Tensor(X)).numpy(), function(tg.Tensor(X)).numpy())
    assert layer(tg.symbol(X.shape)).shape == function(tg.symbol(X.shape)).shape


@each_layer
def test_channels_last(build, function, text):
    layer = build(data_format="channels_last")
    separator = "" if text.endswith("(") else ", "
    assert repr(layer) == f"{text}{separator}data_format='channels_last')"
    expected = function(tg.Tensor(X)).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(layer(tg.Tensor(X.transpose(0, 2, 3, 1))).numpy(), expected, rtol=1e-6)
    np.testing.assert_allclose(layer(tg.Tensor(X[0].transpose(1, 2, 0))).numpy(), expected[0], rtol=1e-6)


@pytest.mark.parametrize(
    "name", ["MaxPool", "AvgPool", "SumPool", "LPPool", "WeightedAvgPool", "AdaptiveAvgPool", "AdaptiveMaxPool"]
)
def test_one_and_three_spatial_axes(name):
    for axes, shape in ((1, (2, 3, 6)), (3, (2, 3, 6, 4, 2))):
        arguments = (2, 2) if name == "LPPool" else (2,)
        layer = getattr(nn, f"{name}{axes}d")(*arguments)
        halves = tuple(n // 2 for n in shape[2:])
        assert layer(tg.symbol(shape)).shape == (2, 3, *(halves if "Adaptive" not in name else [2] * axes))


def test_the_global_average_of_one_and_three_axes():
    for axes in (1, 3):
        for name in ("GlobalAvgPool", "GlobalMaxPool"):
            assert getattr(nn, f"{name}{axes}d")()(tg.symbol((2, 3, *[4] * axes))).shape == (2, 3)


def test_the_global_average_is_the_adaptive_one_flattened():
    flat = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())(tg.Tensor(X))
    np.testing.assert_array_equal(nn.GlobalAvgPool2d()(tg.Tensor(X)).numpy(), flat.numpy())
    last = nn.GlobalAvgPool2d(data_format="channels_last")(tg.Tensor(X.transpose(0, 2, 3, 1)))
    np.testing.assert_allclose(last.numpy(), flat.numpy(), rtol=1e-6)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_pooling_and_back(axes):
    x = np.random.default_rng(2).random((2, 3, *[5] * axes)) + 1
    pool, unpool = getattr(nn, f"MaxPool{axes}d"), getattr(nn, f"MaxUnpool{axes}d")
    y, places = pool(2, return_indices=True)(tg.Tensor(x))
    back = unpool(2)(y, places, x.shape).numpy()
    np.testing.assert_array_equal(back[back > 0], x[back > 0])
    assert np.count_nonzero(back) == y.numel()
    last = np.moveaxis(x, 1, -1)
    y, places = pool(2, return_indices=True, data_format="channels_last")(tg.Tensor(last))
    np.testing.assert_array_equal(
        unpool(2, data_format="channels_last")(y, places, last.shape).numpy(), np.moveaxis(back, 1, -1)
    )


def test_maxout():
    np.testing.assert_array_equal(nn.Maxout(2)(tg.Tensor(X)).numpy(), np.maximum(X[:, ::2], X[:, 1::2]))
    assert repr(nn.Sequential(nn.Maxout(2), nn.Maxout(3, dim=-1))) == (
        "Sequential(\n  (0): Maxout(kernel_size=2)\n  (1): Maxout(kernel_size=3, dim=-1)\n)"
    )


def test_each_layer_is_a_box_in_the_graph():
    net = nn.Sequential(nn.LPPool2d(2, 2), nn.WeightedAvgPool2d(2))
    assert net(tg.symbol((1, 1, 4, 4))).node.scope == "sequential/1/weighted_pool2d"


def test_an_order_of_axes_that_does_not_exist():
    with pytest.raises(ArgumentError, match=r"MaxPool2d: there is no such order of axes(.|\n)*'channels_first'"):
        nn.MaxPool2d(2, data_format="NHWC")


def test_a_wrong_number_of_axes_is_named_with_channels_last_too():
    with pytest.raises(ShapeError, match="max_pool2d: the input has 2 axes"):
        nn.MaxPool2d(2, data_format="channels_last")(tg.Tensor(X[0, 0]))
