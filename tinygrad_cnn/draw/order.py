"""In which order boxes stand, and which arrows pass others by."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from .scene import Item
from .view import GraphView, ViewEdge, ViewNode


def sort_items(items: list[Item]) -> list[Item]:
    """Each box after those that feed it, and otherwise in the order of their first nodes."""
    owner = {node: index for index, item in enumerate(items) for node in item.nodes}
    feeds: list[set[int]] = [set() for _ in items]
    waiting = [0] * len(items)
    for node, index in owner.items():
        for parent in node.inputs:
            source = owner.get(parent, index)
            if source != index and index not in feeds[source]:
                feeds[source].add(index)
                waiting[index] += 1
    ready = [index for index, count in enumerate(waiting) if count == 0]  # ascending, and so already a heap
    result: list[int] = []
    while ready:
        index = heapq.heappop(ready)
        result.append(index)
        for target in feeds[index]:
            waiting[target] -= 1
            if waiting[target] == 0:
                heapq.heappush(ready, target)
    left = set(range(len(items))).difference(result)  # boxes that feed each other in a circle
    return [items[index] for index in [*result, *sorted(left)]]


def with_middle(items: list[Item], most: int) -> list[Item]:
    """The first and the last boxes, and all between them as one. The order makes this a box that no path re-enters."""
    head = most // 2
    tail = most - head - 1
    middle = [node for item in items[head : len(items) - tail] for node in item.nodes]
    return [*items[:head], Item(middle, "", "middle"), *items[len(items) - tail :]]


def upward(view: GraphView) -> set[str]:
    """The boxes of the gradient, whose arrows are laid out upwards, so that each stands beside its forward box.

    There are none where that would lead in a circle: a compiler may let the gradient read what rests on it.
    """
    backward = {node.id for node in view.nodes if node.backward}
    targets: dict[str, list[str]] = {node.id: [] for node in view.nodes}
    waiting = dict.fromkeys(targets, 0)
    for edge in view.edges:
        turned = edge.source in backward and edge.target in backward
        source, target = (edge.target, edge.source) if turned else (edge.source, edge.target)
        targets[source].append(target)
        waiting[target] += 1
    ready = [id for id, count in waiting.items() if not count]
    for id in ready:  # it grows while it is walked
        for target in targets[id]:
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    return backward if len(ready) == len(waiting) else set()


def with_skips(nodes: Iterable[ViewNode], edges: list[ViewEdge]) -> tuple[ViewEdge, ...]:
    """Mark the arrows that pass by what other arrows into the same box come through."""
    by_id = {node.id: node for node in nodes}
    into: dict[str, list[ViewEdge]] = {}
    out_of: dict[str, list[ViewEdge]] = {}
    for edge in edges:
        if not edge.saved and by_id[edge.source].role in ("input", "operation", "block"):
            into.setdefault(edge.target, []).append(edge)
            out_of.setdefault(edge.source, []).append(edge)
    rank: dict[str, int] = {}
    for id in by_id:  # the longest way from an input; boxes stand after what feeds them
        rank[id] = max([rank.get(edge.source, 0) + 1 for edge in into.get(id, [])], default=0)

    def leads_to(source: str, ends: set[str]) -> bool:
        """Searched from both sides by turns, so that it takes no longer than from the easier one."""
        highest = max([rank[end] for end in ends])
        ahead, reached = [source], {source}
        back, seen = list(ends), set(ends)
        while ahead and back:
            for edge in out_of.get(ahead.pop(), []):
                if edge.target in seen:
                    return True
                if rank[edge.target] < highest and edge.target not in reached:
                    reached.add(edge.target)
                    ahead.append(edge.target)
            for edge in into.get(back.pop(), []):
                if edge.source in reached:
                    return True
                if rank[edge.source] > rank[source] and edge.source not in seen:
                    seen.add(edge.source)
                    back.append(edge.source)
        return False

    skips = set()
    for incoming in into.values():
        for edge in incoming:
            others = {other.source for other in incoming if rank[other.source] > rank[edge.source]}
            if others and leads_to(edge.source, others):
                skips.add(edge)
    return tuple([edge._replace(skip=True) if edge in skips else edge for edge in edges])
