"""Each pass alone: what it changes, what it must not change, and that the numbers stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.compile.fold import fold_scales
from tinygrad_cnn.compile.fuse import Fused, fuse
from tinygrad_cnn.compile.graph import Graph, run
from tinygrad_cnn.compile.layout import Arranged, arrange
from tinygrad_cnn.compile.memory import Life, place
from tinygrad_cnn.compile.passes import on_results, optimise
from tinygrad_cnn.compile.schedule import schedule
from tinygrad_cnn.compile.simplify import apply_algebra, fold_constants, merge_equal
from tinygrad_cnn.compile.split import AllReduce, NotSplitError, split
from tinygrad_cnn.compile.trace import trace
from tinygrad_cnn.ops.base import Constant, Full

from .nets import NETS, Task

F = nn.functional


pytestmark = pytest.mark.cpu("passes look at graphs, which are the same on every device")


def traced(function: Callable[..., Any], *arrays: np.ndarray) -> Graph:
    def call(symbols: Any) -> Any:
        returned = function(*symbols)
        return None, list(returned) if isinstance(returned, tuple) else [returned]

    tensors = [tg.Tensor(each) for each in arrays]
    return trace(call, [each.spec for each in tensors], [f"x{index}" for index in range(len(arrays))])[0]


def names(graph: Graph) -> list[str]:
    return [node.op.op.name if isinstance(node.op, Arranged) else node.op.name for node in graph.nodes]


def same(before: Graph, after: Graph, *arrays: np.ndarray) -> None:
    for one, other in zip(run(before, arrays), run(after, arrays), strict=True):
        np.testing.assert_array_equal(one, other)


X = np.array([[1.0, -2.0, np.nan], [np.inf, -0.0, 0.5]])


# Simplification


def test_equal_calls_become_one() -> None:
    graph = traced(lambda x: tg.exp(x) * tg.exp(x), X)
    merged = on_results(merge_equal)(graph)
    assert names(graph).count("exp") == 2
    assert names(merged).count("exp") == 1
    same(graph, merged, X)


def test_zeros_of_either_sign_stay_two() -> None:
    graph = on_results(merge_equal)(traced(lambda x: (x / 0.0) + (x / -0.0), np.array([1.0])))
    with np.errstate(all="ignore"):
        assert np.isnan(run(graph, [np.array([1.0])])[0]).all()


def test_random_numbers_stay_apart() -> None:
    graph = on_results(merge_equal)(traced(lambda x: F.dropout(x) + F.dropout(x), np.ones(3)))
    assert len([state for state in graph.states if state.node.name == "noise"]) == 2
    assert names(graph).count("dropout") == 2


def test_constants_are_computed_beforehand() -> None:
    graph = traced(lambda x: x * (tg.Tensor([1.0, 2.0, 3.0], dtype="float64").detach() * 2 + 1), X)
    folded = on_results(fold_constants)(graph)
    assert names(folded).count("mul") == 1
    same(graph, folded, X)


def test_large_constants_are_left() -> None:
    many = tg.Tensor(np.ones(5000)).detach() + 0.0
    graph = on_results(fold_constants)(traced(lambda x: x + many * 2, np.ones(5000)))
    assert names(graph).count("mul") == 1


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * 1.0, lambda x: 1.0 * x, lambda x: x / 1.0, lambda x: x - 0.0, lambda x: x + -0.0,
        lambda x: tg.neg(-x), lambda x: x.reshape(3, 2).reshape(2, 3), lambda x: x.T.T,
        lambda x: x.broadcast_to(2, 3), lambda x: x.detach(),
    ],
)  # fmt: skip
def test_what_changes_nothing_is_gone(function: Callable[[tg.Tensor], tg.Tensor]) -> None:
    graph = traced(function, X)
    simple = on_results(apply_algebra)(on_results(merge_equal)(graph))
    assert names(simple) == ["symbol"]
    same(graph, simple, X)


@pytest.mark.parametrize("function", [lambda x: x + 0.0, lambda x: x * 0.0, lambda x: x - x, lambda x: x / x])
def test_what_nan_infinity_and_signed_zero_forbid_is_left(function: Callable[[tg.Tensor], tg.Tensor]) -> None:
    graph = traced(function, X)
    simple = optimise(graph)
    with np.errstate(all="ignore"):
        before, after = run(graph, [X])[0], run(simple, [X])[0]
    np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(np.signbit(before), np.signbit(after))


def test_a_second_relu_is_gone() -> None:
    graph = traced(lambda x: tg.relu(tg.relu(x)), X)
    simple = on_results(apply_algebra)(graph)
    assert names(simple) == ["symbol", "relu"]
    same(graph, simple, X)


def test_the_transpose_of_a_product_is_a_product() -> None:
    a, b = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
    graph = traced(lambda a, b: (a @ b).T, a, b)
    simple = on_results(apply_algebra)(graph)
    assert names(simple)[-1] == "matmul"
    same(graph, simple, a, b)


# Folding


def test_batch_norm_goes_into_the_kernel() -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((2, 3, 6, 6))
    block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).to("float64")
    for tensor in block.state_dict().values():
        if tensor.dtype == "float64":
            tensor.assign(random.uniform(0.5, 2, tensor.shape))
    block.eval()
    graph = traced(block, x)
    folded = optimise(graph)
    large = [node.op for node in folded.nodes if node.inputs and node.spec.shape == (2, 4, 4, 4)]
    assert [getattr(op, "op", op).name for op in large] == ["conv", "broadcast_to", "add", "relu", "permute"]
    np.testing.assert_allclose(run(folded, [x])[0], run(graph, [x])[0])


@pytest.mark.parametrize(
    ("function", "folds"),
    [
        (lambda y, v: y * v, True), (lambda y, v: v * y, True), (lambda y, v: (y - v) / v + v, True),
        (lambda y, v: (y * v, y), False),  # another reader
        (lambda y, v: v - y, False), (lambda y, v: v / y, False),
        (lambda y, v: tg.relu(y) * v, False), (lambda y, v: y * 2.0, False), (lambda y, v: y * y, False),
    ],
)  # fmt: skip
def test_what_goes_into_a_kernel(function: Callable[[tg.Tensor, tg.Tensor], Any], folds: bool) -> None:
    x, v = np.random.default_rng(0).standard_normal((2, 3, 6, 6)), np.array([1.0, -2.0, 3.0, 4.0]).reshape(1, 4, 1, 1)
    weight = tg.Tensor(np.random.default_rng(1).standard_normal((4, 3, 3, 3)))

    def both(x: tg.Tensor, v: tg.Tensor) -> Any:
        return function(F.conv2d(x, weight), v)

    before = on_results(merge_equal)(traced(both, x, v))
    after = on_results(fold_scales)(before)
    assert any(node.spec.shape == weight.shape and node.inputs for node in after.nodes) == folds
    for one, other in zip(run(before, [x, v]), run(after, [x, v]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


# Layout


def test_images_are_stored_channels_last() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 6))
    layer = nn.Conv2d(3, 4, 3, padding=1).to("float64")
    plain = traced(lambda x: F.max_pool2d(tg.relu(layer(x)), 2).sum((2, 3), keepdim=True), x)
    graph = arrange(plain)
    assert graph.argument_dims == ((0, 2, 3, 1),)
    assert "permute" not in names(optimise(plain))
    (weight,) = [state for state in graph.states if state.dims is not None]
    assert weight.node.spec.shape == (3, 3, 3, 4)
    np.testing.assert_allclose(run(graph, [x])[0], run(plain, [x])[0])


def test_a_whole_step_moves_no_parameter() -> None:
    task = Task("residual")
    graph = optimise(traced(task.step, task.inputs.numpy(), task.labels.numpy()))
    assert all(each.dims for each in graph.effects if each.kind == "assign" and len(each.leaf.shape) == 4)
    assert sum(node.op.name == "permute" and len(node.spec.shape) == 4 for node in graph.nodes) == 0


def test_a_dense_layer_keeps_its_weight_turned() -> None:
    layer = nn.Linear(3, 4)
    graph = optimise(traced(layer, np.ones((2, 3), "float32")))
    assert {state.node.spec.shape: state.dims for state in graph.states} == {(3, 4): (1, 0), (4,): None}
    assert "permute" not in names(graph)


# Fusion


def test_bias_and_activation_join_the_convolution() -> None:
    layer = nn.Conv2d(3, 4, 3)
    graph = fuse(optimise(traced(lambda x: tg.relu(layer(x)), np.ones((2, 3, 6, 6), np.float32))))
    (fused,) = [node.op for node in graph.nodes if isinstance(node.op, Fused)]
    assert [node.op.name for node in fused.steps] == ["arranged", "add", "relu"]
    assert fused.head is not None


def test_a_result_that_is_read_twice_is_computed_once() -> None:
    graph = fuse(on_results(merge_equal)(traced(lambda x: (tg.exp(x), tg.exp(x) * 2), X)))
    assert [str(node.op) for node in graph.nodes if isinstance(node.op, Fused)] == ["exp", "mul"]


def test_a_sum_ends_a_group() -> None:
    graph = fuse(optimise(traced(lambda x: ((x * 2).exp()).sum(0), X)))
    assert [str(node.op) for node in graph.nodes if isinstance(node.op, Fused)] == [
        "mul + exp + sum(dims=(0,), keepdim=True)"
    ]


# The batch in parts


@pytest.mark.parametrize("net", NETS)
def test_the_parts_of_a_batch_add_up(net: str) -> None:
    task = Task(net)
    graph = optimise(traced(task.step, task.inputs.numpy(), task.labels.numpy()))
    parts = split(graph, 2)
    assert [(part.start, part.stop) for part in parts] == [(0, 3), (3, 6)]
    assert all(any(isinstance(node.op, AllReduce) for node in part.graph.nodes) for part in parts)


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda x: x[::-1], "picked out"),
        (lambda x: x.reshape(-1), "joins the batch"),
        (lambda x: x.amax(0), "over the batch"),
        (lambda x: x @ x.T, "examples meet"),
        (lambda x: tg.softmax(x, 0), "along the batch|over the batch"),
        (lambda x: tg.cat([x, x]), "along the batch"),
    ],
)
def test_what_mixes_examples_is_not_split(function: Callable[[tg.Tensor], tg.Tensor], why: str) -> None:
    graph = optimise(traced(function, np.ones((8, 3))))
    with pytest.raises(NotSplitError, match=why):
        split(graph, 2)


def test_states_change_in_the_last_phase_only() -> None:
    task = Task("residual")
    graph = fuse(split(optimise(traced(task.step, task.inputs.numpy(), task.labels.numpy())), 2)[0].graph)
    *early, last = schedule(graph, 0, 2).phases
    assigned = {graph.results[effect.position] for effect in graph.effects if effect.kind == "assign"}
    assert not assigned & {node for phase in early for node in phase}
    assert assigned & set(last)


def test_every_state_but_single_numbers_has_one_owner() -> None:
    task = Task("residual")
    parts = split(optimise(traced(task.step, task.inputs.numpy(), task.labels.numpy())), 2)
    owned: list[set[int]] = []
    for index, part in enumerate(parts):
        graph = fuse(part.graph)
        last = set(schedule(graph, index, 2).phases[-1])
        owned.append({p for p, node in enumerate(graph.results) if node in last and node.spec.size > 1})
    assert not owned[0] & owned[1]
    assert owned[0]
    assert owned[1]


# Memory


@given(st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 20), st.integers(0, 20)), max_size=30))
@settings(max_examples=200, deadline=None)
def test_arrays_that_live_together_lie_apart(drawn: list[tuple[int, int, int]]) -> None:
    lives = [Life(size, min(a, b), max(a, b)) for size, a, b in drawn]
    starts, total = place(lives)
    for i, (start, life) in enumerate(zip(starts, lives, strict=True)):
        assert start % 64 == 0
        assert start + life.size <= total
        for other_start, other in zip(starts[:i], lives[:i], strict=True):
            if life.first <= other.last and other.first <= life.last:
                assert start + life.size <= other_start or other_start + other.size <= start


def test_a_chain_needs_two_places() -> None:
    assert place([Life(64, step, step + 1) for step in range(50)])[1] == 128


# Everything together, on graphs that nobody thought of

UNARY = [tg.exp, tg.tanh, tg.relu, tg.sigmoid, tg.abs, tg.square, lambda x: -x, lambda x: x * 0.5, lambda x: x + 1]
BINARY = [tg.add, tg.sub, tg.mul, tg.maximum, lambda a, b: tg.where(a > b, a, b * 2)]
SHAPED = [
    lambda x: x.sum(0, keepdim=True).broadcast_to(4, 6), lambda x: x.mean(1, keepdim=True).broadcast_to(4, 6),
    lambda x: x.T.reshape(4, 6), lambda x: x.reshape(6, 4).T, lambda x: tg.log_softmax(x, 1), lambda x: x.flip(0),
    lambda x: x[:, ::2].broadcast_to(2, 4, 3).sum(0) @ x[:3], lambda x: x @ x.T @ x,
    lambda x: tg.pad(x[:3], (0, 0, 1, 0)),
    lambda x: F.max_pool2d(x.reshape(1, 2, 3, 4), 2, 1, 1).reshape(-1)[:24].reshape(4, 6),
    lambda x: F.conv2d(x.reshape(1, 1, 4, 6), x[:3, :3].reshape(1, 1, 3, 3), padding=1).reshape(4, 6),
]  # fmt: skip


@st.composite
def programs(draw: st.DrawFn) -> list[tuple[int, int, int, int]]:
    return draw(
        st.lists(
            st.tuples(st.integers(0, 2), st.integers(0, 99), st.integers(0, 99), st.integers(0, 99)),
            min_size=1,
            max_size=12,
        )
    )


def interpret(program: list[tuple[int, int, int, int]], x: tg.Tensor) -> tg.Tensor:
    values = [x]
    for kind, which, first, second in program:
        a, b = values[first % len(values)], values[second % len(values)]
        if kind == 0:
            value = UNARY[which % len(UNARY)](a)
        elif kind == 1:
            value = BINARY[which % len(BINARY)](a, b)
        else:
            value = SHAPED[which % len(SHAPED)](a)
        values.append(tg.tanh(value))  # keeps the numbers small
    return sum(values[1:], values[0])


@given(programs())
@settings(max_examples=40, deadline=None)
def test_random_graphs_and_their_gradients(program: list[tuple[int, int, int, int]]) -> None:
    x = tg.Tensor(np.random.default_rng(0).standard_normal((4, 6)), requires_grad=True)

    def both(x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        y = interpret(program, x)
        return y, tg.grad(tg.square(y).sum(), x)

    expected, compiled = both(x), tg.compile(both, executor="numpy")
    for _ in range(2):
        for one, other in zip(compiled(x), expected, strict=True):
            np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-9, atol=1e-9)


def test_constants_and_numbers_are_told_apart() -> None:
    graph = traced(lambda x: x * 2 + tg.Tensor([1.0, 2.0, 3.0], dtype="float64").detach(), X)
    kinds = {type(node.op) for node in graph.nodes if not node.inputs}
    assert {Full, Constant} <= kinds
