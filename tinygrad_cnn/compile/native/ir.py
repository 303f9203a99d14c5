"""Writing functions in LLVM's language: typed values, whole numbers that fold, counted loops.

What is built here is text, and stays readable: each line computes one value. No optimiser runs over it afterwards. LLVM
only chooses instructions and registers, so a loop is written the way the processor shall run it.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

SCALARS: dict[np.dtype, str] = {
    np.dtype(np.float32): "float",
    np.dtype(np.float64): "double",
    np.dtype(np.int64): "i64",
    np.dtype(np.int32): "i32",
    np.dtype(np.bool_): "i1",
}
"""The type of a single number, by NumPy's."""


# Tens of thousands of these are made for a network, and a tuple is made in a third of a dataclass's time.


class Type(NamedTuple):
    """The type of a value: one number, or several side by side."""

    scalar: str
    """LLVM's word for one number: ``float``, ``double``, ``i64``, ``i32``, ``i1``, ``ptr``."""
    lanes: int = 1

    @functools.cache  # noqa: B019 - there are few types
    def __str__(self) -> str:
        return self.scalar if self.lanes == 1 else f"<{self.lanes} x {self.scalar}>"

    @property
    def is_float(self) -> bool:
        """Whether these are floating-point numbers."""
        return self.scalar in ("float", "double")

    @property
    def suffix(self) -> str:
        """What LLVM appends to the names of functions for this type."""
        name = {"float": "f32", "double": "f64"}.get(self.scalar, self.scalar)
        return name if self.lanes == 1 else f"v{self.lanes}{name}"

    def of(self, scalar: str) -> Type:
        """As many numbers of another type."""
        return Type(scalar, self.lanes)


class Value(NamedTuple):
    """Something computed: its name in the text, or a constant."""

    text: str
    type: Type

    def __str__(self) -> str:
        return f"{self.type} {self.text}"


Int = int | Value
"""A whole number that is known now, or one that is known when the function runs."""
I64 = Type("i64")
PTR = Type("ptr")


def constant(number: float | bool, kind: Type) -> Value:
    """A number, the same in every lane."""
    if kind.scalar == "i1":
        one = "true" if number else "false"
    elif kind.scalar == "float":
        one = f"0x{struct.unpack('<Q', struct.pack('<d', float(np.float32(number))))[0]:016X}"
    elif kind.scalar == "double":
        one = f"0x{struct.unpack('<Q', struct.pack('<d', float(number)))[0]:016X}"
    else:
        one = str(int(number))
    return Value(one if kind.lanes == 1 else f"splat ({kind.scalar} {one})", kind)


class Function:
    """A function that is being written.

    Args:
        name: without the ``@``.
        arguments: their types; :attr:`arguments` are the values.
        exported: whether it can be found by name from outside of the module.
    """

    def __init__(self, name: str, arguments: Sequence[Type], exported: bool = False) -> None:
        self.name, self.exported = name, exported
        self.arguments = [Value(f"%p{index}", kind) for index, kind in enumerate(arguments)]
        self.lines: list[str] = []
        self.needs: set[str] = set()
        """Declarations of LLVM's own functions that are called."""
        self._rooms: list[str] = []
        self._count = 0
        self._block = "entry"
        self._written: dict[str, Value] = {}
        """What was computed since the last label, by its text."""
        self.estimates = False
        """Whether AVX-512's estimates of reciprocals may be used."""

    def text(self) -> str:
        """The whole function."""
        arguments = ", ".join(
            f"{each.type}{' noalias' if each.type == PTR else ''} {each.text}" for each in self.arguments
        )
        kind = "" if self.exported else "internal "
        head = f"define {kind}void @{self.name}({arguments}) #{0 if self.exported else 1} {{"
        return "\n".join([head, "entry:", *self._rooms, *self.lines, "  ret void", "}"])

    @property
    def declaration(self) -> str:
        """What another module says of it."""
        return f"declare void @{self.name}({', '.join(str(each.type) for each in self.arguments)})"

    # Lines

    def room(self, kind: Type, count: int) -> Value:
        """Memory for so many values, as long as the function runs."""
        self._count += 1
        self._rooms.append(f"  %r{self._count} = alloca {kind}, i64 {count}")
        return Value(f"%r{self._count}", PTR)

    def line(self, text: str) -> None:
        """An instruction without a result."""
        self.lines.append("  " + text)

    def value(self, text: str, kind: Type) -> Value:
        """An instruction with a result."""
        self._count += 1
        name = f"%v{self._count}"
        self.lines.append(f"  {name} = {text}")
        return Value(name, kind)

    def once(self, text: str, kind: Type) -> Value:
        """The same, where it depends on nothing but its operands: it is not written twice in a row."""
        if text not in self._written:
            self._written[text] = self.value(text, kind)
        return self._written[text]

    def call(self, name: str, kind: Type, *inputs: Value, flags: str = "") -> Value:
        """A call of one of LLVM's own functions, such as ``llvm.sqrt``, whose name gets the type's suffix."""
        declaration, words = _called(name, kind, tuple([each.type for each in inputs]), flags)
        self.needs.add(declaration)
        return self.value(f"{words}({', '.join([f'{each.type} {each.text}' for each in inputs])})", kind)

    def estimate(self, x: Value) -> Value:
        """``1 / x`` by one of AVX-512's instructions for 16 numbers: 14 bits of each are right."""
        name = "@llvm.x86.avx512.rcp14.ps.512"
        self.needs.add(f"declare {x.type} {name}({x.type}, {x.type}, i16)")
        return self.value(f"call {x.type} {name}({x}, {x.type} zeroinitializer, i16 -1)", x.type)

    def reduce(self, name: str, vector: Value, start: float | None = None, flags: str = "") -> Value:
        """All lanes of a vector as one number: ``name`` is ``fadd``, ``fmax``, ..."""
        if vector.type.lanes == 1:
            return vector
        kind = Type(vector.type.scalar)
        full = f"llvm.vector.reduce.{name}.{vector.type.suffix}"
        inputs = [vector] if start is None else [constant(start, kind), vector]
        self.needs.add(f"declare {kind} @{full}({', '.join(str(each.type) for each in inputs)})")
        return self.value(f"call {flags} {kind} @{full}({', '.join(map(str, inputs))})", kind)

    def run(self, name: str, *inputs: Value) -> None:
        """A call of another function of the module."""
        self.line(f"call void @{name}({', '.join(map(str, inputs))})")

    # Whole numbers

    def add(self, a: Int, b: Int) -> Int:
        """``a + b``."""
        if isinstance(a, int) and isinstance(b, int):
            return a + b
        if a == 0 or b == 0:
            return b if a == 0 else a
        return self.once(f"add nsw i64 {_word(a)}, {_word(b)}", I64)

    def mul(self, a: Int, b: Int) -> Int:
        """``a * b``."""
        if isinstance(a, int) and isinstance(b, int):
            return a * b
        if a in (0, 1) or b in (0, 1):
            return (b if a == 1 else 0) if a in (0, 1) else (a if b == 1 else 0)
        return self.once(f"mul nsw i64 {_word(a)}, {_word(b)}", I64)

    def smallest(self, a: Int, b: Int) -> Int:
        """The smaller of two whole numbers."""
        if isinstance(a, int) and isinstance(b, int):
            return min(a, b)
        self.needs.add("declare i64 @llvm.smin.i64(i64, i64)")
        return self.value(f"call i64 @llvm.smin.i64(i64 {_word(a)}, i64 {_word(b)})", I64)

    def dot(self, indices: Sequence[Int], strides: Sequence[Int], start: Int = 0) -> Int:
        """``start + indices[0] * strides[0] + ...``, the known part added up last, into one number."""
        known = 0
        total: Int = 0
        for index, stride in zip(indices, strides, strict=True):
            product = self.mul(index, stride)
            if isinstance(product, int):
                known += product
            else:
                total = self.add(total, product)
        if isinstance(start, int):
            return self.add(total, known + start)
        return self.add(self.add(start, total), known)

    # Memory

    def at(self, base: Value, offset: Int, scalar: str) -> Value:
        """The address so many numbers behind ``base``."""
        if offset == 0:
            return base
        return self.once(f"getelementptr inbounds {scalar}, {base}, i64 {_word(offset)}", PTR)

    def load(self, base: Value, offset: Int, kind: Type) -> Value:
        """Read numbers that lie side by side. Truth values take a byte each."""
        if kind.scalar == "i1":
            bits = self.load(base, offset, kind.of("i8"))
            return self.value(f"icmp ne {bits}, {constant(0, bits.type).text}", kind)
        place = self.at(base, offset, kind.scalar)
        return self.value(f"load {kind}, {place}, align {SIZES[kind.scalar]}", kind)

    def store(self, value: Value, base: Value, offset: Int) -> None:
        """Write numbers side by side."""
        if value.type.scalar == "i1":
            value = self.value(f"zext {value} to {value.type.of('i8')}", value.type.of("i8"))
        place = self.at(base, offset, value.type.scalar)
        self.line(f"store {value}, {place}, align {SIZES[value.type.scalar]}")

    def spread(self, number: Value, lanes: int) -> Value:
        """One number in every lane."""
        if lanes == 1:
            return number
        kind = Type(number.type.scalar, lanes)
        first = self.once(f"insertelement {kind} poison, {number}, i32 0", kind)
        return self.once(f"shufflevector {first}, {first}, <{lanes} x i32> zeroinitializer", kind)

    def shuffle(self, a: Value, b: Value, picks: Sequence[int]) -> Value:
        """Numbers picked from two vectors: from the second where the pick is at least the number of lanes."""
        mask = ", ".join(f"i32 {pick}" for pick in picks)
        return self.value(f"shufflevector {a}, {b}, <{len(picks)} x i32> <{mask}>", Type(a.type.scalar, len(picks)))

    # Arithmetic on numbers, in every lane

    def binary(self, word: str, a: Value, b: Value, flags: str = "") -> Value:
        """An instruction of two operands: ``fadd``, ``fmul``, ``add``, ``and``, ``shl``, ..."""
        return self.value(f"{word} {flags + ' ' if flags else ''}{a}, {b.text}", a.type)

    def compare(self, condition: str, a: Value, b: Value) -> Value:
        """A comparison: ``olt``, ``oeq``, ``une``, ... of floating-point numbers, ``slt``, ``eq``, ... of others."""
        word = "fcmp" if a.type.is_float else "icmp"
        return self.value(f"{word} {condition} {a}, {b.text}", a.type.of("i1"))

    def select(self, condition: Value, a: Value, b: Value) -> Value:
        """``a`` where the condition holds, else ``b``."""
        return self.value(f"select {condition}, {a}, {b}", a.type)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """``a * b + c``, rounded once where the processor can."""
        return self.call("llvm.fmuladd", a.type, a, b, c)

    def convert(self, word: str, a: Value, scalar: str) -> Value:
        """A conversion: ``bitcast``, ``fptosi``, ``sitofp``, ``fpext``, ``zext``, ..."""
        kind = a.type.of(scalar)
        return self.value(f"{word} {a} to {kind}", kind)

    # Control

    def loop(
        self,
        start: Int,
        stop: Int,
        step: int,
        body: Callable[[Int, list[Value]], Sequence[Value] | None],
        carried: Sequence[Value] = (),
    ) -> list[Value]:
        """Run ``body(index, carried)`` for each index; what it returns is carried to the next, and finally returned.

        With known bounds, a loop of one round is no loop. Bounds that are not known may leave nothing to do.
        """
        if isinstance(start, int) and isinstance(stop, int):
            if stop <= start:
                return list(carried)
            if start + step >= stop:
                return list(body(start, list(carried)) or [])
        self._count += 1
        name = self._count
        known = isinstance(start, int) and isinstance(stop, int)
        outside = self._block
        if not known:
            some = self.value(f"icmp slt i64 {_word(start)}, {_word(stop)}", Type("i1"))
            self.line(f"br {some}, label %before{name}, label %after{name}")
            self._begin(f"before{name}")
        before = self._block
        self.line(f"br label %loop{name}")
        self._begin(f"loop{name}")
        index = Value(f"%i{name}", I64)
        held = [Value(f"%c{name}.{number}", each.type) for number, each in enumerate(carried)]
        place = len(self.lines)
        following = list(body(index, held) or [])
        self.line(f"%n{name} = add nsw i64 {index.text}, {step}")
        self.line(f"%m{name} = icmp slt i64 %n{name}, {_word(stop)}")
        self.line(f"br i1 %m{name}, label %loop{name}, label %after{name}")
        end = self._block
        head = [f"  {index.text} = phi i64 [ {_word(start)}, %{before} ], [ %n{name}, %{end} ]"]
        for now, first, then in zip(held, carried, following, strict=True):
            head.append(f"  {now.text} = phi {now.type} [ {first.text}, %{before} ], [ {then.text}, %{end} ]")
        self.lines[place:place] = head
        self._begin(f"after{name}")
        if known or not carried:
            return following
        return [
            self.value(f"phi {first.type} [ {first.text}, %{outside} ], [ {then.text}, %{end} ]", first.type)
            for first, then in zip(carried, following, strict=True)
        ]

    def when(self, condition: Value, body: Callable[[], None]) -> None:
        """Run ``body`` if the condition, a single truth value, holds."""
        self._count += 1
        name = self._count
        self.line(f"br {condition}, label %then{name}, label %after{name}")
        self._begin(f"then{name}")
        body()
        self.line(f"br label %after{name}")
        self._begin(f"after{name}")

    def _begin(self, block: str) -> None:
        self.lines.append(f"{block}:")
        self._block = block
        self._written.clear()


SIZES = {"float": 4, "double": 8, "i64": 8, "i32": 4, "i8": 1, "i1": 1, "ptr": 8}
"""Bytes of one number in memory."""


@functools.cache
def _called(name: str, kind: Type, inputs: tuple[Type, ...], flags: str) -> tuple[str, str]:
    """The declaration of one of LLVM's own functions, and the beginning of a call."""
    full = f"{name}.{kind.suffix}"
    words = f"call {flags} {kind}" if flags else f"call {kind}"
    return f"declare {kind} @{full}({', '.join(map(str, inputs))})", f"{words} @{full}"


def _word(number: Int) -> str:
    return str(number) if isinstance(number, int) else number.text


def module(functions: Sequence[Function], width: int = 512, more: str = "", others: Sequence[Function] = ()) -> str:
    """The text of a module. ``width`` is the widest vector register to be used, in bits; ``others`` are elsewhere."""
    declarations = sorted(set().union(*[each.needs for each in functions])) + [each.declaration for each in others]
    common = f'nounwind "prefer-vector-width"="{width}" "min-legal-vector-width"="{width}"'
    attributes = [f"attributes #0 = {{ {common} }}", f"attributes #1 = {{ {common} noinline }}"]
    return (
        "\n\n".join(["\n".join(declarations), more, *[each.text() for each in functions], "\n".join(attributes)]) + "\n"
    )
