"""Simplification: the same numbers from fewer nodes.

Every rule keeps each result as it is, for NaN, infinities and signed zeros too, except where it says so. What no result
rests on is gone by itself, for a graph is what can be reached from its results.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import fields, replace

import numpy as np

from ..graph import Node
from ..ops.base import CONSTANT, Constant, Full, Operation
from ..ops.elementwise import Add, Cast, Detach, Div, Mul, Neg, Relu, Sub
from ..ops.index import Index, IndexAdd, Key, Range
from ..ops.linalg import MatMul
from ..ops.norm import Standardise
from ..ops.random import Uniform
from ..ops.reduce import AMax, AMin, LogSumExp, Mean, Reduction, Sum
from ..ops.shape import BroadcastTo, Pad, Permute, Reshape
from .graph import like, rewrite

LARGEST_CONSTANT = 4096
"""How many numbers are computed beforehand at most: a graph that stands for a photograph should not hold it twice."""


def merge_equal(results: Sequence[Node]) -> list[Node]:
    """Common subexpressions: two calls of the same operation on the same nodes are one. Random numbers stay two."""
    seen: dict[Hashable, Node] = {}
    real: dict[object, list[str]] = {}

    def rule(node: Node) -> Node:
        if (not node.inputs and not isinstance(node.op, Full)) or isinstance(node.op, Uniform):
            return node
        op = node.op
        if type(op) not in real:
            real[type(op)] = _real_settings(op)
        signs = tuple([str(getattr(op, name)) for name in real[type(op)]])
        return seen.setdefault((op, signs, node.inputs, node.spec), node)

    return rewrite(results, rule)


def _real_settings(op: Operation) -> list[str]:
    """The settings of an operation that may be 0.0 or -0.0, which are equal, but whose text differs."""
    return [each.name for each in fields(op) if re.search("float|Number|Operation", str(each.type))]


def fold_constants(results: Sequence[Node]) -> list[Node]:
    """What rests on constants alone, and is small, becomes a constant."""

    def rule(node: Node) -> Node:
        if not node.inputs or node.spec.size > LARGEST_CONSTANT:
            return node
        if isinstance(node.op, BroadcastTo) or not all(isinstance(p.op, Constant | Full) for p in node.inputs):
            return node
        arrays = [p.op.forward(np) if isinstance(p.op, Full) else p.value for p in node.inputs]
        if not all(isinstance(array, np.ndarray) for array in arrays):  # on another device: leave it there
            return node
        with np.errstate(all="ignore"):
            value = np.asarray(node.op.forward(np, *arrays))
        if value.size and (value == value.flat[0]).all() and (value.flat[0] or _signs_agree(value)):
            return _full(node, value.flat[0].item())
        constant = like(node, CONSTANT, (), node.spec)
        constant.value = value
        return constant

    return rewrite(results, rule)


def _signs_agree(value: np.ndarray) -> bool:
    signs = np.signbit(value) if value.dtype.kind == "f" else np.zeros(1, bool)
    return bool((signs == signs.flat[0]).all())


def apply_algebra(results: Sequence[Node]) -> list[Node]:
    """``x * 1``, ``x / 1``, ``x - 0`` and ``x + -0.0`` are ``x``; views of views are one view; and the like."""
    return rewrite(results, _algebra)


def _number(node: Node) -> float | None:
    """The number that a node is everywhere, if it is one."""
    while isinstance(node.op, BroadcastTo | Reshape):
        node = node.inputs[0]
    return node.op.value if isinstance(node.op, Full) else None


def _is(node: Node, number: float) -> bool:
    found = _number(node)
    return found is not None and found == number and math.copysign(1, found) == math.copysign(1, number)


def _algebra(node: Node) -> Node:
    rule = RULES.get(type(node.op))
    while rule is not None:
        simpler = rule(node)
        if simpler is node:
            break
        node = simpler
        rule = RULES.get(type(node.op)) if node.inputs else None
    return node


def _mul(node: Node) -> Node:
    a, b = node.inputs
    if _is(b, 1):
        return a
    return b if _is(a, 1) else node


def _add(node: Node) -> Node:
    a, b = node.inputs
    if _is(b, -0.0) or (a.spec.dtype.kind != "f" and _is(b, 0)):
        return a
    return b if _is(a, -0.0) or (b.spec.dtype.kind != "f" and _is(a, 0)) else node


def _sub(node: Node) -> Node:
    return node.inputs[0] if _is(node.inputs[1], 0) else node


def _div(node: Node) -> Node:
    return node.inputs[0] if _is(node.inputs[1], 1) else node


def _neg(node: Node) -> Node:
    (x,) = node.inputs
    return x.inputs[0] if isinstance(x.op, Neg) else node


def _detach(node: Node) -> Node:
    return node.inputs[0]  # nothing is differentiated any more


def _cast(node: Node) -> Node:
    return node.inputs[0] if node.spec.dtype == node.inputs[0].spec.dtype else node


def _full(node: Node, number: float) -> Node:
    """One number everywhere, in the place of a node."""
    return like(node, Full(number, node.spec.shape, node.spec.dtype), (), node.spec)


def _reshape(node: Node) -> Node:
    (x,) = node.inputs
    if x.spec.shape == node.spec.shape:
        return x
    if isinstance(x.op, Reshape):
        return like(node, node.op, x.inputs, node.spec)
    if isinstance(x.op, Full):
        return _full(node, x.op.value)
    return node


def _reduction(node: Node) -> Node:
    """The reduced axes are kept, and left out afterwards: so a reduction is stored as its input is."""
    assert isinstance(node.op, Reduction)
    if node.op.keepdim or not node.inputs[0].spec.shape:
        return node
    kept = like(node, replace(node.op, keepdim=True), node.inputs)
    return like(node, Reshape(node.spec.shape), (kept,), node.spec)


def _broadcast_to(node: Node) -> Node:
    (x,) = node.inputs
    lead = len(node.spec.shape) - len(x.spec.shape)
    if lead and not isinstance(x.op, Full):  # as many axes before as after
        x = _reshape(like(node, Reshape((1,) * lead + x.spec.shape), (x,)))
        return like(node, node.op, (x,), node.spec)
    if x.spec.shape == node.spec.shape:
        return x
    if isinstance(x.op, BroadcastTo):
        return like(node, node.op, x.inputs, node.spec)
    if isinstance(x.op, Full):
        return _full(node, x.op.value)
    return node


def _permute(node: Node) -> Node:
    assert isinstance(node.op, Permute)
    (x,), dims = node.inputs, node.op.dims
    if dims == tuple(range(len(dims))):
        return x
    moved = [dim for dim in dims if x.spec.shape[dim] != 1]
    if moved == sorted(moved):  # only axes of length 1 change their places
        return like(node, Reshape(node.spec.shape), (x,), node.spec)
    if isinstance(x.op, Permute):
        return like(node, Permute(tuple([x.op.dims[dim] for dim in dims])), x.inputs, node.spec)
    if isinstance(x.op, Full):
        return _full(node, x.op.value)
    if isinstance(x.op, MatMul) and dims == (1, 0):  # (a b)^T = b^T a^T, and a product takes transposes for free
        a, b = x.inputs
        turned = [_algebra(like(each, Permute((1, 0)), (each,))) for each in (b, a)]
        return like(node, x.op, turned, node.spec)
    return node


def _pad(node: Node) -> Node:
    """What only cuts away is a view."""
    assert isinstance(node.op, Pad)
    (x,) = node.inputs
    if any(width > 0 for pair in node.op.widths for width in pair):
        return node
    if x.spec.shape == node.spec.shape:
        return x
    key = [Range(-before, length, 1) for (before, _), length in zip(node.op.widths, node.spec.shape, strict=True)]
    return like(node, Index(tuple(key)), (x,), node.spec)


def _matmul(node: Node) -> Node:
    """A product with zeros is zeros, such as the first step of a recurrent network; if the others are finite."""
    if any(isinstance(each.op, Full) and each.op.value == 0 for each in node.inputs):
        return _full(node, 0.0)
    return node


def _index(node: Node) -> Node:
    """Single positions as ranges of length 1, whose axes are left out afterwards."""
    assert isinstance(node.op, Index)
    ranges = _ranges(node, node.op.key)
    if ranges is None:
        return node
    kept = like(node, Index(ranges), node.inputs)
    return _reshape(like(node, Reshape(node.spec.shape), (kept,), node.spec))


def _index_add(node: Node) -> Node:
    assert isinstance(node.op, IndexAdd)
    ranges = _ranges(node, node.op.key)
    if ranges is None:
        return node
    shape = tuple([each.length for each in ranges])
    whole = _reshape(like(node, Reshape(shape), node.inputs))
    return like(node, IndexAdd(ranges, node.op.shape), (whole,), node.spec)


def _ranges(node: Node, key: Key) -> tuple[Range, ...] | None:
    """The key in ranges alone, if that is possible, and something else than what it is."""
    if len(node.inputs) > 1 or all(isinstance(each, Range) for each in key):
        return None
    return tuple([Range(each, 1, 1) if isinstance(each, int) else each for each in key])  # type: ignore[misc]


def _relu(node: Node) -> Node:
    return node.inputs[0] if isinstance(node.inputs[0].op, Relu) else node


def _standardise(node: Node) -> Node:
    """Now that its gradient has been taken, it is a difference and a quotient."""
    x, center, scale = [
        each if each.spec.shape == node.spec.shape else like(node, BroadcastTo(node.spec.shape), (each,))
        for each in node.inputs
    ]
    return like(node, Div(), (like(node, Sub(), (x, center)), scale), node.spec)


RULES: dict[type, Callable[[Node], Node]] = {
    Add: _add,
    BroadcastTo: _broadcast_to,
    Cast: _cast,
    Detach: _detach,
    Div: _div,
    Index: _index,
    IndexAdd: _index_add,
    MatMul: _matmul,
    Mul: _mul,
    Neg: _neg,
    Pad: _pad,
    Permute: _permute,
    Relu: _relu,
    Reshape: _reshape,
    Standardise: _standardise,
    Sub: _sub,
    **dict.fromkeys((AMax, AMin, LogSumExp, Mean, Sum), _reduction),
}
