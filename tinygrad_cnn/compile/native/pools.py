"""Pools: the largest number or the sum of each window, and their gradients.

Windows may hang over the image's edge. There, fewer cells of the window count: an axis is cut into runs of places whose
windows have the same cells, and each combination of runs is a loop of its own.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from .gradients import nest
from .heads import maximum, places
from .ir import PTR, Function, Int, Type, Value, constant
from .loops import Head, Operand, Tile, widths


@dataclass(frozen=True)
class Run:
    """Neighbouring windows along an axis that have the same cells."""

    first: int
    """The first of them."""
    count: int
    cells: tuple[int, ...]
    """Those that lie on the image."""
    length: int
    """What the number of cells is for a mean."""


def runs(
    size: int, count: int, kernel: int, stride: int, dilation: int, padding: tuple[int, int], counts_padding: bool
) -> list[Run]:
    """The windows along one axis."""
    before, after = padding
    low, high = (-before, size + after) if counts_padding else (0, size)
    found: list[Run] = []
    for place in range(count):
        start = place * stride - before
        cells = tuple([cell for cell in range(kernel) if 0 <= start + cell * dilation < size])
        length = sum(low <= start + cell * dilation < high for cell in range(kernel))
        if found and (found[-1].cells, found[-1].length) == (cells, length):
            found[-1] = Run(found[-1].first, found[-1].count + 1, cells, length)
        else:
            found.append(Run(place, 1, cells, length))
    return found


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

    def values(self, f: Function, index: Sequence[Int], tile: Tile) -> list[Value]:
        found = []
        for point in places(f, index, tile):
            base = f.at(f.arguments[self.of.pointer], self.of.at(f, point), self.of.type.scalar)
            numbers = [f.load(base, tap * self.of.unit, self.of.element(tile.lanes)) for tap in self.taps]
            result = numbers[0]
            for number in numbers[1:]:
                result = maximum(f, result, number) if self.largest else f.binary("fadd", result, number)
            if self.divisor != 1:
                result = f.binary("fdiv", result, constant(self.divisor, result.type))
            found.append(result)
        return found


def _is_top(f: Function, pixel: Value, top: Value) -> Value:
    """Whether a pixel may be the one that a maximum was taken from: it is equal, or NaN."""
    equal = f.compare("oeq", pixel, top)
    return f.binary("or", equal, f.compare("une", pixel, pixel))


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

    def values(self, f: Function, index: Sequence[Int], tile: Tile) -> list[Value]:
        found = []
        for point in places(f, index, tile):
            top = self.top.load(f, point, tile.lanes)
            base = f.at(f.arguments[self.image.pointer], self.image.at(f, point), self.image.type.scalar)
            kind = self.image.element(tile.lanes)
            wins = [_is_top(f, f.load(base, tap * self.image.unit, kind), top) for tap in self.taps]
            grad = self.grad.load(f, point, tile.lanes)
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

    def values(self, f: Function, index: Sequence[Int], tile: Tile) -> list[Value]:
        found = []
        for point in places(f, index, tile):
            value = self.of.load(f, point, tile.lanes)
            found.append(f.binary("fdiv", value, constant(self.divisor, value.type)))
        return found


@dataclass(frozen=True)
class Region:
    """Windows that have the same cells."""

    first: tuple[int, ...]
    count: tuple[int, ...]
    cells: tuple[tuple[int, ...], ...]
    """In the order in which the first of equals wins."""
    divisor: float


@dataclass(frozen=True)
class Scatter:
    """The gradient of a pool whose windows overlap: each window adds to its pixels.

    Arguments of the function: gradient, result, and for maxima the image and its largest numbers.
    """

    size: tuple[int, ...]
    regions: tuple[Region, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[int, ...]
    """Before the image, on each axis."""
    channels: int
    grad: Operand
    out: Operand
    image: Operand | None
    """``None`` for means."""
    top: Operand | None
    lanes: int
    wide: int

    @property
    def key(self) -> Hashable:
        """Functions of the same key are the same."""
        return self

    def write(self, name: str) -> Function:
        """The function."""
        f = Function(name, [PTR] * (2 if self.image is None else 4))

        def vectors(index: list[Int], region: Region | None) -> None:
            for start, stop, width in widths(self.channels, self.wide):
                lanes = max(self.lanes, width)

                def some(channel: Int, _: list[Value], lanes: int = lanes) -> None:
                    if region is None:
                        zero = constant(0, Type(self.out.type.scalar, lanes))
                        f.store(zero, f.arguments[1], self.out.at(f, [*index, channel]))
                    else:
                        self._window(f, region, [*index, channel], lanes)

                f.loop(start, stop, width, some)

        nest(f, self.size, lambda index: vectors(index, None))
        for region in self.regions:

            def window(index: list[Int], region: Region = region) -> None:
                places = [f.add(number, first) for number, first in zip(index, region.first, strict=True)]
                vectors(places, region)

            nest(f, region.count, window)
        return f

    def _window(self, f: Function, region: Region, index: list[Int], lanes: int) -> None:
        """Add to the pixels of one window."""
        *place, channel = index
        corner = [
            f.add(f.mul(number, stride), -before)
            for number, stride, before in zip(place, self.stride, self.padding, strict=True)
        ]
        grad = self.grad.load(f, index, lanes)
        if region.divisor != 1:
            grad = f.binary("fdiv", grad, constant(region.divisor, grad.type))
        zero = constant(0, grad.type)
        top = None if self.top is None else self.top.load(f, index, lanes)
        for cell in region.cells:
            moved = [c * d for c, d in zip(cell, self.dilation, strict=True)]
            at = [*[f.add(number, more) for number, more in zip(corner, moved, strict=True)], channel]
            share = grad
            if self.image is not None and top is not None:
                wins = _is_top(f, self.image.load(f, at, lanes), top)
                share = f.select(wins, grad, zero)
                grad = f.select(wins, zero, grad)
            to = self.out.at(f, at)
            f.store(f.binary("fadd", f.load(f.arguments[1], to, share.type), share), f.arguments[1], to)
