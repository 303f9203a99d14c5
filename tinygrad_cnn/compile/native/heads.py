"""Heads: how a convolution, a product or a pool computes the numbers of a tile."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from .ir import Function, Int, Type, Value, constant
from .loops import Head, Operand, Tile

LONG = 64
"""How many products are a long sum."""


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

    @property
    def key(self) -> Hashable:
        return "contract", self.trips, self.a, self.b

    @property
    def is_long(self) -> bool:
        return math.prod(self.trips) >= LONG

    def values(self, f: Function, index: Sequence[Int], tile: Tile) -> list[Value]:
        rows, columns, lanes = tile.rows, tile.columns, tile.lanes
        kind = Type(self.a.operand.type.scalar, lanes)
        bases = []
        for reach in (self.a, self.b):
            start = reach.operand.at(f, index)
            bases.append(f.at(f.arguments[reach.operand.pointer], start, kind.scalar))
        rounds: list[Int] = []

        def read(which: int, row: int, column: int, seen: dict[tuple[int, int], Value], now: list[Value]) -> Value:
            operand = (self.a, self.b)[which].operand
            along = operand.strides
            more = row * along[tile.inner] if tile.inner >= 0 else 0
            more += column * tile.apart * along[tile.outer] if tile.outer >= 0 else 0
            if (which, more) not in seen:
                value = f.load(now[which], more * operand.unit, operand.element(lanes))
                seen[which, more] = value if value.type.lanes == lanes else f.spread(value, lanes)
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
                f.at(base, f.mul(f.dot(rounds, reach.strides), reach.operand.unit), kind.scalar)
                for base, reach in zip(bases, (self.a, self.b), strict=True)
            ]
            totals = list(totals)
            points = [(row, column) for row in range(rows) for column in range(columns)]
            if 2 * rows < columns:  # columns would fill the registers: read the rows first, and each column once
                points.sort(key=lambda point: point[1])
                for row in range(rows):
                    read(0, row, 0, seen, now)
            else:
                for column in range(columns):
                    read(1, 0, column, seen, now)
            for row, column in points:
                place = row * columns + column
                a, b = read(0, row, column, seen, now), read(1, row, column, seen, now)
                totals[place] = f.fma(a, b, totals[place])
            return totals

        return add_up(0, [constant(0, kind)] * (rows * columns))


@dataclass(frozen=True)
class Constant(Head):
    """The same number everywhere."""

    scalar: str
    number: float = 0.0

    @property
    def key(self) -> Hashable:
        return "constant", self.scalar, self.number

    def values(self, f: Function, index: Sequence[Int], tile: Tile) -> list[Value]:
        return [constant(self.number, Type(self.scalar, tile.lanes))] * (tile.rows * tile.columns)


def maximum(f: Function, a: Value, b: Value) -> Value:
    """The larger number; NaN where one is NaN."""
    larger = f.compare("ogt", a, b)
    unordered = f.compare("une", a, a)
    return f.select(f.value(f"or {larger}, {unordered.text}", larger.type), a, b)


def places(f: Function, index: Sequence[Int], tile: Tile) -> list[list[Int]]:
    """The places of a tile, row by row."""
    found = []
    for row in range(tile.rows):
        for column in range(tile.columns):
            point = list(index)
            if tile.inner >= 0:
                point[tile.inner] = f.add(point[tile.inner], row)
            if tile.outer >= 0:
                point[tile.outer] = f.add(point[tile.outer], column * tile.apart)
            found.append(point)
    return found
