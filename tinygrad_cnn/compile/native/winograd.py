"""Winograd's convolutions: kernels of 3x3 on images cut into tiles of 4x4 places, with a quarter of the products.

A tile of the result is computed from 6x6 numbers of the image. These and the 3x3 numbers of the kernel are transformed,
each pair by sums with small constants, so that one product for each of the 36 places is left, where 144 were (Lavin and
Gray, 2016: F(4x4, 3x3)). Over all channels the products at one place are a product of matrices. So is the gradient in
the kernel, whose transforms are the same ones turned around.

A kernel works on a **chunk** of tiles at a time, so that what is transformed stays in the processor's cache. Planes of
numbers begin a little behind multiples of a large power of two, for such numbers would fall on the same cache lines.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .gradients import blocks, nest, turn
from .ir import I64, PTR, Function, Int, Type, Value, constant
from .loops import Head, Loop, Operand, Tile, Writer, pieces, scalar_of

CELLS = 36
"""Places of a transformed tile."""
CHUNK = 480 * 1024
"""Bytes that the transformed numbers of a chunk may take: about half of a core's second-level cache."""
LEAST = 2
"""The fewest tiles of a chunk, so that transformed kernels are not read too often."""
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


def chunk_tiles(tile_bytes: int, tiles: int) -> int:
    """How many tiles a chunk has, if the transformed numbers of one take so many bytes."""
    return min(tiles, max(LEAST, CHUNK // tile_bytes))


def chunks(f: Function, size: tuple[int, int], most: int, body: Callable[[Chunk, Int, Int], None]) -> None:
    """Run ``body(chunk, first row, first column)`` for an image in chunks of at most so many tiles."""
    for height, top, bottom in _spans(size[0]):
        for width, left, right in _spans(size[1]):
            columns = min(right - left, most)
            for low, high, count in pieces(bottom - top, max(1, most // columns)):
                for start, stop, several in pieces(right - left, columns):
                    chunk = Chunk(count, several, height, width)

                    first, last = left + start, left + stop

                    def row(r: Int, _: Any, chunk: Chunk = chunk, first: int = first, last: int = last) -> None:
                        f.loop(first, last, chunk.columns, lambda c, _: body(chunk, f.mul(r, 4), f.mul(c, 4)))

                    f.loop(top + low, top + high, count, row)


def _spans(length: int) -> Iterator[tuple[int, int, int]]:
    """An axis in tiles: places of a tile, first and last tile."""
    if length >= 4:
        yield 4, 0, length // 4
    if length % 4:
        yield length % 4, length // 4, length // 4 + 1


def transform_image(
    f: Function, chunk: Chunk, row: Int, column: Int, image: Operand, channels: int, scratch: Value, plane: int,
    wide: int = 1,
) -> None:  # fmt: skip
    """The image's tiles, transformed: ``[cell][tile][channel][lane]``.

    With ``wide``, so many channels lie side by side, and there is one lane.
    """
    kind, unit = image.element(wide), image.unit
    zero = constant(0, kind)

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
                if i < chunk.height + 2 and j < chunk.width + 2
                else zero
                for j in range(6)
            ]
            for i in range(6)
        ]
        at = f.dot([a, b, c], [chunk.columns * channels * unit, channels * unit, unit])
        to = f.at(scratch, at, kind.scalar)
        for cell, value in enumerate(_flat(both_ways(f, grid, of_image))):
            f.store(value, to, cell * plane)

    nest(f, [chunk.rows, chunk.columns, channels // wide], tile)


def _flat(grid: Grid) -> list[Value]:
    return [value for row in grid for value in row]


# Convolutions


@dataclass(frozen=True)
class Weights:
    """Kernels, transformed: ``(36, O / width, C, width)``, each of the 36 with a gap behind it.

    Arguments of the function: kernels, result, and where the thread's share begins and ends; then :attr:`sizes`, so
    that layers of different sizes have one function.
    """

    channels: int
    """Of the image."""
    out_channels: int
    offset: int
    strides: tuple[int, int, int, int]
    """For rows and columns of a kernel, the image's channels, and those of the result."""
    scalar: str
    lanes: int
    width: int
    """How many channels of the result lie next to each other."""

    @property
    def key(self) -> Hashable:
        """Functions of the same key are the same."""
        return "weights", self.scalar, self.lanes, self.width, self._across, self._rest

    @property
    def _across(self) -> bool:
        """Whether channels of the result lie apart, and are turned."""
        return self.strides[3] != 1

    @property
    def _rest(self) -> bool:
        """Whether the result's channels do not fill the last vector."""
        return self.out_channels % self.lanes > 0

    @property
    def plane(self) -> int:
        """How many numbers lie between one of the 36 and the next."""
        return plane(self.channels * self.out_channels, self.scalar)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The last arguments: channels, offset and strides, and how far planes lie apart."""
        return self.channels, self.out_channels, self.plane, self.offset, *self.strides

    @property
    def rounds(self) -> int:
        """How many parts there are to share."""
        return -(-self.channels // self.lanes) if self._across else self.channels

    def write(self, name: str) -> Function:
        """The function."""
        f = Function(name, [PTR, PTR, I64, I64, *[I64] * len(self.sizes)])
        kernels, _, low, high, channels, outs, _, offset, *strides = f.arguments
        lanes, vector = self.lanes, Type(self.scalar, self.lanes)
        taps = [(i, j) for i in range(3) for j in range(3)]

        def each_block(body: Callable[[Int], None]) -> None:
            def block(o: Int, _: list[Value]) -> None:
                # The last begins earlier, so that it is whole: some channels are computed twice.
                body(f.smallest(o, f.add(outs, -lanes)) if self._rest else o)

            f.loop(0, outs, lanes, block)

        def plain(c: Int, _: list[Value]) -> None:
            def block(o: Int) -> None:
                start = f.dot([c, o], strides[2:], offset)
                self._store(f, [f.load(kernels, f.dot([i, j], strides[:2], start), vector) for i, j in taps], c, o)

            each_block(block)

        room = f.room(vector, len(taps) * lanes) if self._across else kernels

        def turned(part: Int, _: list[Value]) -> None:
            first = f.smallest(f.mul(part, lanes), f.add(channels, -lanes))

            def block(o: Int) -> None:
                start = f.dot([first, o], strides[2:], offset)

                def tap(index: list[Int]) -> None:
                    at = f.dot(index, strides[:2], start)
                    to = f.dot(index, [3 * lanes * lanes, lanes * lanes])
                    rows = [f.load(kernels, f.add(at, f.mul(row, strides[3])), vector) for row in range(lanes)]
                    for row, value in enumerate(turn(f, rows)):
                        f.store(value, room, f.add(to, row * lanes))

                nest(f, [3, 3], tap)

                def channel(c: Int, _: list[Value]) -> None:
                    at = f.mul(c, lanes)
                    found = [f.load(room, f.add(at, tap * lanes * lanes), vector) for tap in range(len(taps))]
                    self._store(f, found, f.add(first, c), o)

                f.loop(0, lanes, 1, channel)

            each_block(block)

        f.loop(low, high, 1, turned if self._across else plain)
        return f

    def _store(self, f: Function, taps: list[Value], channel: Int, out: Int) -> None:
        channels, planes = f.arguments[4], f.arguments[6]
        cells = both_ways(f, [taps[:3], taps[3:6], taps[6:]], of_kernel)
        base = f.at(f.arguments[1], f.add(f.mul(channel, self.width), f.mul(out, channels)), self.scalar)
        for part in range(0, self.lanes, self.width):
            first = f.mul(part, channels)
            for cell, value in enumerate(_flat(cells)):
                some = f.shuffle(value, value, range(part, part + self.width))
                f.store(some, base, f.add(first, f.mul(cell, planes)))


def plane(numbers: int, scalar: str) -> int:
    """Numbers from one plane to the next."""
    return numbers + GAP // (4 if scalar == "float" else 8)


def width_of(registers: int) -> int:
    """How many channels of the result are computed at once."""
    return 8 if registers >= 24 else 4


@dataclass(frozen=True)
class Winograd(Head):
    """A convolution with a kernel of 3x3, of stride 1. It writes the whole loop."""

    image: Operand
    """Strides for rows and columns of places, and the channel."""
    channels: int
    weights: int
    """Which argument the transformed kernels are."""
    scratch: int
    """Which argument is memory for scratch."""
    registers: int

    @property
    def key(self) -> Hashable:
        return "winograd", self.image, self.channels, self.weights, self.scratch, self.registers

    def values(self, f: Function, index: Sequence[Int], tile: Tile) -> list[Value]:
        raise NotImplementedError("tiles are written by the loop")

    def write(self, loop: Loop, name: str) -> Function:
        return _Writer(loop, name, self).write()


def tile_numbers(channels: int, out_channels: int, lanes: int) -> int:
    """How many transformed numbers belong to a tile."""
    return CELLS * (channels + out_channels) * lanes


def scratch_numbers(channels: int, out_channels: int, lanes: int, size: Sequence[int], itemsize: int) -> int:
    """How many numbers of scratch memory a convolution takes."""
    tile = tile_numbers(channels, out_channels, lanes)
    most = chunk_tiles(tile * itemsize, -(-size[0] // 4) * -(-size[1] // 4))
    return most * tile + 2 * CELLS * (GAP // itemsize)


class _Writer(Writer):
    """Writes a loop whose head is a convolution."""

    def __init__(self, loop: Loop, name: str, head: Winograd) -> None:
        super().__init__(loop, name)
        self.by_rows = False
        self.head = head
        self.row: list[Value] = []
        """The head's values at the places of a tile's row."""

    def write(self) -> Function:
        f, head = self.f, self.head
        height, width, self.outs = self.loop.space
        self.kind = head.image.element(self.loop.wide)
        self.lanes = self.kind.lanes
        itemsize = head.image.type_size
        most = chunk_tiles(
            tile_numbers(head.channels, self.outs, self.loop.lanes) * itemsize, -(-height // 4) * -(-width // 4)
        )
        self._clear()
        self.room = f.room(self.kind, 16)
        """The results of a tile, on their way to the members."""
        chunks(f, (height, width), most, self._chunk)
        self._finish_sums()
        return f

    def _chunk(self, chunk: Chunk, row: Int, column: Int) -> None:
        f, head, unit, wide = self.f, self.head, self.loop.lanes, self.loop.wide
        scratch, scalar = f.arguments[head.scratch], self.kind.scalar
        into = plane(chunk.tiles * head.channels * unit, scalar)
        out = plane(chunk.tiles * self.outs * unit, scalar)
        transform_image(f, chunk, row, column, head.image, head.channels, scratch, into, wide)
        products = f.at(scratch, CELLS * into, scalar)
        form = self._products if wide == 1 else self._products_of_channels
        f.loop(0, CELLS, 1, lambda cell, _: form(chunk, cell, into, out, products))
        room = self.room

        def tile(index: list[Int]) -> None:
            a, b, part = index
            o = f.mul(part, wide)
            start = f.dot([a, b, o], [chunk.columns * self.outs * unit, self.outs * unit, unit])
            base = f.at(products, start, scalar)
            cells = [f.load(base, cell * out, self.kind) for cell in range(CELLS)]
            found = both_ways(f, [cells[6 * i : 6 * i + 6] for i in range(6)], of_result)
            for place, value in enumerate(_flat(found)):
                f.store(value, room, place * self.lanes)
            first, left = f.add(row, f.mul(a, 4)), f.add(column, f.mul(b, 4))
            self.index, self.columns = [0, left, o], 1
            self._share(1)
            at = self._total(0)
            totals = [f.load(total, at, Type(kind, self.lanes)) for total, kind in self._rooms()]

            def line(i: Int, now: list[Value]) -> list[Value]:
                here = f.mul(i, 4 * self.lanes)
                self.row = [f.load(room, f.add(here, j * self.lanes), self.kind) for j in range(chunk.width)]
                self.index = [f.add(first, i), left, o]
                return self._places(chunk.width, now)

            totals = f.loop(0, chunk.height, 1, line, totals)
            for (total, _), value in zip(self._rooms(), totals, strict=True):
                f.store(value, total, at)

        nest(f, [chunk.rows, chunk.columns, self.outs // wide], tile)

    def _products(self, chunk: Chunk, cell: Int, into: int, out: int, products: Value) -> None:
        """The product of matrices at one of the 36 cells: a vector of the image with each weight."""
        f, head, lanes, scalar = self.f, self.head, self.loop.lanes, self.kind.scalar
        wide = width_of(head.registers)
        left, right, result = self._planes(cell, into, out, products)
        row = head.channels * lanes

        def tiles(t: Int, count: int) -> None:
            x = f.at(left, f.mul(t, row), scalar)

            def outs(o: Int, _: list[Value]) -> None:
                w = f.at(right, f.mul(o, head.channels), scalar)

                def channel(c: Int, now: list[Value]) -> list[Value]:
                    xs = f.at(x, f.mul(c, lanes), scalar)
                    ws = f.at(w, f.mul(c, wide), scalar)
                    images = [f.load(xs, n * row, self.kind) for n in range(count)]
                    found = []
                    for m in range(wide):
                        weight = f.spread(f.load(ws, m, Type(scalar)), lanes)
                        found += [f.fma(images[n], weight, now[m * count + n]) for n in range(count)]
                    return found

                sums = f.loop(0, head.channels, 1, channel, [constant(0, self.kind)] * (count * wide))
                to = f.at(result, f.dot([t, o], [self.outs * lanes, lanes]), scalar)
                for m in range(wide):
                    for n in range(count):
                        f.store(sums[m * count + n], to, (n * self.outs + m) * lanes)

            f.loop(0, self.outs, wide, outs)

        blocks(f, chunk.tiles, max(1, head.registers // wide), tiles)

    def _products_of_channels(self, chunk: Chunk, cell: Int, into: int, out: int, products: Value) -> None:
        """The same where channels lie side by side: a vector of weights with each number of the image."""
        f, head, wide, scalar = self.f, self.head, self.loop.wide, self.kind.scalar
        left, right, result = self._planes(cell, into, out, products)
        columns = min(4, self.outs // wide)

        def tiles(t: Int, count: int) -> None:
            x = f.at(left, f.mul(t, head.channels), scalar)

            def outs(part: Int, several: int) -> None:
                o = f.mul(part, wide)
                w = f.at(right, f.mul(o, head.channels), scalar)

                def channel(c: Int, now: list[Value]) -> list[Value]:
                    ws = f.at(w, f.mul(c, wide), scalar)
                    weights = [f.load(ws, m * wide * head.channels, self.kind) for m in range(several)]
                    found = []
                    for n in range(count):
                        number = f.load(x, f.add(c, n * head.channels), Type(scalar))
                        image = f.spread(number, wide)
                        found += [f.fma(image, weights[m], now[n * several + m]) for m in range(several)]
                    return found

                sums = f.loop(0, head.channels, 1, channel, [constant(0, self.kind)] * (count * several))
                to = f.at(result, f.dot([t, o], [self.outs, 1]), scalar)
                for n in range(count):
                    for m in range(several):
                        f.store(sums[n * several + m], to, n * self.outs + m * wide)

            blocks(f, self.outs // wide, columns, outs)

        blocks(f, chunk.tiles, max(1, head.registers // columns), tiles)

    def _planes(self, cell: Int, into: int, out: int, products: Value) -> tuple[Value, Value, Value]:
        """Where the numbers of a cell lie: those of the image, of the weights, and of the result."""
        f, head, scalar = self.f, self.head, self.kind.scalar
        left = f.at(f.arguments[head.scratch], f.mul(cell, into), scalar)
        right = f.at(f.arguments[head.weights], f.mul(cell, plane(head.channels * self.outs, scalar)), scalar)
        return left, right, f.at(products, f.mul(cell, out), scalar)

    def _rooms(self) -> list[tuple[Value, str]]:
        """Where sums are held, and what type they have."""
        return [(room, scalar_of(member)) for member, room in zip(self.sums, self.totals, strict=True)]

    def _heads(self, rows: int) -> list[Value]:
        return self.row


# Gradients in kernels


@dataclass(frozen=True)
class WinogradGradient:
    """The gradient in a kernel of 3x3, of the examples of one block: ``(3, 3, C, O)``.

    The gradient that arrives is turned, so that its channels lie in the lanes, and then transformed. Arguments of the
    function: image, gradient, result, memory for scratch, and where lanes are left out, which count.
    """

    size: tuple[int, int]
    channels: int
    out_channels: int
    image: Operand
    """Strides for rows and columns of places, and the channel."""
    grad: Operand
    """The same."""
    lanes: int
    masked: bool
    registers: int

    @property
    def key(self) -> Hashable:
        """Gradients of the same key are the same function."""
        return self

    @property
    def scratch(self) -> int:
        """How many numbers of scratch memory it takes."""
        tile = tile_numbers(self.channels, self.out_channels, self.lanes)
        gaps = 2 * CELLS * (GAP // self.image.type_size)
        return self._most * tile + gaps + 16 * self.lanes * self.lanes + CELLS * self._plane

    @property
    def _tiles(self) -> int:
        return -(-self.size[0] // 4) * -(-self.size[1] // 4)

    @property
    def _most(self) -> int:
        """How many tiles a chunk has: the more, the more seldom the sums are read."""
        tile = tile_numbers(self.channels, self.out_channels, self.lanes) * self.image.type_size
        return max(min(4, self._tiles), chunk_tiles(tile, self._tiles))

    @property
    def _at_once(self) -> bool:
        """Whether all tiles are in one chunk."""
        return self._tiles <= self._most and self.size[0] % 4 == 0 and self.size[1] % 4 == 0

    @property
    def _plane(self) -> int:
        return plane(self.channels * self.out_channels, self.image.type.scalar)

    def write(self, name: str) -> Function:
        """The function."""
        f = Function(name, [PTR] * (4 + self.masked))
        vector, scalar = self.image.type, self.image.type.scalar
        room, lanes = f.arguments[3], self.lanes
        sums = f.at(room, 16 * lanes * lanes, scalar)
        scratch = f.at(sums, CELLS * self._plane, scalar)
        zero = constant(0, vector)
        if not self._at_once:
            f.loop(0, CELLS * self._plane // lanes * lanes, lanes, lambda at, _: f.store(zero, sums, at))

        def chunk(chunk: Chunk, row: Int, column: Int) -> None:
            left = plane(chunk.tiles * self.channels * lanes, scalar)
            right = plane(chunk.tiles * self.out_channels * lanes, scalar)
            transform_image(f, chunk, row, column, self.image, self.channels, scratch, left)
            grads = f.at(scratch, CELLS * left, scalar)
            self._transform_gradient(f, chunk, row, column, room, grads, right)

            def cell(number: Int, _: list[Value]) -> None:
                x = f.at(scratch, f.mul(number, left), scalar)
                y = f.at(grads, f.mul(number, right), scalar)
                self._products(f, chunk, x, y, f.at(sums, f.mul(number, self._plane), scalar))

            f.loop(0, CELLS, 1, cell)

        chunks(f, self.size, self._most, chunk)

        def weight(index: list[Int]) -> None:
            c, part = index
            at = f.dot([c, part], [self.out_channels, lanes])
            base, out = f.at(sums, at, scalar), f.at(f.arguments[2], at, scalar)
            cells = [f.load(base, number * self._plane, vector) for number in range(CELLS)]
            found = both_ways(f, [cells[6 * i : 6 * i + 6] for i in range(6)], of_kernel_gradient)
            for tap, value in enumerate(_flat(found)):
                f.store(value, out, tap * self.channels * self.out_channels)

        nest(f, [self.channels, self.out_channels // lanes], weight)
        return f

    def _transform_gradient(
        self, f: Function, chunk: Chunk, row: Int, column: Int, room: Value, grads: Value, apart: int
    ) -> None:
        """The gradient's tiles, turned and transformed: ``[cell][tile][lane][channel]``."""
        vector, scalar, lanes, outs = self.grad.type, self.grad.type.scalar, self.lanes, self.out_channels
        grad, zero = f.arguments[self.grad.pointer], constant(0, vector)
        step = lanes * lanes

        def tile(index: list[Int]) -> None:
            a, b, part = index
            o = f.mul(part, lanes)

            def turned(where: list[Int]) -> None:
                i, j = where
                place = [f.add(row, f.add(f.mul(a, 4), i)), f.add(column, f.add(f.mul(b, 4), j)), o]
                base = f.at(grad, f.mul(f.dot(place, self.grad.strides, self.grad.offset), lanes), scalar)
                rows = [f.load(base, lane * self.grad.strides[2] * lanes, vector) for lane in range(lanes)]
                if self.masked:
                    here = f.load(f.arguments[4], 0, vector.of("i1"))
                    rows = [f.select(here, each, zero) for each in rows]
                to = f.at(room, f.dot([i, j], [4 * step, step]), scalar)
                for lane, each in enumerate(turn(f, rows)):
                    f.store(each, to, lane * lanes)

            nest(f, [chunk.height, chunk.width], turned)
            start = f.dot([a, b, part], [chunk.columns * outs * lanes, outs * lanes, lanes])

            def example(n: Int, _: list[Value]) -> None:
                base = f.at(room, f.mul(n, lanes), scalar)
                grid = [
                    [
                        f.load(base, (4 * i + j) * step, vector) if i < chunk.height and j < chunk.width else zero
                        for j in range(4)
                    ]
                    for i in range(4)
                ]
                to = f.at(grads, f.add(start, f.mul(n, outs)), scalar)
                for number, value in enumerate(_flat(both_ways(f, grid, of_gradient))):
                    f.store(value, to, number * apart)

            f.loop(0, lanes, 1, example)

        nest(f, [chunk.rows, chunk.columns, outs // lanes], tile)

    def _products(self, f: Function, chunk: Chunk, x: Value, y: Value, sums: Value) -> None:
        """Add up the products at one of the 36 cells, over tiles and examples."""
        vector, scalar, lanes, outs = self.image.type, self.image.type.scalar, self.lanes, self.out_channels
        wide = min(4, outs // lanes)

        def channels(c: Int, rows: int) -> None:
            blocks(f, outs // lanes, wide, lambda part, count: tile(c, rows, f.mul(part, lanes), count))

        def tile(c: Int, rows: int, o: Int, count: int) -> None:
            base = f.at(sums, f.dot([c, o], [outs, 1]), scalar)
            slots = [r * outs + m * lanes for r in range(rows) for m in range(count)]
            left, right = f.at(x, f.mul(c, lanes), scalar), f.at(y, o, scalar)

            def place(t: Int, now: list[Value]) -> list[Value]:
                images = f.at(left, f.mul(t, self.channels * lanes), scalar)
                grads = f.at(right, f.mul(t, outs * lanes), scalar)

                def example(n: Int, now: list[Value]) -> list[Value]:
                    image, grad = f.at(images, n, scalar), f.at(grads, f.mul(n, outs), scalar)
                    ys = [f.load(grad, m * lanes, vector) for m in range(count)]
                    found = []
                    for r in range(rows):
                        number = f.spread(f.load(image, r * lanes, Type(scalar)), lanes)
                        found += [f.fma(number, ys[m], now[r * count + m]) for m in range(count)]
                    return found

                return f.loop(0, lanes, 1, example, now)

            zero = constant(0, vector)
            held = [zero if self._at_once else f.load(base, slot, vector) for slot in slots]
            held = f.loop(0, chunk.tiles, 1, place, held)
            for slot, value in zip(slots, held, strict=True):
                f.store(value, base, slot)

        blocks(f, self.channels, max(1, self.registers // wide), channels)


# When they are taken


def can(size: Sequence[int], channels: int, out_channels: int, scalar: str, wide: int) -> bool:
    """Whether a convolution of 3x3 can be computed like this."""
    whole = max(wide, 8)
    fits = channels % whole == 0 and out_channels % whole == 0 and min(channels, out_channels) >= 16
    return scalar == "float" and len(size) == 2 and min(size) >= 4 and fits


def pays(size: Sequence[int], channels: int, out_channels: int, wide: int) -> bool:
    """Whether it should take less time; from measurements.

    With few channels the transforms cost more than they save, and with few tiles the transformed kernels do.
    """
    if wide > 1:
        return min(size) >= 12 and channels * out_channels <= 1 << 14
    few = max(size) <= 4 and channels * out_channels > 1 << 14
    return not few


def gradient_pays(size: Sequence[int], channels: int, out_channels: int) -> bool:
    """The same for the gradient in a kernel."""
    return pays(size, channels, out_channels, 1) and min(size) >= 7
