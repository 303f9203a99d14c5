"""The passes, in their order. Each takes a graph and gives one that computes the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..graph import Node
from .fold import fold_scales
from .fuse import fuse
from .graph import Graph
from .layout import arrange
from .recompute import recompute
from .simplify import apply_algebra, fold_constants, merge_equal
from .split import NotSplitError, Part, split

Pass = Callable[[Graph], Graph]


def on_results(rule: Callable[[Sequence[Node]], list[Node]]) -> Pass:
    """A pass that only looks at the results."""

    def run(graph: Graph) -> Graph:
        return graph.with_results(rule(graph.results))

    run.__name__, run.__doc__ = rule.__name__, rule.__doc__
    return run


SIMPLIFY: tuple[Pass, ...] = (on_results(merge_equal), on_results(fold_constants), on_results(apply_algebra))
PASSES: tuple[Pass, ...] = (*SIMPLIFY, on_results(recompute), on_results(fold_scales), *SIMPLIFY, arrange, *SIMPLIFY)
"""What is done before the batch is split; nodes are fused afterwards."""


def optimise(graph: Graph, watch: Callable[[str, Graph], None] | None = None, turn_dense: bool = True) -> Graph:
    """Run all passes but the last two, which depend on the executor. ``watch`` is shown the graph after each."""
    for each in PASSES:
        graph = arrange(graph, turn_dense) if each is arrange else each(graph)
        if watch is not None:
            watch(each.__name__, graph)
    return graph


def stages(graph: Graph) -> dict[str, Graph]:
    """The graph, and after each pass that changed it, fusion included."""
    found = {"as written": graph}
    last = text_of(graph)

    def watch(name: str, after: Graph) -> None:
        nonlocal last
        text = text_of(after)
        if text != last:
            found[name if name not in found else f"{name}, again"] = after
            last = text

    watch("fuse", fuse(optimise(graph, watch)))
    return found


def text_of(graph: Graph) -> list[tuple[str, ...]]:
    """What a graph computes: each node's operation, shape and inputs."""
    number = {node: str(position) for position, node in enumerate(graph.nodes)}
    return [(str(node.op), repr(node.spec), *[number[each] for each in node.inputs]) for node in number]


def divide(graph: Graph, parts: int) -> tuple[list[Part], str]:
    """The graph for so many parts of the batch, fused; for one part with the reason where it cannot be split."""
    reason = ""
    divided: list[Part] = []
    if parts > 1:
        try:
            divided = split(graph, parts)
        except NotSplitError as why:
            reason = str(why)
    if not divided:
        divided = [Part(graph, 0, 0, (None,) * len(graph.arguments), (None,) * len(graph.results))]
    return [Part(fuse(part.graph), part.start, part.stop, part.arguments, part.results) for part in divided], reason
