"""Encoders, decoders and U-Net levels: shapes, parameters, what reaches what, errors that teach."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import ShapeError
from tinygrad_cnn.graph import topological_order

# block, input shape, output shape, parameters
BLOCKS = [
    (lambda: nn.Encoder(1, (4, 8)), (2, 1, 12, 8), (2, 8, 3, 2), 4 * 9 + 4 * 8 * 9 + 2 * (4 + 8)),
    (lambda: nn.Encoder(3, (4,), None), (2, 3, 7, 5), (2, 4, 4, 3), 3 * 4 * 9 + 4),
    (
        lambda: nn.Decoder((8, 4), 3), (2, 8, 3, 2), (2, 3, 12, 8),
        8 * 4 * 16 + 2 * 4 + 4 * 4 * 16 + 2 * 4 + 4 * 3 * 9 + 3,
    ),
    (lambda: nn.Decoder((4,), 1, None), (1, 4, 3, 3), (1, 1, 6, 6), 4 * 4 * 16 + 4 + 4 * 9 + 1),
    (
        lambda: nn.Autoencoder(nn.Encoder(1, (4,), None), nn.Decoder((4,), 1, None)), (2, 1, 4, 6), (2, 1, 4, 6),
        4 * 9 + 4 + 4 * 4 * 16 + 4 + 4 * 9 + 1,
    ),
    (
        lambda: nn.UNetLevel(2, 4, nn.ConvNormActivation(4, 8), 8), (2, 2, 6, 8), (2, 4, 6, 8),
        2 * 4 * 9 + 4 * 4 * 9 + 4 * 8 * 9 + 8 * 4 * 4 + 4 + 8 * 4 * 9 + 4 * 4 * 9 + 2 * (4 + 4 + 8 + 4 + 4),
    ),
]  # fmt: skip
NAMES = [f"{number} {make().__class__.__name__}" for number, (make, *_) in enumerate(BLOCKS)]


def numbers(*shape):
    return tg.Tensor(np.random.default_rng(0).standard_normal(shape).astype("float32"))


@pytest.mark.parametrize(("make", "given", "expected", "parameters"), BLOCKS, ids=NAMES)
def test_shapes_parameters_gradients_and_boxes(make, given, expected, parameters):
    block = make()
    assert sum(each.numel() for each in block.parameters()) == parameters
    described = block(tg.symbol(given))
    assert described.shape == expected
    assert all(each._array is None for each in block.parameters())
    own = type(block).__name__.lower()
    assert all(node.scope.split("/")[0] == own for node in topological_order([described.node]) if node.inputs)
    output = block(numbers(*given))
    assert output.spec == (expected, np.float32)
    (output * numbers(*expected)).sum().backward()
    for name, each in block.named_parameters():
        assert each.grad is not None, name
        assert np.isfinite(each.grad.numpy()).all(), name


def test_a_decoder_undoes_the_sizes_of_its_encoder():
    for levels in (1, 2, 3):
        widths = tuple(4 * 2**level for level in range(levels))
        model = nn.Autoencoder(nn.Encoder(3, widths), nn.Decoder(widths[::-1], 3))
        assert model(tg.symbol((1, 3, 24, 16))).shape == (1, 3, 24, 16)
        assert model.encoder(tg.symbol((1, 3, 24, 16))).shape == (1, widths[-1], 24 >> levels, 16 >> levels)


def test_an_enlarging_kernel_reaches_each_pixel_equally_often():
    decoder = nn.Decoder((1,), 1, None, None)
    enlarge = decoder.levels[0].conv
    nn.init.ones_(enlarge.weight)
    nn.init.zeros_(enlarge.bias)
    output = enlarge(tg.Tensor(np.ones((1, 1, 5, 5), "float32"))).numpy()
    assert (output[..., 1:-1, 1:-1] == 4).all()


def test_fine_detail_passes_a_unet_level_beside_the_inner_part():
    level = nn.UNetLevel(1, 2, nn.ConvNormActivation(2, 2, norm_layer=None), 2, None)
    for each in level.inner.parameters():
        nn.init.zeros_(each)
    image = numbers(1, 1, 8, 8).numpy().copy()
    before = level(tg.Tensor(image)).numpy()
    image[0, 0, 3, 3] += 1
    changed = np.argwhere(level(tg.Tensor(image)).numpy() != before)[:, 2:]
    assert len(changed)
    assert (abs(changed - 3) <= 4).all()  # four 3x3 convolutions: not the halved image, which reaches further


def test_an_odd_image_cannot_be_halved():
    level = nn.UNetLevel(1, 2, nn.ConvNormActivation(2, 4), 4)
    with pytest.raises(ShapeError, match="odd height or width") as caught:
        level(tg.symbol((1, 1, 6, 7)))
    assert "2^k divides" in str(caught.value)
