"""Winograd's transforms: images and gradients cut into tiles of 4x4 places.

A tile of a convolution's result is computed from 6x6 numbers of the image. These and the 3x3 numbers of the kernel are
transformed, each pair by sums with small constants, so that one product for each of the 36 places is left, where 144
were (Lavin and Gray, 2016: F(4x4, 3x3)). Over all channels the products at one place are a product of matrices. So is
the gradient in the kernel, whose transforms are the same ones turned around.

Planes of numbers begin a little behind multiples of a large power of two, for such numbers would fall on the same cache
lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .gradients import nest
from .ir import Function, Int, Value, constant
from .loops import Operand, pieces

CELLS = 36
"""Places of a transformed tile."""
GAP = 64
"""Bytes between planes."""

Grid = list[list[Value]]
Transform = Callable[[Function, Sequence[Value]], list[Value]]


# Transforms of a row


def _times(f: Function, factor: float, a: Value, b: Value) -> Value:
    """``factor * a + b``."""
    return f.fma(constant(factor, a.type), a, b)


def of_image(f: Function, d: Sequence[Value]) -> list[Value]:
    """Six numbers of the image."""
    odd, even = f.binary("fsub", d[3], d[1]), f.binary("fsub", d[4], d[2])
    a, b = _times(f, -4, d[2], d[4]), _times(f, -4, d[1], d[3])
    return [
        _times(f, 4, d[0], _times(f, -5, d[2], d[4])),
        f.binary("fadd", a, b),
        f.binary("fsub", a, b),
        _times(f, 2, odd, even),
        _times(f, -2, odd, even),
        _times(f, 4, d[1], _times(f, -5, d[3], d[5])),
    ]


def of_result(f: Function, m: Sequence[Value]) -> list[Value]:
    """Four numbers of the result from six sums of products."""
    a, b = f.binary("fadd", m[1], m[2]), f.binary("fsub", m[1], m[2])
    c, d = f.binary("fadd", m[3], m[4]), f.binary("fsub", m[3], m[4])
    return [
        f.binary("fadd", f.binary("fadd", m[0], a), c),
        _times(f, 2, d, b),
        _times(f, 4, c, a),
        f.binary("fadd", _times(f, 8, d, b), m[5]),
    ]


def of_gradient(f: Function, y: Sequence[Value]) -> list[Value]:
    """Four numbers of the result's gradient: :func:`of_result` turned around."""
    even, odd = f.binary("fadd", y[0], y[2]), f.binary("fadd", y[1], y[3])
    a, b = _times(f, 4, y[2], y[0]), _times(f, 4, y[3], y[1])
    return [
        y[0],
        f.binary("fadd", even, odd),
        f.binary("fsub", even, odd),
        _times(f, 2, b, a),
        _times(f, -2, b, a),
        y[3],
    ]


def of_kernel(f: Function, w: Sequence[Value]) -> list[Value]:
    """Three numbers of the kernel."""

    def by(factor: float, a: Value) -> Value:
        return f.binary("fmul", a, constant(factor, a.type))

    even, wide = f.binary("fadd", w[0], w[2]), by(1 / 24, _times(f, 4, w[2], w[0]))
    return [
        by(1 / 4, w[0]),
        by(-1 / 6, f.binary("fadd", even, w[1])),
        by(-1 / 6, f.binary("fsub", even, w[1])),
        _times(f, 1 / 12, w[1], wide),
        _times(f, -1 / 12, w[1], wide),
        w[2],
    ]


def of_kernel_gradient(f: Function, u: Sequence[Value]) -> list[Value]:
    """Three numbers of the kernel's gradient: :func:`of_kernel` turned around."""

    def by(factor: float, a: Value) -> Value:
        return f.binary("fmul", a, constant(factor, a.type))

    a, b = f.binary("fadd", u[1], u[2]), f.binary("fsub", u[2], u[1])
    c, d = f.binary("fadd", u[3], u[4]), f.binary("fsub", u[3], u[4])
    return [
        _times(f, 1 / 4, u[0], _times(f, 1 / 24, c, by(-1 / 6, a))),
        _times(f, 1 / 12, d, by(1 / 6, b)),
        f.binary("fadd", by(1 / 6, f.binary("fsub", c, a)), u[5]),
    ]


def both_ways(f: Function, grid: Sequence[Sequence[Value]], transform: Transform) -> Grid:
    """A transform of all columns, then of all rows."""
    columns = [transform(f, [row[column] for row in grid]) for column in range(len(grid[0]))]
    return [transform(f, [column[row] for column in columns]) for row in range(len(columns[0]))]


# Chunks


@dataclass(frozen=True)
class Chunk:
    """Tiles that are computed together: some rows of some."""

    rows: int
    columns: int
    height: int
    """Places of a tile: 4, or what is left over at the image's edge."""
    width: int

    @property
    def tiles(self) -> int:
        """How many they are."""
        return self.rows * self.columns


def chunks(f: Function, size: tuple[int, int], most: int, body: Callable[[Chunk, Int, Int], None]) -> None:
    """Run ``body(chunk, first row, first column)`` for an image in chunks of at most so many tiles."""
    for height, top, bottom in _spans(size[0]):
        for width, left, right in _spans(size[1]):
            columns = min(right - left, most)
            for low, high, count in pieces(bottom - top, max(1, most // columns)):
                for start, stop, several in pieces(right - left, columns):
                    chunk = Chunk(count, several, height, width)

                    first, last = left + start, left + stop

                    def row(r: Int, _: list[Value], chunk: Chunk = chunk, first: int = first, last: int = last) -> None:
                        f.loop(first, last, chunk.columns, lambda c, _: body(chunk, f.mul(r, 4), f.mul(c, 4)))

                    f.loop(top + low, top + high, count, row)


def _spans(length: int) -> Iterator[tuple[int, int, int]]:
    """An axis in tiles: places of a tile, first and last tile."""
    if length >= 4:
        yield 4, 0, length // 4
    if length % 4:
        yield length % 4, length // 4, length // 4 + 1


def transform(
    f: Function, chunk: Chunk, row: Int, column: Int, image: Operand, channels: int, form: Transform, wide: int,
    where: Callable[[Int, Int, Int], Value], apart: int,
) -> None:  # fmt: skip
    """The tiles of a chunk, transformed.

    Args:
        f: what is written.
        chunk: the tiles.
        row: the first place.
        column: the same.
        image: the image or, if it is for :func:`of_gradient`, the gradient. Strides for places and the channel.
        channels: how many there are.
        form: what is done along each axis.
        wide: so many channels lie side by side; with 1 there may be lanes.
        where: the first of the 36 numbers, for a tile's row and column in the chunk and a channel.
        apart: numbers between one of the 36 and the next.
    """
    kind, unit = image.element(wide), image.unit
    zero = constant(0, kind)
    side = 4 if form is of_gradient else 6

    def tile(index: list[Int]) -> None:
        a, b, part = index
        c = f.mul(part, wide)
        start = f.mul(
            f.dot([f.add(row, f.mul(a, 4)), f.add(column, f.mul(b, 4)), c], image.strides, image.offset), unit
        )
        base = f.at(f.arguments[image.pointer], start, kind.scalar)
        grid = [
            [
                f.load(base, (i * image.strides[0] + j * image.strides[1]) * unit, kind)
                if i < chunk.height + side - 4 and j < chunk.width + side - 4
                else zero
                for j in range(side)
            ]
            for i in range(side)
        ]
        to = where(a, b, c)
        for cell, value in enumerate(flat(both_ways(f, grid, form))):
            f.store(value, to, cell * apart)

    nest(f, [chunk.rows, chunk.columns, channels // wide], tile)


def flat(grid: Grid) -> list[Value]:
    """All values, row by row."""
    return [value for row in grid for value in row]


def plane(numbers: int, scalar: str) -> int:
    """Numbers from one plane to the next."""
    return numbers + GAP // (4 if scalar == "float" else 8)
