"""Gradients in kernels and weights: sums of products over the examples, which lie in the lanes.

There are two ways. *By lanes*: products of vectors are added up, and the lanes in the end; it suits few weights, and
any number of channels. *By turning*: the gradient that arrives is turned, so that its channels lie in the lanes; then
one number of the image at a time is multiplied with a whole vector of them. It needs no sums over lanes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from .ir import I64, PTR, Function, Int, Type, Value, constant
from .loops import Operand, pieces

MOST_BY_LANES = 1 << 18
"""Bytes of vectors that sums by lanes may take: about a quarter of a core's second-level cache."""


def turn(f: Function, rows: Sequence[Value]) -> list[Value]:
    """As many vectors as they have lanes, turned as a matrix: lane ``i`` of row ``j`` and lane ``j`` of row ``i``."""
    count = len(rows)
    now = list(rows)
    half = count // 2
    while half:
        then = list(now)
        for row in range(count):
            if not row & half:
                a, b = now[row], now[row | half]
                low = [lane if not lane & half else count + (lane ^ half) for lane in range(count)]
                high = [lane | half if not lane & half else count + lane for lane in range(count)]
                then[row], then[row | half] = f.shuffle(a, b, low), f.shuffle(a, b, high)
        now = then
        half //= 2
    return now


def nest(f: Function, lengths: Sequence[int], body: Callable[[list[Int]], None]) -> None:
    """Run ``body`` for all places of some axes."""

    def inside(index: list[Int]) -> None:
        if len(index) == len(lengths):
            body(index)
        else:
            f.loop(0, lengths[len(index)], 1, lambda number, _: inside([*index, number]))

    inside([])


def blocks(f: Function, length: int, most: int, body: Callable[[Int, int], None]) -> None:
    """Run ``body(start, how many)`` for an axis in tiles."""
    for start, stop, size in pieces(length, most):
        f.loop(start, stop, size, lambda index, _, size=size: body(index, size))  # type: ignore[misc]


def add_products(
    f: Function, base: Value, places: Sequence[Int], vectors: Sequence[Value], sums: Sequence[Value]
) -> list[Value]:
    """The sums with the products of each number, which lie at some places, and each vector added; by numbers."""
    found = []
    for row, place in enumerate(places):
        vector = vectors[0].type
        number = f.spread(f.load(base, place, Type(vector.scalar)), vector.lanes)
        found += [f.fma(number, each, sums[row * len(vectors) + m]) for m, each in enumerate(vectors)]
    return found


@dataclass(frozen=True)
class OfKernel:
    """What gradients in a convolution's kernel ``(*K, C, O)`` have in common."""

    kernel: tuple[int, ...]
    places: tuple[int, ...]
    groups: int
    channels: int
    """Of the image, in one group."""
    out_channels: int
    """In one group."""
    image: Operand
    """Strides for the axes of the places, then those of the kernel, then the channel."""
    grad: Operand
    """Strides for the axes of the places, then the channel."""

    @property
    def key(self) -> Hashable:
        """Gradients of the same key are the same function."""
        return self

    @property
    def weights(self) -> int:
        """How many numbers the kernel has."""
        return math.prod(self.kernel) * self.channels * self.groups * self.out_channels


@dataclass(frozen=True)
class KernelGradient(OfKernel):
    """The gradient in a convolution's kernel, of the examples of one block.

    Arguments of the function: image, gradient, result, memory for scratch, and where lanes are left out, which count.
    """

    lanes: int
    masked: bool
    registers: int
    """How many sums are held in registers."""

    @property
    def by_lanes(self) -> bool:
        """Which of the two ways is taken."""
        fits = self.out_channels % self.lanes == 0 and self.groups == 1 and self.grad.strides[-1] == 1
        return not fits or self.weights * self.lanes * self.image.type_size <= MOST_BY_LANES

    @property
    def scratch(self) -> int:
        """How many numbers of scratch memory it takes."""
        if self.by_lanes:
            return self.weights * self.lanes
        return self.places[-1] * self.out_channels * self.lanes

    def write(self, name: str) -> Function:
        """The function."""
        f = Function(name, [PTR] * (4 + self.masked))
        if self.by_lanes:
            self._by_lanes(f)
        else:
            self._by_turning(f)
        return f

    def _by_lanes(self, f: Function) -> None:
        image, grad, out, scratch = f.arguments[:4]
        vector, axes, lanes = Type(self.image.type.scalar, self.lanes), len(self.places), self.lanes
        step, between = self.grad.strides[axes - 1], self.grad.strides[-1]
        zero = constant(0, vector)
        f.loop(0, self.weights, 1, lambda number, _: f.store(zero, scratch, f.mul(number, lanes)))

        def place(index: list[Int]) -> None:
            start = f.dot(index, self.grad.strides[: axes - 1], self.grad.offset)

            def products(tile: _Tile, w: Int, now: list[Value]) -> list[Value]:
                x = tile.image(w)
                y = f.dot([w, tile.group, tile.out], [step, self.out_channels * between, between], start)
                xs = [f.load(image, f.mul(f.add(x, r * tile.apart), lanes), vector) for r in range(tile.rows)]
                ys = [f.load(grad, f.mul(f.add(y, m * between), lanes), vector) for m in range(tile.columns)]
                return [f.fma(x, y, now[r * tile.columns + m]) for r, x in enumerate(xs) for m, y in enumerate(ys)]

            columns = 4 if self.out_channels % 4 == 0 else min(self.out_channels, 6)
            self._along_row(f, index, columns, 1, (scratch, lanes), products)

        nest(f, self.places[:-1], place)
        self._add_lanes(f, scratch, out, vector)

    def _along_row(
        self, f: Function, index: list[Int], columns: int, width: int, sums: tuple[Value, int],
        products: Callable[[_Tile, Int, list[Value]], list[Value]],
    ) -> None:  # fmt: skip
        """Add the products of one row of places to all sums, a tile of sums at a time, which is in registers meanwhile.

        Args:
            f: what is written.
            index: which row.
            columns: how many values of ``width`` channels of the result each a tile has.
            width: see there.
            sums: where they lie, and how many numbers apart.
            products: adds those of one place to the sums of a tile.
        """
        base, apart = sums
        axes, total = len(self.places), self.out_channels * self.groups
        vector = Type(self.image.type.scalar, self.lanes)
        wide = self.channels > 1  # several channels, or several cells of the kernel, at once
        rows = max(1, self.registers // columns)

        def cell(where: list[Int]) -> None:
            group, *cells = where

            def tile(first: Int, size: int) -> None:
                inside = list(cells) if wide else [*cells[:-1], first]
                channel: Int = first if wide else 0
                place = [*index, *inside, f.add(f.mul(group, self.channels), channel)]
                at = f.dot(place, [*self.image.strides[: axes - 1], *self.image.strides[axes:]], self.image.offset)
                weight = f.add(self._weight(f, inside, channel), f.mul(group, self.out_channels))

                def part(number: Int, count: int) -> None:
                    out = f.mul(number, width)
                    between = total if wide else self.channels * total
                    first = f.add(weight, out)
                    slots = [
                        f.mul(f.add(first, r * between + m * width), apart) for r in range(size) for m in range(count)
                    ]
                    stride = self.image.strides[-1] if wide else self.image.strides[axes + len(self.kernel) - 1]
                    one = _Tile(
                        group, out, size, count, stride, lambda w: f.add(at, f.mul(w, self.image.strides[axes - 1]))
                    )
                    held = [f.load(base, slot, vector) for slot in slots]
                    held = f.loop(0, self.places[-1], 1, lambda w, now: products(one, w, now), held)
                    for slot, value in zip(slots, held, strict=True):
                        f.store(value, base, slot)

                blocks(f, self.out_channels // width, columns, part)

            blocks(f, self.channels if wide else self.kernel[-1], rows, tile)

        nest(f, [self.groups, *(self.kernel if wide else [*self.kernel[:-1], 1])], cell)

    def _weight(self, f: Function, cells: Sequence[Int], channel: Int) -> Int:
        """The number of the weight of a cell and a channel, and the first channel of the result."""
        total = self.out_channels * self.groups
        strides = [total * self.channels * math.prod(self.kernel[axis + 1 :]) for axis in range(len(self.kernel))]
        return f.dot([*cells, channel], [*strides, total])

    def _add_lanes(self, f: Function, scratch: Value, out: Value, vector: Type) -> None:
        """The sums over the lanes: of as many vectors at once as there are lanes."""

        def several(first: Int, count: int) -> None:
            rows = [f.load(scratch, f.mul(f.add(first, row), self.lanes), vector) for row in range(count)]
            if self.masked:
                here = f.load(f.arguments[4], 0, vector.of("i1"))
                rows = [f.select(here, row, constant(0, vector)) for row in rows]
            if count == self.lanes:
                turned = turn(f, rows)
                while len(turned) > 1:
                    turned = [f.binary("fadd", a, b) for a, b in zip(turned[::2], turned[1::2], strict=True)]
                f.store(turned[0], out, first)
                return
            for row, value in enumerate(rows):
                f.store(f.reduce("fadd", value, -0.0, flags="reassoc"), out, f.add(first, row))

        whole = self.weights // self.lanes * self.lanes
        f.loop(0, whole, self.lanes, lambda first, _: several(first, self.lanes))
        f.loop(whole, self.weights, 1, lambda first, _: several(first, 1))

    def _by_turning(self, f: Function) -> None:
        image, grad, out, scratch = f.arguments[:4]
        vector = Type(self.image.type.scalar, self.lanes)
        axes, lanes, outs = len(self.places), self.lanes, self.out_channels
        f.loop(0, self.weights, lanes, lambda at, _: f.store(constant(0, vector), out, at))

        def place(index: list[Int]) -> None:
            start = f.dot(index, self.grad.strides[: axes - 1], self.grad.offset)

            def turned(where: list[Int]) -> None:
                w, part = where
                at = f.dot([w, part], [self.grad.strides[axes - 1], lanes], start)
                vectors = [f.load(grad, f.mul(f.add(at, lane), lanes), vector) for lane in range(lanes)]
                if self.masked:
                    here = f.load(f.arguments[4], 0, vector.of("i1"))
                    vectors = [f.select(here, each, constant(0, vector)) for each in vectors]
                for lane, each in enumerate(turn(f, vectors)):
                    f.store(each, scratch, f.dot([w, part], [lanes * outs, lanes], lane * outs))

            nest(f, [self.places[-1], outs // lanes], turned)

            def products(tile: _Tile, w: Int, now: list[Value]) -> list[Value]:
                x = f.mul(tile.image(w), lanes)

                def example(n: Int, now: list[Value]) -> list[Value]:
                    at = f.dot([w, n], [lanes * outs, outs], tile.out)
                    ys = [f.load(scratch, f.add(at, m * lanes), vector) for m in range(tile.columns)]
                    places = [f.add(f.add(x, n), r * tile.apart * lanes) for r in range(tile.rows)]
                    return add_products(f, image, places, ys, now)

                return f.loop(0, lanes, 1, example, now)

            self._along_row(f, index, min(4, outs // lanes), lanes, (out, 1), products)

        nest(f, self.places[:-1], place)


@dataclass(frozen=True)
class _Tile:
    """Sums for some numbers of the image and some channels of the result."""

    group: Int
    out: Int
    """The first channel of the result."""
    rows: int
    columns: int
    apart: int
    """How far the numbers of the image lie apart."""
    image: Callable[[Int], Int]
    """Where they lie, for each place of the row."""


@dataclass(frozen=True)
class Turn:
    """The gradient of a dense layer's output for one block, turned: ``(lane, O)``, O filled up to whole vectors.

    Arguments of the function: gradient, result, and where lanes are left out, which count.
    """

    outs: int
    grad: Operand
    """Its stride is that of the channel."""
    lanes: int
    masked: bool

    @property
    def key(self) -> Hashable:
        """Functions of the same key are the same."""
        return self

    @property
    def width(self) -> int:
        """The length of a row."""
        return -(-self.outs // self.lanes) * self.lanes

    def write(self, name: str) -> Function:
        """The function."""
        f = Function(name, [PTR] * (2 + self.masked))
        vector = Type(self.grad.type.scalar, self.lanes)
        zero = constant(0, vector)

        def part(first: Int, count: int) -> None:
            rows = []
            for row in range(self.lanes):
                at = f.mul(f.dot([f.add(first, row)], self.grad.strides, self.grad.offset), self.lanes)
                rows.append(f.load(f.arguments[0], at, vector) if row < count else zero)
            if self.masked:
                here = f.load(f.arguments[2], 0, vector.of("i1"))
                rows = [f.select(here, row, zero) if row is not zero else row for row in rows]
            for lane, turned in enumerate(turn(f, rows)):
                f.store(turned, f.arguments[1], f.add(first, lane * self.width))

        whole = self.outs // self.lanes * self.lanes
        f.loop(0, whole, self.lanes, lambda first, _: part(first, self.lanes))
        if whole < self.outs:
            part(whole, self.outs - whole)
        return f


@dataclass(frozen=True)
class WeightGradient:
    """The gradient in the weight of a dense layer: ``(I, O)``, the sum over all examples.

    Arguments of the function: input, turned gradient, result, where the rows of the result begin and end (in tiles),
    and by how many numbers the blocks of the input and of the turned gradient follow each other.
    """

    ins: int
    outs: int
    input: Operand
    """Its stride is that of the channel."""
    lanes: int
    blocks: int
    registers: int

    @property
    def key(self) -> Hashable:
        """Functions of the same key are the same."""
        return self

    @property
    def width(self) -> int:
        """The length of a row of the turned gradient."""
        return -(-self.outs // self.lanes) * self.lanes

    @property
    def columns(self) -> int:
        """Vectors of the result's row at once."""
        return min(4, self.width // self.lanes)

    @property
    def rows(self) -> int:
        """Rows of the result at once."""
        return min(self.ins, max(1, self.registers // self.columns))

    @property
    def rounds(self) -> int:
        """How many tiles of rows there are."""
        return -(-self.ins // self.rows)

    def write(self, name: str) -> Function:
        """The function."""
        f = Function(name, [PTR, PTR, PTR, I64, I64, I64, I64])
        source, grad, out, low, high, source_step, grad_step = f.arguments
        vector = Type(self.input.type.scalar, self.lanes)

        def tile(place: Int, _: list[Value]) -> None:
            # The last tile begins earlier, so that it is whole: some rows are computed twice.
            first = f.smallest(f.mul(place, self.rows), self.ins - self.rows)
            for start, stop, count in pieces(self.width // self.lanes, self.columns):
                f.loop(start, stop, count, lambda o, _, count=count: part(first, f.mul(o, self.lanes), count))  # type: ignore[misc]

        def part(first: Int, o: Int, count: int) -> None:
            zeros = [constant(0, vector)] * (self.rows * count)
            start = f.mul(f.dot([first], self.input.strides, self.input.offset), self.lanes)

            def block(number_of: Int, now: list[Value]) -> list[Value]:
                xs = f.add(start, f.mul(number_of, source_step))
                ys = f.add(o, f.mul(number_of, grad_step))

                def example(n: Int, now: list[Value]) -> list[Value]:
                    at = f.add(ys, f.mul(n, self.width))
                    right = [f.load(grad, f.add(at, m * self.lanes), vector) for m in range(count)]
                    apart = self.input.strides[0] * self.lanes
                    return add_products(
                        f, source, [f.add(f.add(xs, n), r * apart) for r in range(self.rows)], right, now
                    )

                return f.loop(0, self.lanes, 1, example, now)

            sums = f.loop(0, self.blocks, 1, block, zeros)
            for r in range(self.rows):
                for m in range(count):
                    at = f.add(f.mul(f.add(first, r), self.outs), f.add(o, m * self.lanes))
                    store_inside(f, sums[r * count + m], out, at, o, m * self.lanes, self.outs)

        f.loop(low, high, 1, tile)
        return f


def store_inside(f: Function, value: Value, base: Value, at: Int, first: Int, more: int, length: int) -> None:
    """Store a vector, but not the lanes that lie behind the end of a row."""
    lanes = value.type.lanes
    if length % lanes == 0:
        f.store(value, base, at)
        return
    whole = length // lanes * lanes
    left = [lane < length - whole for lane in range(lanes)]

    def some() -> None:
        mask = "<" + ", ".join(f"i1 {str(each).lower()}" for each in left) + ">"
        f.needs.add(f"declare void @llvm.masked.store.{value.type.suffix}.p0({value.type}, ptr, i32, <{lanes} x i1>)")
        place = f.at(base, at, value.type.scalar)
        f.line(f"call void @llvm.masked.store.{value.type.suffix}.p0({value}, {place}, i32 4, <{lanes} x i1> {mask})")

    column = f.add(first, more)
    if isinstance(column, int):
        if column < whole:
            f.store(value, base, at)
        else:
            some()
        return
    inside = f.value(f"icmp slt i64 {column.text}, {whole}", Type("i1"))
    f.when(inside, lambda: f.store(value, base, at))
    f.when(f.value(f"xor i1 {inside.text}, true", Type("i1")), some)
