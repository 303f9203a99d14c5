"""Images at another resolution: worked numbers, what is copied, memory, and errors that teach."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import ops
from tinygrad_cnn.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cnn.testing import check_grad

from . import oracles_resample as oracle

random = np.random.default_rng(3)


def test_the_nearest_pixel_is_copied():
    image = tg.Tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    big = [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]
    assert ops.interpolate(image, scale_factor=2).tolist() == [[big]]
    assert ops.interpolate(image, (4, 4)).tolist() == [[big]]
    assert ops.interpolate(tg.Tensor([[big]], dtype="float32"), scale_factor=0.5).tolist() == image.tolist()


def test_lines_between_pixels():
    line = tg.Tensor([[[0.0, 4.0]]])
    assert ops.interpolate(line, 4, mode="linear").tolist() == [[[0, 1, 3, 4]]]
    assert ops.interpolate(line, 5, mode="linear", align_corners=True).tolist() == [[[0, 1, 2, 3, 4]]]
    square = tg.Tensor([[[[0.0, 2.0], [4.0, 6.0]]]])
    middle = ops.interpolate(square, 3, mode="bilinear", align_corners=True)
    assert middle.tolist() == [[[[0, 1, 2], [2, 3, 4], [4, 5, 6]]]]


def test_a_scale_that_gives_no_whole_number_of_pixels():
    line = tg.Tensor(np.arange(5.0).reshape(1, 1, 5))
    given = ops.interpolate(line, scale_factor=1.5, mode="linear")  # 7.5 pixels: 7 of them
    recomputed = ops.interpolate(line, scale_factor=1.5, mode="linear", recompute_scale_factor=True)
    np.testing.assert_allclose(given.numpy()[0, 0, 1:4], [0.5, 7 / 6, 11 / 6])
    np.testing.assert_allclose(recomputed.numpy(), oracle.resampled(line.numpy(), (7,), "linear"))


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_the_same_size_is_the_image_itself(mode):
    image = tg.Tensor(random.standard_normal((1, 2, 3, 4)))
    assert ops.interpolate(image, (3, 4), mode=mode) is image


@pytest.mark.parametrize(("shape", "size"), [((1, 2, 3), 7), ((2, 1, 4, 3), (3, 5)), ((1, 1, 2, 3, 2), (3, 2, 4))])
def test_gradients_to_second_order(shape, size):
    x = random.standard_normal(shape)
    lines = {3: "linear", 4: "bilinear", 5: "trilinear"}[len(shape)]
    for mode in ("nearest", lines):
        check_grad(lambda x, mode=mode: ops.interpolate(x, size, mode=mode) ** 2, [x], order=2)


def test_the_gradient_goes_back_to_the_pixels_in_the_same_shares():
    x = tg.Tensor([[[0.0, 4.0]]], requires_grad=True)
    ops.interpolate(x, 4, mode="linear").backward(tg.Tensor([[[1.0, 10.0, 100.0, 1000.0]]]))
    assert x.grad.tolist() == [[[1 + 7.5 + 25, 2.5 + 75 + 1000]]]


def test_an_infinite_pixel_spoils_only_its_neighbours():
    x = tg.Tensor([[[1.0, 2.0, math.inf, 4.0, 5.0, 6.0]]])
    y = ops.interpolate(x, 12, mode="linear").numpy()[0, 0]
    assert np.isfinite(y).tolist() == [True] * 3 + [False] * 4 + [True] * 5
    assert not np.isnan(y).any()
    on_centres = ops.interpolate(tg.Tensor([[[1.0, math.inf, 3.0]]]), 5, mode="linear", align_corners=True)
    assert on_centres.tolist() == [[[1, math.inf, math.inf, math.inf, 3]]]


def test_no_matrix_as_large_as_the_image_is_made():
    wide = tg.Tensor(np.zeros((1, 1, 1, 200_000), np.float32))  # a dense matrix would take 320 GB
    assert ops.interpolate(wide, (1, 400_000), mode="bilinear").shape == (1, 1, 1, 400_000)


def test_symbols_have_the_new_size():
    image = tg.symbol((8, 3, 5, 6))
    assert ops.interpolate(image, scale_factor=(2, 1.5), mode="bilinear").shape == (8, 3, 10, 9)
    assert ops.pixel_shuffle(tg.symbol((2, 12, 4, 4)), 2).shape == (2, 3, 8, 8)


def test_channels_become_squares_of_pixels_row_by_row():
    x = random.standard_normal((2, 12, 3, 2))
    y = ops.pixel_shuffle(tg.Tensor(x), 2).numpy()
    for n, c, h, w in np.ndindex(*y.shape):
        assert y[n, c, h, w] == x[n, c * 4 + (h % 2) * 2 + w % 2, h // 2, w // 2]
    np.testing.assert_array_equal(ops.pixel_unshuffle(tg.Tensor(y), 2).numpy(), x)


def image(*shape, dtype="float32"):
    return tg.Tensor(np.zeros(shape, dtype))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: ops.interpolate(image(1, 1, 4, 4)), ArgumentError, "the new size must be said in one way"),
        (lambda: ops.interpolate(image(1, 1, 4, 4), 8, 2), ArgumentError, "got       size=8, scale_factor=2"),
        (lambda: ops.interpolate(image(1, 1, 4, 4), 8, mode="cubic"), ArgumentError, "'nearest', 'linear', 'bilinear'"),
        (lambda: ops.interpolate(image(1, 1, 4, 4), 8, mode="linear"), ShapeError, "'nearest' or 'bilinear'"),
        (lambda: ops.interpolate(image(3, 4), 8), ShapeError, "interpolate: the input has 2 axes"),
        (lambda: ops.interpolate(image(1, 1, 4, 4), (8, 8, 8)), ArgumentError, "size has 3 numbers for 2 spatial axes"),
        (lambda: ops.interpolate(image(1, 1, 4, 4), scale_factor=0.1), ShapeError, "there are no pixels"),
        (lambda: ops.interpolate(image(1, 1, 4, 4), scale_factor=-2), ArgumentError, "positive numbers"),
        (lambda: ops.interpolate(image(1, 1, 4), 8, align_corners=False), ArgumentError, "no corners to align"),
        (lambda: ops.interpolate(image(1, 1, 4, dtype="int64"), 8), DTypeError, "is not defined for int64"),
        (lambda: ops.pixel_shuffle(image(1, 6, 2, 2), 2), ShapeError, "6 channels do not make squares of 2 by 2"),
        (lambda: ops.pixel_unshuffle(image(1, 1, 3, 4), 2), ShapeError, "3 by 4 pixels cannot be divided"),
        (lambda: ops.pixel_shuffle(image(4, 2), 2), ShapeError, "the input has 2 axes"),
    ],
)
def test_errors_name_what_is_wrong(call, error, words):
    with pytest.raises(error, match=words):
        call()
