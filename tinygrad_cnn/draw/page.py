"""A view as one HTML file that works alone: blocks open and close, and a slider steps forward and backward."""

from __future__ import annotations

import html
import json
from importlib import resources

from .contents import lines_of
from .inlay import room_for
from .kinds import CHANGES, PALETTE, SIGNS
from .view import GraphView, ViewEdge, ViewNode


def to_page(view: GraphView) -> str:
    """The view as a page without any reference to the network."""
    data = {
        "name": view.name,
        "description": view.contents,
        "notes": view.notes,
        "palette": PALETTE,
        "changes": CHANGES,
        "signs": SIGNS,
        "usual": {"nodes": ViewNode._field_defaults, "edges": ViewEdge._field_defaults},
        "nodes": [{**_unusual(node), "lines": lines_of(node), "room": room_for(node)} for node in view.nodes],
        "edges": [_unusual(edge) for edge in view.edges],
        "groups": [group._asdict() for group in view.groups],
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for letter in "<>&":  # the text stands inside a script element
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    template = resources.files(__package__).joinpath("page.html").read_text("utf-8")
    before, after = template.replace("__TITLE__", html.escape(view.name)).split("__DATA__")
    return before + text + after


def _unusual(part: ViewNode | ViewEdge) -> dict[str, object]:
    """The fields that are not what they mostly are: large graphs have many boxes."""
    usual = part._field_defaults
    return {name: value for name, value in part._asdict().items() if name not in usual or value != usual[name]}
