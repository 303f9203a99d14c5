"""Steps: the kernels of a plan before they are written, and what they read and write.

A step is done for every block, by whichever thread has the block; or once for whole arrays, by one thread or by all of
them in shares. Steps lie on **levels**: between two levels all threads wait for each other. Within a level a thread
takes one block after the other and does all steps for it, so that a block's numbers stay in the processor's cache.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ...graph import Node
from .ir import SCALARS, Function, Int, Type, Value
from .lanes import Buffer, View
from .loops import Earlier, Loop, Member, Operand, Row, Total


class Kernel(Protocol):
    """What can be written as a function."""

    @property
    def key(self) -> Hashable:
        """Kernels of the same key are the same function."""
        ...

    def write(self, name: str) -> Function:
        """The function."""
        ...


@dataclass(frozen=True)
class Given:
    """An argument of a kernel that is no buffer.

    ``scratch`` of the thread, the ``mask`` of the block, ``low`` and ``high`` of the thread's share, the ``block``'s
    number, the user's ``argument``, the word for ``wrong`` labels, or a plain ``number``.
    """

    kind: str
    number: int = 0


@dataclass(frozen=True)
class Apart:
    """An argument of a kernel that says by how many numbers the blocks of a buffer follow each other."""

    buffer: Buffer


Input = Buffer | Given | Apart


@dataclass(eq=False)
class Step:
    """A kernel and what it is called with."""

    nodes: list[Node]
    level: int
    place: str
    """Each ``"block"``, all ``"blocks"`` of a thread at once, ``"one"`` thread, ``"share"`` of each thread, or
    ``"python"``."""
    kernel: Kernel | None = None
    inputs: list[Input] = field(default_factory=list)
    scratch: int = 0
    """Bytes of scratch memory."""
    rounds: int = 0
    """What is shared among the threads."""
    name: str = ""
    """Of the function."""
    made: Buffer | None = None
    """What it prepares for others: weights in another form, which no node stands for."""
    part_of: Node | None = None
    """The node that it begins to compute, and another step finishes."""

    def finish(self, layout: Layout) -> None:
        """Decide what was left open until all steps were known."""

    @property
    def reads_blocks(self) -> bool:
        """Whether one call of its loop reads the numbers of several blocks."""
        return False

    @property
    def way(self) -> str:
        """What kind of kernel it is, in a word or two."""
        head = getattr(self.kernel, "head", None)
        return type(self.kernel if head is None else head).__name__.lower()

    @property
    def buffers(self) -> list[Buffer]:
        """What the kernel reads and writes."""
        return [each for each in self.inputs if isinstance(each, Buffer)]


@dataclass
class Layout:
    """What is known when all steps are: where memory lies, and who reads what."""

    block_bytes: int = 0
    blocks: int = 1
    kept: set[Node] = field(default_factory=set)
    """Nodes whose numbers somebody reads from memory."""


@dataclass(frozen=True)
class BlockSum(Operand):
    """The partial sums of all blocks, added up."""

    blocks: int = 1
    step: int = 0
    """How many numbers one block lies behind the one before."""

    def load(self, f: Function, index: Sequence[Int], lanes: int) -> Value:
        first = self.at(f, index)

        def add(block: Int, now: list[Value]) -> list[Value]:
            value = f.load(f.arguments[self.pointer], f.add(first, f.mul(block, self.step)), self.type)
            return [f.binary("fadd" if value.type.is_float else "add", now[0], value)]

        start = f.load(f.arguments[self.pointer], first, self.type)
        total = f.loop(1, self.blocks, 1, add, [start])[0]
        return total if total.type.lanes == lanes else f.spread(total, lanes)


Source = View | Earlier


@dataclass
class Draft:
    """A member of a loop that is not closed yet."""

    node: Node
    body: tuple[Node, ...]
    parameters: tuple[Node, ...]
    sources: list[Source]
    out: View
    total: Total | None = None
    dims: tuple[int, ...] = ()
    """The axes of the loop that a sum goes over."""
    sums_blocks: bool = False
    """Whether the only source holds partial sums of all blocks."""


@dataclass(frozen=True)
class Lattice:
    """Which places of an array a loop runs over: on each axis the first, and the distance of neighbours."""

    first: tuple[int, ...]
    step: tuple[int, ...]
    length: tuple[int, ...] | None = None
    """How many there are; ``None`` where they go on to the end."""

    def counts(self, space: tuple[int, ...]) -> tuple[int, ...]:
        """How many places there are on each axis."""
        if self.length is not None:
            return self.length
        axes = zip(space, self.first, self.step, strict=True)
        return tuple([len(range(first, n, step)) for n, first, step in axes])


@dataclass(eq=False)
class LoopStep(Step):
    """A loop that members may still join."""

    space: tuple[int, ...] = ()
    lanes: int = 1
    wide: int = 1
    """How many neighbours on the last axis may be computed side by side, where there is one lane."""
    members: list[Draft] = field(default_factory=list)
    kept: tuple[int, ...] | None = None
    """The axes that sums leave over; ``None`` as long as there are no sums."""
    head: Any = None
    """A function from this step to a :class:`~tinygrad_cnn.compile.native.loops.Head`."""
    tile: tuple[int, int] | None = None
    lattice: Lattice | None = None
    groups: int = 1
    """Into how many axes of equal length the last one is divided: two, where this is not 1."""
    rows_first: bool = True
    masked: bool = False
    open: bool = True
    together: int = 0
    """How many blocks one call does, for some of the channels; with 0 it does all channels of a block."""
    steep: bool = False
    """Whether neighbours on the last axis lie apart in some array."""

    @property
    def reads_blocks(self) -> bool:
        return self.together > 0

    @contextmanager
    def everywhere(self) -> Iterator[None]:
        """Inside, operands are reached at each place of the loop, not of the lattice."""
        lattice, self.lattice = self.lattice, None
        yield
        self.lattice = lattice

    def operand(self, view: View, layout: Layout) -> Operand:
        """How the loop reaches a view whose axes are those of the space, or of length 1."""
        if view.buffer not in self.inputs:
            self.inputs.append(view.buffer)
        pointer = self.inputs.index(view.buffer)
        strides = [0 if n == 1 else stride for n, stride in zip(view.shape, view.strides, strict=True)]
        offset = view.offset
        if self.lattice is not None:
            offset += sum(first * stride for first, stride in zip(self.lattice.first, strides, strict=True))
            strides = [stride * step for stride, step in zip(strides, self.lattice.step, strict=True)]
        if self.groups > 1:
            strides = [*strides[:-1], strides[-1] * (self.space[-1] // self.groups), strides[-1]]
        kind = Type(SCALARS[view.buffer.dtype], self.lanes if view.lanes else 1)
        self.steep |= bool(strides) and strides[-1] not in (0, 1)
        if self.together:
            apart = layout.block_bytes // (view.buffer.dtype.itemsize * kind.lanes)
            strides = [apart if view.buffer.per_block else 0, *strides]
        form = Row if self.wide > 1 else Operand
        return form(pointer, offset, tuple(strides), kind)

    def finish(self, layout: Layout) -> None:
        self.inputs = []
        self.steep = False
        head = None if self.head is None else self.head(self, layout)
        members = []
        for draft in self.members:
            sources = tuple(
                [each if isinstance(each, Earlier) else self.operand(each, layout) for each in draft.sources]
            )
            stored = draft.total is not None or draft.node in layout.kept
            out = self.operand(draft.out, layout) if stored else None
            members.append(Member(draft.body, draft.parameters, sources, out, draft.total))
        space = self.space
        if self.groups > 1:
            space = (*space[:-1], self.groups, space[-1] // self.groups)
        if self.together:
            space = (self.together, *space)
        masked = self.masked and any(each.total is not None and each.total.over_lanes for each in members)
        pointers = len(self.inputs)
        wide = 1 if self.steep or not space else self.wide
        if masked:
            self.inputs.append(Given("mask"))
        if head is None and self.kept is None:
            self.kernel = flat(
                Loop(space, tuple(range(len(space))), (1, 4), self.lanes, pointers, None, tuple(members), wide=wide)
            )
            return
        outer = self.kept if self.kept is not None else (() if not space else (len(space) - 1,))
        if head is not None:
            outer = tuple(range(len(space) - (2 if self.groups > 1 else 1), len(space))) if space else ()
        tile = self.tile or (1, 4 if sum(each.total is not None for each in members) < 3 else 2)
        if self.together:
            self.inputs += [Given("low"), Given("high")]
            self.rounds = -(-space[-1] // tile[1])
        self.kernel = Loop(
            space,
            outer,
            tile,
            self.lanes,
            pointers,
            head,
            tuple(members),
            masked,
            self.together > 0,
            wide=wide,
            rows_first=self.rows_first,
        )


def flat(loop: Loop) -> Loop:
    """The same loop with neighbouring axes joined where all arrays allow it.

    Where something is the same for all places of a channel, the channels become the outer axis instead.
    """
    operands = _operands(loop)
    last = len(loop.space) - 1
    if last > 0 and loop.space[-1] > 1 and any(_of_a_channel(each) for each in operands):
        return replace(loop, outer=(last,), tile=(1, 4))
    space = list(loop.space)
    axis = len(space) - 2
    strides = {each: list(each.strides) for each in operands}
    while axis >= 0:
        if all(step[axis] == step[axis + 1] * space[axis + 1] for step in strides.values()):
            space[axis : axis + 2] = [space[axis] * space[axis + 1]]
            for step in strides.values():
                step[axis : axis + 2] = [step[axis + 1]]
        axis -= 1

    def turned(each: Operand | Earlier) -> Operand | Earlier:
        return each if isinstance(each, Earlier) else replace(each, strides=tuple(strides[each]))

    members = []
    for member in loop.members:
        out = None if member.out is None else turned(member.out)
        assert not isinstance(out, Earlier)
        members.append(replace(member, sources=tuple([turned(each) for each in member.sources]), out=out))
    return replace(loop, space=tuple(space), outer=tuple(range(len(space))), members=tuple(members))


def _operands(loop: Loop) -> list[Operand]:
    found = [each for member in loop.members for each in member.sources if isinstance(each, Operand)]
    found += [member.out for member in loop.members if member.out is not None]
    return list(dict.fromkeys(found))


def _of_a_channel(operand: Operand) -> bool:
    return operand.strides[-1] != 0 and not any(operand.strides[:-1])


@dataclass(eq=False)
class WholeStep(Step):
    """Element-wise work on whole arrays of one shape, a vector at a time."""

    space: tuple[int, ...] = ()
    members: list[Draft] = field(default_factory=list)
    width: int = 16
    rest: bool = False
    """Whether this is the part behind the last whole vector."""
    twin: WholeStep | None = None
    """The step for that part."""

    @property
    def reads_blocks(self) -> bool:
        return any(draft.sums_blocks for draft in self.members)

    def finish(self, layout: Layout) -> None:
        self.inputs = []
        members = []
        size = math.prod(self.space)
        views = [each for draft in self.members for each in [*draft.sources, draft.out] if isinstance(each, View)]
        plain = all(is_flat(each, self.space) for each in views)
        lanes = self.width if plain and not self.rest else 1
        for draft in self.members:
            sources = [
                each if isinstance(each, Earlier) else self._operand(each, lanes, plain, layout, draft)
                for each in draft.sources
            ]
            out = self._operand(draft.out, lanes, plain, layout, None) if draft.node in layout.kept else None
            members.append(Member(draft.body, draft.parameters, tuple(sources), out))
        pointers = len(self.inputs)
        if not plain:
            if self.rest:
                self.kernel, self.inputs = None, []
                return
            self.kernel = flat(
                Loop(self.space, tuple(range(len(self.space))), (1, 4), 1, pointers, None, tuple(members))
            )
            return
        count = size % self.width if self.rest else size // self.width
        if not count:
            self.kernel, self.inputs = None, []
            return
        # Arrays of different lengths have one function, which is told where to begin and to end.
        avx512 = self.width == 16
        self.kernel = Loop((1,), (0,), (1, 1), lanes, pointers, None, tuple(members), shared=True, estimates=avx512)
        shared = self.place == "share"
        self.inputs += [Given("low"), Given("high")] if shared else [Given("number", 0), Given("number", count)]
        self.rounds = count

    def _operand(self, view: View, lanes: int, plain: bool, layout: Layout, draft: Draft | None) -> Operand:
        if view.buffer not in self.inputs:
            self.inputs.append(view.buffer)
        pointer = self.inputs.index(view.buffer)
        scalar = SCALARS[view.buffer.dtype]
        strides: tuple[int, ...] = tuple(
            [0 if n == 1 else stride for n, stride in zip(view.shape, view.strides, strict=True)]
        )
        strides = (0,) * (len(self.space) - len(strides)) + strides
        offset, kind = view.offset, Type(scalar)
        if plain:
            if math.prod(view.shape) == 1 and math.prod(self.space) > 1:
                strides = (0,)
            elif self.rest:
                strides, offset = (1,), offset + math.prod(self.space) // self.width * self.width
            else:
                strides, kind = (1,), Type(scalar, lanes)
                if offset % lanes:
                    return Unaligned(pointer, 0, strides, kind, offset)
                offset //= lanes
        if draft is not None and draft.sums_blocks:
            step = layout.block_bytes // view.buffer.dtype.itemsize
            return BlockSum(pointer, offset, strides, kind, layout.blocks, step)
        return Operand(pointer, offset, strides, kind)


def is_flat(view: View, space: tuple[int, ...]) -> bool:
    """Whether a view is one number, or one for each place of the space, one after the other."""
    size = math.prod(view.shape)
    return size == 1 or (size == math.prod(space) and view.contiguous)


@dataclass(frozen=True)
class Unaligned(Operand):
    """Vectors that do not begin at a multiple of their length."""

    more: int = 0
    """How many single numbers lie before the first."""

    def at(self, f: Function, index: Sequence[Int]) -> Int:
        return f.add(super().at(f, index), self.more)
