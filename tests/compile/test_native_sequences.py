"""Sequences as native code: dense layers on each place, memories, attention, and tables of words."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.compile import plan
from tinygrad_cnn.compile.native import NativePlan
from tinygrad_cnn.errors import PositionError
from tinygrad_cnn.models import (
    seq2seq,
    sequence_classifier,
    text_classifier,
    transformer_classifier,
    vision_transformer,
)
from tinygrad_cnn.ops.base import apply
from tinygrad_cnn.ops.index import IndexAdd, Picked, Range

executor = importlib.import_module("tinygrad_cnn.compile.native.executor")

pytestmark = [
    pytest.mark.native, pytest.mark.cpu("native code runs on the CPU"), pytest.mark.usefixtures("watched"),
]  # fmt: skip
F = nn.functional
TOLERANCE = {"float64": {"rtol": 1e-9, "atol": 1e-9}, "float32": {"rtol": 1e-3, "atol": 2e-4}}
WORDS = 11


def dense() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 150), nn.Tanh(), nn.Linear(150, 5))


class TimeFirst(nn.Module):
    """The axis of the batch is the second one inside, and as long as the sequence."""

    def __init__(self) -> None:
        self.layers = dense()

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.layers(x.transpose(0, 1)).transpose(0, 1)


class Memory(nn.Module):
    """The examples lie on the second axis of what goes in, and of what comes out."""

    def __init__(self, words: bool = False) -> None:
        self.table = nn.Embedding(WORDS, 6) if words else nn.Tanh()
        self.memory = nn.LSTM(6, 7, bidirectional=True)
        self.head = nn.Linear(14, 5)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.head(self.memory(self.table(x))[0])


class Tables(nn.Module):
    """Two tables, one with rows that do not fill a vector, read twice, once by negative numbers."""

    def __init__(self, features: int = 5) -> None:
        self.small, self.wide = nn.Embedding(WORDS, features), nn.Embedding(WORDS, 32, padding_idx=3)
        self.head = nn.Linear(2 * features + 32, 4)

    def forward(self, words: tg.Tensor) -> tg.Tensor:
        found = [self.small(words), self.small.weight[words - WORDS], self.wide(words)]
        return self.head(tg.cat(found, -1)).mean(1)


def transformer() -> nn.Module:
    return nn.TransformerEncoderLayer(12, 3, 20, dropout=0.0, batch_first=True)


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape)


def words(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, WORDS, shape)


CASES: dict[str, tuple[Callable[[], nn.Module], tuple[np.ndarray, ...]]] = {
    "dense": (dense, (numbers(20, 7, 12),)),
    "dense on two axes": (dense, (numbers(3, 4, 5, 12),)),
    "dense, one example": (dense, (numbers(1, 6, 12),)),
    "dense, one place": (dense, (numbers(5, 1, 12),)),
    "time first": (TimeFirst, (numbers(20, 7, 12),)),
    "time first, a square": (TimeFirst, (numbers(7, 7, 12),)),
    "encoder layer": (transformer, (numbers(20, 7, 12),)),
    "encoder layer, two examples": (transformer, (numbers(2, 5, 12),)),
    "rnn": (lambda: sequence_classifier(6, 4, hidden_size=8, cell="rnn"), (numbers(20, 5, 6),)),
    "rnn, one number": (lambda: sequence_classifier(1, 4, hidden_size=8, cell="rnn"), (numbers(20, 5, 1),)),
    "lstm, memory of one number": (lambda: sequence_classifier(3, 4, hidden_size=1, cell="lstm"), (numbers(9, 6, 3),)),
    "time first outside": (Memory, (numbers(5, 20, 6),)),
    "time first outside, words": (lambda: Memory(True), (words(4, 18),)),
    "gru, two layers": (lambda: sequence_classifier(6, 4, hidden_size=8, num_layers=2), (numbers(17, 4, 6),)),
    "lstm": (lambda: sequence_classifier(8, 4, hidden_size=8, cell="lstm"), (numbers(8, 8, 8),)),
    "words": (lambda: text_classifier(WORDS, 3), (words(20, 6),)),
    "words, transformer": (lambda: transformer_classifier(WORDS, 3, dropout=0.0), (words(18, 5),)),
    "patches": (lambda: vision_transformer(8, 4, d_model=16, num_layers=1, dropout=0.0), (numbers(20, 1, 8, 8),)),
    "translation": (lambda: seq2seq(WORDS, WORDS, embedding_dim=8, hidden_size=12), (words(20, 5), words(20, 4))),
    "tables": (Tables, (words(35, 3),)),
    "tables of long rows": (lambda: Tables(40), (words(33, 3),)),
    "tables, one example": (Tables, (words(1, 3),)),
}


def train(
    make: Callable[[], nn.Module], inputs: tuple[np.ndarray, ...], dtype: str, compiled: bool
) -> tuple[list[np.ndarray], Any]:
    """What three steps return and leave behind, and the function that did them."""
    tg.seed(0)
    model = make().to(dtype)
    optimizer = tg.optim.SGD(model.parameters(), lr=0.5)

    def step(*inputs: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        optimizer.zero_grad()
        y = model(*inputs)
        loss = (y**2).mean()
        loss.backward()
        optimizer.step()
        return loss, y

    run = tg.compile(step, executor="native") if compiled else step
    given = [tg.Tensor(each.astype(dtype) if each.dtype.kind == "f" else each) for each in inputs]
    results = [each.numpy().copy() for _ in range(3) for each in run(*given)]
    return [*results, *[each.numpy() for each in model.parameters()]], run


@pytest.mark.parametrize("lanes", [1, 16], ids="{} lanes".format)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", CASES)
def test_training(case: str, dtype: str, lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "lanes_of", lambda *_: lanes)
    expected, _ = train(*CASES[case], dtype, False)
    found, run = train(*CASES[case], dtype, True)
    assert isinstance(run.plan, NativePlan)
    assert [str(step.nodes[0].op) for step in run.plan.steps if step.place == "python"] == []
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, **TOLERANCE[dtype])


@pytest.mark.parametrize("lanes", [1, 16], ids="{} lanes".format)
def test_bits_do_not_depend_on_the_threads(lanes: int) -> None:
    """Although they share the columns of a table whose rows occur several times."""
    _, run = train(*CASES["tables of long rows"], "float32", True)
    found = []
    for threads in (1, 2):
        made = NativePlan(run.graph, threads, lanes=lanes)
        random = np.random.default_rng(0)
        for array in made.states:
            array[...] = random.uniform(0.1, 1.0, array.shape)
        made.load([words(33, 3)])
        made.compute()
        made.commit()
        found.append([array.copy() for array in made.states])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("lanes", [1, 16], ids="{} lanes".format)
@pytest.mark.parametrize("wrong", [WORDS, -1 - WORDS, 10**12])
def test_a_word_that_does_not_exist(wrong: int, lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, nothing has changed, and the plan runs again."""
    monkeypatch.setattr(executor, "lanes_of", lambda *_: lanes)
    table = nn.Parameter(np.ones((WORDS, 4), "float32"))
    optimizer = tg.optim.SGD([table], lr=1.0)

    def step(words: tg.Tensor) -> tg.Tensor:
        optimizer.zero_grad()
        loss = table[words].exp().sum()
        loss.backward()
        optimizer.step()
        return loss.detach()

    f = tg.compile(step, executor="native")
    right = words(19, 3)
    f(tg.Tensor(right))
    before = table.numpy().copy()
    bad = right.copy()
    bad[18, 2] = wrong
    with pytest.raises(PositionError, match=f"axis of length {WORDS}"):
        f(tg.Tensor(bad))
    np.testing.assert_array_equal(table.numpy(), before)
    f(tg.Tensor(right))
    assert (table.numpy() != before).any()


def test_labels_that_only_the_gradient_looks_at() -> None:
    """A table of zeros into which rows are added: no other kernel has looked at these labels."""
    op = IndexAdd((Picked(), Range(0, 4, 1)), (WORDS, 4))
    f = tg.compile(lambda x, rows: apply(op, x * 2, rows), executor="native")
    x, rows = np.ones((20, 4), "float32"), words(20)
    expected = np.zeros((WORDS, 4))
    np.add.at(expected, rows, 2.0)
    np.testing.assert_array_equal(f(tg.Tensor(x), tg.Tensor(rows)).numpy(), expected)
    assert all(step.place != "python" for step in f.plan.steps)
    rows[7] = WORDS
    with pytest.raises(PositionError):
        f(tg.Tensor(x), tg.Tensor(rows))


def test_numpy_splits_the_batch_too() -> None:
    """Words are looked up, and gradients of tables added up, by each core for its own examples."""
    table = nn.Parameter(numbers(WORDS, 4).astype("float32"))

    def slope(words: tg.Tensor) -> tg.Tensor:
        return tg.grad(table[words].exp().sum(), [table])[0]

    f = tg.compile(slope, executor="numpy")
    expected = slope(tg.Tensor(words(35, 3))).numpy()
    np.testing.assert_allclose(f(tg.Tensor(words(35, 3))).numpy(), expected, rtol=1e-5)
    halves = plan.Plan(f.graph, 2)
    assert len(halves.parts) == 2
    for state, array in zip(halves.graph.states, halves.states, strict=True):
        array[...] = state.read()
    halves.load([words(35, 3)])
    halves.run()
    np.testing.assert_allclose(halves.result(0), expected, rtol=1e-5)


def test_rows_that_are_made_of_other_axes() -> None:
    """They are as many, and one of the axes is as long as the batch, but row by row they are other examples."""
    x, y = numbers(4, 3, 20), numbers(2, 3, 2, 5)
    f = tg.compile(lambda x, y: x.reshape(12, 20).T @ y.reshape(12, 5), executor="native")
    np.testing.assert_allclose(f(tg.Tensor(x), tg.Tensor(y)).numpy(), x.reshape(12, 20).T @ y.reshape(12, 5))
