"""Element-wise operations as calls that write into arrays which exist already."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ...graph import Node
from ...ops.base import Full, Operation
from ...ops.elementwise import (
    Abs,
    Add,
    Cast,
    Div,
    Eq,
    Exp,
    Expm1,
    Ge,
    Gt,
    Le,
    LeakyRelu,
    Log,
    LogicalNot,
    Lt,
    Masked,
    Maximum,
    Minimum,
    Mul,
    Ne,
    Neg,
    Pow,
    Relu,
    Sigmoid,
    Sign,
    Softplus,
    Sqrt,
    Square,
    Sub,
    Tanh,
)  # fmt: skip
from ...ops.random import Dropout
from ...ops.shape import BroadcastTo
from ..fuse import Copy
from .scratch import Scratch

Call = Callable[[], object]

UFUNCS: dict[type[Operation], np.ufunc] = {
    Abs: np.abs, Add: np.add, Div: np.divide, Eq: np.equal, Exp: np.exp, Expm1: np.expm1, Ge: np.greater_equal,
    Gt: np.greater, Le: np.less_equal, Log: np.log, LogicalNot: np.logical_not, Lt: np.less, Maximum: np.maximum,
    Minimum: np.minimum, Mul: np.multiply, Ne: np.not_equal, Neg: np.negative, Pow: np.power, Sign: np.sign,
    Sqrt: np.sqrt, Square: np.square, Sub: np.subtract, Tanh: np.tanh,
}  # fmt: skip


def map_calls(body: Sequence[Node], arrays: Mapping[Node, np.ndarray], out: np.ndarray, scratch: Scratch) -> list[Call]:
    """The calls that compute the last node of ``body`` into ``out``.

    Args:
        body: element-wise nodes in order, with what is repeated and single numbers among them.
        arrays: what the nodes read that are not in the body; all fit the shape of ``out`` by broadcasting.
        out: where the result goes; it may be one of ``arrays``.
        scratch: where intermediate results go.
    """
    values = dict(arrays)
    steps = []
    for node in body:
        if isinstance(node.op, BroadcastTo):
            values[node] = values[node.inputs[0]]
        elif isinstance(node.op, Full):
            values[node] = np.asarray(node.op.value, node.op.dtype)
        else:
            steps.append(node)
    last_use = {each: position for position, node in enumerate(steps) for each in _origins(node)}
    calls: list[Call] = []
    spare: dict[np.dtype, list[np.ndarray]] = {}
    owned: dict[Node, np.ndarray] = {}
    for position, node in enumerate(steps):
        inputs = [values[each] for each in node.inputs]
        dying = [each for each in _origins(node) if each in owned and last_use[each] == position]
        if position == len(steps) - 1:
            target = out
        else:
            reuse = next((each for each in dying if owned[each].dtype == node.spec.dtype), None)
            if reuse is not None:  # an operand that nobody reads again
                dying.remove(reuse)
                target = owned.pop(reuse)
            elif spare.get(node.spec.dtype):
                target = spare[node.spec.dtype].pop()
            else:
                target = scratch.take(out.shape, node.spec.dtype)
            owned[node] = target
        values[node] = target
        calls += _calls(node.op, inputs, target, scratch)
        for each in dying:
            array = owned.pop(each)
            spare.setdefault(array.dtype, []).append(array)
    return calls


def _origins(node: Node) -> list[Node]:
    """The inputs of a node, with what is repeated traced back."""
    found = []
    for each in node.inputs:
        while isinstance(each.op, BroadcastTo):
            each = each.inputs[0]
        if each not in found:
            found.append(each)
    return found


def _calls(op: Operation, inputs: list[np.ndarray], out: np.ndarray, scratch: Scratch) -> list[Call]:
    ufunc = UFUNCS.get(type(op))
    if ufunc is not None:
        return [partial(ufunc, *inputs, out=out)]
    if isinstance(op, Relu):
        return [partial(np.maximum, inputs[0], np.asarray(0, out.dtype), out=out)]
    if isinstance(op, Masked) and out.dtype.kind == "f":
        return _masked(inputs[0], inputs[1], out, scratch)
    if isinstance(op, Dropout):
        x, noise = inputs
        mask = scratch.take(out.shape, np.dtype(bool))
        scale = np.asarray(1 / (1 - op.p) if op.p < 1 else 0.0, out.dtype)
        return [
            partial(np.greater_equal, noise, np.asarray(op.p, noise.dtype), mask),
            partial(np.multiply, x, scale, out),
            *_masked(out, mask, out, scratch),
        ]
    if isinstance(op, LeakyRelu):  # x * 1 or x * slope
        mask = scratch.take(out.shape, np.dtype(bool))
        slopes = np.asarray([op.negative_slope, 1.0], out.dtype)
        factor = scratch.take(out.shape, out.dtype)
        return [
            partial(np.greater, inputs[0], np.asarray(0, out.dtype), mask),
            partial(np.take, slopes, mask.view(np.int8), None, factor, "clip"),
            partial(np.multiply, inputs[0], factor, out),
        ]
    if isinstance(op, Sigmoid | Softplus):
        return _soft(op, inputs[0], out, scratch)
    if isinstance(op, Cast | Copy):
        return [partial(np.copyto, out, inputs[0], "unsafe")]
    return [partial(_compute, op, inputs, out)]


def _soft(op: Operation, x: np.ndarray, out: np.ndarray, scratch: Scratch) -> list[Call]:
    """``1 / (1 + exp(-x))`` and ``log(1 + exp(x))`` from ``exp(-|x|)``, which cannot overflow, as they are eagerly."""
    small = scratch.take(out.shape, out.dtype)
    calls: list[Call] = [partial(np.abs, x, small), partial(np.negative, small, small), partial(np.exp, small, small)]
    zero, one = np.asarray(0, out.dtype), np.asarray(1, out.dtype)
    if isinstance(op, Softplus):
        return [
            *calls,
            partial(np.log1p, small, small),
            partial(np.maximum, x, zero, out=out),
            partial(np.add, out, small, out),
        ]
    mask = scratch.take(out.shape, np.dtype(bool))
    return [
        *calls,
        partial(np.greater_equal, x, zero, mask),
        partial(np.maximum, small, mask, out=out),  # 1 for positive numbers
        partial(np.add, small, one, small),
        partial(np.divide, out, small, out),
    ]


def _masked(x: np.ndarray, mask: np.ndarray, out: np.ndarray, scratch: Scratch) -> list[Call]:
    """``x`` where the mask holds, else 0: the bits of each number and'ed with all ones or zeros."""
    bits = np.dtype(f"i{out.itemsize}")
    kept = scratch.take(out.shape, bits)
    if mask.shape != out.shape:
        mask = np.broadcast_to(mask, out.shape)
    if x.shape != out.shape:
        x = np.broadcast_to(x, out.shape)
    return [
        partial(np.negative, mask.view(np.int8), kept),
        partial(np.bitwise_and, x.view(bits), kept, out.view(bits)),
    ]


def _compute(op: Operation, inputs: Sequence[Any], out: np.ndarray) -> None:
    """An operation that has no call of its own: its result is copied."""
    np.copyto(out, op.forward(np, *inputs))
