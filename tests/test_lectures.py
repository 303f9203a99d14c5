"""The worked numbers and facts of the lectures, row by row of the table in ``docs/lectures.md``."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import ArgumentError
from tinygrad_cnn.nn import functional as F

IMAGE = [[0, 1, 1, 0, 0], [0, 1, 1, 0, 0], [1, 0, 0, 1, 1], [0, 1, 1, 0, 1], [1, 1, 1, 1, 1]]
KERNEL = [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]
POOLED = [[12, 20, 30, 0], [8, 12, 2, 0], [34, 70, 37, 4], [112, 100, 25, 12]]


def floats(numbers: object) -> tg.Tensor:
    return tg.Tensor(np.array(numbers, dtype="float32"))


def same(found: tg.Tensor, expected: object) -> None:
    np.testing.assert_allclose(found.numpy(), np.array(expected), rtol=1e-6, atol=1e-6)


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def test_row_01() -> None:
    expected = [[3, 3, -2], [-3, -3, 4], [3, 3, -4]]
    same(F.correlate2d(floats(IMAGE), floats(KERNEL)), expected)
    same(F.convolve2d(floats(IMAGE), floats(KERNEL)), expected)  # half a turn does not change this kernel
    rising = floats([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    turned = floats([[9, 8, 7], [6, 5, 4], [3, 2, 1]])
    same(F.convolve2d(floats(IMAGE), rising), F.correlate2d(floats(IMAGE), turned).numpy())
    assert (F.convolve2d(floats(IMAGE), rising).numpy() != F.correlate2d(floats(IMAGE), rising).numpy()).any()


def test_row_02() -> None:
    expected = [[-1, 3, 3, -1, 0], [-2, 3, 3, -2, -1], [5, -3, -3, 4, 3], [-3, 3, 3, -4, 3], [4, 2, 2, 3, 3]]
    same(F.correlate2d(floats(IMAGE), floats(KERNEL), padding=1), expected)
    assert 5 * IMAGE[4][0] - IMAGE[3][0] - IMAGE[4][1] == 4  # not 5, as printed


def test_row_03() -> None:
    same(F.correlate2d(floats(IMAGE), floats(KERNEL), stride=2, padding=1), [[-1, 3, 0], [5, -3, 3], [4, 2, 3]])


def test_row_04() -> None:
    def side(n: int, kernel: int, **settings: object) -> int:
        return F.conv1d(tg.symbol((1, 1, n)), tg.symbol((1, 1, kernel)), **settings).shape[2]

    assert [side(7, 3, stride=stride) for stride in (1, 2, 3)] == [5, 3, math.floor((7 - 3) / 3) + 1]
    assert side(7, 3, padding=1) == 7
    assert [side(9, kernel, padding=(kernel - 1) // 2) for kernel in (3, 5, 7)] == [9, 9, 9]
    assert [side(9, kernel, padding="same") for kernel in (3, 5, 7)] == [9, 9, 9]
    uneven = F.conv2d(tg.symbol((1, 1, 8, 10)), tg.symbol((1, 1, 3, 3)), stride=(3, 2), padding="same")
    assert uneven.shape[2:] == (3, 5)


def test_row_05() -> None:
    layer = nn.Conv2d(3, 10, 5, padding=2)
    assert layer(tg.symbol((1, 3, 32, 32))).shape == (1, 10, 32, 32)
    assert layer.weight[0].numel() + 1 == 76
    assert sum(each.numel() for each in layer.parameters()) == 760
    assert nn.Conv2d(3, 6, 5)(tg.symbol((1, 3, 32, 32))).shape == (1, 6, 28, 28)


def test_row_06() -> None:
    mix = nn.Conv2d(64, 32, 1, bias=False)
    assert mix(tg.symbol((1, 64, 56, 56))).shape == (1, 32, 56, 56)
    x = draw(1, 64, 2, 2).astype("float32")
    weight = mix.weight.numpy()[:, :, 0, 0]
    by_pixel = [[weight @ x[0, :, i, j] for j in range(2)] for i in range(2)]
    np.testing.assert_allclose(mix(tg.Tensor(x)).numpy()[0].transpose(1, 2, 0), by_pixel, rtol=1e-4, atol=1e-5)


def test_row_07() -> None:
    x, w, d = draw(9), draw(5, seed=1), 2
    expected = [sum(x[k + delta] * w[delta + d] for delta in range(-d, d + 1)) for k in range(d, 9 - d)]
    np.testing.assert_allclose(F.correlate1d(tg.Tensor(x), tg.Tensor(w)).numpy(), expected, rtol=1e-12)
    shapes = {
        (1, 2, 100): nn.Conv1d(2, 4, 5), (1, 3, 20, 20): nn.Conv2d(3, 4, 5), (1, 2, 9, 9, 9): nn.Conv3d(2, 4, 5),
    }  # fmt: skip
    for shape, layer in shapes.items():
        assert layer(tg.symbol(shape)).shape == (1, 4, *[n - 4 for n in shape[2:]])


def test_row_08() -> None:
    one = F.convolution_matrix(floats([1, 2, 3]), (5,)).numpy()
    np.testing.assert_array_equal(one, [[1, 2, 3, 0, 0], [0, 1, 2, 3, 0], [0, 0, 1, 2, 3]])  # Toeplitz
    edge = floats([[-1, 1]])  # horizontal differences on 320 columns and 280 rows
    with pytest.raises(ArgumentError) as caught:
        F.convolution_matrix(edge, (280, 320))
    assert "sparse=True" in str(caught.value)
    rows, columns = 319 * 280, 320 * 280
    assert rows * columns == 320 * 280 * 319 * 280 > 8e9
    assert 319 * 280 * 3 == 267_960  # two products and an addition for each result
    sparse = F.convolution_matrix(edge, (280, 320), sparse=True)
    assert sparse.shape == (rows, columns)
    assert sparse.nnz == 2 * rows
    image = draw(280, 320).astype("float32")
    expected = F.correlate2d(tg.Tensor(image), edge).numpy().ravel()
    np.testing.assert_allclose(sparse @ image.ravel(), expected, rtol=1e-5, atol=1e-5)


def test_row_09() -> None:
    v, w = draw(2, 5, 4), draw(3, 3, 3, 2, 3, 2, seed=1)
    expected = np.zeros((3, 3, 3))
    for i, j, k in np.ndindex(3, 3, 3):
        for channel, m, n in np.ndindex(2, 3, 2):
            expected[i, j, k] += v[channel, j + m, k + n] * w[i, j, k, channel, m, n]
    np.testing.assert_allclose(F.locally_connected2d(tg.Tensor(v), tg.Tensor(w)).numpy(), expected, rtol=1e-10)
    shared = np.broadcast_to(draw(3, 1, 1, 2, 3, 2, seed=2), w.shape)  # the same filters everywhere: a convolution
    found = F.locally_connected2d(tg.Tensor(v), tg.Tensor(shared.copy())).numpy()
    np.testing.assert_allclose(found, F.conv2d(tg.Tensor(v), tg.Tensor(shared[:, 0, 0].copy())).numpy(), rtol=1e-10)


def test_row_10() -> None:
    x, w = tg.Tensor(draw(2, 3, 11, 9)), tg.Tensor(draw(4, 3, 3, 3, seed=1))
    for s, p in product((2, 3), (0, 1)):
        np.testing.assert_allclose(
            F.conv2d(x, w, stride=s, padding=p).numpy(), F.conv2d(x, w, padding=p).numpy()[:, :, ::s, ::s], rtol=1e-10
        )


def test_row_11() -> None:
    layer = nn.Conv2d(3, 4, 3, padding="same", dilation=2, data_format="channels_last")
    x = draw(2, 8, 9, 3).astype("float32")
    y = layer(tg.Tensor(x))
    assert y.shape == (2, 8, 9, 4)
    first = nn.Conv2d(3, 4, 3, padding="same", dilation=2)
    first.load_state_dict(layer.state_dict())
    np.testing.assert_allclose(y.numpy(), first(tg.Tensor(x.transpose(0, 3, 1, 2))).numpy().transpose(0, 2, 3, 1))
    assert F.conv2d(tg.symbol((1, 1, 7, 7)), tg.symbol((1, 1, 3, 3)), padding="valid", dilation=3).shape[2:] == (1, 1)
    nn.constrain(nn.regularize(layer, weight=nn.L2(0.5), bias=nn.L1(0.25)), weight=nn.MaxNorm(0.1))
    weight, bias = layer.weight.numpy(), layer.bias.numpy()
    expected = 0.5 * (weight**2).sum() + 0.25 * abs(bias).sum()
    np.testing.assert_allclose(nn.penalty(layer).item(), expected, rtol=1e-5)
    nn.apply_constraints(layer)
    assert np.linalg.norm(layer.weight.numpy().reshape(4, -1), axis=1).max() <= 0.1 + 1e-6


def test_row_12() -> None:
    same(F.max_pool2d(floats([POOLED]), 2), [[[20, 30], [112, 37]]])
    same(F.max_pool2d(floats([[[1, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]]]), 2), [[[6, 8], [3, 4]]])


def test_row_13() -> None:
    image = floats([POOLED])
    blocks = np.array(POOLED, float).reshape(2, 2, 2, 2).transpose(0, 2, 1, 3).reshape(2, 2, 4)
    same(F.avg_pool2d(image, 2), [blocks.mean(2)])
    same(F.sum_pool2d(image, 2), [blocks.sum(2)])
    same(F.lp_pool2d(image, 2, 2), [np.sqrt((blocks**2).sum(2))])
    same(F.weighted_pool2d(image, 2), [blocks.mean(2)])  # all four pixels are equally far from the centre
    near = F.weighted_pool2d(floats([[[0, 0, 0], [0, 1, 0], [0, 0, 0]]]), 3).item()
    far = F.weighted_pool2d(floats([[[1, 0, 0], [0, 0, 0], [0, 0, 0]]]), 3).item()
    assert near > 1 / 9 > far > 0
    assert F.max_pool2d(image, 3, 1, 1).shape == image.shape  # without size reduction


def test_row_14() -> None:
    kernels = np.array([[[0, 1], [0, 1]], [[1, 1], [0, 0]], [[1, 0], [1, 0]], [[0, 0], [1, 1]]], "float32")[:, None]
    bar = np.zeros((1, 1, 4, 4), "float32")
    bar[0, 0, :, 1] = 1
    answers = [F.maxout(F.conv2d(tg.Tensor(np.rot90(bar, k, (2, 3)).copy()), tg.Tensor(kernels)), 4) for k in range(4)]
    best = [each.numpy().max() for each in answers]
    assert best == [2, 2, 2, 2]  # one of the four turned kernels answers, however the bar is turned


def test_row_15() -> None:
    x, w, target = draw(3, 8), draw(3, seed=1), draw(3, 5, seed=2)
    pad, stride = 1, 2
    target = target[:, :4]
    weight = tg.Tensor(w, requires_grad=True)
    y = F.conv1d(tg.Tensor(x[:, None]), weight.reshape(1, 1, 3), stride=stride, padding=pad)
    ((y[:, 0] - tg.Tensor(target)) ** 2).sum().backward()
    slope = 2 * (y.numpy()[:, 0] - target)  # of the loss in each sum
    expected = np.zeros(3)
    for case in range(3):
        for k in range(4):
            location = k * stride - pad
            for j in range(3):
                i = location + j
                if 0 <= i < 8:
                    expected[j] += x[case, i] * slope[case, k]
    np.testing.assert_allclose(weight.grad.numpy(), expected, rtol=1e-10)


def test_row_16() -> None:
    x, kernels = draw(3, 6, 5), draw(3, 2, 2, 4, seed=1)  # K[l, m, n, i]
    expected = np.zeros((4, 5, 4))
    for i, j, k in np.ndindex(4, 5, 4):
        for channel, m, n in np.ndindex(3, 2, 2):
            expected[i, j, k] += x[channel, j + m, k + n] * kernels[channel, m, n, i]
    found = F.conv2d(tg.Tensor(x), tg.Tensor(kernels.transpose(3, 0, 1, 2).copy()))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10)


def test_row_17() -> None:
    assert 3 * (1024 * 1024) + 1024 == 3_146_752
    three = nn.Sequential(*[nn.Linear(32 * 32, 1024, bias=number == 0) for number in range(3)])
    assert sum(each.numel() for each in three.parameters()) == 3_146_752
    assert nn.Flatten()(tg.symbol((1, 3, 150, 150))).shape == (1, 67_500)
    assert nn.Linear(8_000_000 * 3, 10, bias=False).weight.numel() == 240_000_000  # takes no memory until it is used
    x, w = draw(4), draw(4, 3, seed=1)
    np.testing.assert_allclose(F.linear(tg.Tensor(x), tg.Tensor(w.T.copy())).numpy(), w.T @ x, rtol=1e-10)
    z = np.array([[0.5, -1.0, 2.0]])
    share = np.exp(z) / np.exp(z).sum()
    np.testing.assert_allclose(F.softmax(tg.Tensor(z), 1).numpy(), share, rtol=1e-12)
    np.testing.assert_allclose(F.cross_entropy(tg.Tensor(z), tg.Tensor([2])).item(), -np.log(share[0, 2]), rtol=1e-12)
    np.testing.assert_allclose(F.relu(tg.Tensor(z)).numpy(), np.maximum(z, 0))
    np.testing.assert_allclose(F.sigmoid(tg.Tensor(z)).numpy(), 1 / (1 + np.exp(-z)), rtol=1e-12)
    np.testing.assert_allclose(F.tanh(tg.Tensor(z)).numpy(), np.tanh(z), rtol=1e-12)


def test_row_18() -> None:
    layer = nn.Dropout(0.25)
    tg.seed(0)
    y = layer(tg.Tensor(np.ones(10_000, "float32"))).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs((y == 0).mean() - 0.25) < 0.02
    assert (layer.eval()(tg.Tensor(np.ones(10, "float32"))).numpy() == 1).all()


def test_row_19() -> None:
    """A shifted image gives a shifted map; pooled maps change less; turned or enlarged images give other maps."""
    w = tg.Tensor(draw(2, 1, 3, 3))
    image = np.zeros((1, 1, 16, 16))
    image[:, :, 4:10, 4:10] = draw(6, 6, seed=1)
    shifted = np.roll(image, (3, 2), (2, 3))
    y, moved = (F.conv2d(tg.Tensor(each), w).numpy() for each in (image, shifted))
    np.testing.assert_allclose(moved, np.roll(y, (3, 2), (2, 3)), rtol=1e-12)

    signal = draw(1, 1, 4000, seed=2)
    pooled, moved = (F.max_pool1d(tg.Tensor(each), 3, 1).numpy() for each in (signal, np.roll(signal, 1, 2)))
    assert (signal != np.roll(signal, 1, 2)).all()
    assert 0.25 < (pooled == moved).mean() < 0.5  # a third of all maxima stays; for smooth signals about a half

    for change in (lambda x: np.rot90(x, 1, (2, 3)).copy(), lambda x: x.repeat(2, 2).repeat(2, 3)):
        changed = F.conv2d(tg.Tensor(change(image)), w).numpy()
        assert abs(changed[:, :, :14, :14] - change(y)[:, :, :14, :14]).max() > 0.1


def test_row_20() -> None:
    field = tg.inspect.receptive_field
    two, one = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3)), nn.Conv2d(1, 2, 5)
    assert field(two, (1, 1, 9, 9)).size == field(one, (1, 1, 9, 9)).size == (5, 5)
    measured = tg.inspect.measured_receptive_field(two, (1, 1, 9, 9))
    assert measured.size == (5, 5)
    depths = [field(nn.Sequential(*[nn.Conv2d(1, 1, 3) for _ in range(n)]), (1, 1, 20, 20)).size[0] for n in (1, 2, 3)]
    assert depths == [3, 5, 7]


def test_row_21() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.GlobalAvgPool2d(), nn.Linear(4, 2))
    for size in ((8, 8), (13, 20), (3, 3)):
        assert model(tg.symbol((1, 1, *size))).shape == (1, 2)


def test_row_22() -> None:
    model = tg.models.unet(in_channels=1, num_classes=3)
    assert model(tg.symbol((2, 1, 32, 48))).shape == (2, 3, 32, 48)
    planes = floats([[[[2.0, 0.0]], [[1.0, 5.0]]]])  # two classes, one row of two pixels
    assert planes.numpy().argmax(1).tolist() == [[[0, 1]]]
