"""Checks of the exercises of chapter 1."""

import math

import ch01
import pytest


def test_gradient_of_a_product():
    point = [2.0, 5.0, -1.0]
    slopes = ch01.gradient(lambda p: p[0] * p[1] * p[2], point)
    assert slopes == pytest.approx([-5.0, -2.0, 10.0], abs=1e-6)
    assert point == [2.0, 5.0, -1.0]


def test_gradient_needs_more_than_one_side():
    assert ch01.gradient(lambda p: math.exp(p[0]), [1.0]) == pytest.approx([math.e], abs=1e-8)


def test_best_step():
    assert ch01.best_step(2.0**-52) == pytest.approx(6e-6, rel=0.5)
    assert ch01.best_step(2.0**-23) == pytest.approx(5e-3, rel=0.5)


def test_second_slope():
    assert ch01.second_slope(math.sin, 0.5) == pytest.approx(-math.sin(0.5), abs=1e-6)
    assert ch01.second_slope(lambda x: x * x, 3.0, h=0.5) == pytest.approx(2.0)
