"""What is to be drawn: a graph with all that is worked out for it once, and what is to be shown of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from ..errors import Place
from ..graph import Node
from ..nn.module import Module
from .gradient import Gradients, find_gradients
from .numbers import Numbers, Values, measure
from .retrace import calls_told_apart, without_numbers
from .trace import Failure, Trace
from .view import Level

Closed = Callable[[str, "Module | None"], bool]
"""Whether a block, given by its path and module, is drawn as one box."""

MOST = 400
"""More boxes than this are not shown at once unless somebody insists."""


class Wish(NamedTuple):
    """What is to be shown of a graph."""

    level: Level
    backward: bool = False
    depth: int | None = None
    """Blocks so many steps below the model are one box each; 0 is the model itself."""
    closed: Closed | None = None
    rules: bool = True
    """Whether a gradient rule is one box; otherwise each of its operations is."""
    here: Place | None = None
    """Where the drawing was asked for: a line that says nothing of the network."""
    most: int | None = None
    """With more boxes than this, the middle of the graph becomes one."""
    bodies: bool = False
    """Whether fused operations are frames with what they are made of."""
    fields: bool = False
    """Whether boxes know their receptive fields."""
    links: str | None = None
    """Where the documentation is."""


class Item(NamedTuple):
    """What becomes one box: a node, the nodes of a block, or those that a gradient rule made."""

    nodes: list[Node]
    scope: str
    """The block's scope; of other boxes, the scope that the nodes were made in."""
    what: str
    """``node``, ``block``, ``rule``, ``sum`` or ``middle``."""


class Scene(NamedTuple):
    """A graph with all that is worked out once, however often it is looked at."""

    trace: Trace
    gradients: Gradients
    numbers: Numbers | None = None
    times: dict[Node, float] | None = None
    """Milliseconds."""


def make_scene(trace: Trace, backward: bool, values: Values | None, timed: bool) -> Scene:
    """The graph with its gradient, its numbers and its times, where these are wanted.

    Raises :class:`ArgumentError` where a gradient is asked for and no leaf requires one.
    """
    gradients = Gradients({}, {}, frozenset(), frozenset())
    failed = any(isinstance(tensor.node.op, Failure) for tensor in trace.outputs)
    if failed:
        return Scene(trace, gradients)
    calls = calls_told_apart(trace)
    if not (backward or values or timed or calls):
        return Scene(trace, gradients)
    trace, twins = without_numbers(replace(trace, calls=frozenset(calls.values())), calls)
    if backward or (values and any(tensor.requires_grad for tensor in trace.outputs)):
        gradients = find_gradients(trace, everywhere=bool(values))
    numbers = Numbers(trace, twins, gradients, values) if values else None
    times = None
    if timed:
        times = trace.times or measure(trace, twins, gradients)
    return Scene(trace, gradients, numbers, times)
