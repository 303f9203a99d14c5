"""What compilers hand over: operations that are graphs, operations that store their arrays in another order, and facts.

A compiled function is drawn as it runs: the graph of the first part of its plan. An operation may have

* a ``body``, the nodes that it is made of, each after its inputs; symbols stand for its inputs, in order: its
  ``parameters``, or else those in the body;
* an ``op``, the operation that it does in another way;
* ``facts``, a mapping of texts to texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ..errors import ArgumentError
from ..graph import Node
from ..nn.module import Parameter
from ..ops.base import Operation
from ..ops.shape import BroadcastTo
from ..tensor import Tensor
from .contents import format_memory
from .gradient import is_leaf
from .numbers import RUNS
from .trace import Trace


def body_of(node: Node) -> Sequence[Node]:
    """The symbols and nodes that an operation is made of where it is a graph itself, the result last; else nothing."""
    body: Any = getattr(node.op, "body", None)
    if not isinstance(body, list | tuple) or not body:
        return ()
    symbols: Any = getattr(node.op, "parameters", ())
    return [each for each in (*symbols, *body) if isinstance(each, Node)]


def steps_of(node: Node) -> list[str]:
    """The names of the operations in a fused one, in order, without those that only repeat numbers."""
    return [plain(each.op).name for each in _inner(node)]


def only_step(node: Node) -> Node:
    """The operation in a fused one that does only this."""
    return _inner(node)[0]


def _inner(node: Node) -> list[Node]:
    inner = [each for each in body_of(node) if not is_leaf(each) and each.inputs]
    return [each for each in inner if not isinstance(each.op, BroadcastTo)] or inner[-1:]


def plain(op: Operation) -> Operation:
    """The operation that is done, in whatever way."""
    inner = getattr(op, "op", None)
    return inner if isinstance(inner, Operation) else op


def facts_of(op: Operation) -> tuple[str, ...]:
    """What a compiler noted: ``channels last``, ``layout: NHWC``."""
    inner = plain(op)
    way = () if inner is op else (str(op).removeprefix(str(inner)).strip() or op.name,)
    facts = getattr(op, "facts", None)
    noted = [f"{name}: {fact}" for name, fact in facts.items()] if isinstance(facts, Mapping) else []
    return (*way, *noted)


def macs_of(node: Node) -> int:
    """The multiply-adds of an operation, or of all that it is made of."""
    from ..summary import count_macs  # the table is made from a trace too, so each module wants the other

    total = 0
    for each in body_of(node) or [node]:
        if plain(each.op) is each.op:
            total += count_macs(each)
        else:
            from ..compile.report import count_macs_stored

            total += count_macs_stored(each)
    return total


def trace_of(thing: Any, timed: bool) -> Trace | None:
    """What a compiled function runs, or the graph of what has one; nothing for other things.

    Args:
        thing: a compiled function, a plan, a graph, or anything with one of these.
        timed: whether the time of each operation of a plan is measured.
    """
    if callable(getattr(thing, "tensors", None)):
        return _trace_of_graph(thing)
    plan = thing if hasattr(thing, "running") else _plan_of(thing)
    if plan is None:
        graph = getattr(thing, "graph", None)
        return _trace_of_graph(graph) if callable(getattr(graph, "tensors", None)) else None
    memory = f"{format_memory(plan.nbytes)} of memory"
    if plan.parts_in_words:
        memory += f" in all; {plan.parts_in_words}"
    trace = replace(_trace_of_graph(plan.running), name=getattr(thing, "__name__", "plan"), notes=(memory,))
    if timed:
        from ..compile.report import make_report

        report = thing.report if callable(getattr(thing, "report", None)) else partial(make_report, plan)
        nodes = plan.timed_nodes
        lines = zip(nodes, report(RUNS).lines, strict=True)
        times = dict.fromkeys(set(plan.running.nodes).difference(nodes), 0.0)  # another view of the same numbers
        for node, line in lines:
            if line.milliseconds is not None and node is not None:
                times[node] = times.get(node, 0.0) + line.milliseconds
        trace = replace(trace, times=times, notes=(memory, "what changes parameters is not timed"))
    return trace


def _plan_of(thing: Any) -> Any:
    """The plan of a compiled function; nothing where it is run node by node, and for other things."""
    try:
        return getattr(thing, "plan", None)
    except ArgumentError:
        return None


def _trace_of_graph(graph: Any) -> Trace:
    held = {state.node: state.leaf for state in getattr(graph, "states", ()) if state.leaf is not None}
    names = {id(leaf): node.name or leaf.name or "" for node, leaf in held.items()}
    tensors: list[Tensor] = list(graph.tensors())
    becomes: dict[Node, tuple[str, ...]] = {}
    left = {effect.position: effect for effect in getattr(graph, "effects", ()) if effect.position >= 0}
    for position, tensor in enumerate(tensors):
        words = "result"
        if position in left:
            leaf = left[position].leaf
            kind = "parameter" if isinstance(leaf, Parameter) else "buffer"
            name = names.get(id(leaf)) or leaf.name or kind
            words = f"gradient of {name}" if left[position].kind == "gradient" else f"new {name}"
        becomes[tensor.node] = (*becomes.get(tensor.node, ()), words)
    return Trace(
        "graph",
        tensors,
        leaves={node: names[id(leaf)] for node, leaf in held.items()},
        buffers=frozenset([node for node, leaf in held.items() if not isinstance(leaf, Parameter)]),
        returned=min(left, default=len(tensors)),
        becomes=becomes if left else {},
    )
