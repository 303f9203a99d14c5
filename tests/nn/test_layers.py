"""Layers: shapes, settings, text forms, and errors that teach."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cnn.nn import functional as F

X = np.array([-3.0, -0.5, 0.0, 0.5, 3.0])

# layer, input shape, output shape, text form
LAYERS = [
    (lambda: nn.Linear(5, 4), (3, 5), (3, 4), "Linear(in_features=5, out_features=4)"),
    (lambda: nn.Linear(5, 4, bias=False), (2, 7, 5), (2, 7, 4), "Linear(in_features=5, out_features=4, bias=False)"),
    (lambda: nn.Linear(5, 4), (5,), (4,), "Linear(in_features=5, out_features=4)"),
    (lambda: nn.Linear(5, 4), (0, 5), (0, 4), "Linear(in_features=5, out_features=4)"),
    (lambda: nn.Conv1d(2, 4, 3), (2, 2, 9), (2, 4, 7), "Conv1d(2, 4, kernel_size=(3,))"),
    (
        lambda: nn.Conv2d(2, 4, (3, 2), stride=(2, 1), padding=1, dilation=2, groups=2, bias=False),
        (1, 2, 9, 8),
        (1, 4, 4, 8),
        "Conv2d(2, 4, kernel_size=(3, 2), stride=(2, 1), padding=1, dilation=2, groups=2, bias=False)",
    ),
    (
        lambda: nn.Conv2d(1, 3, 4, padding="same"),
        (2, 1, 5, 6),
        (2, 3, 5, 6),
        "Conv2d(1, 3, kernel_size=(4, 4), padding='same')",
    ),
    (lambda: nn.Conv2d(1, 3, np.int64(3)), (1, 5, 6), (3, 3, 4), "Conv2d(1, 3, kernel_size=(3, 3))"),
    (lambda: nn.Conv3d(1, 2, 2, 2), (0, 1, 4, 5, 6), (0, 2, 2, 2, 3), "Conv3d(1, 2, kernel_size=(2, 2, 2), stride=2)"),
    (
        lambda: nn.ConvTranspose1d(3, 2, 3, stride=2),
        (1, 3, 4),
        (1, 2, 9),
        "ConvTranspose1d(3, 2, kernel_size=(3,), stride=2)",
    ),
    (
        lambda: nn.ConvTranspose2d(4, 2, 3, 2, 1, 1, 2),
        (1, 4, 4, 5),
        (1, 2, 8, 10),
        "ConvTranspose2d(4, 2, kernel_size=(3, 3), stride=2, padding=1, output_padding=1, groups=2)",
    ),
    (
        lambda: nn.ConvTranspose3d(2, 2, 1),
        (1, 2, 2, 3, 4),
        (1, 2, 2, 3, 4),
        "ConvTranspose3d(2, 2, kernel_size=(1, 1, 1))",
    ),
    (lambda: nn.MaxPool1d(3, 2, 1), (1, 2, 8), (1, 2, 4), "MaxPool1d(kernel_size=3, stride=2, padding=1)"),
    (lambda: nn.MaxPool2d(2, ceil_mode=True), (1, 2, 5, 4), (1, 2, 3, 2), "MaxPool2d(kernel_size=2, ceil_mode=True)"),
    (
        lambda: nn.MaxPool3d(2, 1, dilation=2),
        (1, 1, 4, 4, 4),
        (1, 1, 2, 2, 2),
        "MaxPool3d(kernel_size=2, stride=1, dilation=2)",
    ),
    (lambda: nn.AvgPool1d(2), (2, 3, 9), (2, 3, 4), "AvgPool1d(kernel_size=2)"),
    (
        lambda: nn.AvgPool2d(3, 1, 1, count_include_pad=False),
        (1, 2, 4, 4),
        (1, 2, 4, 4),
        "AvgPool2d(kernel_size=3, stride=1, padding=1, count_include_pad=False)",
    ),
    (lambda: nn.AvgPool3d((1, 2, 2)), (1, 1, 3, 4, 5), (1, 1, 3, 2, 2), "AvgPool3d(kernel_size=(1, 2, 2))"),
    (lambda: nn.BatchNorm1d(3, eps=0.1), (4, 3), (4, 3), "BatchNorm1d(3, eps=0.1)"),
    (lambda: nn.BatchNorm2d(3, momentum=0.5), (4, 3, 2, 2), (4, 3, 2, 2), "BatchNorm2d(3, momentum=0.5)"),
    (lambda: nn.BatchNorm3d(3, affine=False), (2, 3, 2, 2, 1), (2, 3, 2, 2, 1), "BatchNorm3d(3, affine=False)"),
    (nn.Flatten, (2, 3, 4), (2, 12), "Flatten()"),
    (nn.Identity, (2, 3), (2, 3), "Identity()"),
    (lambda: nn.Dropout(0.2), (2, 3), (2, 3), "Dropout(p=0.2)"),
    (nn.ReLU, (2, 3), (2, 3), "ReLU()"),
    (lambda: nn.LeakyReLU(0.3), (2, 3), (2, 3), "LeakyReLU(negative_slope=0.3)"),
    (nn.Sigmoid, (2, 3), (2, 3), "Sigmoid()"),
    (nn.Tanh, (), (), "Tanh()"),
    (nn.Softplus, (0, 3), (0, 3), "Softplus()"),
    (lambda: nn.GELU("tanh"), (2, 3), (2, 3), "GELU(approximate='tanh')"),
    (lambda: nn.Softmax(dim=1), (2, 3, 2), (2, 3, 2), "Softmax(dim=1)"),
]

each_layer = pytest.mark.parametrize(("build", "given", "expected", "text"), LAYERS, ids=[row[3] for row in LAYERS])


@each_layer
def test_shape_type_and_text_form(build, given, expected, text):
    layer = build()
    assert repr(layer) == text
    x = np.random.default_rng(0).standard_normal(given).astype(np.float32)
    output = layer(tg.Tensor(x))
    assert output.shape == output.array.shape == expected
    assert output.dtype == output.array.dtype == np.float32
    assert layer(tg.symbol(given)).spec == output.spec


@each_layer
def test_every_parameter_and_the_input_get_a_gradient_of_their_type(build, given, expected, text):
    layer = build()
    x = tg.Tensor(np.random.default_rng(0).standard_normal(given).astype(np.float32), requires_grad=True)
    layer(x).sum().backward()
    for each in (x, *layer.parameters()):
        assert each.grad.spec == each.spec
        assert each.grad.array.dtype == np.float32


ACTIVATIONS = [
    (nn.ReLU(), lambda x: max(x, 0.0)),
    (nn.LeakyReLU(), lambda x: x if x > 0 else 0.01 * x),
    (nn.LeakyReLU(0.5), lambda x: x if x > 0 else 0.5 * x),
    (nn.Sigmoid(), lambda x: 1 / (1 + math.exp(-x))),
    (nn.Tanh(), math.tanh),
    (nn.Softplus(), lambda x: math.log1p(math.exp(x))),
    (nn.GELU(), lambda x: x / 2 * (1 + math.erf(x / math.sqrt(2)))),
    (nn.GELU("tanh"), lambda x: x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
]


@pytest.mark.parametrize(("layer", "formula"), ACTIVATIONS, ids=[repr(row[0]) for row in ACTIVATIONS])
def test_activations_follow_their_formula(layer, formula):
    np.testing.assert_allclose(layer(tg.Tensor(X)).numpy(), [formula(x) for x in X], rtol=1e-12, atol=1e-15)


def test_softmax_adds_up_to_one_along_its_axis():
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    expected = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    np.testing.assert_allclose(nn.Softmax(1)(tg.Tensor(x)).numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(nn.Softmax()(tg.Tensor(x)).numpy().sum(-1), 1.0)


def test_linear_is_a_weighted_sum_along_the_last_axis():
    random = np.random.default_rng(0)
    layer = nn.Linear(3, 2).to("float64")
    x, w, b = random.standard_normal((2, 4, 3)), layer.weight.numpy(), layer.bias.numpy()
    expected = np.empty((2, 4, 2))
    for n in range(2):
        for row in range(4):
            for o in range(2):
                expected[n, row, o] = b[o] + sum(x[n, row, i] * w[o, i] for i in range(3))
    np.testing.assert_allclose(layer(tg.Tensor(x)).numpy(), expected, rtol=1e-12)


def test_layers_pass_their_settings_on():
    random = np.random.default_rng(0)
    x = tg.Tensor(random.standard_normal((2, 4, 7, 8)), dtype="float32")
    conv = nn.Conv2d(4, 6, 3, 2, 1, 2, 2)
    expected = F.conv2d(x, conv.weight, conv.bias, stride=2, padding=1, dilation=2, groups=2)
    np.testing.assert_array_equal(conv(x).numpy(), expected.numpy())
    up = nn.ConvTranspose2d(4, 6, 3, 3, 1, 2, 2, True, 2)
    expected = F.conv_transpose2d(x, up.weight, up.bias, stride=3, padding=1, output_padding=2, groups=2, dilation=2)
    np.testing.assert_array_equal(up(x).numpy(), expected.numpy())
    expected = F.max_pool2d(x, 3, stride=2, padding=1, dilation=2, ceil_mode=True)
    np.testing.assert_array_equal(nn.MaxPool2d(3, 2, 1, 2, False, True)(x).numpy(), expected.numpy())
    expected = F.avg_pool2d(x, 3, stride=2, padding=1, ceil_mode=True, count_include_pad=False)
    np.testing.assert_array_equal(nn.AvgPool2d(3, 2, 1, True, False)(x).numpy(), expected.numpy())


def test_convolutions_start_within_the_root_of_the_fan_in():
    conv = nn.Conv2d(4, 64, 5, groups=2)
    bound = 1 / math.sqrt(2 * 5 * 5)
    assert 0.9 * bound < np.abs(conv.weight.numpy()).max() <= bound * (1 + 1e-6)
    assert np.abs(conv.bias.numpy()).max() <= bound * (1 + 1e-6)


def test_dropout_drops_in_training_only():
    x = tg.Tensor(np.ones((100, 100), np.float32), requires_grad=True)
    layer = nn.Dropout(0.25)
    y = layer(x)
    values = y.numpy()
    assert set(np.unique(values)) == {np.float32(0), np.float32(1 / 0.75)}
    assert (values == 0).mean() == pytest.approx(0.25, abs=0.02)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), values)  # the same elements
    assert (layer(x).numpy() != values).any()  # others the next time
    np.testing.assert_array_equal(layer.eval()(x).numpy(), x.numpy())
    assert not nn.Dropout(1.0)(x).numpy().any()


def test_a_seed_repeats_dropout():
    x = tg.Tensor(np.ones(50, np.float32))
    tg.seed(1)
    first = nn.Dropout()(x).numpy()
    tg.seed(1)
    np.testing.assert_array_equal(nn.Dropout()(x).numpy(), first)


Z = np.zeros
ERRORS = [
    (
        lambda: nn.Linear(784, 10)(tg.Tensor(Z((8, 28, 28), np.float32))),
        ShapeError,
        "linear: the input has 28 features, the weight takes 784\n"
        "  got       input (8, 28, 28) float32, weight (10, 784) float32\n"
        "  expected  input.shape[-1] = weight.shape[1] = 784\n"
        "  fix       flatten the input to (N, features) first, or make the layer with that many in_features\n",
    ),
    (
        lambda: nn.Conv2d(1, 6, 5)(tg.symbol((8, 3, 28, 28))),
        ShapeError,
        "conv2d: the input has 3 channels, the weight takes 1\n"
        "  got       input (8, 3, 28, 28) float32, weight (6, 1, 5, 5) float32, groups 1\n"
        "  expected  input channels = weight.shape[1] * groups = 1 * 1 = 1\n"
        "  fix       pass an input with 1 channels, or make the layer with in_channels=3\n",
    ),
    (
        lambda: nn.Conv2d(1, 6, 5)(tg.symbol((8, 1, 4, 28))),
        ShapeError,
        "conv2d: the kernel is larger than the padded image on spatial axis 0: 5 against 4\n",
    ),
    (
        lambda: nn.MaxPool2d(9)(tg.symbol((1, 1, 8, 8))),
        ShapeError,
        "max_pool2d: the kernel is larger than the padded image on spatial axis 0: 9 against 8\n",
    ),
    (
        lambda: nn.Conv2d(3, 6, 5)(tg.symbol((8, 28))),
        ShapeError,
        "conv2d: the input has 2 axes, not 4\n  got       (8, 28) float32\n"
        "  expected  (N, C, H, W): batch, channels, 2 spatial; or (C, H, W) for a single sample\n",
    ),
    (
        lambda: nn.Conv2d(3, 6, 5, groups=2),
        ArgumentError,
        "Conv2d: 3 and 6 channels cannot be divided into 2 equal groups\n"
        "  got       in_channels=3, out_channels=6, groups=2\n",
    ),
    (
        lambda: nn.Conv2d(0, 6, 5),
        ArgumentError,
        "Conv2d: channels and groups are counted from 1\n  got       0 to 6, groups 1",
    ),
    (
        lambda: nn.Conv2d(1, 6, (3, 3, 3)),
        ArgumentError,
        "Conv2d: kernel_size has 3 numbers for 2 spatial axes\n  got       kernel_size=(3, 3, 3)\n",
    ),
    (
        lambda: nn.Conv2d(1, 6, 0),
        ArgumentError,
        "Conv2d: kernel_size needs whole numbers of at least 1\n  got       kernel_size=0\n",
    ),
    (
        lambda: nn.Conv2d(1, 6, 2.5),
        ArgumentError,
        "Conv2d: kernel_size needs whole numbers of at least 1\n  got       kernel_size=2.5\n",
    ),
    (lambda: nn.Linear(-1, 6), ArgumentError, "Linear: features are counted from 0\n  got       -1 to 6"),
    (
        lambda: nn.Dropout(1.5),
        ArgumentError,
        "Dropout: p is no probability\n  got       p=1.5\n  expected  0 <= p <= 1\n",
    ),
    (lambda: nn.GELU("fast")(tg.Tensor([1.0])), ArgumentError, "gelu: no such approximation\n  got       'fast'\n"),
    (
        lambda: nn.Linear(2, 2)(tg.Tensor(Z((1, 2)))),
        DTypeError,
        "matmul: the inputs have different element types, float64 and float32\n",
    ),
    (
        lambda: nn.BatchNorm2d(3)(tg.Tensor(Z((4, 3, 2), np.float32))),
        ShapeError,
        "BatchNorm2d: the input has 3 axes\n  got       (4, 3, 2) float32\n  expected  4 axes\n",
    ),
    (
        lambda: nn.BatchNorm1d(3)(tg.Tensor(Z((4, 5), np.float32))),
        ShapeError,
        "batch_norm: the input has 5 channels, running_mean has (3,)\n"
        "  got       input (4, 5) float32, running_mean (3,) float32\n"
        "  expected  running_mean.shape = (input.shape[1],) = (5,)\n"
        "  fix       make the layer with num_features=5\n",
    ),
    (
        lambda: F.batch_norm(tg.Tensor(Z((4, 2))), None, None, None, tg.Tensor(Z(1)), training=True),
        ShapeError,
        "batch_norm: the input has 2 channels, bias has (1,)\n",
    ),
    (
        lambda: F.linear(tg.Tensor(Z((1, 2))), tg.Tensor(Z((1, 2))), tg.Tensor(Z(3))),
        ShapeError,
        "linear: weight and bias do not make a layer\n  got       weight (1, 2) float64, bias (3,) float64\n"
        "  expected  weight (out_features, in_features), bias (out_features,)\n",
    ),
    (
        lambda: F.linear(tg.Tensor(Z(2)), tg.Tensor(Z(2))),
        ShapeError,
        "linear: weight and bias do not make a layer\n  got       weight (2,) float64\n",
    ),
]


@pytest.mark.parametrize(("call", "kind", "text"), ERRORS, ids=[row[2].split("\n")[0] for row in ERRORS])
def test_errors_say_what_is_wrong_and_what_to_do(call, kind, text):
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value).startswith(text)
    assert "test_layers.py, line" in str(caught.value)
