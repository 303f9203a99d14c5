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
from tinygrad_cnn.compile.native import NativePlan
from tinygrad_cnn.errors import ArgumentError, PositionError
from tinygrad_cnn.extras import MissingPackageError

from .nets import NETS, OPTIMIZERS, Task, native

executor = importlib.import_module("tinygrad_cnn.compile.native.executor")

pytestmark = [pytest.mark.native, pytest.mark.cpu("native code runs on the CPU")]
F = nn.functional
TOLERANCE = {"float64": {"rtol": 1e-9, "atol": 1e-9}, "float32": {"rtol": 1e-3, "atol": 2e-4}}


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
