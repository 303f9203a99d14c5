"""Optimisers against plain NumPy, step by step, and what they remember."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn, optim
from tinygrad_cnn.errors import ArgumentError, DTypeError, GraphError, ShapeError

TARGET = np.array([[1.0, -2.0], [0.5, 3.0]])
START = np.array([[0.3, 0.1], [-1.0, 2.0]])


def slope(p: np.ndarray) -> np.ndarray:
    """Of ``sum((p - TARGET)^4 / 4)``: another one at every step."""
    return (p - TARGET) ** 3


def loss(p: tg.Tensor) -> tg.Tensor:
    return (tg.square(tg.square(p - tg.Tensor(TARGET, dtype=p.dtype))) * 0.25).sum()


def by_hand_sgd(
    lr: float, momentum: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False, steps: int = 6
) -> list[np.ndarray]:
    p, v, path = START.copy(), np.zeros_like(START), []
    for _ in range(steps):
        g = slope(p) + weight_decay * p
        v = momentum * v + g
        p = p - lr * (g + momentum * v if nesterov else v)
        path.append(p)
    return path


def by_hand_adam(
    lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0,
    apart: bool = False, steps: int = 6,
) -> list[np.ndarray]:  # fmt: skip
    p, m, v, path = START.copy(), np.zeros_like(START), np.zeros_like(START), []
    for t in range(1, steps + 1):
        g = slope(p)
        if apart:
            p = p - lr * weight_decay * p
        else:
            g = g + weight_decay * p
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        p = p - lr * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
        path.append(p)
    return path


Build = Callable[[list[tg.Tensor]], optim.Optimizer]
Row = tuple[Build, Callable[[], list[np.ndarray]]]


def row(kind: type[optim.Optimizer], by_hand: Callable[..., list[np.ndarray]], **settings: Any) -> Row:
    more = {"apart": True} if kind is optim.AdamW else {}
    return lambda params: kind(params, **settings), lambda: by_hand(**{**settings, **more})


RULES: dict[str, Row] = {
    "SGD": row(optim.SGD, by_hand_sgd, lr=0.1),
    "SGD with decay": row(optim.SGD, by_hand_sgd, lr=0.1, weight_decay=0.2),
    "SGD with momentum": row(optim.SGD, by_hand_sgd, lr=0.05, momentum=0.9),
    "SGD with momentum and decay": row(optim.SGD, by_hand_sgd, lr=0.05, momentum=0.9, weight_decay=0.1),
    "Nesterov": row(optim.SGD, by_hand_sgd, lr=0.05, momentum=0.9, nesterov=True),
    "Nesterov with decay": row(optim.SGD, by_hand_sgd, lr=0.05, momentum=0.5, weight_decay=0.1, nesterov=True),
    "Adam": row(optim.Adam, by_hand_adam),
    "Adam with settings": row(optim.Adam, by_hand_adam, lr=0.1, betas=(0.6, 0.8), eps=1e-2),
    "Adam with decay": row(optim.Adam, by_hand_adam, lr=0.1, weight_decay=0.3),
    "AdamW": row(optim.AdamW, by_hand_adam, lr=0.1, weight_decay=0.3),
    "AdamW with settings": row(optim.AdamW, by_hand_adam, lr=0.2, betas=(0.5, 0.7), eps=1e-3, weight_decay=0.1),
}

each_rule = pytest.mark.parametrize(("build", "by_hand"), RULES.values(), ids=RULES)


def parameter(dtype: str = "float64") -> tg.Tensor:
    return tg.Tensor(START, dtype=dtype, requires_grad=True)


def step(optimizer: optim.Optimizer, p: tg.Tensor) -> None:
    optimizer.zero_grad()
    loss(p).backward()
    optimizer.step()


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-5)])
@each_rule
def test_the_path_is_the_one_of_the_formula(build, by_hand, dtype, tolerance):
    p = parameter(dtype)
    optimizer = build([p])
    for expected in by_hand():
        step(optimizer, p)
        np.testing.assert_allclose(p.numpy(), expected, rtol=tolerance, atol=tolerance)
    assert p.array.dtype == dtype
    assert {str(each.dtype) for name, each in optimizer.state.items() if name != "step"} <= {dtype}
    assert p.requires_grad
    assert p.is_leaf


def test_defaults_are_pytorchs():
    p = [parameter()]
    assert (optim.SGD(p).lr, optim.SGD(p).momentum, optim.SGD(p).weight_decay) == (1e-3, 0.0, 0.0)
    for kind, decay in ((optim.Adam, 0.0), (optim.AdamW, 1e-2)):
        made = kind(p)
        assert (made.lr, made.betas, made.eps, made.weight_decay) == (1e-3, (0.9, 0.999), 1e-8, decay)


@each_rule
def test_a_restored_state_goes_on_identically(build, by_hand):
    p = parameter()
    optimizer = build([p])
    for _ in range(3):
        step(optimizer, p)
    twin = tg.Tensor(p.numpy(), requires_grad=True)
    restored = build([twin])
    restored.load_state_dict({name: each.numpy() for name, each in optimizer.state_dict().items()})
    for _ in range(3):
        step(optimizer, p)
        step(restored, twin)
        np.testing.assert_array_equal(p.numpy(), twin.numpy())


def test_the_state_is_a_picture_of_the_moment():
    p = parameter()
    optimizer = optim.Adam([p])
    step(optimizer, p)
    state = optimizer.state_dict()
    assert list(state) == ["exp_avg.0", "exp_avg_sq.0", "step"]
    kept = {name: each.numpy().copy() for name, each in state.items()}
    step(optimizer, p)
    for name, each in state.items():
        np.testing.assert_array_equal(each.numpy(), kept[name])
    assert optimizer.state["step"].item() == 2.0


@each_rule
def test_parameters_without_a_gradient_stay(build, by_hand):
    p, idle = parameter(), parameter()
    optimizer = build([idle, p])
    path = by_hand()
    for _ in path:
        step(optimizer, p)
    np.testing.assert_array_equal(idle.numpy(), START)
    np.testing.assert_allclose(p.numpy(), path[-1], rtol=1e-12)


def test_the_learning_rate_may_change():
    p = parameter()
    optimizer = optim.SGD([p], lr=0.1)
    step(optimizer, p)
    first = p.numpy()
    optimizer.lr = 0.01
    step(optimizer, p)
    np.testing.assert_allclose(p.numpy(), first - 0.01 * slope(first), rtol=1e-13)

    p = parameter()
    adam = optim.Adam([p], lr=0.1)
    adam.lr = 0.5
    step(adam, p)
    np.testing.assert_allclose(np.abs(p.numpy() - START), 0.5, rtol=1e-6)  # the first step has the size of the rate


def test_zero_grad_begins_from_nothing():
    p = parameter()
    optimizer = optim.SGD([p], lr=0.1)
    loss(p).backward()
    loss(p).backward()
    np.testing.assert_allclose(p.grad.numpy(), 2 * slope(START))
    optimizer.zero_grad()
    assert p.grad is None


def test_a_step_is_not_recorded_and_old_graphs_keep_their_numbers():
    p = parameter()
    value = loss(p)
    step(optim.SGD([p], lr=0.1), p)
    assert p.node.inputs == ()
    p.grad = None
    value.backward()  # of the numbers before the step
    np.testing.assert_allclose(p.grad.numpy(), slope(START))


def test_making_an_optimiser_draws_no_numbers():
    net = nn.Linear(4, 4)
    optim.Adam(net.parameters())
    assert all(each._array is None and each.node.value is None for each in net.parameters())


def test_a_model_learns():
    random = np.random.default_rng(0)
    x = random.standard_normal((64, 3))
    y = x @ np.array([[1.0], [-2.0], [0.5]]) + 0.3
    for build in (
        lambda p: optim.SGD(p, 0.1, momentum=0.5),
        lambda p: optim.Adam(p, 0.1),
        lambda p: optim.AdamW(p, 0.1, weight_decay=0.0),
    ):
        net = nn.Linear(3, 1).to("float64")
        optimizer = build(net.parameters())
        for _ in range(150):
            optimizer.zero_grad()
            nn.functional.mse_loss(net(tg.Tensor(x)), tg.Tensor(y)).backward()
            optimizer.step()
        np.testing.assert_allclose(net.weight.numpy(), [[1.0, -2.0, 0.5]], atol=1e-2)
        np.testing.assert_allclose(net.bias.numpy(), [0.3], atol=1e-2)


def test_a_state_on_another_device_or_of_another_type_is_moved(device_name):
    p = parameter("float32")
    optimizer = optim.SGD([p], lr=0.1, momentum=0.9)
    with tg.device("strict" if device_name == "cpu" else "cpu"):
        state = {"momentum_buffer.0": tg.Tensor(np.ones((2, 2)))}
    optimizer.load_state_dict(state)
    memory = optimizer.state["momentum_buffer.0"]
    assert (memory.device, str(memory.dtype)) == (device_name, "float32")
    step(optimizer, p)
    np.testing.assert_allclose(p.numpy(), START - 0.1 * (0.9 + slope(START)), rtol=1e-6)


BAD_STATES = {
    "names": ({"exp_avg.0": START}, ArgumentError, r"another optimiser.*\n  got       1 entries \['exp_avg.0'\]"),
    "shape": (
        {"momentum_buffer.0": START + 9, "momentum_buffer.1": np.zeros(3)},
        ShapeError,
        r"momentum_buffer\.1 has another shape\n  got       \(3,\) float64\n  expected  \(2, 2\) float64",
    ),
}


@pytest.mark.parametrize(("state", "kind", "text"), BAD_STATES.values(), ids=BAD_STATES)
def test_a_state_that_does_not_fit_changes_nothing(state, kind, text):
    optimizer = optim.SGD([parameter(), parameter()], lr=0.1, momentum=0.9)
    with pytest.raises(kind, match=text):
        optimizer.load_state_dict(state)
    assert not any(each.numpy().any() for each in optimizer.state.values())


P = tg.Tensor([1.0], device="cpu", requires_grad=True)
ERRORS = {
    "no parameters": (lambda: optim.SGD([]), ArgumentError, "SGD: there are no parameters"),
    "no tensor": (lambda: optim.SGD([1.0]), ArgumentError, "only leaf tensors can be optimised\n  got       1.0"),
    "no leaf": (lambda: optim.Adam([P * 2.0]), ArgumentError, "Adam: only leaf tensors"),
    "rate": (lambda: optim.SGD([P], lr=-0.1), ArgumentError, "SGD: lr is out of range\n  got       lr=-0.1"),
    "momentum": (lambda: optim.SGD([P], momentum=-1.0), ArgumentError, "momentum is out of range"),
    "decay": (lambda: optim.AdamW([P], weight_decay=-1.0), ArgumentError, "AdamW: weight_decay is out of range"),
    "nesterov": (lambda: optim.SGD([P], nesterov=True), ArgumentError, "nesterov needs momentum"),
    "betas": (
        lambda: optim.Adam([P], betas=(0.9, 1.0)),
        ArgumentError,
        r"betas\[1\] is out of range\n  got       betas\[1\]=1.0",
    ),
    "eps": (lambda: optim.Adam([P], eps=-1e-8), ArgumentError, "eps is out of range"),
    "no gradient": (lambda: optim.SGD([P]).step(), GraphError, "no parameter has a gradient\n.*call loss.backward"),
    "type": (
        lambda: P.assign(tg.Tensor([1.0], "float64", "cpu")),
        DTypeError,
        "assign: the inputs have different element types",
    ),
}


@pytest.mark.parametrize(("call", "kind", "text"), ERRORS.values(), ids=ERRORS)
def test_errors_say_what_is_wrong(call, kind, text):
    with pytest.raises(kind, match=text):
        call()
