"""Dense layers, where the numbers of an example lie side by side: products of all examples with a large weight.

Each thread has some *rows* of the weight, for all examples. It is the thread that computes the gradient of these rows
and changes them, so nobody reads what another core has just written, except for what comes from the examples.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from .channels import divide
from .gradients import blocks
from .heads import LONG, places
from .ir import I64, PTR, Function, Int, Type, Value, constant
from .loops import Head, Operand, Tile, widths

MANY = 1 << 14
"""A weight is large from so many numbers on."""
PARTS = ((1 << 20, 8), (1 << 18, 4), (0, 2))
"""Into how many parts sums are cut, for weights of so many numbers and more: as many threads can have a part each."""


def parts_of(length: int, outs: int) -> int:
    """Into how many parts the sums over so many rows of a weight are cut: the same on every machine."""
    parts = next(parts for size, parts in PARTS if length * outs >= size)
    return max(1, min(parts, length // LONG))


@dataclass(frozen=True)
class Dense:
    """What both products have in common.

    Arguments of the function: examples, weight, result, which rounds or examples the thread has, and by how many
    numbers the examples and their results follow each other.
    """

    examples: int
    length: int
    """Of the sums."""
    outs: int
    """How many numbers an example gives."""
    input: Operand
    """Its stride is that of the numbers that are summed up."""
    offset: int
    """Where the weight begins."""
    row: int
    """How far one row of the weight lies behind the one before."""
    wide: int
    registers: int
    shared: bool
    """Whether each thread has some rows of the weight for all examples; else all of them for some examples."""
    parts: int = 1
    """Into how many an example's sums are cut."""

    @property
    def key(self) -> Hashable:
        """Functions of the same key are the same."""
        return self

    @property
    def rounds(self) -> int:
        """What can be shared."""
        raise NotImplementedError

    def write(self, name: str) -> Function:
        """The function."""
        f = Function(name, [PTR, PTR, PTR, I64, I64, I64, I64])
        low, high = f.arguments[3:5] if self.shared else (0, self.rounds)
        f.loop(low, high, 1, lambda number, _: self._round(f, number))
        return f

    def _examples(self, f: Function, most: int, body: Callable[[Int, int], None]) -> None:
        """Run ``body(first, how many)`` for tiles of the examples."""
        if self.shared:
            blocks(f, self.examples, most, body)
            return
        low, high = f.arguments[3:5]
        tiles, _ = divide(f, f.value(f"sub {high}, {low.text}", I64), most)
        whole = f.add(low, f.mul(tiles, most))
        f.loop(low, whole, most, lambda n, _: body(n, most))
        f.loop(whole, high, 1, lambda n, _: body(n, 1))

    def _at_once(self, columns: int) -> int:
        """How many examples a tile of so many columns has."""
        most = max(1, self.registers // columns)
        return most if self.shared else min(most, 4)

    def _round(self, f: Function, number: Int) -> None:
        raise NotImplementedError

    def _products(
        self, f: Function, ws: Sequence[Value], xs: Callable[[int], Value], sums: Sequence[Value]
    ) -> list[Value]:
        """One product more for each sum of a tile, whose rows are examples."""
        found: list[Value] = []
        for row in range(len(sums) // len(ws)):
            x = xs(row)
            found += [f.fma(x, w, sums[row * len(ws) + column]) for column, w in enumerate(ws)]
        return found


@dataclass(frozen=True)
class DenseByRows(Dense):
    """``x @ w``, where rows of ``w`` are multiplied with numbers and added up. The sums are cut into parts.

    The result is ``(part, N, O)``.
    """

    @property
    def rounds(self) -> int:
        return self.parts

    def _round(self, f: Function, number: Int) -> None:
        size = -(-self.length // self.parts)
        start = f.mul(number, size)
        stop = f.smallest(f.add(start, size), self.length)
        part = f.mul(number, self.examples * self.outs)
        x, w, out, _, _, step, apart = f.arguments
        for begin, end, width in widths(self.outs, self.wide):
            vector = Type(self.input.type.scalar, width)

            def columns(o: Int, count: int, begin: int = begin, vector: Type = vector) -> None:
                column = f.add(f.mul(o, vector.lanes), begin)
                first = f.add(column, self.offset)

                def tile(n: Int, examples: int) -> None:
                    at = f.add(f.mul(n, step), self.input.offset)

                    def row(k: Int, now: list[Value]) -> list[Value]:
                        right, left = f.dot([k], [self.row], first), f.dot([k], self.input.strides, at)

                        def number(r: int) -> Value:
                            return f.spread(f.load(x, f.add(left, f.mul(r, step)), Type(vector.scalar)), vector.lanes)

                        ws = [f.load(w, f.add(right, m * vector.lanes), vector) for m in range(count)]
                        return self._products(f, ws, number, now)

                    sums = f.loop(start, stop, 1, row, [constant(0, vector)] * (examples * count))
                    to = f.add(f.mul(n, apart), f.add(part, column))
                    for place, value in enumerate(sums):
                        r, m = divmod(place, count)
                        f.store(value, out, f.add(f.add(to, f.mul(r, apart)), m * vector.lanes))

                self._examples(f, self._at_once(count), tile)

            blocks(f, (end - begin) // width, 4, columns)


@dataclass(frozen=True)
class Joined(Head):
    """Sums that were cut into parts."""

    of: Operand
    parts: int
    apart: int
    """How far one part lies behind the one before."""

    @property
    def key(self) -> Hashable:
        return "joined", self.of, self.parts, self.apart

    def values(self, f: Function, index: Sequence[Int], tile: Tile) -> list[Value]:
        found = []
        kind = self.of.element(tile.lanes)
        for place in places(f, index, tile):
            at = self.of.at(f, place)
            total, *others = [
                f.load(f.arguments[self.of.pointer], f.add(at, part * self.apart), kind) for part in range(self.parts)
            ]
            for value in others:
                total = f.binary("fadd", total, value)
            found.append(total)
        return found


@dataclass(frozen=True)
class DenseByDots(Dense):
    """``x @ w.T``: each row of ``w`` gives a number, the sum of its products with an example's numbers."""

    @property
    def rounds(self) -> int:
        return -(-self.outs // self.columns)

    @property
    def columns(self) -> int:
        """Rows of the weight at once."""
        return min(4, self.outs)

    def _round(self, f: Function, number: Int) -> None:
        # The last tile begins earlier, so that it is whole: some numbers are computed twice.
        first = f.smallest(f.mul(number, self.columns), self.outs - self.columns)
        x, w, out, _, _, step, apart = f.arguments
        vector = Type(self.input.type.scalar, self.wide)
        whole = self.length // self.wide * self.wide
        start = f.dot([first], [self.row], self.offset)

        def tile(n: Int, size: int) -> None:
            at = f.add(f.mul(n, step), self.input.offset)

            def add(k: Int, now: list[Value], seen: int = 0) -> list[Value]:
                """Add products of vectors from ``k`` on, but for the lanes that were seen before."""
                mask = ", ".join(f"i1 {str(lane >= seen).lower()}" for lane in range(self.wide))

                def read(base: Value, place: Int) -> Value:
                    value = f.load(base, f.add(place, k), vector)
                    new = Value(f"<{mask}>", vector.of("i1"))
                    return f.select(new, value, constant(0, vector)) if seen else value

                ws = [read(w, f.add(start, m * self.row)) for m in range(self.columns)]
                return self._products(f, ws, lambda r: read(x, f.add(at, f.mul(r, step))), now)

            sums = f.loop(0, whole, self.wide, add, [constant(0, vector)] * (size * self.columns))
            if whole < self.length:  # the last vector begins earlier, so that it is whole
                last = self.length - self.wide
                sums = add(last, sums, whole - last)
            for place, value in enumerate(sums):
                r, m = divmod(place, self.columns)
                to = f.add(f.add(f.mul(n, apart), f.mul(r, apart)), f.add(first, m))
                f.store(f.reduce("fadd", value, -0.0, flags="reassoc"), out, to)

        self._examples(f, self._at_once(self.columns), tile)
