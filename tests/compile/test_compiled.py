"""Compiled functions as their users meet them: arguments, results, effects, and what goes wrong."""

from __future__ import annotations

import _thread
import copy
import importlib
import threading
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.backend.random import default_generator
from tinygrad_cnn.compile import plan
from tinygrad_cnn.errors import ArgumentError, GraphError, PositionError

from .nets import Task


@pytest.fixture(autouse=True, params=["native code", "NumPy"])
def _executor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With both executors that ``"auto"`` chooses from."""
    module = importlib.import_module("tinygrad_cnn.compile.compiled")
    if request.param == "NumPy":
        monkeypatch.setattr(module, "_native_runs", lambda: False)
    elif not module._native_runs():
        pytest.skip("native code cannot run here")


@pytest.fixture
def _plans(device_name: str) -> None:
    if device_name != "cpu":
        pytest.skip("plans run on the CPU")


needs_plans = pytest.mark.usefixtures("_plans")


# Arguments and results


class Pair(NamedTuple):
    first: object
    second: object


def test_nested_arguments_and_results() -> None:
    @tg.compile
    def function(pair, table, *, factor, names=("a",)):
        x, y = pair
        return {"sum": x + y * factor, "rest": [table["z"], None, names], "pair": Pair(x, 1.5)}

    x, y, z = (tg.Tensor([number]) for number in (1.0, 2.0, 3.0))
    found = function((x, y), {"z": z}, factor=3)
    assert found["sum"].tolist() == [7.0]
    assert found["rest"][0].tolist() == [3.0]
    assert found["rest"][1:] == [None, ("a",)]
    assert isinstance(found["pair"], Pair)
    assert found["pair"].second == 1.5
    assert function([x, y], {"z": z}, factor=4)["sum"].tolist() == [9.0]  # a constant belongs to the plan


def test_arrays_are_converted() -> None:
    assert tg.compile(lambda x: x * 2)(np.array([1.0, 2.0])).tolist() == [2.0, 4.0]


def test_it_is_a_decorator_with_and_without_settings() -> None:
    @tg.compile(executor="plain")
    def function(x):
        """Says what it does."""
        return x + 1

    assert function(tg.Tensor([1.0])).tolist() == [2.0]
    assert function.__doc__ == "Says what it does."
    assert function.__name__ == "function"


def test_results_are_the_users_own() -> None:
    function = tg.compile(lambda x: x * 2)
    first = function(tg.Tensor([1.0]))
    function(tg.Tensor([5.0]))
    assert first.tolist() == [2.0]


def test_an_argument_and_a_parameter_may_be_returned_as_they_are() -> None:
    weight = nn.Parameter([1.0, 2.0])
    x = tg.Tensor([3.0, 4.0])
    found = tg.compile(lambda x: (x, weight, x))(x)
    assert [each.tolist() for each in found] == [[3.0, 4.0], [1.0, 2.0], [3.0, 4.0]]


def test_a_function_without_tensors() -> None:
    assert tg.compile(lambda: tg.Tensor([1.0]) + 1)().tolist() == [2.0]


def test_compiled_functions_inside_of_another_are_one_plan() -> None:
    inner = tg.compile(lambda x: x * 2)
    outer = tg.compile(lambda x: inner(x) + 1)
    assert outer(tg.Tensor([3.0])).tolist() == [7.0]
    assert not inner._runners


def test_gradients_inside() -> None:
    slope = tg.compile(lambda x: tg.grad((x**3).sum(), x))
    assert slope(tg.Tensor([2.0], requires_grad=True)).tolist() == [12.0]


def test_random_numbers_come_in_the_order_of_the_program() -> None:
    def function(x):
        first, second = F.dropout(x, 0.5), F.dropout(x, 0.5)
        return second - first * 3

    F = nn.functional
    x = tg.Tensor(np.ones(64))
    tg.seed(1)
    expected = [function(x).tolist() for _ in range(3)]
    tg.seed(1)
    compiled = tg.compile(function)
    assert [compiled(x).tolist() for _ in range(3)] == expected


# Effects


def test_gradients_that_are_left_behind() -> None:
    weight = nn.Parameter([1.0, 2.0])

    @tg.compile
    def loss(x):
        value = (weight * x).sum()
        value.backward()
        return value

    x = tg.Tensor([3.0, 4.0])
    loss(x)
    assert weight.grad is not None
    assert weight.grad.tolist() == [3.0, 4.0]
    loss(x)  # as without compiling, gradients add up until somebody forgets them
    assert weight.grad.tolist() == [6.0, 8.0]
    loss(x)
    assert weight.grad.tolist() == [9.0, 12.0]
    weight.grad = None
    loss(x)
    assert weight.grad.tolist() == [3.0, 4.0]


def test_gradients_that_have_served_are_gone() -> None:
    task = Task("shared weights")
    tg.compile(task.step)(task.inputs, task.labels)
    assert all(parameter.grad is None for parameter in task.model.parameters())


def test_numbers_that_were_handed_out_stay() -> None:
    task = Task("convolutional")
    step = tg.compile(task.step)
    weight = next(task.model.parameters())
    step(task.inputs, task.labels)
    seen, kept = weight.numpy(), weight.detach()
    copy = seen.copy()
    step(task.inputs, task.labels)
    assert (seen == copy).all()
    assert (kept.numpy() == copy).all()
    assert (weight.numpy() != copy).any()


def test_a_leaf_that_is_only_written() -> None:
    leaf = tg.Tensor([0.0, 0.0])

    @tg.compile
    def function(x):
        leaf.assign(x * 2)
        return leaf + 1

    assert function(tg.Tensor([1.0, 2.0])).tolist() == [3.0, 5.0]
    assert leaf.tolist() == [2.0, 4.0]


def test_the_last_of_several_assignments_holds() -> None:
    leaf = tg.Tensor([1.0])

    @tg.compile
    def function():
        leaf.assign(leaf * 2)
        leaf.assign(leaf + 3)
        return leaf * 10

    assert function().tolist() == [50.0]
    assert leaf.tolist() == [5.0]
    assert function().tolist() == [130.0]


def test_two_leaves_change_places() -> None:
    a, b = tg.Tensor([1.0]), tg.Tensor([2.0])

    @tg.compile
    def swap():
        old = a * 1.0
        a.assign(b)
        b.assign(old)

    swap()
    assert (a.tolist(), b.tolist()) == ([2.0], [1.0])
    swap()
    assert (a.tolist(), b.tolist()) == ([1.0], [2.0])


# What goes wrong


def test_random_numbers_drawn_by_hand_are_refused() -> None:
    def function(x):
        return x + tg.Tensor(default_generator.numpy.standard_normal(1))

    with pytest.raises(GraphError, match="draws random numbers"):
        tg.compile(function)(tg.Tensor([1.0], dtype="float64"))


def test_branching_on_numbers_says_where() -> None:
    @tg.compile
    def function(x):
        if x.sum() > 0:  # the line that is named
            return x
        return -x

    with pytest.raises(GraphError, match="the line that is named"):
        function(tg.Tensor([1.0]))


def test_looking_at_a_parameter_is_refused() -> None:
    weight = nn.Parameter([2.0])
    with pytest.raises(GraphError, match="while it is being compiled"):
        tg.compile(lambda x: x * weight.item())(tg.Tensor([1.0]))


def test_a_tensor_recorded_outside_is_refused() -> None:
    weight = nn.Parameter([2.0])
    outside = weight * 2
    with pytest.raises(GraphError, match="recorded outside"):
        tg.compile(lambda x: x * outside)(tg.Tensor([1.0]))
    assert tg.compile(lambda x: x * outside.detach())(tg.Tensor([1.0])).tolist() == [4.0]


def test_a_symbol_from_outside_is_refused() -> None:
    symbol = tg.symbol((1,))
    with pytest.raises(GraphError, match="none of its arguments"):
        tg.compile(lambda x: x * symbol)(tg.Tensor([1.0]))


@pytest.mark.parametrize("wrong", [{1}, bytearray(b"1")])
def test_arguments_that_are_neither(wrong: object) -> None:
    with pytest.raises(ArgumentError, match="neither a tensor nor a constant"):
        tg.compile(lambda x: x)(wrong)


def test_unknown_executors_and_things_that_are_no_functions() -> None:
    with pytest.raises(ArgumentError, match="no such executor"):
        tg.compile(lambda x: x, executor="warp")
    with pytest.raises(ArgumentError, match="only functions"):
        tg.compile(3)


def test_there_is_no_plan_before_the_first_call() -> None:
    with pytest.raises(ArgumentError, match="call it once"):
        _ = tg.compile(lambda x: x).plan


def test_a_setting_that_always_changes_is_named() -> None:
    class Scaled(nn.Module):
        factor = 0.0

        def forward(self, x: tg.Tensor) -> tg.Tensor:
            return x * self.factor

    module = Scaled()
    function = tg.compile(module)
    with pytest.raises(ArgumentError, match=r"Scaled\.factor"):
        call_with_ever_new_factors(module, function)


def call_with_ever_new_factors(module: Any, function: Callable[..., tg.Tensor]) -> None:
    for number in range(100):
        module.factor = 1000.0 + number
        assert function(tg.Tensor([2.0])).item() == 2 * module.factor


def test_an_error_while_describing_changes_nothing() -> None:
    weight = nn.Parameter([1.0])

    @tg.compile
    def function(x):
        (weight * x).sum().backward()
        weight.assign(weight + 1)
        return x + tg.Tensor([1.0, 2.0, 3.0])

    with pytest.raises(ValueError, match="being compiled"):
        function(tg.Tensor([1.0, 2.0]))
    assert weight.tolist() == [1.0]
    assert weight.grad is None
    assert weight.is_leaf


@needs_plans
def test_an_error_in_the_plan_names_the_line_and_changes_nothing() -> None:
    task = Task("convolutional")
    step = tg.compile(task.step)
    step(task.inputs, task.labels)
    before = task.numbers()
    with pytest.raises(PositionError) as caught:
        step(task.inputs, tg.Tensor(np.full(6, 77)))
    assert "nets.py" in "\n".join(caught.value.__notes__)
    for name, array in task.numbers().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    step(task.inputs, task.labels)  # and the plan can be run again


@needs_plans
def test_ctrl_c_changes_all_or_nothing() -> None:
    task = Task("residual")
    step = tg.compile(task.step)
    step(task.inputs, task.labels)
    plan = step.plan
    for phases in (plan._compute, plan._commit):
        before, steps = task.numbers(), int(task.optimizer.state["step"].item())
        calls = phases[0][-1]
        calls.insert(0, _thread.interrupt_main)
        with pytest.raises(KeyboardInterrupt):
            step(task.inputs, task.labels)
        del calls[0]
        after = task.numbers()
        changed = [name for name in before if (before[name] != after[name]).any()]
        if int(task.optimizer.state["step"].item()) == steps:
            assert changed == []
        else:
            assert {"first.weight", "norm.running_mean", "optimizer.exp_avg.0"} <= set(changed)


def test_two_threads_with_one_plan() -> None:
    function = tg.compile(lambda x: (x * 2).sum())
    found: dict[int, set[float]] = {}

    def work(number: int) -> None:
        x = tg.Tensor(np.full(1000, float(number)))
        found[number] = {function(x).item() for _ in range(50)}

    run_together([lambda number=number: work(number) for number in range(4)])
    assert found == {number: {2000.0 * number} for number in range(4)}


def test_two_plans_of_several_parts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "PARALLEL_MACS", 1)
    monkeypatch.setattr(plan.os, "cpu_count", lambda: 2)
    alone = Task("convolutional")
    expected = [alone.step(alone.inputs, alone.labels).item() for _ in range(20)]
    tasks = [Task("convolutional"), Task("convolutional")]
    found: list[list[float]] = [[], []]

    def work(number: int) -> None:
        step = tg.compile(tasks[number].step)
        found[number] = [step(tasks[number].inputs, tasks[number].labels).item() for _ in range(20)]

    run_together([lambda: work(0), lambda: work(1)])
    for each in found:
        np.testing.assert_allclose(each, expected, rtol=1e-9)


def run_together(works: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


@needs_plans
def test_numpy_warnings_are_the_callers_choice_in_every_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(plan, "PARALLEL_MACS", 1)
    weight = tg.Tensor(np.full((2, 2), 1e30, dtype="float32"))
    function = tg.compile(lambda x: x @ weight, executor="numpy")
    x = tg.Tensor(np.full((4, 2), 1e30, dtype="float32"))
    with np.errstate(over="ignore"):
        assert np.isinf(function(x).numpy()).all()
    assert len(function.plan.parts) == 2
    with np.errstate(over="raise"), pytest.raises(FloatingPointError, match="overflow"):
        function(x)


def test_nan_is_found_inside() -> None:
    function = tg.compile(tg.log)
    with np.errstate(invalid="ignore"):
        assert np.isnan(function(tg.Tensor([-1.0])).numpy()).all()
    with tg.detect_nan(), pytest.raises(tg.NanError, match="log"):
        function(tg.Tensor([-1.0]))


@needs_plans
def test_the_report() -> None:
    task = Task("residual")
    step = tg.compile(task.step)
    step(task.inputs, task.labels)
    before = task.numbers()
    report = step.report(repeats=2)
    assert report.nbytes == step.plan.nbytes > 0
    line = next(line for line in report.lines if line.operations.startswith("conv + add"))
    assert line.scope.startswith("residual/second")
    assert line.milliseconds is not None
    assert line.gflops is not None
    assert "conv_weight" in str(report)
    for name, array in task.numbers().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_the_number_of_blas_threads_is_put_back() -> None:
    """Whoever leaves first, among threads that are inside at the same time."""
    from tinygrad_cnn.compile.blas import _OneThread

    class Library:
        threads = 7

        def get_num_threads(self) -> int:
            return self.threads

        def set_num_threads(self, count: int) -> None:
            self.threads = count

    limit, library = _OneThread(), Library()
    limit.__dict__["_libraries"] = [library]
    first, second = limit(True), limit(True)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert library.threads == 1
    second.__exit__(None, None, None)
    assert library.threads == 7


@needs_plans
def test_two_plans_change_the_same_parameters_in_turn() -> None:
    """As with a last batch that is smaller: each plan goes on from the numbers of the other."""
    eager, compiled = Task("convolutional"), Task("convolutional")
    step = tg.compile(compiled.step)
    for _ in range(3):
        for count in (6, 4, 4):
            expected = eager.step(eager.inputs[:count], eager.labels[:count]).item()
            found = step(compiled.inputs[:count], compiled.labels[:count]).item()
            assert found == pytest.approx(expected, rel=1e-9)
    for mine, theirs in zip(compiled.numbers().values(), eager.numbers().values(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-9)


@needs_plans
@pytest.mark.parametrize("first", [True, False])
def test_a_step_that_fails_with_new_numbers_leaves_them(first: bool) -> None:
    """They lie in the plan from then on, and are those that the user gave."""
    task = Task("convolutional")
    step = tg.compile(task.step)
    if not first:
        step(task.inputs, task.labels)
        for leaf in task.model.parameters():
            leaf.assign(leaf.numpy() + 1)
    before = task.numbers()
    with pytest.raises(PositionError):
        step(task.inputs, tg.Tensor(np.full(6, 77)))
    for name, array in task.numbers().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


@needs_plans
def test_numbers_that_lie_in_a_plan_are_kept_nowhere_else() -> None:
    """Neither those of a parameter that changes there, nor old ones of a parameter that is only read."""
    read, changed = nn.Parameter(np.ones(1000, "float32")), nn.Parameter(np.ones(1000, "float32"))
    optimizer = tg.optim.SGD([changed], lr=0.1)

    @tg.compile
    def step(x: tg.Tensor) -> tg.Tensor:
        optimizer.zero_grad()
        loss = (x * read * changed).sum()
        loss.backward()
        optimizer.step()
        return loss.detach()

    given = weakref.ref(changed.array)
    step(tg.Tensor(np.ones((2, 1000), "float32")))
    assert given() is None
    old = weakref.ref(read.array)
    read.assign(np.full(1000, 2, "float32"))
    assert old() is None
    assert changed.numpy()[0] == np.float32(0.8)


def _trained_step() -> tuple[nn.Linear, Callable[[], tg.Tensor]]:
    """A model whose numbers lie in a plan, and what changes them."""
    model = nn.Linear(3, 2)
    optimizer = tg.optim.SGD(model.parameters(), lr=0.1)
    x = tg.Tensor(np.ones((4, 3), "float32"))

    @tg.compile
    def step(x):
        optimizer.zero_grad()
        loss = (model(x) ** 2).sum()
        loss.backward()
        optimizer.step()
        return loss.detach()

    step(x)
    return model, lambda: step(x)


@needs_plans
def test_a_copy_of_a_trained_model_keeps_its_numbers() -> None:
    model, step = _trained_step()
    twin, again = copy.deepcopy(model), copy.deepcopy(model)
    before = again.weight.numpy()
    step()
    assert np.abs(model.weight.numpy() - before).max() > 0
    np.testing.assert_array_equal(twin.weight.numpy(), before)


@needs_plans
def test_new_numbers_for_a_trained_model_take_no_memory() -> None:
    model, step = _trained_step()
    loaded = {name: value + 1 for name, value in copy.deepcopy(model).state_dict().items()}
    eager = nn.Linear(3, 2)
    step()
    for each in (model, eager):
        each.load_state_dict(loaded)
    assert model.weight._array is None
    found, expected = step(), (eager(tg.Tensor(np.ones((4, 3), "float32"))) ** 2).sum()
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-6)
    model.load_state_dict(loaded)
    np.testing.assert_array_equal(model.weight.numpy(), loaded["weight"].numpy())
    seen = model.weight.numpy()
    model.weight.assign(0)
    assert np.abs(seen).max() > 0
    np.testing.assert_array_equal(model.weight.numpy(), 0)
