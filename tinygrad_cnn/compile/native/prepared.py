"""What rests on parameters alone: it is computed when these have come, group by group, and not in every run.

Examples are batch norm folded into kernels, and kernels in the order in which they are read. Parameters that nobody
reads otherwise have memory only while their group is computed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from ...graph import Node
from ...ops.base import SYMBOL
from ..graph import Graph
from .lanes import Buffer
from .planner import Planner
from .rows import Load
from .steps import Given, Input, Step


@dataclass(frozen=True)
class Group:
    """Steps that have nothing to do with those of other groups."""

    steps: list[Step]
    level: int
    """The first; it is below 0."""
    positions: frozenset[int]
    """The states that they begin with."""
    lent: list[int]
    """Which of them need no memory afterwards."""


@dataclass(frozen=True)
class Prepared:
    """All groups of a plan."""

    groups: list[Group]
    buffers: list[Buffer]
    """What was computed then, and is read in every run."""
    lent: dict[Buffer, int]
    """States that have memory only for a group, and the level on which it begins."""


def prepare(planner: Planner, graph: Graph, results: Sequence[Node], steps: Sequence[Step]) -> Prepared:
    """Give a level below 0 to steps that rest on parameters alone which the plan does not change.

    Args:
        planner: what knows where nodes lie.
        graph: the graph of the whole batch.
        results: the nodes that are given to the user, or are states afterwards.
        steps: all of them, in order.
    """
    states = [planner.states[state.node] for state in graph.states]
    constant = {planner.views[node].buffer for node in planner.order
                if not node.inputs and node.op is not SYMBOL and node in planner.views} - set(states)  # fmt: skip
    changed = {id(effect.leaf) for effect in graph.effects if effect.kind == "assign"}
    fixed = {buffer for buffer, state in zip(states, graph.states, strict=True)
             if state.leaf is not None and id(state.leaf) not in changed} | constant  # fmt: skip
    given = {*states, *planner.arguments.values()}
    early = _early(steps, fixed, {*given, *fixed})
    later = {each for step in steps if step not in early for each in step.buffers}
    later |= {planner.views[node].buffer for node in results if node in planner.views}
    buffers = dict.fromkeys([each for step in early for each in step.buffers])
    prepared = [each for each in buffers if each in later and each not in given]
    for buffer in prepared:
        buffer.keeps = True
    groups: list[Group] = []
    linked = _connected(early, set(buffers) - constant)
    levels = sum(len({step.level for step in group}) for group in linked)
    for group in linked:
        own = {level: number - levels for number, level in enumerate(sorted({step.level for step in group}))}
        levels -= len(own)
        for step in group:
            step.level = own[step.level]
        used = {each for step in group for each in step.buffers}
        positions = [position for position, buffer in enumerate(states) if buffer in used]
        lent = [position for position in positions if states[position] not in later]
        for position in lent:
            states[position].keeps = False
        groups.append(Group(group, min(own.values()), frozenset(positions), lent))
    return Prepared(groups, prepared, {states[at]: group.level for group in groups for at in group.lent})


def _early(steps: Sequence[Step], fixed: set[Buffer], known: set[Buffer]) -> list[Step]:
    """The steps that read only what is ``fixed``, or was computed from it; ``known`` has numbers before a run."""
    fixed, known, found = set(fixed), set(known), []
    for step in steps:
        whole = step.place in ("one", "share") and all(_is_same(each) for each in step.inputs)
        if whole and all(each in fixed for each in step.buffers if each in known):
            found.append(step)
            fixed |= set(step.buffers)
        known |= set(step.buffers)
    return found


def _is_same(argument: Input) -> bool:
    """Whether an argument of a kernel is the same in every run, apart from the numbers in a buffer."""
    if isinstance(argument, Buffer):
        return not argument.per_block
    return isinstance(argument, Given) and argument.kind in ("low", "high", "number", "scratch")


def _connected(steps: Sequence[Step], buffers: set[Buffer]) -> list[list[Step]]:
    """Steps in groups that have none of these buffers in common, each in order."""
    groups: list[tuple[set[Buffer], list[Step]]] = []
    for step in steps:
        used = buffers & set(step.buffers)
        near = [group for group in groups if group[0] & used]
        groups = [group for group in groups if group not in near]
        members = [each for each in steps if each is step or any(each in group[1] for group in near)]
        groups.append((used.union(*[group[0] for group in near]), members))
    return [members for _, members in groups]


def delay(steps: Sequence[Step]) -> None:
    """Prepare weights, and lay arguments out, just before they are read: they need memory from then on only.

    Weights lie on the level before the first that reads them. Arguments may lie on the same, if it is the thread's own
    block that is read.
    """
    levels = sorted({step.level for step in steps})
    readers: dict[Buffer, list[Step]] = {}
    for step in steps:
        for buffer in step.buffers if step.made is None else ():
            readers.setdefault(buffer, []).append(step)
    for step in steps:
        if step.made in readers and step.level >= 0:
            first = min([each.level for each in readers[step.made]])
            step.level = levels[bisect_left(levels, first) - 1]
        elif isinstance(step.kernel, Load) and isinstance(step.inputs[0], Given):
            after = [each for each in readers[step.buffers[0]] if each is not step]
            ends = [each.level - (each.place not in ("block", "blocks")) for each in after]
            step.level = max(step.level, min(ends, default=0))
