"""Colouring boxes by how much of something they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from .contents import format_memory
from .view import GraphView, ViewNode, short_count

Overlay = Literal["macs", "memory", "parameters"]

_AMOUNTS: dict[str, tuple[str, Callable[[ViewNode], int], Callable[[int], str]]] = {
    "macs": ("multiply-adds", lambda node: node.macs, short_count),
    "memory": ("memory of what comes out", lambda node: node.nbytes, format_memory),
    "parameters": ("parameters", lambda node: node.parameters, short_count),
}
OVERLAYS = tuple(_AMOUNTS)


def with_overlay(view: GraphView, overlay: Overlay | Mapping[str, float]) -> GraphView:
    """The view with each box's share of the largest amount, and a note that gives the scale.

    Amounts of the caller's own are given by the name of the block; each box then tells its own, and boxes without one
    stay as they are.
    """
    amounts: dict[str, float] = {}
    for node in view.nodes:
        if node.role in ("operation", "block"):
            if isinstance(overlay, str):
                amounts[node.id] = _AMOUNTS[overlay][1](node)
            elif node.path in overlay and not node.backward:
                amounts[node.id] = overlay[node.path]
    most = max(amounts.values(), default=0)
    own = not isinstance(overlay, str)
    nodes = []
    for node in view.nodes:
        if node.id in amounts:
            share = max(0.0, amounts[node.id] / most) if most > 0 else 0.0
            values = (*node.values, f"{amounts[node.id]:.4g}") if own else node.values
            nodes.append(node._replace(share=share, values=values))
        else:
            nodes.append(node)
    if isinstance(overlay, str):
        name, amount, words = _AMOUNTS[overlay]
        total = sum(amount(node) * node.repeat for node in view.nodes if node.id in amounts)
        note = f"colour: {name}, from white (0) to orange ({words(int(most))} in one box); {words(total)} in all"
    else:
        note = f"colour: from white (0) to orange ({most:.4g})"
    return view._replace(nodes=tuple(nodes), notes=(*view.notes, note))
