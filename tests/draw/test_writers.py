"""Mermaid and JSON, by their text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.draw import Drawing, ViewEdge, ViewGroup, ViewNode
from tinygrad_cnn.errors import ArgumentError

HOSTILE = 'a"b<c>&{d}|\\N`*_#1;[e](f)\nz'


def test_mermaid() -> None:
    drawing = tg.draw(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), (8, 3))
    assert drawing.mermaid().splitlines() == [
        "flowchart TB",
        '  n0(["<b>input</b><br/>8×3"])',
        '  n3(["<b>output</b><br/>8×2"])',
        '  subgraph g0["Sequential"]',
        '    n1["<b>Linear  0</b><br/>3 → 2<br/>8×2<br/>8 parameters · 48 MACs"]',
        '    n2["<b>ReLU  1</b><br/>8×2"]',
        "  end",
        '  n0 -->|"8×3"| n1',
        '  n1 -->|"8×2"| n2',
        '  n2 -->|"8×2"| n3',
        "  classDef linear fill:#fdebc8,stroke:#b97a00,color:#1a1a1a",
        "  class n1 linear",
        "  classDef activation fill:#cfeee2,stroke:#00805d,color:#1a1a1a",
        "  class n2 activation",
        "  classDef data fill:#ffffff,stroke:#767676,color:#1a1a1a",
        "  class n0,n3 data",
    ]


def test_mermaid_escapes_names() -> None:
    with tg.scope(HOSTILE):
        y = tg.symbol((2,), name=HOSTILE).exp()
    text = tg.draw(y).mermaid()
    assert "a#34;b#60;c#62;#38;#123;d#125;#124;#92;N#96;#42;#95;#35;1#59;#91;e#93;#40;f#41;<br/>z" in text
    assert all(len(line.split('"')) in (1, 3) for line in text.splitlines())


def test_mermaid_collapses_until_it_fits() -> None:
    blocks = [nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)) for _ in range(300)]
    drawing = tg.draw(nn.Sequential(*blocks), (2, 2), depth=9)
    assert len(drawing.view.edges) > 500
    text = drawing.mermaid()
    assert 0 < text.count("-->") <= 500
    with pytest.raises(ArgumentError, match="at most 500 arrows and 50,000 letters"):
        Drawing(drawing.view).mermaid()


def test_mermaid_keeps_texts_short() -> None:
    with tg.scope("block"):
        y = tg.symbol((2,), name="x")
        for index in range(400):
            with tg.scope("a long name " * 8 + str(index)):
                y = y.relu()
    drawing = tg.draw(y, depth=9)
    assert len(drawing.view.edges) == 400
    assert len(drawing.mermaid()) < 50_000
    with pytest.raises(ArgumentError, match="letters"):
        Drawing(drawing.view).mermaid()


def test_json_holds_all_fields() -> None:
    drawing = tg.draw(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), (8, 3), backward=True)
    data = json.loads(drawing.json())
    assert data["schema"] == "tinygrad_cnn.drawing/1"
    assert (data["name"], data["level"], data["outputs"], data["notes"]) == ("Sequential", "block", ["8×2"], [])
    for key, kind in (("nodes", ViewNode), ("edges", ViewEdge), ("groups", ViewGroup)):
        rows = getattr(drawing.view, key)
        assert rows
        read = [kind(**{**row, **{f: tuple(row[f]) for f in row if isinstance(row[f], list)}}) for row in data[key]]
        assert tuple(read) == rows
    with tg.scope(HOSTILE):
        y = tg.symbol((2,), name=HOSTILE).exp()
    assert json.loads(tg.draw(y).json())["nodes"][0]["name"] == HOSTILE


@pytest.mark.parametrize(("suffix", "start"), [(".mmd", "flowchart TB"), (".json", '{\n "schema"')])
def test_save(tmp_path: Path, suffix: str, start: str) -> None:
    path = tg.draw(nn.ReLU(), (8, 3)).save(tmp_path / f"net{suffix}")
    assert path.read_text("utf-8").startswith(start)
