"""The picture as data: boxes, arrows and frames, before anybody has decided on a format.

Whatever writes a picture (DOT, Mermaid, JSON, text) reads a :class:`GraphView` and nothing else. The same network
gives the same view in every process: boxes are numbered by their place in the graph's order, never by identity.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from ..graph import Spec

Level = Literal["block", "op", "scalar"]
Role = Literal["input", "parameter", "constant", "operation", "block", "output", "error"]


class ViewNode(NamedTuple):
    """A box."""

    id: str
    role: Role
    kind: str
    """What the colour says, see :data:`~tinygrad_cnn.draw.kinds.PALETTE`."""
    title: str
    """The operation, the class of the block, or what kind of leaf."""
    name: str
    """The block's name in its parent, the parameter's full name; empty for operations."""
    settings: tuple[str, ...]
    """Hyper-parameters worth reading, such as ``stride 2``."""
    shape: str
    """Of what comes out, with the element type unless it is float32."""
    parameters: int
    """How many numbers are trained in it."""
    group: str
    """The id of the frame it stands in; empty outside all frames."""
    backward: bool
    """Whether it belongs to the gradient."""
    dtype: str = ""
    """The element types of what comes out."""
    macs: int = 0
    """Multiply-adds, see :func:`tinygrad_cnn.summary.count_macs`."""
    nbytes: int = 0
    """The memory of what comes out."""
    rule: str = ""
    """In a box of the gradient: the rule, where ``grad`` is the gradient in the output of the forward operation."""
    place: str = ""
    """The user's line that made it."""
    values: tuple[str, ...] = ()
    """Numbers in words, where they were asked for."""
    alert: str = ""
    """What is wrong here: the message of an error, or that there is the first NaN; empty where all is well."""
    repeat: int = 1
    """How many equal boxes, one after the other, this one stands for."""
    path: str = ""
    """The name of the block, as in ``state_dict``; of other boxes, that of the block they stand in."""
    share: float | None = None
    """Under an overlay: from 0 to 1, where the box with the most has 1."""


class ViewEdge(NamedTuple):
    """An arrow; its shape is that of the tensor that flows along it."""

    source: str
    target: str
    shape: str
    saved: bool
    """Whether a forward result is read again by the gradient."""
    skip: bool = False
    """Whether it passes by boxes that the same tensor also goes through, as the identity of a residual block does."""
    alert: bool = False
    """Whether it carries NaN."""


class ViewGroup(NamedTuple):
    """A frame around boxes and other frames."""

    id: str
    parent: str
    title: str
    name: str
    parameters: int
    """Of the whole model, on its outermost frame; 0 elsewhere."""
    backward: bool
    path: str = ""
    """The scope, as in ``resnet/layer1/0``."""
    repeat: int = 1
    """How many equal frames, one after the other, this one stands for."""


class GraphView(NamedTuple):
    """Everything that a picture shows. Groups and nodes are listed parents and inputs first."""

    name: str
    level: Level
    nodes: tuple[ViewNode, ...]
    edges: tuple[ViewEdge, ...]
    groups: tuple[ViewGroup, ...]
    outputs: tuple[str, ...]
    """The shapes of what comes out."""
    notes: tuple[str, ...] = ()
    """What a reader must know of the picture as a whole: that it was collapsed, what its colours mean."""

    def describe(self) -> str:
        """The picture in one sentence.

        >>> import tinygrad_cnn as tg
        >>> tg.draw(tg.symbol((2, 3), name="x").exp()).view.describe()
        'graph: 1 operation, input x 2×3, output 2×3'
        """
        count = sum(node.repeat for node in self.nodes if node.role in ("operation", "block"))
        word = "block" if self.level == "block" else "operation"
        parts = [f"{count} {word}{'' if count == 1 else 's'}"]
        parts += [f"{_input_words(node.name)} {node.shape}" for node in self.nodes if node.role == "input"]
        parts += [f"output {shape}" for shape in self.outputs]
        return f"{self.name}: " + ", ".join(parts)


def _input_words(name: str) -> str:
    return name if name.startswith("input") else f"input {name}".strip()


def format_shape(spec: Spec) -> str:
    """The shape, and the element type unless it is float32.

    >>> format_shape(Spec((8, 6, 28, 28), np.dtype("float32"))), format_shape(Spec((), np.dtype("int64")))
    ('8×6×28×28', 'scalar int64')
    """
    shape = "×".join(map(str, spec.shape)) or "scalar"
    return shape if spec.dtype == np.float32 else f"{shape} {spec.dtype}"


def short_count(count: int) -> str:
    """A count in at most four digits.

    >>> short_count(950), short_count(117_600), short_count(11_513_626_624)
    ('950', '118 k', '11.5 G')
    """
    size, unit = float(count), ""
    for larger in ("k", "M", "G", "T"):
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{size:.3g} {unit}" if unit else str(count)
