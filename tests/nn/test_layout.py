"""The two orders of an image's axes, there and back."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.errors import ArgumentError
from tinygrad_cnn.nn.layout import from_channels_first, to_channels_first


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_channels_move_and_come_back(axes):
    last = np.random.default_rng(0).standard_normal((2, *(4, 5, 6)[:axes], 3))
    for given, place in ((last, 1), (last[0], 0)):
        first = to_channels_first(tg.Tensor(given), "channels_last", axes)
        np.testing.assert_array_equal(first.numpy(), np.moveaxis(given, -1, place))
        np.testing.assert_array_equal(from_channels_first(first, "channels_last", axes).numpy(), given)


def test_nothing_happens_to_channels_that_come_first():
    x = tg.symbol((2, 3, 4, 5))
    assert to_channels_first(x, "channels_first", 2) is x
    assert from_channels_first(x, "channels_first", 2) is x


@pytest.mark.parametrize("function", [to_channels_first, from_channels_first])
def test_an_order_that_does_not_exist(function):
    with pytest.raises(ArgumentError, match=r"'channels_first' for .*, or 'channels_last'"):
        function(tg.symbol((2, 3, 4, 5)), "NHWC", 2)
