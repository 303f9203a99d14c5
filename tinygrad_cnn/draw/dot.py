"""A view as DOT, the language of Graphviz."""

from __future__ import annotations

from collections.abc import Iterator

from .kinds import PALETTE
from .view import GraphView, ViewEdge, ViewGroup, ViewNode

FONT = "Helvetica,Arial,sans-serif"
GREY = "#7a7a7a"
"""Arrows, frames and their labels: as far from white as from black, so they show on light and on dark pages."""
INK = "#1a1a1a"

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


def to_dot(view: GraphView) -> str:
    """The view in DOT; the same view gives the same text, byte for byte."""
    return "\n".join(_lines(view)) + "\n"


def _lines(view: GraphView) -> Iterator[str]:
    yield f"digraph {quoted(view.name)} {{"
    yield (
        f'  graph [rankdir=TB, bgcolor="transparent", fontname="{FONT}", fontsize=12, fontcolor="{GREY}", '
        'nodesep=0.3, ranksep=0.35, pad=0.1, labeljust="l", compound=true]'
    )
    yield f'  node [shape=box, style="rounded,filled", fontname="{FONT}", fontsize=12, fontcolor="{INK}", ' \
          'margin="0.16,0.07", height=0.3, penwidth=1.2]'  # fmt: skip
    yield f'  edge [color="{GREY}", fontname="{FONT}", fontsize=9, fontcolor="{GREY}", arrowsize=0.7]'
    yield from _content(view)
    backward = {node.id for node in view.nodes if node.backward}
    for edge in view.edges:
        yield "  " + _edge(edge, view.level == "block", edge.source in backward and edge.target in backward)
    yield "}"


def _content(view: GraphView) -> Iterator[str]:
    """Frames with what stands in them, and what stands in none. Frames may lie deeper than recursion goes."""
    boxes: dict[str, list[ViewNode]] = {}
    frames: dict[str, list[ViewGroup]] = {}
    for node in view.nodes:
        boxes.setdefault(node.group, []).append(node)
    for group in view.groups:
        frames.setdefault(group.parent, []).append(group)
    stack: list[tuple[int, str | ViewGroup]] = [(1, node) for node in map(_box, boxes.get("", []))]
    stack = [*stack, *[(1, group) for group in frames.get("", [])]][::-1]
    while stack:
        depth, entry = stack.pop()
        indent = "  " * depth
        if isinstance(entry, str):
            yield indent + entry
            continue
        yield f"{indent}subgraph cluster_{entry.id} {{"
        yield f"{indent}  {_frame(entry, len(boxes.get(entry.id, [])) == 1 and entry.id not in frames)}"
        inside: list[tuple[int, str | ViewGroup]] = [(depth + 1, _box(node)) for node in boxes.get(entry.id, [])]
        inside += [(depth + 1, group) for group in frames.get(entry.id, [])]
        stack.extend([(depth, "}"), *inside[::-1]])


def _frame(group: ViewGroup, alone: bool) -> str:
    """The attributes of a frame; around a single box the label is kept short, out of the way of the arrow."""
    color = PALETTE["gradient"].line if group.backward else GREY
    name = html(group.name or group.title) if alone else f"<B>{html(group.title)}</B>  {html(group.name)}".rstrip()
    label = name + _room(group.name if alone else f"{group.title} {group.name}")
    if group.parameters:
        count = f"{group.parameters:,} parameters"
        label += f'<BR ALIGN="LEFT"/><FONT POINT-SIZE="10">{count}{_room(count)}</FONT><BR ALIGN="LEFT"/>'
    return f'graph [style="rounded,filled", color="{color}", fillcolor="{color}0e", penwidth=0.8, label=<{label}>]'


def _room(text: str) -> str:
    """Spaces that keep a frame's label in its left half, for arrows come in at the middle."""
    return "&#160;" * 2 * len(text)


_SHAPES = {
    "input": 'shape=ellipse, style="filled", margin="0.05,0.03"',
    "output": 'shape=ellipse, style="filled", margin="0.05,0.03"',
    "parameter": 'shape=cylinder, style="filled", margin="0.1,0.06"',
    "constant": 'shape=note, style="filled", margin="0.1,0.06"',
}


def _box(node: ViewNode) -> str:
    paint = PALETTE[node.kind]
    shape = _SHAPES.get(node.role)
    attributes = [shape] if shape else []
    attributes.append(f'fillcolor="{paint.fill}", color="{paint.line}", label=<{_label(node)}>')
    return f"{node.id} [{', '.join(attributes)}, tooltip={quoted(tooltip(node))}]"


def _label(node: ViewNode) -> str:
    if node.role in ("operation", "block"):
        first = f"<B>{html(node.title)}</B>" + (f"  {html(node.name)}" if node.name else "")
    else:
        first = html(node.name or node.title)
        if node.role == "output" and node.name:
            first = html(f"output {node.name}")
    small = [", ".join(node.settings)] if node.settings else []
    size = f" · {node.parameters:,} parameters" if node.parameters and node.role == "block" else ""
    small.append(node.shape + size)
    return first + "".join(f'<BR/><FONT POINT-SIZE="10">{html(line)}</FONT>' for line in small)


def tooltip(node: ViewNode) -> str:
    """What is shown under the pointer."""
    words = [node.title, node.name, *node.settings, node.shape]
    if node.parameters:
        words.append(f"{node.parameters:,} parameters")
    return ", ".join(word for word in words if word)


def _edge(edge: ViewEdge, labelled: bool, backward: bool) -> str:
    """An arrow. Those of the gradient are laid out upwards, so that each gradient stands beside its forward box."""
    attributes = [f"label={quoted(' ' + edge.shape)}"] if labelled and not edge.saved else []
    attributes.append(f"tooltip={quoted(edge.shape)}")
    if edge.saved:
        attributes.append("style=dashed, minlen=0")
    if backward:
        return f"{edge.target} -> {edge.source} [dir=back, {', '.join(attributes)}]"
    return f"{edge.source} -> {edge.target} [{', '.join(attributes)}]"
