"""Winograd's convolutions: kernels of 3x3, with a quarter of the products (see :mod:`.tiles`).

A kernel works on a **chunk** of tiles at a time, so that what is transformed stays in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from .gradients import add_products, blocks, nest, turn
from .ir import PTR, Function, Int, Type, Value, constant
from .loops import Head, Loop, Operand, Tile, Writer, scalar_of
from .tiles import (
    CELLS,
    GAP,
    Chunk,
    both_ways,
    chunks,
    flat,
    of_gradient,
    of_image,
    of_kernel_gradient,
    of_result,
    plane,
    transform,
)

CHUNK = 480 * 1024
"""Bytes that the transformed numbers of a chunk may take: about half of a core's second-level cache."""
LEAST = 2
"""The fewest tiles of a chunk, so that transformed kernels are not read too often."""


def chunk_tiles(tile_bytes: int, tiles: int) -> int:
    """How many tiles a chunk has, if the transformed numbers of one take so many bytes."""
    return min(tiles, max(LEAST, CHUNK // tile_bytes))


# Convolutions


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


class TileWriter(Writer):
    """Writes a loop whose head's values come in tiles of 4x4 places.

    Args:
        loop: what is written.
        name: of the function.
        image: what the head's type is that of.
    """

    def __init__(self, loop: Loop, name: str, image: Operand) -> None:
        super().__init__(loop, name)
        self.by_rows = False
        self.kind = image.element(loop.wide)
        self.height, self.width, self.outs = loop.space
        self.row: list[Value] = []
        """The head's values at the places of a tile's row."""

    def in_chunks(self, most: int) -> Function:
        """The function, which does so many tiles at once."""
        self.lanes = self.kind.lanes
        self._clear()
        self.room = self.f.room(self.kind, 16)
        """The results of a tile, on their way to the members."""
        chunks(self.f, (self.height, self.width), most, self.chunk)
        self._finish_sums()
        return self.f

    def chunk(self, chunk: Chunk, row: Int, column: Int) -> None:
        """All that belongs to some tiles; the first one's place is given."""
        raise NotImplementedError

    def results(self, chunk: Chunk, row: Int, column: Int, where: Callable[[Int, Int, Int], Value], apart: int) -> None:
        """The results of a chunk from its sums of products, and what the members make of them.

        The first of 36 sums lies ``where(a tile's row, its column, channel)``, the others ``apart`` from each other.
        """
        f, wide, room = self.f, self.loop.wide, self.room

        def tile(index: list[Int]) -> None:
            a, b, part = index
            o = f.mul(part, wide)
            base = where(a, b, o)
            cells = [f.load(base, cell * apart, self.kind) for cell in range(CELLS)]
            found = both_ways(f, [cells[6 * i : 6 * i + 6] for i in range(6)], of_result)
            for place, value in enumerate(flat(found)):
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

    def _rooms(self) -> list[tuple[Value, str]]:
        """Where sums are held, and what type they have."""
        return [(room, scalar_of(member)) for member, room in zip(self.sums, self.totals, strict=True)]

    def _heads(self, rows: int) -> list[Value]:
        return self.row


class _Writer(TileWriter):
    """Transforms a chunk, multiplies it with the kernels, and transforms it back."""

    def __init__(self, loop: Loop, name: str, head: Winograd) -> None:
        super().__init__(loop, name, head.image)
        self.head = head

    def write(self) -> Function:
        """The function."""
        tile = tile_numbers(self.head.channels, self.outs, self.loop.lanes) * self.head.image.type_size
        return self.in_chunks(chunk_tiles(tile, -(-self.height // 4) * -(-self.width // 4)))

    def chunk(self, chunk: Chunk, row: Int, column: Int) -> None:
        f, head, unit, wide = self.f, self.head, self.loop.lanes, self.loop.wide
        scratch, scalar = f.arguments[head.scratch], self.kind.scalar

        def place(base: Value, channels: int) -> Callable[[Int, Int, Int], Value]:
            strides = [chunk.columns * channels * unit, channels * unit, unit]
            return lambda a, b, c: f.at(base, f.dot([a, b, c], strides), scalar)

        into = plane(chunk.tiles * head.channels * unit, scalar)
        out = plane(chunk.tiles * self.outs * unit, scalar)
        where = place(scratch, head.channels)
        transform(f, chunk, row, column, head.image, head.channels, of_image, wide, where, into)
        products = f.at(scratch, CELLS * into, scalar)

        def cell(number: Int, _: list[Value]) -> None:
            left, right, result = self._planes(number, into, out, products)
            if wide == 1:
                self._products(chunk.tiles, left, right, result)
            else:
                by_channels(
                    f, (chunk.tiles, head.channels, self.outs), (left, right, result), self.kind, head.registers
                )

        f.loop(0, CELLS, 1, cell)
        self.results(chunk, row, column, place(products, self.outs), out)

    def _products(self, tiles: int, left: Value, right: Value, result: Value) -> None:
        """The product of matrices at one of the 36 cells: a vector of the image with each weight."""
        f, head, lanes, scalar = self.f, self.head, self.loop.lanes, self.kind.scalar
        wide = width_of(head.registers)
        row = head.channels * lanes

        def some(t: Int, count: int) -> None:
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

        blocks(f, tiles, max(1, head.registers // wide), some)

    def _planes(self, cell: Int, into: int, out: int, products: Value) -> tuple[Value, Value, Value]:
        """Where the numbers of a cell lie: those of the image, of the weights, and of the result."""
        f, head, scalar = self.f, self.head, self.kind.scalar
        left = f.at(f.arguments[head.scratch], f.mul(cell, into), scalar)
        right = f.at(f.arguments[head.weights], f.mul(cell, plane(head.channels * self.outs, scalar)), scalar)
        return left, right, f.at(products, f.mul(cell, out), scalar)


def by_channels(
    f: Function, lengths: tuple[int, int, int], arrays: tuple[Value, Value, Value], kind: Type, registers: int,
    part: int = 0,
) -> None:  # fmt: skip
    """The product at one of the 36 cells where channels lie side by side: vectors of weights with numbers of the image.

    Args:
        f: what is written.
        lengths: tiles, channels of the image, channels of the result.
        arrays: the image ``(tiles, C)``, the weights ``(O / width, C, width)``, the result ``(tiles, O)``.
        kind: of a vector.
        registers: how many sums are held at once.
        part: only so many channels of the result, which begin where the weights and the result do; 0 for all.
    """
    tiles, channels, outs = lengths
    left, right, result = arrays
    wide, scalar = kind.lanes, kind.scalar
    vectors = (part or outs) // wide
    columns = min(4, vectors)

    def some(t: Int, count: int) -> None:
        x = f.at(left, f.mul(t, channels), scalar)

        def several(part: Int, size: int) -> None:
            o = f.mul(part, wide)
            w = f.at(right, f.mul(o, channels), scalar)

            def channel(c: Int, now: list[Value]) -> list[Value]:
                ws = f.at(w, f.mul(c, wide), scalar)
                weights = [f.load(ws, m * wide * channels, kind) for m in range(size)]
                return add_products(f, x, [f.add(c, n * channels) for n in range(count)], weights, now)

            sums = f.loop(0, channels, 1, channel, [constant(0, kind)] * (count * size))
            to = f.at(result, f.dot([t, o], [outs, 1]), scalar)
            for n in range(count):
                for m in range(size):
                    f.store(sums[n * size + m], to, n * outs + m * wide)

        blocks(f, vectors, columns, several)

    blocks(f, tiles, max(1, registers // columns), some)


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
            strides = [chunk.columns * self.channels * lanes, self.channels * lanes, lanes]

            def where(a: Int, b: Int, c: Int) -> Value:
                return f.at(scratch, f.dot([a, b, c], strides), scalar)

            transform(f, chunk, row, column, self.image, self.channels, of_image, 1, where, left)
            grads = f.at(scratch, CELLS * left, scalar)
            self._transform_gradient(f, chunk, row, column, room, grads, right)

            def cell(number: Int, _: list[Value]) -> None:
                x = f.at(scratch, f.mul(number, left), scalar)
                y = f.at(grads, f.mul(number, right), scalar)
                self._products(f, chunk, x, y, f.at(sums, f.mul(number, self._plane), scalar))

            f.loop(0, CELLS, 1, cell)

        chunks(f, self.size, self._most, chunk)

        f.loop(
            0,
            self.channels,
            1,
            lambda c, _: kernel_of(f, c, sums, f.arguments[2], (self.channels, self.out_channels), vector),
        )
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
                for number, value in enumerate(flat(both_ways(f, grid, of_gradient))):
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
                    return add_products(f, image, [r * lanes for r in range(rows)], ys, now)

                return f.loop(0, lanes, 1, example, now)

            zero = constant(0, vector)
            held = [zero if self._at_once else f.load(base, slot, vector) for slot in slots]
            held = f.loop(0, chunk.tiles, 1, place, held)
            for slot, value in zip(slots, held, strict=True):
                f.store(value, base, slot)

        blocks(f, self.channels, max(1, self.registers // wide), channels)


def kernel_of(
    f: Function, c: Int, sums: Value, result: Value, channels: tuple[int, int], vector: Type,
    whole: tuple[int, int] | None = None,
) -> None:  # fmt: skip
    """The gradient in the kernels ``(3, 3, C, O)`` of a channel of the image from sums of products ``(36, C, O)``.

    With ``whole`` the result has so many channels, and these are some of them.
    """
    ins, outs = channels
    all_ins, all_outs = whole or channels

    def part(o: Int, _: list[Value]) -> None:
        base = f.at(sums, f.dot([c, o], [outs, 1]), vector.scalar)
        out = f.at(result, f.dot([c, o], [all_outs, 1]), vector.scalar)
        cells = [f.load(base, number * plane(ins * outs, vector.scalar), vector) for number in range(CELLS)]
        found = both_ways(f, [cells[6 * i : 6 * i + 6] for i in range(6)], of_kernel_gradient)
        for tap, value in enumerate(flat(found)):
            f.store(value, out, tap * all_ins * all_outs)

    f.loop(0, outs, vector.lanes, part)


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
        return min(size) >= 12 and channels * out_channels <= 1 << 12
    few = max(size) <= 4 and channels * out_channels > 1 << 14
    return not few


def gradient_pays(size: Sequence[int], channels: int, out_channels: int) -> bool:
    """The same for the gradient in a kernel."""
    return pays(size, channels, out_channels, 1) and min(size) >= 7
