"""Pictures are tested by their model and their DOT text, never by their pixels."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace

import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.draw import Drawing, GraphView, render
from tinygrad_cnn.errors import ArgumentError, ShapeError
from tinygrad_cnn.extras import MissingPackageError
from tinygrad_cnn.ops.base import Operation


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        self.inner = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.act = nn.ReLU()

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.act(self.inner(self.act(x)) + x)


class Net(nn.Module):
    def __init__(self) -> None:
        self.blocks = [Residual(4), Residual(4)]
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 3, bias=False)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        for block in self.blocks:
            x = block(x)
        return self.head(self.drop(x))


def by_name(view: GraphView, name: str) -> list:
    return [node for node in view.nodes if node.name == name]


def paths(view: GraphView) -> dict[str, str]:
    """The frames as paths, by id."""
    found = {"": ""}
    for group in view.groups:
        found[group.id] = f"{found[group.parent]}/{group.name or group.title}"
    return found


# Blocks


def test_each_innermost_module_is_one_box_with_its_facts() -> None:
    view = tg.draw(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), (8, 3)).view
    facts = [(node.role, node.title, node.name, node.settings, node.shape, node.parameters) for node in view.nodes]
    assert facts == [
        ("input", "input", "input", (), "8×3", 0),
        ("block", "Linear", "0", ("3 → 2",), "8×2", 8),
        ("block", "ReLU", "1", (), "8×2", 0),
        ("output", "output", "", (), "8×2", 0),
    ]
    assert [(edge.source, edge.target, edge.shape) for edge in view.edges] == [
        ("n0", "n1", "8×3"),
        ("n1", "n2", "8×2"),
        ("n2", "n3", "8×2"),
    ]


def test_containers_are_nested_frames() -> None:
    view = tg.draw(Net(), (2, 4)).view
    inside = paths(view)
    assert list(inside.values()) == [
        "",
        "/Net",
        "/Net/blocks",
        "/Net/blocks/0",
        "/Net/blocks/0/inner",
        "/Net/blocks/1",
        "/Net/blocks/1/inner",
    ]
    assert [inside[node.group] for node in by_name(view, "0")] == ["/Net/blocks/0/inner", "/Net/blocks/1/inner"]
    dot = tg.draw(Net(), (2, 4)).dot
    assert dot.count("subgraph cluster_") == 6
    assert dot.index("cluster_g2") < dot.index("cluster_g3") < dot.index("\n        }") < dot.index("cluster_g4")


def test_a_residual_sum_is_its_own_box_with_two_arrows() -> None:
    view = tg.draw(Residual(4), (2, 4)).view
    (add,) = [node for node in view.nodes if node.title == "add"]
    names = {node.id: node.name for node in view.nodes}
    assert [names[edge.source] for edge in view.edges if edge.target == add.id] == ["2", "input"]


def test_a_module_called_twice_is_two_boxes() -> None:
    view = tg.draw(Residual(4), (2, 4)).view
    first, second = by_name(view, "act")
    arrows = {(edge.source, edge.target) for edge in view.edges}
    assert (first.id, second.id) not in arrows
    assert (second.id, first.id) not in arrows


def test_numbers_of_boxes_follow_the_arrows() -> None:
    for backward in (False, True):
        view = tg.draw(Net(), (2, 4), backward=backward).view
        assert [node.id for node in view.nodes] == [f"n{index}" for index in range(len(view.nodes))]
        assert all(int(edge.source[1:]) < int(edge.target[1:]) for edge in view.edges)


def test_the_model_runs_as_it_is_and_stays_so() -> None:
    model = Net()
    assert by_name(tg.draw(model, (2, 4)).view, "drop")
    model.eval()
    before = [(each, each.node) for each in model.parameters()]
    assert not by_name(tg.draw(model, (2, 4), backward=True).view, "drop")
    assert not model.training
    assert all(parameter.node is node for parameter, node in before)


def test_drawing_a_model_in_training_writes_nothing() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    before = [(buffer, buffer.node, buffer.tolist()) for buffer in model.buffers()]
    tg.draw(model, (8, 3), level="op")
    assert all(buffer.node is node and buffer.tolist() == numbers for buffer, node, numbers in before)


def test_nothing_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Net()  # made first: what is refused is to compute for the picture

    def refuse(self: Operation, xp: object, *arrays: object) -> None:
        raise AssertionError(f"{self} was computed")

    for op in tg.ops.OPERATIONS.values():
        monkeypatch.setattr(op, "forward", refuse)
    assert tg.draw(model, (10**6, 4), backward=True).dot
    assert tg.draw(model, (10**6, 4), level="op").dot


def test_inputs_may_be_shapes_tensors_or_several_of_them() -> None:
    class Two(nn.Module):
        def forward(self, a: tg.Tensor, b: tg.Tensor) -> dict[str, tg.Tensor]:
            return {"sum": a + b, "product": a * b}

    view = tg.draw(Two(), [(2, 3), tg.Tensor([1.0, 2.0, 3.0], name="b")]).view
    assert [(node.name, node.shape) for node in view.nodes if node.role == "input"] == [("input 0", "2×3"), ("b", "3")]
    assert view.outputs == ("2×3", "2×3")
    assert tg.draw(nn.ReLU(), tg.symbol((5,), name="pixels")).view.nodes[0].name == "pixels"


def test_the_model_speaks_for_itself_when_the_input_does_not_fit() -> None:
    with pytest.raises(ShapeError, match="linear"):
        tg.draw(nn.Linear(3, 2), (8, 4))


def test_lenet_in_blocks() -> None:
    view = tg.draw(tg.models.lenet5(), (8, 1, 32, 32)).view
    assert view.describe() == "LeNet5: 12 blocks, input 8×1×32×32, output 8×10"
    assert view.nodes[1].settings == ("1 → 6", "kernel 5×5")
    assert [node.kind for node in view.nodes[1:5]] == ["convolution", "activation", "pooling", "convolution"]
    assert view.groups[0].parameters == 61_706


# Operations


def test_operations_with_settings_leaves_and_folded_numbers() -> None:
    x = tg.symbol((2, 3), name="x")
    with tg.scope("outer"), tg.scope("inner"):
        y = 1 - x.sum(1) * 0.5
    view = tg.draw(y).view
    assert [(node.role, node.title, node.settings, node.shape) for node in view.nodes] == [
        ("input", "input", (), "2×3"),
        ("operation", "sum", ("dims 1",), "2"),
        ("operation", "mul", ("(·, 0.5)",), "2"),
        ("operation", "sub", ("(1, ·)",), "2"),
    ]
    assert set(paths(view).values()) == {"", "/outer", "/outer/inner"}
    assert view.level == "op"


def test_parameters_have_their_full_names_and_stand_in_their_module() -> None:
    view = tg.draw(Net(), (2, 4), level="op").view
    inside = paths(view)
    (weight,) = by_name(view, "blocks.1.inner.2.weight")
    assert (weight.role, weight.shape, weight.parameters) == ("parameter", "4×4", 16)
    assert inside[weight.group] == "/Net/blocks/1/inner/2"


def test_buffers_are_told_from_parameters() -> None:
    model = nn.Sequential(nn.BatchNorm1d(4)).eval()
    view = tg.draw(model, (8, 4), level="op").view
    titles = {node.name: node.title for node in view.nodes if node.role == "parameter"}
    assert titles["0.running_mean"] == "buffer"
    assert titles["0.weight"] == "parameter"


def test_element_types_are_said_unless_usual() -> None:
    x = tg.symbol((2,), "float64", name="x")
    assert [node.shape for node in tg.draw(x > 0).view.nodes] == ["2 float64", "2 bool"]


def test_both_uses_of_one_tensor_are_drawn() -> None:
    x = tg.Tensor(3.0, requires_grad=True, name="x")
    view = tg.draw(x * x).view
    assert [(edge.source, edge.target) for edge in view.edges] == [("n0", "n1"), ("n0", "n1")]
    assert (view.nodes[0].role, view.nodes[0].name) == ("parameter", "x")


def test_tensors_can_be_drawn_in_blocks_by_scope() -> None:
    x = tg.symbol((2, 3), name="x")
    with tg.scope("net"):
        with tg.scope("first"):
            y = x.exp().sum(1)
        y = y.relu()
    view = tg.draw(y, level="block").view
    assert [(node.role, node.title) for node in view.nodes] == [
        ("input", "input"),
        ("block", "first"),
        ("operation", "relu"),
    ]


def test_several_outputs() -> None:
    x = tg.symbol((2,), name="x")
    assert len(tg.draw([x.exp(), x.relu()]).view.nodes) == 3


# The gradient


def test_the_gradient_has_boxes_and_a_frame_of_its_own() -> None:
    forward, both = (tg.draw(Net(), (2, 4), backward=backward).view for backward in (False, True))
    inside = paths(both)
    added = [node for node in both.nodes if node.backward]
    assert not any(node.backward for node in forward.nodes)
    assert len(forward.nodes) + len(added) == len(both.nodes)
    assert {node.kind for node in added} == {"gradient"}
    assert all(inside[node.group].startswith("/gradient/") for node in added)
    (head,) = [node for node in added if node.name == "head"]
    assert head.settings == ("gradient in weight",)
    assert any(edge.saved and edge.target == head.id for edge in both.edges)


def test_the_gradient_of_a_module_called_twice_is_two_boxes() -> None:
    view = tg.draw(Residual(4), (2, 4), backward=True).view
    assert len([node for node in view.nodes if node.backward and node.name == "act"]) == 2


def test_the_gradient_of_an_eager_graph_is_drawn_in_full() -> None:
    x = tg.Tensor([1.0, 2.0], requires_grad=True, name="x")
    view = tg.draw((x * 3).relu().sum(), backward=True).view
    backward = [node for node in view.nodes if node.backward]
    assert [node.title for node in backward] == ["gradient of sum", "gradient of relu", "gradient of mul"]
    assert (backward[-1].settings, backward[-1].rule) == (("gradient in x",), "grad * b, grad * a")
    assert x.grad is None


def test_no_gradient_to_draw() -> None:
    with pytest.raises(ArgumentError, match="no leaf requires one"):
        tg.draw(tg.symbol((2,), "int64") + 1, backward=True)


# The text of pictures

HOSTILE = 'a"b<c>&{d}|\\N\\G\nz'


def test_names_are_escaped() -> None:
    with tg.scope(HOSTILE):
        y = tg.symbol((2,), name=HOSTILE).exp()
    drawing = tg.draw(y, name=HOSTILE)
    assert "a&quot;b&lt;c&gt;&amp;&#123;d&#125;&#124;&#92;&#92;N&#92;&#92;G<BR/>z" in drawing.dot
    assert HOSTILE[:4] not in drawing.dot
    assert drawing.text().splitlines()[1].startswith('n0 input a"b<c>&{d}|\\N\\G z')


def test_names_come_back_from_the_layout_engine_as_they_were() -> None:
    pytest.importorskip("pygraphviz")
    with tg.scope(HOSTILE):
        y = tg.symbol((2,), name=HOSTILE).exp()
    words = [element.text for element in ET.fromstring(tg.draw(y).svg()).iter("{http://www.w3.org/2000/svg}text")]
    assert words.count('a"b<c>&{d}|\\N\\G') == 2


_SCRIPT = """
import tinygrad_cnn as tg
from tinygrad_cnn import nn
model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
for level in ("block", "op"):
    print(tg.draw(model, (8, 3), level=level, backward=True).dot)
deep = nn.Sequential(*[nn.Sequential(nn.Linear(3, 3), nn.ReLU()) for _ in range(150)])
for settings in ({}, {"fold": True}, {"depth": 1, "backward": True, "overlay": "macs"}, {"collapse": nn.Linear}):
    drawing = tg.draw(deep, (8, 3), **settings)
    print(drawing.dot, drawing.json(), drawing.mermaid(), drawing.page(), drawing.text())
x = tg.Tensor([1.0, 2.0], requires_grad=True, name="x")
print(tg.draw(((x * x).log() + x).sum(), level="scalar", backward=True).json())
import sys
assert "pygraphviz" not in sys.modules and "graphviz" not in sys.modules
"""


def test_dot_is_the_same_in_every_process() -> None:
    texts = []
    for seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", _SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr.decode()
        texts.append(run.stdout)
    assert texts[0] == texts[1]
    assert texts[0].count(b"digraph") == 6


def test_deep_graphs_and_deep_scopes_need_no_recursion() -> None:
    x = tg.symbol((2,), name="x")
    for _ in range(2000):
        x = x.relu()
    view = tg.draw(x, backward=True, depth=9).view
    assert len(view.nodes) == 4001
    drawing = Drawing(view)
    assert drawing.dot.count("->") > 4000
    assert drawing.text().count("\n") >= 4001


# Files, notebooks, engines


@pytest.fixture
def drawing() -> Drawing:
    return tg.draw(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), (8, 3))


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(render, "importlib", SimpleNamespace(import_module=absent))


def test_text(drawing: Drawing) -> None:
    assert str(drawing).splitlines() == [
        "Sequential: 2 blocks, input 8×3, output 8×2",
        "n0 input       8×3",
        "Sequential",
        "  n1 Linear 0  8×2  8 parameters  48 MACs  3 → 2",
        "  n2 ReLU 1    8×2",
        "n3 output      8×2",
    ]


def test_svg_is_fit_for_a_page(drawing: Drawing) -> None:
    pytest.importorskip("pygraphviz")
    root = ET.fromstring(drawing.svg())
    space = "{http://www.w3.org/2000/svg}"
    assert root.get("role") == "img"
    assert root.get("viewBox")
    assert root.get("width")
    assert [(each.tag, each.text) for each in list(root)[:2]] == [
        (f"{space}title", "Sequential"),
        (f"{space}desc", "Sequential: 2 blocks, input 8×3, output 8×2"),
    ]
    assert not any(element.get("id") for element in root.iter())
    assert "<!--" not in drawing.svg()
    assert drawing._repr_mimebundle_()["image/svg+xml"] == drawing.svg()


@pytest.mark.parametrize(
    ("suffix", "start"),
    [(".svg", b"<svg "), (".png", b"\x89PNG"), (".pdf", b"%PDF"), (".dot", b"digraph"), (".txt", b"Seq")],
)
def test_save(drawing: Drawing, tmp_path: Path, suffix: str, start: bytes) -> None:
    if suffix in (".svg", ".png", ".pdf"):
        pytest.importorskip("pygraphviz")
    assert drawing.save(tmp_path / f"net{suffix}").read_bytes().startswith(start)


def test_unknown_suffix(drawing: Drawing, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"\.mmd, \.json, \.html, \.svg"):
        drawing.save(tmp_path / "net.jpeg")


def test_missing_folder(drawing: Drawing, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="does not exist"):
        drawing.save(tmp_path / "nowhere" / "net.dot")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.usefixtures("no_engine")
def test_without_an_engine(drawing: Drawing, tmp_path: Path) -> None:
    with pytest.raises(MissingPackageError, match=r'pip install "tinygrad_cnn\[draw\]"'):
        drawing.svg()
    assert drawing._repr_mimebundle_() == {"text/plain": drawing.text()}
    with pytest.raises(MissingPackageError):
        drawing.save(tmp_path / "net.svg")
    assert list(tmp_path.iterdir()) == []
    assert drawing.save(tmp_path / "net.txt").read_text("utf-8") == drawing.text() + "\n"


@pytest.mark.usefixtures("no_engine")
def test_show_prints_the_text_where_nothing_can_be_opened(drawing: Drawing, capsys: pytest.CaptureFixture) -> None:
    drawing.show()
    shown = capsys.readouterr()
    assert shown.out == drawing.text() + "\n"
    assert 'pip install "tinygrad_cnn[draw]"' in shown.err


def test_show_opens_a_file(drawing: Drawing, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pygraphviz")
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    drawing.show()
    path = Path(opened[0].removeprefix("file://"))
    assert path.read_text("utf-8").startswith("<svg")
    path.unlink()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((3,), "cannot be drawn"),
        (([],), "cannot be drawn"),
        ((nn.ReLU(),), "what goes in"),
        ((nn.ReLU(), "8x3"), "what goes in"),
        ((tg.symbol((2,)), (2,)), "has its inputs already"),
        ((tg.symbol((2,)), None, "layer"), "no such level"),
    ],
)
def test_bad_arguments(arguments: tuple, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        tg.draw(*arguments)
