"""Pictures and histograms inside boxes.

Graphviz lays out a grey cell of the right size. In SVG the cell is then replaced by the picture, which carries its own
data, or by bars; for PNG and PDF, Graphviz is given files for the time of drawing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from .images import bar_picture, png_of, size_of
from .view import GraphView, ViewNode

LONG = 100
"""A picture is enlarged to about this many points along its longer side."""
BAR_ROOM = (96, 30)
"""Width and height of a histogram, in points."""
_CELL = re.compile(r'<g id="a_inlay_(n\d+)"><a [^>]*>\s*<polygon [^>]*points="([^"]*)"/>\s*</a>\s*</g>')


def cell(node: ViewNode, files: Mapping[str, str]) -> str:
    """The cell of a table in DOT that keeps room for a box's picture, or shows the file for it."""
    width, height = room_for(node)
    size = f'FIXEDSIZE="TRUE" WIDTH="{width}" HEIGHT="{height}"'
    if node.id in files:
        inner = f'<TD {size}><IMG SRC="{files[node.id]}" SCALE="BOTH"/></TD>'
    else:
        kind = "histogram" if node.bars else "picture"
        inner = f'<TD {size} BGCOLOR="#80808030" ID="inlay_{node.id}" TITLE="{kind}"></TD>'
    # A cell grows with its column, so this one has a table of its own.
    return f'<TD><TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0"><TR>{inner}</TR></TABLE></TD>'


def room_for(node: ViewNode) -> tuple[int, int]:
    """Width and height of what is shown in a box, in points: small pictures are shown larger."""
    if not node.picture:
        return BAR_ROOM if node.bars else (0, 0)
    width, height = size_of(node.picture)
    times = max(1, LONG // max(width, height))
    return width * times, height * times


def inlaid(svg: str, view: GraphView) -> str:
    """Graphviz's SVG with pictures and bars in their cells."""
    nodes = {node.id: node for node in view.nodes if node.bars or node.picture}

    def filled(found: re.Match[str]) -> str:
        node = nodes[found[1]]
        points = [tuple(map(float, point.split(","))) for point in found[2].split()]
        left, top = min(x for x, _ in points), min(y for _, y in points)
        width, height = max(x for x, _ in points) - left, max(y for _, y in points) - top
        if node.bars:
            return _bars(node.bars, left, top, width, height)
        return (
            f'<image x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}" preserveAspectRatio="none" '
            f'style="image-rendering:pixelated" xlink:href="{node.picture}"/>'
        )

    return _CELL.sub(filled, svg) if nodes else svg


def _bars(bars: tuple[int, ...], left: float, top: float, width: float, height: float) -> str:
    most, step = max([*bars, 1]), width / len(bars)
    rows = []
    for place, count in enumerate(bars):
        if count:
            tall = max(0.5, height * count / most)
            spot = f'x="{left + place * step:.2f}" y="{top + height - tall:.2f}"'
            rows.append(f'<rect {spot} width="{0.85 * step:.2f}" height="{tall:.2f}"/>')
    base = f'<rect x="{left:.2f}" y="{top + height:.2f}" width="{width:.2f}" height="0.6"/>'
    return '<g fill="#2c7fb8" stroke="none">' + "".join(rows) + base + "</g>"


def write_files(view: GraphView, folder: Path) -> dict[str, str]:
    """A PNG file for each box with a picture or a histogram, by the box's id."""
    files = {}
    for node in view.nodes:
        if node.bars or node.picture:
            path = folder / f"{node.id}.png"
            path.write_bytes(png_of(bar_picture(node.bars) if node.bars else node.picture))
            files[node.id] = path.as_posix()
    return files
