"""Kernels that look along an axis: softmax, picking by labels; and how examples come into the lanes."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from ...ops.elementwise import Exp, Log
from .gradients import nest, turn
from .heads import maximum
from .ir import I64, PTR, Function, Int, Type, Value, constant
from .loops import Operand, widths
from .numbers import apply

FLOATS: dict[str, np.dtype] = {"float": np.dtype(np.float32), "double": np.dtype(np.float64)}


@dataclass(frozen=True)
class Load:
    """Examples as the user holds them, one after the other, brought into the lanes of one block.

    Arguments of the function: the user's numbers, the result, which block. Lanes behind the last example repeat it.
    """

    shape: tuple[int, ...]
    source: tuple[int, ...]
    """The strides of one example in the user's array."""
    step: int
    """How far one example lies behind the one before."""
    out: Operand
    total: int
    """How many examples there are."""
    lanes: int
    offset: int = 0
    """Where the first example begins."""

    @property
    def key(self) -> Hashable:
        """Functions of the same key are the same."""
        return self

    def write(self, name: str) -> Function:
        """The function."""
        f = Function(name, [PTR, PTR, I64])
        source, out, block = f.arguments
        scalar = self.out.type.scalar
        rows = []
        for lane in range(self.lanes):
            number = f.add(f.mul(block, self.lanes), lane)
            inside = f.smallest(number, self.total - 1)
            rows.append(f.at(source, f.add(f.mul(inside, self.step), self.offset), scalar))
        if self.lanes == 1:
            self._copy(f, rows[0])
            return f
        run = next((axis for axis, step in enumerate(self.source) if step == 1 and self.shape[axis] >= self.lanes), -1)
        vector = Type(scalar, self.lanes)

        def several(index: list[Int], first: Int) -> None:
            place = list(index)
            place[run] = first
            at = f.dot(place, self.source)
            for number, each in enumerate(turn(f, [f.load(row, at, vector) for row in rows])):
                f.store(each, out, f.add(self.out.at(f, place), number * self.out.strides[run] * self.lanes))

        def one(index: list[Int]) -> None:
            at = f.dot(index, self.source)
            value = Value("poison", vector)
            for lane, row in enumerate(rows):
                number = f.load(row, at, Type(scalar))
                value = f.value(f"insertelement {value}, {number}, i32 {lane}", vector)
            f.store(value, out, self.out.at(f, index))

        if run < 0 or scalar == "i1":
            nest(f, self.shape, one)
            return f
        length = self.shape[run]

        def line(index: list[Int]) -> None:
            whole = length // self.lanes * self.lanes
            f.loop(0, whole, self.lanes, lambda first, _: several(index, first))
            if whole < length:  # the last run begins earlier, so that it is whole
                several(index, length - self.lanes)

        nest(f, [1 if axis == run else size for axis, size in enumerate(self.shape)], line)
        return f

    def _copy(self, f: Function, source: Value) -> None:
        """One example: several numbers at once where they lie side by side on both sides."""
        out, last = f.arguments[1], len(self.shape) - 1
        plain = last >= 0 and self.source[last] == self.out.strides[last] == 1

        def line(index: list[Int]) -> None:
            for start, stop, width in widths(self.shape[last], 16 if plain else 1) if self.shape else [(0, 1, 1)]:

                def some(number: Int, _: list[Value], width: int = width) -> None:
                    place = [*index, number] if self.shape else index
                    value = f.load(source, f.dot(place, self.source), Type(self.out.type.scalar, width))
                    f.store(value, out, self.out.at(f, place))

                f.loop(start, stop, width, some)

        nest(f, self.shape[:-1], line)


@dataclass(frozen=True)
class Margins:
    """Zeros around an array. The function takes a pointer to the first of them."""

    shape: tuple[int, ...]
    """Of the array inside."""
    margin: tuple[tuple[int, int], ...]
    """How many zeros there are on each axis, before and behind."""
    type: Type
    """What lies at each place."""

    @property
    def key(self) -> Hashable:
        """Functions of the same key are the same."""
        return self

    def write(self, name: str) -> Function:
        """The function."""
        f = Function(name, [PTR])
        self._around(f, 0, 0)
        return f

    def _around(self, f: Function, axis: int, start: Int) -> None:
        """The zeros around the part of the array that begins at ``start``: before and behind it, then inside."""
        if not any(map(any, self.margin[axis:])):
            return
        (before, behind), length = self.margin[axis], self.shape[axis]
        padded = [sum(pair) + n for pair, n in zip(self.margin, self.shape, strict=True)]
        step = math.prod(padded[axis + 1 :])
        self._clear(f, start, before * step)
        self._clear(f, f.add(start, (before + length) * step), behind * step)

        def inside(number: Int, _: list[Value]) -> None:
            self._around(f, axis + 1, f.add(start, f.mul(number, step)))

        if any(map(any, self.margin[axis + 1 :])):
            f.loop(before, before + length, 1, inside)

    def _clear(self, f: Function, start: Int, count: int) -> None:
        lanes = self.type.lanes
        first = f.mul(start, lanes)
        for low, high, width in widths(count * lanes, 16):
            zero = constant(0, Type(self.type.scalar, width))
            f.loop(low, high, width, lambda at, _, zero=zero: f.store(zero, f.arguments[0], f.add(first, at)))  # type: ignore[misc]


@dataclass(frozen=True)
class LogSoftmaxRows:
    """``x - log(sum(exp(x)))`` along the last axis of the operands."""

    shape: tuple[int, ...]
    """The other axes, then the one that is summed over."""
    x: Operand
    out: Operand

    @property
    def key(self) -> Hashable:
        """Functions of the same key are the same."""
        return self

    def write(self, name: str) -> Function:
        """The function: it takes pointers to the input and the result."""
        f = Function(name, [PTR, PTR])
        *others, length = self.shape
        kind = self.x.type
        dtype = FLOATS[kind.scalar]

        def line(index: list[Int]) -> None:
            def read(place: Int) -> Value:
                return self.x.load(f, [*index, place], kind.lanes)

            (top,) = f.loop(1, length, 1, lambda place, now: [maximum(f, now[0], read(place))], [read(0)])

            def add(place: Int, now: list[Value]) -> list[Value]:
                return [f.binary("fadd", now[0], apply(f, Exp(), [f.binary("fsub", read(place), top)], dtype))]

            (total,) = f.loop(0, length, 1, add, [constant(0, kind)])
            log = apply(f, Log(), [total], dtype)

            def write(place: Int, _: list[Value]) -> None:
                value = f.binary("fsub", f.binary("fsub", read(place), top), log)
                f.store(value, f.arguments[1], self.out.at(f, [*index, place]))

            f.loop(0, length, 1, write)

        nest(f, others, line)
        return f


@dataclass(frozen=True)
class AlongRows:
    """Elements picked along the last axis of the operands, or added in there, by labels.

    Arguments of the function: numbers, labels, result, and a word that is set where a label lies outside.
    """

    shape: tuple[int, ...]
    """The other axes."""
    length: int
    """Of the axis that labels count along."""
    count: int
    """How many labels there are along it."""
    numbers: Operand | float
    """What is picked from, or what is added in."""
    labels: Operand
    out: Operand
    adds: bool
    masked: bool

    @property
    def key(self) -> Hashable:
        """Functions of the same key are the same."""
        return self

    def write(self, name: str) -> Function:
        """The function."""
        f = Function(name, [PTR] * (4 + self.masked))
        kind = self.out.type

        def line(index: list[Int]) -> None:
            labels = [self.labels.load(f, [*index, each], kind.lanes) for each in range(self.count)]
            for label in labels:
                outside = f.compare("uge", label, constant(self.length, label.type))
                if self.masked:
                    here = f.load(f.arguments[4], 0, outside.type)
                    outside = f.value(f"and {outside}, {here.text}", outside.type)
                some = f.reduce("or", outside)
                f.when(some, lambda: f.store(constant(1, Type("i32")), f.arguments[3], 0))

            def numbers(place: Int) -> Value:
                if not isinstance(self.numbers, Operand):
                    return constant(self.numbers, kind)
                return self.numbers.load(f, [*index, place], kind.lanes)

            def same(label: Value, place: Int) -> Value:
                if isinstance(place, int):
                    return f.compare("eq", label, constant(place, label.type))
                return f.compare("eq", label, f.spread(place, kind.lanes))

            def pick(place: Int, now: list[Value]) -> list[Value]:
                value = numbers(place)
                return [f.select(same(label, place), value, old) for label, old in zip(labels, now, strict=True)]

            def add(place: Int, _: list[Value]) -> None:
                total = constant(0, kind)
                for number, label in enumerate(labels):
                    part = f.select(same(label, place), numbers(number), constant(0, kind))
                    total = part if number == 0 else f.binary("fadd", total, part)
                f.store(total, f.arguments[2], self.out.at(f, [*index, place]))

            if self.adds:
                f.loop(0, self.length, 1, add)
                return
            for number, value in enumerate(f.loop(0, self.length, 1, pick, [constant(0, kind)] * self.count)):
                f.store(value, f.arguments[2], self.out.at(f, [*index, number]))

        nest(f, self.shape, line)
        return f
