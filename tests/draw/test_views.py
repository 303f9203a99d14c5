"""Views that show less (collapsed, folded) or more (numbers, shares, errors) than the plain picture."""

from __future__ import annotations

import contextlib
import time

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.draw import GraphView, ViewNode
from tinygrad_cnn.errors import ArgumentError, ShapeError


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        self.layer = nn.Linear(width, width)
        self.act = nn.ReLU()

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.act(self.layer(x)) + x


class Net(nn.Module):
    def __init__(self, blocks: int = 3) -> None:
        self.stem = nn.Linear(3, 4)
        self.body = nn.Sequential(*[Block(4) for _ in range(blocks)])
        self.head = nn.Linear(4, 2)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.head(self.body(self.stem(x)))


def boxes(view: GraphView) -> list[str]:
    return [f"{node.title} {node.name}".strip() for node in view.nodes if node.role in ("operation", "block")]


def arrows(view: GraphView) -> list[tuple[str, str]]:
    names = {node.id: node.name or node.title for node in view.nodes}
    return [(names[edge.source], names[edge.target]) for edge in view.edges]


def titled(view: GraphView, title: str) -> list[ViewNode]:
    return [node for node in view.nodes if node.title == title]


# Calls


def test_a_module_applied_twice_in_a_row_is_two_boxes() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(4, 4)

        def forward(self, x: tg.Tensor) -> tg.Tensor:
            return self.layer(self.layer(x))

    view = tg.draw(Twice(), (2, 4), backward=True).view
    forward = [node for node in view.nodes if node.name == "layer" and not node.backward]
    assert [node.settings for node in forward] == [("4 → 4",), ("4 → 4", "call 2")]
    assert len([node for node in view.nodes if node.name == "layer" and node.backward]) == 2
    weights = [node for node in view.nodes if node.role == "parameter"]
    assert [node.name for node in weights] == ["layer.weight", "layer.bias"]
    for weight in weights:  # one parameter, used twice
        assert [edge.target for edge in view.edges if edge.source == weight.id and not edge.saved] == [
            node.id for node in forward
        ]


def test_the_same_module_under_two_names_is_one_set_of_parameters() -> None:
    layer = nn.Linear(4, 4)
    view = tg.draw(nn.Sequential(layer, nn.ReLU(), layer), (2, 4)).view
    assert [node.name for node in view.nodes if node.role == "parameter"] == ["0.weight", "0.bias"]
    assert view.groups[0].parameters == 20
    assert sum(node.role == "parameter" for node in tg.draw(Net(), (2, 3)).view.nodes) == 0


# Collapsing


@pytest.mark.parametrize(
    ("depth", "expected"),
    [
        (0, ["Net net"]),
        (1, ["Linear stem", "Sequential body", "Linear head"]),
        (2, ["Linear stem", "Block 0", "Block 1", "Block 2", "Linear head"]),
    ],
)
def test_depth(depth: int, expected: list[str]) -> None:
    view = tg.draw(Net(), (5, 3), depth=depth).view
    assert boxes(view) == expected
    assert sum(node.parameters for node in view.nodes) == 86
    assert sum(node.macs for node in view.nodes) == 5 * (3 * 4 + 3 * 4 * 4 + 4 * 2)


def test_depth_leaves_operations_above_it_open() -> None:
    view = tg.draw(Net(), (5, 3), level="op", depth=2).view
    assert [name for name in boxes(view) if name[0].isupper()] == ["Block 0", "Block 1", "Block 2"]
    assert "stem.weight" in [node.name for node in view.nodes]
    assert "body.0.layer.weight" not in [node.name for node in view.nodes]
    assert boxes(tg.draw(Net(), (5, 3), level="op", depth=1).view) == ["Linear stem", "Sequential body", "Linear head"]


def test_collapse_by_class_and_by_function() -> None:
    by_class = tg.draw(Net(2), (5, 3), collapse=Block).view
    assert boxes(by_class) == ["Linear stem", "Block 0", "Block 1", "Linear head"]
    by_path = tg.draw(Net(2), (5, 3), collapse=lambda path, module: path == "net/body/1").view
    assert boxes(by_path) == ["Linear stem", "Linear layer", "ReLU act", "add", "Block 1", "Linear head"]
    with pytest.raises(ArgumentError, match="which blocks are one box"):
        tg.draw(Net(), (5, 3), collapse="body")
    with pytest.raises(ArgumentError, match="steps below the model"):
        tg.draw(Net(), (5, 3), depth=-1)


def test_collapsed_blocks_keep_their_gradients_beside_them() -> None:
    view = tg.draw(Net(2), (5, 3), depth=2, backward=True).view
    assert [node.name for node in view.nodes if node.backward] == ["head", "1", "0", "stem"]
    ids = {node.id: node for node in view.nodes}
    assert all(int(edge.source[1:]) < int(edge.target[1:]) for edge in view.edges)
    assert all(ids[edge.target].backward and not ids[edge.source].backward for edge in view.edges if edge.saved)


def test_scopes_of_tensors_collapse_too() -> None:
    x = tg.symbol((2,), name="x")
    with tg.scope("outer"):
        with tg.scope("inner"):
            y = x.exp().tanh()
        y = y.relu()
    assert boxes(tg.draw(y, depth=1).view) == ["outer"]
    assert boxes(tg.draw(y, depth=2).view) == ["inner", "relu"]


# Folding


def test_equal_neighbours_are_drawn_once() -> None:
    view = tg.draw(Net(5), (2, 3), fold=True).view
    assert boxes(view) == ["Linear stem", "Linear layer", "ReLU act", "add", "Linear head"]
    assert [(group.name, group.repeat) for group in view.groups] == [("", 1), ("body", 1), ("0", 5)]
    assert arrows(view) == [
        ("input", "stem"),
        ("stem", "layer"),
        ("layer", "act"),
        ("act", "add"),
        ("stem", "add"),
        ("add", "head"),
        ("head", "output"),
    ]
    assert "×5" in tg.draw(Net(5), (2, 3), fold=True).dot
    assert "Block 0 ×5" in tg.draw(Net(5), (2, 3), fold=True).text()


def test_folding_holds_for_the_gradient() -> None:
    view = tg.draw(Net(5), (2, 3), fold=True, depth=2, backward=True).view
    assert [(node.title, node.repeat, node.backward) for node in view.nodes if node.title == "Block"] == [
        ("Block", 5, False),
        ("Block", 5, True),
    ]


def test_what_differs_is_not_folded() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4, bias=False), nn.Linear(4, 2))
    view = tg.draw(model, (2, 4), fold=True).view
    assert [node.repeat for node in titled(view, "Linear")] == [2, 1, 1]
    x = tg.symbol((2,), name="x")
    side_by_side = tg.draw([x.relu(), x.relu()], fold=True).view
    assert [node.repeat for node in side_by_side.nodes] == [1, 1, 1]
    y = x.relu()
    read_again = tg.draw(y.relu() + y, fold=True).view
    assert [node.title for node in read_again.nodes] == ["input", "relu", "relu", "add"]


# Large graphs


def test_parameters_of_computed_graphs_stand_where_they_are_used() -> None:
    x = tg.Tensor(np.ones((2, 4), "float32"))
    model = Block(4)
    view = tg.draw(model(x)).view
    groups = {group.id: group.path for group in view.groups}
    weights = {node.name: groups.get(node.group) for node in view.nodes if node.role == "parameter"}
    assert weights == {"layer.weight": "block/layer", "layer.bias": "block/layer"}


def test_large_pictures_collapse_by_themselves_with_a_note() -> None:
    view = tg.draw(Net(200), (2, 3)).view
    assert boxes(view)[:3] == ["Linear stem", "Block 0", "Block 1"]
    assert view.notes == ("604 boxes are too many to show: blocks are collapsed as by depth=2",)
    assert view.notes[0] in tg.draw(Net(200), (2, 3)).dot
    assert tg.draw(Net(200), (2, 3), depth=9).view.notes == ()
    assert tg.draw(Net(200), (2, 3), fold=True).view.notes == ()


def test_graphs_without_blocks_lose_their_middle() -> None:
    x = tg.symbol((2,), name="x")
    for _ in range(1000):
        x = x.relu()
    view = tg.draw(x).view
    assert len(view.nodes) == 200
    assert titled(view, "802 operations")
    assert view.notes == ("1,001 boxes are too many to show: those in the middle are drawn as one",)
    folded = tg.draw(x, fold=True).view
    assert [(node.title, node.repeat) for node in folded.nodes] == [("input", 1), ("relu", 1000)]


def test_ten_thousand_operations_take_seconds() -> None:
    y = tg.symbol((4,), name="x")
    for block in range(100):
        with tg.scope(f"block{block}"):
            for _ in range(50):
                y = y.relu() + y
    start = time.process_time()
    assert len(tg.draw(y, depth=9).view.nodes) == 10_001
    built = time.process_time()
    drawing = tg.draw(y)
    assert drawing.dot.count("operations") < 500
    assert len(drawing.view.nodes) == 101
    assert built - start < 6  # about 1 s; machines that test are slow
    assert time.process_time() - built < 10


def test_twenty_thousand_boxes_with_weights_take_seconds() -> None:
    y = tg.symbol((2, 4), name="x")
    for block in range(2500):
        with tg.scope(f"stage{block // 100}"):
            y = nn.Linear(4, 4)(y).relu() + y
    start = time.process_time()
    assert len(tg.draw(y, depth=9).view.nodes) == 20_001
    assert time.process_time() - start < 8  # about 2 s; machines that test are slow


def test_resnet152_forward_and_backward_takes_no_weights() -> None:
    model = tg.models.resnet152()
    start = time.process_time()
    drawing = tg.draw(model, (1, 3, 224, 224), backward=True)
    assert drawing.dot
    assert time.process_time() - start < 15  # about 2 s; machines that test are slow
    assert drawing.view.notes
    assert len(drawing.view.nodes) < 200
    assert all(parameter.node.value is None for parameter in model.parameters())


# The gradient


def test_each_rule_is_a_box_with_its_formula() -> None:
    x = tg.Tensor([1.0, 2.0], requires_grad=True, name="x")
    view = tg.draw((x * x).tanh().sum(), backward=True).view
    backward = [node for node in view.nodes if node.backward]
    assert [(node.title, node.rule) for node in backward] == [
        ("gradient of sum", "grad, spread"),
        ("gradient of tanh", "grad * (1 - y^2)"),
        ("gradient of mul", "grad * b, grad * a"),
        ("sum of gradients", ""),
    ]
    assert backward[-1].settings == ("gradient in x",)
    assert "grad * (1 - y^2)" in tg.draw((x * x).tanh().sum(), backward=True).text()
    opened = tg.draw((x * x).tanh().sum(), backward=True, rules=False).view
    assert len([node for node in opened.nodes if node.backward]) > len(backward)


def test_the_gradient_of_several_outputs_is_that_of_their_sum() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            self.stem = nn.Linear(3, 4)
            self.heads = [nn.Linear(4, 2), nn.Linear(4, 5)]

        def forward(self, x: tg.Tensor) -> list[tg.Tensor]:
            x = self.stem(x)
            return [head(x) for head in self.heads]

    view = tg.draw(Two(), (2, 3), backward=True).view
    assert sorted(node.name or node.title for node in view.nodes if node.backward) == [
        "0",
        "1",
        "stem",
        "sum of gradients",
    ]
    x = tg.Tensor([1.0, 2.0], requires_grad=True, name="x")
    values = tg.draw([x * 2, (x * x).sum()], values=True, level="scalar").view
    assert values.nodes[0].values == ("value [1, 2]", "gradient [4, 6]")


def test_sums_of_gradients_stand_between_the_blocks_that_they_come_from() -> None:
    view = tg.draw(Block(4), (2, 4), backward=True).view
    (total,) = titled(view, "sum of gradients")
    groups = {group.id: group.path for group in view.groups}
    assert groups[total.group] == "gradient/block"
    assert total.settings == ("gradient in input",)
    names = {node.id: node.name for node in view.nodes}
    assert [names[edge.source] for edge in view.edges if edge.target == total.id] == ["layer"]


def test_arrows_that_pass_by_are_marked() -> None:
    view = tg.draw(Block(4), (2, 4)).view
    names = {node.id: node.name or node.title for node in view.nodes}
    assert [(names[edge.source], names[edge.target]) for edge in view.edges if edge.skip] == [("input", "add")]
    assert "penwidth=2" in tg.draw(Block(4), (2, 4)).dot
    x = tg.symbol((2, 2), name="x")  # a short way from elsewhere passes nothing by
    assert not any(edge.skip for edge in tg.draw(x.exp().relu() + tg.symbol((2, 2), name="y").exp()).view.edges)


# Numbers


def test_scalars_show_value_and_gradient() -> None:
    a, b, c = (tg.Tensor(v, requires_grad=True, name=n) for v, n in ((2.0, "a"), (-3.0, "b"), (10.0, "c")))
    view = tg.draw(a * b + c * a, level="scalar").view
    facts = {node.name or node.title: node.values for node in view.nodes}
    assert facts["a"] == ("value 2", "gradient 7")
    assert facts["b"] == ("value -3", "gradient 2")
    assert facts["add"] == ("value 14", "gradient 1")
    assert a.grad is None
    with pytest.raises(ArgumentError, match="too large to write out"):
        tg.draw(tg.Tensor(np.ones(65), requires_grad=True).sum(), level="scalar")


def test_values_give_ranges_and_norms() -> None:
    x = tg.Tensor([3.0, -4.0], requires_grad=True, name="x")
    view = tg.draw((x * x).sum(), values=True).view
    assert view.nodes[0].values == ("value -4 to 3, mean -0.5", "gradient norm 10")
    model = nn.Linear(2, 2)
    for leaf in model.parameters():
        leaf.assign(np.ones(leaf.shape, "float32"))
    drawn = tg.draw(model, tg.Tensor([[3.0, -4.0]]), values=True).view
    assert drawn.nodes[1].values == ("value 0 to 0, mean 0", "gradient norm 1.41")
    absent = tg.draw(model, (1, 2), values=True).view
    assert [node.values for node in absent.nodes] == [
        ("value not computed", "gradient norm 2.83"),  # a gradient may rest on weights alone
        ("value not computed", "gradient norm 1.41"),
        (),
    ]
    assert absent.notes[0].startswith("not computed: the numbers of a symbol come when the graph is run")


def test_the_first_nan_is_ringed_and_its_way_marked() -> None:
    x = tg.symbol((2,), name="x")
    model = nn.Sequential(nn.ReLU())
    with np.errstate(all="ignore"):
        y = ((tg.Tensor([1.0, -1.0], requires_grad=True, name="x") * 2).log() * 3).sum()
    view = tg.draw(y, values=True).view
    assert [(node.title, node.alert) for node in view.nodes] == [
        ("parameter", ""),
        ("mul", ""),
        ("log", "the first NaN"),
        ("mul", "NaN"),
        ("sum", "NaN"),
    ]
    assert [edge.alert for edge in view.edges] == [False, False, True, True]
    assert view.nodes[2].values[0] == "value NaN in 1 of 2"
    assert not any(node.alert for node in tg.draw(model, x).view.nodes)


# Errors


class Wrong(nn.Module):
    def __init__(self) -> None:
        self.first = nn.Linear(4, 8)
        self.second = nn.Linear(6, 2)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.second(self.first(x).relu())


def test_an_error_is_drawn_where_it_happened() -> None:
    drawing = tg.draw(Wrong(), (2, 4), errors="draw")
    assert arrows(drawing.view) == [("input", "first"), ("first", "relu"), ("relu", "error")]
    red = drawing.view.nodes[-1]
    assert (red.role, red.kind) == ("error", "error")
    assert red.alert.startswith("linear: the input has 8 features, the weight takes 6")
    assert {group.path for group in drawing.view.groups} == {"wrong", "wrong/second"}
    assert "8 features" in drawing.text()
    assert "8 features" in drawing.dot
    with pytest.raises(ShapeError) as caught:
        tg.draw(Wrong(), (2, 4))
    assert 'errors="draw"' in caught.value.__notes__[-1]


def test_errors_of_others_are_drawn_too() -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            self.act = nn.Identity()

        def forward(self, x: tg.Tensor) -> tg.Tensor:
            y = self.act(x.exp())
            raise RuntimeError(f"no way on from {y.shape}")

    for settings in ({}, {"backward": True}):
        view = tg.draw(Broken(), (2, 4), level="op", errors="draw", **settings).view
    assert {group.path for group in view.groups} == {"broken"}
    assert arrows(view) == [("input", "exp"), ("exp", "error")]
    assert view.nodes[-1].alert == "RuntimeError: no way on from (2, 4)"


def test_a_model_is_left_as_it_was_when_it_raises() -> None:
    model = Wrong()
    for errors in ("draw", "raise"):
        with contextlib.suppress(ShapeError):
            tg.draw(model, (2, 4), errors=errors)
    assert all("forward" not in vars(module) for module in model.modules())


# Shares and places


def test_overlays_colour_by_share_with_a_scale() -> None:
    drawing = tg.draw(Net(1), (5, 3), depth=1, overlay="macs")
    assert [node.share for node in drawing.view.nodes] == [None, 0.75, 1.0, 0.5, None]
    assert drawing.view.notes == ("colour: multiply-adds, from white (0) to orange (80 in one box); 180 in all",)
    assert 'fillcolor="#f5903c"' in drawing.dot
    memory = tg.draw(Net(1), (5, 3), depth=1, overlay="memory").view
    assert [node.share for node in memory.nodes][1:-1] == [1.0, 1.0, 0.5]
    folded = tg.draw(Net(5), (5, 3), depth=2, fold=True, overlay="macs").view
    assert folded.notes == ("colour: multiply-adds, from white (0) to orange (80 in one box); 500 in all",)
    own = tg.draw(Net(2), (5, 3), depth=2, overlay={"stem": 1.0, "body.1": 4.0})
    assert [(node.path, node.share, node.values) for node in own.view.nodes if node.role == "block"] == [
        ("stem", 0.25, ("1",)),
        ("body.0", None, ()),
        ("body.1", 1.0, ("4",)),
        ("head", None, ()),
    ]
    assert own.view.notes == ("colour: from white (0) to orange (4)",)
    with pytest.raises(ArgumentError, match="no such overlay"):
        tg.draw(Net(1), (5, 3), overlay="colour")


def test_boxes_say_which_line_made_them() -> None:
    view = tg.draw(Net(1), (5, 3)).view
    (stem,) = [node for node in view.nodes if node.name == "stem"]
    assert stem.place.startswith("test_views.py, line ")
    assert stem.place.endswith("return self.head(self.body(self.stem(x)))")
    assert "self.stem(x)" in tg.draw(Net(1), (5, 3)).dot


def test_the_line_of_the_drawing_is_not_told() -> None:
    assert {node.place for node in tg.draw(nn.Sequential(nn.ReLU()), (2, 3)).view.nodes} == {""}


def test_details_and_shapes_on_arrows_are_options() -> None:
    x = tg.symbol((2, 3), name="x")
    assert "float32 · 24 B" in tg.draw(x.exp(), details=True).dot
    assert "float32 ·" not in tg.draw(x.exp()).dot
    assert 'label=" 2×3"' not in tg.draw(x.exp()).dot
    assert 'label=" 2×3"' in tg.draw(x.exp(), edge_shapes=True).dot
    assert 'label=" 2×3"' not in tg.draw(nn.ReLU(), (2, 3), edge_shapes=False).dot
