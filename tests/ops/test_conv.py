"""Convolution and its adjoints: worked numbers, plain loops, and errors that teach."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg
from tests import oracles
from tinygrad_cnn import ops
from tinygrad_cnn.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cnn.ops import conv as conv_module
from tinygrad_cnn.testing import check_grad

random = np.random.default_rng(5)

CONV = {1: ops.conv1d, 2: ops.conv2d, 3: ops.conv3d}
CONV_TRANSPOSE = {1: ops.conv_transpose1d, 2: ops.conv_transpose2d, 3: ops.conv_transpose3d}

IMAGE = [[0, 1, 1, 0, 0], [0, 1, 1, 0, 0], [1, 0, 0, 1, 1], [0, 1, 1, 0, 1], [1, 1, 1, 1, 1]]
SHARPEN = [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]
COUNTING = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


def plane(rows):
    return tg.Tensor([[rows]], dtype="float32")


def both_sides(padding):
    return tuple((each, each) for each in padding)


# Worked numbers


def test_cross_correlation_without_padding():
    assert ops.conv2d(plane(IMAGE), plane(SHARPEN)).tolist() == [[[[3, 3, -2], [-3, -3, 4], [3, 3, -4]]]]


def test_zero_padding():
    expected = [[-1, 3, 3, -1, 0], [-2, 3, 3, -2, -1], [5, -3, -3, 4, 3], [-3, 3, 3, -4, 3], [4, 2, 2, 3, 3]]
    assert ops.conv2d(plane(IMAGE), plane(SHARPEN), padding=1).tolist() == [[expected]]
    assert ops.conv2d(plane(IMAGE), plane(SHARPEN), padding="same").tolist() == [[expected]]


def test_padding_and_stride():
    found = ops.conv2d(plane(IMAGE), plane(SHARPEN), stride=2, padding=1)
    assert found.tolist() == [[[[-1, 3, 0], [5, -3, 3], [4, 2, 3]]]]


def test_the_kernel_is_not_flipped():
    single = [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert ops.conv2d(plane(single), plane(COUNTING), padding=1).tolist() == [[[[9, 8, 7], [6, 5, 4], [3, 2, 1]]]]
    flipped = plane(COUNTING).flip((2, 3))  # true convolution
    assert ops.conv2d(plane(single), flipped, padding=1).tolist() == [[COUNTING]]


@pytest.mark.parametrize(
    ("image", "weight", "settings", "result"),
    [
        ((1, 1, 7, 7), (1, 1, 3, 3), {}, (1, 1, 5, 5)),
        ((1, 1, 7, 7), (1, 1, 3, 3), {"stride": 2}, (1, 1, 3, 3)),
        ((1, 1, 7, 7), (1, 1, 3, 3), {"stride": 3}, (1, 1, 2, 2)),
        ((1, 1, 7, 7), (1, 1, 3, 3), {"padding": 1}, (1, 1, 7, 7)),
        ((1, 1, 8, 10), (1, 1, 3, 3), {"padding": "same", "stride": (3, 2)}, (1, 1, 3, 5)),
        ((1, 3, 32, 32), (10, 3, 5, 5), {"padding": 2}, (1, 10, 32, 32)),
        ((1, 3, 32, 32), (6, 3, 5, 5), {"padding": "valid"}, (1, 6, 28, 28)),
        ((1, 64, 56, 56), (32, 64, 1, 1), {}, (1, 32, 56, 56)),
    ],
)
def test_output_sizes_without_data(image, weight, settings, result):
    assert ops.conv2d(tg.symbol(image), tg.symbol(weight), **settings).shape == result


def test_a_1x1_convolution_is_a_dot_product_over_channels():
    x, w = random.standard_normal((2, 6, 3, 4)), random.standard_normal((5, 6, 1, 1))
    found = ops.conv2d(tg.Tensor(x), tg.Tensor(w)).numpy()
    np.testing.assert_allclose(found, np.einsum("nchw,oc->nohw", x, w[:, :, 0, 0]), rtol=1e-12)


def test_a_stride_drops_results():
    x, w = tg.Tensor(random.standard_normal((2, 3, 8, 9))), tg.Tensor(random.standard_normal((4, 3, 3, 3)))
    strided = ops.conv2d(x, w, stride=(2, 3)).numpy()
    np.testing.assert_allclose(strided, ops.conv2d(x, w).numpy()[:, :, ::2, ::3], rtol=1e-12)


# Plain loops

SETTINGS = [  # size, kernel, stride, padding, dilation, groups, channels of each group, filters of each group
    ((7,), (3,), (1,), (0,), (1,), 1, 2, 3),
    ((9,), (2,), (3,), (2,), (2,), 2, 1, 2),
    ((5, 6), (3, 2), (1, 1), (1, 1), (1, 1), 1, 2, 2),
    ((7, 6), (3, 2), (2, 3), (1, 0), (1, 2), 2, 2, 1),
    ((5, 4), (3, 3), (1, 2), (1, 1), (1, 1), 3, 1, 2),  # depthwise, two filters for each channel
    ((4, 5), (1, 1), (1, 1), (1, 0), (1, 1), 2, 2, 3),  # no columns to copy
    ((4, 5), (1, 1), (2, 2), (0, 0), (1, 1), 1, 2, 3),
    ((1, 3), (1, 3), (1, 1), (0, 1), (1, 1), 1, 1, 1),
    ((3, 4, 4), (2, 1, 3), (1, 2, 1), (1, 0, 1), (2, 1, 1), 1, 2, 2),
]
NAMES = ("size", "kernel", "stride", "padding", "dilation", "groups", "c", "o")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(NAMES, SETTINGS)
def test_conv_is_the_loop(size, kernel, stride, padding, dilation, groups, c, o, dtype):
    x = random.standard_normal((2, c * groups, *size)).astype(dtype)
    w = random.standard_normal((o * groups, c, *kernel)).astype(dtype)
    b = random.standard_normal(o * groups).astype(dtype)
    found = CONV[len(size)](tg.Tensor(x), tg.Tensor(w), tg.Tensor(b), stride, padding, dilation, groups)
    expected = oracles.conv_nd(x, w, stride, both_sides(padding), dilation, groups)
    expected = expected + b.reshape(-1, *[1] * len(size))
    assert found.dtype == dtype
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-4 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("output_padding", [0, 1])
@pytest.mark.parametrize(NAMES, SETTINGS)
def test_conv_transpose_is_the_loop(size, kernel, stride, padding, dilation, groups, c, o, output_padding):
    extra = tuple(min(output_padding, max(s, d) - 1) for s, d in zip(stride, dilation, strict=True))
    padding = tuple(min(each, 1) for each in padding)
    y = random.standard_normal((2, c * groups, *size))
    w = random.standard_normal((c * groups, o, *kernel))
    function = CONV_TRANSPOSE[len(size)]
    found = function(tg.Tensor(y), tg.Tensor(w), None, stride, padding, extra, groups, dilation)
    expected = oracles.conv_transpose_nd(y, w, stride, padding, extra, dilation, groups)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(NAMES, SETTINGS)
def test_gradients_to_second_order(size, kernel, stride, padding, dilation, groups, c, o):
    x = random.standard_normal((1, c * groups, *size))
    w = random.standard_normal((o * groups, c, *kernel))
    function = CONV[len(size)]
    check_grad(lambda x, w: function(x, w, None, stride, padding, dilation, groups), [x, w], order=2)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_the_gradient_of_the_bias(axes):
    x, w = random.standard_normal((2, 1, *[3] * axes)), random.standard_normal((2, 1, *[2] * axes))
    check_grad(lambda b: CONV[axes](tg.Tensor(x), tg.Tensor(w), b), [random.standard_normal(2)])


@pytest.mark.parametrize(NAMES, SETTINGS[1::2])
def test_gradients_of_the_transpose_to_second_order(size, kernel, stride, padding, dilation, groups, c, o):
    extra = tuple(max(s, d) - 1 for s, d in zip(stride, dilation, strict=True))
    padding = tuple(min(each, 1) for each in padding)
    y = random.standard_normal((1, c * groups, *size))
    w = random.standard_normal((c * groups, o, *kernel))
    function = CONV_TRANSPOSE[len(size)]
    check_grad(lambda y, w: function(y, w, None, stride, padding, extra, groups, dilation), [y, w], order=2)


def test_transpose_is_the_adjoint():
    x, w = random.standard_normal((2, 3, 7, 8)), random.standard_normal((4, 3, 3, 2))
    y = ops.conv2d(tg.Tensor(x), tg.Tensor(w), stride=2, padding=1)
    g = random.standard_normal(y.shape)
    back = ops.conv_transpose2d(tg.Tensor(g), tg.Tensor(w), stride=2, padding=1, output_padding=(0, 0))
    assert back.shape == (2, 3, 7, 8)
    np.testing.assert_allclose(np.vdot(back.numpy(), x), np.vdot(g, y.numpy()), rtol=1e-12)


def test_the_gradient_of_a_tied_weight_sums_over_the_batch_and_all_places():
    x, w = random.standard_normal((3, 1, 6)), random.standard_normal((1, 1, 3))
    weight = tg.Tensor(w, requires_grad=True)
    y = ops.conv1d(tg.Tensor(x), weight, padding=1)
    g = random.standard_normal(y.shape)
    y.backward(tg.Tensor(g))
    expected = np.zeros(3)
    for case in range(3):
        for place in range(6):
            for j in range(3):
                if 0 <= place + j - 1 < 6:
                    expected[j] += x[case, 0, place + j - 1] * g[case, 0, place]
    np.testing.assert_allclose(weight.grad.numpy().ravel(), expected, rtol=1e-12)


# Batches, memory, symbols


def test_an_empty_batch():
    x = tg.Tensor(np.zeros((0, 3, 8, 8)), requires_grad=True)
    w = tg.Tensor(random.standard_normal((4, 3, 3, 3)), requires_grad=True)
    y = ops.conv2d(x, w)
    y.sum().backward()
    assert y.shape == (0, 4, 6, 6)
    assert x.grad.shape == x.shape
    np.testing.assert_array_equal(w.grad.numpy(), np.zeros(w.shape))


@pytest.mark.parametrize("stride", [1, 2])
def test_the_batch_in_pieces_gives_the_same(monkeypatch, stride):
    def run():
        x = tg.Tensor(np.linspace(-1, 1, 5 * 2 * 36).reshape(5, 2, 6, 6), requires_grad=True)
        w = tg.Tensor(np.linspace(-2, 1, 3 * 2 * 9).reshape(3, 2, 3, 3), requires_grad=True)
        y = ops.conv2d(x, w, stride=stride, padding=1)
        (y * y).sum().backward()
        return [each.numpy() for each in (y, x.grad, w.grad)]

    whole = run()
    pieces, cut = [], conv_module._pieces

    def counted(*args):
        slices = list(cut(*args))
        pieces.append(len(slices))
        return iter(slices)

    monkeypatch.setattr(conv_module, "_pieces", counted)
    two_images = 2 * 2 * 9 * (6 // stride) ** 2 * 8
    monkeypatch.setattr(conv_module, "COLUMN_BYTES", two_images)
    monkeypatch.setattr(conv_module, "SPREAD_BYTES", two_images)
    for found, expected in zip(run(), whole, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    # Images 0-1, 2-3, 4, in the forward pass and for the weight. The gradient in the image is collected where the
    # stride is 1, from a map of three channels, so image by image; else it is added up.
    assert sorted(pieces) == {1: [3, 3, 5], 2: [3, 3, 3]}[stride]


def test_inputs_in_another_order_of_memory():
    x, w = random.standard_normal((2, 5, 6, 3)), random.standard_normal((3, 3, 3, 4))
    found = ops.conv2d(tg.Tensor(x).permute(0, 3, 1, 2), tg.Tensor(w).permute(3, 2, 0, 1))
    expected = oracles.conv_nd(x.transpose(0, 3, 1, 2), w.transpose(3, 2, 0, 1), (1, 1), ((0, 0),) * 2, (1, 1))
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-12)


def test_a_single_sample_has_no_batch_axis():
    x, w = random.standard_normal((3, 6, 7)), random.standard_normal((4, 3, 2, 2))
    batched = ops.conv2d(tg.Tensor(x[None]), tg.Tensor(w)).numpy()[0]
    np.testing.assert_array_equal(ops.conv2d(tg.Tensor(x), tg.Tensor(w)).numpy(), batched)
    assert ops.conv_transpose2d(tg.Tensor(x), tg.Tensor(w).permute(1, 0, 2, 3)).shape == (4, 7, 8)


def test_the_gradient_is_a_graph_without_numbers():
    x, w = tg.symbol((64, 3, 224, 224)), tg.symbol((8, 3, 7, 7))
    y = ops.conv2d(x, w, stride=2, padding=3)
    in_x, in_w = tg.grad(y.sum(), [x, w])
    assert (y.shape, in_x.shape, in_w.shape) == ((64, 8, 112, 112), x.shape, w.shape)


# Errors


def image(*shape, dtype="float32"):
    return tg.Tensor(np.zeros(shape, dtype))


def test_wrong_channels():
    with pytest.raises(ShapeError) as caught:
        ops.conv2d(image(8, 3, 28, 28), image(6, 1, 5, 5))
    lines = str(caught.value).splitlines()
    assert lines[:4] == [
        "conv2d: the input has 3 channels, the weight takes 1",
        "  got       input (8, 3, 28, 28) float32, weight (6, 1, 5, 5) float32, groups 1",
        "  expected  input channels = weight.shape[1] * groups = 1 * 1 = 1",
        "  fix       pass an input with 1 channels, or make the layer with in_channels=3",
    ]
    assert lines[4].startswith("  at        test_conv.py, line ")


def test_a_kernel_larger_than_the_image():
    with pytest.raises(ShapeError) as caught:
        ops.conv2d(image(1, 1, 8, 2), image(1, 1, 5, 5), padding=1)
    message = str(caught.value)
    assert "conv2d: the kernel is larger than the padded image on spatial axis 1: 5 against 4" in message
    assert "floor((2 + 1 + 1 - (1 * (5 - 1) + 1)) / 1) + 1 = 0" in message


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: ops.conv2d(image(28, 28), image(6, 1, 5, 5)), ShapeError, "conv2d: the input has 2 axes, not 4"),
        (lambda: ops.conv1d(image(1, 1, 9), image(1, 3)), ShapeError, "conv1d: the weight has 2 axes, not 3"),
        (lambda: ops.conv2d(image(1, 4, 9, 9), image(3, 2, 3, 3), groups=2), ShapeError, "3 channels cannot be"),
        (lambda: ops.conv2d(image(1, 4, 9, 9), image(3, 2, 3, 3), groups=0), ArgumentError, "groups are counted"),
        (lambda: ops.conv2d(image(1, 1, 9, 9), image(3, 1, 3, 3), image(2)), ShapeError, r"the bias has shape \(2,\)"),
        (lambda: ops.conv2d(image(1, 1, 9, 9), image(3, 1, 0, 3)), ArgumentError, "the kernel needs whole numbers"),
        (lambda: ops.conv2d(image(1, 1, 9, 9), image(1, 1, 3, 3), stride=0), ArgumentError, "conv2d: stride needs"),
        (
            lambda: ops.conv2d(image(1, 1, 9, 9), image(1, 1, 3, 3, dtype="float64")),
            DTypeError,
            "conv2d: the inputs have different element types, float32 and float64",
        ),
        (
            lambda: ops.conv2d(image(1, 1, 9, 9, dtype="int64"), image(1, 1, 3, 3, dtype="int64")),
            DTypeError,
            "conv2d: is not defined for int64",
        ),
        (
            lambda: ops.conv2d(image(1, 1, 9, 9), image(3, 1, 3, 3), image(3, dtype="float64")),
            DTypeError,
            "conv2d: the inputs have different",
        ),
        (
            lambda: ops.conv_transpose2d(image(1, 3, 4, 4), image(2, 3, 3, 3)),
            ShapeError,
            "conv_transpose2d: the input has 3 channels, the weight takes 2",
        ),
        (
            lambda: ops.conv_transpose1d(image(1, 1, 2), image(1, 1, 2), padding=2),
            ShapeError,
            "conv_transpose1d: nothing is left",
        ),
        (
            lambda: ops.conv_transpose1d(image(1, 1, 2), image(1, 1, 2), stride=2, output_padding=2),
            ArgumentError,
            "output_padding must be smaller than the stride or the dilation",
        ),
        (
            lambda: ops.conv_transpose1d(image(1, 1, 2), image(1, 1, 2), padding="same"),
            ArgumentError,
            "padding must be given in numbers",
        ),
    ],
)
def test_errors_name_what_is_wrong(call, error, words):
    with pytest.raises(error, match=words):
        call()
