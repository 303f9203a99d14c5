"""Schedules: rates worked out by hand, and a training that goes on where it stopped."""

from __future__ import annotations

import math

import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import optim
from tinygrad_cnn.errors import ArgumentError


def optimizer(lr: float = 1.0) -> optim.SGD:
    return optim.SGD([tg.Tensor([1.0], requires_grad=True)], lr=lr)


def half_cosine(share):
    return 0.1 + 0.9 * (1 + math.cos(math.pi * share)) / 2


SCHEDULES = {
    "lambda": (lambda o: optim.LambdaLR(o, lambda epoch: 0.9**epoch), [1, 0.9, 0.81, 0.729]),
    "step": (lambda o: optim.StepLR(o, 2, 0.5), [1, 1, 0.5, 0.5, 0.25]),
    "milestones": (lambda o: optim.MultiStepLR(o, [3, 1], 0.5), [1, 0.5, 0.5, 0.25]),
    "exponential": (lambda o: optim.ExponentialLR(o, 0.5), [1, 0.5, 0.25]),
    "linear": (lambda o: optim.LinearLR(o, 0.5, 1.5, 4), [0.5, 0.75, 1.0, 1.25, 1.5, 1.5]),
    "cosine": (lambda o: optim.CosineAnnealingLR(o, 4, 0.1), [half_cosine(k / 4) for k in range(7)]),
    "restarts": (
        lambda o: optim.CosineAnnealingWarmRestarts(o, 2, 2, 0.1),
        [half_cosine(share) for share in (0, 0.5, 0, 0.25, 0.5, 0.75, 0)],
    ),
    "one cycle": (
        lambda o: optim.OneCycleLR(o, 1.0, None, 1, 5, 0.6, "linear", 10.0, 10.0),
        [0.1, 0.55, 1.0, 0.505, 0.01],
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_rates(name):
    make, expected = SCHEDULES[name]
    o = optimizer()
    schedule = make(o)
    found = []
    for _ in expected:
        assert schedule.get_last_lr() == [o.lr]
        found.append(o.lr)
        if len(found) < len(expected):
            schedule.step()
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
def test_going_on_later(name):
    make, expected = SCHEDULES[name]
    schedule = make(optimizer())
    schedule.step()
    o = optimizer()
    later = make(o)
    later.load_state_dict(schedule.state_dict())
    assert o.lr == pytest.approx(expected[1])
    later.step()
    assert o.lr == pytest.approx(expected[2])


def test_one_schedule_after_the_other():
    o = optimizer()
    warm_up = optim.LinearLR(o, 0.5, total_iters=2)
    o.lr = 1.0
    schedule = optim.SequentialLR(o, [warm_up, optim.StepLR(o, 1, 0.1)], [2])
    rates = []
    for _ in range(5):
        rates.append(o.lr)
        schedule.step()
    assert rates == pytest.approx([0.5, 0.75, 1.0, 0.1, 0.01])


def test_a_plateau_lowers_the_rate():
    o = optimizer()
    schedule = optim.ReduceLROnPlateau(o, factor=0.5, patience=1, cooldown=2, min_lr=0.2)
    rates = []
    for loss in [3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]:
        schedule.step(loss)
        rates.append(o.lr)
    # Two bad epochs lower the rate; then two are not counted, and so on down to the least rate.
    assert rates == [1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.2]
    rising = optim.ReduceLROnPlateau(optimizer(), mode="max", patience=0, threshold=0.5, threshold_mode="abs")
    rising.step(1.0)
    rising.step(1.4)  # better, but not by more than the threshold
    assert rising.get_last_lr() == [0.1]


def test_the_rate_reaches_the_weights_and_may_be_0():
    x = tg.Tensor([1.0], requires_grad=True)
    o = optim.SGD([x], lr=0.5)
    schedule = optim.StepLR(o, 1, 0.0)
    steps = []
    for _ in range(2):
        o.zero_grad()
        x.sum().backward()
        before = x.item()
        o.step()
        steps.append(before - x.item())
        schedule.step()
    assert steps == [0.5, 0.0]


MISTAKES = [
    (lambda o: optim.StepLR(o, 0), "step_size is counted from 1"),
    (lambda o: optim.CosineAnnealingLR(o, 0), "T_max is counted from 1"),
    (lambda o: optim.OneCycleLR(o, 1.0, 5, pct_start=2.0), "pct_start is no share"),
    (lambda o: optim.OneCycleLR(o, 1.0, 5, anneal_strategy="sin"), "no such strategy"),
    (lambda o: optim.OneCycleLR(o, 1.0, 5).rate(5), "step 5 of 5"),
    (lambda o: optim.OneCycleLR(o, 1.0, epochs=3), "the length of the training is missing"),
    (lambda o: optim.SequentialLR(o, [optim.StepLR(o, 1)], [2]), "do not fit together"),
    (lambda o: optim.ReduceLROnPlateau(o, factor=1.0), "factor must be below 1"),
    (lambda o: optim.ReduceLROnPlateau(o, mode="least"), "no such mode"),
    (lambda o: optim.ReduceLROnPlateau(o).step(), "the figure is missing"),
    (lambda o: optim.StepLR(o, 1).load_state_dict({"last_epoch": 3}), "the state is that of another schedule"),
]


@pytest.mark.parametrize(("call", "words"), MISTAKES, ids=[words for _, words in MISTAKES])
def test_errors(call, words):
    with pytest.raises(ArgumentError) as caught:
        call(optimizer())
    assert words in str(caught.value)
