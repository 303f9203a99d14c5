"""The picture as data: boxes, arrows and frames, before anybody has decided on a format.

Whatever writes a picture (DOT, text) reads a :class:`GraphView` and nothing else. The same network gives the same
view in every process: boxes are numbered by their place in the graph's order, never by identity.
"""

from __future__ import annotations

import ast
import heapq
from collections.abc import Iterable
from dataclasses import fields
from typing import Literal, NamedTuple

import numpy as np

from ..autodiff import grad
from ..errors import ArgumentError
from ..graph import Node, Spec, topological_order
from ..mode import exact_scope
from ..nn.module import Module
from ..ops.base import Full, Operation, full_like
from ..tensor import Tensor
from .kinds import kind_of, kind_of_block
from .trace import Trace, is_parameter, without_numbers

Level = Literal["block", "op"]
Role = Literal["input", "parameter", "constant", "operation", "block", "output"]

GRADIENT = "gradient"
"""The scope that :func:`tinygrad_cnn.grad` works in."""
_LEAVES = {"symbol", "constant", "initial"}


class ViewNode(NamedTuple):
    """A box."""

    id: str
    role: Role
    kind: str
    """What the colour says, see :data:`~tinygrad_cnn.draw.kinds.PALETTE`."""
    title: str
    """The operation, the class of the block, or what kind of leaf."""
    name: str
    """The block's name in its parent, the parameter's full name; empty for operations."""
    settings: tuple[str, ...]
    """Hyper-parameters worth reading, such as ``stride 2``."""
    shape: str
    parameters: int
    """How many numbers are trained in it."""
    group: str
    """The id of the frame it stands in; empty outside all frames."""
    backward: bool


class ViewEdge(NamedTuple):
    """An arrow; its shape is that of the tensor that flows along it."""

    source: str
    target: str
    shape: str
    saved: bool
    """Whether a forward result is read again by the gradient."""


class ViewGroup(NamedTuple):
    """A frame around boxes and other frames."""

    id: str
    parent: str
    title: str
    name: str
    parameters: int
    """Of the whole model, on its outermost frame; 0 elsewhere."""
    backward: bool


class GraphView(NamedTuple):
    """Everything that a picture shows. Groups and nodes are listed parents and inputs first."""

    name: str
    level: Level
    nodes: tuple[ViewNode, ...]
    edges: tuple[ViewEdge, ...]
    groups: tuple[ViewGroup, ...]
    outputs: tuple[str, ...]
    """The shapes of what comes out."""

    def describe(self) -> str:
        """The picture in one sentence.

        >>> import tinygrad_cnn as tg
        >>> tg.draw(tg.symbol((2, 3), name="x").exp()).view.describe()
        'graph: 1 operation, input x 2×3, output 2×3'
        """
        boxes = [node for node in self.nodes if node.role in ("operation", "block")]
        word = "block" if self.level == "block" else "operation"
        parts = [f"{len(boxes)} {word}{'' if len(boxes) == 1 else 's'}"]
        parts += [f"{_input_words(node.name)} {node.shape}" for node in self.nodes if node.role == "input"]
        parts += [f"output {shape}" for shape in self.outputs]
        return f"{self.name}: " + ", ".join(parts)


def _input_words(name: str) -> str:
    return name if name.startswith("input") else f"input {name}".strip()


def format_shape(spec: Spec) -> str:
    """The shape, and the element type unless it is float32.

    >>> format_shape(Spec((8, 6, 28, 28), np.dtype("float32"))), format_shape(Spec((), np.dtype("int64")))
    ('8×6×28×28', 'scalar int64')
    """
    shape = "×".join(map(str, spec.shape)) or "scalar"
    return shape if spec.dtype == np.float32 else f"{shape} {spec.dtype}"


def build_view(trace: Trace, level: Level, backward: bool = False) -> GraphView:
    """What is to be shown of a graph.

    Raises :class:`ArgumentError` where a gradient is asked for and no leaf requires one.
    """
    return _Builder(trace, level, backward).view()


class _Item(NamedTuple):
    """What becomes one box: a node, or the nodes of a block."""

    nodes: list[Node]
    scope: str
    """The block's scope; of a lone operation, the scope that it was made in."""
    is_block: bool


class _Builder:
    def __init__(self, trace: Trace, level: Level, backward: bool) -> None:
        if backward:
            trace = without_numbers(trace)
        self.trace = trace
        self.level = level
        self.gradients: dict[Node, str] = _gradients_of(trace) if backward else {}
        roots = [tensor.node for tensor in trace.outputs]
        self.order = topological_order([*roots, *self.gradients])
        self.outputs = set(roots)
        self.users: dict[Node, list[Node]] = {}
        for node in self.order:
            for parent in node.inputs:
                self.users.setdefault(parent, []).append(node)
        self.folded = {node for node in self.users if isinstance(node.op, Full) and node not in self.outputs}
        if level == "block":
            self.hidden = {node for node in self.order if node in trace.leaves or is_parameter(node)}
        else:
            self.hidden = set()
        self.groups: dict[str, ViewGroup] = {}  # by scope

    def view(self) -> GraphView:
        items = self._items()
        ids = {node: f"n{index}" for index, item in enumerate(items) for node in item.nodes}
        nodes = [self._node(f"n{index}", item) for index, item in enumerate(items)]
        edges = self._edges(items, ids)
        if self.trace.modules:
            for index, tensor in enumerate(self.trace.outputs):
                name = "" if len(self.trace.outputs) == 1 else str(index)
                shape = format_shape(tensor.spec)
                end = ViewNode(f"n{len(nodes)}", "output", "data", "output", name, (), shape, 0, "", False)
                if tensor.node in ids:
                    edges.append(ViewEdge(ids[tensor.node], end.id, shape, False))
                nodes.append(end)
        outputs = tuple([format_shape(tensor.spec) for tensor in self.trace.outputs])
        groups = tuple(self.groups.values())
        return GraphView(self.trace.name, self.level, tuple(nodes), tuple(edges), groups, outputs)

    # Which nodes make one box

    def _items(self) -> list[_Item]:
        shown = [node for node in self.order if node not in self.folded and node not in self.hidden]
        if self.level == "op":
            return [_Item([node], node.scope, False) for node in shown]
        block_of = self._block_scopes(shown)
        joined = _joined(shown, block_of)
        items: dict[Node, _Item] = {}
        for node in shown:
            scope = block_of.get(node)
            first = joined(node)
            if first in items:
                items[first].nodes.append(node)
            else:
                items[first] = _Item([node], node.scope if scope is None else scope, scope is not None)
        return self._sorted(list(items.values()))

    def _sorted(self, items: list[_Item]) -> list[_Item]:
        """Each box after those that feed it, and otherwise in the order of their first nodes."""
        owner = {node: index for index, item in enumerate(items) for node in item.nodes}
        feeds: list[set[int]] = [set() for _ in items]
        waiting = [0] * len(items)
        for node, index in owner.items():
            for parent in node.inputs:
                source = owner.get(parent, index)
                if source != index and index not in feeds[source]:
                    feeds[source].add(index)
                    waiting[index] += 1
        ready = [index for index, count in enumerate(waiting) if count == 0]  # ascending, and so already a heap
        result: list[int] = []
        while ready:
            index = heapq.heappop(ready)
            result.append(index)
            for target in feeds[index]:
                waiting[target] -= 1
                if waiting[target] == 0:
                    heapq.heappush(ready, target)
        left = set(range(len(items))).difference(result)  # boxes that feed each other in a circle
        return [items[index] for index in [*result, *sorted(left)]]

    def _block_scopes(self, shown: list[Node]) -> dict[Node, str]:
        """For each node inside an innermost block, that block's scope."""
        scopes = {_forward_scope(node.scope): None for node in shown if not _is_leaf(node)}  # a set that keeps order
        if self.trace.modules:
            innermost = {scope for scope, module in self.trace.modules.items() if not any(module.children())}
        else:
            inner = {outer for scope in scopes for outer in _prefixes(scope)[:-1]}
            innermost = {scope for scope in scopes if scope and scope not in inner}
        block_of = {}
        for scope in scopes:
            block_of[scope] = next((outer for outer in _prefixes(scope) if outer in innermost), None)
        found: dict[Node, str] = {}
        for node in shown:
            block = None if _is_leaf(node) else block_of[_forward_scope(node.scope)]
            if block is not None:
                found[node] = f"{GRADIENT}/{block}" if _is_backward(node.scope) else block
        return found

    # Boxes

    def _node(self, id: str, item: _Item) -> ViewNode:
        last = item.nodes[-1]
        if _is_leaf(last):
            return self._leaf(id, last)
        backward = _is_backward(item.scope)
        if item.is_block:
            group, _, name = item.scope.rpartition("/")
            module = self.trace.modules.get(_forward_scope(item.scope))
            title = type(module).__name__ if module is not None else ""
            kind = kind_of_block(title or name, [node.op.name for node in item.nodes])
            settings = short_settings(module) if module is not None and not backward else ()
        else:
            group, name, title = item.scope, "", last.op.name
            kind = kind_of(title)
            settings = tuple(self._arguments(last) + operation_settings(last.op))
        results = [self.gradients[node] for node in item.nodes if node in self.gradients]
        if results:
            own = item.scope.partition("/")[2] if item.is_block else None
            names = [name.rpartition(".")[2] if self._home(name) == own else name for name in results]
            settings = (*settings, "gradient in " + ", ".join(names))
        return ViewNode(
            id,
            "block" if item.is_block else "operation",
            GRADIENT if backward else kind,
            title or name,
            name if title else "",
            settings,
            ", ".join(self._results(item)),
            0 if backward else self._parameters(item),
            self._group(group),
            backward,
        )

    def _leaf(self, id: str, node: Node) -> ViewNode:
        role: Role = "constant"
        if node in self.trace.leaves:
            role = "parameter"
        elif node.op.name == "symbol":
            role = "input"
        elif node.requires_grad:
            role = "parameter"
        title = "buffer" if node in self.trace.buffers else role
        name = self.trace.leaves.get(node) or node.name or ""
        size = node.spec.size if role == "parameter" and node.requires_grad else 0
        group = self._group(self._home(name)) if node in self.trace.leaves else ""
        return ViewNode(id, role, "data", title, name, (), format_shape(node.spec), size, group, False)

    def _home(self, name: str) -> str:
        """The scope of the module that holds a parameter."""
        path = "/".join([next(iter(self.trace.modules), ""), *name.split(".")[:-1]])
        return path if path in self.trace.modules else ""

    def _results(self, item: _Item) -> list[str]:
        """The shapes that leave a box: those of the nodes that others use, or else of the last."""
        if len(item.nodes) == 1:
            return [format_shape(item.nodes[0].spec)]
        inside = set(item.nodes)
        used_inside = {parent for node in item.nodes for parent in node.inputs}
        used_outside = self._used_outside(inside)
        leaving = [node for node in item.nodes if node in used_outside or node not in used_inside]
        return list(dict.fromkeys(format_shape(node.spec) for node in leaving))

    def _used_outside(self, inside: set[Node]) -> set[Node]:
        forward = not _is_backward(next(iter(inside)).scope)
        found = inside & self.outputs
        for node in inside:
            for user in self.users.get(node, ()):
                if user not in inside and not (forward and _is_backward(user.scope)):
                    found.add(node)
        return found

    def _parameters(self, item: _Item) -> int:
        if self.level == "op":
            return 0
        module = self.trace.modules.get(item.scope) if item.is_block else None
        if module is not None:
            return sum(parameter.numel() for parameter in module.parameters())
        read = {parent for node in item.nodes for parent in node.inputs if parent in self.hidden}
        return sum(leaf.spec.size for leaf in read if leaf.requires_grad)

    def _arguments(self, node: Node) -> list[str]:
        """Numbers and hidden parameters among the inputs, in their places: ``(·, 2)``."""
        if not any(parent in self.folded or parent in self.hidden for parent in node.inputs):
            return []
        return ["(" + ", ".join(map(self._argument, node.inputs)) + ")"]

    def _argument(self, node: Node) -> str:
        if node in self.folded and isinstance(node.op, Full):
            return _number(node.op.value)
        return self.trace.leaves.get(node) or node.name or "parameter" if node in self.hidden else "·"

    # Arrows and frames

    def _edges(self, items: list[_Item], ids: dict[Node, str]) -> list[ViewEdge]:
        edges: list[ViewEdge] = []
        for item in items:
            target = ids[item.nodes[0]]
            backward = _is_backward(item.scope)
            flows = [(ids[parent], parent) for node in item.nodes for parent in node.inputs if parent in ids]
            if item.is_block:  # one arrow from each box, whatever it carries
                shapes: dict[str, dict[str, bool]] = {}
                for source, parent in flows:
                    if source != target:
                        saved = backward and not _is_backward(parent.scope)
                        shapes.setdefault(source, {})[format_shape(parent.spec)] = saved
                for source, carried in shapes.items():
                    edges.append(ViewEdge(source, target, ", ".join(carried), any(carried.values())))
            else:
                for source, parent in flows:
                    saved = backward and not _is_backward(parent.scope)
                    edges.append(ViewEdge(source, target, format_shape(parent.spec), saved))
        return edges

    def _group(self, scope: str) -> str:
        """The id of the frame for a scope, made with all the frames around it."""
        parent = ""
        for path in _prefixes(scope):
            if path not in self.groups:
                module = self.trace.modules.get(_forward_scope(path))
                segment = path.rpartition("/")[2]
                title = segment if module is None else type(module).__name__
                name = segment if module is not None and parent else ""
                size = 0 if module is None or parent else sum(each.numel() for each in module.parameters())
                self.groups[path] = ViewGroup(f"g{len(self.groups)}", parent, title, name, size, _is_backward(path))
            parent = self.groups[path].id
        return parent


def _joined(nodes: list[Node], block_of: dict[Node, str]) -> _Find:
    """Which nodes stand in one box: those of one call of one block that pass tensors to each other.

    The parts of a gradient rule do not feed each other; what holds them together is the gradient that they all
    start from.
    """
    find = _Find()
    call_of = _calls(nodes, block_of)
    first_user: dict[tuple[Node, str, int], Node] = {}
    for node, call in call_of.items():
        block = block_of[node]
        for parent in node.inputs:
            if block_of.get(parent) == block:
                if call_of[parent] == call:
                    find.join(parent, node)
            elif _is_backward(block) and _is_backward(parent.scope):
                find.join(first_user.setdefault((parent, block, call), node), node)
    return find


def _calls(nodes: list[Node], block_of: dict[Node, str]) -> dict[Node, int]:
    """Which call of its block each node belongs to: a path that leaves a block and comes back is in its next call.

    A node that depends on no call at all belongs to the call that uses it first.
    """
    places: dict[str, list[int]] = {}
    for place, node in enumerate(nodes):
        if node in block_of:
            places.setdefault(block_of[node], []).append(place)
    found: dict[Node, int] = {}
    fresh: list[Node] = []
    for block, own in places.items():
        calls: dict[Node, int] = {}  # also for nodes between: the last call that they depend on
        for node in nodes[own[0] : own[-1] + 1]:
            inside = block_of.get(node) == block
            for parent in node.inputs:
                if parent in calls:
                    again = inside and block_of.get(parent) != block
                    calls[node] = max(calls.get(node, 0), calls[parent] + again)
            if inside and node in calls:
                found[node] = calls[node]
            elif inside:
                fresh.append(node)
                calls[node] = 0
    first_use: dict[Node, int] = {}
    waiting = set(fresh)
    for node in reversed(nodes):
        if node in waiting:
            found[node] = first_use.get(node, 0)
        for parent in node.inputs if node in found else ():
            if parent in waiting and block_of[parent] == block_of[node]:
                first_use[parent] = min(first_use.get(parent, found[node]), found[node])
    return {node: found[node] for node in nodes if node in found}


class _Find:
    """Sets that merge: each node leads, over others, to the one that stands for its set."""

    def __init__(self) -> None:
        self.leader: dict[Node, Node] = {}

    def __call__(self, node: Node) -> Node:
        path = []
        while node in self.leader:
            path.append(node)
            node = self.leader[node]
        for each in path:
            self.leader[each] = node
        return node

    def join(self, one: Node, other: Node) -> None:
        one, other = self(one), self(other)
        if one is not other:
            self.leader[other] = one


def _gradients_of(trace: Trace) -> dict[Node, str]:
    """The nodes of the gradients in all leaves that require one, each with its leaf's name."""
    order = topological_order([tensor.node for tensor in trace.outputs])
    leaves = [node for node in order if _is_leaf(node) and node.requires_grad]
    outputs = [tensor for tensor in trace.outputs if tensor.requires_grad]
    if not leaves or not outputs:
        raise ArgumentError(
            "draw",
            "there is no gradient to draw: no leaf requires one",
            got=f"{len(order)} nodes",
            fix="make the leaves with requires_grad=True, or draw with backward=False",
        )
    found: dict[Node, str] = {}
    with exact_scope(GRADIENT):
        for output in outputs:
            wanted = [_handle(node) for node in leaves]
            gradients = grad(output, wanted, full_like(output, 1.0))
            for leaf, gradient in zip(leaves, gradients, strict=True):
                found.setdefault(gradient.node, trace.leaves.get(leaf) or leaf.name or leaf.op.name)
    return found


def _handle(node: Node) -> Tensor:
    tensor = None if node.handle is None else node.handle()
    return tensor if tensor is not None and tensor.node is node else Tensor._from_node(node, node.value)


def _is_leaf(node: Node) -> bool:
    return node.op.name in _LEAVES and not node.inputs


def _is_backward(scope: str) -> bool:
    return scope == GRADIENT or scope.startswith(GRADIENT + "/")


def _forward_scope(scope: str) -> str:
    """The scope of the forward node that a gradient belongs to."""
    while _is_backward(scope):
        scope = scope[len(GRADIENT) + 1 :]
    return scope


def _prefixes(scope: str) -> list[str]:
    """All scopes around a scope, and itself: ``a``, ``a/b``, ``a/b/c``."""
    parts = scope.split("/") if scope else []
    return ["/".join(parts[: length + 1]) for length in range(len(parts))]


def _number(value: float | int | bool) -> str:
    return format(value, ".4g") if isinstance(value, float) else str(value)


# Settings in few words

_UNSAID = {"shape", "dtype", "dims_out", "generator", "scheme"}  # what the picture says elsewhere
_USUAL = {
    "stride": 1, "padding": 0, "output_padding": 0, "dilation": 1, "groups": 1, "bias": True, "keepdim": False,
    "affine": True, "track_running_stats": True, "eps": None, "momentum": None, "ceil_mode": False,
    "return_indices": False, "inplace": False, "count_include_pad": True, "start_dim": 1, "end_dim": -1,
}  # fmt: skip


def operation_settings(op: Operation) -> list[str]:
    """The hyper-parameters of an operation that are not what one expects anyway."""
    pairs = [(each.name, getattr(op, each.name)) for each in fields(op) if each.repr and each.name not in _UNSAID]
    return [_setting(name, value) for name, value in pairs if not _is_usual(name, value)]


def short_settings(module: Module) -> tuple[str, ...]:
    """The settings that a module gives in its text form, shortened: ``1 → 6``, ``kernel 5×5``."""
    pairs = [part.partition("=") for part in _split(module.extra_repr())]
    return _shorten([(name.strip() if sign else "", value if sign else name) for name, sign, value in pairs])


def _shorten(pairs: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    ends: list[str] = []
    words: list[str] = []
    for name, text in pairs:
        if name in ("", "in_features", "out_features", "in_channels", "out_channels") and text.isdecimal():
            ends.append(text)
            continue
        value = _value(text)
        if not _is_usual(name, value):
            words.append(_setting(name, value) if name else text)
    if len(ends) == 1:
        ends.append("features")
    return (*([" ".join(ends) if ends[-1] == "features" else " → ".join(ends)] if ends else []), *words)


def _value(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _split(text: str) -> list[str]:
    """Split at the commas that stand outside brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def _is_usual(name: str, value: object) -> bool:
    if name not in _USUAL:
        return False
    usual = _USUAL[name]
    flat = list(_flat(value)) if isinstance(value, tuple | list) else [value]
    return usual is None or all(type(each) is type(usual) and each == usual for each in flat)


def _flat(value: object) -> Iterable[object]:
    if isinstance(value, tuple | list):
        for each in value:
            yield from _flat(each)
    else:
        yield value


def _setting(name: str, value: object) -> str:
    if isinstance(value, bool):
        return name if value else f"no {name}"
    if isinstance(value, tuple) and value and all(isinstance(each, int) for each in value):
        if name in ("dims", "dim", "normalized_shape", "order", "axes"):
            value = ", ".join(map(str, value))
        else:
            value = str(value[0]) if len(set(value)) == 1 and "kernel" not in name else "×".join(map(str, value))
    if isinstance(value, tuple) and len({*map(str, value)}) == 1:
        value = value[0]
    if isinstance(value, float):
        value = _number(value)
    return f"{name.removesuffix('_size')} {value}"
