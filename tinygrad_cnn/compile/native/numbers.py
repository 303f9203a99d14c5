"""Element-wise operations on the numbers of a vector.

The functions of float32 are our own: the argument is brought into a small interval, a polynomial is computed there, and
the result is scaled. There are no branches and no tables, so every lane takes the same steps. They are correct to 2
units in the last place, and exact at zeros and infinities; NaN stays NaN. Results that are too small for a normal
number may become 0. The polynomials are the best ones for their intervals (found with Remez's algorithm), after the
forms in W. J. Cody and W. Waite, "Software Manual for the Elementary Functions" (1980).

The functions of float64 are those of the C library, one lane after the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ...ops.base import Operation
from ...ops.elementwise import (
    Abs,
    Add,
    Cast,
    Clip,
    Detach,
    Div,
    Eq,
    Erf,
    Exp,
    Expm1,
    Ge,
    Gt,
    Le,
    LeakyRelu,
    Log,
    LogicalNot,
    Lt,
    Masked,
    Maximum,
    Minimum,
    Mul,
    Ne,
    Neg,
    Pow,
    Relu,
    Sigmoid,
    Sign,
    Softplus,
    Sqrt,
    Square,
    Sub,
    Tanh,
    Where,
)  # fmt: skip
from ...ops.random import Dropout
from ..fuse import Copy
from .ir import SCALARS, Function, Type, Value, constant

INF, NAN = math.inf, math.nan
LOG2_E = math.log2(math.e)
LN2_HIGH, LN2_LOW = 0.693359375, -2.12194440e-4
"""``ln 2`` in two parts. The first has few digits: its product with an exponent is exact."""
ROUND32, ROUND64 = 1.5 * 2.0**23, 1.5 * 2.0**52
"""Added to a number, this leaves it no room for digits behind the point: it is rounded, and in the last bits."""

# Polynomials, highest power first.
EXP = (0.00138123101, 0.00836982299, 0.041668497, 0.166665107, 0.49999994)
"""``(exp(r) - 1 - r) / r^2`` for ``|r| <= ln(2) / 2``, relative to ``exp(r)``."""
EXPM1 = (0.000199164599, 0.0013942644, 0.00833326951, 0.0416663364, 0.166666672, 0.5)
"""The same, relative to ``exp(r) - 1``."""
TANH = (-0.00619872892, 0.0210205577, -0.0538405217, 0.133324802, -0.333333135)
"""``(tanh(x) / x - 1) / x^2`` as a function of ``x^2``, for ``x`` from 0 to 0.55."""
LOG1P = (
    -0.0786625445, 0.128908798, -0.131304801, 0.14180015, -0.166242778, 0.200023308, -0.250008196, 0.333333164,
)  # fmt: skip
"""``(log(1 + r) - r + r^2 / 2) / r^3`` for ``1 + r`` from ``sqrt(1/2)`` to ``sqrt(2)``."""
ERF = (
    7.18802112e-05, -0.0007805801, 0.00516486447, -0.026841443, 0.112832919, -0.376125991, 0.128379166,
)  # fmt: skip
"""``erf(x) / x - 1`` as a function of ``x^2``, for ``x`` from 0 to 1.1."""
ERFC = (
    -0.000175603825, 0.000106886626, 0.0027549204, -0.00650323648, -0.012326831, 0.0936299711, -0.190061271,
    0.142032787,
)  # fmt: skip
"""The fourth root of ``1 - erf(x)`` as a function of ``x - 2.5``, for ``x`` from 1.1 to 4."""
LOG2 = (0.340730454337809, 0.41167270107786064, 0.5770835852478503, 0.9617966733404099, 2.8853900817900873)
"""``log2((1 + s) / (1 - s)) / s`` as a function of ``s^2``."""
EXP2 = (
    0.000153457810317374, 0.001339995745821954, 0.009618489273115819, 0.05550328712348151, 0.2402264688584499,
    0.6931472057669829, 1.0000000005551068,
)  # fmt: skip
"""``2^r`` for ``|r| <= 1/2``."""


class Number:
    """A value that formulas can be written with: each operator writes the instruction that computes it."""

    def __init__(self, f: Function, value: Value) -> None:
        self.f, self.value = f, value
        self.type = value.type

    def of(self, other: Number | float) -> Number:
        """A number of this one's type."""
        return other if isinstance(other, Number) else Number(self.f, constant(other, self.type))

    def word(self, word: str, other: Number | float) -> Number:
        """An instruction of two operands."""
        return Number(self.f, self.f.binary(word, self.value, self.of(other).value))

    def __add__(self, other: Number | float) -> Number:
        return self.word("fadd" if self.type.is_float else "add", other)

    def __sub__(self, other: Number | float) -> Number:
        return self.word("fsub" if self.type.is_float else "sub", other)

    def __mul__(self, other: Number | float) -> Number:
        return self.word("fmul" if self.type.is_float else "mul", other)

    def __truediv__(self, other: Number | float) -> Number:
        return self.word("fdiv", other)

    def __and__(self, other: Number | float) -> Number:
        return self.word("and", other)

    def __or__(self, other: Number | float) -> Number:
        return self.word("or", other)

    def __xor__(self, other: Number | float) -> Number:
        return self.word("xor", other)

    def __neg__(self) -> Number:
        if not self.type.is_float:
            return self.of(0) - self
        return Number(self.f, self.f.value(f"fneg {self.value}", self.type))

    def __abs__(self) -> Number:
        return self.call("llvm.fabs")

    def call(self, name: str, *others: Number) -> Number:
        """One of LLVM's own functions."""
        return Number(self.f, self.f.call(name, self.type, self.value, *[each.value for each in others]))

    def fma(self, factor: Number | float, summand: Number | float) -> Number:
        """``self * factor + summand``."""
        return Number(self.f, self.f.fma(self.value, self.of(factor).value, self.of(summand).value))

    def compare(self, condition: str, other: Number | float) -> Number:
        """A comparison, by LLVM's word for it."""
        return Number(self.f, self.f.compare(condition, self.value, self.of(other).value))

    def choose(self, a: Number, b: Number | float) -> Number:
        """``a`` where this truth value holds, else ``b``."""
        return Number(self.f, self.f.select(self.value, a.value, a.of(b).value))

    def to(self, word: str, scalar: str) -> Number:
        """A conversion, by LLVM's word for it."""
        return Number(self.f, self.f.convert(word, self.value, scalar))

    def bits(self) -> Number:
        """The bits of a floating-point number as a whole number."""
        return self.to("bitcast", "i64" if self.type.scalar == "double" else "i32")

    def from_bits(self) -> Number:
        """And back."""
        return self.to("bitcast", "double" if self.type.scalar == "i64" else "float")

    def at_most(self, limit: float) -> Number:
        """The smaller of a number and a limit; NaN stays."""
        return self.compare("ogt", limit).choose(self.of(limit), self)

    def at_least(self, limit: float) -> Number:
        """The larger of a number and a limit; NaN stays."""
        return self.compare("olt", limit).choose(self.of(limit), self)

    def polynomial(self, coefficients: Sequence[float]) -> Number:
        """A polynomial's value here. The highest power comes first."""
        value = self.of(coefficients[0])
        for coefficient in coefficients[1:]:
            value = value.fma(self, coefficient)
        return value


def quotient(a: Number, b: Number) -> Number:
    """``a / b`` for 16 numbers of float32 by AVX-512, in less time than a division and correct to 2 units.

    The processor's estimate of ``1 / b`` gets twice as many bits by one step of Newton's method. Infinities, zeros and
    NaN are those of a division. A divisor above 2^126 counts as infinite: ``1 / b`` is too small for a normal number.
    """
    estimate = Number(b.f, b.f.estimate(b.value))
    missing = (-b).fma(estimate, 1)
    better = estimate.fma(missing, estimate)
    return a * missing.compare("ord", missing).choose(better, estimate)  # 0 times infinity is no number


def library(name: str, *inputs: Number) -> Number:
    """A function of the C library for each lane."""
    f, kind = inputs[0].f, inputs[0].type
    f.needs.add(f"declare double @{name}({', '.join(['double'] * len(inputs))})")
    one = Type("double")
    if kind.lanes == 1:
        return Number(f, f.value(f"call double @{name}({', '.join([str(x.value) for x in inputs])})", one))
    result = Value("poison", kind)
    for lane in range(kind.lanes):
        numbers = [f.value(f"extractelement {x.value}, i32 {lane}", one) for x in inputs]
        number = f.value(f"call double @{name}({', '.join(map(str, numbers))})", one)
        result = f.value(f"insertelement {result}, {number}, i32 {lane}", kind)
    return Number(f, result)


# Functions of float32, and of float64 by the library


def exp(x: Number) -> Number:
    """``e^x = 2^n e^r``, where ``x = n ln(2) + r``."""
    if x.type.scalar == "double":
        return library("exp", x)
    rounded, r = _reduced(x)
    y = r.polynomial(EXP).fma(r * r, r) + 1
    y = (y.bits() + rounded.bits().word("shl", 23)).from_bits()  # n is added to the exponent
    y = x.compare("olt", -87.33654).choose(y.of(0), y)
    return x.compare("olt", 88.72284).choose(y, x * INF)


def _reduced(x: Number) -> tuple[Number, Number]:
    """``n``, which is in the last bits of the first, and ``r``."""
    rounded = x.fma(LOG2_E, ROUND32)
    n = rounded - ROUND32
    return rounded, n.fma(-LN2_LOW, n.fma(-LN2_HIGH, x))


def _parts(x: Number) -> tuple[Number, Number]:
    """``2^(n - 1)`` and ``exp(r) - 1``, for ``x`` from -80 to 89."""
    rounded, r = _reduced(x)
    half = (rounded.bits().word("shl", 23) + (126 << 23)).from_bits()
    return half, r.polynomial(EXPM1).fma(r * r, r)


def expm1(x: Number) -> Number:
    """``exp(x) - 1``, from the half of it: ``2^n`` can be too large for a float32."""
    if x.type.scalar == "double":
        return library("expm1", x)
    half, y = _parts(x.at_most(89).at_least(-30))
    y = half.fma(y, half - 0.5)
    return abs(x).compare("olt", 1e-8).choose(x, y + y)


def tanh(x: Number) -> Number:
    """Near 0 an odd polynomial, else ``1 - 2 / (exp(2 |x|) + 1)`` with the sign of ``x``."""
    if x.type.scalar == "double":
        return library("tanh", x)
    size = abs(x).at_most(10)
    square = size * size
    near = (square.polynomial(TANH) * square).fma(size, size)
    half, y = _parts(size + size)
    far = x.of(1) - x.of(1) / half.fma(y, half + 0.5)
    return size.compare("olt", 0.55).choose(near, far).call("llvm.copysign", x)


def sigmoid(x: Number) -> Number:
    """``1 / (1 + exp(-x))``. What ``2^(n - 1) + 1/2`` loses to rounding is added to the small part."""
    if x.type.scalar == "double":
        return x.of(1) / (exp(-x) + 1)
    half, y = _parts((-x).at_most(89).at_least(-80))
    more = half + 0.5
    lost = half - more + 0.5
    y = x.of(0.5) / (half.fma(y, lost) + more)
    return x.compare("olt", -88).choose(x.of(0), y)


def log(x: Number) -> Number:
    """``ln(x) = e ln(2) + ln(1 + r)``, where ``x = 2^e (1 + r)``."""
    if x.type.scalar == "double":
        return library("log", x)
    bits = x.bits()
    root_half = 0x3F3504F3  # the bits of sqrt(1/2)
    tiny = bits.compare("ult", 0x00800000)  # as a whole number it is 2^149 times as large
    shifted = tiny.choose(bits.to("sitofp", "float").bits(), bits) - root_half
    r = ((shifted & 0x007FFFFF) + root_half).from_bits() - 1
    e = shifted.word("ashr", 23).to("sitofp", "float") + tiny.choose(x.of(-149), 0)
    positive = (bits - 1).compare("ult", 0x7F7FFFFF)  # and finite
    other = bits.compare("slt", 0).choose(x.of(NAN), x)
    other = bits.word("shl", 1).compare("eq", 0).choose(x.of(-INF), other)
    return positive.choose(_log1p(r, e), other)


def _log1p(r: Number, e: Number) -> Number:
    """``e ln(2) + log(1 + r)``, for ``1 + r`` from ``sqrt(1/2)`` to ``sqrt(2)``. The small terms are added first."""
    square = r * r
    y = e.fma(LN2_LOW, r.polynomial(LOG1P) * r * square)
    return e.fma(LN2_HIGH, r + square.fma(-0.5, y))


def softplus(x: Number) -> Number:
    """``log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))``."""
    small = exp(-abs(x))
    if x.type.scalar == "double":
        return x.at_least(0) + library("log1p", small)
    large = small.compare("ogt", math.sqrt(2) - 1)  # then 1 + small is twice (1 + r)
    r = large.choose(small.fma(0.5, -0.5), small)
    return x.at_least(0) + _log1p(r, large.choose(x.of(1), 0))


def erf(x: Number) -> Number:
    """The error function: near 0 an odd polynomial, else 1 less the fourth power of another."""
    if x.type.scalar == "double":
        return library("erf", x)
    size = abs(x).at_most(4)
    near = (size * size).polynomial(ERF).fma(size, size)
    root = (size - 2.5).polynomial(ERFC)
    root = root * root
    return size.compare("olt", 1.1).choose(near, (-root).fma(root, 1)).call("llvm.copysign", x)


def power(x: Number, y: Number) -> Number:
    """``x^y = 2^(y log2 |x|)``, negative for negative ``x`` and odd ``y``. It takes the digits of float64."""
    if x.type.scalar == "double":
        return library("pow", x, y)
    base, exponent = x.to("fpext", "double"), y.to("fpext", "double")
    size = abs(base)
    level = _log2(size)
    to_one = (base.compare("oeq", 1) | exponent.compare("oeq", 0)) | (
        size.compare("oeq", 1) & abs(exponent).compare("oeq", INF)
    )
    result = _exp2(to_one.choose(base.of(0), level * exponent)).to("fptrunc", "float")
    whole = _rounded(exponent).compare("oeq", exponent)  # also holds for infinities
    half = exponent * 0.5
    odd = whole & _rounded(half).compare("une", half)
    no_root = x.compare("olt", 0) & x.compare("une", -INF) & whole.compare("eq", 0) & to_one.compare("eq", 0)
    result = no_root.choose(x.of(NAN), result)
    return (x.bits().compare("slt", 0) & odd).choose(-result, result)


def _rounded(x: Number) -> Number:
    """A float64 as a whole number."""
    return abs(x).compare("olt", 2.0**51).choose((x + ROUND64) - ROUND64, x)


def _log2(x: Number) -> Number:
    """``log2(x) = e + log2((1 + s) / (1 - s))`` of a float64 that is not negative, where ``x = 2^e m``."""
    root_half = 0x3FE6A09E667F3BCD  # the bits of sqrt(1/2)
    shifted = x.bits() - root_half
    m = ((shifted & 0x000FFFFFFFFFFFFF) + root_half).from_bits()
    e = shifted.word("ashr", 52).to("trunc", "i32").to("sitofp", "double")
    s = (m - 1) / (m + 1)
    y = (s * s).polynomial(LOG2).fma(s, e)
    y = x.compare("olt", INF).choose(y, x)  # NaN stays
    return x.compare("oeq", 0).choose(x.of(-INF), y)


def _exp2(x: Number) -> Number:
    """``2^x`` of a float64, for float32: whatever is too large or small for that is cut off."""
    x = x.at_most(300).at_least(-300)
    rounded = x + ROUND64
    y = (x - (rounded - ROUND64)).polynomial(EXP2)
    return (y.bits() + rounded.bits().word("shl", 52)).from_bits()


# Choosing


def largest(a: Number, b: Number) -> Number:
    """The larger of two, or NaN where one of them is; of equals the second, as NumPy does it."""
    return _extreme(a, b, "gt")


def smallest(a: Number, b: Number) -> Number:
    """The smaller of two, or NaN where one of them is."""
    return _extreme(a, b, "lt")


def _extreme(a: Number, b: Number, condition: str) -> Number:
    if a.type.scalar == "i1":
        return a | b if condition == "gt" else a & b
    if not a.type.is_float:
        return a.compare("s" + condition, b).choose(a, b)
    return a.compare("uno", a).choose(a, a.compare("o" + condition, b).choose(a, b))


def compare(condition: str, a: Number, b: Number) -> Number:
    """``eq``, ``ne``, ``lt``, ``le``, ``gt`` or ``ge``. NaN is not equal to anything."""
    if a.type.is_float:
        return a.compare("une" if condition == "ne" else "o" + condition, b)
    if condition in ("eq", "ne"):
        return a.compare(condition, b)
    return a.compare(("u" if a.type.scalar == "i1" else "s") + condition, b)


def cast(x: Number, scalar: str) -> Number:
    """The same number in another type. Of NaN, and of what does not fit, no whole number comes that means anything."""
    old = x.type.scalar
    if old == scalar:
        return x
    if scalar == "i1":
        return compare("ne", x, x.of(0))
    if old == "i1":
        return x.to("uitofp" if scalar in ("float", "double") else "zext", scalar)
    if x.type.is_float and scalar in ("float", "double"):
        return x.to("fpext" if scalar == "double" else "fptrunc", scalar)
    if x.type.is_float:
        return x.to("fptosi", scalar)
    if scalar in ("float", "double"):
        return x.to("sitofp", scalar)
    return x.to("sext" if scalar == "i64" else "trunc", scalar)


# The operations

Rule = Callable[..., Number]
"""Takes the operation and its inputs."""


def _add(op: Operation, a: Number, b: Number) -> Number:
    return a | b if a.type.scalar == "i1" else a + b


def _mul(op: Operation, a: Number, b: Number) -> Number:
    return a & b if a.type.scalar == "i1" else a * b


def _abs(op: Operation, x: Number) -> Number:
    if x.type.is_float:
        return abs(x)
    return x if x.type.scalar == "i1" else x.compare("slt", 0).choose(-x, x)


def _sign(op: Operation, x: Number) -> Number:
    nought_or_nan = x.compare("uno", x).choose(x, 0)
    return x.compare("ogt", 0).choose(x.of(1), x.compare("olt", 0).choose(x.of(-1), nought_or_nan))


def _relu(op: Operation, x: Number) -> Number:
    return x.compare("ugt", 0).choose(x, 0)  # NaN stays, -0 becomes 0


def _leaky_relu(op: LeakyRelu, x: Number) -> Number:
    return x.compare("ogt", 0).choose(x, x * op.negative_slope)


def _dropout(op: Dropout, x: Number, noise: Number) -> Number:
    return noise.compare("oge", op.p).choose(x * (1 / (1 - op.p) if op.p < 1 else 0.0), 0)


def _clip(op: Clip, x: Number) -> Number:
    dtype = next(name for name, scalar in SCALARS.items() if scalar == x.type.scalar)
    if op.min is not None:
        x = largest(x, x.of(np.asarray(op.min, dtype).item()))
    if op.max is not None:
        x = smallest(x, x.of(np.asarray(op.max, dtype).item()))
    return x


def _comparison(condition: str) -> Rule:
    return lambda op, a, b: compare(condition, a, b)


FLOAT, NUMBER, ANY = "f", "fi", "fib"
"""Kinds of element types, by NumPy's letters."""

RULES: dict[type[Operation], tuple[str, Rule]] = {
    Abs: (ANY, _abs),
    Add: (ANY, _add),
    Cast: (ANY, lambda op, x: cast(x, SCALARS[op.dtype])),
    Clip: (ANY, _clip),
    Copy: (ANY, lambda op, x: x),
    Detach: (ANY, lambda op, x: x),
    Div: (FLOAT, lambda op, a, b: a / b),
    Dropout: (FLOAT, _dropout),
    Eq: (ANY, _comparison("eq")),
    Erf: (FLOAT, lambda op, x: erf(x)),
    Exp: (FLOAT, lambda op, x: exp(x)),
    Expm1: (FLOAT, lambda op, x: expm1(x)),
    Ge: (ANY, _comparison("ge")),
    Gt: (ANY, _comparison("gt")),
    Le: (ANY, _comparison("le")),
    LeakyRelu: (FLOAT, _leaky_relu),
    Log: (FLOAT, lambda op, x: log(x)),
    LogicalNot: (ANY, lambda op, x: compare("eq", x, x.of(0))),
    Lt: (ANY, _comparison("lt")),
    Masked: (ANY, lambda op, x, mask: mask.choose(x, 0)),
    Maximum: (ANY, lambda op, a, b: largest(a, b)),
    Minimum: (ANY, lambda op, a, b: smallest(a, b)),
    Mul: (ANY, _mul),
    Ne: (ANY, _comparison("ne")),
    Neg: (NUMBER, lambda op, x: -x),
    Pow: (FLOAT, lambda op, a, b: power(a, b)),
    Relu: (FLOAT, _relu),
    Sigmoid: (FLOAT, lambda op, x: sigmoid(x)),
    Sign: (FLOAT, _sign),
    Softplus: (FLOAT, lambda op, x: softplus(x)),
    Sqrt: (FLOAT, lambda op, x: x.call("llvm.sqrt")),
    Square: (FLOAT, lambda op, x: x * x),
    Sub: (NUMBER, lambda op, a, b: a - b),
    Tanh: (FLOAT, lambda op, x: tanh(x)),
    Where: (ANY, lambda op, condition, a, b: condition.choose(a, b)),
}
"""For each operation, the kinds of element types that it takes, and how it is computed."""


def can(op: Operation, dtypes: Sequence[np.dtype]) -> bool:
    """Whether an operation can be written for these element types: those of its inputs and that of its result."""
    if type(op) not in RULES or not all(each in SCALARS for each in dtypes):
        return False
    kinds = RULES[type(op)][0]
    data = dtypes[1] if isinstance(op, Where) else dtypes[0]
    return data.kind in kinds


def apply(f: Function, op: Operation, inputs: Sequence[Value], dtype: np.dtype) -> Value:
    """Write what an element-wise operation computes, in every lane.

    Args:
        f: the function that is being written.
        op: one for which :func:`can` says yes.
        inputs: of as many lanes each.
        dtype: the result's element type.
    """
    result = RULES[type(op)][1](op, *[Number(f, each) for each in inputs]).value
    assert result.type.scalar == SCALARS[dtype]
    return result
