"""Two views as one: what is new, what is gone, what has changed and what is the same."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from .gradient import GRADIENT, forward_scope, is_backward
from .kinds import SIGNS
from .match import match
from .order import with_skips
from .view import Change, GraphView, ViewEdge, ViewGroup, ViewNode, short_count

CHANGES: tuple[Change, ...] = ("added", "removed", "changed", "kept")


def compare(before: GraphView, after: GraphView) -> GraphView:
    """The boxes, arrows and frames of both views, each once, marked by what became of it.

    A box that only has another name is the same box. The title says how many boxes there are of each kind.
    """
    old = {node.id: node for node in before.nodes}
    partner = match(before, after)
    order = _Order(before, after, partner)
    frames = _Frames(before, after)
    nodes: list[ViewNode] = []
    id_of: tuple[dict[str, str], dict[str, str]] = ({}, {})
    for side, node in order.nodes():
        id = f"n{len(nodes)}"
        id_of[side][node.id] = id
        group = frames.id_of(side, node.group)
        if side == 0:
            nodes.append(node._replace(id=id, group=group, change="removed"))
        elif node.id not in partner:
            nodes.append(node._replace(id=id, group=group, change="added"))
        else:
            id_of[0][partner[node.id]] = id
            was = _was(old[partner[node.id]], node)
            change: Change = "changed" if was else "kept"
            nodes.append(node._replace(id=id, group=group, change=change, was=was))
    counts = Counter(node.change for node in nodes)
    name = after.name if before.name == after.name else f"{after.name} against {before.name}"
    title = f"{name}: " + ", ".join(f"{counts[change]} {change}" for change in CHANGES)
    legend = ", ".join(f"{SIGNS[change]}{counts[change]} {change}" for change in CHANGES)
    notes = dict.fromkeys([*after.notes, *before.notes, legend])
    edges = with_skips(nodes, _edges(before, after, id_of))
    return GraphView(title, after.level, tuple(nodes), edges, tuple(frames.groups), after.outputs, tuple(notes))


def _was(before: ViewNode, after: ViewNode) -> tuple[str, ...]:
    """What the box said before, where it says something else now."""
    words = []
    if before.title != after.title:
        words.append(before.title)
    words += _differences(before.settings, after.settings) + _differences(before.facts, after.facts)
    if (before.shape, before.dtype) != (after.shape, after.dtype):
        words.append(before.shape if before.shape != after.shape else before.dtype)
    if before.parameters != after.parameters:
        words.append(f"{before.parameters:,} parameters")
    if before.rule != after.rule:
        words.append(before.rule or "no rule")
    if before.inside != after.inside:
        words += _differences(before.inside.split(", "), after.inside.split(", "))
    elif before.macs != after.macs and before.shape == after.shape:
        words.append(f"{short_count(before.macs)} MACs")
    return tuple(words)


def _differences(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """What was said before and is not now, or else what is new."""
    gone, come = [each for each in before if each not in after], [each for each in after if each not in before]
    return [", ".join(gone)] if any(gone) else ["without " + ", ".join(come)] if any(come) else []


def _edges(before: GraphView, after: GraphView, id_of: tuple[dict[str, str], dict[str, str]]) -> list[ViewEdge]:
    def placed(edge: ViewEdge, ends: tuple[str, str, bool], change: Change) -> ViewEdge:
        return edge._replace(source=ends[0], target=ends[1], skip=False, change=change)

    left: dict[tuple[str, str, bool], list[ViewEdge]] = {}  # an operation may read one tensor twice
    for edge in before.edges:
        ends = (id_of[0][edge.source], id_of[0][edge.target], edge.saved)
        left.setdefault(ends, []).append(edge)
    edges = []
    for edge in after.edges:
        ends = (id_of[1][edge.source], id_of[1][edge.target], edge.saved)
        olds = left.get(ends)
        change: Change = "added"
        if olds:
            change = "kept" if olds.pop(0).shape == edge.shape else "changed"
        edges.append(placed(edge, ends, change))
    for ends, olds in left.items():
        edges += [placed(old, ends, "removed") for old in olds]
    return edges


class _Step(NamedTuple):
    """A box of the common picture: its places in both graphs, or in one of them."""

    before: int | None
    after: int | None
    rank: tuple[int, int, int]


class _Order:
    """An order for the boxes of both graphs in which all arrows lead on.

    Two boxes may stand the other way round in the other graph. Then one of the pairs is given up: that box is removed
    in one place and added in another.
    """

    def __init__(self, before: GraphView, after: GraphView, partner: dict[str, str]) -> None:
        self.views = (before, after)
        self.partner = partner
        self.sources: list[list[list[int]]] = []
        self.targets: list[list[list[int]]] = []
        places = [{node.id: index for index, node in enumerate(view.nodes)} for view in self.views]
        for view, place in zip(self.views, places, strict=True):
            self.sources.append([[] for _ in view.nodes])
            self.targets.append([[] for _ in view.nodes])
            for edge in view.edges:
                self.sources[-1][place[edge.target]].append(place[edge.source])
                self.targets[-1][place[edge.source]].append(place[edge.target])
        kept = {places[0][old]: places[1][new] for new, old in partner.items()}
        older = {new: old for old, new in kept.items()}
        self.steps = [_Step(older.get(index), index, (index, 1, 0)) for index in range(len(after.nodes))]
        self.step_of = [[kept.get(index, -1) for index in range(len(before.nodes))], list(range(len(after.nodes)))]
        following = len(after.nodes)  # what is gone stands before the next box that is still there
        gone = []
        for index in range(len(before.nodes) - 1, -1, -1):
            following = kept.get(index, following)
            if index not in kept:
                gone.append(_Step(index, None, (following, 0, index)))
        for step in reversed(gone):
            self._add(step)
        self.waiting = [self._open_arrows(step) for step in self.steps]
        self.ready = [(step.rank, index) for index, step in enumerate(self.steps) if not self.waiting[index]]
        heapq.heapify(self.ready)

    def nodes(self) -> list[tuple[int, ViewNode]]:
        """The boxes with 1 for those of the graph after, also where both have them, and 0 for those that are gone."""
        result: list[tuple[int, ViewNode]] = []
        first = 0
        while self.ready or len(result) < len(self.steps):
            while not self.ready:  # the rest goes in a circle: give up the first pair in it
                if self.waiting[first]:
                    self._part(first)
                first += 1
            _, index = heapq.heappop(self.ready)
            step = self.steps[index]
            side, place = (1, step.after) if step.after is not None else (0, step.before)
            result.append((side, self.views[side].nodes[place or 0]))
            for side, place in enumerate(step[:2]):
                for target in [] if place is None else self.targets[side][place]:
                    self._count(self.step_of[side][target], -1)
        return result

    def _add(self, step: _Step) -> None:
        if step.before is not None:
            self.step_of[0][step.before] = len(self.steps)
        self.steps.append(step)

    def _open_arrows(self, step: _Step) -> int:
        return sum(len(self.sources[side][place]) for side, place in enumerate(step[:2]) if place is not None)

    def _count(self, index: int, change: int) -> None:
        self.waiting[index] += change
        if not self.waiting[index]:
            heapq.heappush(self.ready, (self.steps[index].rank, index))

    def _part(self, index: int) -> None:
        """Make two boxes of a pair."""
        before, after, rank = self.steps[index]
        if before is None or after is None:
            return
        waiting = [source for source in self.sources[0][before] if self.waiting[self.step_of[0][source]]]
        del self.partner[self.views[1].nodes[after].id]
        self.steps[index] = _Step(None, after, rank)
        self._add(_Step(before, None, (rank[0], 0, before)))
        self.waiting.append(0)
        self._count(len(self.steps) - 1, len(waiting))
        self._count(index, -len(waiting))


class _Frames:
    """The frames of both views: those of one path are one frame, whatever the model's own class is."""

    def __init__(self, before: GraphView, after: GraphView) -> None:
        self.views = (before, after)
        roots = [{forward_scope(g.path) for g in view.groups if _is_root(g.path)} for view in self.views]
        self.one_root = all(len(each) == 1 for each in roots)
        self.groups: list[ViewGroup] = []
        self.by_key: dict[str, ViewGroup] = {}
        self.known: tuple[dict[str, str], dict[str, str]] = ({"": ""}, {"": ""})
        for side in (1, 0):
            for group in self.views[side].groups:
                self._add(side, group)

    def id_of(self, side: int, id: str) -> str:
        return self.known[side][id]

    def _add(self, side: int, group: ViewGroup) -> None:
        key = self._key(group)
        if key in self.by_key:
            there = self.by_key[key]
            title = there.title if there.title == group.title else f"{group.title} → {there.title}"
            change: Change = "" if side == 0 else there.change
            self.groups[int(there.id[1:])] = self.by_key[key] = there._replace(title=title, change=change)
        else:
            change = "added" if side else "removed"
            made = group._replace(id=f"g{len(self.groups)}", parent=self.known[side][group.parent], change=change)
            self.groups.append(made)
            self.by_key[key] = made
        self.known[side][group.id] = self.by_key[key].id

    def _key(self, group: ViewGroup) -> str:
        path = forward_scope(group.path)
        if self.one_root and path:
            path = "/" + path.partition("/")[2]
        return (GRADIENT if is_backward(group.path) else "") + path


def _is_root(path: str) -> bool:
    forward = forward_scope(path)
    return bool(forward) and "/" not in forward
