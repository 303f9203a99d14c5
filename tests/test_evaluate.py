"""The interpreter of symbolic graphs."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn


def test_symbolic_equals_eager() -> None:
    data = np.random.default_rng(0).normal(size=(2, 1, 8, 8)).astype(np.float32)
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding="same"), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(48, 5)
    )
    x = tg.symbol((2, 1, 8, 8))
    symbolic = tg.evaluate(model(x), {x: data})
    np.testing.assert_allclose(symbolic.numpy(), model(tg.Tensor(data)).numpy(), rtol=1e-5, atol=1e-6)


def test_one_or_several_outputs() -> None:
    x, y = tg.symbol((2,)), tg.symbol((2,))
    total = x + y
    assert tg.evaluate(total, {x: [1.0, 2.0], y: tg.Tensor([3.0, 4.0])}).tolist() == [4.0, 6.0]
    found = tg.evaluate([total, total * 2, x], {x: np.float32([1, 2]), y: np.float32([3, 4])})
    assert [each.tolist() for each in found] == [[4, 6], [8, 12], [1, 2]]


def test_an_eager_tensor_is_its_own_value() -> None:
    assert tg.evaluate(tg.Tensor([1.0, 2.0])).tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (np.zeros((3,), np.float32), tg.ShapeError, "does not fit the symbol 'x'"),
        (np.zeros((2,), np.float64), tg.DTypeError, r"array.astype\('float32'\)"),
    ],
)
def test_values_must_fit(value: np.ndarray, kind: type[Exception], text: str) -> None:
    x = tg.symbol((2,), name="x")
    with pytest.raises(kind, match=text):
        tg.evaluate(x * 2, {x: value})


def test_values_are_for_symbols() -> None:
    x = tg.symbol((2,))
    with pytest.raises(tg.GraphError, match="values can be given to symbols only"):
        tg.evaluate(x * 2, {x * 2: [1.0, 2.0]})


def test_a_parameter_stands_for_what_it_holds_now() -> None:
    weight = tg.Tensor([2.0], requires_grad=True)
    x = tg.symbol((1,))
    y = x * weight
    weight.assign([5.0])
    assert tg.evaluate(y, {x: [10.0]}).tolist() == [50.0]


def test_random_numbers_are_drawn_anew_and_repeat_with_the_seed() -> None:
    x = tg.symbol((100,))
    y = nn.functional.dropout(x)
    ones = np.ones(100, np.float32)
    tg.seed(5)
    first, second = tg.evaluate(y, {x: ones}).tolist(), tg.evaluate(y, {x: ones}).tolist()
    tg.seed(5)
    assert tg.evaluate(y, {x: ones}).tolist() == first
    assert first != second


def test_an_error_while_running_names_the_line_of_the_operation() -> None:
    x, places = tg.symbol((1, 3)), tg.symbol((1, 1), dtype="int64")
    picked = tg.take_along_dim(x, places, 1)  # described here
    with pytest.raises(tg.ArgumentError, match="outside an axis of length 3") as caught:
        tg.evaluate(picked, {x: [[1.0, 2.0, 3.0]], places: [[7]]})
    assert any("# described here" in note for note in caught.value.__notes__)


def test_detect_nan_names_the_line_of_the_operation() -> None:
    x = tg.symbol((1,))
    root = x.sqrt()  # described here
    with tg.detect_nan(), pytest.raises(tg.NanError, match="sqrt: made 1 NaN") as caught:
        tg.evaluate(root, {x: [-1.0]})
    assert any("# described here" in note for note in caught.value.__notes__)


def test_arrays_are_freed_after_their_last_use(device_name: str) -> None:
    alive: list[weakref.ref[object]] = []
    most = 0

    class Watched(tg.ops.Operation):
        name = "watched"

        def infer(self, x: tg.graph.Spec) -> tg.graph.Spec:
            return x

        def forward(self, xp, x):
            nonlocal most
            most = max(most, sum(each() is not None for each in alive))
            result = x * 1
            alive.append(weakref.ref(result))
            return result

    if device_name != "cpu":
        pytest.skip("arrays of the stand-in device cannot be watched")
    x = tg.symbol((10,))
    y = x
    for _ in range(20):
        y = tg.ops.apply(Watched(), y)
    tg.evaluate(y, {x: np.ones(10, np.float32)})
    assert most <= 2


def test_a_deep_graph_needs_no_recursion() -> None:
    x = tg.symbol(())
    y = x
    for _ in range(20_000):
        y = y + 1.0
    assert tg.evaluate(y, {x: 0.0}).item() == 20_000.0
