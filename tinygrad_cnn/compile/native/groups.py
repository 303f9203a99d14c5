"""Fused nodes that begin with a product, a convolution or a pool, taken apart, and the loops that compute them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...graph import Node
from ...ops.base import Full
from ..fuse import Fused
from ..layout import Arranged
from .lanes import PARTIAL, NotLanesError, example
from .loops import Head
from .steps import Lattice, Layout, LoopStep

if TYPE_CHECKING:
    from .planner import Planner


@dataclass(frozen=True)
class Group:
    """A fused node, taken apart."""

    node: Node
    head: Node
    rest: tuple[Node, ...]
    """What follows the head."""
    outside: dict[Node, Node]
    """What the parameters stand for."""
    level: int
    """The first on which all inputs are there."""

    @property
    def sources(self) -> list[Node]:
        """What the head reads."""
        return [self.outside[each] for each in self.head.inputs]

    @property
    def op(self) -> Any:
        """What the head does."""
        return self.head.op.op if isinstance(self.head.op, Arranged) else self.head.op


Make = Callable[[LoopStep, Layout], Head]


def take_apart(node: Node, level: int) -> Group:
    """A fused node that has a head."""
    op = node.op
    assert isinstance(op, Fused)
    assert op.head is not None
    rest = tuple([each for each in op.body if each is not op.head])
    return Group(node, op.head, rest, dict(zip(op.parameters, node.inputs, strict=True)), level)


def start(
    planner: Planner, group: Group, makers: Sequence[tuple[Make, Lattice | None]], tile: tuple[int, int],
    groups: int = 1, rows_first: bool = True, together: int = 0,
) -> bool:  # fmt: skip
    """Loops that begin with a head. ``makers`` makes it, for each lattice of places one.

    With ``together`` each thread takes some channels of all blocks: see :class:`LoopStep`.
    """
    axis = planner.axes[group.node]
    if axis is None or axis == PARTIAL or any(isinstance(each.op, Full) for each in group.outside.values()):
        return False
    space = example(group.node.spec.shape, axis)
    for make, lattice in makers:
        size = space if lattice is None else lattice.counts(space)
        if 0 in size:
            continue
        step = LoopStep([], group.level, "share" if together else "block", space=size, lanes=planner.lanes,
                        wide=planner.wide, masked=planner.masked, head=make, tile=tile, lattice=lattice, groups=groups,
                        rows_first=rows_first, open=len(makers) == 1 and (groups == 1 or not rows_first),
                        together=together)  # fmt: skip
        planner.steps.append(step)
        if not planner.maps(group.node, group.level, group.rest, group.outside, step, group.head):
            raise NotLanesError(f"{group.node.op} cannot follow its head")
        planner.maker[group.node] = step
    return True


def tile_of(planner: Planner, columns: int) -> tuple[int, int]:
    """How many places and channels at once."""
    if planner.wide > 1:
        vectors = -(-columns // planner.wide)
        width = next(each for each in (4, 3, 2, 1) if vectors % each == 0 or (each <= vectors and each < 3))
        return max(1, planner.registers // width), width
    width = max(each for each in range(1, 7) if columns % each == 0 or each == min(6, columns))
    if columns % 4 == 0 and columns % 6:
        width = 4
    return max(1, planner.registers // width), width
