"""A view as DOT, the language of Graphviz."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from .contents import format_memory, lines_of, walk
from .inlay import cell
from .kinds import CHANGES, PALETTE, SIGNS
from .order import upward
from .view import Change, GraphView, ViewEdge, ViewGroup, ViewNode

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


def to_dot(view: GraphView, style: Style = PLAIN, files: Mapping[str, str] = MappingProxyType({})) -> str:
    """The view in DOT; the same view gives the same text, byte for byte.

    Pictures in boxes are taken from ``files``, by the box's id; without one there is a grey cell of that size.
    """
    return "\n".join(_lines(view, style, files)) + "\n"


def _lines(view: GraphView, style: Style, files: Mapping[str, str]) -> Iterator[str]:
    labelled = view.level == "block" if style.edge_shapes is None else style.edge_shapes
    ranksep = 0.35 if labelled else 0.25  # in inches: room for the labels
    yield f"digraph {quoted(view.name)} {{"
    # Gradients before and after a change need not stand side by side, which is too much for the usual ranking.
    mixed = view.compared and any(node.backward for node in view.nodes)
    tangled = ", newrank=true" if mixed else ""
    notes = "<BR/>".join([html(line) for note in view.notes for line in textwrap.wrap(note, 76)])
    label = f', labelloc="b", label=<<FONT POINT-SIZE="11">{notes}</FONT>>' if notes else ""
    yield (
        f'  graph [rankdir=TB, bgcolor="transparent", fontname="{FONT}", fontsize=12, fontcolor="{GREY}", '
        f'nodesep=0.3, ranksep={ranksep}, pad=0.1, labeljust="l", compound=true{tangled}{label}]'
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
            yield indent + _box(entry, style.details, files)
        else:
            yield f"{indent}subgraph cluster_{entry.id} {{"
            yield f"{indent}  {_frame(entry, inside.get(entry.id) == 1 and entry.id not in holding)}"
    backward = upward(view)
    for edge in view.edges:
        yield "  " + _edge(edge, labelled, edge.source in backward and edge.target in backward, beside=not mixed)
    if not backward:
        yield from _holds(view)
    yield "}"


def _holds(view: GraphView) -> Iterator[str]:
    """Arrows that nobody sees: they hold a block's parameters below what comes into the block.

    Without them a block would begin beside the one before it, and a chain of blocks would run off to the right.
    """
    by_id = {node.id: node for node in view.nodes}
    place = {id: index for index, id in enumerate(by_id)}
    read_at: dict[str, int] = {}
    coming: dict[str, list[int]] = {}  # for a frame, the boxes outside it whose results come in
    for edge in view.edges:
        source, target = by_id[edge.source], by_id[edge.target]
        read_at[source.id] = min(read_at.get(source.id, len(place)), place[target.id])
        if source.group != target.group and source.role in ("input", "operation", "block"):
            coming.setdefault(target.group, []).append(place[source.id])
    for node in view.nodes:
        if node.role in ("parameter", "constant") and node.group:
            # What stands before the first reader does not depend on it, so there is no circle.
            above = [index for index in coming.get(node.group, []) if index < read_at.get(node.id, 0)]
            if above:
                yield f"  {view.nodes[max(above)].id} -> {node.id} [style=invis]"


def _frame(group: ViewGroup, alone: bool) -> str:
    """The attributes of a frame; around a single box the label is kept short, out of the way of the arrow."""
    color = PALETTE["gradient"].line if group.backward else GREY
    sign = SIGNS[group.change]
    if sign:
        color = CHANGES[group.change].line
    times = f" ×{group.repeat}" if group.repeat > 1 else ""
    title = group.title + (times if not group.name else "")
    inner = group.name + times if group.name else ""
    name = sign + (html(inner or title) if alone else f"<B>{html(title)}</B>  {html(inner)}".rstrip())
    label = name + _room(sign + (inner or title if alone else f"{title} {inner}"))
    small = textwrap.wrap(", ".join(group.facts), 56)
    if group.parameters:
        small.insert(0, f"{group.parameters:,} parameters")
    if small:
        lines = [f'<FONT POINT-SIZE="10">{html(line)}{_room(line)}</FONT><BR ALIGN="LEFT"/>' for line in small]
        label += '<BR ALIGN="LEFT"/>' + "".join(lines)
    stack = f", penwidth={2.4 if group.repeat > 1 else 1.8 if sign else 0.8}"
    paint = f'color="{color}", fillcolor="{color}0e"{stack}'
    return f'graph [style="rounded,filled", {paint}, labelloc="t", label=<{label}>]'


def _room(text: str) -> str:
    """Spaces that keep a frame's label in its left half, for arrows come in at the middle."""
    return "&#160;" * (2 * len(text) + 4)


_SHAPES = {
    "input": 'shape=ellipse, style="filled", margin="0.05,0.03"',
    "output": 'shape=ellipse, style="filled", margin="0.05,0.03"',
    "parameter": 'shape=cylinder, style="filled", margin="0.1,0.06"',
    "constant": 'shape=note, style="filled", margin="0.1,0.06"',
    "error": 'style="filled", penwidth=3',
}


_OUTLINES: dict[Change, str] = {
    "added": "penwidth=2.6",
    "removed": 'penwidth=1.8, style="rounded,filled,dashed"',
    "changed": "penwidth=1.4, peripheries=2",
}


def _box(node: ViewNode, details: bool, files: Mapping[str, str]) -> str:
    paint = CHANGES[node.change] if node.change else PALETTE[node.kind]
    fill = paint.fill if node.share is None else heat(node.share)
    shape = _SHAPES.get("" if node.picture or node.bars else node.role)  # pictures need corners
    attributes = [shape] if shape else []
    attributes.append(f'fillcolor="{fill}", color="{ALERT if node.alert else paint.line}"')
    if node.change in _OUTLINES:
        attributes.append(_OUTLINES[node.change])
    if node.alert and node.role != "error":
        attributes.append("penwidth=3" + (", peripheries=2" if node.alert == "the first NaN" else ""))
    if node.repeat > 1 and node.role == "block":
        attributes.append("peripheries=2")
    label = _label(node, details)
    if node.bars or node.picture:
        rows = f"<TR><TD>{label}</TD></TR><TR>{cell(node, files)}</TR>"
        label = f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="2">{rows}</TABLE>'
    attributes.append(f"label=<{label}>")
    if node.link:
        attributes.append(f'URL={quoted(node.link)}, target="_top"')
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
    if node.was:
        words.append("was " + ", ".join(node.was))
    return ", ".join(word for word in [*words, *node.values, node.alert, node.place] if word)


_ARROWS: dict[Change, str] = {
    "added": 'penwidth=2, color="{color}", fontcolor="{color}"',
    "removed": 'style=dotted, penwidth=1.6, color="{color}", fontcolor="{color}"',
    "changed": 'color="{color}", fontcolor="{color}"',
}


def _edge(edge: ViewEdge, labelled: bool, backward: bool, beside: bool) -> str:
    """An arrow; those between boxes of the gradient may be laid out upwards, and ``beside`` what they read."""
    sign = SIGNS[edge.change]
    words = sign + (edge.shape if labelled and not edge.saved else "")
    attributes = [f"label={quoted(' ' + words.rstrip())}"] if words else []
    attributes.append(f"tooltip={quoted(edge.shape)}")
    if edge.saved:
        attributes.append("style=dashed" + (", minlen=0" if beside else ""))
    if edge.skip:
        attributes.append("penwidth=2" if edge.change else f'penwidth=2, color="{SKIP}"')
    if sign:
        attributes.append(_ARROWS[edge.change].format(color=CHANGES[edge.change].line))
    if edge.alert:
        attributes.append(f'penwidth=2, color="{ALERT}"')
    if backward:
        return f"{edge.target} -> {edge.source} [dir=back, {', '.join(attributes)}]"
    return f"{edge.source} -> {edge.target} [{', '.join(attributes)}]"
