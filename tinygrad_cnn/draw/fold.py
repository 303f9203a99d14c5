"""Equal neighbours in a view drawn once, with "×N"."""

from __future__ import annotations

from typing import NamedTuple

from .view import GraphView, ViewEdge, ViewGroup, ViewNode


class _Unit(NamedTuple):
    """What is compared: a box, or a frame with all that stands in it."""

    id: str
    nodes: list[ViewNode]


def fold(view: GraphView) -> GraphView:
    """The view with each run of equal boxes or frames, one feeding the next, drawn once.

    Equal means: the same classes, operations, settings, shapes and numbers of parameters, with the same arrows among
    them, and the same shapes coming in.
    """
    groups = {group.id: group for group in view.groups}
    inside = _contents(view, groups)
    into: dict[str, list[ViewEdge]] = {}
    out_of: dict[str, set[str]] = {}
    for edge in view.edges:
        into.setdefault(edge.target, []).append(edge)
        out_of.setdefault(edge.source, set()).add(edge.target)
    by_id = {node.id: node for node in view.nodes}

    merged: dict[str, str] = {}  # a box that is no longer drawn, and the one that stands for it
    gone: set[str] = set()  # frames that are no longer drawn
    repeats: dict[str, int] = {}
    for parent in ["", *groups]:
        units = [unit for unit in inside.get(parent, []) if unit.nodes]
        marks = [_signature(unit, into, by_id) for unit in units]
        start = 0
        while start < len(units):
            end = start + 1
            while end < len(units) and marks[end] == marks[start] and _feeds(units[end - 1], units[end], into, out_of):
                end += 1
            if end - start > 1:
                repeats[units[start].id] = end - start
                for unit in units[start + 1 : end]:
                    gone.add(unit.id)
                    merged.update(zip([n.id for n in unit.nodes], [n.id for n in units[start].nodes], strict=True))
            start = end
    return _without(view, groups, merged, gone, repeats) if merged else view


def _contents(view: GraphView, groups: dict[str, ViewGroup]) -> dict[str, list[_Unit]]:
    """For each frame, the boxes and frames directly in it, in the order of their first boxes."""
    found: dict[str, list[_Unit]] = {}
    frames: dict[str, _Unit] = {}
    for node in view.nodes:
        if node.role in ("operation", "block"):
            found.setdefault(node.group, []).append(_Unit(node.id, [node]))
        inner = node.group
        while inner:
            if inner not in frames:
                frames[inner] = _Unit(inner, [])
                found.setdefault(groups[inner].parent, []).append(frames[inner])
            frames[inner].nodes.append(node)
            inner = groups[inner].parent
    return found


def _signature(unit: _Unit, into: dict[str, list[ViewEdge]], by_id: dict[str, ViewNode]) -> object:
    places = {node.id: place for place, node in enumerate(unit.nodes)}
    parts: list[object] = []
    for node in unit.nodes:
        arrows = [
            (places.get(edge.source, -1), edge.shape, edge.saved, edge.change)
            for edge in into.get(node.id, [])
            if edge.source in places or by_id[edge.source].role in ("operation", "block", "input")
        ]
        name = "" if len(unit.nodes) == 1 else node.name.rpartition(".")[2]
        facts = (node.role, node.title, name, node.settings, node.shape, node.parameters, node.backward, node.alert)
        more = (node.facts, node.change, node.was, node.values, node.bars, node.picture)
        parts.append((facts, more, tuple(arrows)))
    return tuple(parts)


def _feeds(one: _Unit, other: _Unit, into: dict[str, list[ViewEdge]], out_of: dict[str, set[str]]) -> bool:
    """Whether all that leads from one unit on leads into the other, and the other takes only that."""
    here, there = {node.id for node in one.nodes}, {node.id for node in other.nodes}
    backward = one.nodes[0].backward
    sources = {
        edge.source
        for node in other.nodes
        for edge in into.get(node.id, [])
        if edge.source not in there and not edge.saved
    }
    if not sources or not sources <= here:
        return False
    targets = {target for id in here for target in out_of.get(id, set())} - here - there
    return backward or not any(_is_forward_target(target, into, here) for target in targets)


def _is_forward_target(target: str, into: dict[str, list[ViewEdge]], here: set[str]) -> bool:
    return any(not edge.saved for edge in into[target] if edge.source in here)


def _without(
    view: GraphView, groups: dict[str, ViewGroup], merged: dict[str, str], gone: set[str], repeats: dict[str, int]
) -> GraphView:
    def standing(id: str) -> str:
        while id in merged:
            id = merged[id]
        return id

    def is_gone(group: str) -> bool:
        while group:
            if group in gone:
                return True
            group = groups[group].parent
        return False

    nodes = [node._replace(repeat=repeats.get(node.id, 1)) for node in view.nodes if node.id not in merged]
    kept = {node.id: f"n{place}" for place, node in enumerate(nodes)}
    place_of = {node.id: place for place, node in enumerate(nodes)}
    edges: list[ViewEdge] = []
    seen: set[ViewEdge] = set()
    for edge in view.edges:
        source, target = standing(edge.source), standing(edge.target)
        folded = source != edge.source or target != edge.target
        if folded and not edge.saved and place_of[source] >= place_of[target]:
            continue  # it led from one of the equal ones to the next
        made = edge._replace(source=kept[source], target=kept[target])
        if not folded or made not in seen:  # an operation may use one tensor twice, with two arrows
            edges.append(made)
            seen.add(made)
    frames = [group._replace(repeat=repeats.get(group.id, 1)) for group in view.groups if not is_gone(group.id)]
    return view._replace(
        nodes=tuple([node._replace(id=kept[node.id]) for node in nodes]),
        edges=tuple(edges),
        groups=tuple(frames),
    )
