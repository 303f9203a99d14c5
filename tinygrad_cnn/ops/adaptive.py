"""Pooling to a size that is asked for, whatever the size of the image; of the whole image, above all.

Legend: N batch, C channels, S the spatial axes of the image, P those of the result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..tensor import Tensor, TensorLike
from .base import apply, as_tensor, require_float
from .elementwise import detach
from .index import index, take_along_dim
from .pool import AvgPool, MaxPool, MaxPooled, MaxPoolIndices
from .reduce import argmax, mean
from .resample import binned_average
from .shape import broadcast_to, permute, reshape, squeeze, unsqueeze
from .window import Sizes, per_axis, spatial_axes

AdaptiveSize = int | None | Sequence[int | None]
"""The size to pool to: one number for all spatial axes or one for each; ``None`` keeps the axis as it is."""


def _prepare(name: str, axes: int, input: TensorLike, output_size: AdaptiveSize) -> tuple[Tensor, bool, Sizes]:
    """The input with a batch axis, whether that was added, and the size of the result."""
    x, single = spatial_axes(name, as_tensor(input), axes)
    require_float(name, x.spec)
    size = x.shape[2:]
    if 0 in size:
        raise ShapeError(
            name, "there are no pixels to pool", got=repr(x.spec), expected="spatial axes of length 1 or more"
        )
    wanted: list[Any] = list(output_size) if isinstance(output_size, tuple | list) else [output_size] * axes
    if len(wanted) == axes:
        wanted = [n if each is None else each for each, n in zip(wanted, size, strict=True)]
    return x, single, per_axis(name, "output_size", wanted, axes, least=1)


def _steps(size: Sizes, target: Sizes) -> Sizes | None:
    """The windows that the bins are when all are alike: the image can be divided evenly."""
    if any(n % p for n, p in zip(size, target, strict=True)):
        return None
    return tuple([n // p for n, p in zip(size, target, strict=True)])


# The average


def _adaptive_avg_pool(axes: int, input: TensorLike, output_size: AdaptiveSize) -> Tensor:
    x, single, target = _prepare(f"adaptive_avg_pool{axes}d", axes, input, output_size)
    kernel = _steps(x.shape[2:], target)
    if set(target) == {1}:
        y = mean(x, tuple(range(2, 2 + axes)), keepdim=True)
    elif kernel is not None:
        y = apply(AvgPool(kernel, kernel, ((0, 0),) * axes, (1,) * axes), x)
    else:
        y = binned_average(x, target)
    return squeeze(y, 0) if single else y


def adaptive_avg_pool1d(input: TensorLike, output_size: AdaptiveSize) -> Tensor:
    """The averages over ``output_size`` bins: ``(N, C, L) -> (N, C, output_size)``; see :func:`adaptive_avg_pool2d`.

    >>> adaptive_avg_pool1d(Tensor([[[1.0, 2.0, 6.0]]]), 2)
    Tensor([[[1.5, 4. ]]])
    """
    return _adaptive_avg_pool(1, input, output_size)


def adaptive_avg_pool2d(input: TensorLike, output_size: AdaptiveSize) -> Tensor:
    """The averages over a grid of bins: ``(N, C, H, W) -> (N, C, *output_size)``, whatever the size of the image.

    Args:
        input: ``(N, C, H, W)``, or ``(C, H, W)`` for a single image.
        output_size: height and width of the result, or one number for both; ``None`` keeps an axis as it is.

    Bin ``i`` of ``o`` goes from pixel ``floor(i * L / o)`` up to, but without, ``ceil((i + 1) * L / o)``, as in
    PyTorch: neighbouring bins share a pixel where the image cannot be divided evenly. ``output_size=1`` is the
    average of the whole image.

    Raises :class:`ArgumentError` for a size below 1, :class:`ShapeError` for another number of axes or an image
    without pixels, :class:`DTypeError` for integers.

    >>> adaptive_avg_pool2d(Tensor([[[[1.0, 2.0, 6.0], [3.0, 4.0, 8.0]]]]), (1, 2))
    Tensor([[[[2.5, 5. ]]]])
    """
    return _adaptive_avg_pool(2, input, output_size)


def adaptive_avg_pool3d(input: TensorLike, output_size: AdaptiveSize) -> Tensor:
    """The averages over bins: ``(N, C, D, H, W) -> (N, C, *output_size)``; see :func:`adaptive_avg_pool2d`.

    >>> adaptive_avg_pool3d(Tensor([[[[[1.0, 2.0], [3.0, 6.0]]]]]), 1)
    Tensor([[[[[3.]]]]])
    """
    return _adaptive_avg_pool(3, input, output_size)


# The maximum


def _adaptive_max_pool(axes: int, input: TensorLike, output_size: AdaptiveSize, return_indices: bool) -> MaxPooled:
    name = f"adaptive_max_pool{axes}d"
    x, single, target = _prepare(name, axes, input, output_size)
    kernel = _steps(x.shape[2:], target)
    if set(target) == {1}:
        largest, places = _largest(reshape(x, (*x.shape[:2], *target, math.prod(x.shape[2:]))))
    elif kernel is not None:
        settings = (kernel, kernel, ((0, 0),) * axes, (1,) * axes)
        largest = places = apply(MaxPool(*settings), x)
        if return_indices:
            places = apply(MaxPoolIndices(*settings), detach(x), detach(largest))
    else:
        cells, pixels = _bins(x, target)
        largest, number = _largest(cells)
        places = take_along_dim(broadcast_to(pixels, cells.shape), unsqueeze(number, -1), -1)
        places = squeeze(places, -1)
    if single:
        largest, places = squeeze(largest, 0), squeeze(places, 0)
    return (largest, places) if return_indices else largest


def _largest(cells: Tensor) -> tuple[Tensor, Tensor]:
    """The first of the largest along the last axis, and its number."""
    number = argmax(cells, -1, keepdim=True)
    return squeeze(take_along_dim(cells, number, -1), -1), squeeze(number, -1)


def _bins(x: Tensor, target: Sizes) -> tuple[Tensor, Tensor]:
    """The pixels of each bin, and their row-major numbers in the image: ``(N, C, *P, K)`` and ``(*P, K)``.

    Where a bin is shorter than the longest its last pixel is read again, which changes neither the largest nor which
    pixel is the first of the largest.
    """
    size, axes = x.shape[2:], len(target)
    kernel, numbers = [], np.zeros((1,) * (2 * axes), np.int64)
    cells = x
    for axis, (n, p) in enumerate(zip(size, target, strict=True)):
        new = np.arange(p)
        low, high = new * n // p, -(-(new + 1) * n // p)
        k = int((high - low).max())
        places = np.minimum(low[:, None] + np.arange(k), high[:, None] - 1)  # (P, K)
        where = 2 + 2 * axis
        cells = index(cells, (*[slice(None)] * where, Tensor(places, device=None if x.symbolic else x.device)))
        numbers = numbers * n + places.reshape(*[1] * axis, p, *[1] * (axes - 1), k, *[1] * (axes - axis - 1))
        kernel.append(k)
    order = (0, 1, *range(2, 2 + 2 * axes, 2), *range(3, 3 + 2 * axes, 2))
    cells = permute(cells, order)  # (N, C, P, K, P, K, ...) -> (N, C, *P, *K)
    count = math.prod(kernel)
    pixels = Tensor(numbers.reshape(*target, count), device=None if x.symbolic else x.device)
    return reshape(cells, (*x.shape[:2], *target, count)), pixels


def adaptive_max_pool1d(input: TensorLike, output_size: AdaptiveSize, return_indices: bool = False) -> MaxPooled:
    """The largest in each of ``output_size`` bins: ``(N, C, L) -> (N, C, output_size)``.

    The bins are those of :func:`adaptive_avg_pool2d`, everything else is as in :func:`adaptive_max_pool2d`.

    >>> adaptive_max_pool1d(Tensor([[[1.0, 6.0, 2.0]]]), 2)
    Tensor([[[6., 6.]]])
    """
    return _adaptive_max_pool(1, input, output_size, return_indices)


def adaptive_max_pool2d(input: TensorLike, output_size: AdaptiveSize, return_indices: bool = False) -> MaxPooled:
    """The largest pixel in each bin of a grid: ``(N, C, H, W) -> (N, C, *output_size)``.

    Args:
        input: ``(N, C, H, W)``, or ``(C, H, W)`` for a single image.
        output_size: height and width of the result, or one number for both; ``None`` keeps an axis as it is.
        return_indices: whether to give the pair of the pixels and their places in the image, counted in row-major
            order.

    The bins are those of :func:`adaptive_avg_pool2d`. The gradient goes to the first of the largest pixels.

    Raises :class:`ArgumentError` for a size below 1, :class:`ShapeError` for another number of axes or an image
    without pixels, :class:`DTypeError` for integers.

    >>> adaptive_max_pool2d(Tensor([[[[1.0, 2.0, 6.0], [3.0, 4.0, 8.0]]]]), (1, 2))
    Tensor([[[[4., 8.]]]])
    """
    return _adaptive_max_pool(2, input, output_size, return_indices)


def adaptive_max_pool3d(input: TensorLike, output_size: AdaptiveSize, return_indices: bool = False) -> MaxPooled:
    """The largest voxel in each bin: ``(N, C, D, H, W) -> (N, C, *output_size)``; see :func:`adaptive_max_pool2d`.

    >>> adaptive_max_pool3d(Tensor([[[[[1.0, 2.0], [3.0, 6.0]]]]]), 1)
    Tensor([[[[[6.]]]]])
    """
    return _adaptive_max_pool(3, input, output_size, return_indices)


# The whole image


def _global_avg_pool(axes: int, input: TensorLike, keepdim: bool) -> Tensor:
    x, single, _ = _prepare(f"global_avg_pool{axes}d", axes, input, 1)
    y = mean(x, tuple(range(2, 2 + axes)), keepdim)
    return squeeze(y, 0) if single else y


def _global_max_pool(axes: int, input: TensorLike, keepdim: bool) -> Tensor:
    x, single, _ = _prepare(f"global_max_pool{axes}d", axes, input, 1)
    y, _ = _largest(reshape(x, (*x.shape[:2], math.prod(x.shape[2:]))))
    y = reshape(y, (*y.shape, *[1] * axes)) if keepdim else y
    return squeeze(y, 0) if single else y


def global_avg_pool1d(input: TensorLike, keepdim: bool = False) -> Tensor:
    """The average of each channel: ``(N, C, L) -> (N, C)``; see :func:`global_avg_pool2d`.

    >>> global_avg_pool1d(Tensor([[[1.0, 5.0]]]))
    Tensor([[3.]])
    """
    return _global_avg_pool(1, input, keepdim)


def global_avg_pool2d(input: TensorLike, keepdim: bool = False) -> Tensor:
    """The average of the whole image, for each channel: ``(N, C, H, W) -> (N, C)``. (Lin et al., 2014)

    Args:
        input: ``(N, C, H, W)``, or ``(C, H, W)`` for a single image.
        keepdim: whether the spatial axes stay, with length 1; then it is ``adaptive_avg_pool2d(input, 1)``.

    Raises :class:`ShapeError` for another number of axes or an image without pixels, :class:`DTypeError` for
    integers.

    >>> global_avg_pool2d(Tensor([[[[1.0, 2.0], [3.0, 6.0]]]]))
    Tensor([[3.]])
    """
    return _global_avg_pool(2, input, keepdim)


def global_avg_pool3d(input: TensorLike, keepdim: bool = False) -> Tensor:
    """The average of each channel: ``(N, C, D, H, W) -> (N, C)``; see :func:`global_avg_pool2d`.

    >>> global_avg_pool3d(Tensor([[[[[1.0, 5.0]]]]]))
    Tensor([[3.]])
    """
    return _global_avg_pool(3, input, keepdim)


def global_max_pool1d(input: TensorLike, keepdim: bool = False) -> Tensor:
    """The largest number of each channel: ``(N, C, L) -> (N, C)``; see :func:`global_max_pool2d`.

    >>> global_max_pool1d(Tensor([[[1.0, 5.0]]]))
    Tensor([[5.]])
    """
    return _global_max_pool(1, input, keepdim)


def global_max_pool2d(input: TensorLike, keepdim: bool = False) -> Tensor:
    """The largest pixel of the whole image, for each channel: ``(N, C, H, W) -> (N, C)``.

    Args:
        input: ``(N, C, H, W)``, or ``(C, H, W)`` for a single image.
        keepdim: whether the spatial axes stay, with length 1; then it is ``adaptive_max_pool2d(input, 1)``.

    The gradient goes to the first of the largest.

    Raises :class:`ShapeError` for another number of axes or an image without pixels, :class:`DTypeError` for
    integers.

    >>> global_max_pool2d(Tensor([[[[1.0, 2.0], [3.0, 6.0]]]]))
    Tensor([[6.]])
    """
    return _global_max_pool(2, input, keepdim)


def global_max_pool3d(input: TensorLike, keepdim: bool = False) -> Tensor:
    """The largest number of each channel: ``(N, C, D, H, W) -> (N, C)``; see :func:`global_max_pool2d`.

    >>> global_max_pool3d(Tensor([[[[[1.0, 5.0]]]]]))
    Tensor([[5.]])
    """
    return _global_max_pool(3, input, keepdim)
