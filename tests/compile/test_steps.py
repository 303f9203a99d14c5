"""Whole training steps: compiled, they leave behind what they leave behind eagerly."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.compile import plan as plan_module

from .nets import NETS, OPTIMIZERS, Task

TOLERANCE = {"float64": {"rtol": 1e-9, "atol": 1e-9}, "float32": {"rtol": 1e-3, "atol": 2e-4}}


@pytest.fixture(params=[1, 2, 3], ids=lambda parts: f"{parts} parts")
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many parts of the batch are computed at the same time, however small it is."""
    monkeypatch.setattr(plan_module, "PARALLEL_MACS", 1)
    monkeypatch.setattr(plan_module.os, "cpu_count", lambda: request.param)
    return int(request.param)


def compare(one: Task, other: Task, dtype: str) -> None:
    for (name, mine), theirs in zip(one.numbers().items(), other.numbers().values(), strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_allclose(mine, theirs, **TOLERANCE[dtype], err_msg=name)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("net", NETS)
def test_ten_steps(net: str, dtype: str, parts: int) -> None:
    eager, compiled = Task(net, dtype=dtype), Task(net, dtype=dtype)
    expected = [eager.step(eager.inputs, eager.labels).item() for _ in range(10)]
    compiled = Task(net, dtype=dtype)
    step = tg.compile(compiled.step, executor="numpy")
    found = [step(compiled.inputs, compiled.labels).item() for _ in range(10)]
    np.testing.assert_allclose(found, expected, **TOLERANCE[dtype])
    compare(compiled, eager, dtype)
    if tg.Tensor(0.0).device == "cpu":
        assert len(step.plan.parts) == parts, step.plan.whole_because


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimiser(optimizer: str) -> None:
    eager = Task("convolutional", optimizer)
    for _ in range(5):
        eager.step(eager.inputs, eager.labels)
    compiled = Task("convolutional", optimizer)
    step = tg.compile(compiled.step, executor="numpy")
    for _ in range(5):
        step(compiled.inputs, compiled.labels)
    compare(compiled, eager, "float64")


def test_two_steps_in_one_function(parts: int) -> None:
    """The second reads what the first has written, and somebody reads what the second has written."""

    def twice(task: Task) -> tg.Tensor:
        first, second = task.step(task.inputs, task.labels), task.step(task.inputs, task.labels)
        return first + 2 * second + 4 * task.model(task.inputs).exp().sum()

    eager, compiled = Task("convolutional"), Task("convolutional")
    step = tg.compile(lambda: twice(compiled), executor="numpy")
    for _ in range(3):
        assert step().item() == pytest.approx(twice(eager).item(), rel=1e-12)
    compare(compiled, eager, "float64")


def test_small_parameters_are_updated_together(monkeypatch: pytest.MonkeyPatch, device_name: str) -> None:
    """Their numbers lie one after the other; those with another rule lie with their own kind; large ones alone."""
    if device_name != "cpu":
        pytest.skip("plans run on the CPU")
    monkeypatch.setattr(plan_module.os, "cpu_count", lambda: 1)

    def make() -> tuple[tg.nn.Module, list[tg.optim.Optimizer]]:
        tg.seed(0)
        model = tg.nn.Sequential(tg.nn.Linear(8, 6000), tg.nn.ReLU(), tg.nn.Linear(6000, 4), tg.nn.Linear(4, 5))
        named = dict(model.named_parameters())
        weights = [each for name, each in named.items() if name.endswith("weight")]
        biases = [each for name, each in named.items() if name.endswith("bias")]
        decay = tg.optim.SGD(weights, lr=0.01, momentum=0.9, weight_decay=0.1)
        return model, [decay, tg.optim.SGD(biases, lr=0.01, momentum=0.9)]

    def train(model: tg.nn.Module, optimizers: list[tg.optim.Optimizer]) -> tg.Tensor:
        model.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        return loss

    x = tg.Tensor(np.random.default_rng(0).standard_normal((3, 8)).astype("float32"))
    eager, compiled = make(), make()
    step = tg.compile(lambda: train(*compiled), executor="numpy")
    for _ in range(4):
        assert step().item() == pytest.approx(train(*eager).item(), rel=1e-5)
    for mine, theirs in zip(compiled[0].parameters(), eager[0].parameters(), strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-5, atol=1e-7)
    updates = step.plan.programs[0].phases[-1]
    # Large weight, small weights, biases and their velocities; the weights' velocities end the products before them.
    assert sorted(each.count for each in updates) == [1, 2, 3, 3]
    assert "3 at once" in str(step.report())


def test_the_learning_rate_may_change() -> None:
    eager, compiled = Task("shared weights"), Task("shared weights")
    step = tg.compile(compiled.step, executor="numpy")
    for rate in (0.01, 0.02, 0.005):
        eager.optimizer.lr = compiled.optimizer.lr = rate
        eager.step(eager.inputs, eager.labels)
        step(compiled.inputs, compiled.labels)
    compare(compiled, eager, "float64")
    assert sum(map(len, step._runners.values())) == 1


def test_training_and_evaluation_are_told_apart() -> None:
    task = Task("dropout")
    predict = tg.compile(task.model, executor="numpy")
    task.model.eval()
    quiet = task.model(task.inputs).numpy()
    np.testing.assert_allclose(predict(task.inputs).numpy(), quiet, rtol=1e-12)
    task.model.train()
    assert (predict(task.inputs).numpy() != quiet).any()
    task.model.eval()
    expected = task.model(task.inputs).numpy()  # the running statistics have moved
    assert (expected != quiet).any()
    np.testing.assert_allclose(predict(task.inputs).numpy(), expected, rtol=1e-12)


def test_another_shape_is_another_plan_of_the_same_parameters() -> None:
    eager, compiled = Task("residual"), Task("residual")
    step = tg.compile(compiled.step, executor="numpy")
    for rows in (6, 4, 6, 3):
        eager.step(eager.inputs[:rows], eager.labels[:rows])
        step(compiled.inputs[:rows], compiled.labels[:rows])
    compare(compiled, eager, "float64")


def test_views_of_inputs() -> None:
    task = Task("convolutional")
    predict = tg.compile(task.model, executor="numpy")
    wide = tg.Tensor(np.random.default_rng(0).standard_normal((6, 2, 16, 8)))
    view = wide[:, :, ::-2]
    np.testing.assert_allclose(predict(view).numpy(), task.model(view).numpy(), rtol=1e-12)


def test_eager_and_compiled_steps_take_turns() -> None:
    eager, mixed = Task("residual"), Task("residual")
    step = tg.compile(mixed.step, executor="numpy")
    for turn in range(6):
        eager.step(eager.inputs, eager.labels)
        (step if turn % 2 else mixed.step)(mixed.inputs, mixed.labels)
    compare(mixed, eager, "float64")


def test_loading_a_state_is_seen() -> None:
    task = Task("convolutional")
    before = {name: tensor.numpy().copy() for name, tensor in task.model.state_dict().items()}
    step = tg.compile(task.step, executor="numpy")
    first = step(task.inputs, task.labels).item()
    step(task.inputs, task.labels)
    task.model.load_state_dict(before)
    assert step(task.inputs, task.labels).item() == pytest.approx(first, rel=1e-12)


@pytest.mark.parametrize(
    ("net", "algorithm"), [*[(net, "auto") for net in ("convolutional", "residual", "dropout", "autoencoder")],
                           *[("residual", name) for name in ("windows", "strips", "winograd", "fft")]],
)  # fmt: skip
def test_a_warm_step_allocates_nothing_large(
    net: str, algorithm: str, monkeypatch: pytest.MonkeyPatch, device_name: str
) -> None:
    """Less than 64 KiB at any moment of a step, though the plan's memory is three times as large, and more.

    NumPy tells ``tracemalloc`` of every array. What remains are its iterators, whose buffers are made small here, the
    results that are handed out, and Python's own objects.
    """
    if device_name != "cpu":
        pytest.skip("plans run on the CPU")
    monkeypatch.setattr(plan_module.os, "cpu_count", lambda: 1)
    task = Task(net, batch=256)
    step = tg.compile(task.step, convolution=algorithm)
    before = np.setbufsize(256)
    try:
        for _ in range(3):
            step(task.inputs, task.labels)
        tracemalloc.start()
        step(task.inputs, task.labels)
        tracemalloc.reset_peak()
        start, _ = tracemalloc.get_traced_memory()
        step(task.inputs, task.labels)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        np.setbufsize(before)
    assert step.plan.nbytes > 3 * (1 << 16)
    assert peak - start < 1 << 16
