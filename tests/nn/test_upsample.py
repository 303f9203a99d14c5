"""Layers that give images more pixels: what each calls, both orders of axes, text forms."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import ArgumentError
from tinygrad_cnn.nn import functional as F

X = np.random.default_rng(1).standard_normal((2, 4, 3, 5)).astype(np.float32)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"size": (6, 4)}, "Upsample(size=(6, 4), mode='nearest')"),
        ({"scale_factor": 2, "mode": "bilinear"}, "Upsample(scale_factor=2, mode='bilinear')"),
        (
            {"size": 7, "mode": "bilinear", "align_corners": True},
            "Upsample(size=7, mode='bilinear', align_corners=True)",
        ),
        (
            {"scale_factor": 1.5, "mode": "bilinear", "recompute_scale_factor": True},
            "Upsample(scale_factor=1.5, mode='bilinear', recompute_scale_factor=True)",
        ),
    ],
)
def test_upsampling(arguments, text):
    layer = nn.Upsample(**arguments)
    assert repr(layer) == text
    expected = F.interpolate(tg.Tensor(X), **arguments).numpy()
    np.testing.assert_array_equal(layer(tg.Tensor(X)).numpy(), expected)
    assert layer(tg.symbol(X.shape)).shape == expected.shape
    last = nn.Upsample(**arguments, data_format="channels_last")
    assert "data_format='channels_last'" in repr(last)
    np.testing.assert_array_equal(last(tg.Tensor(X.transpose(0, 2, 3, 1))).numpy(), expected.transpose(0, 2, 3, 1))


def test_pixels_out_of_channels_and_back():
    net = nn.Sequential(nn.PixelShuffle(2), nn.PixelUnshuffle(2))
    assert net[0](tg.Tensor(X)).shape == (2, 1, 6, 10)
    np.testing.assert_array_equal(net(tg.Tensor(X)).numpy(), X)
    assert repr(net[0]) == "PixelShuffle(upscale_factor=2)"
    assert repr(net[1]) == "PixelUnshuffle(downscale_factor=2)"


def test_an_order_of_axes_that_does_not_exist():
    with pytest.raises(ArgumentError, match="Upsample: there is no such order of axes"):
        nn.Upsample(scale_factor=2, data_format="last")
