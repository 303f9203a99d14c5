"""Native code: whole steps give what they give eagerly, in memory that is watched."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.compile.native import NativePlan, machine
from tinygrad_cnn.errors import ArgumentError, PositionError
from tinygrad_cnn.extras import MissingPackageError

from .nets import NETS, OPTIMIZERS, Task

executor = importlib.import_module("tinygrad_cnn.compile.native.executor")

pytestmark = pytest.mark.skipif(bool(machine.why_not()), reason=machine.why_not() or "native code can run")
F = nn.functional
TOLERANCE = {"float64": {"rtol": 1e-9, "atol": 1e-9}, "float32": {"rtol": 1e-3, "atol": 2e-4}}


@pytest.fixture(autouse=True)
def on_the_cpu(device_name: str) -> None:
    if device_name != "cpu":
        pytest.skip("native code runs on the CPU")


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans check themselves: guard zones stay as they are, and nothing is read before it is written."""
    monkeypatch.setattr(executor, "checked", True)


def native(function: object) -> tg.compile.Compiled:  # type: ignore[name-defined]
    return tg.compile(function, executor="native")  # type: ignore[call-overload]


def compare(one: Task, other: Task, dtype: str) -> None:
    for (name, mine), theirs in zip(one.numbers().items(), other.numbers().values(), strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_allclose(mine, theirs, **TOLERANCE[dtype], err_msg=name)


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("batch", [6, 40], ids="batch {}".format)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("net", NETS)
def test_steps(net: str, dtype: str, batch: int) -> None:
    """Batches that fill one block in part, and two blocks and a part of a third."""
    eager = Task(net, dtype=dtype, batch=batch)
    expected = [eager.step(eager.inputs, eager.labels).item() for _ in range(10)]
    compiled = Task(net, dtype=dtype, batch=batch)
    step = native(compiled.step)
    found = [step(compiled.inputs, compiled.labels).item() for _ in range(10)]
    assert isinstance(step.plan, NativePlan)
    np.testing.assert_allclose(found, expected, **TOLERANCE[dtype])
    compare(compiled, eager, dtype)


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("batch", "turned"), [(17, False), (64, False), (70, True)])
def test_large_dense_layers(batch: int, turned: bool, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thread computes some channels of all examples. Few examples: a channel's weights lie side by side."""
    monkeypatch.setattr(executor, "lanes_of", lambda *_: 16)
    eager, compiled = Task("wide", dtype=dtype, batch=batch), Task("wide", dtype=dtype, batch=batch)
    step = native(compiled.step)
    for _ in range(5):
        expected, found = eager.step(eager.inputs, eager.labels), step(compiled.inputs, compiled.labels)
        np.testing.assert_allclose(found.item(), expected.item(), **TOLERANCE[dtype])
    compare(compiled, eager, dtype)
    dense = [each for each in step.plan.steps if getattr(each, "together", 0)]
    assert len(dense) == 5  # three layers, and the gradients of two of their inputs
    weight = next(state for state in step.plan.graph.states if state.leaf is compiled.model[0].weight)
    assert weight.node.spec.shape == ((128, 144) if turned else (144, 128))
    runs = native(lambda x: compiled.model(x) * 1)
    np.testing.assert_allclose(runs(eager.inputs).numpy(), eager.model(eager.inputs).numpy(), **TOLERANCE[dtype])


def test_a_constant_as_long_as_a_vector_is_not_a_batch() -> None:
    weight = tg.Tensor(np.zeros((16, 16), "float32"), requires_grad=True)

    def step(x: tg.Tensor) -> tg.Tensor:
        weight.sum().backward()
        return x * 2

    assert native(step)(tg.Tensor(np.ones((33, 4), "float32"))).shape == (33, 4)
    assert weight.grad is not None
    assert weight.grad.shape == (16, 16)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimiser(optimizer: str) -> None:
    eager, compiled = Task("convolutional", optimizer), Task("convolutional", optimizer)
    step = native(compiled.step)
    for _ in range(5):
        eager.step(eager.inputs, eager.labels)
        step(compiled.inputs, compiled.labels)
    compare(compiled, eager, "float64")


@pytest.mark.parametrize("eps", [1e-8, 0.0])
def test_adam_of_gradients_that_are_zero_tiny_or_infinite(eps: float) -> None:
    """Native code has its own way to divide by Adam's root."""
    scales = np.array([0, 1e-30, 1e-15, 1e-8, -1, 3, -1e10, 1e18, 1e25, np.inf, np.nan, 0, 0, 1, 2, -5] * 2)

    def run(compile: Callable[..., Any]) -> np.ndarray:
        tg.seed(0)
        model, x = nn.Linear(32, 64, bias=False), tg.Tensor(np.ones((4, 32), "float32") * scales.astype("float32"))
        factors = tg.Tensor(np.linspace(-2, 2, 64, dtype="float32")[:, None])
        optimizer = tg.optim.Adam(model.parameters(), lr=0.1, eps=eps)

        def step(x: tg.Tensor) -> tg.Tensor:
            optimizer.zero_grad()
            (model.weight * x.sum(0) * factors).sum().backward()
            optimizer.step()
            return x.sum()

        step = compile(step)
        with np.errstate(all="ignore"):
            for _ in range(3):
                step(x)
        return model.weight.numpy()

    eager = run(lambda step: step)
    np.testing.assert_allclose(run(native), eager, rtol=1e-5, atol=1e-6)
    assert np.isnan(eager).any()
    assert not np.isnan(eager).all()


class Choosing(nn.Module):
    """A net whose every choice, of a ReLU's side or a window's largest pixel, can be prescribed."""

    def __init__(self) -> None:
        self.first, self.norm = nn.Conv2d(2, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.second, self.third = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 5, 5)
        self.dense = nn.Linear(5 * 4 * 4, 4)

    def forward(self, x: tg.Tensor, choices: list[tg.Tensor] | None = None) -> tuple[tg.Tensor, list[tg.Tensor]]:
        """The outputs, and what was chosen from: before each ReLU and before the pool."""
        seen: list[tg.Tensor] = []

        def relu(x: tg.Tensor) -> tg.Tensor:
            seen.append(x)
            return x.relu() if choices is None else x * choices[len(seen) - 1]

        def pool(x: tg.Tensor) -> tg.Tensor:
            seen.append(x)
            return F.max_pool2d(x, 2) if choices is None else 4 * F.avg_pool2d(x * choices[len(seen) - 1], 2)

        x = pool(relu(self.norm(self.first(x))))
        x = relu(self.third(relu(self.second(x))))
        return self.dense(x.flatten(1)), seen


@pytest.mark.parametrize("lanes", [1, 16], ids="{} lanes".format)
def test_gradients_are_those_of_the_same_choices_in_float64(lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounding may turn a choice, and so a gradient; what is computed for that choice must be right to 5e-5."""
    monkeypatch.setattr(executor, "lanes_of", lambda *_: lanes)
    tg.seed(1)
    model, exact = Choosing(), Choosing().to("float64")
    exact.load_state_dict({name: value.numpy().astype("float64") for name, value in model.state_dict().items()})
    random = np.random.default_rng(0)
    x, y = random.standard_normal((33, 2, 16, 16)), random.integers(0, 4, 33)

    def step(model: Choosing, *given: Any) -> tuple[Any, ...]:
        x, y, *choices = given
        outputs, seen = model(x, *choices)
        loss = F.cross_entropy(outputs, y)
        return loss, outputs, tg.grad(loss, list(model.parameters())), seen

    loss, outputs, found, seen = native(lambda x, y: step(model, x, y))(tg.Tensor(x.astype("float32")), tg.Tensor(y))
    choices = [tg.Tensor((each.numpy() > 0).astype("float64")) for each in seen]
    windows = seen[1].numpy().reshape(33, 16, 8, 2, 8, 2).transpose(0, 1, 2, 4, 3, 5).reshape(33, 16, 8, 8, 4)
    first = np.eye(4)[windows.argmax(-1)].reshape(33, 16, 8, 8, 2, 2)
    choices[1] = tg.Tensor(first.transpose(0, 1, 2, 4, 3, 5).reshape(33, 16, 16, 16))
    right = step(exact, tg.Tensor(x), tg.Tensor(y), choices)
    for one, other in zip([loss, outputs, *found], [right[0], right[1], *right[2]], strict=True):
        assert np.abs(one.numpy() - other.numpy()).max() <= 5e-5 * np.abs(other.numpy()).max()


@pytest.mark.parametrize("lanes", [1, 16], ids="{} lanes".format)
@pytest.mark.parametrize("net", ["convolutional", "residual", "autoencoder", "wide"])
def test_one_thread_and_two_give_the_same_bits(net: str, lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "lanes_of", lambda *_: lanes)
    numbers = []
    for threads in (1, 2, 2):
        monkeypatch.setattr(executor.os, "cpu_count", lambda threads=threads: threads)
        monkeypatch.setattr(executor, "PARALLEL_MACS", 1)
        task = Task(net, dtype="float32", batch=64)
        step = native(task.step)
        for _ in range(5):
            step(task.inputs, task.labels)
        assert step.plan.threads == threads
        numbers.append(task.numbers())
    for other in numbers[1:]:
        for name, array in other.items():
            np.testing.assert_array_equal(array, numbers[0][name], err_msg=name)


@pytest.mark.parametrize("lanes", [1, 16], ids="{} lanes".format)
@pytest.mark.parametrize("cpu", ["haswell", "x86-64"])
@pytest.mark.parametrize("net", ["convolutional", "residual", "wide"])
def test_older_processors(net: str, cpu: str, lanes: int) -> None:
    """Code for processors without AVX-512, and without fused multiply-add, runs here too."""
    import platform

    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("this is another family of processors")
    eager, compiled = Task(net, dtype="float32", batch=20), Task(net, dtype="float32", batch=20)
    step = native(compiled.step)
    eager.step(eager.inputs, eager.labels)
    step(compiled.inputs, compiled.labels)
    runner = step._last
    runner.plan.__init__(step.graph, None, cpu, lanes)
    runner.__init__(runner.plan, runner.description, runner.guards)
    for _ in range(4):
        eager.step(eager.inputs, eager.labels)
        step(compiled.inputs, compiled.labels)
    assert runner.plan.binary is not None
    compare(compiled, eager, "float32")


def test_what_has_no_kernel_is_done_by_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor.os, "cpu_count", lambda: 2)
    x = tg.Tensor(np.random.default_rng(0).standard_normal((20, 2, 7, 7)).astype("float32"))
    conv = nn.Conv2d(2, 3, 3)
    compiled = native(lambda x: conv(x).amax(dim=1) * 2)
    np.testing.assert_allclose(compiled(x).numpy(), conv(x).amax(dim=1).numpy() * 2, rtol=1e-5, atol=1e-6)
    report = compiled.report(repeats=1)
    assert [line.operations for line in report.lines if line.algorithm == "NumPy"] == ["amax"]
    assert report.executor == "native"
    assert "16 examples in a vector, 2 blocks" in str(report)
    compiled(x[:1])
    assert "channels side by side in vectors, examples: 1" in str(compiled.report())


def test_what_cannot_lie_in_lanes_runs_in_numpy() -> None:
    compiled = native(lambda x: tg.flip(x, 0) * 2)
    assert compiled(tg.Tensor([1.0, 2.0])).numpy().tolist() == [4.0, 2.0]
    report = compiled.report()
    assert report.executor == "numpy"
    assert "not native           flip along the batch" in str(report)


@pytest.mark.usefixtures("watched")
def test_wrong_labels_name_the_line_and_change_nothing() -> None:
    task = Task("convolutional")
    step = native(task.step)
    step(task.inputs, task.labels)
    before = task.numbers()
    with pytest.raises(PositionError, match="from 77 to 77") as caught:
        step(task.inputs, tg.Tensor(np.full(6, 77)))
    assert "nets.py" in "\n".join(caught.value.__notes__)
    for name, array in task.numbers().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    step(task.inputs, task.labels)  # and the plan can be run again


def test_a_step_in_one_go_changes_nothing_where_a_label_is_wrong() -> None:
    task, other = Task("wide", batch=40), Task("wide", batch=40)
    step = native(task.step)
    for _ in range(3):
        step(task.inputs, task.labels)
        other.step(other.inputs, other.labels)
    assert step.plan.at_once
    with pytest.raises(PositionError, match="from 77 to 77"):
        step(task.inputs, tg.Tensor(np.full(40, 77)))
    compare(task, other, "float64")
    step(task.inputs, task.labels)
    other.step(other.inputs, other.labels)
    compare(task, other, "float64")


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("batch", [2, 40])
def test_weights_are_prepared_once_for_their_numbers(batch: int) -> None:
    """Folded, transformed and turned weights are computed anew when somebody has changed a parameter, however."""
    model = nn.Sequential(
        nn.Conv2d(3, 32, 3, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1),
        nn.GlobalAvgPool2d(), nn.Flatten(), nn.Linear(32, 4),
    )  # fmt: skip
    optimizer = tg.optim.SGD(model.parameters(), lr=0.5)
    random = np.random.default_rng(0)
    x = tg.Tensor(random.standard_normal((batch, 3, 12, 12)).astype("float32"))
    labels = tg.Tensor(random.integers(0, 4, batch))

    def training(x: tg.Tensor, labels: tg.Tensor) -> tg.Tensor:
        model.train()
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        return loss

    def inference(x: tg.Tensor) -> tg.Tensor:
        model.eval()
        with tg.no_grad():
            return model(x)

    answer, step, seen = native(inference), native(training), []

    def check() -> None:
        found, expected = answer(x).numpy(), inference(x).numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
        np.testing.assert_array_equal(answer(x).numpy(), found)
        assert not any(np.array_equal(found, other) for other in seen)
        seen.append(found)

    check()
    assert answer.plan.prepared.buffers
    assert 0 < sum(line.calls == 0 for line in answer.report().lines) < len(answer.report().lines)
    training(x, labels)
    check()
    for _ in range(3):
        step(x, labels)  # in a plan, where the parameters stay
    check()
    model.load_state_dict({name: tensor.numpy() * 1.1 for name, tensor in model.state_dict().items()})
    check()
    step(x, labels)
    check()


@pytest.mark.parametrize("checked", [False, True])
@pytest.mark.parametrize("batch", [2, 40])
def test_parameters_have_memory_only_while_others_are_computed_from_them(
    batch: int, checked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They share it, and each that changes is computed with anew, alone or with others; profiling changes nothing."""
    monkeypatch.setattr(executor, "checked", checked)
    model = nn.Sequential(
        *[layer for _ in range(4) for layer in (nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())],
        nn.Flatten(), nn.Linear(16 * 36, 4),
    ).eval()  # fmt: skip
    answer = native(model)
    random = np.random.default_rng(0)
    x = tg.Tensor(random.standard_normal((batch, 16, 6, 6)).astype("float32"))

    def check() -> None:
        with tg.no_grad():
            np.testing.assert_allclose(answer(x).numpy(), model(x).numpy(), rtol=1e-3, atol=1e-4)

    check()
    plan = answer.plan
    lent = [position for group in plan.prepared.groups for position in group.lent]
    assert len(plan.prepared.groups) >= 4
    assert len({plan.states[position].ctypes.data for position in lent}) < len(lent) or checked
    for leaf in [*model.parameters(), *model.buffers()]:
        if leaf.dtype.kind == "f":
            leaf.assign(leaf.numpy() + random.uniform(0.1, 0.3, leaf.shape).astype("float32"))
            check()
    answer.report(repeats=1)
    check()
    model[0].weight.assign(model[0].weight.numpy() * 2)
    check()


def test_an_interrupted_call_prepares_its_weights_in_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32)).eval()
    answer = native(model)
    x = tg.Tensor(np.random.default_rng(0).standard_normal((2, 32, 12, 12)).astype("float32"))
    answer(x)
    assert any(group.lent for group in answer.plan.prepared.groups)
    model[0].weight.assign(model[0].weight.numpy() * 2)

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(answer.plan, "_call_segment", interrupted)
        with pytest.raises(KeyboardInterrupt):
            answer(x)
    with tg.no_grad():
        np.testing.assert_allclose(answer(x).numpy(), model(x).numpy(), rtol=1e-3, atol=1e-4)


def test_frozen_layers_are_prepared() -> None:
    """In training, too: what a step does not change."""
    frozen, head = nn.Conv2d(32, 32, 3, padding=1), nn.Linear(32, 4)
    for parameter in frozen.parameters():
        parameter.requires_grad = False
    optimizer = tg.optim.SGD(head.parameters(), lr=0.1)

    def training(x: tg.Tensor) -> tg.Tensor:
        optimizer.zero_grad()
        loss = (head(frozen(x).mean((2, 3))) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    step = native(training)
    x = tg.Tensor(np.random.default_rng(0).standard_normal((40, 32, 12, 12)).astype("float32"))
    before = {name: tensor.numpy().copy() for name, tensor in head.state_dict().items()}
    losses = [step(x).item() for _ in range(4)]
    assert step.plan.prepared.buffers
    assert step.plan.at_once
    assert losses == sorted(losses, reverse=True)
    head.load_state_dict(before)
    np.testing.assert_allclose([training(x).item() for _ in range(4)], losses, rtol=1e-4)


@pytest.mark.parametrize("batch", [1, 3, 16, 40])
def test_results_belong_to_the_caller(batch: int) -> None:
    """They are copies of the right shape, whatever the plan does later."""
    model = nn.Linear(3, 4)
    compiled = native(lambda x: (model(x), model(x).sum(0), (x * 2).sum()))
    x = tg.Tensor(np.random.default_rng(0).standard_normal((batch, 3)).astype("float32"))
    found = compiled(x)
    kept = [each.numpy().copy() for each in found]
    assert [each.shape for each in found] == [(batch, 4), (4,), ()]
    again = compiled(x * 3)
    for each, before, later in zip(found, kept, again, strict=True):
        assert each.shape == before.shape == later.shape
        np.testing.assert_array_equal(each.numpy(), before)
    np.testing.assert_allclose(kept[0], model(x).numpy(), rtol=1e-5, atol=1e-6)


def test_what_is_returned_of_a_parameter_is_its_old_number() -> None:
    weight = tg.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    optimizer = tg.optim.SGD([weight], lr=0.5)

    def step(x: tg.Tensor) -> tg.Tensor:
        optimizer.zero_grad()
        before = weight.detach()
        (x * weight).sum().backward()
        optimizer.step()
        return before

    compiled, x = native(step), tg.Tensor(np.ones((20, 3), "float32"))
    assert [compiled(x).numpy().tolist() for _ in range(3)] == [[1, 2, 3], [-9, -8, -7], [-19, -18, -17]]
    assert not compiled.plan.at_once


LARGE = 128
"""The length of both axes of a weight that changes as soon as nobody reads its old numbers."""


def trained(changes: Callable[..., Any], compiled: bool, batch: int = 40) -> list[np.ndarray]:
    """What a step returns, and the weights that it leaves, after three calls."""
    tg.seed(0)
    layers = [nn.Linear(LARGE, LARGE) for _ in range(4)]
    model = nn.Sequential(*[part for layer in layers for part in (layer, nn.Tanh())])
    others = [tg.Tensor(np.full((LARGE, LARGE), 0.5, "float32")) for _ in layers]
    optimizer = tg.optim.SGD(model.parameters(), lr=50.0, momentum=0.9)

    def step(x: tg.Tensor) -> Any:
        return changes(model, layers, others, optimizer, x)

    run = native(step) if compiled else step
    random = np.random.default_rng(1)
    found = []
    for _ in range(3):
        returned = run(tg.Tensor(random.standard_normal((batch, LARGE)).astype("float32")))
        found += [each.numpy().copy() for each in (returned if isinstance(returned, tuple) else (returned,))]
    if compiled:
        assert isinstance(run.plan, NativePlan)
        found.append(np.array([run.plan.places.first_block]))
    return [*[each.numpy() for each in [*model.parameters(), *others]], *found]


def with_gradients(model: Any, optimizer: Any, y: tg.Tensor) -> tg.Tensor:
    """The loss, after its gradients have been taken."""
    optimizer.zero_grad()
    loss = (model(y) ** 2).mean()
    loss.backward()
    return loss


def plain_step(model: Any, layers: Any, others: Any, optimizer: Any, x: tg.Tensor) -> Any:
    loss = with_gradients(model, optimizer, x)
    optimizer.step()
    return loss


def returns_gradients(model: Any, layers: Any, others: Any, optimizer: Any, x: tg.Tensor) -> Any:
    loss = with_gradients(model, optimizer, x)
    gradients = [layer.weight.grad * 1 for layer in layers]
    optimizer.step()
    return loss, *gradients


def steps_twice(model: Any, layers: Any, others: Any, optimizer: Any, x: tg.Tensor) -> Any:
    first = plain_step(model, layers, others, optimizer, x)
    return first, plain_step(model, layers, others, optimizer, x)


def keeps_old_weights(model: Any, layers: Any, others: Any, optimizer: Any, x: tg.Tensor) -> Any:
    with tg.no_grad():
        for layer, other in zip(layers[:2], others[:2], strict=True):
            other.assign(layer.weight)
    loss = plain_step(model, layers, others, optimizer, x)
    with tg.no_grad():
        for layer, other in zip(layers[2:], others[2:], strict=True):
            other.assign(other * 0.9 + layer.weight * 0.1)
    return loss


def follows_weights(model: Any, layers: Any, others: Any, optimizer: Any, x: tg.Tensor) -> Any:
    """What is read here is what the weight was before the last step, not after it."""
    loss = with_gradients(model, optimizer, x @ others[0])
    others[0].assign(layers[0].weight)
    optimizer.step()
    return loss


def keeps_gradients(model: Any, layers: Any, others: Any, optimizer: Any, x: tg.Tensor) -> Any:
    loss = with_gradients(model, optimizer, x)
    for layer, other in zip(layers, others, strict=True):
        other.assign(layer.weight.grad * 2)
    optimizer.step()
    return loss


def limits_gradients(model: Any, layers: Any, others: Any, optimizer: Any, x: tg.Tensor) -> Any:
    loss = with_gradients(model, optimizer, x)
    norm = nn.utils.clip_grad_norm_(list(model.parameters()), 0.01)
    optimizer.step()
    return loss, norm


def borrows_weights(model: Any, layers: Any, others: Any, optimizer: Any, x: tg.Tensor) -> Any:
    """The last layer's gradient is there first, and its weight is needed until the end."""

    def through(x: tg.Tensor) -> tg.Tensor:
        y = tg.tanh(layers[0](x)) @ layers[3].weight.detach()
        return layers[3](tg.tanh(layers[2](tg.tanh(layers[1](y)))))

    loss = with_gradients(through, optimizer, x)
    optimizer.step()
    return loss


@pytest.mark.parametrize("lanes", [1, 16], ids="{} lanes".format)
@pytest.mark.parametrize(
    "changes",
    [
        plain_step,
        returns_gradients,
        steps_twice,
        keeps_old_weights,
        follows_weights,
        keeps_gradients,
        limits_gradients,
        borrows_weights,
    ],
)
def test_large_weights_change_early(changes: Any, lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the last gradient is computed, but never before their old numbers have been read for the last time."""
    monkeypatch.setattr(executor, "lanes_of", lambda *_: lanes)
    *found, size = trained(changes, True)
    for one, other in zip(found, trained(changes, False), strict=True):
        np.testing.assert_allclose(one, other, **TOLERANCE["float32"])
    if changes is plain_step:  # four weights, four memories of the optimiser, and not four gradients
        assert size.item() < (8 + 3) * 4 * LARGE**2


def test_measuring_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole steps are timed, and each kernel, those that change parameters included."""
    task = Task("convolutional")
    step = native(task.step)
    step(task.inputs, task.labels)
    before, plan, commits = task.numbers(), step.plan, []
    commit = plan.commit
    monkeypatch.setattr(plan, "commit", lambda: commits.append(commit()))
    plan.time(2)
    assert len(commits) == 3
    assert None not in [line.milliseconds for line in step.report(repeats=2).lines]
    for name, array in task.numbers().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


@pytest.mark.parametrize("segment", ["_run_early", "_run_late"])
def test_an_array_that_is_overrun_is_noticed(segment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "checked", True)
    task = Task("convolutional")
    compiled = native(task.step)
    compiled(task.inputs, task.labels)
    plan = compiled.plan
    run = getattr(plan, segment)

    def overrun() -> None:
        run()
        buffer = next(each for step in plan.steps for each in step.buffers if each.per_block and not each.keeps)
        plan.arena.memory[plan.places.first_block + buffer.address + buffer.nbytes] = 0

    monkeypatch.setattr(plan, segment, overrun)
    with pytest.raises(RuntimeError, match="behind the end"):
        compiled(task.inputs, task.labels)


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    with pytest.raises(MissingPackageError, match=r"pip install \"tinygrad_cnn\[fast\]\""):
        native(tg.exp)


def test_the_page_shows_what_is_made() -> None:
    """Each line of code in docs/native.md stands in the text, in that order; the instructions depend on LLVM."""
    import platform

    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("the page shows another family of processors")
    page = (Path(__file__).parents[2] / "docs" / "native.md").read_text(encoding="utf-8")
    layer = nn.Conv2d(3, 6, 3)
    f = native(lambda x: layer(x).relu())
    f(tg.Tensor(np.zeros((16, 3, 10, 10), "float32")))
    plan = NativePlan(f.graph, None, "skylake-avx512", lanes=16)
    assert "vfmadd" in plan.assembly()
    assert "%zmm" in plan.assembly()
    step = next(each for each in plan.steps if each.way == "contract")
    described = repr(step.kernel)
    for text in re.findall(r"```text\n([a-z].*)\n```", page):
        assert text in described
    rest = next(each for each in plan.program.kernels if each.name == step.name).text()
    blocks = re.findall(r"```llvm\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        assert block in rest
        rest = rest.split(block, 1)[1]


def test_the_text_and_the_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor.os, "cpu_count", lambda: 2)
    task = Task("residual", dtype="float32", batch=20)
    step = native(task.step)
    step(task.inputs, task.labels)
    assert "define void @step(ptr" in step.plan.text
    assert "llvm.fmuladd.v16f32" in step.plan.text
    line = next(line for line in step.report(repeats=2).lines if line.operations.startswith("conv +"))
    assert line.milliseconds is not None
    assert line.gflops is not None
    assert line.gflops > 0
    drawing = tg.draw(step, overlay="time")
    assert any("one block of 16 examples" in note for note in drawing.view.notes)


@pytest.mark.parametrize("batch", [32, 2])
def test_tuning_takes_what_was_measured(batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYGRAD_CNN_CACHE", str(tmp_path))
    monkeypatch.setattr(executor, "lanes_of", lambda *_: 16 if batch > 8 else 1)
    model = nn.Conv2d(16, 16, 3, padding=1)
    step = native(lambda x: tg.grad((model(x) ** 2).sum(), [x, *model.parameters()]))
    x = tg.Tensor(np.random.default_rng(0).standard_normal((batch, 16, 16, 16)).astype("float32"))
    expected = step(x)
    assert "winograd" in {each.way for each in step.plan.steps}

    def measured(transformed: float) -> None:
        """From now on the steps of Winograd's way take so long, all others a second."""
        monkeypatch.setattr(
            NativePlan,
            "profile",
            lambda plan, _: [transformed if each.way[0] == "w" or "plane" in each.way else 1.0 for each in plan.steps],
        )

    measured(2.0)
    found = step.tune(repeats=1)
    name = f"convolution, 16x16, 16 to 16 channels, {16 if batch > 8 else 1} lanes"
    assert name in found
    assert all(direct < transformed for name, (direct, transformed) in found.items() if name != "layout")
    after = step(x)
    assert not {each.way for each in step.plan.steps} & {"weights", "winograd", "winogradgradient", "planegradient"}
    for one, other in zip(after, expected, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-3, atol=1e-3 * np.abs(other.numpy()).max())
    measured(0.1)
    step.tune(repeats=1)
    step(x)
    assert {"weights", "winograd"} <= {each.way for each in step.plan.steps}


def test_tuning_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYGRAD_CNN_CACHE", str(tmp_path))
    small, model, labels = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1), tg.Tensor(np.arange(20))
    last = nn.Conv2d(16, 24, 3, padding=1)
    step = native(lambda x, y: F.cross_entropy(last(model(small(x))).flatten(1), y))
    x = tg.Tensor(np.random.default_rng(0).standard_normal((20, 8, 6, 6)).astype("float32"))
    expected = step(x, labels)
    found = step.tune(repeats=2)
    assert list(found) == ["convolution, 6x6, 16 to 24 channels, 16 lanes", "layout"]
    assert all(seconds > 0 for times in found.values() for seconds in times)
    np.testing.assert_allclose(step(x, labels).item(), expected.item(), rtol=1e-5)


@pytest.mark.parametrize("quicker", [1, 16])
def test_tuning_takes_the_quicker_layout(quicker: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For this function and this batch; others stay with the estimate."""
    monkeypatch.setenv("TINYGRAD_CNN_CACHE", str(tmp_path))
    monkeypatch.setattr(executor.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(NativePlan, "time", lambda plan, _: 1.0 if plan.lanes == quicker else 2.0)
    model = nn.Conv2d(3, 16, 3)
    step, other = native(lambda x: model(x).relu()), native(lambda x: model(x).tanh())
    few, many = [tg.Tensor(np.ones((batch, 3, 8, 8), "float32")) for batch in (2, 64)]

    def lanes(f: Any, x: tg.Tensor) -> int:
        np.testing.assert_allclose(f(x).numpy(), f.function(x).numpy(), rtol=1e-5, atol=1e-6)
        return f.plan.lanes  # type: ignore[no-any-return]

    assert [lanes(f, x) for f in (step, other) for x in (few, many)] == [1, 16, 1, 16]
    step(few)
    step.tune()
    step(many)
    assert step.tune()["layout"] == ((2.0, 1.0) if quicker == 1 else (1.0, 2.0))
    assert [lanes(f, x) for f in (step, other) for x in (few, many)] == [quicker, quicker, 1, 16]
    assert lanes(native(lambda x: model(x).relu()), few) == quicker  # the same graph, in another function


def test_measured_choices_survive_a_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ways = importlib.import_module("tinygrad_cnn.compile.native.ways")
    monkeypatch.setenv("TINYGRAD_CNN_CACHE", str(tmp_path))
    assert ways.measured() == {}
    ways.remember({"a": True})
    ways.remember({"b": False})
    assert ways.measured() == {"a": True, "b": False}
    (tmp_path / "ways").write_text("half of a fi")
    assert ways.measured() == {}
    ways.remember({"c": True})
    assert ways.measured() == {"c": True}


def test_tuning_needs_native_code() -> None:
    function = tg.compile(lambda x: x * 2, executor="numpy")
    function(tg.Tensor([1.0]))
    with pytest.raises(ArgumentError, match="does not run as native code"):
        function.tune()


def enlarged(x: tg.Tensor) -> tg.Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear")


WITHOUT_KERNEL: dict[str, tuple[Callable[[tg.Tensor], tg.Tensor], set[str]]] = {
    "resampling": (enlarged, {"resample", "resample_adjoint"}),
    "bins": (lambda x: F.adaptive_avg_pool2d(x, (3, 5)), {"resample", "resample_adjoint"}),
    "windows": (lambda x: F.unfold(x, 3), {"unfold", "fold"}),
    "place of the largest": (lambda x: x * x.argmax(1).to("float64").unsqueeze(1), {"argmax"}),
}


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("lanes", [1, 16], ids="{} lanes".format)
@pytest.mark.parametrize("case", WITHOUT_KERNEL)
def test_operations_without_a_kernel_are_done_between_kernels(
    case: str, lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "lanes_of", lambda *_: lanes)
    function, names = WITHOUT_KERNEL[case]
    layer = nn.Conv2d(3, 4, 3, padding=1).to("float64")

    def slopes(x: tg.Tensor) -> tuple[tg.Tensor, ...]:
        y = function(layer(x))
        return y.detach(), *tg.grad((y * y).mean(), list(layer.parameters()))

    x = tg.Tensor(np.random.default_rng(0).standard_normal((19, 3, 8, 8)))
    run = native(slopes)
    for found, expected in zip(run(x), slopes(x), strict=True):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), **TOLERANCE["float64"])
    assert {step.nodes[0].op.name for step in run.plan.steps if step.place == "python"} == names


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_blocks_of_one_thread_share_their_memory(threads: int) -> None:
    """What a thread computes for one block, nobody reads later: but for results, and what waits for other blocks."""
    model = nn.Sequential(nn.Conv2d(2, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 5))

    def function(x: tg.Tensor, labels: tg.Tensor) -> tuple[tg.Tensor, ...]:
        y = model(x)
        return y, y.max(1)[0], y - y.mean(0), F.cross_entropy(y, labels)

    x = np.random.default_rng(0).standard_normal((70, 2, 8, 8)).astype("float32")
    labels = np.arange(70) % 5
    f = native(function)
    expected = [each.numpy() for each in function(tg.Tensor(x), tg.Tensor(labels))]
    f(tg.Tensor(x), tg.Tensor(labels))
    plans = [NativePlan(f.graph, count, lanes=16) for count in (threads, 5)]
    for plan in plans:
        assert plan.blocks == 5
        states = list(zip(plan.graph.states, plan.states, strict=True))

        def copy(position: int, states: Any = states) -> None:
            state, array = states[position]
            array[...] = state.read() if state.dims is None else state.read().transpose(state.dims)

        plan.bring(range(len(states)), copy)
        for _ in range(2):
            plan.load([x, labels])
            plan.compute()
        for position, each in enumerate(expected):
            np.testing.assert_allclose(plan.result(position), each, **TOLERANCE["float32"])
    few, many = plans
    assert few.places.thread_bytes > few.places.block_bytes
    assert few.nbytes < many.nbytes
    with pytest.raises(PositionError):
        f(tg.Tensor(x), tg.Tensor(labels + 1))
