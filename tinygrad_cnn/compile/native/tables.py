"""Kernels for tables: rows that are picked by their numbers, as in embeddings, and the gradient of that."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from .gradients import nest, turn
from .ir import I64, PTR, Function, Int, Type, Value, constant
from .loops import Operand, widths


def rows_of(f: Function, labels: Value, count: int, wrong: Value | None) -> list[Value]:
    """The row of each lane: numbers below 0 count from the end. For one outside, a word is set, and row 0 is taken."""
    behind = f.binary("add", labels, constant(count, labels.type))
    labels = f.select(f.compare("slt", labels, constant(0, labels.type)), behind, labels)
    outside = f.compare("uge", labels, constant(count, labels.type))
    if wrong is not None:
        f.when(f.reduce("or", outside), lambda: f.store(constant(1, Type("i32")), wrong, 0))
    labels = f.select(outside, constant(0, labels.type), labels)
    if labels.type.lanes == 1:
        return [labels]
    return [f.value(f"extractelement {labels}, i32 {lane}", I64) for lane in range(labels.type.lanes)]


@dataclass(frozen=True)
class PickRows:
    """``out[place] = table[label of the place]``.

    Arguments of the function: table, labels, result, and a word that is set where a label lies outside.
    """

    shape: tuple[int, ...]
    """The places."""
    count: int
    """Rows of the table."""
    length: int
    """Numbers of a row."""
    offset: int
    """Where the table begins."""
    labels: Operand
    out: Operand
    """Its last axis is that of a row."""

    @property
    def key(self) -> Hashable:
        """Functions of the same key are the same."""
        return self

    def write(self, name: str) -> Function:
        """The function."""
        f = Function(name, [PTR] * 4)
        table, _, out, wrong = f.arguments
        kind, lanes = self.out.type, self.out.type.lanes
        step = self.out.strides[-1]

        def line(place: list[Int]) -> None:
            labels = self.labels.load(f, place, lanes)
            starts = [f.add(f.mul(row, self.length), self.offset) for row in rows_of(f, labels, self.count, wrong)]
            rows = [f.at(table, start, kind.scalar) for start in starts]

            def some(first: Int, width: int) -> None:
                at = self.out.at(f, [*place, first])
                numbers = [f.load(row, first, Type(kind.scalar, width)) for row in rows]
                for n, each in enumerate(turn(f, numbers) if lanes > 1 else numbers):
                    f.store(each, out, f.add(at, n * step * lanes))

            def one(number: Int, _: list[Value]) -> None:
                value = Value("poison", kind)
                for lane, row in enumerate(rows):
                    single = f.load(row, number, Type(kind.scalar))
                    value = f.value(f"insertelement {value}, {single}, i32 {lane}", kind) if lanes > 1 else single
                f.store(value, out, self.out.at(f, [*place, number]))

            if lanes == 1:
                for start, stop, width in widths(self.length, 16 if step == 1 else 1):
                    f.loop(start, stop, width, lambda first, _, width=width: some(first, width))  # type: ignore[misc]
            elif self.length < lanes:
                f.loop(0, self.length, 1, one)
            else:
                f.loop(0, self.length // lanes * lanes, lanes, lambda first, _: some(first, lanes))
                if self.length % lanes:  # the last run begins earlier, so that it is whole
                    some(self.length - lanes, lanes)

        nest(f, self.shape, line)
        return f


@dataclass(frozen=True)
class AddRows:
    """A table of zeros into whose rows numbers are added: ``out[label of the place] += grad[place]``, for all examples.

    The threads share the columns. Arguments of the function: gradient, labels, result, where the thread's share begins
    and ends, how far the blocks of gradient and labels lie apart, and, if ``checks``, a word that is set where a label
    lies outside.
    """

    shape: tuple[int, ...]
    """The places of one example."""
    count: int
    length: int
    grad: Operand
    """Its last axis is that of a row."""
    labels: Operand
    blocks: int
    total: int
    """How many examples there are."""
    checks: bool

    @property
    def key(self) -> Hashable:
        """Functions of the same key are the same."""
        return self

    @property
    def _part(self) -> int:
        """How many columns are added at once."""
        lanes = self.grad.type.lanes
        if lanes > 1:
            return lanes if self.length % lanes == 0 else 1
        return next(n for n in (16, 8, 4, 2, 1) if self.length % n == 0) if self.grad.strides[-1] == 1 else 1

    @property
    def rounds(self) -> int:
        """What can be shared."""
        return self.length // self._part

    def write(self, name: str) -> Function:
        """The function."""
        f = Function(name, [PTR, PTR, PTR, I64, I64, I64, I64, *[PTR] * self.checks])
        grad, labels, out, low, high, grads_apart, labels_apart = f.arguments[:7]
        wrong = f.arguments[7] if self.checks else None
        kind, lanes, part = self.grad.type, self.grad.type.lanes, self._part
        several = Type(kind.scalar, part)

        def clear(row: Int, _: list[Value]) -> None:
            def columns(c: Int, _: list[Value]) -> None:
                f.store(constant(0, several), out, f.dot([row, c], [self.length, part]))

            f.loop(low, high, 1, columns)

        def block(number: Int, _: list[Value]) -> None:
            own = f.at(grad, f.mul(number, grads_apart), kind.scalar)
            names = f.at(labels, f.mul(number, labels_apart), "i64")
            there = [self._is_there(f, f.add(f.mul(number, lanes), lane)) for lane in range(lanes)]

            def line(place: list[Int]) -> None:
                rows = rows_of(f, f.load(names, self.labels.at(f, place), self.labels.type), self.count, wrong)
                starts = [f.mul(row, self.length) for row in rows]

                def columns(c: Int, _: list[Value]) -> None:
                    first = f.mul(c, part)

                    def read(column: int, kind: Type) -> Value:
                        return f.load(own, self.grad.at(f, [*place, f.add(first, column)]), kind)

                    if lanes == 1:
                        numbers = [read(0, several)]
                    elif part == 1:
                        value = read(0, kind)
                        numbers = [f.value(f"extractelement {value}, i32 {n}", several) for n in range(lanes)]
                    else:
                        numbers = turn(f, [read(column, kind) for column in range(part)])
                    for start, value, here in zip(starts, numbers, there, strict=True):
                        if here is not False:
                            more = value if here is True else f.select(here, value, constant(0, several))
                            at = f.add(start, first)
                            f.store(f.binary("fadd", f.load(out, at, several), more), out, at)

                f.loop(low, high, 1, columns)

            nest(f, self.shape, line)

        f.loop(0, self.count, 1, clear)
        f.loop(0, self.blocks, 1, block)
        return f

    def _is_there(self, f: Function, example: Int) -> Value | bool:
        """Whether there is such an example, or its place is left over in the last block."""
        if isinstance(example, int):
            return example < self.total
        if self.blocks * self.grad.type.lanes == self.total:
            return True
        return f.compare("slt", example, constant(self.total, I64))
