"""Element-wise operations: each output element depends on the elements at the same place.

Each class is one row of the table of operations: the name, what its gradient reads again, the numbers, the gradient.
The functions below the classes are what one calls; they bring operands to one shape and type first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend import Array, get_device, move
from ..errors import ArgumentError, DTypeError
from ..graph import Spec
from ..tensor import Tensor, TensorLike
from .base import (
    OUTPUT,
    Gradient,
    Operation,
    apply,
    as_tensor,
    is_number,
    operand_like,
    require_float,
)
from .erf import erf as erf_array
from .shape import align, broadcast_shape, broadcast_to

BOOL = np.dtype(bool)


class Unary(Operation):
    """One floating-point input; the output has its shape and type."""

    def infer(self, x: Spec) -> Spec:
        require_float(self.name, x)
        return x


class Binary(Operation):
    """Two inputs of the same shape and type."""

    def infer(self, a: Spec, b: Spec) -> Spec:
        return a


class Comparison(Binary):
    """Two inputs of the same shape and type; the output is boolean and has no gradient."""

    differentiable = False

    def infer(self, a: Spec, b: Spec) -> Spec:
        return Spec(a.shape, BOOL)


# Arithmetic


class Add(Binary):
    """``a + b``. Gradient: ``grad, grad``."""

    name = "add"

    def forward(self, xp: Any, a: Array, b: Array) -> Array:
        return xp.add(a, b)

    def vjp(self, grad: Tensor, output: Tensor, a: Tensor, b: Tensor) -> tuple[Gradient, ...]:
        return grad, grad


class Sub(Binary):
    """``a - b``. Gradient: ``grad, -grad``."""

    name = "sub"

    def infer(self, a: Spec, b: Spec) -> Spec:
        if a.dtype.kind == "b":
            raise DTypeError("sub", "is not defined for bool", got=f"{a!r}, {b!r}", fix="use a != b")
        return a

    def forward(self, xp: Any, a: Array, b: Array) -> Array:
        return xp.subtract(a, b)

    def vjp(self, grad: Tensor, output: Tensor, a: Tensor, b: Tensor) -> tuple[Gradient, ...]:
        return grad, lambda: neg(grad)


class Mul(Binary):
    """``a * b``. Gradient: ``grad * b, grad * a``."""

    name = "mul"
    keeps = ((1,), (0,))

    def forward(self, xp: Any, a: Array, b: Array) -> Array:
        return xp.multiply(a, b)

    def vjp(self, grad: Tensor, output: Tensor, a: Tensor, b: Tensor) -> tuple[Gradient, ...]:
        return lambda: mul(grad, b), lambda: mul(grad, a)


class Div(Binary):
    """``a / b``. Gradient: ``grad / b, -grad * (a / b) / b``."""

    name = "div"
    keeps = ((1,), (1, OUTPUT))

    def infer(self, a: Spec, b: Spec) -> Spec:
        require_float(self.name, a, b)
        return a

    def forward(self, xp: Any, a: Array, b: Array) -> Array:
        return xp.divide(a, b)

    def vjp(self, grad: Tensor, output: Tensor, a: Tensor, b: Tensor) -> tuple[Gradient, ...]:
        return lambda: div(grad, b), lambda: neg(div(mul(grad, output), b))


class Neg(Unary):
    """``-x``. Gradient: ``-grad``."""

    name = "neg"

    def infer(self, x: Spec) -> Spec:
        if x.dtype.kind == "b":
            raise DTypeError("neg", "is not defined for bool", got=repr(x), fix="use ~x")
        return x

    def forward(self, xp: Any, x: Array) -> Array:
        return xp.negative(x)

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        return (neg(grad),)


class Pow(Binary):
    """``a ** b``. Gradient: ``grad * b * a**(b - 1), grad * log(a) * a**b``.

    At ``b = 0`` the gradient in ``a`` is 0; at ``a = 0`` the gradient in ``b`` is 0, as in PyTorch.
    """

    name = "pow"
    keeps = ((0, 1), (0, OUTPUT))

    def infer(self, a: Spec, b: Spec) -> Spec:
        require_float(self.name, a, b)
        return a

    def forward(self, xp: Any, a: Array, b: Array) -> Array:
        return xp.power(a, b)

    def vjp(self, grad: Tensor, output: Tensor, a: Tensor, b: Tensor) -> tuple[Gradient, ...]:
        def in_a() -> Tensor:
            zero = eq(b, 0.0)
            exponent = sub(where(zero, 1.0, b), 1.0)  # never -1, so that 0 ** -1 does not arise from a constant
            return where(zero, 0.0, mul(grad, mul(b, pow(a, exponent))))

        def in_b() -> Tensor:
            zero = eq(a, 0.0)
            return where(zero, 0.0, mul(grad, mul(output, log(where(zero, 1.0, a)))))

        return in_a, in_b


class Square(Unary):
    """``x * x``. Gradient: ``2 * grad * x``."""

    name = "square"
    keeps = ((0,),)

    def forward(self, xp: Any, x: Array) -> Array:
        return xp.multiply(x, x)

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        return (mul(grad, mul(x, 2.0)),)


# Exponentials, roots, magnitudes


class Exp(Unary):
    """``e ** x``. Gradient: ``grad * exp(x)``."""

    name = "exp"
    keeps = ((OUTPUT,),)

    def forward(self, xp: Any, x: Array) -> Array:
        return xp.exp(x)

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        return (mul(grad, output),)


class Expm1(Unary):
    """``e ** x - 1``, exact for small ``x`` too. Gradient: ``grad * (y + 1)``."""

    name = "expm1"
    keeps = ((OUTPUT,),)

    def forward(self, xp: Any, x: Array) -> Array:
        return xp.expm1(x)

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        return (mul(grad, add(output, 1.0)),)


class Log(Unary):
    """The natural logarithm. Gradient: ``grad / x``."""

    name = "log"
    keeps = ((0,),)

    def forward(self, xp: Any, x: Array) -> Array:
        return xp.log(x)

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        return (div(grad, x),)


class Sqrt(Unary):
    """The square root. Gradient: ``grad / (2 * sqrt(x))``."""

    name = "sqrt"
    keeps = ((OUTPUT,),)

    def forward(self, xp: Any, x: Array) -> Array:
        return xp.sqrt(x)

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        return (div(grad, mul(output, 2.0)),)


class Abs(Unary):
    """``|x|``. Gradient: ``grad * sign(x)``, so 0 at 0."""

    name = "abs"
    keeps = ((0,),)

    def infer(self, x: Spec) -> Spec:
        return x

    def forward(self, xp: Any, x: Array) -> Array:
        return xp.abs(x)

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        return (mul(grad, sign(x)),)


class Sign(Unary):
    """-1, 0 or 1. Its slope is 0 everywhere, so it has no gradient."""

    name = "sign"
    differentiable = False

    def forward(self, xp: Any, x: Array) -> Array:
        return xp.sign(x)


class Erf(Unary):
    """The error function, ``2 / sqrt(pi)`` times the integral of ``e^(-t^2)`` up to ``x``. Gradient: its integrand."""

    name = "erf"
    keeps = ((0,),)

    def forward(self, xp: Any, x: Array) -> Array:
        return erf_array(xp, x)

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        return (mul(grad, mul(exp(neg(square(x))), 2 / np.sqrt(np.pi))),)


# Activations


class Relu(Unary):
    """``max(x, 0)``. Gradient: ``grad`` where ``x > 0``, else 0."""

    name = "relu"
    keeps = ((OUTPUT,),)

    def forward(self, xp: Any, x: Array) -> Array:
        return xp.maximum(x, 0)

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        return (masked(grad, gt(output, 0.0)),)


@dataclass(frozen=True)
class LeakyRelu(Unary):
    """``x`` where ``x > 0``, else ``slope * x``. Gradient: ``grad`` or ``slope * grad``. (Maas et al., 2013)"""

    negative_slope: float = 0.01
    name = "leaky_relu"
    keeps = ((0,),)

    def forward(self, xp: Any, x: Array) -> Array:
        return xp.where(x > 0, x, x * self.negative_slope)

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        return (where(gt(x, 0.0), grad, mul(grad, self.negative_slope)),)


class Sigmoid(Unary):
    """``1 / (1 + exp(-x))``. Gradient: ``grad * y * (1 - y)``."""

    name = "sigmoid"
    keeps = ((OUTPUT,),)

    def forward(self, xp: Any, x: Array) -> Array:
        small = xp.exp(-xp.abs(x))  # at most 1: exp cannot overflow
        return xp.where(x >= 0, 1 / (1 + small), small / (1 + small))

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        return (mul(grad, mul(output, sub(1.0, output))),)


class Tanh(Unary):
    """The hyperbolic tangent. Gradient: ``grad * (1 - y^2)``."""

    name = "tanh"
    keeps = ((OUTPUT,),)

    def forward(self, xp: Any, x: Array) -> Array:
        return xp.tanh(x)

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        return (mul(grad, sub(1.0, square(output))),)


class Softplus(Unary):
    """``log(1 + exp(x))``, exact for large ``|x|``. Gradient: ``grad * sigmoid(x)``."""

    name = "softplus"
    keeps = ((0,),)

    def forward(self, xp: Any, x: Array) -> Array:
        return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x)))

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        return (mul(grad, sigmoid(x)),)


# Choosing


class Where(Operation):
    """``a`` where the condition holds, else ``b``. Gradient: ``grad`` goes to the one that was chosen."""

    name = "where"

    def infer(self, condition: Spec, a: Spec, b: Spec) -> Spec:
        if condition.dtype.kind != "b":
            raise DTypeError(
                "where", f"the condition is {condition.dtype}", got=repr(condition), expected="a boolean tensor",
                fix="compare first, for example tg.where(x > 0, a, b)",
            )  # fmt: skip
        return a

    def forward(self, xp: Any, condition: Array, a: Array, b: Array) -> Array:
        return xp.where(condition, a, b)

    def vjp(self, grad: Tensor, output: Tensor, condition: Tensor, a: Tensor, b: Tensor) -> tuple[Gradient, ...]:
        return None, lambda: masked(grad, condition), lambda: masked(grad, logical_not(condition))


class Masked(Operation):
    """``x`` where the mask holds, else 0. Gradient: ``grad``, masked alike."""

    name = "masked"

    def infer(self, x: Spec, mask: Spec) -> Spec:
        return x

    def forward(self, xp: Any, x: Array, mask: Array) -> Array:
        return masked_array(x, mask)

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor, mask: Tensor) -> tuple[Gradient, ...]:
        return masked(grad, mask), None


def masked_array(x: Array, mask: Array) -> Array:
    """``x`` where the mask holds, else 0.

    The bits of each number are and'ed with all ones or all zeros. That is several times faster than ``where``, which
    has to guess each element's branch, and unlike a product it gives 0 for infinity, too.
    """
    bits = np.dtype(f"i{x.dtype.itemsize}")
    kept = (-mask.view(np.int8)).astype(bits)
    kept &= x.view(bits)
    return kept.view(x.dtype)


class Extremum(Binary):
    """The larger or the smaller of two. Where they are equal, each gets half of the gradient, as in PyTorch."""

    keeps = ((0, 1), (0, 1))

    def vjp(self, grad: Tensor, output: Tensor, a: Tensor, b: Tensor) -> tuple[Gradient, ...]:
        wins = gt if isinstance(self, Maximum) else lt

        def share(mine: Tensor, other: Tensor) -> Tensor:
            return add(masked(grad, wins(mine, other)), masked(mul(grad, 0.5), eq(mine, other)))

        return lambda: share(a, b), lambda: share(b, a)


class Maximum(Extremum):
    """The larger of ``a`` and ``b``. Gradient: ``grad`` to the larger, half to each of equals."""

    name = "maximum"

    def forward(self, xp: Any, a: Array, b: Array) -> Array:
        return xp.maximum(a, b)


class Minimum(Extremum):
    """The smaller of ``a`` and ``b``. Gradient: ``grad`` to the smaller, half to each of equals."""

    name = "minimum"

    def forward(self, xp: Any, a: Array, b: Array) -> Array:
        return xp.minimum(a, b)


@dataclass(frozen=True)
class Clip(Unary):
    """``x`` cut off at ``min`` and ``max``. Gradient: ``grad`` where ``min <= x <= max``, else 0."""

    min: float | None = None
    max: float | None = None
    name = "clip"
    keeps = ((0,),)

    def infer(self, x: Spec) -> Spec:
        return x

    def forward(self, xp: Any, x: Array) -> Array:
        if self.min is not None:
            x = xp.maximum(x, xp.asarray(self.min, dtype=x.dtype))
        if self.max is not None:
            x = xp.minimum(x, xp.asarray(self.max, dtype=x.dtype))
        return x

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        if self.min is not None:
            grad = masked(grad, ge(x, self.min))
        if self.max is not None:
            grad = masked(grad, le(x, self.max))
        return (grad,)


# Comparisons and logic


class Eq(Comparison):
    """``a == b``."""

    name = "eq"

    def forward(self, xp: Any, a: Array, b: Array) -> Array:
        return xp.equal(a, b)


class Ne(Comparison):
    """``a != b``."""

    name = "ne"

    def forward(self, xp: Any, a: Array, b: Array) -> Array:
        return xp.not_equal(a, b)


class Lt(Comparison):
    """``a < b``."""

    name = "lt"

    def forward(self, xp: Any, a: Array, b: Array) -> Array:
        return xp.less(a, b)


class Le(Comparison):
    """``a <= b``."""

    name = "le"

    def forward(self, xp: Any, a: Array, b: Array) -> Array:
        return xp.less_equal(a, b)


class Gt(Comparison):
    """``a > b``."""

    name = "gt"

    def forward(self, xp: Any, a: Array, b: Array) -> Array:
        return xp.greater(a, b)


class Ge(Comparison):
    """``a >= b``."""

    name = "ge"

    def forward(self, xp: Any, a: Array, b: Array) -> Array:
        return xp.greater_equal(a, b)


class LogicalNot(Operation):
    """``not x``, element by element."""

    name = "logical_not"
    differentiable = False

    def infer(self, x: Spec) -> Spec:
        return Spec(x.shape, BOOL)

    def forward(self, xp: Any, x: Array) -> Array:
        return xp.logical_not(x)


# Kinds and places


@dataclass(frozen=True)
class Cast(Operation):
    """The same numbers in another element type. Gradient: ``grad`` in the old type."""

    dtype: np.dtype
    name = "cast"

    def infer(self, x: Spec) -> Spec:
        return Spec(x.shape, self.dtype)

    def forward(self, xp: Any, x: Array) -> Array:
        return x.astype(self.dtype)

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        return (cast(grad, x.dtype),)


@dataclass(frozen=True)
class ToDevice(Operation):
    """The same numbers on another device. Gradient: ``grad`` moved back."""

    target: str
    source: str
    name = "to_device"

    def infer(self, x: Spec) -> Spec:
        return x

    def forward(self, xp: Any, x: Array) -> Array:
        return move(x, get_device(self.target))

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        return (apply(ToDevice(self.source, self.target), grad),)


class Detach(Operation):
    """The same numbers; the gradient stops here."""

    name = "detach"
    differentiable = False

    def infer(self, x: Spec) -> Spec:
        return x

    def forward(self, xp: Any, x: Array) -> Array:
        return x

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        return (None,)


# The functions

ADD, SUB, MUL, DIV = Add(), Sub(), Mul(), Div()


def _binary(op: Operation, a: TensorLike, b: TensorLike) -> Tensor:
    if isinstance(a, Tensor) and type(b) is float:  # the most common case, without the general machinery
        return apply(op, a, operand_like(a, b))
    if not (isinstance(a, Tensor) and isinstance(b, Tensor) and a.node.spec == b.node.spec):
        a, b = align(op.name, a, b)
    return apply(op, a, b)


def add(a: TensorLike, b: TensorLike) -> Tensor:
    """``a + b``, broadcast.

    >>> add(Tensor([1.0, 2.0]), 10)
    Tensor([11., 12.])
    """
    return _binary(ADD, a, b)


def sub(a: TensorLike, b: TensorLike) -> Tensor:
    """``a - b``, broadcast.

    >>> sub(1, Tensor([1.0, 2.0]))
    Tensor([ 0., -1.])
    """
    return _binary(SUB, a, b)


def mul(a: TensorLike, b: TensorLike) -> Tensor:
    """``a * b``, broadcast.

    >>> mul(Tensor([1.0, 2.0]), 10)
    Tensor([10., 20.])
    """
    return _binary(MUL, a, b)


def div(a: TensorLike, b: TensorLike) -> Tensor:
    """``a / b``, broadcast; floating-point tensors only.

    >>> div(Tensor([1.0, 2.0]), 4)
    Tensor([0.25, 0.5 ])
    """
    return _binary(DIV, a, b)


def pow(a: TensorLike, b: TensorLike) -> Tensor:
    """``a ** b``, broadcast; floating-point tensors only.

    >>> pow(Tensor([2.0, 3.0]), 2)
    Tensor([4., 9.])
    """
    if is_number(b) and b == 2 and isinstance(a, Tensor):
        return square(a)
    return _binary(Pow(), a, b)


def maximum(a: TensorLike, b: TensorLike) -> Tensor:
    """The larger of the two, element by element, broadcast.

    >>> maximum(Tensor([1.0, 3.0]), 2)
    Tensor([2., 3.])
    """
    return _binary(Maximum(), a, b)


def minimum(a: TensorLike, b: TensorLike) -> Tensor:
    """The smaller of the two, element by element, broadcast.

    >>> minimum(Tensor([1.0, 3.0]), 2)
    Tensor([1., 2.])
    """
    return _binary(Minimum(), a, b)


def eq(a: TensorLike, b: TensorLike) -> Tensor:
    """``a == b``, broadcast; boolean.

    >>> eq(Tensor([1.0, 2.0]), 2)
    Tensor([False,  True])
    """
    return _binary(Eq(), a, b)


def ne(a: TensorLike, b: TensorLike) -> Tensor:
    """``a != b``, broadcast; boolean.

    >>> ne(Tensor([1.0, 2.0]), 2)
    Tensor([ True, False])
    """
    return _binary(Ne(), a, b)


def lt(a: TensorLike, b: TensorLike) -> Tensor:
    """``a < b``, broadcast; boolean.

    >>> lt(Tensor([1.0, 2.0]), 2)
    Tensor([ True, False])
    """
    return _binary(Lt(), a, b)


def le(a: TensorLike, b: TensorLike) -> Tensor:
    """``a <= b``, broadcast; boolean.

    >>> le(Tensor([1.0, 2.0]), 2)
    Tensor([ True,  True])
    """
    return _binary(Le(), a, b)


def gt(a: TensorLike, b: TensorLike) -> Tensor:
    """``a > b``, broadcast; boolean.

    >>> gt(Tensor([1.0, 2.0]), 1)
    Tensor([False,  True])
    """
    return _binary(Gt(), a, b)


def ge(a: TensorLike, b: TensorLike) -> Tensor:
    """``a >= b``, broadcast; boolean.

    >>> ge(Tensor([1.0, 2.0]), 2)
    Tensor([False,  True])
    """
    return _binary(Ge(), a, b)


def where(condition: TensorLike, a: TensorLike, b: TensorLike) -> Tensor:
    """``a`` where the condition holds, ``b`` elsewhere; the three are broadcast together.

    Raises :class:`DTypeError` for a condition that is not boolean.

    >>> x = Tensor([-1.0, 2.0])
    >>> where(x > 0, x, 0.0)
    Tensor([0., 2.])
    """
    condition = as_tensor(condition)
    a, b = align("where", a, b)
    shape = broadcast_shape("where", condition.spec, a.spec)
    return apply(Where(), broadcast_to(condition, shape), broadcast_to(a, shape), broadcast_to(b, shape))


def masked(x: Tensor, mask: Tensor) -> Tensor:
    """``x`` where the boolean ``mask``, of the same shape, holds, else 0.

    >>> masked(Tensor([1.0, 2.0]), Tensor([True, False]))
    Tensor([1., 0.])
    """
    return apply(Masked(), x, mask)


def neg(x: TensorLike) -> Tensor:
    """``-x``.

    >>> neg(Tensor([1.0, -2.0]))
    Tensor([-1.,  2.])
    """
    return apply(Neg(), as_tensor(x))


def square(x: TensorLike) -> Tensor:
    """``x * x``.

    >>> square(Tensor([1.0, -2.0]))
    Tensor([1., 4.])
    """
    return apply(Square(), as_tensor(x))


def exp(x: TensorLike) -> Tensor:
    """``e ** x``.

    >>> exp(Tensor([0.0]))
    Tensor([1.])
    """
    return apply(Exp(), as_tensor(x))


def expm1(x: TensorLike) -> Tensor:
    """``e ** x - 1``, exact for small ``x`` too.

    >>> expm1(Tensor([0.0, 1e-10]))
    Tensor([0.e+00, 1.e-10])
    """
    return apply(Expm1(), as_tensor(x))


def log(x: TensorLike) -> Tensor:
    """The natural logarithm.

    >>> log(Tensor([1.0]))
    Tensor([0.])
    """
    return apply(Log(), as_tensor(x))


def sqrt(x: TensorLike) -> Tensor:
    """The square root.

    >>> sqrt(Tensor([4.0]))
    Tensor([2.])
    """
    return apply(Sqrt(), as_tensor(x))


def abs(x: TensorLike) -> Tensor:
    """``|x|``; the gradient at 0 is 0.

    >>> abs(Tensor([-4.0]))
    Tensor([4.])
    """
    return apply(Abs(), as_tensor(x))


def sign(x: TensorLike) -> Tensor:
    """-1, 0 or 1; without a gradient.

    >>> sign(Tensor([-4.0, 0.0]))
    Tensor([-1.,  0.])
    """
    return apply(Sign(), as_tensor(x))


def erf(x: TensorLike) -> Tensor:
    """The error function, ``2 / sqrt(pi)`` times the integral of ``exp(-t^2)`` from 0 to ``x``.

    >>> erf(Tensor([0.0]))
    Tensor([0.])
    """
    return apply(Erf(), as_tensor(x))


def relu(x: TensorLike) -> Tensor:
    """``max(x, 0)``; the gradient at 0 is 0. (Nair and Hinton, 2010)

    >>> relu(Tensor([-1.0, 2.0]))
    Tensor([0., 2.])
    """
    return apply(Relu(), as_tensor(x))


def leaky_relu(x: TensorLike, negative_slope: float = 0.01) -> Tensor:
    """``x`` where positive, else ``negative_slope * x``. (Maas et al., 2013)

    >>> leaky_relu(Tensor([-1.0, 2.0]), 0.5)
    Tensor([-0.5,  2. ])
    """
    return apply(LeakyRelu(float(negative_slope)), as_tensor(x))


def sigmoid(x: TensorLike) -> Tensor:
    """``1 / (1 + exp(-x))``, without overflow for any ``x``.

    >>> sigmoid(Tensor([0.0, 1000.0]))
    Tensor([0.5, 1. ])
    """
    return apply(Sigmoid(), as_tensor(x))


def tanh(x: TensorLike) -> Tensor:
    """The hyperbolic tangent.

    >>> tanh(Tensor([0.0]))
    Tensor([0.])
    """
    return apply(Tanh(), as_tensor(x))


def softplus(x: TensorLike) -> Tensor:
    """``log(1 + exp(x))``, without overflow for any ``x``. (Dugas et al., 2001)

    >>> softplus(Tensor([1000.0]))
    Tensor([1000.])
    """
    return apply(Softplus(), as_tensor(x))


def gelu(x: TensorLike, approximate: str = "none") -> Tensor:
    """``x`` times the normal distribution function at ``x``. (Hendrycks and Gimpel, 2016)

    Args:
        x: any shape.
        approximate: ``"none"`` for the exact form with ``erf``, ``"tanh"`` for ``x/2 (1 + tanh(sqrt(2/pi) (x +
            0.044715 x^3)))``.

    Raises :class:`ArgumentError` for another ``approximate``.

    >>> gelu(Tensor([0.0]))
    Tensor([0.])
    """
    x = as_tensor(x)
    if approximate == "none":
        return mul(mul(x, 0.5), add(erf(mul(x, 1 / np.sqrt(2))), 1.0))
    if approximate == "tanh":
        inner = mul(add(x, mul(mul(square(x), x), 0.044715)), np.sqrt(2 / np.pi))
        return mul(mul(x, 0.5), add(tanh(inner), 1.0))
    raise ArgumentError("gelu", "no such approximation", got=repr(approximate), expected="'none' or 'tanh'")


def clip(x: TensorLike, min: float | None = None, max: float | None = None) -> Tensor:
    """``x`` limited to the interval from ``min`` to ``max``; ``None`` leaves a side open.

    Raises :class:`ArgumentError` when neither is given.

    >>> clip(Tensor([-1.0, 0.5, 2.0]), 0, 1)
    Tensor([0. , 0.5, 1. ])
    """
    if min is None and max is None:
        raise ArgumentError("clip", "neither min nor max is given", fix="give at least one of them")
    return apply(Clip(min, max), as_tensor(x))


def logical_not(x: TensorLike) -> Tensor:
    """``not x``, element by element.

    >>> logical_not(Tensor([True, False]))
    Tensor([False,  True])
    """
    return apply(LogicalNot(), as_tensor(x))


def cast(x: TensorLike, dtype: str | np.dtype | type) -> Tensor:
    """The same numbers in another element type; itself where it has that type. Gradients are cast back.

    Raises :class:`DTypeError` for a name that is no element type.

    >>> cast(Tensor([1.5]), "int64")
    Tensor([1])
    """
    x = as_tensor(x)
    try:
        target = np.dtype(dtype)
    except TypeError as error:
        raise DTypeError(
            "to",
            "this is neither an element type nor a device",
            got=repr(dtype),
            expected='an element type such as "float64", or a device such as "cpu" or "gpu"',
        ) from error
    return x if x.dtype == target else apply(Cast(target), x)


def to_device(x: Tensor, device: str) -> Tensor:
    """The tensor on that device; itself where it is there. Gradients are moved back."""
    target = get_device(device).name
    return x if x.device == target else apply(ToDevice(target, x.device), x)


def detach(x: Tensor) -> Tensor:
    """The same numbers without a history; symbolically, a node that no gradient passes."""
    return apply(Detach(), x)


UFUNCS: dict[str, Callable[..., Tensor]] = {
    "add": add, "subtract": sub, "multiply": mul, "divide": div, "power": pow, "negative": neg,
    "maximum": maximum, "minimum": minimum, "exp": exp, "log": log, "sqrt": sqrt, "square": square, "absolute": abs,
    "sign": sign, "tanh": tanh, "equal": eq, "not_equal": ne, "less": lt, "less_equal": le, "greater": gt,
    "greater_equal": ge, "logical_not": logical_not,
}  # fmt: skip
"""NumPy's ufuncs by name, and what they mean on tensors. The module of products adds ``matmul``."""
