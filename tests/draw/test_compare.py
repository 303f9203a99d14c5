"""The difference of two graphs: which boxes are the same, in what order both stand, and how each format marks it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.draw import GraphView

MINUS = "\N{MINUS SIGN}"


class Plain(nn.Module):
    def __init__(self) -> None:
        self.one, self.act, self.two = nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.two(self.act(self.one(x))).relu()


class Residual(Plain):
    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return (self.two(self.act(self.one(x))) + x).relu()


class Net(nn.Module):
    def __init__(self, block: type[nn.Module], blocks: int = 2, width: int = 4) -> None:
        self.stem = nn.Linear(3, 4)
        self.body = nn.Sequential(*[block() for _ in range(blocks)])
        self.head = nn.Linear(4, width)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.head(self.body(self.stem(x)))


def changes(view: GraphView) -> list[str]:
    return [f"{node.change} {node.title} {node.name}".rstrip() for node in view.nodes if node.change != "kept"]


def arrows(view: GraphView, change: str) -> list[tuple[str, str]]:
    names = {node.id: node.name or node.title for node in view.nodes}
    return [(names[edge.source], names[edge.target]) for edge in view.edges if edge.change == change]


def optimised(x: tg.Tensor, yes: bool) -> tg.Tensor:
    y = x.exp() if yes else (x * 2).exp()
    return (y.tanh().relu() if yes else y.relu()) + x


# Which boxes are the same


def test_what_is_new_and_what_is_gone() -> None:
    x = tg.symbol((2, 3), name="x")
    view = tg.draw(optimised(x, True), against=optimised(x, False)).view
    assert changes(view) == ["removed mul", "added tanh"]
    assert view.name == "graph: 1 added, 1 removed, 0 changed, 4 kept"
    assert arrows(view, "added") == [("x", "exp"), ("exp", "tanh"), ("tanh", "relu")]
    assert arrows(view, "removed") == [("x", "mul"), ("mul", "exp"), ("exp", "relu")]
    assert arrows(view, "kept") == [("relu", "add"), ("x", "add")]


def test_a_graph_is_the_same_as_itself() -> None:
    view = tg.draw(Net(Residual), (2, 3), backward=True, against=Net(Residual)).view
    assert {node.change for node in view.nodes} == {edge.change for edge in view.edges} == {"kept"}
    alone = tg.draw(Net(Residual), (2, 3), backward=True).view
    plain = [node._replace(change="") for node in view.nodes]
    assert plain == list(alone.nodes)
    assert [group.title for group in view.groups] == [group.title for group in alone.groups]
    assert {edge._replace(change="") for edge in view.edges} == set(alone.edges)


def test_a_residual_network_against_a_plain_one() -> None:
    view = tg.draw(Net(Residual), (2, 3), against=Net(Plain)).view
    assert changes(view) == ["added add"] * 2
    assert arrows(view, "removed") == [("two", "relu")] * 2
    assert arrows(view, "added") == [("two", "add"), ("stem", "add"), ("add", "relu"), ("two", "add"), ("relu", "add"),
                                     ("add", "relu")]  # fmt: skip
    assert [group.title for group in view.groups if "→" in group.title] == ["Plain → Residual"] * 2
    assert view.name == "Net: 2 added, 0 removed, 0 changed, 12 kept"


def test_names_may_shift_by_what_was_put_between() -> None:
    def layers(*between: type[nn.Module]) -> nn.Module:
        return nn.Sequential(
            *[each for _ in range(2) for each in (nn.Linear(4, 4), *[b(4) for b in between], nn.ReLU())]
        )

    view = tg.draw(layers(nn.BatchNorm1d), (2, 4), against=layers()).view
    assert changes(view) == ["added BatchNorm1d 1", "added BatchNorm1d 4"]
    back = tg.draw(layers(), (2, 4), against=layers(nn.BatchNorm1d)).view
    assert changes(back) == ["removed BatchNorm1d 1", "removed BatchNorm1d 4"]


def test_a_changed_box_says_what_it_said() -> None:
    def layers(act: nn.Module, stride: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 2, 3, stride=stride, padding=1), act, nn.Flatten())

    view = tg.draw(layers(nn.Tanh(), 2), (1, 1, 8, 8), against=layers(nn.ReLU(), 1)).view
    said = [(node.title, node.change, node.was) for node in view.nodes]
    assert said[1:-1] == [
        ("Conv2d", "changed", ("without stride 2", "1×2×8×8")),
        ("Tanh", "changed", ("ReLU", "1×2×8×8")),
        ("Flatten", "changed", ("1×128",)),
    ]
    (edge,) = [edge for edge in view.edges if edge.source == "n1"]
    assert (edge.change, edge.shape) == ("changed", "1×2×4×4")


def test_large_comparisons_collapse_by_themselves() -> None:
    def chain(without: int) -> tg.Tensor:
        y = tg.symbol((4,), name="x")
        for block in range(30):
            with tg.scope(f"block{block}"):
                for place in range(20):
                    y = y.relu() if block == 7 and place == without else y.tanh()
        return y

    view = tg.draw(chain(5), against=chain(20)).view
    assert view.name == "graph: 0 added, 0 removed, 1 changed, 30 kept"
    assert view.nodes[8].was == ("20 tanh",)
    assert view.notes[1] == "602 boxes are too many to show: blocks are collapsed as by depth=1"


def test_collapsed_blocks_know_what_is_in_them() -> None:
    view = tg.draw(Net(Residual), (2, 3), against=Net(Plain), depth=2).view
    assert changes(view) == ["changed Residual 0", "changed Residual 1"]
    (first, second) = [node for node in view.nodes if node.change == "changed"]
    assert first.was == second.was == ("Plain", "2 add")
    assert first.inside.startswith("3 add, 2 broadcast_to")


def test_models_and_graphs_and_drawings_can_be_compared() -> None:
    model, x = Net(Residual), tg.symbol((2, 3), name="input")
    with_drawing = tg.draw(model, (2, 3), against=tg.draw(Net(Plain), (5, 3))).view
    assert with_drawing.nodes[0].was == ("5×3",)
    several = tg.draw([x.exp(), x.relu()], against=x.relu()).view
    assert changes(several) == ["added exp"]
    assert changes(tg.draw(model(x), level="block", against=model(x)).view) == []
    assert tg.draw(model, (2, 3), against=Net(Plain), fold=True).view.nodes[-3].change == "kept"
    with pytest.raises(tg.ArgumentError, match="cannot be drawn"):
        tg.draw(x, against=3)  # type: ignore[arg-type]


def test_an_operation_twice_and_shared_ones() -> None:
    x = tg.symbol((2,), name="x")
    shared = x.exp()
    view = tg.draw(shared + shared, against=x.exp() + x.exp()).view
    assert changes(view) == ["removed exp"]
    assert arrows(view, "added") == arrows(view, "removed")[1:] == [("exp", "add")]
    assert arrows(tg.draw(x * x, against=x * 2).view, "added") == [("x", "mul")]


def test_what_rests_on_the_same_and_leads_to_the_same_is_the_same() -> None:
    one, two = tg.Tensor([1.0], requires_grad=True), tg.Tensor([2.0], requires_grad=True)
    view = tg.draw([two.exp().exp(), one.exp()], against=[one.exp(), two.exp().exp()]).view
    assert {each.change for each in [*view.nodes, *view.edges]} == {"kept"}


def test_models_of_two_classes_are_one_frame() -> None:
    view = tg.draw(Residual(), (2, 4), against=Plain(), backward=True).view
    assert [(group.title, group.path) for group in view.groups] == [
        ("Plain → Residual", "residual"),
        ("gradient", "gradient"),
        ("Plain → Residual", "gradient/residual"),
    ]
    assert view.name.startswith("Residual against Plain: ")


def test_equal_boxes_of_a_comparison_are_folded_with_their_marks() -> None:
    view = tg.draw(Net(Residual, 4), (2, 3), against=Net(Plain, 3), depth=2, fold=True).view
    marks = [(node.title, node.change, node.repeat) for node in view.nodes if node.path.startswith("body.")]
    assert marks == [("Residual", "changed", 3), ("Residual", "added", 1)]


# Order


def test_boxes_that_change_places_make_no_circle() -> None:
    x = tg.symbol((2,), name="x")
    view = tg.draw((x * 2).relu(), against=x.relu() * 2).view
    assert sorted(changes(view)) == ["added mul", "removed mul"]
    assert all(int(edge.source[1:]) < int(edge.target[1:]) for edge in view.edges)


def test_what_is_gone_stands_before_what_came_after_it() -> None:
    x = tg.symbol((2,), name="x")
    view = tg.draw(x.exp().tanh() + x, against=x.exp().tanh() + x.relu()).view
    assert [node.title for node in view.nodes] == ["input", "exp", "tanh", "relu", "add"]


def test_arrows_lead_on_whatever_is_compared() -> None:
    def graph(seed: int) -> list[tg.Tensor]:
        choice = random.Random(seed)
        made = [tg.symbol((2,), name=name) for name in "xy"]
        for _ in range(40):
            one, other = choice.choices(made[-6:], k=2)
            made.append(choice.choice([one.exp, one.relu, one.tanh, lambda one=one, other=other: one + other])())
        return made[-3:]

    for seed in range(60):
        view = tg.draw(graph(seed), against=graph(seed + 1 + seed % 3)).view
        ids = [node.id for node in view.nodes]
        assert ids == [f"n{index}" for index in range(len(ids))]
        assert all(int(edge.source[1:]) < int(edge.target[1:]) for edge in view.edges)
        for side, gone in (("added", "removed"), ("removed", "added")):  # each side alone is its own graph
            alone = tg.draw(graph(seed if side == "added" else seed + 1 + seed % 3)).view
            assert sum(node.change != gone for node in view.nodes) == len(alone.nodes)
            assert sum(edge.change != gone for edge in view.edges) == len(alone.edges)


def test_ten_thousand_boxes_take_seconds() -> None:
    def chain(without: frozenset[int]) -> tg.Tensor:
        y = tg.symbol((4,), name="x")
        for place in range(5000):
            with tg.scope(f"block{place // 50}"):
                y = (y if place in without else y.relu()) + y
        return y

    before, after = chain(frozenset()), chain(frozenset(range(0, 5000, 10)))
    start = time.process_time()
    view = tg.draw(after, depth=9, against=before).view
    assert view.name == "graph: 0 added, 500 removed, 0 changed, 9501 kept"
    assert time.process_time() - start < 12  # about 2 s; machines that test are slow


def test_frames_that_are_new_or_gone_are_marked() -> None:
    x = tg.symbol((2, 3), name="x")
    with tg.scope("kept"):
        y = x.exp()
        with tg.scope("old"):
            before = y.relu()
        with tg.scope("new"):
            after = y.relu()
    drawing = tg.draw(after, against=before)
    assert [(group.title, group.change) for group in drawing.view.groups] == [
        ("kept", ""), ("new", "added"), ("old", "removed"),
    ]  # fmt: skip
    assert [(node.title, node.change) for node in drawing.view.nodes][1:] == [("exp", "kept"), ("relu", "kept")]
    assert "+ <B>new</B>" in drawing.dot or "+ new" in drawing.dot
    assert "+   new" in drawing.text().splitlines()
    assert not any(group.change for group in tg.draw(after, against=after).view.groups)


# Formats


def test_every_format_marks_changes() -> None:
    x = tg.symbol((2, 3), name="x")
    drawing = tg.draw(optimised(x, True), against=optimised(x, False))
    assert drawing.text().splitlines() == [
        "graph: 1 added, 1 removed, 0 changed, 4 kept; 4 operations, input x 2×3, output 2×3",
        "  n0 input x  2×3",
        "- n1 mul      2×3  (·, 2), from -n0",
        "  n2 exp      2×3  from +n0, -n1",
        "+ n3 tanh     2×3  from +n2",
        "  n4 relu     2×3  from +n3, -n2",
        "  n5 add      2×3  from n4, n0",
        f"+ 1 added, {MINUS} 1 removed, ~ 0 changed, 4 kept",
    ]
    dot = drawing.dot
    assert f"label=<{MINUS} <B>mul</B>" in dot
    assert 'style="rounded,filled,dashed"' in dot
    assert "label=<+ <B>tanh</B>" in dot
    assert f'label=" {MINUS}"' in dot
    assert "style=dotted" in dot
    mermaid = drawing.mermaid()
    assert f'["<b>{MINUS} mul</b>' in mermaid
    assert "class n3 added" in mermaid
    assert "linkStyle 0,1,2 stroke:#1a80c4" in mermaid
    data = json.loads(drawing.json())
    assert [node["change"] for node in data["nodes"]] == ["kept", "removed", "kept", "added", "kept", "kept"]
    assert [edge["change"] for edge in data["edges"]].count("removed") == 3
    page = drawing.page()
    assert '"change":"removed"' in page
    assert "<title>graph: 1 added, 1 removed, 0 changed, 4 kept</title>" in page


def test_the_picture_is_named_by_its_counts() -> None:
    pytest.importorskip("pygraphviz")
    x = tg.symbol((2,), name='x"<&')
    root = ET.fromstring(tg.draw(x.exp(), against=x.relu(), name="new").svg())
    assert root[0].text == "new against graph: 1 added, 1 removed, 0 changed, 1 kept"


_SCRIPT = """
import tinygrad_cnn as tg
from tinygrad_cnn import nn
def layers(*between):
    return nn.Sequential(*[nn.Sequential(nn.Linear(3, 3), *between, nn.ReLU()) for _ in range(5)])
for settings in ({}, {"level": "op"}, {"backward": True, "fold": True}, {"depth": 1}):
    drawing = tg.draw(layers(nn.Tanh()), (8, 3), against=layers(), **settings)
    print(drawing.dot, drawing.json(), drawing.mermaid(), drawing.page(), drawing.text())
"""


def test_comparisons_are_the_same_in_every_process() -> None:
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
    assert texts[0].count(b"digraph") == 4
