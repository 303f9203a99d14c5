"""Winograd's convolutions of all examples at once, where channels lie side by side: step by step, by all threads.

The transformed tiles of all examples lie in memory, one **plane** for each of the 36 places of a tile. So the kernels
are read once for all examples; :mod:`.winograd` reads them once for each chunk of an example. With many channels, and
few places, that is what counts. A gradient in the kernels is such products, too: of the image's planes with those of
the gradient that arrives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from .channels import divide
from .gradients import add_products, blocks, nest
from .ir import I64, PTR, Function, Int, Type, Value, constant
from .loops import Head, Loop, Operand, Tile, pieces
from .tiles import (
    CELLS,
    Chunk,
    both_ways,
    chunks,
    flat,
    of_gradient,
    of_image,
    of_kernel,
    plane,
    transform,
)
from .winograd import TileWriter, by_channels, kernel_of

CHUNK = 1200 * 1024
"""Bytes of transformed tiles that are multiplied with one panel after the other: they fit a second-level cache."""
DEPTH = 16
"""So many channels of the image have their kernels transformed at a time."""


def tiles_of(size: Sequence[int]) -> int:
    """How many tiles an image has."""
    return -(-size[0] // 4) * -(-size[1] // 4)


def in_panels(
    f: Function, size: Sequence[int], tiles: int, panel: int, row: Int, column: Int
) -> Callable[[Int, Int, Int], Int]:
    """Where a number of ``(C / panel, all tiles, panel)`` lies, for a tile of an example and a channel.

    The tile is given by its row and its column from the one on that begins at a ``row`` and a ``column`` of places.
    """
    across = -(-size[1] // 4)
    corner = f.dot([divide(f, row, 4)[0], divide(f, column, 4)[0]], [across, 1])

    def place(a: Int, b: Int, c: Int) -> Int:
        which, within = divide(f, c, panel)
        return f.dot([which, f.dot([a, b], [across, 1], corner), within], [tiles * panel, panel, 1])

    return place


@dataclass(frozen=True)
class Planes:
    """The tiles of one example, transformed: ``(36, C / panel, all tiles, panel)``.

    Arguments of the function: image, and the result from the example's first tile on.
    """

    size: tuple[int, int]
    channels: int
    panel: int
    image: Operand
    """Strides for rows and columns of places, and the channel."""
    backward: bool
    """Whether it is a gradient, of the result."""
    tiles: int
    """Of all examples."""
    wide: int

    @property
    def key(self) -> Hashable:
        """Functions of the same key are the same."""
        return self

    def write(self, name: str) -> Function:
        """The function."""
        f = Function(name, [PTR, PTR])
        scalar = self.image.type.scalar
        form = of_gradient if self.backward else of_image
        apart = plane(self.tiles * self.channels, scalar)

        def chunk(chunk: Chunk, row: Int, column: Int) -> None:
            place = in_panels(f, self.size, self.tiles, self.panel, row, column)

            def where(a: Int, b: Int, c: Int) -> Value:
                return f.at(f.arguments[1], place(a, b, c), scalar)

            transform(f, chunk, row, column, self.image, self.channels, form, self.wide, where, apart)

        chunks(f, self.size, tiles_of(self.size), chunk)
        return f


@dataclass(frozen=True)
class _Products:
    """What kernels have in common that multiply the tiles of all examples."""

    tiles: int
    channels: int
    out_channels: int
    scalar: str
    wide: int
    registers: int

    @property
    def key(self) -> Hashable:
        """Functions of the same key are the same."""
        return self


@dataclass(frozen=True)
class PlaneProducts(_Products):
    """The products of a convolution: ``(36, all tiles, C)`` with ``(36, O / wide, C, wide)`` is ``(36, all tiles, O)``.

    Arguments of the function: image, weights, result, and where the thread's share of the rounds begins and ends.
    """

    @property
    def _part(self) -> int:
        """How many channels of the result belong to a round."""
        return panel_of(self.out_channels, self.wide)

    @property
    def rounds(self) -> int:
        """What can be shared: parts of the 36 products."""
        return CELLS * (self.out_channels // self._part)

    def write(self, name: str) -> Function:
        """The function."""
        f = Function(name, [PTR, PTR, PTR, I64, I64])
        lengths = self.tiles, self.channels, self.out_channels
        sizes = [first * second for first, second in ((lengths[0], lengths[1]), lengths[1:], (lengths[0], lengths[2]))]

        def part(number: Int, _: list[Value]) -> None:
            cell, which = divide(f, number, self.out_channels // self._part)
            first = f.mul(which, self._part)
            places = [0, f.mul(first, self.channels), first]
            left, right, result = [
                f.at(base, f.add(f.mul(cell, plane(size, self.scalar)), place), self.scalar)
                for base, size, place in zip(f.arguments, sizes, places, strict=False)
            ]
            kind = Type(self.scalar, self.wide)
            by_channels(f, lengths, (left, right, result), kind, self.registers, self._part)

        f.loop(f.arguments[3], f.arguments[4], 1, part)
        return f


@dataclass(frozen=True)
class KernelProducts(_Products):
    """The same with kernels as they are, which are transformed on the way: transformed, large ones are too large.

    A part of the tiles, whose numbers stay in the second-level cache, is multiplied with one panel of the result's
    channels after the other; for it the kernels of :data:`DEPTH` channels of the image at a time are transformed, which
    stay near the processor, too. The numbers of the image lie in panels of so many channels, those of the result in
    panels like the kernels': image ``(36, C / DEPTH, all tiles, DEPTH)``, kernels ``(O / panel, 3, 3, C, panel)``,
    result ``(36, O / panel, all tiles, panel)``.

    Arguments of the function: image, kernels, result, memory for scratch, and where the thread's share of the rounds
    begins and ends.
    """

    panel: int
    turned: bool
    """Whether the kernels are read from the last cell to the first, as for the gradient in the image."""

    @property
    def _most(self) -> int:
        """How many tiles a part has at most."""
        return -(-self.tiles // -(-CELLS * self.tiles * self.channels * 4 // CHUNK))

    @property
    def _parts(self) -> int:
        """Into how many parts the tiles are cut."""
        return -(-self.tiles // self._most)

    @property
    def rounds(self) -> int:
        """What can be shared: for each part of the tiles the panels of the result."""
        return self._parts * (self.out_channels // self.panel)

    @property
    def scratch(self) -> int:
        """How many numbers of scratch memory it takes."""
        return CELLS * DEPTH * self.panel

    def write(self, name: str) -> Function:
        """The function."""
        f = Function(name, [PTR, PTR, PTR, PTR, I64, I64])
        image, kernels, result, scratch, low, high = f.arguments
        scalar, panel, channels = self.scalar, self.panel, self.channels

        def part(number: Int, _: list[Value]) -> None:
            which, at = divide(f, number, self.out_channels // panel)
            before = 0
            for start, stop, size in pieces(self.tiles, self._most):
                count = (stop - start) // size
                first = f.add(f.mul(f.add(which, -before), size), start)
                if count == self._parts:
                    tiles(first, size, at)
                else:
                    here = f.value(f"icmp {'uge' if before else 'ult'} {which}, {before or count}", Type("i1"))
                    f.when(here, lambda first=first, size=size: tiles(first, size, at))  # type: ignore[misc]
                before += count

        def tiles(first: Int, size: int, at: Int) -> None:
            left = f.at(image, f.mul(first, DEPTH), scalar)
            right = f.at(kernels, f.mul(at, 9 * channels * panel), scalar)
            out = f.at(result, f.dot([at, first], [self.tiles * panel, panel]), scalar)

            def some(c: Int, adds: bool) -> None:
                self._transform(f, f.at(right, f.mul(c, DEPTH * panel), scalar), scratch)
                x = f.at(left, f.mul(c, self.tiles * DEPTH), scalar)

                def cell(number: Int, _: list[Value]) -> None:
                    xs = f.at(x, f.mul(number, plane(self.tiles * channels, scalar)), scalar)
                    ws = f.at(scratch, f.mul(number, DEPTH * panel), scalar)
                    to = f.at(out, f.mul(number, plane(self.tiles * self.out_channels, scalar)), scalar)
                    most = max(1, self.registers * self.wide // panel)
                    blocks(f, size, most, lambda t, count: self._products(f, (xs, ws, to), t, count, adds))

                f.loop(0, CELLS, 1, cell)

            some(0, False)
            f.loop(1, channels // DEPTH, 1, lambda c, _: some(c, True))

        f.loop(low, high, 1, part)
        return f

    def _transform(self, f: Function, kernels: Value, scratch: Value) -> None:
        """The kernels of some channels of the image and a panel of the result's: ``(36, DEPTH, panel)``."""
        vector = Type(self.scalar, self.wide)

        def some(index: list[Int]) -> None:
            at = f.dot(index, [self.panel, self.wide])
            base, to = f.at(kernels, at, self.scalar), f.at(scratch, at, self.scalar)
            taps = [f.load(base, tap * self.channels * self.panel, vector) for tap in range(9)]
            if self.turned:
                taps.reverse()
            for cell, value in enumerate(flat(both_ways(f, [taps[:3], taps[3:6], taps[6:]], of_kernel))):
                f.store(value, to, cell * DEPTH * self.panel)

        nest(f, [DEPTH, self.panel // self.wide], some)

    def _products(self, f: Function, arrays: tuple[Value, Value, Value], t: Int, count: int, adds: bool) -> None:
        """Those of some tiles with some channels, at one of the 36 cells."""
        vector, columns = Type(self.scalar, self.wide), self.panel // self.wide
        image, kernels = f.at(arrays[0], f.mul(t, DEPTH), self.scalar), arrays[1]
        result = f.at(arrays[2], f.mul(t, self.panel), self.scalar)
        slots = [n * self.panel + m * self.wide for n in range(count) for m in range(columns)]
        sums = [f.load(result, slot, vector) if adds else constant(0, vector) for slot in slots]

        def channel(c: Int, now: list[Value]) -> list[Value]:
            row = f.at(kernels, f.mul(c, self.panel), self.scalar)
            weights = [f.load(row, m * self.wide, vector) for m in range(columns)]
            return add_products(f, image, [f.add(c, n * DEPTH) for n in range(count)], weights, now)

        for slot, value in zip(slots, f.loop(0, DEPTH, 1, channel, sums), strict=True):
            f.store(value, result, slot)


@dataclass(frozen=True)
class FromPlanes(Head):
    """The results of a convolution from its products ``(36, O / panel, all tiles, panel)``, tile by tile."""

    products: Operand
    """Its strides do not matter; it begins with the example's first tile."""
    tiles: int
    """Of all examples."""
    panel: int

    @property
    def key(self) -> Hashable:
        return "from planes", self.products, self.tiles, self.panel

    def values(self, f: Function, index: Sequence[Int], tile: Tile) -> list[Value]:
        raise NotImplementedError("tiles are written by the loop")

    def write(self, loop: Loop, name: str) -> Function:
        return _Writer(loop, name, self).in_chunks(tiles_of(loop.space))


class _Writer(TileWriter):
    """Reads the products of a convolution and transforms them back."""

    def __init__(self, loop: Loop, name: str, head: FromPlanes) -> None:
        super().__init__(loop, name, head.products)
        self.head = head

    def chunk(self, chunk: Chunk, row: Int, column: Int) -> None:
        head = self.head
        place = in_panels(self.f, (self.height, self.width), head.tiles, head.panel, row, column)
        base, scalar = self.f.arguments[head.products.pointer], self.kind.scalar
        apart = plane(head.tiles * self.outs, scalar)
        self.results(chunk, row, column, lambda a, b, c: self.f.at(base, place(a, b, c), scalar), apart)


@dataclass(frozen=True)
class _OfPlanes(_Products):
    """What gradients in kernels have in common: products of the image's planes with the gradient's, each in panels."""

    @property
    def panels(self) -> tuple[int, int]:
        """How many channels of the image and of the result there are in a panel."""
        return panel_of(self.channels, self.wide), panel_of(self.out_channels, self.wide)

    def panel(self, f: Function, which: int, cell: Int, number: Int) -> Value:
        """Where a panel of the image's planes (argument 0), or of the gradient's (argument 1), begins."""
        count = (self.channels, self.out_channels)[which]
        at = f.dot([cell, number], [plane(self.tiles * count, self.scalar), self.tiles * self.panels[which]])
        return f.at(f.arguments[which], at, self.scalar)

    def add_up(self, f: Function, arrays: tuple[Value, Value, Value], apart: int) -> None:
        """The sums over all tiles for two panels. Rows of the third array lie ``apart``."""
        image, grad, result = arrays
        ins, outs = self.panels
        vector, columns = Type(self.scalar, self.wide), outs // self.wide

        def sums(c: Int, rows: int) -> None:
            left = f.at(image, c, self.scalar)

            def tile(t: Int, now: list[Value]) -> list[Value]:
                x, y = f.at(left, f.mul(t, ins), self.scalar), f.at(grad, f.mul(t, outs), self.scalar)
                ys = [f.load(y, m * self.wide, vector) for m in range(columns)]
                return add_products(f, x, range(rows), ys, now)

            for place, value in enumerate(f.loop(0, self.tiles, 1, tile, [constant(0, vector)] * (rows * columns))):
                row, m = divmod(place, columns)
                f.store(value, result, f.add(f.mul(f.add(c, row), apart), m * self.wide))

        blocks(f, ins, max(1, self.registers // columns), sums)


@dataclass(frozen=True)
class PlaneGradient(_OfPlanes):
    """The products of a gradient in kernels: ``(36, C, O)``, sums over all tiles.

    Arguments of the function: the image's planes, the gradient's, the result, and where the thread's share of the
    rounds begins and ends.
    """

    @property
    def rounds(self) -> int:
        """What can be shared: for each of the 36 places the panels of the image."""
        return CELLS * (self.channels // self.panels[0])

    def write(self, name: str) -> Function:
        """The function."""
        f = Function(name, [PTR, PTR, PTR, I64, I64])
        ins, outs = self.panels
        count = self.channels * self.out_channels

        def part(number: Int, _: list[Value]) -> None:
            cell, which = divide(f, number, self.channels // ins)
            image = self.panel(f, 0, cell, which)
            first = f.dot([cell, which], [plane(count, self.scalar), ins * self.out_channels])

            def panel(number: Int, _: list[Value]) -> None:
                result = f.at(f.arguments[2], f.add(first, f.mul(number, outs)), self.scalar)
                self.add_up(f, (image, self.panel(f, 1, cell, number), result), self.out_channels)

            f.loop(0, self.out_channels // outs, 1, panel)

        f.loop(f.arguments[3], f.arguments[4], 1, part)
        return f


@dataclass(frozen=True)
class PanelGradient(_OfPlanes):
    """The gradient in large kernels ``(3, 3, C, O)``: panel by panel, so that no memory holds all its products.

    Arguments of the function: the image's planes, the gradient's, the result, memory for scratch, and where the
    thread's share of the rounds begins and ends.
    """

    @property
    def rounds(self) -> int:
        """What can be shared: pairs of panels."""
        return self.channels // self.panels[0] * (self.out_channels // self.panels[1])

    @property
    def scratch(self) -> int:
        """How many numbers of scratch memory it takes."""
        return CELLS * plane(math.prod(self.panels), self.scalar)

    def write(self, name: str) -> Function:
        """The function."""
        f = Function(name, [PTR, PTR, PTR, PTR, I64, I64])
        ins, outs = self.panels
        scratch, channels = f.arguments[3], (self.channels, self.out_channels)

        def part(number: Int, _: list[Value]) -> None:
            left, right = divide(f, number, self.out_channels // outs)

            def cell(number: Int, _: list[Value]) -> None:
                sums = f.at(scratch, f.mul(number, plane(ins * outs, self.scalar)), self.scalar)
                self.add_up(f, (self.panel(f, 0, number, left), self.panel(f, 1, number, right), sums), outs)

            f.loop(0, CELLS, 1, cell)
            at = f.dot([left, right], [ins * self.out_channels, outs])
            result, vector = f.at(f.arguments[2], at, self.scalar), Type(self.scalar, self.wide)
            f.loop(0, ins, 1, lambda c, _: kernel_of(f, c, scratch, result, (ins, outs), vector, channels))

        f.loop(f.arguments[4], f.arguments[5], 1, part)
        return f


@dataclass(frozen=True)
class FromPlaneGradient:
    """The gradient in kernels ``(3, 3, C, O)`` from its products.

    Arguments of the function: products, result, and where the thread's share of the channels of the image begins and
    ends.
    """

    channels: int
    out_channels: int
    scalar: str
    wide: int

    @property
    def key(self) -> Hashable:
        """Functions of the same key are the same."""
        return self

    @property
    def rounds(self) -> int:
        """What can be shared: channels of the image."""
        return self.channels

    def write(self, name: str) -> Function:
        """The function."""
        f = Function(name, [PTR, PTR, I64, I64])
        sums, result, low, high = f.arguments
        channels, vector = (self.channels, self.out_channels), Type(self.scalar, self.wide)
        f.loop(low, high, 1, lambda c, _: kernel_of(f, c, sums, result, channels, vector))
        return f


def panel_of(channels: int, wide: int) -> int:
    """How many channels lie side by side in a panel: so many as a kernel takes at once."""
    vectors = channels // wide
    return wide * next(each for each in (4, 3, 2, 1) if vectors % each == 0)


# When they are taken


def are_large(channels: int, out_channels: int) -> bool:
    """Whether kernels are transformed on the way."""
    return channels * out_channels > 1 << 14


def suit(size: Sequence[int], channels: int, out_channels: int) -> bool:
    """Whether all examples should be computed at once, rather than chunk by chunk; from measurements."""
    return min(channels, out_channels) >= 32 and (min(size) < 12 or channels * out_channels > 1 << 12)


def pay(size: Sequence[int], channels: int, out_channels: int, examples: int) -> bool:
    """Whether Winograd's convolution should take less time than a direct one; from measurements.

    For a pair of channels these take the time of so many multiply-adds of a direct one.
    """
    around = 480 if are_large(channels, out_channels) else 100
    return around + 47 * examples * tiles_of(size) < 9 * examples * math.prod(size)


def gradient_pays(size: Sequence[int], channels: int, out_channels: int, examples: int) -> bool:
    """The same for the gradient in the kernels."""
    around = 600 if are_large(channels, out_channels) else 150
    return around + 50 * examples * tiles_of(size) < 9 * examples * math.prod(size)
