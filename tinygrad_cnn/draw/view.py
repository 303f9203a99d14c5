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
Change = Literal["", "added", "removed", "changed", "kept"]


class ViewNode(NamedTuple):
    """A box."""

    id: str
    """``n0``, ``n1``, ... in the order in which boxes are listed."""
    role: Role
    """What it stands for: an operation or a block, or something given or returned."""
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
    change: Change = ""
    """Where two graphs are compared: what became of the box."""
    was: tuple[str, ...] = ()
    """What a changed box said before, where it says something else now."""
    picture: str = ""
    """What comes out as an image: the URI of a PNG that holds its own data; empty where none was asked for."""
    bars: tuple[int, ...] = ()
    """A histogram of what comes out: how many numbers lie in each of the equal parts of their range."""
    facts: tuple[str, ...] = ()
    """What a compiler decided about it, such as ``layout: NHWC``."""
    milliseconds: float | None = None
    """How long it took, where it was measured."""
    sees: tuple[int, ...] = ()
    """The receptive field of a unit in the middle, in pixels of the input, where it was asked for."""
    inside: str = ""
    """The operations in a block, such as ``2 add, 1 relu``; empty for a single one."""
    link: str = ""
    """The address of the page that explains it; empty unless somebody said where the documentation is."""


class ViewEdge(NamedTuple):
    """An arrow; its shape is that of the tensor that flows along it."""

    source: str
    """The id of the box that it leaves."""
    target: str
    """The id of the box that it leads to."""
    shape: str
    """With the element type unless it is float32; several where a box hands over several tensors."""
    saved: bool
    """Whether a forward result is read again by the gradient."""
    skip: bool = False
    """Whether it passes by boxes that the same tensor also goes through, as the identity of a residual block does."""
    alert: bool = False
    """Whether it carries NaN."""
    change: Change = ""
    """Where two graphs are compared: whether the arrow is new, gone or there in both."""


class ViewGroup(NamedTuple):
    """A frame around boxes and other frames."""

    id: str
    """``g0``, ``g1``, ... in the order in which frames are listed."""
    parent: str
    """The id of the frame around it; empty where there is none."""
    title: str
    """The class of the block, or the name of the scope."""
    name: str
    """The block's name in its parent, and which call of it this is."""
    parameters: int
    """Of the whole model, on its outermost frame; 0 elsewhere."""
    backward: bool
    """Whether it belongs to the gradient."""
    path: str = ""
    """The scope, as in ``resnet/layer1/0``."""
    repeat: int = 1
    """How many equal frames, one after the other, this one stands for."""
    facts: tuple[str, ...] = ()
    """What a compiler decided about the operation that the frame stands for."""
    closed: bool = False
    """Whether a page shows it closed at first."""
    change: Change = ""
    """Where two graphs are compared: whether the frame is new or gone; empty where both have it."""


class GraphView(NamedTuple):
    """Everything that a picture shows. Groups and nodes are listed parents and inputs first."""

    name: str
    """The title."""
    level: Level
    """What a box mostly is: a block, an operation, or an operation with its numbers."""
    nodes: tuple[ViewNode, ...]
    """The boxes."""
    edges: tuple[ViewEdge, ...]
    """The arrows."""
    groups: tuple[ViewGroup, ...]
    """The frames."""
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
        return self.name + ("; " if self.compared else ": ") + self.contents

    @property
    def contents(self) -> str:
        """What there is in it, what goes in and what comes out."""
        nodes = [node for node in self.nodes if node.change != "removed"]
        count = sum(node.repeat for node in nodes if node.role in ("operation", "block"))
        word = "block" if self.level == "block" else "operation"
        parts = [f"{count} {word}{'' if count == 1 else 's'}"]
        parts += [f"{_input_words(node.name)} {node.shape}" for node in nodes if node.role == "input"]
        parts += [f"output {shape}" for shape in self.outputs]
        return ", ".join(parts)

    @property
    def compared(self) -> bool:
        """Whether it shows what differs between two graphs."""
        return any(node.change for node in self.nodes)


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
