"""Every algorithm for convolutions, against eager, wherever it is possible; and which one is taken."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import ArgumentError

from .nets import Task

F = nn.functional
ALGORITHMS = ["windows", "strips", "winograd", "fft"]
TOLERANCE = {"float64": {"rtol": 1e-9, "atol": 1e-11}, "float32": {"rtol": 2e-4, "atol": 2e-4}}

# image, weight, settings of conv2d
CASES = [
    ((2, 3, 8, 8), (4, 3, 3, 3), {"padding": 1}),
    ((3, 1, 9, 7), (2, 1, 5, 3), {"padding": (2, 1)}),
    ((2, 2, 9, 11), (3, 2, 3, 5), {"stride": (2, 3), "padding": (1, 2)}),
    ((2, 2, 10, 9), (3, 2, 3, 2), {"dilation": (2, 3), "padding": 3}),
    ((2, 3, 7, 7), (4, 3, 3, 3), {"stride": 2, "dilation": 2, "padding": 2}),
    ((1, 2, 4, 4), (5, 2, 4, 4), {}),
    ((2, 4, 6, 6), (4, 2, 3, 3), {"groups": 2, "padding": 1}),
    ((1, 1, 1, 1), (1, 1, 1, 1), {}),
    ((0, 2, 5, 5), (3, 2, 3, 3), {"padding": 1}),
]


pytestmark = pytest.mark.cpu("plans run on the CPU")


def draw(shape: tuple[int, ...], dtype: str, seed: int) -> tg.Tensor:
    return tg.Tensor(np.random.default_rng(seed).standard_normal(shape).astype(dtype), requires_grad=True)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(("image", "kernel", "settings"), CASES, ids=str)
def test_convolution_and_its_gradients(image, kernel, settings, algorithm, dtype) -> None:
    """The gradient in the image is the transposed convolution, that in the weight the third operation."""
    x, weight = draw(image, dtype, 0), draw(kernel, dtype, 1)

    def function(x: tg.Tensor, weight: tg.Tensor) -> tuple[tg.Tensor, ...]:
        y = tg.relu(F.conv2d(x, weight, **settings))
        return y, *tg.grad((y * y).sum(), [x, weight])

    compiled = tg.compile(function, convolution=algorithm)
    for _ in range(2):
        for one, other in zip(compiled(x, weight), function(x, weight), strict=True):
            np.testing.assert_allclose(one.numpy(), other.numpy(), **TOLERANCE[dtype])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_signal_and_a_volume(algorithm: str) -> None:
    for function, image, kernel in (
        (F.conv1d, (2, 3, 12), (4, 3, 5)),
        (F.conv3d, (1, 2, 5, 6, 4), (3, 2, 3, 2, 3)),
    ):
        x, weight = draw(image, "float64", 0), draw(kernel, "float64", 1)

        def run(x: tg.Tensor, weight: tg.Tensor, conv: Callable[..., tg.Tensor] = function) -> tuple[tg.Tensor, ...]:
            return tg.grad((conv(x, weight, padding=1) ** 2).sum(), [x, weight])

        for one, other in zip(tg.compile(run, convolution=algorithm)(x, weight), run(x, weight), strict=True):
            np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("net", ["convolutional", "residual", "autoencoder", "grouped"])
def test_whole_steps(net: str, algorithm: str) -> None:
    alone, task = Task(net), Task(net)
    step = tg.compile(task.step, convolution=algorithm)
    for _ in range(3):
        expected = alone.step(alone.inputs, alone.labels).item()
        assert step(task.inputs, task.labels).item() == pytest.approx(expected, rel=1e-9)


def test_what_is_transformed_forward_serves_the_gradient() -> None:
    """Four calls, and not six: the tiles of the image are there already."""
    x, weight = draw((2, 32, 8, 8), "float32", 0), draw((32, 32, 3, 3), "float32", 1)
    compiled = tg.compile(lambda x, w: tg.grad((F.conv2d(x, w, padding=1) ** 2).sum(), w), executor="numpy")
    compiled(x, weight)
    (line,) = [line for line in compiled.report().lines if line.operations == "conv_weight"]
    assert (line.algorithm, line.calls) == ("winograd", 4)


def test_two_convolutions_that_read_an_image_in_different_ways() -> None:
    """With stride and dilation 3 the tiles are others, though size of the kernel, padding and channels are the same."""
    x, one, other = (draw(shape, "float64", 0) for shape in ((2, 4, 16, 16), (4, 4, 3, 3), (4, 4, 3, 3)))

    def function(x: tg.Tensor, one: tg.Tensor, other: tg.Tensor) -> tuple[tg.Tensor, ...]:
        near, far = F.conv2d(x, one, padding=1), F.conv2d(x, other, stride=3, padding=1, dilation=3)
        return tg.grad((near**2).mean() * (far**2).mean(), [one, other])  # both come before either gradient

    compiled = tg.compile(function, convolution="winograd")
    for found, expected in zip(compiled(x, one, other), function(x, one, other), strict=True):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    ("image", "kernel", "taken"),
    [
        ((16, 1, 28, 28), (6, 1, 5, 5), "strips"), ((16, 64, 18, 18), (64, 64, 3, 3), "winograd"),
        ((4, 1, 256, 256), (1, 1, 31, 31), "fft"), ((4, 64, 15, 15), (64, 64, 3, 3), "windows"),
    ],
)  # fmt: skip
def test_what_is_taken(image, kernel, taken) -> None:
    """Few channels and small images, 3x3 with many channels, large kernels, everything else; the report names it."""
    compiled = tg.compile(F.conv2d, executor="numpy")
    compiled(draw(image, "float32", 0), draw(kernel, "float32", 1))
    assert f"conv ({taken})" in str(compiled.report())


def test_an_unknown_algorithm() -> None:
    with pytest.raises(ArgumentError, match="'winograd'"):
        tg.compile(lambda x: x, convolution="strassen")
