"""Convolution by its two names, as a matrix, and with weights of its own at each place."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import signal

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import ArgumentError, ShapeError
from tinygrad_cnn.nn import functional as F


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_scipy_agrees(axes):
    image, kernel = draw(*(7, 6, 5)[:axes]), draw(*(3, 2, 2)[:axes], seed=1)
    for name in ("correlate", "convolve"):
        found = getattr(F, f"{name}{axes}d")(tg.Tensor(image), tg.Tensor(kernel)).numpy()
        expected = getattr(signal, name)(image, kernel, mode="valid", method="direct")
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_with_channels_they_differ_by_a_half_turn():
    x, w = draw(2, 3, 6, 5), draw(4, 3, 3, 2, seed=1)
    settings = {"stride": 2, "padding": 1, "dilation": 1}
    np.testing.assert_allclose(
        F.convolve2d(tg.Tensor(x), tg.Tensor(w), **settings).numpy(),
        F.conv2d(tg.Tensor(x), tg.Tensor(w[:, :, ::-1, ::-1].copy()), None, **settings).numpy(),
        rtol=1e-10,
    )
    tg.testing.check_grad(F.convolve2d, [x, w], order=2, directions=1)


SETTINGS = [
    (stride, padding, dilation) for stride, padding, dilation in product((1, 2), (0, 1, "same"), (1, 2))
]  # fmt: skip


@pytest.mark.parametrize(("stride", "padding", "dilation"), SETTINGS, ids=str)
@pytest.mark.parametrize(("kernel", "image"), [((3,), (9,)), ((3, 2), (7, 6)), ((2, 3, 3, 2), (3, 6, 7))], ids=str)
def test_a_convolution_is_its_matrix(kernel, image, stride, padding, dilation):
    w, x = draw(*kernel), draw(*image, seed=1)
    axes = len(image) - (len(kernel) > len(image))
    function = {1: F.correlate1d, 2: F.correlate2d}[axes]
    expected = function(tg.Tensor(x), tg.Tensor(w), stride, padding, dilation).numpy().ravel()
    dense = F.convolution_matrix(tg.Tensor(w), image, stride, padding, dilation)
    sparse = F.convolution_matrix(tg.Tensor(w), image, stride, padding, dilation, sparse=True)
    np.testing.assert_allclose(dense.numpy() @ x.ravel(), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(sparse.toarray(), dense.numpy(), rtol=1e-12)


def test_blocks_of_the_matrix_are_shared():
    matrix = F.convolution_matrix(tg.Tensor(draw(2, 2)), (4, 3)).numpy().reshape(3, 2, 4, 3)
    for i, j in product(range(3), range(4)):  # the block for rows i of the result and j of the image
        expected = matrix[0, :, j - i] if 0 <= j - i < 2 else np.zeros((2, 3))
        np.testing.assert_array_equal(matrix[i, :, j], expected)
    for block in (matrix[0, :, 0], matrix[0, :, 1]):
        np.testing.assert_array_equal(block[0, :2], block[1, 1:])  # each Toeplitz itself


def test_the_matrix_can_be_differentiated():
    x = tg.Tensor(draw(5))
    tg.testing.check_grad(lambda w: tg.matmul(F.convolution_matrix(w, (5,)), x), [draw(3, seed=1)], order=2)


def test_errors_of_matrices():
    with pytest.raises(ShapeError, match="kernel and image do not fit together"):
        F.convolution_matrix(tg.Tensor(draw(2, 3, 3, 3)), (2, 5, 5))
    with pytest.raises(ArgumentError, match=r"would take 30\.0 GiB"):
        F.convolution_matrix(tg.Tensor(draw(2, 2).astype("float32")), (300, 300))
    with pytest.raises(ShapeError, match="a kernel without channels"):
        F.correlate2d(tg.Tensor(draw(1, 1, 4, 4)), tg.Tensor(draw(2, 2)))


def local_by_hand(x, w, bias, stride, padding, dilation):
    """One sum for each output, for two spatial axes."""
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    o, rows, columns = w.shape[:3]
    y = np.zeros((len(x), o, rows, columns))
    for n, f, i, j in np.ndindex(*y.shape):
        y[n, f, i, j] = bias[f, i, j]
        for c, a, b in np.ndindex(*w.shape[3:]):
            y[n, f, i, j] += padded[n, c, i * stride + a * dilation, j * stride + b * dilation] * w[f, i, j, c, a, b]
    return y


@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 0, 1), (2, 1, 1), (1, 1, 2)])
def test_locally_connected(stride, padding, dilation):
    layer = nn.LocallyConnected2d(2, 3, (2, 3), (6, 7), stride, padding, dilation).to("float64")
    x = draw(2, 2, 6, 7)
    found = layer(tg.Tensor(x)).numpy()
    expected = local_by_hand(x, layer.weight.numpy(), layer.bias.numpy(), stride, padding, dilation)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    np.testing.assert_allclose(layer(tg.Tensor(x[0])).numpy(), expected[0], rtol=1e-10)
    tg.testing.check_grad(
        lambda x, w: F.locally_connected2d(x, w, None, stride, padding, dilation), [x, layer.weight.numpy()],
        order=2, directions=1,
    )  # fmt: skip
    assert layer(tg.symbol((1, 2, 6, 7), "float64")).shape == (1, *expected.shape[1:])
    assert layer(tg.Tensor(np.empty((0, 2, 6, 7)))).shape == (0, *expected.shape[1:])


def test_locally_connected_signals():
    layer = nn.LocallyConnected1d(2, 3, 3, 7, stride=2)
    x, w = draw(2, 2, 7).astype("float32"), layer.weight.numpy()
    expected = np.stack([np.einsum("nck,ock->no", x[:, :, 2 * p : 2 * p + 3], w[:, p]) for p in range(3)], 2)
    np.testing.assert_allclose(layer(tg.Tensor(x)).numpy(), expected + layer.bias.numpy(), rtol=1e-4, atol=1e-5)
    assert repr(layer) == "LocallyConnected1d(2, 3, kernel_size=(3,), input_size=(7,), stride=2)"


def test_local_layers_are_for_one_size():
    layer = nn.LocallyConnected2d(1, 1, 3, 6)
    with pytest.raises(ShapeError) as caught:
        layer(tg.symbol((1, 1, 7, 7)))
    assert "the weight is for another image" in str(caught.value)
    assert "input_size" in str(caught.value)


@pytest.mark.parametrize("make", [nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d])
def test_channels_last_at_the_edge(make):
    last = make(2, 4, 3, stride=2, padding=1, data_format="channels_last")
    first = make(2, 4, 3, stride=2, padding=1)
    first.load_state_dict(last.state_dict())
    x = draw(2, 2, *[7, 6, 5][: last.axes]).astype("float32")
    expected = np.moveaxis(first(tg.Tensor(x)).numpy(), 1, -1)
    turned = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    np.testing.assert_array_equal(last(tg.Tensor(turned)).numpy(), expected)
    np.testing.assert_allclose(last(tg.Tensor(turned[0])).numpy(), expected[0], rtol=1e-5, atol=1e-6)
    assert "data_format='channels_last'" in repr(last)
    with pytest.raises(ArgumentError, match="there is no such order of axes"):
        make(2, 4, 3, data_format="NHWC")
