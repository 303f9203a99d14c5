"""A view as Mermaid, the language of diagrams in Markdown pages."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import ArgumentError
from .contents import lines_of, walk
from .images import bar_words
from .kinds import CHANGES, PALETTE, SIGNS
from .view import GraphView, ViewGroup, ViewNode

MOST_EDGES = 500
"""Mermaid refuses more arrows."""
MOST_LETTERS = 50_000
"""Mermaid refuses longer texts."""
_PLAIN = " .,:+-=×·→²/'%?~▁▂▃▄▅▆▇█\N{MINUS SIGN}"
_SHAPES = {"input": ("([", "])"), "output": ("([", "])"), "parameter": ("[(", ")]"), "constant": ("[/", "/]")}


def to_mermaid(view: GraphView) -> str:
    """The view as a Mermaid flowchart.

    Raises :class:`ArgumentError` for more arrows or a longer text than Mermaid draws.
    """
    text = _text_of(view)
    if not _fits(view, text):
        raise ArgumentError(
            "draw",
            f"Mermaid draws at most {MOST_EDGES} arrows and {MOST_LETTERS:,} letters",
            got=f"{len(view.edges)} arrows and {len(text):,} letters",
            fix="collapse blocks with draw(..., depth=1) or fold=True, or save as .svg",
        )
    return text


def fits_mermaid(view: GraphView) -> bool:
    """Whether Mermaid draws so much."""
    return _fits(view, _text_of(view))


def _fits(view: GraphView, text: str) -> bool:
    return len(view.edges) <= MOST_EDGES and len(text) <= MOST_LETTERS


def _text_of(view: GraphView) -> str:
    return "\n".join(_lines(view)) + "\n"


def _lines(view: GraphView) -> Iterator[str]:
    yield "flowchart TB"
    for depth, entry in walk(view):
        indent = "  " * depth
        if entry is None:
            yield indent + "end"
        elif isinstance(entry, ViewGroup):
            name = f"{entry.title} {entry.name}" if entry.name != entry.title else entry.title
            times = f" ×{entry.repeat}" if entry.repeat > 1 else ""
            yield f'{indent}subgraph {entry.id}["{_text(name.strip() + times)}"]'
        else:
            yield f"{indent}{_box(entry)}"
        if isinstance(entry, ViewNode) and entry.link:
            yield f'{indent}click {entry.id} href "{_address(entry.link)}"'
    for edge in view.edges:
        arrow = "-.->" if edge.saved or edge.change == "removed" else "==>" if edge.skip else "-->"
        yield f'  {edge.source} {arrow}|"{_text(SIGNS[edge.change] + edge.shape)}"| {edge.target}'
    for change, paint in CHANGES.items():
        members = [str(place) for place, edge in enumerate(view.edges) if edge.change == change != "kept"]
        if members:
            yield f"  linkStyle {','.join(members)} stroke:{paint.line}"
    for kind, paint in [*PALETTE.items(), *CHANGES.items()]:
        members = [node.id for node in view.nodes if (node.change or node.kind) == kind]
        if members:
            dashes = ",stroke-dasharray:5 3" if kind == "removed" else ""
            yield f"  classDef {kind} fill:{paint.fill},stroke:{paint.line},color:#1a1a1a{dashes}"
            yield f"  class {','.join(members)} {kind}"


def _box(node: ViewNode) -> str:
    start, end = _SHAPES.get(node.role, ("[", "]"))
    first, *small = lines_of(node)
    if node.bars:
        small.append(bar_words(node.bars))
    label = "<br/>".join([f"<b>{_text(first)}</b>", *map(_text, small)])
    return f'{node.id}{start}"{label}"{end}'


def _address(link: str) -> str:
    """A link inside quotes."""
    from urllib.parse import quote

    return quote(link, safe="/:#?&=%.-_~+,;@!$'()*")


def _text(text: str) -> str:
    """Text inside quotes, with everything that Mermaid, Markdown or HTML could read as its own as a number."""
    return "".join([
        each if each.isalnum() or each in _PLAIN else "<br/>" if each == "\n" else f"#{ord(each)};" for each in text
    ]) or " "  # fmt: skip
