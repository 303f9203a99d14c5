"""Checks of the exercises of chapter 4."""

import math

import ch04
import pytest


def test_xor():
    assert [ch04.xor(a, b) for a in (0, 1) for b in (0, 1)] == [0, 1, 1, 0]


def test_xor_is_straight_between_its_kinks():
    assert ch04.xor(0.25, 0.25) == pytest.approx(0.5)


@pytest.mark.parametrize("label", [-1, 1])
@pytest.mark.parametrize("s", [-2.0, 0.0, 0.7])
def test_loss_slope(s, label):
    def loss(s):
        return math.log(1 + math.exp(-label * s))

    assert ch04.loss_slope(s, label) == pytest.approx((loss(s + 1e-5) - loss(s - 1e-5)) / 2e-5, abs=1e-8)


def test_is_dead():
    points = [(0.0, 0.0), (1.0, 2.0), (-1.0, 3.0)]
    assert ch04.is_dead([1.0, -1.0], -0.5, points)
    assert not ch04.is_dead([1.0, -1.0], 0.5, points)
    assert not ch04.is_dead([-1.0, 0.0], -0.5, points)
