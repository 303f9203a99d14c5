"""Heads: how a convolution, a product or a pool computes the numbers of a tile."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from .ir import Function, Int, Type, Value, constant
from .loops import Head, Operand, Tile


@dataclass(frozen=True)
class Reach:
    """How a head reaches an array: from the place of the result, and from there over more axes."""

    operand: Operand
    """Its strides are those of the result's axes."""
    strides: tuple[int, ...]
    """Those of the axes that are summed over."""


@dataclass(frozen=True)
class Contract(Head):
    """A sum of products: ``sum over r of A[place, r] * B[place, r]``, for convolutions and matrix products alike.

    A tile of ``R x M`` places is held in registers. In each round it takes R numbers of ``A`` and M of ``B``, so that
    ``R * M`` products are formed for ``R + M`` numbers that are read.
    """

    trips: tuple[int, ...]
    """The lengths of the axes that are summed over."""
    a: Reach
    b: Reach
    lanes: int

    @property
    def key(self) -> Hashable:
        return "contract", self.trips, self.a, self.b

    def values(self, f: Function, index: Sequence[Int], inner: int, outer: int, tile: Tile) -> list[Value]:
        rows, columns = tile
        kind = Type(self.a.operand.type.scalar, self.lanes)
        bases = []
        for reach in (self.a, self.b):
            start = reach.operand.at(f, index)
            bases.append(f.at(f.arguments[reach.operand.pointer], start, kind.scalar))
        rounds: list[Int] = []

        def read(which: int, row: int, column: int, seen: dict[tuple[int, int], Value], now: list[Value]) -> Value:
            reach = (self.a, self.b)[which]
            along = reach.operand.strides
            more = (row * along[inner] if inner >= 0 else 0) + (column * along[outer] if outer >= 0 else 0)
            if (which, more) not in seen:
                lanes = reach.operand.type.lanes
                value = f.load(now[which], more * lanes, reach.operand.type)
                seen[which, more] = value if lanes == self.lanes else f.spread(value, self.lanes)
            return seen[which, more]

        def add_up(depth: int, totals: list[Value]) -> list[Value]:
            if depth < len(self.trips):

                def body(number: Int, now: list[Value]) -> list[Value]:
                    rounds.append(number)
                    then = add_up(depth + 1, now)
                    rounds.pop()
                    return then

                return f.loop(0, self.trips[depth], 1, body, totals)
            seen: dict[tuple[int, int], Value] = {}
            now = [
                f.at(base, f.mul(f.dot(rounds, reach.strides), reach.operand.type.lanes), kind.scalar)
                for base, reach in zip(bases, (self.a, self.b), strict=True)
            ]
            for column in range(columns):
                read(1, 0, column, seen, now)
            totals = list(totals)
            for row in range(rows):
                for column in range(columns):
                    place = row * columns + column
                    a, b = read(0, row, column, seen, now), read(1, row, column, seen, now)
                    totals[place] = f.fma(a, b, totals[place])
            return totals

        return add_up(0, [constant(0, kind)] * (rows * columns))


@dataclass(frozen=True)
class Window(Head):
    """The largest number or the sum of each window."""

    of: Operand
    taps: tuple[int, ...]
    """Where the numbers of the window lie, from its first, in vectors."""
    largest: bool
    divisor: float = 1.0

    @property
    def key(self) -> Hashable:
        return "window", self.of, self.taps, self.largest, self.divisor

    def values(self, f: Function, index: Sequence[Int], inner: int, outer: int, tile: Tile) -> list[Value]:
        found = []
        for point in places(f, index, inner, outer, tile):
            base = f.at(f.arguments[self.of.pointer], self.of.at(f, point), self.of.type.scalar)
            numbers = [f.load(base, tap * self.of.type.lanes, self.of.type) for tap in self.taps]
            result = numbers[0]
            for number in numbers[1:]:
                result = maximum(f, result, number) if self.largest else f.binary("fadd", result, number)
            if self.divisor != 1:
                result = f.binary("fdiv", result, constant(self.divisor, result.type))
            found.append(result)
        return found


def maximum(f: Function, a: Value, b: Value) -> Value:
    """The larger number; NaN where one is NaN."""
    larger = f.compare("ogt", a, b)
    unordered = f.compare("une", a, a)
    return f.select(f.value(f"or {larger}, {unordered.text}", larger.type), a, b)


@dataclass(frozen=True)
class Winner(Head):
    """The gradient of a maximum, for one cell of each window: the number above, if this cell is the first largest."""

    grad: Operand
    image: Operand
    """The first cell of the window."""
    top: Operand
    taps: tuple[int, ...]
    """The cells before this one, and this one, from the first, in vectors."""

    @property
    def key(self) -> Hashable:
        return "winner", self.grad, self.image, self.top, self.taps

    def values(self, f: Function, index: Sequence[Int], inner: int, outer: int, tile: Tile) -> list[Value]:
        found = []
        for point in places(f, index, inner, outer, tile):
            top = self.top.load(f, point, self.top.type.lanes)
            base = f.at(f.arguments[self.image.pointer], self.image.at(f, point), self.image.type.scalar)
            wins = [
                f.compare("ueq", f.load(base, tap * self.image.type.lanes, self.image.type), top) for tap in self.taps
            ]
            grad = self.grad.load(f, point, self.grad.type.lanes)
            for earlier in wins[:-1]:
                grad = f.select(earlier, constant(0, grad.type), grad)
            found.append(f.select(wins[-1], grad, constant(0, grad.type)))
        return found


@dataclass(frozen=True)
class Spread(Head):
    """Each number, divided, at all places of its window."""

    of: Operand
    divisor: float

    @property
    def key(self) -> Hashable:
        return "spread", self.of, self.divisor

    def values(self, f: Function, index: Sequence[Int], inner: int, outer: int, tile: Tile) -> list[Value]:
        found = []
        for point in places(f, index, inner, outer, tile):
            value = self.of.load(f, point, self.of.type.lanes)
            found.append(f.binary("fdiv", value, constant(self.divisor, value.type)))
        return found


@dataclass(frozen=True)
class Nothing(Head):
    """Zeros."""

    type: Type

    @property
    def key(self) -> Hashable:
        return "nothing", self.type

    def values(self, f: Function, index: Sequence[Int], inner: int, outer: int, tile: Tile) -> list[Value]:
        return [constant(0, self.type)] * math.prod(tile)


def places(f: Function, index: Sequence[Int], inner: int, outer: int, tile: Tile) -> list[list[Int]]:
    """The places of a tile, those of the outer axis following each other."""
    found = []
    for row in range(tile[0]):
        for column in range(tile[1]):
            point = list(index)
            if inner >= 0:
                point[inner] = f.add(point[inner], row)
            if outer >= 0:
                point[outer] = f.add(point[outer], column)
            found.append(point)
    return found
