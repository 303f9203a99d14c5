"""The receptive field: which pixels of the input a unit can see.

It is worked out backwards over the graph. A unit is a box of one element; for each node, the box of elements that are
needed of its result gives the boxes needed of its inputs, by one rule for each kind of operation; where several ways
lead to a node (a shortcut, a concatenation), it needs the smallest box around all of them.
"""

from __future__ import annotations

import copy
import heapq
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..autodiff import grad
from ..errors import ArgumentError
from ..graph import Node, topological_order
from ..nn.module import Module
from ..ops.elementwise import Binary, Cast, Clip, Detach, Masked, Unary, Where
from ..ops.index import Picked, Range
from ..ops.linalg import MatMul
from ..ops.pool import Pooling
from ..ops.random import Dropout
from ..ops.reduce import LogSoftmax, Reduction
from ..ops.resample import Resample
from ..ops.shape import BroadcastTo, Cat, Flip, Pad, Permute, Reshape
from ..tensor import Tensor, symbol
from .activations import layer_output, untouched

Span = tuple[int, int]
"""The first and the last place along an axis; it may reach over the border."""
Box = tuple[Span, ...]
"""A span for each axis."""


class ReceptiveField(NamedTuple):
    """What a unit sees of the input, along the spatial axes."""

    size: tuple[int, ...]
    """How many pixels, those of the padding included."""
    stride: tuple[float, ...]
    """How many pixels the field moves from one unit to the next; 0 where there is only one."""
    first: tuple[int, ...]
    """The first pixel, counted from 0; negative ones lie on the padding."""
    last: tuple[int, ...]
    """The last pixel."""


def receptive_field(
    model: Module,
    input_shape: Sequence[int],
    layer: str = "",
    unit: Sequence[int] | None = None,
    clip: bool = False,
) -> ReceptiveField:
    """The receptive field of a unit, over the whole graph of the model; nothing is computed.

    Args:
        model: left as it is; it is described in evaluation.
        input_shape: ``(N, C, *S)``.
        layer: a name of ``model.named_modules()``; ``""`` is the model's output.
        unit: the place of the unit in the layer's output, along the spatial axes; without it the middle one.
        clip: whether pixels outside the image are left out. Boxes know no gaps, so at a border a dilated kernel may
            be said to see up to ``dilation - 1`` pixels more than it does.

    Raises :class:`ArgumentError` for a layer or unit that does not exist.

    >>> from tinygrad_cnn import nn
    >>> two_small = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3))
    >>> receptive_field(two_small, (1, 1, 9, 9)).size
    (5, 5)
    """
    x = symbol(tuple(input_shape))
    with untouched(model):
        output = layer_output(model, layer, x)
    places = _places(output.shape, unit)
    low, high = _seen(output.node, x.node, places, clip)
    moves = []
    for axis in range(len(low)):
        count = output.shape[2 + axis] if output.ndim > 2 + axis else 1
        if count < 2:
            moves.append(0.0)
            continue
        ends = []
        for place in (0, count - 1):
            other = list(places)
            other[axis] = place
            ends.append(_seen(output.node, x.node, other, False)[0][axis])
        moves.append((ends[1] - ends[0]) / (count - 1))
    size = tuple([last - first + 1 for first, last in zip(low, high, strict=True)])
    return ReceptiveField(size, tuple(moves), tuple(low), tuple(high))


def field_sizes(outputs: Iterable[Node], source: Node) -> dict[Node, tuple[int, ...]]:
    """How many pixels of the source the middle unit of each output sees, along the spatial axes.

    The same as :attr:`ReceptiveField.size`, for many nodes of one graph at once. Outputs that do not depend on the
    source are left out; where the graph has no windows (convolution, pooling, another resolution) all are.
    """
    ends = list(outputs)
    order = topological_order(ends)
    rank = {node: place for place, node in enumerate(order)}
    stands: dict[Node, Node] = {source: source}  # for a node that depends on the source: one with the same needs
    by_window = False
    for node in order:
        inside = {parent for parent in node.inputs if parent in stands}
        if inside:
            rule = _rule(node)
            by_window = by_window or rule in (_window, _painted, _resampled)
            stands[node] = stands[inside.pop()] if rule is _same and len(inside) == 1 else node
    if not by_window:
        return {}
    sizes: dict[Node, tuple[int, ...]] = {}
    for end in dict.fromkeys([stands[node] for node in ends if node in stands]):
        spans = _needed_of(end, source, stands, rank)
        if spans is not None:
            sizes[end] = tuple([last - first + 1 for first, last in spans[2:]])
    return {node: sizes[stands[node]] for node in ends if stands.get(node) in sizes}


def _needed_of(end: Node, source: Node, stands: dict[Node, Node], rank: dict[Node, int]) -> Box | None:
    """What the middle unit of a node needs of the source, by a walk that skips what changes no needs."""
    shape = end.spec.shape
    places = [(0, 0), (0, shape[1] - 1 if len(shape) > 1 else 0), *[(n // 2, n // 2) for n in shape[2:]]]
    needed: dict[Node, Box] = {end: tuple(places[: len(shape)])}
    waiting = [(-rank[end], end)]  # ranks differ, so nodes are not compared
    while waiting:
        _, node = heapq.heappop(waiting)
        if node is source:
            break
        rule, box = _rule(node), needed.pop(node)
        for position, parent in enumerate(node.inputs):
            part = rule(node, box, position) if parent in stands else None
            if part is not None:
                below = stands[parent]
                if below in needed:
                    needed[below] = _around(needed[below], part)
                else:
                    needed[below] = part
                    heapq.heappush(waiting, (-rank[below], below))
    return needed.get(source)


def measured_receptive_field(
    model: Module,
    input_shape: Sequence[int],
    layer: str = "",
    unit: Sequence[int] | None = None,
    samples: int = 8,
    seed: int = 0,
) -> ReceptiveField:
    """The same by experiment: the pixels in which a unit has a gradient, for positive random weights and images.

    A maximum depends on one pixel at a time, so the pixels of several images are taken together. The field is clipped
    to the image; its stride is not measured and given as 0.

    Args:
        model: left as it is; a copy is given other weights.
        input_shape: ``(1, C, *S)``.
        layer: as for :func:`receptive_field`.
        unit: as for :func:`receptive_field`.
        samples: how many images.
        seed: decides weights and images.

    Raises what :func:`receptive_field` raises.
    """
    random = np.random.default_rng(seed)
    twin = copy.deepcopy(model)
    for leaf in twin.parameters():
        leaf.assign(random.uniform(0.1, 1.0, leaf.shape).astype(leaf.dtype) / math.sqrt(max(leaf.numel(), 1)))
    seen = np.zeros(tuple(input_shape)[2:], bool)
    with untouched(twin):
        for _ in range(samples):
            x = Tensor(random.uniform(0.1, 1.0, tuple(input_shape)).astype(np.float32), requires_grad=True)
            output = layer_output(twin, layer, x)
            places = _places(output.shape, unit)
            chosen = output[(slice(0, 1), slice(None), *places[: output.ndim - 2])]
            seen |= (grad(chosen.sum(), x).numpy() != 0).any((0, 1))
    where = np.nonzero(seen)
    first, last = tuple([int(each.min()) for each in where]), tuple([int(each.max()) for each in where])
    size = tuple([b - a + 1 for a, b in zip(first, last, strict=True)])
    return ReceptiveField(size, (0.0,) * len(size), first, last)


def _places(shape: tuple[int, ...], unit: Sequence[int] | None) -> list[int]:
    spatial = shape[2:]
    places = [n // 2 for n in spatial] if unit is None else list(unit)
    if len(places) != len(spatial) or any(not 0 <= p < n for p, n in zip(places, spatial, strict=False)):
        raise ArgumentError(
            "receptive_field", "there is no such unit", got=f"unit={unit} of an output {shape}",
            expected=f"a place for each spatial axis, below {spatial}",
        )  # fmt: skip
    return places


def _seen(output: Node, source: Node, places: Sequence[int], clip: bool) -> tuple[list[int], list[int]]:
    """The first and the last pixels of the source that the unit needs, along its spatial axes."""
    shape = output.spec.shape
    start: Box = ((0, 0), *[(0, n - 1) for n in shape[1:2]], *[(place, place) for place in places])
    needed: dict[Node, Box] = {output: start}
    for node in reversed(topological_order([output])):
        box = needed.get(node)
        if box is None or not node.inputs:
            continue
        rule = _rule(node)
        for position, parent in enumerate(node.inputs):
            part = rule(node, box, position)
            if part is not None:
                part = _clipped(part, parent.spec.shape) if clip else part
                needed[parent] = _around(needed[parent], part) if parent in needed else part
    if source not in needed:
        raise ArgumentError("receptive_field", "the layer does not depend on the input", got=repr(output))
    spans = needed[source][2:]
    return [first for first, _ in spans], [last for _, last in spans]


def _around(one: Box, other: Box) -> Box:
    return tuple([(min(a, c), max(b, d)) for (a, b), (c, d) in zip(one, other, strict=True)])


def _clipped(box: Box, shape: tuple[int, ...]) -> Box:
    return tuple([(max(first, 0), min(last, n - 1)) for (first, last), n in zip(box, shape, strict=True)])


# Rules: from the box that is needed of a result to the box that is needed of one input; nothing for unneeded inputs

Rule = Callable[[Node, Box, int], "Box | None"]


def _whole(node: Node, box: Box, position: int) -> Box:
    return tuple([(0, n - 1) for n in node.inputs[position].spec.shape])


def _same(node: Node, box: Box, position: int) -> Box:
    return box


def _window(node: Node, box: Box, position: int) -> Box | None:
    """Convolution and pooling: all channels, and for each place its window."""
    op: Any = node.op
    if position:
        return None
    x = node.inputs[0].spec.shape
    kernel = op.kernel if isinstance(op, Pooling) else node.inputs[1].spec.shape[2:]
    channels = box[1] if isinstance(op, Pooling) else (0, x[1] - 1)
    spans = [
        (first * s - before, last * s - before + d * (k - 1))
        for (first, last), k, s, (before, _), d in zip(box[2:], kernel, op.stride, op.padding, op.dilation, strict=True)
    ]
    return (box[0], channels, *spans)


def _painted(node: Node, box: Box, position: int) -> Box | None:
    """Transposed convolution: the places whose painting reaches the box."""
    op: Any = node.op
    if position:
        return None
    y, kernel = node.inputs[0].spec.shape, node.inputs[1].spec.shape[2:]
    spans = [
        (-((d * (k - 1) - before - first) // s), (last + before) // s)
        for (first, last), k, s, (before, _), d in zip(box[2:], kernel, op.stride, op.padding, op.dilation, strict=True)
    ]
    return (box[0], (0, y[1] - 1), *spans)


def _reshaped(node: Node, box: Box, position: int) -> Box:
    """Axes of length 1 may come and go; an axis that keeps its place among the others keeps its span."""
    old, new = node.inputs[0].spec.shape, node.spec.shape
    if [n for n in old if n != 1] == [n for n in new if n != 1]:
        kept = iter([span for span, n in zip(box, new, strict=True) if n != 1])
        return tuple([(0, 0) if n == 1 else next(kept) for n in old])
    same = 0  # leading axes that stay as they are
    while same < min(len(old), len(new)) and old[same] == new[same]:
        same += 1
    return (*box[:same], *[(0, n - 1) for n in old[same:]])


def _permuted(node: Node, box: Box, position: int) -> Box:
    op: Any = node.op
    return tuple([box[op.dims.index(axis)] for axis in range(len(box))])


def _broadcast(node: Node, box: Box, position: int) -> Box:
    old = node.inputs[0].spec.shape
    lead = len(box) - len(old)
    return tuple([(0, 0) if n == 1 else span for n, span in zip(old, box[lead:], strict=True)])


def _joined(node: Node, box: Box, position: int) -> Box | None:
    op: Any = node.op
    start = sum([parent.spec.shape[op.dim] for parent in node.inputs[:position]])
    length = node.inputs[position].spec.shape[op.dim]
    first, last = box[op.dim][0] - start, box[op.dim][1] - start
    if last < 0 or first >= length:
        return None
    return (*box[: op.dim], (max(first, 0), min(last, length - 1)), *box[op.dim + 1 :])


def _padded(node: Node, box: Box, position: int) -> Box:
    op: Any = node.op
    return tuple([(first - before, last - before) for (first, last), (before, _) in zip(box, op.widths, strict=True)])


def _flipped(node: Node, box: Box, position: int) -> Box:
    op: Any = node.op
    shape = node.spec.shape
    return tuple([
        (shape[axis] - 1 - last, shape[axis] - 1 - first) if axis in op.dims else (first, last)
        for axis, (first, last) in enumerate(box)
    ])  # fmt: skip


def _reduced(node: Node, box: Box, position: int) -> Box:
    op: Any = node.op
    old = node.inputs[0].spec.shape
    spans = iter(box)
    result = []
    for axis, n in enumerate(old):
        if axis in op.dims:
            result.append((0, n - 1))
            if op.keepdim:
                next(spans)
        else:
            result.append(next(spans))
    return tuple(result)


def _along_axis(node: Node, box: Box, position: int) -> Box:
    op: Any = node.op
    return (*box[: op.dim], (0, node.spec.shape[op.dim] - 1), *box[op.dim + 1 :])


def _product(node: Node, box: Box, position: int) -> Box:
    rows, columns = node.inputs[position].spec.shape[-2:]
    return (*box[:-2], box[-2], (0, columns - 1)) if position == 0 else (*box[:-2], (0, rows - 1), box[-1])


def _resampled(node: Node, box: Box, position: int) -> Box:
    """Bins of an average, or the neighbours that a new pixel is made of."""
    op: Any = node.op
    spans = []
    for (first, last), n, p, step in zip(box[2:], op.size, op.target, op.steps, strict=True):
        if op.rule == "average":
            spans.append((first * n // p, -(-(last + 1) * n // p) - 1))
        elif op.rule == "nearest":
            spans.append((min(int(first * step), n - 1), min(int(last * step), n - 1)))
        else:
            low, high = (first * step, last * step) if op.align_corners else (
                (first + 0.5) * step - 0.5, (last + 0.5) * step - 0.5
            )  # fmt: skip
            spans.append((max(math.floor(low), 0), min(math.ceil(high), n - 1)))
    return (*box[:2], *spans)


def _sliced(node: Node, box: Box, position: int) -> Box | None:
    """Slices and single places move the box; positions that a tensor gives may be anywhere."""
    op: Any = node.op
    if position:
        return None
    if any(isinstance(each, Picked) for each in op.key):
        return _whole(node, box, 0)
    kept = iter(box)
    spans = []
    for each in op.key:
        if isinstance(each, Range):
            first, last = next(kept)
            ends = (each.start + first * each.step, each.start + last * each.step)
            spans.append((min(ends), max(ends)))
        else:
            spans.append((each, each))
    return tuple(spans)


_RULES: list[tuple[tuple[type, ...] | type, Rule]] = [
    (Pooling, _window),
    (Reshape, _reshaped),
    (Permute, _permuted),
    (BroadcastTo, _broadcast),
    (Cat, _joined),
    (Pad, _padded),
    (Flip, _flipped),
    (Reduction, _reduced),
    (LogSoftmax, _along_axis),
    (MatMul, _product),
    (Resample, _resampled),
    ((Unary, Binary, Where, Masked, Clip, Cast, Detach, Dropout), _same),
]
_BY_NAME: dict[str, Rule] = {"conv": _window, "conv_transpose": _painted, "index": _sliced}


def _rule(node: Node) -> Rule:
    rule = _BY_NAME.get(node.op.name)
    if rule is not None:
        return rule
    return next((rule for kinds, rule in _RULES if isinstance(node.op, kinds)), _whole)
