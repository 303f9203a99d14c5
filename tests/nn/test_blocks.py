"""Blocks of convolutions: shapes, parameters, the formulas they stand for, errors that teach."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import ArgumentError, ShapeError
from tinygrad_cnn.graph import topological_order
from tinygrad_cnn.nn import functional as F
from tinygrad_cnn.summary import summary

# block, input shape, output shape, parameters
BLOCKS = [
    (lambda: nn.ConvNormActivation(3, 8), (2, 3, 6, 5), (2, 8, 6, 5), 3 * 8 * 9 + 2 * 8),
    (lambda: nn.ConvNormActivation(3, 8, 5, 2), (2, 3, 9, 8), (2, 8, 5, 4), 3 * 8 * 25 + 2 * 8),
    (lambda: nn.ConvNormActivation(3, 8, dilation=2, norm_layer=None), (1, 3, 7, 7), (1, 8, 7, 7), 3 * 8 * 9 + 8),
    (lambda: nn.ConvNormActivation(4, 8, 1, groups=2, activation_layer=None), (2, 4, 3, 3), (2, 8, 3, 3), 16 + 2 * 8),
    (lambda: nn.ConvNormActivation(3, 8, padding=0, bias=True), (2, 3, 6, 6), (2, 8, 4, 4), 3 * 8 * 9 + 3 * 8),
    (lambda: nn.ChannelMix(64, 32), (1, 64, 7, 7), (1, 32, 7, 7), 64 * 32 + 2 * 32),
    (lambda: nn.DepthwiseSeparable(8, 16, stride=2), (2, 8, 8, 8), (2, 16, 4, 4), 8 * 9 + 2 * 8 + 8 * 16 + 2 * 16),
    (lambda: nn.SqueezeExcitation(8, 2), (2, 8, 3, 4), (2, 8, 3, 4), 8 * 2 + 2 + 2 * 8 + 8),
    (
        lambda: nn.Inception(8, 4, 2, 6, 2, 3, 5), (2, 8, 5, 5), (2, 18, 5, 5),
        8 * 4 + 4 + 8 * 2 + 2 + 2 * 6 * 9 + 6 + 8 * 2 + 2 + 2 * 3 * 25 + 3 + 8 * 5 + 5,
    ),
    (
        lambda: nn.Inception(8, 4, 2, 6, 2, 3, 5, nn.BatchNorm2d, (3, 3)), (2, 8, 5, 5), (2, 18, 5, 5),
        8 * 4 + 8 * 2 + 2 * 6 * 9 + 8 * 2 + 2 * 3 * 9 + 3 * 3 * 9 + 8 * 5 + 2 * (4 + 2 + 6 + 2 + 3 + 3 + 5),
    ),
    (
        lambda: nn.ConvPattern((1, 8, 12), 5, (2, 3), 1, features=(7,)), (2, 1, 8, 12), (2, 5),
        2 * 9 + 2 + 2 * 3 * 9 + 3 + 3 * 2 * 3 * 7 + 7 + 7 * 5 + 5,
    ),
    (
        lambda: nn.ConvPattern((1, 4, 4), 3, (2,), 2, False, (), softmax=True), (2, 1, 4, 4), (2, 3),
        2 * 9 + 2 + 2 * 2 * 9 + 2 + 2 * 16 * 3 + 3,
    ),
]  # fmt: skip
NAMES = [f"{number} {make().__class__.__name__}" for number, (make, *_) in enumerate(BLOCKS)]


def numbers(*shape):
    return tg.Tensor(np.random.default_rng(0).standard_normal(shape).astype("float32"))


@pytest.mark.parametrize(("make", "given", "expected", "parameters"), BLOCKS, ids=NAMES)
def test_shapes_parameters_and_gradients(make, given, expected, parameters):
    block = make()
    assert sum(each.numel() for each in block.parameters()) == parameters
    assert block(tg.symbol(given)).shape == expected
    assert all(each._array is None for each in block.parameters())
    output = block(numbers(*given))
    assert (output.shape, output.dtype) == (expected, np.float32)
    (output * numbers(*expected)).sum().backward()
    for name, each in block.named_parameters():
        assert each.grad is not None, name
        assert np.isfinite(each.grad.numpy()).all(), name


@pytest.mark.parametrize(("make", "given"), [row[:2] for row in BLOCKS], ids=NAMES)
def test_each_is_one_box(make, given):
    """All that a block does lies in its scope, so that a picture can close it to one box."""
    block = make()
    own = type(block).__name__.lower()
    output = block(tg.symbol(given))
    nodes = [node for node in topological_order([output.node]) if node.inputs]
    assert nodes
    assert all(node.scope.split("/")[0] == own for node in nodes)
    assert own in tg.draw(block, given).dot.lower()


def test_conv_norm_activation_is_its_three_parts():
    block, x = nn.ConvNormActivation(2, 3, 3, 2), numbers(4, 2, 5, 5)
    with tg.no_grad():
        mean, scale = numbers(3), numbers(3) * 0.1 + 1
        block.bn.running_mean.assign(mean)
        block.bn.weight.assign(scale)
    block.eval()
    convolved = F.conv2d(x, block.conv.weight, None, 2, 1).numpy()
    expected = (convolved - mean.numpy()[:, None, None]) / np.sqrt(1 + 1e-5) * scale.numpy()[:, None, None]
    np.testing.assert_allclose(block(x).numpy(), np.maximum(expected, 0), rtol=1e-5, atol=1e-6)


def test_channel_mix_is_a_matrix_product_at_each_pixel():
    block, x = nn.ChannelMix(4, 3, None, None), numbers(2, 4, 3, 5)
    expected = np.einsum("oc,nchw->nohw", block.conv.weight.numpy()[:, :, 0, 0], x.numpy())
    expected += block.conv.bias.numpy()[:, None, None]
    np.testing.assert_allclose(block(x).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_the_first_step_of_a_separable_convolution_keeps_channels_apart():
    block = nn.DepthwiseSeparable(3, 4, norm_layer=None, activation_layer=None)
    x = numbers(1, 3, 5, 5).numpy()
    one = x.copy()
    one[:, 1] += 1
    changed = block.depthwise(tg.Tensor(one)).numpy() != block.depthwise(tg.Tensor(x)).numpy()
    assert changed[:, 1].all()
    assert not changed[:, [0, 2]].any()


def test_a_separable_convolution_takes_the_share_of_the_paper():
    full = summary(nn.Conv2d(32, 64, 3, padding=1), (1, 32, 14, 14)).macs
    cheap = summary(nn.DepthwiseSeparable(32, 64), (1, 32, 14, 14)).macs
    assert cheap / full == pytest.approx(1 / 64 + 1 / 9)


def test_squeeze_excitation_weights_each_channel():
    block, x = nn.SqueezeExcitation(4, 2), numbers(3, 4, 5, 6)
    averages = x.numpy().mean((2, 3))
    hidden = np.maximum(averages @ block.fc1.weight.numpy()[:, :, 0, 0].T + block.fc1.bias.numpy(), 0)
    weights = 1 / (1 + np.exp(-(hidden @ block.fc2.weight.numpy()[:, :, 0, 0].T + block.fc2.bias.numpy())))
    np.testing.assert_allclose(block(x).numpy(), x.numpy() * weights[:, :, None, None], rtol=1e-4, atol=1e-6)


def test_inception_joins_its_four_ways():
    block, x = nn.Inception(3, 1, 2, 4, 2, 3, 2), numbers(1, 3, 6, 6)
    output = block(x).numpy()
    ends = np.cumsum([0, 1, 4, 3, 2])
    for way, (start, end) in zip(
        (block.branch1, block.branch2, block.branch3, block.branch4), pairwise(ends), strict=True
    ):
        np.testing.assert_array_equal(output[:, start:end], way(x).numpy())
    pooled = F.relu(F.conv2d(F.max_pool2d(x, 3, 1, 1), block.branch4[1].conv.weight, block.branch4[1].conv.bias))
    np.testing.assert_array_equal(output[:, 8:], pooled.numpy())


def test_two_small_kernels_see_as_far_as_a_large_one():
    for large in ((5,), (3, 3)):
        block = nn.Inception(1, 1, 1, 1, 1, 1, 1, None, large)
        for each in block.branch3.parameters():
            each.assign(np.ones(each.shape, "float32"))
        image = np.zeros((1, 1, 11, 11), "float32")
        rest = block.branch3(tg.Tensor(image)).numpy()
        image[0, 0, 5, 5] = 1
        seen = np.argwhere(block.branch3(tg.Tensor(image)).numpy() != rest)
        assert (seen.min(0)[2:] == 3).all()
        assert (seen.max(0)[2:] == 7).all()


def test_a_pattern_is_built_as_it_says():
    model = nn.ConvPattern((3, 32, 32), 10, (16, 32, 64), 2, features=(128, 64), softmax=True)
    kinds = [type(each).__name__ for each in model.features]
    assert kinds == ["Conv2d", "ReLU", "Conv2d", "ReLU", "MaxPool2d"] * 3
    assert [type(each).__name__ for each in model.classifier] == [
        "Linear", "ReLU", "Linear", "ReLU", "Linear", "Softmax"
    ]  # fmt: skip
    assert model.classifier[0].in_features == 64 * 4 * 4
    np.testing.assert_allclose(model(numbers(4, 3, 32, 32)).numpy().sum(1), 1, rtol=1e-5)
    assert not any(isinstance(each, nn.MaxPool2d) for each in nn.ConvPattern((1, 8, 8), 2, pool=False).modules())


@pytest.mark.parametrize(("size", "groups"), [((32, 32), 6), ((7, 32), 3), ((5, 5), 3)])
def test_a_pattern_that_pools_the_image_away(size, groups):
    fewer = groups - 1
    nn.ConvPattern((1, *size), 10, (4,) * fewer)
    with pytest.raises(ShapeError, match=f"after pooling {groups} times nothing is left") as caught:
        nn.ConvPattern((1, *size), 10, (4,) * groups)
    assert f"2^{groups} = {2**groups}, but {min(size)} < {2**groups}" in str(caught.value)
    assert f"at most {fewer} groups" in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"input_shape": (8, 3, 32, 32)}, "without the batch"),
        ({"input_shape": (32, 32)}, "without the batch"),
        ({"kernel_size": 4}, "odd kernel_size"),
        ({"n": 0}, "n at least 1"),
        ({"channels": 32}, r"channels=\(32,\)"),
        ({"features": 64}, r"features=\(64,\)"),
    ],
)
def test_patterns_that_are_none(settings, message):
    with pytest.raises(ArgumentError, match=message):
        nn.ConvPattern(**{"input_shape": (3, 32, 32), "num_classes": 10} | settings)


def test_a_layer_for_what_makes_layers():
    with pytest.raises(ArgumentError, match="ConvNormActivation: norm_layer makes a layer for each place") as caught:
        nn.ConvNormActivation(3, 8, norm_layer=nn.BatchNorm2d(8))
    assert "norm_layer=nn.BatchNorm2d" in str(caught.value)
    for make in (
        lambda: nn.ChannelMix(3, 8, activation_layer=nn.ReLU()),
        lambda: nn.SqueezeExcitation(8, 2, nn.ReLU()),
        lambda: nn.Bottleneck(8, 8, activation_layer=nn.ReLU()),
        lambda: nn.Encoder(1, (8,), nn.BatchNorm2d(8)),
    ):
        with pytest.raises(ArgumentError, match="is none itself"):
            make()
