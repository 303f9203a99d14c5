"""Native code for few examples: the channels of each lie side by side. Pools in both ways."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.compile.native import NativePlan

F = nn.functional
executor = importlib.import_module("tinygrad_cnn.compile.native.executor")
pytestmark = [
    pytest.mark.native, pytest.mark.cpu("native code runs on the CPU"), pytest.mark.usefixtures("watched"),
]  # fmt: skip
TOLERANCE = 2e-5
"""Of a whole array: the greatest error, by the greatest number."""


def lanes(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(executor, "lanes_of", lambda *_: count)


def with_gradients(module: nn.Module) -> Callable[[tg.Tensor], tuple[tg.Tensor, ...]]:
    def function(x: tg.Tensor) -> tuple[tg.Tensor, ...]:
        y = module(x)
        return y, *tg.grad((y * y * 0.5 + y).sum(), [x, *module.parameters()])

    return function


def compare(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> set[str]:
    """Native code in float32 against eager float64: results and all gradients. Returns the kinds of kernels."""
    tg.seed(2)
    exact, module = make().to("float64"), make()
    module.load_state_dict({name: value.numpy().astype("float32") for name, value in exact.state_dict().items()})
    x = np.random.default_rng(0).standard_normal(shape)
    expected = with_gradients(exact)(tg.Tensor(x, requires_grad=True))
    compiled = tg.compile(with_gradients(module), executor="native")
    for _ in range(2):
        found = compiled(tg.Tensor(x.astype("float32"), requires_grad=True))
        for one, other in zip(found, expected, strict=True):
            assert np.abs(one.numpy() - other.numpy()).max() <= TOLERANCE * np.abs(other.numpy()).max()
    return {step.way if step.kernel is not None else "numpy" for step in compiled.plan.steps}


CONVOLUTIONS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "few channels": (lambda: nn.Conv2d(1, 6, 5, padding=2), (3, 1, 11, 9)),
    "channels that vectors do not fill": (lambda: nn.Conv2d(5, 23, 3), (2, 5, 7, 8)),
    "first of a large net": (lambda: nn.Conv2d(3, 64, 7, 2, padding=3), (2, 3, 19, 18)),
    "heavy weights": (lambda: nn.Conv2d(40, 160, 3, padding=1), (3, 40, 5, 6)),
    "heavy weights, a stride": (lambda: nn.Conv2d(96, 64, 3, 2, padding=1), (2, 96, 9, 8)),
    "more results than a tile has": (lambda: nn.Conv2d(8, 103, 3), (2, 8, 6, 5)),
    "more results than a tile has, by rows": (lambda: nn.Conv2d(8, 103, 3, padding=1), (2, 8, 13, 12)),
    "more results than a tile has, by examples": (lambda: nn.Conv2d(64, 480, 3, padding=1), (2, 64, 12, 12)),
    "1x1, a stride": (lambda: nn.Conv2d(16, 32, 1, 2), (2, 16, 8, 8)),
    "dilation": (lambda: nn.Conv2d(8, 16, 3, dilation=2, padding=2), (2, 8, 9, 9)),
    "groups": (lambda: nn.Conv2d(12, 24, 3, groups=3, padding=1), (2, 12, 6, 7)),
    "depthwise": (lambda: nn.Conv2d(20, 20, 3, groups=20, padding=1, stride=2), (2, 20, 9, 7)),
    "two results of each channel": (lambda: nn.Conv2d(6, 12, 3, groups=6), (2, 6, 6, 6)),
    "one axis": (lambda: nn.Conv1d(4, 18, 3, padding=1), (3, 4, 12)),
    "three axes": (lambda: nn.Conv3d(3, 17, 3, padding=1), (2, 3, 5, 4, 6)),
    "transposed": (lambda: nn.ConvTranspose2d(18, 5, 4, 2, padding=1), (2, 18, 5, 6)),
    "transposed, heavy weights": (lambda: nn.ConvTranspose2d(64, 64, 4, 2, padding=1), (2, 64, 4, 5)),
    "transposed, groups": (lambda: nn.ConvTranspose2d(12, 6, 3, 2, groups=3), (2, 12, 5, 4)),
    "transposed, depthwise": (lambda: nn.ConvTranspose2d(20, 20, 3, 2, groups=20), (2, 20, 4, 4)),
    "dense": (lambda: nn.Sequential(nn.Linear(37, 50), nn.ReLU(), nn.Linear(50, 10)), (5, 37)),
    "one number": (lambda: nn.Linear(9, 1), (3, 9)),
}


@pytest.mark.parametrize("count", [1, 16], ids="{} lanes".format)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_layers(name: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lanes(monkeypatch, count)
    make, shape = CONVOLUTIONS[name]
    kinds = compare(make, shape)
    assert "numpy" not in kinds
    if "heavy" in name:
        assert ("panels" in kinds) == (count == 1)


def dense() -> nn.Module:
    return nn.Sequential(nn.Linear(131, 144), nn.ReLU(), nn.Linear(144, 120), nn.Tanh(), nn.Linear(120, 7))


@pytest.mark.parametrize("batch", [1, 2, 4, 7, 33])
def test_dense_layers(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large weights are shared among the threads by rows; small ones are read once for several examples."""
    lanes(monkeypatch, 1)
    assert {"densebyrows", "densebydots"} <= compare(dense, (batch, 131))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("examples", [2, 3, 9])
def test_threads_that_have_no_example(threads: int, examples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lanes(monkeypatch, 1)
    monkeypatch.setattr(executor, "PARALLEL_MACS", 1)
    monkeypatch.setattr(executor.os, "cpu_count", lambda: threads)
    compare(dense, (examples, 131))


def test_images_are_read_where_they_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call has arrays of its own, in any order of axes; what is returned of them is a copy."""
    lanes(monkeypatch, 1)
    layer = nn.Linear(20, 5)
    compiled = tg.compile(lambda x: (layer(x), x, x.reshape(4, 2, 10), x[:, 3:5]), executor="native")
    random = np.random.default_rng(0)
    for number in range(4):
        array = random.standard_normal((20, 4)).T if number % 2 else random.standard_normal((4, 20))
        array = array.astype("float32")
        before = array.copy()
        found = compiled(tg.Tensor(array))
        expected = (
            before @ layer.weight.numpy().T + layer.bias.numpy(),
            before,
            before.reshape(4, 2, 10),
            before[:, 3:5],
        )
        array[...] = 0
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one.numpy(), other, rtol=1e-5, atol=1e-6)
    assert all(step.way != "load" for step in compiled.plan.steps)


IN_CHUNKS, TOGETHER, LARGE = "winograd", "planeproducts", "kernelproducts"
"""Kernels of Winograd's ways: one example by the other, all at once, and with large kernels."""
BACKWARD, LARGE_BACKWARD = "planegradient", "panelgradient"
"""The gradient in kernels, and in large ones."""


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    ("channels", "outs", "size", "expected"),
    [
        (16, 32, (14, 14), [IN_CHUNKS, BACKWARD]), (48, 32, (15, 13), [IN_CHUNKS, BACKWARD]),
        (32, 64, (12, 20), [IN_CHUNKS, BACKWARD]), (64, 96, (13, 14), [TOGETHER, BACKWARD]),
        (32, 80, (8, 11), [TOGETHER, BACKWARD]), (48, 64, (9, 6), [TOGETHER]),
        (160, 128, (13, 14), [LARGE, IN_CHUNKS, LARGE_BACKWARD]),
        (112, 192, (12, 11), [LARGE, TOGETHER, LARGE_BACKWARD]),
    ],
)  # fmt: skip
def test_winograd(
    channels: int, outs: int, size: tuple[int, int], expected: list[str], batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lanes(monkeypatch, 1)

    def make() -> nn.Module:
        return nn.Sequential(nn.Conv2d(channels, outs, 3, padding=1), nn.Tanh(), nn.Conv2d(outs, 32, 3, padding=1))

    kinds = compare(make, (batch, channels, *size))
    assert set(expected) <= kinds
    assert "contract" not in kinds


@pytest.mark.parametrize("size", [(9, 14), (13, 12), (4, 11)], ids=str)
def test_large_kernels_whose_tiles_are_cut_into_parts(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thread has its own; so the bits are the same for any number of threads."""
    lanes(monkeypatch, 1)
    planes = importlib.import_module("tinygrad_cnn.compile.native.planes")
    monkeypatch.setattr(planes, "CHUNK", 1 << 17)
    model = nn.Conv2d(160, 128, 3, padding=1)
    kinds = compare(lambda: nn.Conv2d(160, 128, 3, padding=1), (3, 160, *size))
    assert {LARGE, LARGE_BACKWARD} <= kinds
    step = tg.compile(with_gradients(model), executor="native")
    x = np.random.default_rng(0).standard_normal((3, 160, *size)).astype("float32")
    step(tg.Tensor(x, requires_grad=True))
    found = []
    for threads in (1, 2, 3, 5):
        plan = NativePlan(step.graph, threads, lanes=1)
        random = np.random.default_rng(1)

        def copy(position: int, states: Any = plan.states, random: Any = random) -> None:
            states[position][...] = random.standard_normal(states[position].shape)

        plan.bring(range(2), copy)
        for _ in range(3):
            plan.load([x])
            plan.compute()
            found.append([plan.result(position) for position in range(4)])
    for each in found[1:]:
        for one, other in zip(each, found[0], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("count", [1, 8, 16], ids="{} lanes".format)
@pytest.mark.parametrize("size", [(4, 4), (5, 7), (6, 9)], ids=str)
@pytest.mark.parametrize(("channels", "outs"), [(16, 16), (32, 16), (24, 40), (32, 64), (144, 128)])
def test_winograd_wherever_it_is_possible(
    channels: int, outs: int, size: tuple[int, int], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the estimate is against it: it may be measured, and taken."""
    lanes(monkeypatch, count)
    ways = executor.Ways
    monkeypatch.setattr(executor, "Ways", lambda lanes, _: ways(lanes, True))
    kinds = compare(lambda: nn.Conv2d(channels, outs, 3, padding=1), (17, channels, *size))
    if count > 1:
        assert IN_CHUNKS in kinds
    else:
        assert bool({BACKWARD, LARGE_BACKWARD} & kinds) == (channels % 16 == 0)
        assert bool({IN_CHUNKS, TOGETHER, LARGE} & kinds) == (channels % 16 == 0)


def test_the_report_counts_all_parts_of_a_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    lanes(monkeypatch, 1)
    model = nn.Conv2d(64, 96, 3, padding=1)
    step = tg.compile(lambda x: tg.grad((model(x) ** 2).sum(), model.weight), executor="native")
    step(tg.Tensor(np.ones((2, 64, 12, 12), "float32")))
    lines = step.report(repeats=2).lines
    parts = [line for line in lines if line.operations.startswith("conv + ")]
    assert [line.algorithm.split()[-1] for line in parts] == ["planes", "planeproducts", "fromplanes"]
    assert [line.gflops is None for line in parts] == [True, True, False]
    seconds = sum(line.milliseconds or 0.0 for line in parts) / 1e3
    assert parts[-1].gflops == pytest.approx(2e-9 * 2 * 144 * 64 * 96 * 9 / seconds)


POOLS: dict[str, Callable[[], nn.Module]] = {
    "max, overlapping, padded": lambda: nn.MaxPool2d(3, 2, 1),
    "max, overlapping": lambda: nn.MaxPool2d(3, 1),
    "max, ceil": lambda: nn.MaxPool2d(3, 2, ceil_mode=True),
    "max, dilation": lambda: nn.MaxPool2d(2, 1, dilation=2),
    "max, gaps": lambda: nn.MaxPool2d(2, 3),
    "average, padded": lambda: nn.AvgPool2d(3, 2, 1),
    "average, padding not counted": lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "average, ceil": lambda: nn.AvgPool2d(3, 2, ceil_mode=True),
    "average, overlapping": lambda: nn.AvgPool2d(3, 1),
}


@pytest.mark.parametrize("count", [1, 16], ids="{} lanes".format)
@pytest.mark.parametrize("pool", POOLS)
def test_pools(pool: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lanes(monkeypatch, count)
    kinds = compare(lambda: nn.Sequential(nn.Conv2d(2, 19, 1), POOLS[pool](), nn.Tanh()), (3, 2, 8, 10))
    assert "numpy" not in kinds


@pytest.mark.parametrize("window", [(3, 2, 1), (2, 2, 0)], ids=str)
@pytest.mark.parametrize("count", [1, 16], ids="{} lanes".format)
def test_the_first_of_equal_pixels_receives_the_gradient(
    count: int, window: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    lanes(monkeypatch, count)
    x = np.random.default_rng(1).integers(0, 2, (2, 3, 8, 8)).astype("float32")
    x[0, 0, 3, 3] = x[1, 2, 6, 7] = np.nan

    places = tg.Tensor(np.arange(16, dtype="float32").reshape(4, 4))

    def gradient(x: tg.Tensor) -> tg.Tensor:
        largest = F.max_pool2d(x, *window)
        return tg.grad((largest * (largest + 1) * places).sum(), x)

    compiled = tg.compile(gradient, executor="native")
    found = compiled(tg.Tensor(x, requires_grad=True))
    assert all(step.kernel is not None for step in compiled.plan.steps)
    np.testing.assert_array_equal(found.numpy(), gradient(tg.Tensor(x, requires_grad=True)).numpy())


def chosen(net: nn.Module, shape: tuple[int, ...], batch: int) -> int:
    compiled = tg.compile(lambda x: tg.grad((net(x) ** 2).mean(), list(net.parameters())))
    compiled(tg.Tensor(np.zeros((batch, *shape), "float32")))
    return int(compiled.plan.lanes)


def test_few_examples_and_full_vectors_lie_by_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor.os, "cpu_count", lambda: 2)
    narrow, wide, tiled = nn.Conv2d(1, 6, 5), nn.Conv2d(16, 32, 5), nn.Conv2d(16, 32, 3)
    assert [chosen(narrow, (1, 8, 8), batch) for batch in (1, 4, 16, 32)] == [1, 1, 16, 16]
    assert [chosen(wide, (16, 6, 6), batch) for batch in (1, 16, 28, 32, 33)] == [1, 1, 16, 16, 1]
    assert [chosen(tiled, (16, 6, 6), batch) for batch in (1, 16, 28, 32, 33)] == [1, 1, 1, 16, 1]


def test_auto_takes_native_code_unless_a_product_has_no_kernel() -> None:
    layer = nn.Linear(4, 3)
    compiled = tg.compile(layer)
    compiled(tg.Tensor(np.ones((5, 4), "float32")))
    assert isinstance(compiled.plan, NativePlan)

    def products(x: tg.Tensor) -> tg.Tensor:  # of whole arrays, which no example takes part in
        return x + (layer.weight @ layer.weight.T).sum()

    for function, reason in ((products, "matmul"), (lambda x: x.flip(0), "flip along the batch")):
        compiled = tg.compile(function)
        compiled(tg.Tensor(np.ones((5, 4), "float32")))
        assert compiled.plan.executor == "numpy"
        assert reason in compiled.plan.not_native_because


def test_an_algorithm_of_numpy_means_numpy() -> None:
    compiled = tg.compile(nn.Conv2d(3, 4, 3), convolution="windows")
    compiled(tg.Tensor(np.ones((5, 3, 8, 8), "float32")))
    assert compiled.plan.executor == "numpy"


def test_a_batch_of_one_keeps_its_axis() -> None:
    x: Any = tg.Tensor(np.arange(4, dtype="float32").reshape(1, 4))
    functions = [
        lambda x: x.reshape(4),
        lambda x: x.reshape(4, 1) * 2,
        lambda x: x.reshape(1, 1, 4) + 1,
        lambda x: (x.reshape(4) + 1).sum() * x,
        lambda x: x.mean(0),
        lambda x: x.T @ x,
    ]
    for function in functions:
        found = tg.compile(function, executor="native")(x)
        np.testing.assert_array_equal(found.numpy(), function(x).numpy())
