"""Loops: the one form that most kernels have.

A loop runs over the places of an array. At each place a **head** may compute a number from many others (a convolution,
a product, a pool); then **members** follow, element-wise work whose values stay in registers from one member to the
next. A member stores its value, or adds it up over some of the axes.

The axes that sums leave over are the *outer* ones, the others the *inner* ones. Several places are computed at once, as
a **tile**: some along the last inner axis times some along the last outer axis. What does not depend on the inner axes,
such as the bias of a channel, is read once for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

from ...graph import Node
from ...ops.base import Full
from ...ops.elementwise import Add, Div, Sqrt
from ...ops.shape import BroadcastTo
from .ir import I64, PTR, SCALARS, SIZES, Function, Int, Type, Value, constant
from .numbers import Number, apply, quotient


@dataclass(frozen=True)
class Operand:
    """How a loop reaches an array."""

    pointer: int
    """Which argument of the kernel."""
    offset: int
    strides: tuple[int, ...]
    """For each axis of the loop; 0 where the same number serves all places."""
    type: Type
    """What is read or written at once."""

    @property
    def type_size(self) -> int:
        """Bytes of one number."""
        return SIZES[self.type.scalar]

    @property
    def unit(self) -> int:
        """How many numbers a stride of 1 stands for."""
        return self.type.lanes

    def element(self, lanes: int) -> Type:
        """What is read or written at once, by a loop with so many lanes."""
        return self.type

    def at(self, f: Function, index: Sequence[Int]) -> Int:
        """Where the number of a place lies, counted in single numbers."""
        return f.mul(f.dot(index, self.strides, self.offset), self.unit)

    def load(self, f: Function, index: Sequence[Int], lanes: int) -> Value:
        """The number of a place, in every lane."""
        value = f.load(f.arguments[self.pointer], self.at(f, index), self.element(lanes))
        return value if value.type.lanes == lanes else f.spread(value, lanes)


@dataclass(frozen=True)
class Row(Operand):
    """An array of one example, with single numbers as its type: neighbours on the last axis are in the lanes.

    The stride of that axis is 1, or 0 for a number that all of them share.
    """

    def element(self, lanes: int) -> Type:
        return Type(self.type.scalar, lanes if self.strides and self.strides[-1] else 1)


@dataclass(frozen=True)
class Earlier:
    """The value of an earlier member, or of the head (-1), at the same place."""

    member: int


@dataclass(frozen=True)
class Total:
    """A member's values added up."""

    scale: float
    """What the sum is multiplied by."""
    over_lanes: bool
    """Whether the lanes are added up too."""


@dataclass(frozen=True)
class Member:
    """Element-wise work at each place."""

    body: tuple[Node, ...]
    """The last is the result; without any, the only source is."""
    parameters: tuple[Node, ...]
    sources: tuple[Operand | Earlier, ...]
    """What the parameters stand for."""
    out: Operand | None
    """Where the result goes; for a sum its strides on the inner axes are 0."""
    total: Total | None = None

    @property
    def key(self) -> Hashable:
        """What two members that are written alike have in common."""
        place = {node: index for index, node in enumerate((*self.parameters, *self.body))}
        body = tuple([(what(node.op), node.spec.dtype, *[place[each] for each in node.inputs]) for node in self.body])
        return body, self.sources, self.out, self.total


def what(op: object) -> Hashable:
    """An operation without the shape that it gives."""
    if isinstance(op, Full):
        return "full", op.value, op.dtype
    return "broadcast_to" if isinstance(op, BroadcastTo) else op


@dataclass(frozen=True)
class Tile:
    """Places that are computed together: ``rows`` along one axis and ``columns`` along another."""

    rows: int
    columns: int
    inner: int
    """The axis of the rows; -1 where there is none."""
    outer: int
    """That of the columns."""
    lanes: int
    apart: int
    """By how much the index of a column differs from that of the one before."""


class Head:
    """What computes a number from many others, for a tile of places."""

    key: Hashable

    @property
    def is_long(self) -> bool:
        """Whether a value takes so long that storing and loading it once more does not count."""
        return False

    def values(self, f: Function, index: Sequence[Int], tile: Tile) -> list[Value]:
        """The values at ``index`` and the other places of a tile: those of a row follow each other."""
        raise NotImplementedError

    def write(self, loop: Loop, name: str) -> Function:
        """The function of a loop with this head."""
        return Writer(loop, name).write()


@dataclass(frozen=True)
class Loop:
    """A kernel that runs over the places of an array."""

    space: tuple[int, ...]
    outer: tuple[int, ...]
    """Axes that are kept by sums, the slowest first."""
    tile: tuple[int, int]
    """The most places at once along the last inner and the last outer axis."""
    lanes: int
    pointers: int
    head: Head | None
    members: tuple[Member, ...]
    masked: bool = False
    """Whether sums over lanes leave some out: the argument behind the others says which."""
    shared: bool = False
    """Whether tiles of the last axis are run between two numbers, which are the last arguments."""
    wide: int = 1
    """How many neighbours on the last axis are computed side by side, where the lanes do not hold examples."""
    rows_first: bool = True
    """Whether a head's loop does all channels of a row of places, then the next row; else all places of a channel."""
    estimates: bool = False
    """Whether the processor may estimate, see :class:`~tinygrad_cnn.compile.native.ir.Function`."""

    @property
    def key(self) -> Hashable:
        """Loops of the same key are the same function."""
        head = None if self.head is None else self.head.key
        members = tuple([each.key for each in self.members])
        about = self.space, self.outer, self.tile, self.lanes, self.pointers, self.masked, self.shared, self.wide
        return about, self.rows_first, self.estimates, head, members

    def write(self, name: str) -> Function:
        """The function: it takes a pointer to each array."""
        return Writer(self, name).write() if self.head is None else self.head.write(self, name)


def pieces(length: int, most: int) -> Iterator[tuple[int, int, int]]:
    """An axis cut into tiles of nearly equal length, at most so long: where those of a length start, stop, the length.

    >>> list(pieces(14, 4))
    [(0, 8, 4), (8, 14, 3)]
    """
    count = -(-length // most)
    short, longer = divmod(length, count)
    if longer:
        yield 0, longer * (short + 1), short + 1
    if longer < count:
        yield longer * (short + 1), length, short


def widths(length: int, most: int) -> Iterator[tuple[int, int, int]]:
    """An axis cut into vectors, the last ones shorter: where those of a width start, stop, the width.

    >>> list(widths(38, 16))
    [(0, 32, 16), (32, 36, 4), (36, 38, 2)]
    """
    start = 0
    while start < length:
        stop = start + (length - start) // most * most
        if stop > start:
            yield start, stop, most
        start, most = stop, most // 2


class Writer:
    """Writes a loop as a function."""

    def __init__(self, loop: Loop, name: str) -> None:
        self.loop = loop
        self.f = Function(name, [PTR] * (loop.pointers + loop.masked) + [I64] * (2 * loop.shared))
        self.f.estimates = loop.estimates
        self.inner = [axis for axis in range(len(loop.space)) if axis not in loop.outer]
        self.index: list[Int] = [0] * len(loop.space)
        self.sums = [member for member in loop.members if member.total is not None]
        self.by_rows = loop.head is not None and bool(self.inner) and loop.rows_first
        self.waiting: dict[int, Value] = {}
        """Where values of a head wait, by their lanes."""
        self.lanes = loop.lanes
        """How many numbers are computed side by side, now."""
        self.across = len(loop.space) - 1 if loop.wide > 1 else -1
        """The axis whose neighbours these are; -1 where the lanes hold examples."""
        self.totals: list[Value] = []
        """Where sums are held, by rows."""

    def write(self) -> Function:
        """The function."""
        if self.by_rows:
            self._by_rows()
        else:
            self._outer(list(self.loop.outer))
        return self.f

    def _by_rows(self) -> None:
        """With a head: all channels of a row of places, then the next row, so that what the head reads is near.

        Sums wait in memory, for the head needs all registers.
        """
        self._clear()

        def rows(axes: list[int]) -> None:
            if axes:
                self._along(axes[0], 1, lambda _, __: rows(axes[1:]), [])
            else:
                self._outer(list(self.loop.outer))

        rows(self.inner[:-1])
        self._finish_sums()

    def _clear(self) -> None:
        """Memory for the sums, zero at first."""
        count = math.prod([self.loop.space[axis] for axis in self.loop.outer]) * self.loop.lanes
        for member in self.sums:
            room = self.f.room(Type(scalar_of(member), max(self.loop.lanes, self.loop.wide)), count)
            for start, stop, width in widths(count, max(self.loop.lanes, self.loop.wide)):
                zero = constant(0, Type(scalar_of(member), width))
                self.f.loop(start, stop, width, lambda at, _, zero=zero, room=room: self.f.store(zero, room, at))  # type: ignore[misc]
            self.totals.append(room)

    def _finish_sums(self) -> None:
        """Store the sums that have waited in memory."""
        for axis in self.inner:
            self.index[axis] = 0
        for member, room in zip(self.sums, self.totals, strict=True):
            self._finish_all(member, room, list(self.loop.outer))

    def _finish_all(self, member: Member, room: Value, axes: list[int]) -> None:
        if axes:
            self._along(axes[0], 1, lambda _, __: self._finish_all(member, room, axes[1:]), [])
            return
        self._finish(member, self.f.load(room, self._total(0), Type(scalar_of(member), self.lanes)), 0)

    def _total(self, column: int) -> Int:
        """Where the sum for the places of the outer axes lies."""
        sizes = [self.loop.space[axis] for axis in self.loop.outer]
        strides = [math.prod(sizes[place + 1 :]) * self.loop.lanes for place in range(len(sizes))]
        return self.f.dot([self.index[axis] for axis in self.loop.outer], strides, column * self.lanes)

    def _along(
        self, axis: int, most: int, body: Callable[[int, list[Value]], list[Value] | None], carried: list[Value]
    ) -> list[Value]:
        """Run ``body(how many places or vectors at once, carried)`` for all places of an axis."""
        before = self.lanes
        cuts = widths(self.loop.space[axis], self.loop.wide) if axis == self.across else [(0, self.loop.space[axis], 1)]
        for first, last, width in cuts:
            if axis == self.across:
                self.lanes = width
            for start, stop, size in pieces((last - first) // width, most):

                def step(index: Int, now: list[Value], size: int = size) -> list[Value] | None:
                    self.index[axis] = index
                    return body(size, now)

                carried = self.f.loop(first + start * width, first + stop * width, size * width, step, carried)
        self.lanes = before
        return carried

    def _outer(self, axes: list[int]) -> None:
        if self.loop.shared:
            axis, size = axes[-1], self.loop.tile[1]
            last = self.loop.space[axis] - size

            def step(place: Int, _: list[Value]) -> None:
                # The last tile begins earlier, so that it is whole: some places are computed twice.
                start = self.f.mul(place, size)
                self.index[axis] = start if (last + size) % size == 0 else self.f.smallest(start, last)
                self._tile(size)

            low, high = self.f.arguments[-2:]
            self.f.loop(low, high, 1, step)
        elif not axes:
            self._tile(1)
        elif len(axes) == 1:
            self._along(axes[0], self.loop.tile[1], lambda size, _: self._tile(size), [])
        else:
            self._along(axes[0], 1, lambda _, __: self._outer(axes[1:]), [])

    def _tile(self, columns: int) -> None:
        """Everything for some places of the outer axes: what they share is read, all inner places are run, sums end."""
        self.columns = columns
        for axis in self.inner[-1:] if self.by_rows else self.inner:
            self.index[axis] = 0
        self._share(columns)
        zeros = [constant(0, Type(scalar_of(member), self.lanes)) for member in self.sums for _ in range(columns)]
        if self.by_rows:
            self._along(self.inner[-1], self.loop.tile[0], self._places, [])
            return
        totals = self._run_inner(list(self.inner), zeros)
        for axis in self.inner:
            self.index[axis] = 0
        for number, member in enumerate(self.sums):
            for column in range(columns):
                self._finish(member, totals[number * columns + column], column)

    def _share(self, columns: int) -> None:
        """Read what does not depend on the inner axes."""
        self.shared: dict[tuple[Operand, int], Value] = {}
        for member in self.loop.members:
            for source in member.sources:
                if isinstance(source, Operand) and self.inner and not any(source.strides[axis] for axis in self.inner):
                    for column in range(columns):
                        if (source, column) not in self.shared:
                            self.shared[source, column] = source.load(self.f, self._place(0, column), self.lanes)

    def _run_inner(self, axes: list[int], totals: list[Value]) -> list[Value]:
        if not axes:
            return self._places(1, totals)
        if len(axes) == 1:
            return self._along(axes[0], self.loop.tile[0], self._places, totals)
        return self._along(axes[0], 1, lambda _, now: self._run_inner(axes[1:], now), totals)

    def _place(self, row: int, column: int) -> list[Int]:
        index = list(self.index)
        for axes, number in ((self.inner, row), (self.loop.outer, column)):
            for axis in axes[-1:]:
                index[axis] = self.f.add(index[axis], number * self._apart(axis))
        return index

    def _apart(self, axis: int) -> int:
        """By how much neighbours on an axis differ in their index."""
        return self.lanes if axis == self.across else 1

    def _heads(self, rows: int) -> list[Value]:
        """The head's values at the places of one tile."""
        if self.loop.head is None:
            return []
        inner = self.inner[-1] if self.inner else -1
        outer = self.loop.outer[-1] if self.loop.outer else -1
        tile = Tile(rows, self.columns, inner, outer, self.lanes, self._apart(outer))
        return self.loop.head.values(self.f, list(self.index), tile)

    def _places(self, rows: int, totals: list[Value]) -> list[Value]:
        """The places of one tile."""
        f, heads, columns = self.f, self._heads(rows), self.columns
        if rows == 1 or self.loop.head is None or not self.loop.head.is_long:
            for row in range(rows):
                totals = self._row(row, heads[row * columns : (row + 1) * columns], totals)
            return totals
        # After a long head the members' text is written once for all rows; what the head gives waits in memory.
        kind, axis = heads[0].type, self.inner[-1]
        if kind.lanes not in self.waiting:
            self.waiting[kind.lanes] = f.room(kind, self.loop.tile[0] * self.loop.tile[1])
        room, first = self.waiting[kind.lanes], self.index[axis]
        for place, value in enumerate(heads):
            f.store(value, room, place * kind.lanes)

        def line(row: Int, now: list[Value]) -> list[Value]:
            at = f.mul(row, columns * kind.lanes)
            values = [f.load(room, f.add(at, column * kind.lanes), kind) for column in range(columns)]
            self.index[axis] = f.add(first, row)
            return self._row(0, values, now)

        totals = f.loop(0, rows, 1, line, totals)
        self.index[axis] = first
        return totals

    def _row(self, row: int, heads: Sequence[Value], totals: list[Value]) -> list[Value]:
        """The members' work at the places of one row of a tile."""
        f, loop, totals = self.f, self.loop, list(totals)
        for column in range(self.columns):
            index = self._place(row, column)
            loaded: dict[Operand, Value] = {}
            values: list[Value] = []
            for member in loop.members:
                inputs = []
                for source in member.sources:
                    if isinstance(source, Earlier):
                        inputs.append(heads[column] if source.member < 0 else values[source.member])
                    elif (source, column) in self.shared:
                        shared = self.shared[source, column]
                        inputs.append(f.spread(shared, self.lanes // shared.type.lanes))
                    else:
                        if source not in loaded:
                            loaded[source] = source.load(f, index, self.lanes)
                        inputs.append(loaded[source])
                value = evaluate(f, member, inputs, self.lanes)
                values.append(value)
                if member.total is not None:
                    slot = self.sums.index(member) * self.columns + column
                    if self.by_rows:
                        at = self._total(column)
                        total = self.totals[self.sums.index(member)]
                        f.store(f.binary("fadd", f.load(total, at, value.type), value), total, at)
                    else:
                        if value.type.lanes > totals[slot].type.lanes:
                            value = f.reduce("fadd", value, -0.0, flags="reassoc")
                        totals[slot] = f.binary("fadd", totals[slot], value)
                elif member.out is not None:
                    f.store(value, f.arguments[member.out.pointer], member.out.at(f, index))
        return totals

    def _finish(self, member: Member, total: Value, column: int) -> None:
        f = self.f
        assert member.total is not None
        assert member.out is not None
        if member.total.over_lanes and self.loop.lanes > 1:
            if self.loop.masked:
                here = f.load(f.arguments[-1], 0, Type("i1", self.loop.lanes))
                total = f.select(here, total, constant(0, total.type))
            total = f.reduce("fadd", total, -0.0, flags="reassoc")
        if member.total.scale != 1:
            total = f.binary("fmul", total, constant(member.total.scale, total.type))
        f.store(total, f.arguments[member.out.pointer], member.out.at(f, self._place(0, column)))


def scalar_of(member: Member) -> str:
    """The type of a member's numbers."""
    assert member.out is not None
    return member.out.type.scalar


def evaluate(f: Function, member: Member, inputs: Sequence[Value], lanes: int) -> Value:
    """A member's result from the values of its parameters."""
    if not member.body:
        return inputs[0]
    values: dict[Node, Value] = dict(zip(member.parameters, inputs, strict=True))
    for node in member.body:
        values[node] = compute(f, node, [values[each] for each in node.inputs], lanes)
    return values[member.body[-1]]


def compute(f: Function, node: Node, inputs: Sequence[Value], lanes: int) -> Value:
    """One element-wise node."""
    if isinstance(node.op, BroadcastTo):
        return inputs[0]
    if isinstance(node.op, Full):
        return constant(node.op.value, Type(SCALARS[node.spec.dtype], lanes))
    if f.estimates and inputs[0].type == Type("float", 16) and _is_over_root(node):
        a, b = [Number(f, each) for each in inputs]
        return quotient(a, b).value
    return apply(f, node.op, list(inputs), node.spec.dtype)


def _is_over_root(node: Node) -> bool:
    """Whether this is ``x / (sqrt(y) + z)``, as in Adam: half of its time would be roots and divisions.

    Other divisions are left alone, for 6 / 3 shall be 2.
    """
    if not isinstance(node.op, Div):
        return False
    divisor = node.inputs[1]
    return isinstance(divisor.op, Add) and any(isinstance(each.op, Sqrt) for each in divisor.inputs)
