"""Element-wise kernels and reductions, block by block while the numbers are in the cache."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ...graph import Node
from ...ops.base import Full
from ...ops.reduce import Mean
from ...ops.shape import BroadcastTo
from ..fuse import Fused
from .maps import Call, map_calls
from .scratch import Scratch, side_by_side
from .windows import Tail

BLOCK = 1 << 17
"""How many bytes of each array an element-wise kernel works on at a time."""

Arrays = Mapping[Node, np.ndarray]


def blocked_calls(body: Sequence[Node], arrays: Arrays, out: np.ndarray, scratch: Scratch) -> list[Call]:
    """An element-wise kernel, block by block along the first axis."""
    with scratch.marked():
        calls, arrays, out = _flattened(arrays, out, scratch)
        if not out.ndim or not out.size:
            return calls + map_calls(body, arrays, out, scratch)
        step = max(1, BLOCK // max(1, out.nbytes // out.shape[0]))
        for start in range(0, out.shape[0], step):
            block = slice(start, start + step)
            parts = {key: _rows(array, block, out.ndim) for key, array in arrays.items()}
            with scratch.marked():
                calls += map_calls(body, parts, out[block], scratch)
    return calls


def tail_of(op: Fused, arrays: Arrays, out: np.ndarray, scratch: Scratch) -> Tail:
    """What follows the head of a fused node, for some rows at a time."""
    head = op.head
    rest = [node for node in op.body if node is not head]
    read = {each for node in rest for each in node.inputs}
    assert head is not None

    def finish(rows: slice, product: np.ndarray) -> list[Call]:
        block = {key: _rows(array, rows, out.ndim) for key, array in arrays.items() if key in read}
        return blocked_calls(rest, {**block, head: product}, out[rows], scratch)

    return finish


def _rows(array: np.ndarray, rows: slice, axes: int) -> np.ndarray:
    """The part of an operand that belongs to some rows of the result."""
    return array if array.ndim < axes or array.shape[0] == 1 else array[rows]


def _flattened(arrays: Arrays, out: np.ndarray, scratch: Scratch) -> tuple[list[Call], Arrays, np.ndarray]:
    """The same work with longer rows.

    All axes become one where every operand fills the result; the last two do where the others are one number for each
    channel, which are laid side by side first, because a loop over a few channels is slow.
    """
    full = [array for array in arrays.values() if array.shape == out.shape]
    small = [array for array in arrays.values() if array.shape != out.shape]
    if all(each.size == 1 for each in small) and all(each.flags.c_contiguous for each in [*full, out]):
        flat = {key: _flat(array, array.shape == out.shape) for key, array in arrays.items()}
        return [], flat, out.reshape(-1)
    if out.ndim < 3 or out.shape[-1] >= 256 or not all(_joins(each) for each in [*full, out]):
        return [], arrays, out
    width, channels = out.shape[-2:]
    calls: list[Call] = []
    new: dict[Node, np.ndarray] = {}
    for key, array in arrays.items():
        if array.shape == out.shape:
            new[key] = _join(array)
        elif array.size == 1:
            new[key] = array.reshape(())
        elif array.size == channels == array.shape[-1]:
            row = scratch.take((width, channels), array.dtype)
            calls.append(partial(np.copyto, row, array.reshape(channels)))
            new[key] = row.reshape(-1)
        else:
            return [], arrays, out
    return calls, new, _join(out)


def _flat(array: np.ndarray, full: bool) -> np.ndarray:
    return array.reshape(-1) if full else array.reshape(())


def _joins(array: np.ndarray) -> bool:
    return array.strides[-1] == array.itemsize and array.strides[-2] == array.shape[-1] * array.itemsize


def _join(array: np.ndarray) -> np.ndarray:
    """The last two axes as one, without copying."""
    *lead, width, channels = array.shape
    return as_strided(array, (*lead, width * channels), (*array.strides[:-2], array.itemsize))


def reduction_calls(op: Fused, arrays: Arrays, out: np.ndarray, scratch: Scratch) -> list[Call]:
    """A sum or an average at the end of element-wise work, block by block along the first axis."""
    tail = op.tail
    assert tail is not None
    reduction: Any = tail.op
    (source,) = tail.inputs
    shape, dims, dtype = source.spec.shape, reduction.dims, source.spec.dtype
    plain = source  # what is repeated before it is added up
    while isinstance(plain.op, BroadcastTo):
        plain = plain.inputs[0]
    body = [node for node in op.body if node is not tail]
    read = {each for node in op.body for each in node.inputs}
    used = {key: array for key, array in arrays.items() if key in read}
    columns = dims == tuple(range(len(dims))) and 0 < len(dims) < len(shape) and dtype.kind == "f"
    calls: list[Call] = []
    starts, step = [0], max(1, shape[0]) if shape else 1
    if shape and source.spec.size:
        step = max(1, BLOCK // (source.spec.size // shape[0] * dtype.itemsize))
        starts = list(range(0, shape[0], step))
    for start in starts:
        rows = slice(start, min(start + step, shape[0]) if shape else 0)
        with scratch.marked():
            parts = {key: _rows(array, rows, len(shape)) for key, array in used.items()}
            if plain in parts:
                numbers = parts[plain]
            elif isinstance(plain.op, Full):
                numbers = np.asarray(plain.op.value, dtype)
            else:
                numbers = scratch.take((rows.stop - rows.start, *shape[1:]) if shape else (), dtype)
                more, flat, target = _flattened(parts, numbers, scratch)
                calls += more + map_calls(body, flat, target, scratch)
            if numbers.shape != ((rows.stop - rows.start, *shape[1:]) if shape else ()):
                numbers = np.broadcast_to(numbers, (rows.stop - rows.start, *shape[1:]))
            if 0 not in dims and shape:
                calls.append(partial(np.add.reduce, numbers, dims, None, out[rows], True))
                continue
            target = out if start == 0 else scratch.take(out.shape, out.dtype)
            if columns:
                calls += _column_sums(numbers, target, scratch)
            else:
                calls.append(partial(np.add.reduce, numbers, dims, None, target, True))
            if start:
                calls.append(partial(np.add, out, target, out))
    if isinstance(reduction, Mean):
        count = reduction.count(shape)
        calls.append(partial(np.multiply, out, np.asarray(1 / count if count else math.nan, out.dtype), out))
    return calls


def _column_sums(numbers: np.ndarray, out: np.ndarray, scratch: Scratch) -> list[Call]:
    """The sum of each column, as a product with a row of ones: many times quicker than adding the rows up."""
    calls, numbers = side_by_side(numbers, scratch.take)
    matrix = numbers.reshape(-1, out.size)
    calls.append(partial(np.matmul, np.ones((1, len(matrix)), matrix.dtype), matrix, out.reshape(1, -1)))
    return calls


def product_calls(a: np.ndarray, b: np.ndarray, out: np.ndarray, tail: Tail | None, scratch: Scratch) -> list[Call]:
    """A matrix product, finished as a whole."""
    calls: list[Call] = [partial(np.matmul, a, b, out)]
    if tail is not None:
        scratch.reset()
        calls += tail(slice(0, out.shape[0]), out)
    return calls
