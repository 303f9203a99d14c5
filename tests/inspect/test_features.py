"""Images that units look for."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.errors import ArgumentError
from tinygrad_cnn.inspect import ascend, deep_dream
from tinygrad_cnn.inspect.activations import layer_output

from .conftest import squares


def test_ascent_makes_a_unit_active(trained):
    shape = (1, 1, 12, 12)
    for label in range(2):
        first = ascend(trained, "", label, shape, steps=0)
        last = ascend(trained, "", label, shape, steps=20, jitter=1, decay=0.01)
        before, after = (trained(each).numpy()[0] for each in (first, last))
        assert after[label] - after[1 - label] > before[label] - before[1 - label] + 2
        assert after.argmax() == label
        assert 0 <= last.numpy().min() <= last.numpy().max() <= 1


def test_the_same_seed_gives_the_same_image(trained):
    one, again, other = (ascend(trained, "0", 3, (1, 1, 12, 12), steps=3, jitter=2, seed=s).numpy() for s in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_a_dream_has_more_of_what_the_layer_sees(trained):
    image = tg.Tensor(squares(1, 9)[0])
    dream = deep_dream(trained, "1", image, octaves=2, steps=4)
    assert dream.shape == image.shape
    energy = [float((layer_output(trained, "1", each) ** 2).mean().item()) for each in (image, dream)]
    assert energy[1] > 1.2 * energy[0]


def test_the_model_is_left_as_it_was(trained):
    before = [each.numpy() for each in trained.parameters()]
    ascend(trained, "0", 0, (1, 1, 12, 12), steps=2)
    for was, leaf in zip(before, trained.parameters(), strict=True):
        np.testing.assert_array_equal(leaf.numpy(), was)
        assert leaf.requires_grad
    assert trained.training


def test_errors(trained):
    with pytest.raises(ArgumentError, match="there is no channel 9"):
        ascend(trained, "0", 9, (1, 1, 12, 12), steps=1)
    with pytest.raises(ArgumentError, match="one of input_shape and start"):
        ascend(trained, "0", 0)
