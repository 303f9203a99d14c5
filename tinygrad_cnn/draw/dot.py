"""A view as DOT, the language of Graphviz."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .contents import format_memory, lines_of, walk
from .kinds import PALETTE
from .view import GraphView, ViewEdge, ViewGroup, ViewNode

FONT = "Helvetica,Arial,sans-serif"
GREY = "#7a7a7a"
"""Arrows, frames and their labels: as far from white as from black, so they show on light and on dark pages."""
INK = "#1a1a1a"
SKIP = "#2c7fb8"
"""Arrows that pass by other boxes."""
ALERT = "#d40000"
"""Around what is wrong."""

_ENTITIES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\\": "&#92;&#92;", "{": "&#123;", "}": "&#125;",
     "|": "&#124;", "\n": "<BR/>"}
)  # fmt: skip
# Graphviz puts the node's id for \N and the like, even in HTML-like labels and when written as an entity. Two
# backslashes are one in a label; a tooltip is unpacked twice.


def html(text: str) -> str:
    r"""Text for an HTML-like label, with everything that DOT could misread as an entity.

    >>> html('a<b & "c"\\N')
    'a&lt;b &amp; &quot;c&quot;&#92;&#92;N'
    """
    printable = "".join([each if each.isprintable() or each == "\n" else " " for each in text])
    return printable.translate(_ENTITIES) or " "


def quoted(text: str) -> str:
    """A quoted DOT string for a tooltip or a name, on one line."""
    return '"' + html(text.replace("\n", " ").replace("\\", "\\\\")) + '"'


class Style(NamedTuple):
    """How a view is written, whatever it holds."""

    edge_shapes: bool | None = None
    """Whether arrows carry shapes; without a word, those between blocks do."""
    details: bool = False
    """Whether boxes tell element type and memory too."""


PLAIN = Style()


def to_dot(view: GraphView, style: Style = PLAIN) -> str:
    """The view in DOT; the same view gives the same text, byte for byte."""
    return "\n".join(_lines(view, style)) + "\n"


def _lines(view: GraphView, style: Style) -> Iterator[str]:
    yield f"digraph {quoted(view.name)} {{"
    notes = "<BR/>".join(map(html, view.notes))
    label = f', labelloc="b", label=<<FONT POINT-SIZE="11">{notes}</FONT>>' if notes else ""
    yield (
        f'  graph [rankdir=TB, bgcolor="transparent", fontname="{FONT}", fontsize=12, fontcolor="{GREY}", '
        f'nodesep=0.3, ranksep=0.35, pad=0.1, labeljust="l", compound=true{label}]'
    )
    yield f'  node [shape=box, style="rounded,filled", fontname="{FONT}", fontsize=12, fontcolor="{INK}", ' \
          'margin="0.16,0.07", height=0.3, penwidth=1.2]'  # fmt: skip
    yield f'  edge [color="{GREY}", fontname="{FONT}", fontsize=9, fontcolor="{GREY}", arrowsize=0.7]'
    inside: dict[str, int] = {}
    for each in [*[node.group for node in view.nodes], *[group.parent for group in view.groups]]:
        inside[each] = inside.get(each, 0) + 1
    holding = {group.parent for group in view.groups}
    for depth, entry in walk(view):
        indent = "  " * depth
        if entry is None:
            yield indent + "}"
        elif isinstance(entry, ViewNode):
            yield indent + _box(entry, style.details)
        else:
            yield f"{indent}subgraph cluster_{entry.id} {{"
            yield f"{indent}  {_frame(entry, inside.get(entry.id) == 1 and entry.id not in holding)}"
    backward = {node.id for node in view.nodes if node.backward}
    labelled = view.level == "block" if style.edge_shapes is None else style.edge_shapes
    for edge in view.edges:
        yield "  " + _edge(edge, labelled, edge.source in backward and edge.target in backward)
    yield "}"


def _frame(group: ViewGroup, alone: bool) -> str:
    """The attributes of a frame; around a single box the label is kept short, out of the way of the arrow."""
    color = PALETTE["gradient"].line if group.backward else GREY
    times = f" ×{group.repeat}" if group.repeat > 1 else ""
    title = group.title + (times if not group.name else "")
    inner = group.name + times if group.name else ""
    name = html(inner or title) if alone else f"<B>{html(title)}</B>  {html(inner)}".rstrip()
    label = name + _room(inner if alone else f"{title} {inner}")
    if group.parameters:
        count = f"{group.parameters:,} parameters"
        label += f'<BR ALIGN="LEFT"/><FONT POINT-SIZE="10">{count}{_room(count)}</FONT><BR ALIGN="LEFT"/>'
    stack = ", penwidth=2.4" if group.repeat > 1 else ", penwidth=0.8"
    paint = f'color="{color}", fillcolor="{color}0e"{stack}'
    return f'graph [style="rounded,filled", {paint}, labelloc="t", label=<{label}>]'


def _room(text: str) -> str:
    """Spaces that keep a frame's label in its left half, for arrows come in at the middle."""
    return "&#160;" * 2 * len(text)


_SHAPES = {
    "input": 'shape=ellipse, style="filled", margin="0.05,0.03"',
    "output": 'shape=ellipse, style="filled", margin="0.05,0.03"',
    "parameter": 'shape=cylinder, style="filled", margin="0.1,0.06"',
    "constant": 'shape=note, style="filled", margin="0.1,0.06"',
    "error": 'style="filled", penwidth=3',
}


def _box(node: ViewNode, details: bool) -> str:
    paint = PALETTE[node.kind]
    fill = paint.fill if node.share is None else heat(node.share)
    shape = _SHAPES.get(node.role)
    attributes = [shape] if shape else []
    attributes.append(f'fillcolor="{fill}", color="{ALERT if node.alert else paint.line}"')
    if node.alert and node.role != "error":
        attributes.append("penwidth=3" + (", peripheries=2" if node.alert == "the first NaN" else ""))
    if node.repeat > 1 and node.role == "block":
        attributes.append("peripheries=2")
    attributes.append(f"label=<{_label(node, details)}>")
    return f"{node.id} [{', '.join(attributes)}, tooltip={quoted(tooltip(node))}]"


def _label(node: ViewNode, details: bool) -> str:
    first, *small = lines_of(node, details)
    if node.role in ("operation", "block", "error"):
        first = html(first).replace(html(node.title), f"<B>{html(node.title)}</B>", 1)
    else:
        first = html(first)
    return first + "".join(f'<BR/><FONT POINT-SIZE="10">{html(line)}</FONT>' for line in small)


def heat(share: float) -> str:
    """The colour of a share from 0 to 1: from white to orange, the same order in grey.

    >>> heat(0.0), heat(1.0)
    ('#ffffff', '#f5903c')
    """
    return "#" + "".join(f"{round(255 + share * (end - 255)):02x}" for end in (0xF5, 0x90, 0x3C))


def tooltip(node: ViewNode) -> str:
    """What is shown under the pointer."""
    words = [node.title, node.name, *node.settings, node.rule, node.shape]
    if node.dtype and node.dtype not in node.shape:
        words.append(node.dtype)
    if node.parameters:
        words.append(f"{node.parameters:,} parameters")
    if node.macs:
        words.append(f"{node.macs:,} multiply-adds")
    if node.nbytes:
        words.append(format_memory(node.nbytes))
    return ", ".join(word for word in [*words, *node.values, node.alert, node.place] if word)


def _edge(edge: ViewEdge, labelled: bool, backward: bool) -> str:
    """An arrow. Those of the gradient are laid out upwards, so that each gradient stands beside its forward box."""
    attributes = [f"label={quoted(' ' + edge.shape)}"] if labelled and not edge.saved else []
    attributes.append(f"tooltip={quoted(edge.shape)}")
    if edge.saved:
        attributes.append("style=dashed, minlen=0")
    if edge.skip:
        attributes.append(f'penwidth=2, color="{SKIP}"')
    if edge.alert:
        attributes.append(f'penwidth=2, color="{ALERT}"')
    if backward:
        return f"{edge.target} -> {edge.source} [dir=back, {', '.join(attributes)}]"
    return f"{edge.source} -> {edge.target} [{', '.join(attributes)}]"
