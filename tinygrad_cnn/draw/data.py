"""A view as JSON, for programs that want to read a network.

The file is one object::

    {"schema": "tinygrad_cnn.drawing/1", "name": ..., "level": ..., "outputs": [...], "notes": [...],
     "nodes": [...], "edges": [...], "groups": [...]}

Each node, edge and group is an object with the fields of :class:`~tinygrad_cnn.draw.ViewNode`,
:class:`~tinygrad_cnn.draw.ViewEdge` and :class:`~tinygrad_cnn.draw.ViewGroup`, under the same names: ``source`` and
``target`` are the ids of nodes, ``group`` and ``parent`` those of groups, or empty. Later schemas may add fields.
"""

from __future__ import annotations

import json

from .view import GraphView

SCHEMA = "tinygrad_cnn.drawing/1"


def to_json(view: GraphView) -> str:
    """The view as JSON, one line for each node, edge and group."""
    lists = {key: [each._asdict() for each in getattr(view, key)] for key in ("nodes", "edges", "groups")}
    head = {"schema": SCHEMA, "name": view.name, "level": view.level, "outputs": view.outputs, "notes": view.notes}
    lines = [f" {_dump(key)}: {_dump(value)}" for key, value in head.items()]
    for key, rows in lists.items():
        lines.append(f" {_dump(key)}: [" + ",".join("\n  " + _dump(row) for row in rows) + "]")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
