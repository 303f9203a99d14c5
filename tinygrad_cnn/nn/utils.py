"""What is done to all gradients, or all parameters, at once."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ..errors import ArgumentError, GraphError, ShapeError
from ..mode import no_grad
from ..ops.elementwise import abs, clip, maximum, mul, pow, square
from ..ops.reduce import amax, sum
from ..ops.shape import cat, reshape
from ..tensor import Tensor


def _with_gradients(name: str, parameters: Iterable[Tensor] | Tensor) -> list[tuple[Tensor, Tensor]]:
    """The parameters that have a gradient, each with it."""
    listed = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    found = [(each, each.grad) for each in listed if each.grad is not None]
    if not found:
        raise GraphError(name, "no parameter has a gradient", fix="call loss.backward() first")
    return found


def clip_grad_norm_(
    parameters: Iterable[Tensor] | Tensor,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Make all gradients smaller by one factor, so that together they have at most this norm. (Pascanu et al., 2013)

    Args:
        parameters: those without a gradient are left out.
        max_norm: the largest norm of all gradients as one vector.
        norm_type: 2 for the length, 1 for the sum of the absolute values, ``math.inf`` for the largest.
        error_if_nonfinite: whether a norm that is infinite or NaN is an error.

    Returns the norm before.

    Raises :class:`GraphError` when no parameter has a gradient, :class:`ArgumentError` for a norm that is not finite,
    if that is asked for.

    >>> x = Tensor([3.0, 4.0], requires_grad=True)
    >>> (x * x / 2).sum().backward()
    >>> clip_grad_norm_([x], max_norm=2.5), [round(each, 4) for each in x.grad.numpy().tolist()]
    (Tensor(5.), [1.5, 2.0])
    """
    pairs = _with_gradients("clip_grad_norm_", parameters)
    with no_grad():
        if math.isinf(norm_type):
            norm = _largest([amax(abs(gradient)) for _, gradient in pairs if gradient.numel()])
        elif norm_type == 2:
            norm = _total([sum(square(gradient)) for _, gradient in pairs]).sqrt()
        else:
            norm = pow(_total([sum(pow(abs(gradient), norm_type)) for _, gradient in pairs]), 1 / norm_type)
        if error_if_nonfinite and not math.isfinite(norm.item()):
            raise ArgumentError(
                "clip_grad_norm_", "the norm of the gradients is not finite", got=f"norm {norm.item()}",
                fix="look for the operation with tg.detect_nan(), or use a smaller learning rate",
            )  # fmt: skip
        factor = clip(max_norm / (norm + 1e-6), max=1.0)
        for parameter, gradient in pairs:
            parameter.grad = mul(gradient, factor.to(gradient.dtype))
    return norm


def clip_grad_value_(parameters: Iterable[Tensor] | Tensor, clip_value: float) -> None:
    """Cut each number of each gradient off at ``-clip_value`` and ``clip_value``.

    Raises :class:`GraphError` when no parameter has a gradient, :class:`ArgumentError` for a negative value.

    >>> x = Tensor([3.0, 0.5], requires_grad=True)
    >>> (x * x / 2).sum().backward()
    >>> clip_grad_value_([x], 1.0)
    >>> x.grad
    Tensor([1. , 0.5])
    """
    if clip_value < 0:
        raise ArgumentError("clip_grad_value_", "the limit is negative", got=f"clip_value={clip_value}")
    for parameter, gradient in _with_gradients("clip_grad_value_", parameters):
        with no_grad():
            parameter.grad = clip(gradient, -clip_value, clip_value)


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters as one vector, in order.

    Raises :class:`ArgumentError` for none.

    >>> parameters_to_vector([Tensor([[1.0, 2.0]]), Tensor([3.0])])
    Tensor([1., 2., 3.])
    """
    return cat([reshape(each, (-1,)) for each in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Give the parameters the numbers of a vector, in order.

    Raises :class:`ShapeError` where the vector is longer or shorter than all parameters together.

    >>> x = Tensor([[0.0, 0.0]], requires_grad=True)
    >>> vector_to_parameters(Tensor([1.0, 2.0]), [x])
    >>> x
    Tensor([[1., 2.]], requires_grad=True)
    """
    listed = list(parameters)
    wanted = 0
    for each in listed:
        wanted += each.numel()
    if vec.shape != (wanted,):
        raise ShapeError("vector_to_parameters", "the vector does not fit", got=repr(vec.spec), expected=f"({wanted},)")
    start = 0
    for each in listed:
        each.assign(reshape(vec.detach()[start : start + each.numel()], each.shape))
        start += each.numel()


def _total(numbers: list[Tensor]) -> Tensor:
    total = numbers[0]
    for each in numbers[1:]:
        total = total + each.to(total.dtype)
    return total


def _largest(numbers: list[Tensor]) -> Tensor:
    largest = numbers[0]
    for each in numbers[1:]:
        largest = maximum(largest, each.to(largest.dtype))
    return largest
