"""Residual blocks: shapes, shortcuts, the sums they are, errors that teach."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import ArgumentError
from tinygrad_cnn.graph import topological_order
from tinygrad_cnn.nn import functional as F

KINDS = [nn.BasicBlock, nn.Bottleneck, nn.PreActBasicBlock, nn.PreActBottleneck]
PRE = [nn.PreActBasicBlock, nn.PreActBottleneck]

each_kind = pytest.mark.parametrize("kind", KINDS)
each_option = pytest.mark.parametrize("option", ["A", "B", "C"])


def numbers(*shape):
    return tg.Tensor(np.random.default_rng(0).standard_normal(shape).astype("float32"))


def size(module):
    return sum(each.numel() for each in module.parameters())


@each_kind
@each_option
@pytest.mark.parametrize("stride", [1, 2])
def test_shapes_and_gradients(kind, option, stride):
    block = kind(8, 12, stride, option)
    given, expected = (2, 8, 7, 6), (2, 12 * kind.expansion, -(-7 // stride), -(-6 // stride))
    assert block(tg.symbol(given)).shape == expected
    assert all(each._array is None for each in block.parameters())
    output = block(numbers(*given))
    assert output.spec == (expected, np.float32)
    (output * numbers(*expected)).sum().backward()
    for name, each in block.named_parameters():
        assert each.grad is not None, name
        assert np.isfinite(each.grad.numpy()).all(), name
    own = kind.__name__.lower()
    nodes = [node for node in topological_order([block(tg.symbol(given)).node]) if node.inputs]
    assert all(node.scope.split("/")[0] == own for node in nodes)


@each_kind
def test_the_options_differ_in_their_shortcuts_only(kind):
    same, wider = 8 * kind.expansion, 16 * kind.expansion
    sizes = {option: size(kind(same, 8, 1, option)) for option in "ABC"}
    assert sizes["A"] == sizes["B"]
    norm = 0 if kind in PRE else 2
    assert sizes["C"] - sizes["B"] == same * (same + norm)
    sizes = {option: size(kind(same, 16, 2, option)) for option in "ABC"}
    assert sizes["B"] == sizes["C"] == sizes["A"] + wider * (same + norm)


def test_option_a_keeps_every_other_pixel_and_adds_zeros():
    x = numbers(2, 3, 5, 4)
    output = nn.ZeroPadShortcut(3, 7, 2)(x).numpy()
    assert output.shape == (2, 7, 3, 2)
    np.testing.assert_array_equal(output[:, :3], x.numpy()[:, :, ::2, ::2])
    assert not output[:, 3:].any()


def test_a_basic_block_is_relu_of_a_sum():
    block, x = nn.BasicBlock(4, 4).eval(), numbers(2, 4, 5, 5)
    scale = np.float32(1 / np.sqrt(1 + 1e-5))
    first = F.relu(F.conv2d(x, block.conv1.weight, padding=1) * scale)
    second = F.conv2d(first, block.conv2.weight, padding=1) * scale
    np.testing.assert_allclose(block(x).numpy(), np.maximum((second + x).numpy(), 0), rtol=1e-4, atol=1e-5)


def test_a_pre_activation_block_lets_its_input_through():
    """With the last convolution at 0 the block is the identity, which a block with a relu at the end is not."""
    for kind in PRE:
        block, x = kind(4 * kind.expansion, 4), numbers(2, 4 * kind.expansion, 5, 5)
        nn.init.zeros_(list(block.parameters())[-1])
        np.testing.assert_array_equal(block(x).numpy(), x.numpy())
    block, x = nn.BasicBlock(4, 4), numbers(2, 4, 5, 5)
    nn.init.zeros_(block.bn2.weight)
    np.testing.assert_allclose(block(x).numpy(), np.maximum(x.numpy(), 0), atol=1e-6)


def test_a_projection_takes_the_normalised_input_before_activation_blocks():
    block, x = nn.PreActBasicBlock(2, 3, 2).eval(), numbers(1, 2, 4, 4)
    nn.init.zeros_(block.conv2.weight)
    expected = F.conv2d(F.relu(x * np.float32(1 / np.sqrt(1 + 1e-5))), block.downsample.weight, stride=2)
    np.testing.assert_allclose(block(x).numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)


def test_the_stride_of_a_bottleneck_is_that_of_its_3x3():
    block = nn.Bottleneck(8, 4, 2)
    assert [block.conv1.stride, block.conv2.stride, block.conv3.stride] == [1, 2, 1]


@each_kind
def test_activations_with_parameters_are_made_for_each_place(kind):
    plain, other = kind(8, 8), kind(8, 8, activation_layer=nn.PReLU)
    places = len([each for each in other.modules() if isinstance(each, nn.PReLU)])
    assert places == (3 if "Bottleneck" in kind.__name__ else 2)
    assert size(other) - size(plain) == places
    assert other(tg.symbol((1, 8, 4, 4))).shape == plain(tg.symbol((1, 8, 4, 4))).shape


def test_another_shortcut_is_refused():
    with pytest.raises(ArgumentError, match="BasicBlock: no such shortcut\n  got       'D'"):
        nn.BasicBlock(4, 4, shortcut="D")
    with pytest.raises(ArgumentError, match="8 to 4"):
        nn.BasicBlock(8, 4, 2, "A")


def test_a_dense_block_adds_to_its_input():
    block, x = nn.ResidualLinear(5, 3), numbers(2, 5)
    hidden = np.maximum(x.numpy() @ block.fc1.weight.numpy().T + block.fc1.bias.numpy(), 0)
    expected = x.numpy() + hidden @ block.fc2.weight.numpy().T + block.fc2.bias.numpy()
    np.testing.assert_allclose(block(x).numpy(), expected, rtol=1e-5, atol=1e-6)
    assert size(nn.ResidualLinear(5)) == 2 * (25 + 5)
