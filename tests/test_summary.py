"""The table of a model's blocks."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import ArgumentError, ShapeError
from tinygrad_cnn.graph import topological_order
from tinygrad_cnn.nn import functional as F
from tinygrad_cnn.ops.base import Operation, apply
from tinygrad_cnn.ops.conv import ConvWeight
from tinygrad_cnn.summary import count_macs, summary


class Net(nn.Module):
    def __init__(self) -> None:
        self.body = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(4, 2, bias=False)
        self.unused = nn.Linear(2, 2)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.head(self.body(x))


def test_rows() -> None:
    rows = summary(Net(), (8, 3)).rows
    assert [(row.path, row.kind, row.parameters, row.macs, row.depth) for row in rows] == [
        ("", "Net", 30, 160, 0),
        ("body", "Sequential", 16, 96, 1),
        ("body.0", "Linear", 16, 96, 2),
        ("body.1", "ReLU", 0, 0, 2),
        ("body.2", "Dropout", 0, 0, 2),
        ("head", "Linear", 8, 64, 1),
        ("unused", "Linear", 6, 0, 1),
    ]
    shapes = [[spec.shape for spec in row.outputs] for row in rows]
    assert shapes == [[(8, 2)], [(8, 4)], [(8, 4)], [(8, 4)], [(8, 4)], [(8, 2)], []]


def test_totals_and_text() -> None:
    model = Net()
    model.head.requires_grad_(False)
    table = summary(model, (8, 3))
    assert (table.parameters, table.macs, table.trainable, table.bytes) == (30, 160, 22, 120)
    lines = str(table).splitlines()
    assert lines[4].split() == ["0", "Linear", "8×4", "16", "96"]
    assert lines[8].split()[-3:] == ["not", "called", "6"]
    assert lines[-1] == "30 parameters, 22 trainable, 120 bytes; 160 multiply-adds"
    assert len({line.rindex("6") for line in (lines[3], lines[4])}) == 1  # numbers end in one column


def w(*shape: int) -> tg.Tensor:
    return tg.symbol(shape)


# what is computed, multiply-adds by hand
MACS = {
    "conv": (F.conv2d(w(2, 3, 8, 8), w(5, 3, 3, 3), w(5)), 2 * 5 * 6 * 6 * 3 * 9),
    "conv with padding and stride": (F.conv2d(w(1, 3, 8, 8), w(5, 3, 3, 3), None, 2, 1), 5 * 4 * 4 * 3 * 9),
    "conv in groups": (F.conv2d(w(1, 4, 8, 8), w(6, 2, 3, 3), None, groups=2), 6 * 6 * 6 * 2 * 9),
    "conv of each channel": (F.conv2d(w(1, 4, 8, 8), w(4, 1, 3, 3), None, groups=4), 4 * 6 * 6 * 9),
    "conv with holes": (F.conv2d(w(1, 3, 8, 8), w(5, 3, 3, 3), None, dilation=2), 5 * 4 * 4 * 3 * 9),
    "conv of signals": (F.conv1d(w(2, 3, 8), w(5, 3, 3)), 2 * 5 * 6 * 3 * 3),
    "conv of volumes": (F.conv3d(w(1, 2, 4, 4, 4), w(3, 2, 2, 2, 2)), 3 * 27 * 2 * 8),
    "transposed": (F.conv_transpose2d(w(2, 6, 4, 4), w(6, 3, 2, 2), w(3), 2), 2 * 6 * 4 * 4 * 3 * 4),
    "transposed in groups": (F.conv_transpose2d(w(1, 6, 4, 4), w(6, 3, 2, 2), None, 2, groups=2), 6 * 16 * 3 * 4),
    "gradient in the weight": (
        apply(ConvWeight((1, 1), ((0, 0), (0, 0)), (1, 1), kernel=(3, 3)), w(2, 3, 8, 8), w(2, 5, 6, 6)),
        2 * 5 * 6 * 6 * 3 * 9,
    ),
    "dense": (F.linear(w(7, 3), w(2, 3), w(2)), 7 * 3 * 2),
    "dense on two axes": (F.linear(w(4, 7, 3), w(2, 3)), 4 * 7 * 3 * 2),
    "stack of matrices": (w(5, 2, 3) @ w(5, 3, 4), 5 * 2 * 3 * 4),
    "row by column": (w(3) @ w(3), 3),
    "none at all": ((w(3, 4) * w(3, 4) + 1).relu().sum(), 0),
    "pooling": (F.max_pool2d(w(1, 2, 4, 4), 2), 0),
    "normalisation": (F.batch_norm(w(2, 3, 4), w(3), w(3), w(3), w(3)), 0),
}


@pytest.mark.parametrize(("output", "expected"), MACS.values(), ids=MACS)
def test_multiply_adds_by_hand(output: tg.Tensor, expected: int) -> None:
    assert sum(count_macs(node) for node in topological_order([output.node])) == expected


def test_the_multiply_adds_of_a_convolution_are_those_of_its_definition() -> None:
    """Counted where they happen: a product for each weight, place and image."""
    made = 0
    for _ in range(2):
        for _, row, column in np.ndindex(5, 4, 4):
            made += len([1 for c, i, j in np.ndindex(3, 3, 3) if row * 2 + i < 10 and column * 2 + j < 10])
    assert summary(nn.Conv2d(3, 5, 3, 2, 1), (2, 3, 8, 8)).macs == made


def test_a_module_that_is_called_twice_counts_twice_and_belongs_to_all_around_it() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            self.inner = nn.Sequential(nn.Linear(3, 3))
            self.other = nn.Linear(3, 3)

        def forward(self, x: tg.Tensor) -> tg.Tensor:
            with tg.scope("inner"):  # a scope of the user's that is named like a module, but is not it
                y = self.other(self.inner(self.inner(x)))
            return y @ y.T

    table = summary(Twice(), (4, 3))
    assert [row.macs for row in table.rows] == [2 * 36 + 36 + 48, 72, 72, 36]
    assert table.macs == 156


def test_the_model_stays_as_it_is() -> None:
    model = Net().eval()
    before = [(module, dict(vars(module))) for module in model.modules()]
    nodes = [parameter.node for parameter in model.parameters()]
    table = summary(model, (8, 3))
    assert table.rows[4].outputs[0].shape == (
        8,
        4,
    )  # dropout in evaluation makes no node, and has an output all the same
    for module, attributes in before:
        assert {name: value for name, value in vars(module).items() if name[0] != "_"} == attributes
    assert all(parameter.node is node for parameter, node in zip(model.parameters(), nodes, strict=True))


def test_nothing_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Operation, xp: object, *arrays: object) -> None:
        raise AssertionError(f"{self} was computed")

    for op in tg.ops.OPERATIONS.values():
        monkeypatch.setattr(op, "forward", refuse)
    assert summary(Net(), (10**6, 3)).parameters == 30


def test_a_wrong_input_gives_the_models_own_error_and_leaves_no_trace() -> None:
    model = Net()
    with pytest.raises(ShapeError, match="linear"):
        summary(model, (8, 5))
    assert not any("forward" in vars(module) for module in model.modules())


def test_bad_arguments() -> None:
    with pytest.raises(ArgumentError, match="no model"):
        summary(tg.symbol((2,)), (2,))
    with pytest.raises(ArgumentError, match="what goes in"):
        summary(Net(), None)
