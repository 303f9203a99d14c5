"""What the basic operations should give, in plain Python: loops over elements and the formula of one element.

Nothing of the package is used here. NumPy only holds the numbers and numbers the places.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np


def elementwise(formula: Callable[..., object], *arrays: np.ndarray) -> np.ndarray:
    """The formula, once for each element; the arrays have one shape."""
    columns = [array.ravel().tolist() for array in arrays]
    return np.array([formula(*values) for values in zip(*columns, strict=True)]).reshape(arrays[0].shape)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def softplus(x: float) -> float:
    return math.log(1 + math.exp(x))


def reduced(formula: Callable[[list], object], x: np.ndarray, dims: Sequence[int], keepdim: bool = False) -> np.ndarray:
    """The formula of a list of numbers, for each place along the other axes."""
    others = [range(1) if axis in dims else range(length) for axis, length in enumerate(x.shape)]
    along = [range(length) if axis in dims else range(1) for axis, length in enumerate(x.shape)]
    results = [
        formula([x[tuple(a + b for a, b in zip(place, step, strict=True))].item() for step in product(*along)])
        for place in product(*others)
    ]
    lengths = [1 if axis in dims else n for axis, n in enumerate(x.shape)]
    kept = lengths if keepdim else [n for axis, n in enumerate(x.shape) if axis not in dims]
    return np.array(results).reshape(kept)


def logsumexp(values: list[float]) -> float:
    return math.log(sum(math.exp(value) for value in values))


def log_softmax(dim: int, x: np.ndarray) -> np.ndarray:
    result = np.empty(x.shape)
    for place in np.ndindex(*x.shape):
        along = [x[(*place[:dim], other, *place[dim + 1 :])].item() for other in range(x.shape[dim])]
        result[place] = x[place] - logsumexp(along)
    return result


def standardised(x: np.ndarray, dims: Sequence[int], eps: float) -> np.ndarray:
    center = reduced(lambda values: sum(values) / len(values), x, dims, keepdim=True)
    distance = x - center
    variance = reduced(lambda values: sum(value**2 for value in values) / len(values), distance, dims, keepdim=True)
    return distance / (variance + eps) ** 0.5


def first_largest(values: list[float]) -> int:
    return values.index(max(values))


def first_smallest(values: list[float]) -> int:
    return values.index(min(values))


def moved(shape: Sequence[int], source: Callable[[tuple[int, ...]], float], dtype: np.dtype) -> np.ndarray:
    """An array whose element at each place comes from elsewhere."""
    result = np.empty(shape, dtype)
    for place in np.ndindex(*shape):
        result[place] = source(place)
    return result


def reshaped(x: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    numbers = iter([x[place] for place in np.ndindex(*x.shape)])
    return moved(shape, lambda place: next(numbers), x.dtype)


def permuted(x: np.ndarray, dims: Sequence[int]) -> np.ndarray:
    def source(place: tuple[int, ...]) -> float:
        original = [0] * x.ndim
        for position, dim in zip(place, dims, strict=True):
            original[dim] = position
        return x[tuple(original)]

    return moved([x.shape[dim] for dim in dims], source, x.dtype)


def broadcast(x: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    lead = len(shape) - x.ndim

    def source(place: tuple[int, ...]) -> float:
        return x[tuple(0 if n == 1 else position for position, n in zip(place[lead:], x.shape, strict=True))]

    return moved(shape, source, x.dtype)


def joined(arrays: Sequence[np.ndarray], dim: int) -> np.ndarray:
    owner = [(array, position) for array in arrays for position in range(array.shape[dim])]
    shape = list(arrays[0].shape)
    shape[dim] = len(owner)

    def source(place: tuple[int, ...]) -> float:
        array, position = owner[place[dim]]
        return array[(*place[:dim], position, *place[dim + 1 :])]

    return moved(shape, source, arrays[0].dtype)


def padded(x: np.ndarray, widths: Sequence[tuple[int, int]], value: float) -> np.ndarray:
    def source(place: tuple[int, ...]) -> float:
        original = tuple(position - before for position, (before, _) in zip(place, widths, strict=True))
        inside = all(0 <= position < n for position, n in zip(original, x.shape, strict=True))
        return x[original] if inside else value

    return moved([before + n + after for n, (before, after) in zip(x.shape, widths, strict=True)], source, x.dtype)


def flipped(x: np.ndarray, dims: Sequence[int]) -> np.ndarray:
    def source(place: tuple[int, ...]) -> float:
        ends = enumerate(zip(place, x.shape, strict=True))
        return x[tuple(n - 1 - position if axis in dims else position for axis, (position, n) in ends)]

    return moved(x.shape, source, x.dtype)


def added_at(x: np.ndarray, key: tuple, shape: Sequence[int]) -> np.ndarray:
    """Zeros with the elements of ``x`` added in where ``key`` points, one after the other."""
    places = np.arange(math.prod(shape)).reshape(shape)[key]
    result = [0.0] * math.prod(shape)
    for place in np.ndindex(*x.shape):
        result[int(places[place])] += x[place].item()
    return np.array(result).reshape(shape)


def taken_along(x: np.ndarray, index: np.ndarray, dim: int) -> np.ndarray:
    return moved(index.shape, lambda place: x[(*place[:dim], index[place], *place[dim + 1 :])], x.dtype)


def added_along(x: np.ndarray, index: np.ndarray, dim: int, shape: Sequence[int]) -> np.ndarray:
    result = np.zeros(shape)
    for place in np.ndindex(*x.shape):
        result[(*place[:dim], index[place], *place[dim + 1 :])] += x[place]
    return result


def matrix_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """For stacks of matrices of the same leading axes."""
    result = np.zeros((*a.shape[:-1], b.shape[-1]))
    for *lead, row, column in np.ndindex(*result.shape):
        for inner in range(a.shape[-1]):
            result[(*lead, row, column)] += float(a[(*lead, row, inner)]) * float(b[(*lead, inner, column)])
    return result


def dropped(x: np.ndarray, noise: np.ndarray, p: float) -> np.ndarray:
    return elementwise(lambda value, draw: value / (1 - p) if draw >= p else 0.0, x, noise)


def adjoint(linear: Callable[[np.ndarray], np.ndarray], shape: Sequence[int], y: np.ndarray) -> np.ndarray:
    """The adjoint of a linear function at ``y``, by its definition: element ``i`` is ``sum(y * linear(e_i))``."""
    result = np.zeros(shape)
    for place in np.ndindex(*shape):
        one = np.zeros(shape)
        one[place] = 1.0
        result[place] = np.sum(y * linear(one))
    return result
