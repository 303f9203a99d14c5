"""Where boxes come to stand."""

from __future__ import annotations

import re

import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.draw.settings import operation_settings


def hidden_arrows(drawing: tg.Drawing) -> list[tuple[str, str]]:
    return re.findall(r"^  (n\d+) -> (n\d+) \[style=invis\]$", drawing.dot, re.MULTILINE)


def test_parameters_stand_below_what_comes_into_their_block() -> None:
    drawing = tg.draw(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), (2, 3), level="op")
    by_id = {node.id: node for node in drawing.view.nodes}
    assert [(by_id[above].title, by_id[below].name) for above, below in hidden_arrows(drawing)] == [
        ("input", "0.weight"), ("input", "0.bias"), ("relu", "2.weight"), ("relu", "2.bias"),
    ]  # fmt: skip


def test_a_chain_of_blocks_is_narrow() -> None:
    pytest.importorskip("pygraphviz", reason="a layout needs an engine")
    drawing = tg.draw(tg.models.lenet5(), (1, 1, 32, 32), level="op")
    width, height = map(float, re.findall(r'(?:width|height)="([\d.]+)pt"', drawing.svg().partition(">")[0]))
    assert width * 4 < height


def test_hidden_arrows_make_no_circle_and_none_beside_a_gradient() -> None:
    shared = nn.Linear(3, 3)
    chain = nn.Sequential(shared, nn.ReLU(), shared, nn.Sequential(nn.Linear(3, 3), shared))
    for model, shape in ((chain, (2, 3)), (tg.models.resnet8(), (1, 1, 28, 28))):
        drawing = tg.draw(model, shape, level="op")
        place = {node.id: index for index, node in enumerate(drawing.view.nodes)}
        readers: dict[str, list[int]] = {}
        for edge in drawing.view.edges:
            readers.setdefault(edge.source, []).append(place[edge.target])
        found = hidden_arrows(drawing)
        assert found
        assert all(place[above] < min(readers[below]) for above, below in found)
        assert not hidden_arrows(tg.draw(model, shape, level="op", backward=True))


def test_a_key_reads_as_in_python() -> None:
    x, picks = tg.symbol((5, 6, 7)), tg.Tensor([0, 2])
    keys = {"[1, 0:6, 2:7]": x[1, :, 2:], "[0:5:2, 5::-1, 0:7]": x[::2, ::-1], "[·, 0:6, 0:7]": x[picks]}
    for text, y in keys.items():
        assert text in operation_settings(y.node.op)[0]
