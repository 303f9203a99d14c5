"""What all writers share: the nesting of frames, and the words in a box."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from .kinds import SIGNS
from .view import GraphView, ViewGroup, ViewNode, short_count


def walk(view: GraphView) -> Iterator[tuple[int, ViewNode | ViewGroup | None]]:
    """Boxes and frames with their depth, frames before what stands in them; ``None`` where a frame ends.

    Frames may lie deeper than recursion goes.
    """
    inside: dict[str, list[ViewNode | ViewGroup]] = {}
    for node in view.nodes:
        inside.setdefault(node.group, []).append(node)
    for group in view.groups:
        inside.setdefault(group.parent, []).append(group)
    stack: list[tuple[int, ViewNode | ViewGroup | None]] = []
    stack.extend([(1, each) for each in inside.get("", [])][::-1])
    while stack:
        depth, entry = stack.pop()
        yield depth, entry
        if isinstance(entry, ViewGroup):
            stack.append((depth, None))
            stack.extend([(depth + 1, each) for each in inside.get(entry.id, [])][::-1])


def lines_of(node: ViewNode, details: bool = False) -> list[str]:
    """The words in a box, line by line: what it is first. With ``details`` also its type and memory."""
    if node.role in ("operation", "block"):
        first = node.title + (f"  {node.name}" if node.name and node.name != node.title else "")
    else:
        first = f"output {node.name}" if node.role == "output" and node.name else node.name or node.title
    if node.repeat > 1:
        first += f"  ×{node.repeat}"
    lines = [SIGNS[node.change] + first]
    if node.alert:
        lines += [line for part in node.alert.splitlines() for line in textwrap.wrap(part, 56)]
    if node.settings:
        lines += textwrap.wrap(", ".join(node.settings), 56)
    if node.rule:
        lines += textwrap.wrap(node.rule, 48)
    facts = [node.shape] if node.shape else []
    if details and node.dtype and node.dtype not in node.shape:
        facts[0] += f" {node.dtype}"
    if details and node.nbytes:
        facts.append(format_memory(node.nbytes))
    if facts:
        lines.append(" · ".join(facts))
    work = [f"{node.parameters:,} parameters"] if node.parameters and node.role == "block" else []
    if node.macs:
        work.append(f"{short_count(node.macs)} MACs")
    work += work_of(node)
    if work:
        lines.append(" · ".join(work))
    if node.facts:
        lines += textwrap.wrap(", ".join(node.facts), 56)
    if node.was:
        lines += textwrap.wrap("was " + ", ".join(node.was), 56)
    return [*lines, *node.values]


def work_of(node: ViewNode) -> list[str]:
    """What a box sees, and how long it takes, where that was asked for."""
    sees = ["sees " + "×".join(map(str, node.sees))] if node.sees else []
    return [*sees, *([] if node.milliseconds is None else [format_time(node.milliseconds)])]


def format_time(milliseconds: float) -> str:
    """A time in the unit that suits it.

    >>> format_time(0.0123), format_time(12.3456), format_time(2500.0)
    ('12.3 µs', '12.3 ms', '2.5 s')
    """
    if milliseconds < 0.9995:
        return f"{1000 * milliseconds:.3g} µs"
    return f"{milliseconds:.3g} ms" if milliseconds < 999.5 else f"{milliseconds / 1000:.3g} s"


def format_memory(count: int) -> str:
    """A number of bytes in the unit that suits it.

    >>> format_memory(512), format_memory(246_824)
    ('512 B', '241 KiB')
    """
    size, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 999.5:
            break
        size, unit = size / 1024, larger
    return f"{size:.3g} {unit}"
