"""Other ways to pool: the norm of a window, averages weighted by distance, the largest of several channels.

Legend: N batch, C channels, S the spatial axes of the image, K those of the window, P the places that the window takes.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from ..errors import ArgumentError, ShapeError
from ..mode import scope
from ..tensor import Tensor, TensorLike
from .base import apply, as_tensor, require_float
from .conv import Conv
from .elementwise import div, eq, logical_not, masked, mul, pow, where
from .pool import AvgPool, prepare
from .reduce import amax
from .shape import normalize_dim, reshape, squeeze
from .window import Pairs, SizeArgument, Sizes, meeting, offsets, places

# The norm


def _lp_pool(
    axes: int,
    input: TensorLike,
    norm_type: float,
    kernel_size: SizeArgument,
    stride: SizeArgument | None,
    ceil_mode: bool,
) -> Tensor:
    name = f"lp_pool{axes}d"
    if not 0 < norm_type < math.inf:
        raise ArgumentError(
            name, "there is no such norm", got=f"norm_type={norm_type}",
            expected="a positive number: 1 for the sum, 2 for the root of the sum of squares",
            fix=f"for the largest pixel use max_pool{axes}d",
        )  # fmt: skip
    x, single, settings = prepare(name, axes, input, kernel_size, stride, 0, 1)
    require_float(name, x.spec)
    places(name, x.shape[2:], *settings, ceil_mode)  # an error names the function that was called
    with scope(name):
        average = apply(AvgPool(*settings, ceil_mode), x if norm_type == 1 else pow(x, norm_type))
        total = mul(average, float(math.prod(settings[0])))
        if norm_type != 1:
            empty = eq(total, 0.0)  # where the root has no slope
            total = masked(pow(where(empty, 1.0, total), 1 / norm_type), logical_not(empty))
    return squeeze(total, 0) if single else total


def lp_pool1d(
    input: TensorLike,
    norm_type: float,
    kernel_size: SizeArgument,
    stride: SizeArgument | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The norm of each window: ``(N, C, L) -> (N, C, L')``. Everything else as in :func:`lp_pool2d`.

    >>> lp_pool1d(Tensor([[[3.0, 4.0, 0.0, 2.0]]]), 2, 2)
    Tensor([[[5., 2.]]])
    """
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: TensorLike,
    norm_type: float,
    kernel_size: SizeArgument,
    stride: SizeArgument | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The p-norm of each window, ``(sum of x ** p) ** (1 / p)``: ``(N, C, H, W) -> (N, C, H', W')``.

    Between the sum (``p = 1``) and the maximum (large ``p``) of positive numbers. (Sermanet et al., 2012)

    Args:
        input: ``(N, C, H, W)``, or ``(C, H, W)`` for a single image.
        norm_type: the ``p``; for odd ones the sum must not be negative.
        kernel_size: the window, in pixels.
        stride: the distance between neighbouring windows; without it the window's size.
        ceil_mode: whether a last window may hang over the end; it counts as if its average filled it, as in PyTorch.

    The gradient of a window of zeros is 0.

    Raises :class:`ArgumentError` for a ``p`` that is not positive and finite, and the errors of :func:`max_pool2d`.

    >>> lp_pool2d(Tensor([[[[1.0, 2.0], [2.0, 4.0]]]]), 2, 2)
    Tensor([[[[5.]]]])
    """
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: TensorLike,
    norm_type: float,
    kernel_size: SizeArgument,
    stride: SizeArgument | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The norm of each window: ``(N, C, D, H, W) -> (N, C, D', H', W')``; see :func:`lp_pool2d`.

    >>> lp_pool3d(Tensor([[[[[1.0, 2.0], [2.0, 4.0]]]]]), 2, (1, 2, 2))
    Tensor([[[[[5.]]]]])
    """
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


# The average weighted by distance


def distance_weights(kernel_size: SizeArgument, weights: str = "inverse") -> np.ndarray:
    """What each cell of a window counts, by its distance ``d`` in pixels from the window's centre; they add up to 1.

    Args:
        kernel_size: the window, one number for each axis.
        weights: ``"inverse"``, in proportion to ``1 / (1 + d)``, or ``"gaussian"``, in proportion to
            ``exp(-d ** 2 / (2 * sigma ** 2))`` with ``sigma`` a quarter of the window's longest side.

    Raises :class:`ArgumentError` for another word.

    >>> distance_weights((3,)).tolist()
    [0.25, 0.5, 0.25]
    """
    kernel = tuple(kernel_size) if isinstance(kernel_size, tuple | list) else (kernel_size,)
    square = np.zeros(kernel)
    for axis, k in enumerate(kernel):
        from_centre = np.arange(k) - (k - 1) / 2
        square = square + from_centre.reshape(-1, *[1] * (len(kernel) - axis - 1)) ** 2
    if weights == "inverse":
        raw = 1 / (1 + np.sqrt(square))
    elif weights == "gaussian":
        raw = np.exp(-square / (2 * (max(kernel) / 4) ** 2))
    else:
        raise ArgumentError(
            "distance_weights", "there are no such weights", got=f"weights={weights!r}",
            expected="'inverse' for 1 / (1 + d), or 'gaussian'",
        )  # fmt: skip
    normal: np.ndarray = raw / raw.sum()
    return normal


@functools.lru_cache(maxsize=64)
def _weight_inside(kernel: Sizes, stride: Sizes, padding: Pairs, weights: str, size: Sizes, count: Sizes) -> np.ndarray:
    """For each place of the window, the weight of its cells that lie on the image."""
    cells = distance_weights(kernel, weights)
    inside = np.zeros(count)
    for offset in offsets(kernel):
        _, place = meeting(size, count, offset, stride, padding, (1,) * len(kernel))
        inside[place] += cells[offset]
    return inside


def _weighted_pool(
    axes: int,
    input: TensorLike,
    kernel_size: SizeArgument,
    stride: SizeArgument | None,
    padding: SizeArgument | str,
    weights: str,
) -> Tensor:
    name = f"weighted_pool{axes}d"
    x, single, (kernel, steps, pairs, spread) = prepare(name, axes, input, kernel_size, stride, padding, 1)
    require_float(name, x.spec)
    size = x.shape[2:]
    count = places(name, size, kernel, steps, pairs, spread)
    on = None if x.symbolic else x.device
    cells = Tensor(distance_weights(kernel, weights).reshape(1, 1, *kernel), dtype=x.dtype, device=on)
    with scope(name):  # every channel is an image of its own
        y = apply(Conv(steps, pairs, spread, 1), reshape(x, (x.shape[0] * x.shape[1], 1, *size)), cells)
        y = reshape(y, (*x.shape[:2], *count))
        if any(before or after for before, after in pairs):
            y = div(y, Tensor(_weight_inside(kernel, steps, pairs, weights, size, count), dtype=x.dtype, device=on))
    return squeeze(y, 0) if single else y


def weighted_pool1d(
    input: TensorLike,
    kernel_size: SizeArgument,
    stride: SizeArgument | None = None,
    padding: SizeArgument | str = 0,
    weights: str = "inverse",
) -> Tensor:
    """The weighted average of each window: ``(N, C, L) -> (N, C, L')``. All else as in :func:`weighted_pool2d`.

    >>> weighted_pool1d(Tensor([[[4.0, 8.0, 0.0]]]), 3)
    Tensor([[[5.]]])
    """
    return _weighted_pool(1, input, kernel_size, stride, padding, weights)


def weighted_pool2d(
    input: TensorLike,
    kernel_size: SizeArgument,
    stride: SizeArgument | None = None,
    padding: SizeArgument | str = 0,
    weights: str = "inverse",
) -> Tensor:
    """An average of each window in which pixels near the centre count more: ``(N, C, H, W) -> (N, C, H', W')``.

    Args:
        input: ``(N, C, H, W)``, or ``(C, H, W)`` for a single image.
        kernel_size: the window, in pixels.
        stride: the distance between neighbouring windows; without it the window's size.
        padding: a margin on each side that does not count, at most half of the window; or ``"same"`` or ``"valid"``.
        weights: how a pixel at the distance ``d`` from the window's centre counts: ``"inverse"``, in proportion to
            ``1 / (1 + d)``, or ``"gaussian"``; see :func:`distance_weights`.

    In a window of 2 by 2 all pixels are equally far from the centre, so this is :func:`avg_pool2d`.

    Raises :class:`ArgumentError` for other weights, and the errors of :func:`avg_pool2d`.

    >>> weighted_pool2d(Tensor([[[[4.0, 8.0, 0.0]]]]), (1, 3))
    Tensor([[[[5.]]]])
    """
    return _weighted_pool(2, input, kernel_size, stride, padding, weights)


def weighted_pool3d(
    input: TensorLike,
    kernel_size: SizeArgument,
    stride: SizeArgument | None = None,
    padding: SizeArgument | str = 0,
    weights: str = "inverse",
) -> Tensor:
    """The weighted average of each window: ``(N, C, D, H, W) -> (N, C, D', H', W')``; see :func:`weighted_pool2d`.

    >>> weighted_pool3d(Tensor([[[[[4.0, 8.0, 0.0]]]]]), (1, 1, 3))
    Tensor([[[[[5.]]]]])
    """
    return _weighted_pool(3, input, kernel_size, stride, padding, weights)


# Across channels


def maxout(input: TensorLike, kernel_size: int, dim: int = 1) -> Tensor:
    """The largest of each ``kernel_size`` neighbouring channels: ``(N, C, *S) -> (N, C / kernel_size, *S)``.

    Filters that see the same thing in several sizes or directions then answer as one. (Goodfellow et al., 2013)

    Args:
        input: any shape.
        kernel_size: how many neighbours make a group.
        dim: the axis of the channels.

    Equals share the gradient.

    Raises :class:`ShapeError` when the channels cannot be divided into such groups, :class:`ArgumentError` for an axis
    that does not exist or a group of none.

    >>> maxout(Tensor([[1.0, 5.0, 4.0, 2.0]]), 2)
    Tensor([[5., 4.]])
    """
    x = as_tensor(input)
    axis = normalize_dim("maxout", dim, x.ndim)
    if kernel_size < 1:
        raise ArgumentError("maxout", "a group needs a channel", got=f"kernel_size={kernel_size}", expected="1 or more")
    if x.shape[axis] % kernel_size:
        raise ShapeError(
            "maxout", f"{x.shape[axis]} channels cannot be divided into groups of {kernel_size}", got=repr(x.spec),
            expected=f"the length of axis {axis} divisible by kernel_size = {kernel_size}",
        )  # fmt: skip
    with scope("maxout"):
        groups = (x.shape[axis] // kernel_size, kernel_size)
        return amax(reshape(x, (*x.shape[:axis], *groups, *x.shape[axis + 1 :])), axis + 1)
