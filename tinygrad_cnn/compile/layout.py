"""Layout: images are kept with their channels last, kernels with their output channels last.

A convolution is then one matrix product whose rows lie in memory as they are read, and the product's result is an image
again. The pass finds everything that flows into and out of convolutions and pools, through element-wise operations and
reductions, and turns all of it; where it meets something else, a ``permute`` stands at the border. Parameters and the
optimiser's memories are kept turned between calls, so nothing is moved for them.

``stored = logical.transpose(dims)``: images ``(N, C, *S) -> (N, *S, C)``, kernels ``(O, C, *K) -> (*K, C, O)``, weights
of dense layers ``(O, I) -> (I, O)`` in most plans.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..backend import Array
from ..graph import Node, Spec
from ..ops.base import Constant, Full, Operation
from ..ops.conv import Conv, ConvTranspose, ConvWeight
from ..ops.elementwise import Binary, Masked, Unary, Where
from ..ops.index import Index, IndexAdd, Range
from ..ops.pool import AvgPool, AvgPoolAdjoint, MaxPool, MaxPoolGather, MaxPoolScatter
from ..ops.random import Dropout
from ..ops.reduce import Reduction
from ..ops.shape import BroadcastTo, Cat, Pad, Permute
from .graph import Graph, like
from .recompute import Hold

Dims = tuple[int, ...]

WINDOWED = (
    Conv, ConvTranspose, ConvWeight, MaxPool, MaxPoolScatter, MaxPoolGather, AvgPool, AvgPoolAdjoint,
)  # fmt: skip
"""Operations that look at windows of an image."""
MAPS = (Unary, Binary, Where, Masked, Dropout)
"""Operations that compute each element from the elements at the same place."""


@dataclass(frozen=True)
class Arranged(Operation):
    """An operation whose inputs and output are stored with their axes in another order."""

    op: Operation
    inputs: tuple[Dims, ...]
    output: Dims
    name = "arranged"

    def infer(self, *specs: Spec) -> Spec:
        logical = [
            Spec(_unarrange(spec.shape, dims), spec.dtype) for spec, dims in zip(specs, self.inputs, strict=True)
        ]
        spec = self.op.infer(*logical)
        return Spec(_arrange(spec.shape, self.output), spec.dtype)

    def forward(self, xp: Any, *arrays: Array) -> Array:
        logical = [xp.transpose(array, inverse(dims)) for array, dims in zip(arrays, self.inputs, strict=True)]
        return xp.transpose(self.op.forward(xp, *logical), self.output)

    def __str__(self) -> str:
        return f"{self.op} channels last"


def _arrange(shape: Dims, dims: Dims) -> Dims:
    return tuple([shape[dim] for dim in dims])


def _unarrange(shape: Dims, dims: Dims) -> Dims:
    return _arrange(shape, inverse(dims))


def inverse(dims: Dims) -> Dims:
    """The order that undoes ``dims``."""
    return tuple(sorted(range(len(dims)), key=dims.__getitem__))


def image_dims(axes: int) -> Dims:
    """``(N, C, *S) -> (N, *S, C)``."""
    return (0, *range(2, axes), 1)


def kernel_dims(axes: int) -> Dims:
    """``(O, C, *K) -> (*K, C, O)``."""
    return (*range(2, axes), 1, 0)


def _wishes(node: Node) -> tuple[list[Dims], Dims] | None:
    """How an operation wants its inputs and its output stored."""
    if not isinstance(node.op, WINDOWED):
        return None
    image, kernel = image_dims(len(node.spec.shape)), kernel_dims(len(node.spec.shape))
    if isinstance(node.op, Conv | ConvTranspose):
        return [image, kernel], image
    if isinstance(node.op, ConvWeight):
        return [image, image], kernel
    return [image] * len(node.inputs), image


def _together(node: Node) -> list[Node]:
    """The inputs that are stored as the node is. A single number lies like everything, and ties nothing together."""
    if isinstance(node.op, Hold):
        return [node.inputs[0]]
    return [each for each in node.inputs if each.spec.size > 1] if node.spec.size > 1 and _can_turn(node) else []


def _can_turn(node: Node) -> bool:
    """Whether an operation can be done on inputs stored in any order, if it is the same one for all."""
    axes = len(node.spec.shape)
    if not isinstance(node.op, MAPS) and _turned(node.op, tuple(range(axes))) is None:
        return False
    return all(len(each.spec.shape) == axes for each in node.inputs)


def _turned(op: Operation, dims: Dims) -> Operation | None:
    """An operation that names axes or lengths, for inputs and an output stored in the order ``dims``."""
    if isinstance(op, Reduction) and op.keepdim:
        return replace(op, dims=tuple(sorted([dims.index(each) for each in op.dims])))
    if isinstance(op, BroadcastTo):
        return BroadcastTo(_arrange(op.shape, dims)) if len(op.shape) == len(dims) else None
    if isinstance(op, Pad):
        return replace(op, widths=tuple([op.widths[dim] for dim in dims]))
    if isinstance(op, Cat):
        return Cat(dims.index(op.dim))
    if isinstance(op, Index | IndexAdd) and all(isinstance(each, Range) for each in op.key):
        key = tuple([op.key[dim] for dim in dims])
        return Index(key) if isinstance(op, Index) else IndexAdd(key, _arrange(op.shape, dims))
    return None


class _Groups:
    """Sets of nodes that are stored alike."""

    def __init__(self) -> None:
        self._parent: dict[Node, Node] = {}
        self.wish: dict[Node, Dims] = {}

    def find(self, node: Node) -> Node:
        root = node
        while self._parent.get(root, root) is not root:
            root = self._parent[root]
        while node is not root:
            self._parent[node], node = root, self._parent.get(node, root)
        return root

    def join(self, a: Node, b: Node) -> None:
        a, b = self.find(a), self.find(b)
        if a is not b:
            self._parent[b] = a
            if b in self.wish:
                self.wish.setdefault(a, self.wish.pop(b))

    def ask(self, node: Node, dims: Dims) -> None:
        self.wish.setdefault(self.find(node), dims)

    def dims(self, node: Node) -> Dims | None:
        return self.wish.get(self.find(node))


def dense_weights(graph: Graph) -> list[Node]:
    """The weights of dense layers, which are read transposed."""
    matrices = {state.node for state in graph.states if len(state.node.spec.shape) == 2}
    turned = [node for node in graph.nodes if isinstance(node.op, Permute) and node.op.dims == (1, 0)]
    return [node.inputs[0] for node in turned if node.inputs[0] in matrices]


def arrange(graph: Graph, turn_dense: bool = True) -> Graph:
    """Store images and kernels channels last, and weights of dense layers transposed unless ``turn_dense`` is false."""
    groups = _Groups()
    order = graph.nodes
    for node in order:
        for each in _together(node):
            groups.join(node, each)
    for node in order:
        wishes = _wishes(node)
        if wishes is not None:
            for each, dims in zip(node.inputs, wishes[0], strict=True):
                groups.ask(each, dims)
            groups.ask(node, wishes[1])
    for node in dense_weights(graph) if turn_dense else ():
        groups.ask(node, (1, 0))

    given = {*graph.arguments, *[state.node for state in graph.states]}
    stored: dict[Node, Node] = {}  # each node as it is stored
    for node in order:
        stored[node] = _stored(node, groups, stored, given)

    kept = {id(state.leaf): groups.dims(state.node) for state in graph.states if state.leaf is not None}
    effects = [replace(e, dims=kept.get(id(e.leaf)) if e.kind == "assign" else None) for e in graph.effects]
    dims_of = {effect.position: effect.dims for effect in effects}
    results = [_as(stored, groups, node, dims_of.get(position)) for position, node in enumerate(graph.results)]
    dims_of_arguments = [groups.dims(each) for each in graph.arguments]
    for node in [*graph.arguments, *[each.node for each in graph.states]]:
        stored.setdefault(node, node)  # nobody reads it
    return replace(
        graph,
        arguments=tuple([stored[each] for each in graph.arguments]),
        argument_dims=tuple(dims_of_arguments),
        results=tuple(results),
        states=tuple([replace(each, node=stored[each.node], dims=groups.dims(each.node)) for each in graph.states]),
        effects=tuple(effects),
    )


def _as(stored: dict[Node, Node], groups: _Groups, node: Node, wanted: Dims | None) -> Node:
    """A node stored as its reader wants it."""
    have = groups.dims(node)
    if have == wanted:
        return stored[node]
    plain = stored[node] if have is None else like(node, Permute(inverse(have)), (stored[node],))
    return plain if wanted is None else like(node, Permute(wanted), (plain,))


def _stored(node: Node, groups: _Groups, stored: dict[Node, Node], given: set[Node]) -> Node:
    """The node, its inputs and output stored as they shall be."""
    dims = groups.dims(node)
    op = node.op
    wishes = _wishes(node)
    if wishes is not None:
        inputs = [_as(stored, groups, each, want) for each, want in zip(node.inputs, wishes[0], strict=True)]
        new = like(node, Arranged(op, tuple(wishes[0]), wishes[1]), inputs)
        if dims == wishes[1]:
            return new
        plain = like(node, Permute(inverse(wishes[1])), (new,))
        return plain if dims is None else like(node, Permute(dims), (plain,))
    if dims is not None:
        spec = Spec(_arrange(node.spec.shape, dims), node.spec.dtype)
        if isinstance(op, Full):
            return like(node, Full(op.value, spec.shape, spec.dtype), (), spec)
        if isinstance(op, Constant):
            constant = like(node, op, (), spec)
            assert node.value is not None
            constant.value = node.value.transpose(dims)
            return constant
        if node in given:
            return like(node, op, (), spec)
        if isinstance(op, Hold):
            return like(node, op, [_as(stored, groups, node.inputs[0], dims), stored[node.inputs[1]]], spec)
        if _can_turn(node):
            inputs = [_as(stored, groups, each, dims) for each in node.inputs]
            return like(node, _turned(op, dims) or op, inputs, spec)
    inputs = [_as(stored, groups, each, None) for each in node.inputs]
    plain = node if not node.inputs else like(node, op, inputs, node.spec)
    return plain if dims is None else like(node, Permute(dims), (plain,))
