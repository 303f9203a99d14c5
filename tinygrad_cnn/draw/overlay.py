"""Colouring boxes by how much of something they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from ..errors import ArgumentError
from .contents import format_memory, format_time
from .view import GraphView, ViewNode, short_count

Overlay = Literal["macs", "memory", "parameters", "time", "receptive_field"]


class _Amount(NamedTuple):
    """What boxes are coloured by."""

    words: str
    of: Callable[[ViewNode], float | None]
    """Of one box; nothing for boxes that stay as they are."""
    format: Callable[[float], str]
    adds_up: bool = True
    """Whether the sum over all boxes says something."""


_AMOUNTS: dict[str, _Amount] = {
    "macs": _Amount("multiply-adds", lambda node: node.macs, lambda amount: short_count(int(amount))),
    "memory": _Amount("memory of what comes out", lambda node: node.nbytes, lambda amount: format_memory(int(amount))),
    "parameters": _Amount("parameters", lambda node: node.parameters, lambda amount: short_count(int(amount))),
    "time": _Amount(
        "time, measured here with each operation run by itself, the quickest of three runs",
        lambda node: node.milliseconds,
        format_time,
    ),
    "receptive_field": _Amount(
        "receptive field of a unit in the middle, by its longest side",
        lambda node: max(node.sees, default=None),
        lambda amount: f"{amount:.0f} pixels",
        adds_up=False,
    ),
}
OVERLAYS = tuple(_AMOUNTS)


def with_overlay(view: GraphView, overlay: Overlay | Mapping[str, float]) -> GraphView:
    """The view with each box's share of the largest amount, and a note that gives the scale.

    Amounts of the caller's own are given by the name of the block; each box then tells its own, and boxes without one
    stay as they are. Raises :class:`ArgumentError` for receptive fields where no box looks at an image.
    """
    amounts: dict[str, float] = {}
    for node in view.nodes:
        if node.role in ("operation", "block"):
            if isinstance(overlay, str):
                amount = _AMOUNTS[overlay].of(node)
                if amount is not None:
                    amounts[node.id] = amount
            elif node.path in overlay and not node.backward:
                amounts[node.id] = overlay[node.path]
    if overlay == "receptive_field" and not amounts:
        raise ArgumentError(
            "draw", "there is no receptive field to show",
            expected="an input with spatial axes, (N, C, H, W), and operations with windows on it",
            fix='choose another overlay, such as overlay="macs"',
        )  # fmt: skip
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
        kind = _AMOUNTS[overlay]
        note = f"colour: {kind.words}, from white (0) to orange ({kind.format(most)} in one box)"
        if overlay == "time" and any(group.closed and group.facts for group in view.groups):
            note += "; a frame tells the time of all in it"
        elif kind.adds_up:
            total = sum(amounts[node.id] * node.repeat for node in view.nodes if node.id in amounts)
            note += f"; {kind.format(total)} in all"
    else:
        note = f"colour: from white (0) to orange ({most:.4g})"
    return view._replace(nodes=tuple(nodes), notes=(*view.notes, note))
