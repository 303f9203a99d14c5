"""Kernels for the channels of one example side by side: gradients in weights, and weights turned.

Sums over the examples are added up by one thread for its share of the weights. So there are no partial sums of whole
kernels, and the threads need not wait for each other.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Hashable
from dataclasses import dataclass

from .gradients import OfKernel, blocks, nest, turn
from .ir import I64, PTR, Function, Int, Type, Value, constant
from .loops import widths

MOST_BY_ROWS = 1 << 20
"""Bytes of a kernel's gradient whose sums may grow row by row of the image: about two second-level caches."""
SMALL = 128
"""Images with fewer places are visited one after the other while a tile of sums stays in registers."""

Places = list[tuple[int, Int, Int]]
"""Axes that are summed over: their lengths, and how far apart their numbers lie in the image and in the gradient."""
Area = tuple[Int, Int, Places]
"""Some places: where their first lies in the image and in the gradient, and the axes from there on."""


@dataclass(frozen=True)
class ChannelGradient(OfKernel):
    """The gradient in a convolution's kernel, or in the weight of a dense layer: ``(*K, C, O)``, over all examples.

    A column of tiles reads the same numbers of the gradient again and again. Where these are a part of each row, they
    are copied first, one behind the other: parts that lie a power of two apart fall on the same cache lines.

    Arguments of the function: image, gradient, result, where the share of the rounds begins and ends, by how many
    numbers the examples of the image and of the gradient follow each other, and, if it ``copies``, scratch memory.
    """

    examples: int
    wide: int
    """How many channels lie in a vector."""
    registers: int

    @property
    def depthwise(self) -> bool:
        """Whether each channel has a kernel of its own: then the channels of the image lie in the lanes, too."""
        return self.groups > 1 and self.channels == self.out_channels == 1

    @property
    def columns(self) -> int:
        """Vectors of a row of the result at once."""
        row = self.groups if self.depthwise else self.out_channels
        return min(4, -(-row // self.wide))

    @property
    def rows(self) -> int:
        """Numbers of the image at once: neighbouring channels, or also neighbouring cells of the kernel."""
        unit = 1 if self._cells == self.kernel else self.channels
        most = max(unit, self.registers // self.columns)
        return max(each for each in range(unit, self._run + 1, unit) if self._run % each == 0 and each <= most)

    @property
    def _cells(self) -> tuple[int, ...]:
        """The axes of the kernel that rounds count along."""
        return self.kernel if self.channels >= 4 else self.kernel[:-1]

    @property
    def _run(self) -> int:
        """How many rows there are next to each other."""
        return self.channels * math.prod(self.kernel[len(self._cells) :])

    @property
    def rounds(self) -> int:
        """What can be shared: tiles of rows."""
        groups = 1 if self.depthwise else self.groups
        return groups * math.prod(self._cells) * (self._run // self.rows)

    @property
    def _inner(self) -> int:
        """How many of the axes that are summed over belong to one visit of a tile of sums; the others lie outside.

        All of them for a dense layer and for small images. Else the sums grow in memory, visit by visit: row by row of
        the image where there are few of them, example by example where there are many.
        """
        if len(self.places) < 2 or math.prod(self.places) < SMALL:
            return 1 + len(self.places)
        return 1 if self.weights * self.image.type_size <= MOST_BY_ROWS else len(self.places)

    @property
    def copies(self) -> bool:
        """Whether the numbers of the gradient are copied."""
        return self.groups == 1 == self.grad.strides[-1] and self.out_channels > self.columns * self.wide

    @property
    def scratch(self) -> int:
        """How many numbers that takes."""
        area = math.prod([self.examples, *self.places][-self._inner :])
        return area * self.columns * self.wide if self.copies else 0

    def write(self, name: str) -> Function:
        """The function."""
        f = Function(name, [PTR, PTR, PTR, I64, I64, I64, I64, *[PTR] * self.copies])
        low, high, *steps = f.arguments[3:7]
        axes: Places = [(self.examples, steps[0], steps[1])]
        axes += zip(self.places, self.image.strides, self.grad.strides, strict=False)
        outer, inner = axes[: -self._inner], axes[-self._inner :]
        for begin, end, width in widths(self.groups if self.depthwise else self.out_channels, self.wide):
            vector = Type(self.image.type.scalar, width)

            def column(o: Int, count: int, vector: Type = vector, begin: int = begin) -> None:
                """All sums of some columns, one tile after the other: they read the same numbers of the gradient."""
                first = f.add(f.mul(o, vector.lanes), begin)

                def tiles(area: Area | None, adds: bool) -> None:
                    if area is not None and self.copies:
                        area = self._copy(f, area, f.add(first, self.grad.offset), vector, count)
                    f.loop(low, high, 1, lambda number, _: self._tile(f, number, first, (vector, count), area, adds))

                if not outer:
                    tiles((0, 0, inner), False)
                    return
                tiles(None, False)

                def visit(index: list[Int]) -> None:
                    left, right = [
                        functools.reduce(f.add, [f.mul(at, axis[side]) for at, axis in zip(index, outer, strict=True)])
                        for side in (1, 2)
                    ]
                    tiles((left, right, inner), True)

                nest(f, [length for length, *_ in outer], visit)

            blocks(f, (end - begin) // width, self.columns, column)
        return f

    def _copy(self, f: Function, area: Area, start: Int, vector: Type, count: int) -> Area:
        """Copy some columns of an area of the gradient; where they are afterwards."""
        left, right, lines = area
        _, grad, *_, room = f.arguments
        unit = count * vector.lanes
        apart = [unit * math.prod([length for length, *_ in lines[axis + 1 :]]) for axis in range(len(lines))]

        def place(index: list[Int]) -> None:
            source = functools.reduce(
                f.add, [f.mul(at, step) for at, (_, _, step) in zip(index, lines, strict=True)], f.add(start, right)
            )
            to = f.dot(index, apart)
            for m in range(0, unit, vector.lanes):
                f.store(f.load(grad, f.add(source, m), vector), room, f.add(to, m))

        nest(f, [length for length, *_ in lines], place)
        return left, 0, [(length, step, own) for (length, step, _), own in zip(lines, apart, strict=True)]

    def _tile(
        self, f: Function, number: Int, place: Int, columns: tuple[Type, int], area: Area | None, adds: bool
    ) -> None:
        """A tile of rows (which group, which cell of the kernel, which channels) and some columns from ``place`` on."""
        vector, count = columns
        number, tile = divide(f, number, self._run // self.rows)
        cells: list[Int] = []
        for length in reversed(self._cells):
            number, cell = divide(f, number, length)
            cells.insert(0, cell)
        axes, outs = len(self.places), self.out_channels * self.groups
        taps, channel = self.image.strides[axes:-1], self.image.strides[-1]
        if self._cells == self.kernel:
            apart = [row * channel for row in range(self.rows)]
            along = self.rows * channel
        else:
            apart = [row // self.channels * taps[-1] + row % self.channels * channel for row in range(self.rows)]
            along = self.rows // self.channels * taps[-1]
        at = f.dot([*cells, tile, number], [*taps[: len(cells)], along, self.channels * channel], self.image.offset)
        line = self._run * outs
        strides = [line * math.prod(self._cells[axis + 1 :]) for axis in range(len(cells))]
        group = 0 if self.depthwise else self.out_channels
        out = f.dot([*cells, tile, number], [*strides, self.rows * outs, group])
        to = f.dot([number], [group * self.grad.strides[-1]], self.grad.offset)
        image = f.add(at, f.mul(place, channel)) if self.depthwise else at
        grad = f.add(to, f.mul(place, self.grad.strides[-1]))
        first = f.add(out, place)
        slots = [f.add(first, row * outs + m * vector.lanes) for row in range(self.rows) for m in range(count)]
        result = f.arguments[2]
        sums = [f.load(result, slot, vector) if adds else constant(0, vector) for slot in slots]
        if area is not None:
            left, right, lines = area
            sums = self._sums(
                f, (f.add(image, left), 0 if self.copies else f.add(grad, right)), apart, lines, sums, count
            )
        for slot, value in zip(slots, sums, strict=True):
            f.store(value, result, slot)

    def _sums(
        self, f: Function, starts: tuple[Int, Int], apart: list[int], lines: Places, sums: list[Value], count: int
    ) -> list[Value]:
        """Add the products of some places to a tile of the result: to some rows, and some vectors of each."""
        image = f.arguments[0]
        grad = f.arguments[7 if self.copies else 1]
        vector = sums[0].type
        width = vector.lanes

        def inside(depth: int, x: Int, y: Int, now: list[Value]) -> list[Value]:
            if depth < len(lines):
                length, left, right = lines[depth]
                return f.loop(
                    0, length, 1,
                    lambda w, then: inside(depth + 1, f.add(x, f.mul(w, left)), f.add(y, f.mul(w, right)), then), now,
                )  # fmt: skip
            ys = [f.load(grad, f.add(y, m * width * self.grad.strides[-1]), vector) for m in range(count)]
            found = []
            for row, more in enumerate(apart):
                if self.depthwise:
                    step = width * self.image.strides[-1]
                    xs = [f.load(image, f.add(x, more + m * step), vector) for m in range(count)]
                else:
                    xs = [f.spread(f.load(image, f.add(x, more), Type(vector.scalar)), width)] * count
                found += [f.fma(xs[m], ys[m], now[row * count + m]) for m in range(count)]
            return found

        return inside(0, *starts, sums)


def divide(f: Function, number: Int, by: int) -> tuple[Int, Int]:
    """A whole number divided, and what is left over."""
    if isinstance(number, int):
        return divmod(number, by)
    if by == 1:
        return number, 0
    return f.value(f"udiv i64 {number.text}, {by}", I64), f.value(f"urem i64 {number.text}, {by}", I64)


@dataclass(frozen=True)
class Panels:
    """Weights ``(count, R, C)`` so that a convolution reads them one after the other: ``(S / panel, count, T, panel)``.

    S is the axis whose numbers come to lie side by side, T the other one. Arguments of the function: weights, result,
    and where the thread's share begins and ends.
    """

    count: int
    rows: int
    columns: int
    turned: bool
    """Whether S are the rows."""
    panel: int
    """All of S, where the weights are few."""
    offset: int
    scalar: str
    wide: int

    @property
    def key(self) -> Hashable:
        """Functions of the same key are the same."""
        return self

    @property
    def _at_once(self) -> int:
        """The side of the squares that are moved."""
        side = next(each for each in (16, 8, 4, 2, 1) if each <= self.wide and self.panel % each == 0)
        return side if not self.turned or min(self.rows, self.columns) >= side else 1

    @property
    def rounds(self) -> int:
        """What can be shared: rows, or as many as are turned at once."""
        return self.count * (-(-self.rows // self._at_once) if self.turned else self.rows)

    def write(self, name: str) -> Function:
        """The function."""
        f = Function(name, [PTR, PTR, I64, I64])
        source, out, low, high = f.arguments
        lanes, panel = self._at_once, self.panel
        vector = Type(self.scalar, lanes)
        others = self.columns if self.turned else self.rows

        def place(side: Int, matrix: Int, other: Int) -> Int:
            """Where the numbers of the result from ``side`` on lie."""
            which, within = divide(f, side, panel)
            return f.dot([which, matrix, other, within], [self.count * others * panel, others * panel, panel, 1])

        def turned(matrix: Int, row: Int, column: Int) -> None:
            start = f.dot([matrix, row, column], [self.rows * self.columns, self.columns, 1], self.offset)
            found = [f.load(source, f.add(start, n * self.columns), vector) for n in range(lanes)]
            to = place(row, matrix, column)
            for n, each in enumerate(turn(f, found)):
                f.store(each, out, f.add(to, n * panel))

        def copied(matrix: Int, row: Int, column: Int) -> None:
            start = f.dot([matrix, row, column], [self.rows * self.columns, self.columns, 1], self.offset)
            f.store(f.load(source, start, vector), out, place(column, matrix, row))

        def part(number: Int, _: list[Value]) -> None:
            matrix, block = divide(f, number, self.rounds // self.count)
            row = f.smallest(f.mul(block, lanes), self.rows - lanes) if self.turned else block
            form = turned if self.turned else copied
            whole = self.columns // lanes * lanes
            f.loop(0, whole, lanes, lambda column, _: form(matrix, row, column))
            if whole < self.columns:  # the last square begins earlier, so that it is whole
                form(matrix, row, self.columns - lanes)

        f.loop(low, high, 1, part)
        return f
