"""Kernels of 3x3, transformed for Winograd's convolutions."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from .gradients import nest, turn
from .ir import I64, PTR, Function, Int, Type, Value
from .tiles import both_ways, flat, of_kernel, plane


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
            for cell, value in enumerate(flat(cells)):
                some = f.shuffle(value, value, range(part, part + self.width))
                f.store(some, base, f.add(first, f.mul(cell, planes)))
