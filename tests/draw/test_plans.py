"""Compiled functions: the picture is of what runs."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.draw import GraphView

pytestmark = pytest.mark.cpu("plans run on the CPU")


def training_step(rows: int = 8, **settings: Any) -> Any:
    """A compiled step of a dense layer, which has run once."""
    layer = nn.Linear(3, 1)
    optimizer = tg.optim.SGD(layer.parameters(), lr=0.1)

    @tg.compile(**{"executor": "numpy", **settings})
    def step(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(layer(x).relu(), y)
        loss.backward()
        optimizer.step()
        return loss

    step(tg.Tensor(np.ones((rows, 3), "float32")), tg.Tensor(np.ones((rows, 1), "float32")))
    return step


def convolution(rows: int) -> tuple[Any, tg.Tensor]:
    """A compiled convolution with enough work to be divided between two threads, and what it is called with."""
    layer = nn.Conv2d(4, 8, 3, padding=1)
    compiled = tg.compile(lambda x: nn.functional.max_pool2d(layer(x).relu(), 2), executor="numpy")
    return compiled, tg.Tensor(np.zeros((rows, 4, 32, 32), "float32"))


def fused(view: GraphView) -> list[str]:
    return [node.settings[0] for node in view.nodes if node.title == "fused"]


def test_what_runs_is_drawn_and_not_what_was_written() -> None:
    step = training_step()
    view = tg.draw(step).view
    assert view.name == "step"
    together = [line.operations for line in step.report().lines if " + " in line.operations]
    assert "matmul + add + relu" in together
    assert sorted(fused(view)) == sorted(words.replace(" + ", ", ") for words in together)
    assert view == tg.draw(step.plan, name="step").view
    written = tg.draw(step.graph).view
    assert [node.title for node in written.nodes].count("relu") == 1
    assert not fused(written)


def test_boxes_say_what_becomes_of_their_results() -> None:
    for view in (tg.draw(step := training_step()).view, tg.draw(step.graph).view):
        leaving = [words for node in view.nodes for words in node.facts]
        assert leaving == ["result", "new weight", "new bias"]
        assert view.outputs == ("scalar",)
        assert "new weight" in tg.draw(step).dot
    assert [node.name for node in view.nodes if node.role == "parameter"] == ["weight", "bias"]
    inference = tg.compile(lambda x: x.exp(), executor="numpy")
    inference(tg.Tensor([1.0]))
    assert tg.draw(inference).view.nodes[-1].facts == ()


def test_an_operation_that_is_fused_with_nothing_is_called_by_its_name() -> None:
    compiled, images = convolution(2)
    compiled(images)
    view = tg.draw(compiled).view
    (pool,) = [node for node in view.nodes if node.title == "max_pool"]
    assert "kernel 2×2" in pool.settings
    assert pool.facts == ("channels last",)
    opened = tg.draw(compiled, bodies=True).view
    assert [group.title for group in opened.groups if group.closed] == ["fused"]  # no frame around a single box


def test_memory_and_parts_are_told() -> None:
    step = training_step()
    (note,) = tg.draw(step).view.notes
    assert re.fullmatch(r"[\d.]+ [KM]iB of memory", note)
    compiled, images = convolution(64)
    compiled(images)
    if len(compiled.plan.parts) == 1:
        pytest.skip("needs two processors")
    (note,) = tg.draw(compiled).view.notes
    assert note.endswith(
        f"the first of {len(compiled.plan.parts)} parts of the batch, which are computed at the same time"
    )
    assert {node.shape for node in tg.draw(compiled).view.nodes if node.role == "input"} == {"32×32×32×4"}


def test_times_are_those_of_the_plan() -> None:
    step = training_step()
    weight = next(state.leaf for state in step.graph.states if state.leaf is not None and state.leaf.ndim == 2)
    before = weight.numpy().copy()
    view = tg.draw(step, overlay="time").view
    np.testing.assert_array_equal(weight.numpy(), before)
    times = {node.settings[0]: node.milliseconds for node in view.nodes if node.title == "fused"}
    assert times["matmul, add, relu"]
    assert times["mul, sub"] is None  # nothing changes for a picture
    assert {node.milliseconds for node in view.nodes if node.title == "reshape"} == {0}  # a view costs nothing
    assert "what changes parameters is not timed" in view.notes
    colour = next(note for note in view.notes if note.startswith("colour"))
    total = sum(node.milliseconds for node in view.nodes if node.milliseconds)
    assert colour.endswith("in all")
    assert 0 < total < 100
    opened = tg.draw(step, overlay="time", bodies=True).view
    frames = [group.facts for group in opened.groups if group.closed]
    assert re.fullmatch(r"[\d.]+ (µs|ms)", *frames[0])
    assert frames[-1] == ()  # an update
    assert opened.notes[-1].endswith("a frame tells the time of all in it")


def test_what_is_compiled_is_compared_with_what_was_written() -> None:
    step = training_step()
    view = tg.draw(step, against=step.graph).view
    change = {node.title: node.change for node in view.nodes}
    assert (change["fused"], change["relu"], change["sum"]) == ("added", "removed", "kept")
    opened = tg.draw(step, against=step.graph, bodies=True).view
    change = {node.title: node.change for node in opened.nodes}
    assert {change[each] for each in ("matmul", "add", "relu", "square", "gt", "masked", "sub")} == {"kept"}
    assert {group.title for group in opened.groups if group.change == "added"} == {"fused"}
    assert {group.title for group in opened.groups if not group.change} == {"linear", "gradient"}


def test_the_page_opens_what_is_fused() -> None:
    data = json.loads(re.findall(r'id="data">(.*?)</script>', tg.draw(training_step()).page(), re.DOTALL)[0])
    titles: dict[str, list[str]] = {}
    for node in data["nodes"]:
        titles.setdefault(node["group"], []).append(node["title"])
    closed = [group["id"] for group in data["groups"] if group["closed"]]
    assert [titles[each] for each in closed][:2] == [["matmul", "broadcast_to", "add", "relu"], ["square", "mean"]]


def test_a_function_that_is_run_node_by_node_is_drawn_as_it_was_written() -> None:
    step = training_step(executor="plain")
    assert tg.draw(step).view == tg.draw(step.graph).view
    assert tg.draw(step, overlay="time").view.nodes[-1].milliseconds


def test_before_the_first_call_there_is_nothing_to_draw() -> None:
    with pytest.raises(tg.TinygradCnnError, match="has no graph yet"):
        tg.draw(tg.compile(lambda x: x))
