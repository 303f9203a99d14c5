"""A view as one HTML file that works alone: blocks open and close, and a slider steps forward and backward."""

from __future__ import annotations

import html
import json
from importlib import resources

from .contents import lines_of
from .kinds import PALETTE
from .view import GraphView


def to_page(view: GraphView) -> str:
    """The view as a page without any reference to the network."""
    data = {
        "name": view.name,
        "description": view.describe().removeprefix(f"{view.name}: "),
        "notes": view.notes,
        "palette": PALETTE,
        "nodes": [{**node._asdict(), "lines": lines_of(node)} for node in view.nodes],
        "edges": [edge._asdict() for edge in view.edges],
        "groups": [group._asdict() for group in view.groups],
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for letter in "<>&":  # the text stands inside a script element
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    template = resources.files(__package__).joinpath("page.html").read_text("utf-8")
    before, after = template.replace("__TITLE__", html.escape(view.name)).split("__DATA__")
    return before + text + after
