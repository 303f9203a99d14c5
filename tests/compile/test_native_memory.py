"""What native code keeps in memory: prepared weights, weights that change early, and arrays that share it."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.compile.native import NativePlan, arena, machine
from tinygrad_cnn.compile.native.ir import Type, module
from tinygrad_cnn.compile.native.lanes import Buffer
from tinygrad_cnn.compile.native.rows import Margins
from tinygrad_cnn.errors import PositionError

from .nets import Task, native

executor = importlib.import_module("tinygrad_cnn.compile.native.executor")

pytestmark = [pytest.mark.native, pytest.mark.cpu("native code runs on the CPU")]
F = nn.functional
CLOSE = {"rtol": 1e-3, "atol": 2e-4}


def bring(plan: NativePlan) -> None:
    """Give a plan the numbers that its states have now."""
    states = list(zip(plan.graph.states, plan.states, strict=True))

    def copy(position: int) -> None:
        state, array = states[position]
        array[...] = state.read() if state.dims is None else state.read().transpose(state.dims)

    plan.bring(range(len(states)), copy)


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
        np.testing.assert_allclose(one, other, **CLOSE)
    if changes is plain_step:  # four weights, four memories of the optimiser, and not four gradients
        assert size.item() < (8 + 3) * 4 * LARGE**2


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
        bring(plan)
        for _ in range(2):
            plan.load([x, labels])
            plan.compute()
        for position, each in enumerate(expected):
            np.testing.assert_allclose(plan.result(position), each, **CLOSE)
    few, many = plans
    buffers = {each for step in few.steps for each in step.buffers if each.per_block}
    assert sum(each.nbytes for each in buffers if each.per_thread) > few.places.block_bytes
    assert few.nbytes < many.nbytes
    with pytest.raises(PositionError):
        f(tg.Tensor(x), tg.Tensor(labels + 1))


@pytest.mark.parametrize("lanes", [1, 4, 16], ids="{} lanes".format)
@pytest.mark.parametrize(
    ("shape", "margin"),
    [
        ((3, 5, 2), ((1, 2), (2, 1), (0, 0))),
        ((3, 5, 2), ((0, 0), (0, 3), (0, 0))),
        ((4, 3), ((2, 0), (0, 1))),
        ((2, 3, 4, 5), ((1, 1), (0, 2), (3, 0), (0, 0))),
        ((6,), ((5, 19),)),
    ],
    ids=str,
)
def test_zeros_around_an_array(shape: tuple[int, ...], margin: tuple[tuple[int, int], ...], lanes: int) -> None:
    kernel = Margins(shape, margin, Type("float", lanes)).write("clear")
    kernel.exported = True
    binary = machine.Binary(module([kernel], 256))
    inside = np.ones((*shape, lanes), "float32")
    expected = np.pad(inside, (*margin, (0, 0)))
    memory = np.ones(expected.size + 2, "float32")
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(binary.address("clear"))(memory[1:].ctypes.data)
    np.testing.assert_array_equal(memory[1:-1].reshape(expected.shape), expected)
    assert memory[0] == memory[-1] == 1


def stages() -> nn.Module:
    """Arrays with margins of several forms, of which few are needed at a time."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.Conv2d(outputs, outputs, 3, padding=1)]
        layers += [nn.ReLU(), nn.Conv2d(outputs, outputs, 3, stride=2, padding=1), nn.Sigmoid()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 4, 5))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("lanes", [1, 16], ids="{} lanes".format)
def test_arrays_with_margins_share_memory(lanes: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their margins are written in every run, for others have left their numbers there."""
    monkeypatch.setattr(executor, "lanes_of", lambda *_: lanes)
    model, random = stages().eval(), np.random.default_rng(0)
    images = [random.standard_normal((5 * lanes, 3, 16, 16)).astype("float32") for _ in range(3)]
    with tg.no_grad():
        expected = [model(tg.Tensor(each)).numpy() for each in images]
        answer = native(model)
        answer(tg.Tensor(images[0]))
    sizes = []
    for worth in (0, 10**9):
        monkeypatch.setattr(arena, "WORTH", worth)
        plan = NativePlan(answer.graph, threads, lanes=lanes)
        sizes.append(plan.nbytes - max(each.address + each.nbytes for each in plan.prepared.buffers))
        assert any(step.way == "margins" for step in plan.steps) == (worth == 0)
        bring(plan)
        for _ in range(2):
            for image, result in zip(images, expected, strict=True):
                plan.load([image])
                plan.compute()
                np.testing.assert_allclose(plan.result(0), result, **CLOSE)
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("lanes", [1, 16], ids="{} lanes".format)
@pytest.mark.parametrize("net", ["convolutional", "residual", "autoencoder", "grouped"])
def test_trainings_share_memory_with_margins(net: str, lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "lanes_of", lambda *_: lanes)
    monkeypatch.setattr(arena, "WORTH", 0)
    eager, compiled = Task(net, batch=40), Task(net, batch=40)
    step = native(compiled.step)
    for _ in range(4):
        eager.step(eager.inputs, eager.labels)
        step(compiled.inputs, compiled.labels)
    for (name, mine), theirs in zip(compiled.numbers().items(), eager.numbers().values(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-9, err_msg=name)


def test_which_margins_are_written_again() -> None:
    """Those where an array of another form, or one that begins elsewhere, was last or may have been."""
    form = ((2, 2), ((1, 1), (1, 1)), "float32")
    kinds = {
        "first": (form, 0, 0), "same": (form, 0, 1), "plain": (None, 0, 2), "after plain": (form, 0, 3),
        "same again": (form, 0, 4), "shifted": (form, 64, 5), "after shifted": (form, 0, 6), "alone": (form, 512, 7),
    }  # fmt: skip
    placing = object.__new__(arena.Placing)
    buffers = {name: Buffer(np.dtype("float32"), 24, True, address=address) for name, (_, address, _) in kinds.items()}
    placing.forms = {buffers[name]: kind[0] for name, kind in kinds.items() if kind[0]}
    times = {buffers[name]: at for name, (_, _, at) in kinds.items()}
    placing.lives = SimpleNamespace(first=times, last=times)
    found = placing._to_be_cleared(list(buffers.values()), alone=True)
    assert [name for name, each in buffers.items() if each in found] == [
        "first", "after plain", "shifted", "after shifted",
    ]  # fmt: skip


def test_memory_of_threads_serves_all_of_them_on_other_levels() -> None:
    """Large convolutions of all examples at once are done on a level of their own, where no thread computes a block."""
    model = nn.Sequential(
        nn.Conv2d(16, 64, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(), nn.Conv2d(128, 128, 3, padding=1), nn.AdaptiveAvgPool2d(1),
    ).eval()  # fmt: skip
    x = np.random.default_rng(0).standard_normal((6, 16, 48, 48)).astype("float32")
    answer = native(model)
    with tg.no_grad():
        answer(tg.Tensor(x))
        expected = model(tg.Tensor(x)).numpy()
    plan = NativePlan(answer.graph, 2, lanes=1)
    buffers = {each for step in plan.steps for each in step.buffers if step.level >= 0 and each.argument < 0}
    private = [(each.address, each.address + 2 * each.apart) for each in buffers if each.per_thread]
    common = [(each.address, each.address + each.nbytes) for each in buffers if not (each.per_block or each.keeps)]
    assert any(first < stop and start < last for first, last in private for start, stop in common)
    bring(plan)
    for _ in range(2):
        plan.load([x])
        plan.compute()
        np.testing.assert_allclose(plan.result(0), expected, **CLOSE)
