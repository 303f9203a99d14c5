"""Window operations as plain loops over single numbers, for any number of spatial axes.

They share no code with the package. Legend: N batch, C channels of the image, O channels of the map, S the spatial
axes of the image, K those of the kernel, P those of the map.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

Sizes = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


def count_places(
    size: Sizes, kernel: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes, ceil_mode: bool = False
) -> Sizes:
    """How many windows there are along each axis, found by trying one start after the other."""
    counts = []
    for n, k, s, (before, after), d in zip(size, kernel, stride, padding, dilation, strict=True):
        count = 0
        while True:
            start = count * s - before
            reach = start + (k - 1) * d  # the last cell
            fits = reach < n + after
            hangs_over = ceil_mode and start < n and reach - (s - 1) < n + after
            if not (fits or hangs_over):
                break
            count += 1
        counts.append(count)
    return tuple(counts)


def cells(place: Sizes, kernel: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes) -> list[tuple[Sizes, Sizes]]:
    """Each cell of the kernel and the pixel that it lies on, which may be outside the image."""
    found = []
    for cell in itertools.product(*map(range, kernel)):
        pixel = [
            p * s - before + i * d
            for p, s, (before, _), i, d in zip(place, stride, padding, cell, dilation, strict=True)
        ]
        found.append((cell, tuple(pixel)))
    return found


def inside(pixel: Sizes, size: Sizes) -> bool:
    """Whether the pixel belongs to the image."""
    return all(0 <= at < n for at, n in zip(pixel, size, strict=True))


def conv_nd(
    x: np.ndarray, weight: np.ndarray, stride: Sizes, padding: Pairs, dilation: Sizes, groups: int = 1
) -> np.ndarray:
    """``(N, C, *S), (O, C/groups, *K) -> (N, O, *P)``."""
    size, kernel = x.shape[2:], weight.shape[2:]
    count = count_places(size, kernel, stride, padding, dilation)
    per_group, filters = weight.shape[1], weight.shape[0] // groups
    y = np.zeros((x.shape[0], weight.shape[0], *count), x.dtype)
    for n, o, *place in np.ndindex(y.shape):
        for cell, pixel in cells(tuple(place), kernel, stride, padding, dilation):
            if inside(pixel, size):
                for c in range(per_group):
                    y[(n, o, *place)] += weight[(o, c, *cell)] * x[(n, o // filters * per_group + c, *pixel)]
    return y


def conv_transpose_nd(
    y: np.ndarray,
    weight: np.ndarray,
    stride: Sizes,
    padding: Sizes,
    output_padding: Sizes,
    dilation: Sizes,
    groups: int = 1,
) -> np.ndarray:
    """``(N, C, *P), (C, O/groups, *K) -> (N, O, *S)``: every pixel paints its multiple of the filter."""
    kernel = weight.shape[2:]
    settings = zip(y.shape[2:], kernel, stride, padding, output_padding, dilation, strict=True)
    size = tuple((p - 1) * s - 2 * cut + d * (k - 1) + extra + 1 for p, k, s, cut, extra, d in settings)
    painted, sources = weight.shape[1], weight.shape[0] // groups
    pairs = tuple((cut, cut) for cut in padding)
    image = np.zeros((y.shape[0], painted * groups, *size), y.dtype)
    for n, c, *place in np.ndindex(y.shape):
        for cell, pixel in cells(tuple(place), kernel, stride, pairs, dilation):
            if inside(pixel, size):
                for o in range(painted):
                    image[(n, c // sources * painted + o, *pixel)] += y[(n, c, *place)] * weight[(c, o, *cell)]
    return image


def max_pool_nd(
    x: np.ndarray, kernel: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes, ceil_mode: bool = False
) -> np.ndarray:
    """``(N, C, *S) -> (N, C, *P)``; padding is not looked at, NaN wins."""
    size = x.shape[2:]
    count = count_places(size, kernel, stride, padding, dilation, ceil_mode)
    y = np.zeros((*x.shape[:2], *count), x.dtype)
    for n, c, *place in np.ndindex(y.shape):
        seen = [
            x[(n, c, *pixel)]
            for _, pixel in cells(tuple(place), kernel, stride, padding, dilation)
            if inside(pixel, size)
        ]
        y[(n, c, *place)] = math.nan if any(math.isnan(each) for each in seen) else max(seen, default=-math.inf)
    return y


def avg_pool_nd(
    x: np.ndarray,
    kernel: Sizes,
    stride: Sizes,
    padding: Pairs,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> np.ndarray:
    """``(N, C, *S) -> (N, C, *P)``."""
    size, dilation = x.shape[2:], (1,) * len(kernel)
    count = count_places(size, kernel, stride, padding, dilation, ceil_mode)
    wide = tuple(n + after for n, (_, after) in zip(size, padding, strict=True))
    y = np.zeros((*x.shape[:2], *count), x.dtype)
    for n, c, *place in np.ndindex(y.shape):
        total, in_image, in_padding = 0.0, 0, 0
        for _, pixel in cells(tuple(place), kernel, stride, padding, dilation):
            if inside(pixel, size):
                total += float(x[(n, c, *pixel)])
                in_image += 1
            elif all(at < limit for at, limit in zip(pixel, wide, strict=True)):
                in_padding += 1
        pixels = in_image + in_padding if count_include_pad else in_image
        y[(n, c, *place)] = total / (divisor_override or pixels)
    return y


def unfold(x: np.ndarray, kernel: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes) -> np.ndarray:
    """``(N, C, *S) -> (N, C * prod(K), L)``, zero where a cell lies on the padding."""
    size = x.shape[2:]
    count = count_places(size, kernel, stride, padding, dilation)
    columns = np.zeros((*x.shape[:2], math.prod(kernel), math.prod(count)), x.dtype)
    for n, c in np.ndindex(x.shape[:2]):
        for column, place in enumerate(np.ndindex(count)):
            for row, (_, pixel) in enumerate(cells(place, kernel, stride, padding, dilation)):
                if inside(pixel, size):
                    columns[n, c, row, column] = x[(n, c, *pixel)]
    return columns.reshape(x.shape[0], x.shape[1] * math.prod(kernel), math.prod(count))
