"""Checks of the exercises of chapter 23."""

import ch23
import numpy as np
import pytest

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F

pytestmark = pytest.mark.ch23


def test_split_in_four() -> None:
    random = np.random.default_rng(0)
    kernel, image = random.standard_normal((5, 5)), tg.Tensor(random.standard_normal((1, 1, 12, 12)))
    first, second = ch23.split_in_four(kernel)
    assert first.shape == (4, 1, 3, 3)
    assert second.shape == (1, 4, 3, 3)
    two = F.conv2d(F.conv2d(image, tg.Tensor(first)), tg.Tensor(second))
    assert np.allclose(two.numpy(), F.conv2d(image, tg.Tensor(kernel[None, None])).numpy())


@pytest.mark.parametrize("settings", [(8, 3), (8, 5, 2, 1), (6, 3, 1, 1, 2), (4, 2, 3, 0, 4)])
def test_conv_work(settings: tuple[int, ...]) -> None:
    filters, kernel, stride, padding, groups = (*settings, 1, 0, 1)[:5] if len(settings) == 2 else (*settings, 1)[:5]
    layer = tg.nn.Conv2d(4, filters, kernel, stride, padding, groups=groups)
    expected = tg.summary(layer, (1, 4, 13, 10)).macs
    assert ch23.conv_work((4, 13, 10), filters, kernel, stride, padding, groups) == expected


def test_slim_vgg() -> None:
    network = ch23.slim_vgg(10)
    assert sum(each.numel() for each in network.parameters()) == 14_714_688 + 5130
    assert network(tg.symbol((2, 3, 96, 64))).shape == (2, 10)
