"""Checks of the exercises of chapter 3."""

import math

import ch03
import pytest


def slope(rule, number):
    x = ch03.Value(number)
    rule(x).backward()
    return x.grad


@pytest.mark.parametrize("number", [-2.5, 0.3, 40.0])
def test_sin(number):
    assert ch03.sin(ch03.Value(number)).data == math.sin(number)
    assert slope(ch03.sin, number) == pytest.approx(math.cos(number))


@pytest.mark.parametrize("number", [-2.5, 0.0, 3.0])
def test_softplus(number):
    assert ch03.softplus(ch03.Value(number)).data == pytest.approx(math.log(1 + math.exp(number)))
    assert slope(ch03.softplus, number) == pytest.approx(1 / (1 + math.exp(-number)))


def test_softplus_far_from_zero():
    assert ch03.softplus(ch03.Value(1000.0)).data == 1000.0
    assert ch03.softplus(ch03.Value(-40.0)).data == pytest.approx(math.exp(-40), rel=1e-9)
    assert slope(ch03.softplus, 1000.0) == 1.0
    assert slope(ch03.softplus, -1000.0) == pytest.approx(0.0)


def test_wrong_rules():
    def rule(value, slope):
        return lambda x: ch03.Value(value(x.data), (x,), (slope(x.data),))

    rules = {
        "double": rule(lambda x: 2 * x, lambda x: 2.0),
        "absolute": rule(abs, lambda x: 1.0),
        "cube": rule(lambda x: x**3, lambda x: 3 * x**2),
        "exponential": rule(math.exp, lambda x: math.exp(-x)),
    }
    assert sorted(ch03.wrong_rules(rules)) == ["absolute", "exponential"]
