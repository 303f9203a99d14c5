"""Matrix products."""

from __future__ import annotations

from typing import Any

from ..backend import Array
from ..errors import ShapeError
from ..graph import Spec
from ..tensor import Tensor, TensorLike
from .base import Gradient, Operation, apply, as_tensor, require_same_dtype
from .elementwise import UFUNCS
from .shape import broadcast_shape, broadcast_to, reshape, squeeze, transpose, unsqueeze


class MatMul(Operation):
    """``a @ b`` of matrices, one product for each place in the leading axes. Gradient: ``grad @ b^T, a^T @ grad``."""

    name = "matmul"
    keeps = ((1,), (0,))

    def infer(self, a: Spec, b: Spec) -> Spec:
        require_same_dtype(self.name, a, b)
        if a.shape[-1] != b.shape[-2]:
            raise ShapeError(
                self.name,
                f"the rows of the first have {a.shape[-1]} numbers, the columns of the second have {b.shape[-2]}",
                got=f"{a!r} @ {b!r}",
                expected=f"(..., n, k) @ (..., k, m), but k = {a.shape[-1]} and k = {b.shape[-2]}",
                fix="transpose one of them, or check which axis holds the features",
            )
        return Spec((*a.shape[:-1], b.shape[-1]), a.dtype)

    def forward(self, xp: Any, a: Array, b: Array) -> Array:
        return xp.matmul(a, b)

    def vjp(self, grad: Tensor, output: Tensor, a: Tensor, b: Tensor) -> tuple[Gradient, ...]:
        return (
            lambda: apply(MatMul(), grad, transpose(b, -1, -2)),
            lambda: apply(MatMul(), transpose(a, -1, -2), grad),
        )


def matmul(a: TensorLike, b: TensorLike) -> Tensor:
    """The matrix product. Axes before the last two are broadcast: a stack of matrices times a stack of matrices.

    Args:
        a: ``(..., n, k)``, or ``(k,)`` for a row.
        b: ``(..., k, m)``, or ``(k,)`` for a column.

    Returns ``(..., n, m)``; the axis of a row or column that was given without it is left out again.

    Raises :class:`ShapeError` where the inner lengths differ, :class:`DTypeError` for mixed types.

    >>> matmul(Tensor([[1.0, 2.0], [3.0, 4.0]]), Tensor([1.0, 1.0]))
    Tensor([3., 7.])
    """
    a, b = as_tensor(a), as_tensor(b)
    for operand in (a, b):
        if operand.ndim == 0:
            raise ShapeError("matmul", "a single number is no matrix", got=f"{a.spec!r} @ {b.spec!r}", fix="use *")
    if a.ndim == b.ndim == 2:
        return apply(MatMul(), a, b)
    row, column = a.ndim == 1, b.ndim == 1
    a = unsqueeze(a, 0) if row else a
    b = unsqueeze(b, 1) if column else b
    if a.ndim > 2 and b.ndim == 2:  # one matrix for all: a single product of all rows
        rows = reshape(a, (a.numel() // a.shape[-1] if a.shape[-1] else 0, a.shape[-1])) if a.numel() else None
        product = (
            reshape(apply(MatMul(), rows, b), (*a.shape[:-1], b.shape[-1])) if rows is not None else _stacked(a, b)
        )
    else:
        product = _stacked(a, b)
    if row:
        product = squeeze(product, -2)
    return squeeze(product, -1) if column else product


def _stacked(a: Tensor, b: Tensor) -> Tensor:
    """The product with the leading axes broadcast against each other."""
    lead_a, lead_b = Spec(a.shape[:-2], a.dtype), Spec(b.shape[:-2], b.dtype)
    lead = broadcast_shape("matmul", lead_a, lead_b)
    return apply(MatMul(), broadcast_to(a, (*lead, *a.shape[-2:])), broadcast_to(b, (*lead, *b.shape[-2:])))


UFUNCS["matmul"] = matmul
