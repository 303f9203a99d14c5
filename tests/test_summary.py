"""The table of a model's blocks."""

from __future__ import annotations

import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import ArgumentError, ShapeError
from tinygrad_cnn.ops.base import Operation
from tinygrad_cnn.summary import summary


class Net(nn.Module):
    def __init__(self) -> None:
        self.body = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(4, 2, bias=False)
        self.unused = nn.Linear(2, 2)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.head(self.body(x))


def test_rows() -> None:
    rows = summary(Net(), (8, 3)).rows
    assert [(row.path, row.kind, row.parameters, row.depth) for row in rows] == [
        ("", "Net", 30, 0),
        ("body", "Sequential", 16, 1),
        ("body.0", "Linear", 16, 2),
        ("body.1", "ReLU", 0, 2),
        ("body.2", "Dropout", 0, 2),
        ("head", "Linear", 8, 1),
        ("unused", "Linear", 6, 1),
    ]
    shapes = [[spec.shape for spec in row.outputs] for row in rows]
    assert shapes == [[(8, 2)], [(8, 4)], [(8, 4)], [(8, 4)], [(8, 4)], [(8, 2)], []]


def test_totals_and_text() -> None:
    model = Net()
    model.head.requires_grad_(False)
    table = summary(model, (8, 3))
    assert (table.parameters, table.trainable, table.bytes) == (30, 22, 120)
    lines = str(table).splitlines()
    assert lines[4].split() == ["0", "Linear", "8×4", "16"]
    assert lines[8].endswith("not called           6")
    assert lines[-1] == "30 parameters, 22 trainable, 120 bytes"


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
