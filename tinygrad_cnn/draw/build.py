"""From a graph to a view: which nodes make one box, what each box says, and which arrows and frames there are.

Every walk keeps its own stack: a graph may be deeper than Python's recursion limit.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import NamedTuple

from ..errors import Place
from ..graph import Node, topological_order
from ..nn.module import Module
from ..ops.base import Full
from .calls import Sets, join_calls
from .gradient import GRADIENT, Gradients, find_gradients, forward_scope, is_backward, is_leaf, rule_text
from .kinds import kind_of, kind_of_block
from .numbers import Numbers, describe_numbers
from .settings import number, operation_settings, short_settings
from .trace import CALL, Failure, Trace, is_parameter, without_numbers
from .view import GraphView, Level, Role, ViewEdge, ViewGroup, ViewNode, format_shape

Closed = Callable[[str, "Module | None"], bool]
"""Whether a block, given by its path and module, is drawn as one box."""

MOST = 400
"""More boxes than this are not shown at once unless somebody insists."""


class Wish(NamedTuple):
    """What is to be shown of a graph."""

    level: Level
    backward: bool = False
    depth: int | None = None
    """Blocks so many steps below the model are one box each; 0 is the model itself."""
    closed: Closed | None = None
    rules: bool = True
    """Whether a gradient rule is one box; otherwise each of its operations is."""
    here: Place | None = None
    """Where the drawing was asked for: a line that says nothing of the network."""
    most: int | None = None
    """With more boxes than this, the middle of the graph becomes one."""


class _Item(NamedTuple):
    """What becomes one box: a node, the nodes of a block, or those that a gradient rule made."""

    nodes: list[Node]
    scope: str
    """The block's scope; of other boxes, the scope that the nodes were made in."""
    what: str
    """``node``, ``block``, ``rule``, ``sum`` or ``middle``."""


class Scene(NamedTuple):
    """A graph with all that is worked out once, however often it is looked at."""

    trace: Trace
    gradients: Gradients
    numbers: Numbers | None


def make_scene(trace: Trace, backward: bool, values: bool) -> Scene:
    """The graph with its gradient and its numbers, where these are wanted.

    Raises :class:`ArgumentError` where a gradient is asked for and no leaf requires one.
    """
    gradients = Gradients({}, {}, frozenset(), frozenset())
    failed = any(isinstance(tensor.node.op, Failure) for tensor in trace.outputs)
    if failed or not (backward or values):
        return Scene(trace, gradients, None)
    trace, twins = without_numbers(trace)
    if backward or any(tensor.requires_grad for tensor in trace.outputs):
        gradients = find_gradients(trace, everywhere=values)
    return Scene(trace, gradients, Numbers(trace, twins, gradients) if values else None)


def build_view(scene: Scene, wish: Wish) -> GraphView:
    """What is to be shown of a graph."""
    return _Builder(scene, wish).view()


class _Builder:
    def __init__(self, scene: Scene, wish: Wish) -> None:
        from ..summary import count_macs  # the table is made from a trace too, so each module wants the other

        self.count_macs = count_macs
        trace, self.gradients, self.numbers = scene
        self.trace = trace
        self.wish = wish
        self.level = wish.level
        roots = [tensor.node for tensor in trace.outputs]
        self.gradient_in: dict[Node, str] = {}
        if wish.backward:
            for node, gradient in self.gradients.of.items():
                if is_leaf(node):
                    name = trace.leaves.get(node) or node.name or node.op.name
                    self.gradient_in.setdefault(gradient, name)
        self.order = topological_order([*roots, *self.gradient_in])
        self.outputs = set(roots)
        self.users: dict[Node, list[Node]] = {}
        for node in self.order:
            for parent in node.inputs:
                self.users.setdefault(parent, []).append(node)
        self.folded = {node for node in self.users if isinstance(node.op, Full) and node not in self.outputs}
        self.folded.update(self.gradients.seeds)
        self.hidden: set[Node] = set()
        self.groups: dict[str, ViewGroup] = {}  # by scope
        self.closed_of: dict[str, str | None] = {}  # for a scope, the block around it that is one box
        self.parts: dict[str, list[str]] = {}
        self.innermost = self._innermost() if wish.level == "block" else set()
        self.lines: dict[Place, str] = {}

    def view(self) -> GraphView:
        items = self._items()
        ids = {node: f"n{index}" for index, item in enumerate(items) for node in item.nodes}
        nodes = [self._node(f"n{index}", item) for index, item in enumerate(items)]
        edges = self._edges(items, ids)
        failed = any(isinstance(tensor.node.op, Failure) for tensor in self.trace.outputs)
        if self.trace.modules and not failed:
            for index, tensor in enumerate(self.trace.outputs):
                name = "" if len(self.trace.outputs) == 1 else str(index)
                shape = format_shape(tensor.spec)
                end = ViewNode(
                    f"n{len(nodes)}", "output", "data", "output", name, (), shape, 0, "", False,
                    dtype=str(tensor.spec.dtype), nbytes=tensor.spec.size * tensor.spec.dtype.itemsize,
                )  # fmt: skip
                if tensor.node in ids:
                    edges.append(ViewEdge(ids[tensor.node], end.id, shape, False))
                nodes.append(end)
        outputs = () if failed else tuple([format_shape(tensor.spec) for tensor in self.trace.outputs])
        groups = tuple(self.groups.values())
        return GraphView(self.trace.name, self.level, tuple(nodes), _with_skips(nodes, edges), groups, outputs)

    # Which nodes make one box

    def _items(self) -> list[_Item]:
        shown = [node for node in self.order if node not in self.folded]
        block_of = self._blocks([node for node in shown if not is_leaf(node)])
        find = Sets()
        first: dict[object, Node] = {}
        by_name: dict[Node, str] = {}  # blocks that are no calls of modules
        whats: dict[Node, str] = {}
        for node in shown:
            key: object = None
            if node in block_of:
                block = block_of[node]
                whats[node] = "block"
                if forward_scope(block) in self.trace.modules:
                    key = block
                else:
                    by_name[node] = block
            elif node in self.gradients.sums:
                whats[node] = "sum"
            elif node in self.gradients.rule_of and self.wish.rules and not is_leaf(node):
                key = self.gradients.rule_of[node]
                whats[node] = "rule"
            if key is not None:
                find.join(first.setdefault(key, node), node)
        join_calls(shown, by_name, find)
        items: dict[Node, _Item] = {}
        for node in shown:
            leader = find(node)
            if leader in items:
                items[leader].nodes.append(node)
            else:
                scope = self._common_scope(node) if whats.get(node) == "sum" else node.scope
                items[leader] = _Item([node], block_of.get(node, scope), whats.get(node, "node"))
        kept = self._without_leaves(list(items.values()))
        most = self.wish.most
        if most is not None and len(kept) > most:
            kept = _with_middle(_sorted(kept), most)
        return _sorted(kept)

    def _blocks(self, shown: list[Node]) -> dict[Node, str]:
        """For each node inside a block that is one box, that block's scope."""
        found: dict[Node, str] = {}
        crossing = self._crossing_sums()
        for node in shown:
            scope = node.scope
            if node in crossing or isinstance(node.op, Failure):
                continue
            if scope not in self.closed_of:
                forward = forward_scope(scope)
                block = next((each for each in self._prefixes(forward) if self._is_closed(each)), None)
                self.closed_of[scope] = f"{GRADIENT}/{block}" if block and is_backward(scope) else block
            closed = self.closed_of[scope]
            if closed is not None:
                found[node] = closed
        return found

    def _crossing_sums(self) -> set[Node]:
        """Sums over uses of a tensor in different blocks stand outside these."""
        found: set[Node] = set()
        for node in self.gradients.sums:
            if len({self._block_of_scope(scope) for scope in self._uses(node)}) != 1:
                found.add(node)
        return found

    def _uses(self, node: Node) -> list[str]:
        """The scopes that use the tensor whose gradients a node sums up."""
        origin = self.gradients.rule_of.get(node)
        for tensor in () if origin is None else origin.inputs:
            users = [user for user in self.users.get(tensor, ()) if not is_backward(user.scope)]
            if tensor.spec == node.spec and tensor.requires_grad and len(users) > 1:
                return [user.scope for user in users]
        return []

    def _block_of_scope(self, scope: str) -> str | None:
        forward = forward_scope(scope)
        return next((each for each in self._prefixes(forward) if self._is_closed(each)), forward)

    def _common_scope(self, node: Node) -> str:
        """The innermost block around all uses that a node sums up."""
        common: list[str] = []
        for names in zip(*[scope.split("/") for scope in self._uses(node)], strict=False):
            if len(set(names)) > 1:
                break
            common.append(names[0])
        return "/".join([GRADIENT, *common]).rstrip("/")

    def _prefixes(self, scope: str) -> list[str]:
        """All scopes around a scope, and itself: ``a``, ``a/b``, ``a/b/c``."""
        if scope not in self.parts:
            parts = scope.split("/") if scope else []
            self.parts[scope] = ["/".join(parts[: length + 1]) for length in range(len(parts))]
        return self.parts[scope]

    def _is_closed(self, path: str) -> bool:
        if path in self.innermost:
            return True
        depth = path.count("/") + (0 if self.trace.modules else 1)
        if self.wish.depth is not None and depth >= self.wish.depth:
            return True
        return self.wish.closed is not None and self.wish.closed(path, self.trace.modules.get(path))

    def _innermost(self) -> set[str]:
        """The blocks with no blocks in them."""
        if self.trace.modules:
            return {scope for scope, module in self.trace.modules.items() if not any(module.children())}
        scopes = dict.fromkeys(forward_scope(node.scope) for node in self.order if not is_leaf(node))
        inner = {outer for scope in scopes for outer in self._prefixes(scope)[:-1]}
        return {scope for scope in scopes if scope and scope not in inner}

    def _without_leaves(self, items: list[_Item]) -> list[_Item]:
        """Parameters and constants that only one box reads are told in that box."""
        owner = {node: index for index, item in enumerate(items) for node in item.nodes}
        kept = []
        for item in items:
            node = item.nodes[0]
            if is_leaf(node) and node.op.name != "symbol" and node not in self.outputs:
                readers = {owner[user] for user in self.users.get(node, ()) if not is_backward(user.scope)}
                named = node in self.trace.leaves or is_parameter(node)
                told = all(items[index].what == "block" for index in readers)
                if len(readers) <= 1 and (told or (named and self.level == "block")):
                    self.hidden.add(node)
                    continue
            kept.append(item)
        return kept

    # Boxes

    def _node(self, id: str, item: _Item) -> ViewNode:
        last = item.nodes[-1]
        if is_leaf(last):
            return self._leaf(id, last)
        backward = is_backward(item.scope)
        group, name, rule = item.scope, "", ""
        settings: list[str] = []
        role: Role = "operation"
        if item.what == "middle":
            group, title, kind, role = "", f"{len(item.nodes):,} operations", "arithmetic", "block"
        elif item.what == "block":
            role = "block"
            group, _, name = item.scope.rpartition("/")
            module = self.trace.modules.get(forward_scope(item.scope))
            name, call = _call(name, module)
            title = name if module is None else type(module).__name__
            kind = kind_of_block(title, [node.op.name for node in item.nodes])
            name = name if module is not None else ""
            if module is not None and not backward:
                settings.extend(short_settings(module))
            settings.extend(call)
        elif item.what == "rule":
            origin = self.gradients.rule_of[last].op
            title, rule, kind = f"gradient of {origin.name}", rule_text(origin), "gradient"
        elif item.what == "sum":
            title, kind = "sum of gradients", "gradient"
        elif isinstance(last.op, Failure):
            return ViewNode(
                id, "error", "error", "error", "", (), "", 0, self._group(group), False, alert=last.op.message,
                place=self._place(last),
            )  # fmt: skip
        else:
            title = last.op.name
            kind = kind_of(title)
            settings = self._arguments(last) + operation_settings(last.op)
            if last in self.gradients.rule_of:
                rule = rule_text(self.gradients.rule_of[last].op)
        if item.what == "block" and backward:
            origins = {self.gradients.rule_of[node] for node in item.nodes if node in self.gradients.rule_of}
            rule = rule_text(origins.pop().op) if len(origins) == 1 else ""
        results = [self.gradient_in[node] for node in item.nodes if node in self.gradient_in]
        if results:
            own = forward_scope(item.scope) if item.what == "block" else ""
            inside = ".".join(own.split("/")[1:]) + "."
            names = [name.removeprefix(inside) for name in results]
            settings.append("gradient in " + (", ".join(names) if len(names) < 4 else f"{len(names)} tensors"))
        leaving = self._leaving(item)
        return ViewNode(
            id,
            role,
            GRADIENT if backward and item.what != "middle" else kind,
            title,
            name,
            tuple(settings),
            ", ".join(dict.fromkeys(format_shape(node.spec) for node in leaving)),
            0 if backward else self._parameters(item),
            self._group(group),
            backward,
            dtype=", ".join(dict.fromkeys(str(node.spec.dtype) for node in leaving)),
            macs=sum([self.count_macs(node) for node in item.nodes]),
            nbytes=sum([node.spec.size * node.spec.dtype.itemsize for node in leaving]),
            rule=rule,
            place=self._place(item.nodes[0]),
            path=self._path(item.scope),
            values=self._values(leaving[-1]),
            alert=self._alert(item.nodes),
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
        group = ""
        if node in self.trace.leaves:
            group = self._group(self._opened(self._home(name)))
        elif is_parameter(node):
            users = [user.scope for user in self.users.get(node, ()) if not is_backward(user.scope)]
            group = self._group(self._opened(users[0])) if len(users) == 1 else ""
        return ViewNode(
            id, role, "data", title, name, (), format_shape(node.spec), size, group, False,
            dtype=str(node.spec.dtype), nbytes=node.spec.size * node.spec.dtype.itemsize, values=self._values(node),
            alert=self._alert([node]),
        )  # fmt: skip

    def _values(self, node: Node) -> tuple[str, ...]:
        if self.numbers is None:
            return ()
        return describe_numbers(self.numbers, node, self.gradients, in_full=self.level == "scalar")

    def _alert(self, nodes: list[Node]) -> str:
        if self.numbers is None:
            return ""
        if any(node in self.numbers.first_nan for node in nodes):
            return "the first NaN"
        return "NaN" if any(node in self.numbers.nan for node in nodes) else ""

    def _place(self, node: Node) -> str:
        place = node.place
        here = self.wish.here
        if place is None or (here is not None and place.code is here.code and place.line == here.line):
            return ""
        if place not in self.lines:
            self.lines[place] = f"{place.file}, line {place.line}" + (f": {place.text}" if place.text else "")
        return self.lines[place]

    def _path(self, scope: str) -> str:
        """The name that a model has for the block of a scope."""
        inside = self._prefixes(forward_scope(scope))[1 if self.trace.modules else 0 :]
        return ".".join([_call(path.rpartition("/")[2], self.trace.modules.get(path))[0] for path in inside])

    def _home(self, name: str) -> str:
        """The innermost scope around the module that holds a parameter; a shared module may run in another."""
        path = "/".join([next(iter(self.trace.modules), ""), *name.split(".")[:-1]])
        return next((each for each in self._prefixes(path)[::-1] if each in self.trace.modules), "")

    def _opened(self, scope: str) -> str:
        """The innermost block around a scope, or itself, that is not drawn as one box."""
        found = ""
        for path in self._prefixes(scope):
            if self._is_closed(path):
                break
            found = path
        return found

    def _leaving(self, item: _Item) -> list[Node]:
        """What leaves a box: the nodes that others use, or else the last."""
        if len(item.nodes) == 1:
            return item.nodes
        inside = set(item.nodes)
        forward = not is_backward(item.scope)
        used_inside = {parent for node in item.nodes for parent in node.inputs}
        leaving = []
        for node in item.nodes:
            users = self.users.get(node, ())
            outside = any(user not in inside and not (forward and is_backward(user.scope)) for user in users)
            if outside or node in self.outputs or node not in used_inside:
                leaving.append(node)
        return leaving or item.nodes[-1:]

    def _parameters(self, item: _Item) -> int:
        if item.what not in ("block", "middle") and self.level != "block":
            return 0
        module = self.trace.modules.get(item.scope) if item.what == "block" else None
        if module is not None:
            return sum(parameter.numel() for parameter in module.parameters())
        read = {parent for node in item.nodes for parent in node.inputs if parent in self.hidden}
        return sum(leaf.spec.size for leaf in read if leaf.requires_grad)

    def _arguments(self, node: Node) -> list[str]:
        """Numbers and hidden parameters among the inputs, in their places: ``(·, 2)``."""
        told = [parent in self.folded or parent in self.hidden for parent in node.inputs]
        if not any(told) or any(parent in self.gradients.seeds for parent in node.inputs):
            return []
        return ["(" + ", ".join(map(self._argument, node.inputs)) + ")"]

    def _argument(self, node: Node) -> str:
        if node in self.folded and isinstance(node.op, Full):
            return number(node.op.value)
        return self.trace.leaves.get(node) or node.name or node.op.name if node in self.hidden else "·"

    # Arrows and frames

    def _edges(self, items: list[_Item], ids: dict[Node, str]) -> list[ViewEdge]:
        edges: list[ViewEdge] = []
        for item in items:
            target = ids[item.nodes[0]]
            backward = is_backward(item.scope)
            flows = [(ids[parent], parent) for node in item.nodes for parent in node.inputs if parent in ids]
            if len(item.nodes) > 1 or item.what == "block":  # one arrow from each box, whatever it carries
                shapes: dict[str, dict[str, bool]] = {}
                bad: set[str] = set()
                for source, parent in flows:
                    if source != target:
                        saved = backward and not is_backward(parent.scope)
                        shapes.setdefault(source, {})[format_shape(parent.spec)] = saved
                        bad.update([source] if self._alert([parent]) else [])
                for source, carried in shapes.items():
                    saved = any(carried.values())
                    edges.append(ViewEdge(source, target, ", ".join(carried), saved, alert=source in bad))
            else:
                for source, parent in flows:
                    saved = backward and not is_backward(parent.scope)
                    alert = bool(self._alert([parent]))
                    edges.append(ViewEdge(source, target, format_shape(parent.spec), saved, alert=alert))
        return edges

    def _group(self, scope: str) -> str:
        """The id of the frame for a scope, made with all the frames around it."""
        parent = ""
        for path in self._prefixes(scope):
            if path not in self.groups:
                module = self.trace.modules.get(forward_scope(path))
                segment, call = _call(path.rpartition("/")[2], module)
                title = segment if module is None else type(module).__name__
                name = " ".join([segment, *call]) if module is not None and parent else ""
                size = 0 if module is None or parent else sum(each.numel() for each in module.parameters())
                made = ViewGroup(f"g{len(self.groups)}", parent, title, name, size, is_backward(path), path)
                self.groups[path] = made
            parent = self.groups[path].id
        return parent


def _call(segment: str, module: Module | None) -> tuple[str, list[str]]:
    """The name of a block and, from the second call of a module on, which call it is."""
    name, mark, count = segment.rpartition(CALL)
    return (name, [f"call {count}"]) if mark and module is not None and count.isdecimal() else (segment, [])


def _sorted(items: list[_Item]) -> list[_Item]:
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


def _with_middle(items: list[_Item], most: int) -> list[_Item]:
    """The first and the last boxes, and all between them as one. The order makes this a box that no path re-enters."""
    head = most // 2
    tail = most - head - 1
    middle = [node for item in items[head : len(items) - tail] for node in item.nodes]
    return [*items[:head], _Item(middle, "", "middle"), *items[len(items) - tail :]]


def _with_skips(nodes: Iterable[ViewNode], edges: list[ViewEdge]) -> tuple[ViewEdge, ...]:
    """Mark the arrows that pass by what other arrows into the same box come through."""
    by_id = {node.id: node for node in nodes}
    into: dict[str, list[ViewEdge]] = {}
    for edge in edges:
        if not edge.saved and by_id[edge.source].role in ("input", "operation", "block"):
            into.setdefault(edge.target, []).append(edge)
    rank: dict[str, int] = {}
    for id in by_id:  # the longest way from an input; boxes stand after what feeds them
        rank[id] = max([rank.get(edge.source, 0) + 1 for edge in into.get(id, [])], default=0)

    def leads_to(source: str, ends: set[str]) -> bool:
        stack, seen = list(ends), set(ends)
        while stack:
            for edge in into.get(stack.pop(), []):
                if edge.source == source:
                    return True
                if rank[edge.source] > rank[source] and edge.source not in seen:
                    seen.add(edge.source)
                    stack.append(edge.source)
        return False

    skips = set()
    for incoming in into.values():
        for edge in incoming:
            others = {other.source for other in incoming if rank[other.source] > rank[edge.source]}
            if others and leads_to(edge.source, others):
                skips.add(edge)
    return tuple([edge._replace(skip=True) if edge in skips else edge for edge in edges])
