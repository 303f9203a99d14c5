"""The vision transformer: patches, places, attention, errors."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import models
from tinygrad_cnn.errors import ArgumentError, ShapeError


def images(count, size):
    return tg.Tensor(np.random.default_rng(0).random((count, 1, size, size), "float32"))


@pytest.mark.parametrize(("size", "patch", "patches"), [(8, 2, 16), (32, 4, 64)])
def test_shapes_and_attention(size, patch, patches):
    model = models.vision_transformer(size, patch, d_model=16, nhead=2, num_layers=2, dim_feedforward=8).eval()
    assert model.position.weight.shape == (patches + 1, 16)
    x = images(3, size)
    assert model(x).shape == (3, 10)
    looks = model.attention(x)
    assert [each.shape for each in looks] == [(3, 2, size // patch, size // patch)] * 2
    assert 0 < looks[0].numpy().sum((2, 3)).max() < 1  # the rest goes to the place of the class itself


def test_patches_come_row_by_row():
    model = models.vision_transformer(8, 4, d_model=2, nhead=1)
    model.position.weight.assign(model.position.weight * 0)
    model.eval()
    x = images(1, 8)
    sequence = model._patches(x).numpy()[0]
    weight, bias = model.conv_proj.weight.numpy()[:, 0], model.conv_proj.bias.numpy()
    for number in range(4):
        row, column = 4 * (number // 2), 4 * (number % 2)
        patch = x.numpy()[0, 0, row : row + 4, column : column + 4]
        np.testing.assert_allclose(sequence[1 + number], (weight * patch).sum((1, 2)) + bias, rtol=1e-4, atol=1e-6)


def test_the_order_of_the_patches_matters_only_through_their_places():
    model = models.vision_transformer(8, 4, d_model=8, nhead=2).eval()
    x = images(1, 8)
    swapped = tg.Tensor(np.roll(x.numpy(), 4, 3))
    assert not np.allclose(model(x).numpy(), model(swapped).numpy(), rtol=1e-4)
    model.position.weight.assign(model.position.weight * 0)
    np.testing.assert_allclose(model(x).numpy(), model(swapped).numpy(), rtol=1e-3, atol=1e-6)


def test_errors_teach():
    with pytest.raises(ArgumentError, match="patches of 5 pixels do not fill an image of 32"):
        models.vision_transformer(32, 5)
    with pytest.raises(ShapeError, match=r"\(N, 1, 32, 32\)"):
        models.vision_transformer()(images(1, 16))
