"""A view as text for a terminal: one line for each box, indented by the frames around it."""

from __future__ import annotations

from .contents import work_of
from .images import bar_words
from .view import Change, GraphView, ViewGroup, ViewNode, short_count

_SIGNS: dict[Change, str] = {"": "", "added": "+ ", "removed": "- ", "changed": "~ ", "kept": "  "}


def to_text(view: GraphView) -> str:
    """The view as an indented list. A box says where its input comes from unless that is the box above it."""
    groups = {group.id: group for group in view.groups}
    sources: dict[str, list[str]] = {}
    for edge in view.edges:
        sources.setdefault(edge.target, []).append(_SIGNS[edge.change].strip() + edge.source)
    compared = view.compared
    rows: list[tuple[str, str, str]] = []
    open_frames: list[str] = []
    previous: list[str] = []
    for node in view.nodes:
        path = _path(node.group, groups)
        common = 0
        while common < min(len(path), len(open_frames)) and path[common] == open_frames[common]:
            common += 1
        for depth in range(common, len(path)):
            group = groups[path[depth]]
            indent = "  " * depth
            sign = _SIGNS[group.change] or "  " if compared else ""
            words = _words(group.title, group.name, group.repeat)
            rows.append((sign + indent + words, "", ", ".join(group.facts)))
        open_frames = path
        inputs = sources.get(node.id, [])
        origin = "" if inputs == previous else "from " + ", ".join(inputs) if inputs else ""
        label = _words(node.title, node.name, node.repeat)
        alert = " ".join(node.alert.split())
        was = "was " + ", ".join(node.was) if node.was else ""
        values = [*node.values, *([f"[{bar_words(node.bars)}]"] if node.bars else []), *work_of(node)]
        notes = [*node.settings, *node.facts, node.rule, was, *values, alert, origin]
        sign = _SIGNS[node.change] if compared else ""
        words = f"{sign}{'  ' * len(path)}{node.id} {label}"
        rows.append((words, _shape(node), ", ".join(note for note in notes if note)))
        previous = [node.id]
    widths = [max([len(row[column]) for row in rows if row[1]], default=0) for column in (0, 1)]
    body = [f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}".rstrip() for row in rows]
    lines = [" ".join(view.describe().split()), *body, *view.notes]
    return "\n".join("".join(each if each.isprintable() else " " for each in line) for line in lines)


def _words(title: str, name: str, repeat: int) -> str:
    words = f"{title} {name}" if name and name != title else title
    return " ".join(words.split()) + (f" ×{repeat}" if repeat > 1 else "")


def _shape(node: ViewNode) -> str:
    work = f"  {short_count(node.macs)} MACs" if node.macs else ""
    return node.shape + (f"  {node.parameters:,} parameters" if node.parameters else "") + work


def _path(group: str, groups: dict[str, ViewGroup]) -> list[str]:
    path: list[str] = []
    while group:
        path.append(group)
        group = groups[group].parent
    return path[::-1]
