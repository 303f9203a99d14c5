"""Images at another resolution: each new pixel is a weighted sum of a few old ones, along one axis after the other.

Up-sampling by the nearest pixel or by lines between pixels, and averages over bins of unequal length. Legend: N batch,
C channels, S the spatial axes of the image, P those of the result.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend import Array
from ..errors import ArgumentError, ShapeError
from ..graph import Spec
from ..tensor import Tensor, TensorLike
from .base import Gradient, Operation, apply, as_tensor, require_float
from .shape import permute, reshape
from .window import SizeArgument, Sizes, per_axis

# What is read for each place


@functools.lru_cache(maxsize=1024)
def _sources(rule: str, n: int, p: int, step: float, align_corners: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The matrix of ``p`` new pixels out of ``n`` old ones, as its rows, columns and numbers that are not 0."""
    new = np.arange(p)
    if rule == "average":  # bin i goes from floor(i * n / p) up to, but without, ceil((i + 1) * n / p)
        low, high = new * n // p, -(-(new + 1) * n // p)
        rows = np.repeat(new, high - low)
        columns = np.concatenate([np.arange(first, last) for first, last in zip(low, high, strict=True)])
        return rows, columns, 1 / np.repeat(high - low, high - low)
    if rule == "nearest":  # in float32, as in PyTorch: where a product is nearly whole, rounding decides
        nearest = np.floor(new.astype(np.float32) * np.float32(step)).astype(np.int64)
        return new, np.minimum(nearest, n - 1), np.ones(p)
    place = new * step if align_corners else np.maximum((new + 0.5) * step - 0.5, 0)
    left = np.minimum(np.floor(place).astype(np.int64), n - 1)
    share = np.where(left < n - 1, np.clip(place - left, 0, 1), 0)  # of the right neighbour
    rows, columns = np.concatenate([new, new]), np.concatenate([left, left + 1])
    weights = np.concatenate([1 - share, share])
    return rows[weights > 0], columns[weights > 0], weights[weights > 0]


Term = tuple[slice | np.ndarray, slice | np.ndarray, np.ndarray]
"""Places of the result, each at most once, what each of them reads, and how much that counts."""


@functools.lru_cache(maxsize=1024)
def _terms(rule: str, n: int, p: int, step: float, align_corners: bool, adjoint: bool) -> tuple[Term, ...]:
    """The matrix, or its transpose, as sums: the first source of every place, the second of those that have one, ..."""
    rows, columns, weights = _sources(rule, n, p, step, align_corners)
    to, read = (columns, rows) if adjoint else (rows, columns)
    order = np.argsort(to, kind="stable")
    to, read, weights = to[order], read[order], weights[order]
    number = np.arange(len(to)) - np.searchsorted(to, to)  # which source of its place it is
    terms = []
    for turn in range(int(number.max(initial=-1)) + 1):
        chosen = number == turn
        terms.append((_key(to[chosen]), _key(read[chosen]), weights[chosen]))
    return tuple(terms)


def _key(places: np.ndarray) -> slice | np.ndarray:
    """Evenly spaced places as a slice, which is read without copying."""
    step = int(places[1] - places[0]) if len(places) > 1 else 1
    first = int(places[0])
    even = step > 0 and bool(np.all(np.diff(places) == step))
    return slice(first, int(places[-1]) + 1, step) if even else places


@dataclass(frozen=True)
class Resampling(Operation):
    """What resampling and its adjoint share."""

    rule: str
    """``"nearest"``, ``"linear"`` or ``"average"``."""
    size: Sizes
    target: Sizes
    steps: tuple[float, ...]
    """How many old pixels one goes on from a new pixel to the next."""
    align_corners: bool = False

    def resampled(self, xp: Any, x: Array, adjoint: bool) -> Array:
        """The array with each spatial axis multiplied by its matrix; axes that shrink come first."""
        growth = [p / n for n, p in zip(self.size, self.target, strict=True)]
        for axis in sorted(range(len(growth)), key=growth.__getitem__, reverse=adjoint):
            n, p, step = self.size[axis], self.target[axis], self.steps[axis]
            if n != p or step not in (0, 1):
                terms = _terms(self.rule, n, p, step, self.align_corners, adjoint)
                x = _multiplied(xp, x, axis + 2, n if adjoint else p, terms)
        return x


def _multiplied(xp: Any, x: Array, axis: int, length: int, terms: Sequence[Term]) -> Array:
    """One axis of the array multiplied by a matrix that has ``length`` rows."""
    result = xp.zeros((*x.shape[:axis], length, *x.shape[axis + 1 :]), dtype=x.dtype)
    before = (slice(None),) * axis
    for number, (to, read, weights) in enumerate(terms):
        pixels = x[(*before, read)] if isinstance(read, slice) else xp.take(x, xp.asarray(read), axis=axis)
        if not np.all(weights == 1):
            pixels = pixels * xp.asarray(weights, dtype=x.dtype).reshape(-1, *[1] * (x.ndim - axis - 1))
        places = (*before, to if isinstance(to, slice) else xp.asarray(to))
        if number:
            result[places] += pixels
        else:
            result[places] = pixels
    return result


@dataclass(frozen=True)
class Resample(Resampling):
    """Each spatial axis at another length: ``(N, C, *S) -> (N, C, *P)``. Gradient: ``resample_adjoint``."""

    name = "resample"

    def infer(self, x: Spec) -> Spec:
        require_float(self.name, x)
        return Spec((*x.shape[:2], *self.target), x.dtype)

    def forward(self, xp: Any, x: Array) -> Array:
        return self.resampled(xp, x, adjoint=False)

    def vjp(self, grad: Tensor, output: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        return (apply(ResampleAdjoint(self.rule, self.size, self.target, self.steps, self.align_corners), grad),)


@dataclass(frozen=True)
class ResampleAdjoint(Resampling):
    """Each number given back to the pixels it was made of: ``(N, C, *P) -> (N, C, *S)``. Gradient: ``resample``."""

    name = "resample_adjoint"

    def infer(self, y: Spec) -> Spec:
        return Spec((*y.shape[:2], *self.size), y.dtype)

    def forward(self, xp: Any, y: Array) -> Array:
        return self.resampled(xp, y, adjoint=True)

    def vjp(self, grad: Tensor, output: Tensor, y: Tensor) -> tuple[Gradient, ...]:
        return (apply(Resample(self.rule, self.size, self.target, self.steps, self.align_corners), grad),)


def binned_average(x: Tensor, target: Sizes) -> Tensor:
    """The averages over ``target`` bins along each spatial axis, as adaptive pooling cuts them."""
    size = x.shape[2:]
    return apply(Resample("average", size, target, tuple([n / p for n, p in zip(size, target, strict=True)])), x)


# The functions

MODES = {"nearest": (1, 2, 3), "linear": (1,), "bilinear": (2,), "trilinear": (3,)}
"""The ways to fill in pixels, and the numbers of spatial axes that they are for."""


def interpolate(
    input: TensorLike,
    size: SizeArgument | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> Tensor:
    """An image at another resolution: ``(N, C, *S) -> (N, C, *P)``, with one to three spatial axes.

    Args:
        input: the images; floating-point.
        size: the new size in pixels, one number for all spatial axes or one for each. Either this,
        scale_factor: or how many times as large: ``P = floor(S * scale_factor)``.
        mode: ``"nearest"`` copies pixels; ``"linear"``, ``"bilinear"`` and ``"trilinear"``, for one, two and three
            spatial axes, lay lines between neighbours. There is no smoothing first: when shrinking by more than two,
            most pixels are not looked at.
        align_corners: for lines, whether the centres of the corner pixels stay where they are
            (``old = new * (S - 1) / (P - 1)``) rather than the outer edges (``old = (new + 0.5) / scale - 0.5``, which
            is the default).
        recompute_scale_factor: whether the scale is ``P / S`` rather than the ``scale_factor`` that was given, which
            differs where that gives no whole number of pixels.

    The values are PyTorch's. The gradient gives each number back to the pixels it was made of, in the same shares.

    Raises :class:`ArgumentError` unless one of ``size`` and ``scale_factor`` is given, and for a mode that does not
    fit; :class:`ShapeError` for an image without pixels; :class:`DTypeError` for integers.

    >>> interpolate(Tensor([[[1.0, 2.0]]]), scale_factor=2)
    Tensor([[[1., 1., 2., 2.]]])
    >>> interpolate(Tensor([[[1.0, 2.0]]]), scale_factor=2, mode="linear")
    Tensor([[[1.  , 1.25, 1.75, 2.  ]]])
    """
    x = as_tensor(input)
    axes = x.ndim - 2
    _check_mode(x, mode, align_corners)
    source = x.shape[2:]
    if (size is None) == (scale_factor is None):
        raise ArgumentError(
            "interpolate", "the new size must be said in one way", got=f"size={size}, scale_factor={scale_factor}",
            expected="either size or scale_factor",
        )  # fmt: skip
    given: tuple[float, ...] | None = None
    if size is not None:
        target = per_axis("interpolate", "size", size, axes, least=1)
    else:
        assert scale_factor is not None
        given = _scales(scale_factor, axes)
        target = tuple([math.floor(n * scale) for n, scale in zip(source, given, strict=True)])
    if 0 in (*source, *target):
        raise ShapeError(
            "interpolate", "there are no pixels", got=f"{x.spec!r} to size {target}",
            expected="P = floor(S * scale_factor) >= 1 on each axis",
            fix="use a larger image or a larger scale",
        )  # fmt: skip
    corners = bool(align_corners)
    rule = "nearest" if mode == "nearest" else "linear"
    # Where these multiples of the size come out, PyTorch does not look at the scale that was given.
    plain = (1,) if rule == "linear" else (1, 2) if axes == 2 else ()
    steps = []
    for axis, (n, p) in enumerate(zip(source, target, strict=True)):
        if corners:
            steps.append((n - 1) / (p - 1) if p > 1 else 0.0)
        elif given is None or recompute_scale_factor or p in [n * each for each in plain]:
            steps.append(n / p)
        else:
            steps.append(1 / given[axis])
    if source == target and set(steps) <= {0.0, 1.0}:
        return x
    return apply(Resample(rule, source, target, tuple(steps), corners), x)


def _check_mode(x: Tensor, mode: str, align_corners: bool | None) -> None:
    """Raise unless the mode exists, fits the image and takes ``align_corners`` if that is given."""
    axes = x.ndim - 2
    if mode not in MODES:
        raise ArgumentError(
            "interpolate", "there is no such mode", got=f"mode={mode!r}",
            expected=", ".join(map(repr, MODES)),
        )  # fmt: skip
    if axes not in MODES[mode]:
        fitting = [name for name, counts in MODES.items() if axes in counts]
        problem = f"mode {mode!r} is not for an image of {axes} spatial axes"
        if not fitting:
            problem = f"the input has {x.ndim} axes"
        raise ShapeError(
            "interpolate", problem, got=repr(x.spec),
            expected="(N, C, L), (N, C, H, W) or (N, C, D, H, W)",
            fix=f"use mode={' or '.join(map(repr, fitting))}" if fitting else "insert missing axes with unsqueeze",
        )  # fmt: skip
    if mode == "nearest" and align_corners is not None:
        raise ArgumentError(
            "interpolate", "copying the nearest pixel has no corners to align", got=f"align_corners={align_corners}",
            expected="align_corners only with 'linear', 'bilinear' or 'trilinear'",
        )  # fmt: skip


def _scales(scale_factor: float | Sequence[float], axes: int) -> tuple[float, ...]:
    """One positive number for each spatial axis."""
    scales: list[Any] = list(scale_factor) if isinstance(scale_factor, tuple | list) else [scale_factor] * axes
    if len(scales) != axes or not all(0 < scale < math.inf for scale in scales):
        raise ArgumentError(
            "interpolate", "scale_factor needs positive numbers", got=f"scale_factor={scale_factor!r}",
            expected=f"a number, or {axes} of them, one for each spatial axis",
        )  # fmt: skip
    return tuple([float(scale) for scale in scales])


def pixel_shuffle(input: TensorLike, upscale_factor: int) -> Tensor:
    """Channels laid out as pixels: ``(N, C * r * r, H, W) -> (N, C, H * r, W * r)``, ``r`` being ``upscale_factor``.

    The last step of a super-resolution network: the ``r * r`` channels of one pixel become a square of pixels, row by
    row. (Shi et al., 2016) The inverse is :func:`pixel_unshuffle`.

    Raises :class:`ShapeError` when the channels cannot be divided by ``r * r``, or for an input that is no image.

    >>> pixel_shuffle(Tensor([[[[1.0]], [[2.0]], [[3.0]], [[4.0]]]]), 2)
    Tensor([[[[1., 2.],
              [3., 4.]]]])
    """
    x = as_tensor(input)
    (r,) = per_axis("pixel_shuffle", "upscale_factor", upscale_factor, 1, least=1)
    _check_image("pixel_shuffle", x)
    *lead, channels, height, width = x.shape
    if channels % (r * r):
        raise ShapeError(
            "pixel_shuffle", f"{channels} channels do not make squares of {r} by {r} pixels", got=repr(x.spec),
            expected=f"channels divisible by upscale_factor ** 2 = {r * r}",
            fix=f"let the convolution before give C * {r * r} channels",
        )  # fmt: skip
    return _regrouped(x, (*lead, channels // (r * r), r, r, height, width), (0, 3, 1, 4, 2), (1, 2, 2))


def pixel_unshuffle(input: TensorLike, downscale_factor: int) -> Tensor:
    """Squares of pixels as channels: ``(N, C, H * r, W * r) -> (N, C * r * r, H, W)``; undoes :func:`pixel_shuffle`.

    Raises :class:`ShapeError` when height or width cannot be divided by ``r``, or for an input that is no image.

    >>> pixel_unshuffle(Tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), 2).shape
    (1, 4, 1, 1)
    """
    x = as_tensor(input)
    (r,) = per_axis("pixel_unshuffle", "downscale_factor", downscale_factor, 1, least=1)
    _check_image("pixel_unshuffle", x)
    *lead, channels, height, width = x.shape
    if height % r or width % r:
        raise ShapeError(
            "pixel_unshuffle", f"{height} by {width} pixels cannot be divided into squares of {r} by {r}",
            got=repr(x.spec), expected=f"height and width divisible by downscale_factor = {r}",
            fix="cut or pad the image first",
        )  # fmt: skip
    return _regrouped(x, (*lead, channels, height // r, r, width // r, r), (0, 2, 4, 1, 3), (3, 1, 1))


def _regrouped(x: Tensor, split: Sizes, order: Sizes, joined: Sizes) -> Tensor:
    """The last three axes split into five, put into another order, and joined to three again."""
    lead = len(split) - 5
    x = permute(reshape(x, split), (*range(lead), *[lead + axis for axis in order]))
    lengths, shape = list(x.shape[lead:]), list(x.shape[:lead])
    for count in joined:
        shape.append(math.prod(lengths[:count]))
        del lengths[:count]
    return reshape(x, shape)


def _check_image(name: str, x: Tensor) -> None:
    if x.ndim < 3:
        raise ShapeError(name, f"the input has {x.ndim} axes", got=repr(x.spec), expected="(N, C, H, W) or (C, H, W)")
