"""The table of a model's blocks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.draw.trace import tensors_in
from tinygrad_cnn.errors import ArgumentError, ShapeError
from tinygrad_cnn.graph import topological_order
from tinygrad_cnn.inspect import receptive_field
from tinygrad_cnn.models import CATALOGUE
from tinygrad_cnn.nn import functional as F
from tinygrad_cnn.ops.base import Operation, apply
from tinygrad_cnn.ops.conv import ConvWeight
from tinygrad_cnn.summary import Summary, activations_of, count_flops, count_macs, summary


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
    assert lines[-1] == ("30 parameters, 22 trainable, 120 bytes; 160 multiply-adds (320 FLOPs); activations 256 bytes")
    assert len({line.index("16") for line in (lines[3], lines[4])}) == 1  # numbers end in one column


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
    "transposed signals": (F.conv_transpose1d(w(1, 2, 5), w(2, 3, 4), None, 3), 2 * 5 * 3 * 4),
    "transposed volumes": (F.conv_transpose3d(w(1, 2, 3, 3, 3), w(2, 1, 2, 2, 2), None, 2), 2 * 27 * 8),
    "transposed with holes": (F.conv_transpose2d(w(1, 2, 5, 5), w(2, 3, 3, 3), None, dilation=2), 2 * 25 * 3 * 9),
    "conv of each channel of signals": (F.conv1d(w(1, 6, 9), w(6, 1, 3), None, groups=6), 6 * 7 * 3),
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
    nodes = topological_order([output.node])
    assert sum(count_macs(node) for node in nodes) == expected
    assert sum(count_flops(node) for node in nodes) == 2 * expected


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


# Activations


def held(model: nn.Module, inputs: list[tg.Tensor]) -> int:
    """The memory that a forward pass leaves behind for the gradient: every array that a node holds, once."""

    def owner(array: np.ndarray) -> np.ndarray:
        while isinstance(array.base, np.ndarray):
            array = array.base
        return array

    outputs = [tensor.node for tensor in tensors_in(model(*inputs))]
    nodes = [node for node in topological_order(outputs) if node.value is not None and node.op.name != "full"]
    arrays = {id(owner(node.value)): owner(node.value) for node in nodes}
    for leaf in (*model.parameters(), *model.buffers(), *inputs):
        arrays.pop(id(owner(leaf.array)), None)
    return sum(array.nbytes for array in arrays.values() if array.size > 1)


SOME = ("lenet5", "keras_cnn", "resnet8", "residual_mlp", "conv_autoencoder", "espcn", "dcgan_generator", "gcn")


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", SOME)
def test_activations_are_what_a_real_forward_pass_holds(name: str, training: bool, device_name: str) -> None:
    if device_name != "cpu":
        pytest.skip("which arrays share memory is told by NumPy")
    entry = CATALOGUE[name]
    model = entry.make().train(training)
    random = np.random.default_rng(0)
    inputs = [tg.Tensor(random.random(spec.shape, np.float32)) for spec in entry.inputs]
    assert summary(model, entry.symbols()).activations == held(model, inputs)


def test_activations_by_hand() -> None:
    """Of a dense layer, ReLU, dropout and dense layer: what ReLU gave, the noise, and what dropout gave."""
    model = Net()
    rows = {row.path: row.activations for row in summary(model, (8, 3)).rows}
    assert rows == {"": 384, "body": 384, "body.0": 0, "body.1": 128, "body.2": 256, "head": 0, "unused": 0}
    assert summary(model.eval(), (8, 3)).activations == 128
    model.body.requires_grad_(False)  # only the last layer is trained: it reads its input
    assert summary(model, (8, 3)).activations == 128
    model.requires_grad_(False)
    assert summary(model, (8, 3)).activations == 0


def test_a_view_takes_no_memory_of_its_own() -> None:
    weight = tg.Tensor(np.ones((4, 4)), requires_grad=True)
    y = (weight * 2.0).relu()
    both = [y.reshape(2, 8).T[:1].exp(), (y * y).sum()]
    assert [node.op.name for node in activations_of([each.node for each in both])] == ["relu", "exp"]


# Receptive fields


class Branches(nn.Module):
    def __init__(self) -> None:
        self.small, self.large = nn.Conv2d(2, 3, 1), nn.Conv2d(2, 3, 5, padding=2)
        self.after = nn.Sequential(nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2))

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.after(tg.cat([self.small(x), self.large(x)], 1))


@pytest.mark.parametrize(
    ("make", "shape"),
    [(Branches, (1, 2, 8, 8)), (tg.models.lenet5, (1, 1, 32, 32)), (tg.models.resnet8, (1, 1, 28, 28)),
     (tg.models.unet, CATALOGUE["unet"].inputs[0].shape)],
    ids=["branches", "lenet5", "resnet8", "unet"],
)  # fmt: skip
def test_receptive_fields_are_those_of_inspect(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    model = make()
    names = dict(model.named_modules())
    seen = {row.path: row.receptive_field for row in summary(model, shape).rows if row.outputs}
    some = list(seen)[:: max(1, len(seen) // 12)]
    assert {path: seen[path] for path in some} == {path: receptive_field(model, shape, path).size for path in some}
    assert all(module.training for module in names.values())


def test_receptive_fields_by_hand() -> None:
    rows = {row.path: row.receptive_field for row in summary(Branches(), (1, 2, 8, 8)).rows}
    assert rows["small"] == (1, 1)
    assert rows["large"] == rows["after.0"] == rows["after.1"] == (5, 5)
    assert rows[""] == rows["after.2"] == (6, 6)
    assert summary(nn.Conv1d(2, 3, 4), (1, 2, 9)).rows[0].receptive_field == (4,)
    assert summary(nn.ConvTranspose2d(1, 1, 4, stride=2), (1, 1, 5, 5)).rows[0].receptive_field == (2, 2)
    vgg = {row.path: row.receptive_field for row in summary(tg.models.vgg16(), (1, 3, 224, 224)).rows}
    assert (vgg["features.28"], vgg["features.30"]) == ((196, 196), (212, 212))


def test_there_are_no_receptive_fields_without_pixels() -> None:
    for model, shape in ((Net(), (8, 3)), (nn.LSTM(3, 4), (5, 2, 3))):
        table = summary(model, shape)
        assert not any(row.receptive_field for row in table.rows)
        assert "field" not in str(table) + table.html()


# Data and HTML


def test_data_is_the_table() -> None:
    table = summary(Branches(), (1, 2, 8, 8))
    data = json.loads(json.dumps(table.data()))
    assert data["schema"] == "tinygrad_cnn.summary/1"
    assert {key: data[key] for key in ("parameters", "macs", "flops", "trainable", "bytes", "activations")} == {
        "parameters": table.parameters, "macs": table.macs, "flops": 2 * table.macs, "trainable": table.trainable,
        "bytes": table.bytes, "activations": table.activations,
    }  # fmt: skip
    assert len(data["rows"]) == len(table.rows)
    last = data["rows"][-1]
    assert last == {
        "path": "after.2", "kind": "MaxPool2d", "outputs": [{"shape": [1, 6, 4, 4], "dtype": "float32"}],
        "parameters": 0, "macs": 0, "depth": 2, "activations": table.rows[-1].activations, "receptive_field": [6, 6],
        "flops": 0,
    }  # fmt: skip


def cells(table: Summary) -> list[list[str]]:
    root = ElementTree.fromstring(table.html())
    return [["".join(cell.itertext()) for cell in row] for row in root.iter("tr")]


def test_html_says_what_the_text_says() -> None:
    table = summary(Branches(), (1, 2, 8, 8))
    heads, *rows = cells(table)
    assert heads == ["block", "kind", "output", "receptive field", "parameters", "MACs", "activations"]
    texts = str(table).splitlines()
    assert len(rows) == len(table.rows) == len(texts) - 4
    for row, text in zip(rows, texts[2:], strict=False):
        assert " ".join(filter(None, row)).split() == text.split()
    assert texts[-1] in table.html()
    assert table._repr_html_() == table.html()


def test_html_is_escaped_and_takes_the_colours_of_the_page() -> None:
    kind = type("A<b>&", (nn.Linear,), {})
    model = nn.Sequential(kind(3, 2))
    table = summary(model, (4, 3))
    assert cells(table)[2][1] == "A<b>&"
    assert "A&lt;b&gt;&amp;" in table.html()
    colours = {part.partition(":")[2] for part in table.html().replace('"', ";").split(";") if "color:" in part}
    assert colours == {"inherit"}


def test_the_largest_network_is_quick() -> None:
    model = tg.models.resnet152()
    start = time.process_time()
    table = summary(model, (1, 3, 224, 224))
    assert time.process_time() - start < 2
    assert len(table.rows) == 524
    assert all(parameter._array is None for parameter in model.parameters())
