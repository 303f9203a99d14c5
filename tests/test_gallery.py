"""What the page of pictures says is what its pictures show."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

import tinygrad_cnn as tg

PAGE = (Path(__file__).resolve().parent.parent / "docs/gallery.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pictures() -> dict[str, list[tg.Drawing]]:
    """The drawings under each heading; all code of the page is one program."""
    names: dict[str, Any] = {"tg": tg, "nn": tg.nn, "__name__": "page"}
    found: dict[str, list[tg.Drawing]] = {}
    for section in re.split("^## ", PAGE, flags=re.MULTILINE)[1:]:
        heading = section.partition("\n")[0]
        for code in re.findall(r"^```\{drawing\}\n(?::[^\n]*\n)*(.*?)^```$", section, re.MULTILINE | re.DOTALL):
            tree = ast.parse(code)
            last = tree.body.pop()
            assert isinstance(last, ast.Expr)
            exec(compile(tree, heading, "exec"), names)
            found.setdefault(heading, []).append(eval(compile(ast.Expression(last.value), heading, "eval"), names))
    return found


def test_every_picture_is_described() -> None:
    alts = re.findall(r"^```\{drawing\}\n:alt: (.*)$", PAGE, re.MULTILINE)
    assert len(alts) == PAGE.count("```{drawing}") > 10
    assert all(len(alt) > 60 and alt.endswith(".") for alt in alts)


def test_lenet(pictures: dict[str, list[tg.Drawing]]) -> None:
    block, op, scalar = (drawing.view for drawing in pictures["LeNet-5, three times"])
    assert (block.level, op.level, scalar.level) == ("block", "op", "scalar")
    sizes = {node.name: node.parameters for node in block.nodes if node.parameters}
    assert len(block.nodes) == 14
    assert sizes["fc1"] == 48_120
    assert sum(sizes.values()) == 61_706
    parameter = next(node for node in scalar.nodes if node.role == "parameter")
    assert "gradient [0, 0, 1, 0]" in " ".join(parameter.values)


def test_residual_block(pictures: dict[str, list[tg.Drawing]]) -> None:
    (drawing,) = pictures["A residual block, forward and backward"]
    titles = [node.title for node in drawing.view.nodes]
    assert titles.count("sum of gradients") == 1
    assert any(edge.skip for edge in drawing.view.edges)
    assert any(edge.saved for edge in drawing.view.edges)


def test_googlenet(pictures: dict[str, list[tg.Drawing]]) -> None:
    collapsed, opened = (drawing.view for drawing in pictures["GoogLeNet"])
    inception = [node.name for node in collapsed.nodes if node.title == "Inception"]
    assert len(inception) == 9
    assert [node.name for node in opened.nodes if node.title == "Inception"] == [
        name for name in inception if name != "inception4a"
    ]
    (joined,) = [node for node in opened.nodes if node.title == "cat"]
    assert len([edge for edge in opened.edges if edge.target == joined.id]) == 4


def test_resnet(pictures: dict[str, list[tg.Drawing]]) -> None:
    view = pictures["ResNet-50"][0].view
    blocks = [node.repeat for node in view.nodes if node.title == "Bottleneck"]
    assert blocks == [1, 2, 1, 3, 1, 5, 1, 2]
    assert sum(blocks) == 16
    assert len(view.nodes) <= 20


def test_unet(pictures: dict[str, list[tg.Drawing]]) -> None:
    view = pictures["A U-Net"][0].view
    assert len([edge for edge in view.edges if edge.skip]) == 3
    assert len([group for group in view.groups if group.title == "UNetLevel"]) == 3


def test_lstm(pictures: dict[str, list[tg.Drawing]]) -> None:
    view = pictures["An LSTM cell"][0].view
    by_id = {node.id: node for node in view.nodes}
    titles = [node.title for node in view.nodes]
    assert titles.count("matmul") == 2
    (state,) = [node for node in view.nodes if node.name == "state"]
    (product,) = [by_id[edge.target] for edge in view.edges if edge.source == state.id]
    (total,) = [by_id[edge.target] for edge in view.edges if edge.source == product.id]
    assert (product.title, total.title) == ("mul", "add")


def test_two_networks_compared(pictures: dict[str, list[tg.Drawing]]) -> None:
    changes = [node.change for node in pictures["Two networks compared"][0].view.nodes]
    assert changes.count("added") == 1
    assert set(changes) == {"added", "kept"}


def test_compiled_step(pictures: dict[str, list[tg.Drawing]]) -> None:
    before, after = (drawing.view for drawing in pictures["A training step, before and after it is compiled"])
    assert (len(before.nodes), len(after.nodes)) == (31, 21)
    fused = [node.settings[0] for node in after.nodes if node.title == "fused"]
    assert "matmul, add, relu" in fused
    assert len([words for words in fused if words.endswith("mul, sub")]) == 2
    leaving = [words for node in after.nodes for words in node.facts]
    assert leaving.count("result") == 1
    assert {"new weight", "new bias"} < set(leaving)


def test_error(pictures: dict[str, list[tg.Drawing]]) -> None:
    last = pictures["An error in red"][0].view.nodes[-1]
    assert last.role == "error"
    assert "6 channels" in last.alert
    assert "8" in last.alert
