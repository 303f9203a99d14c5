"""Initial numbers: their bounds and variances."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import ArgumentError, ShapeError
from tinygrad_cnn.nn import init

SHAPE = (60, 40, 3, 2)
FAN_IN, FAN_OUT = 40 * 6, 60 * 6

# function, largest size (None: normal), variance
SCHEMES = {
    "uniform_": (lambda p: init.uniform_(p, -2.0, 2.0), 2.0, 16 / 12),
    "normal_": (lambda p: init.normal_(p, 0.0, 3.0), None, 9.0),
    "xavier_uniform_": (init.xavier_uniform_, (6 / (FAN_IN + FAN_OUT)) ** 0.5, 2 / (FAN_IN + FAN_OUT)),
    "xavier_normal_": (lambda p: init.xavier_normal_(p, gain=2.0), None, 8 / (FAN_IN + FAN_OUT)),
    "kaiming_uniform_": (lambda p: init.kaiming_uniform_(p, nonlinearity="relu"), (6 / FAN_IN) ** 0.5, 2 / FAN_IN),
    "kaiming_normal_": (lambda p: init.kaiming_normal_(p, a=0.5, mode="fan_out"), None, 2 / 1.25 / FAN_OUT),
    "default": (lambda p: init.default_weight(p.shape, FAN_IN), FAN_IN**-0.5, 1 / 3 / FAN_IN),
}


def parameter(shape: tuple[int, ...] = SHAPE) -> nn.Parameter:
    return nn.Parameter(np.zeros(shape, np.float32))


@pytest.mark.parametrize(("scheme", "bound", "variance"), SCHEMES.values(), ids=SCHEMES)
def test_numbers_have_the_right_spread(scheme, bound, variance):
    drawn = scheme(parameter())
    assert drawn.requires_grad
    assert drawn.dtype == np.float32
    values = drawn.numpy()
    assert values.var() == pytest.approx(variance, rel=0.05)
    assert abs(values.mean()) < 0.05 * variance**0.5
    if bound is not None:
        assert 0.98 * bound < np.abs(values).max() <= bound * (1 + 1e-6)


def test_constants():
    assert init.zeros_(parameter((2,))).tolist() == [0.0, 0.0]
    assert init.ones_(parameter((2,))).tolist() == [1.0, 1.0]
    assert init.constant_(parameter((2,)), 0.5).tolist() == [0.5, 0.5]


def test_a_seed_repeats_the_numbers():
    weight = parameter()
    tg.seed(4)
    first = init.normal_(weight).numpy()
    second = init.normal_(weight).numpy()
    tg.seed(4)
    np.testing.assert_array_equal(init.normal_(weight).numpy(), first)
    assert (first != second).any()


def test_fans_and_gains():
    assert init.fans(SHAPE) == (FAN_IN, FAN_OUT)
    assert init.fans((5, 3)) == (3, 5)
    assert init.gain("tanh") == pytest.approx(5 / 3)
    assert init.gain("leaky_relu", 1.0) == pytest.approx(1.0)


ERRORS = {
    "fans": (lambda: init.xavier_uniform_(parameter((3,))), ShapeError, r"two or more axes\n  got       \(3,\)"),
    "mode": (lambda: init.kaiming_normal_(parameter(), mode="in"), ArgumentError, "no such mode\n  got       'in'"),
    "gain": (lambda: init.gain("swish"), ArgumentError, "no such nonlinearity\n  got       'swish'"),
}


@pytest.mark.parametrize(("call", "kind", "text"), ERRORS.values(), ids=ERRORS)
def test_errors_say_what_is_wrong(call, kind, text):
    with pytest.raises(kind, match=text):
        call()
