"""From a graph to a view: what each box says, and which arrows and frames there are."""

from __future__ import annotations

from collections import Counter

from ..errors import Place
from ..graph import Node
from ..ops.base import Full
from .contents import format_time
from .gradient import GRADIENT, forward_scope, is_backward, is_leaf, rule_text
from .grouping import Grouping
from .kinds import kind_of, kind_of_block
from .links import module_link, operation_link
from .numbers import ABSENT, Told
from .order import with_skips
from .plans import facts_of, macs_of, only_step, plain, steps_of
from .scene import Item, Scene, Wish
from .settings import number, operation_settings, short_settings
from .trace import CALL, Failure, is_parameter
from .view import GraphView, Role, ViewEdge, ViewGroup, ViewNode, format_shape

SOME = 8
"""So many fused operations are told one by one."""


def build_view(scene: Scene, wish: Wish) -> GraphView:
    """What is to be shown of a graph."""
    return _Builder(scene, wish).view()


class _Builder:
    def __init__(self, scene: Scene, wish: Wish) -> None:
        self.trace, self.gradients, self.numbers, self.times = scene
        self.wish = wish
        self.level = wish.level
        self.grouping = Grouping(scene, wish)
        self.groups: dict[str, ViewGroup] = {}  # by scope
        self.lines: dict[Place, str] = {}
        self.fields = self._fields() if wish.fields else {}

    def view(self) -> GraphView:
        items = self.grouping.items
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
        returned = [] if failed else self.trace.outputs[: self.trace.returned]
        outputs = tuple([format_shape(tensor.spec) for tensor in returned])
        groups = tuple(self.groups.values())
        notes = self.trace.notes
        if self.numbers is not None and self.numbers.absent:
            notes = (*notes, ABSENT)
        return GraphView(self.trace.name, self.level, tuple(nodes), with_skips(nodes, edges), groups, outputs, notes)

    # Boxes

    def _node(self, id: str, item: Item) -> ViewNode:
        last = item.nodes[-1]
        if is_leaf(last):
            return self._leaf(id, last)
        backward = is_backward(item.scope)
        group, name, rule = item.scope, "", ""
        settings: list[str] = []
        facts: tuple[str, ...] = ()
        link = operation_link(self.wish.links, plain(last.op).name)
        role: Role = "operation"
        if item.what == "middle":
            group, title, kind, role = "", f"{len(item.nodes):,} operations", "arithmetic", "block"
        elif item.what == "block":
            role = "block"
            group = item.scope.rpartition("/")[0]
            module = self.trace.modules.get(forward_scope(item.scope))
            name, call = self._segment(item.scope)
            title = name if module is None else type(module).__name__
            link = module_link(self.wish.links, type(module)) if module is not None else ""
            kind = kind_of_block(title, [plain(node.op).name for node in item.nodes])
            name = name if module is not None else ""
            if module is not None and not backward:
                settings.extend(short_settings(module))
            settings.extend(call)
        elif item.what == "rule":
            origin = self.gradients.rule_of[last].op
            title, rule, kind = f"gradient of {origin.name}", rule_text(origin), "gradient"
            link = operation_link(self.wish.links, origin.name)
        elif item.what == "sum":
            title, kind = "sum of gradients", "gradient"
        elif isinstance(last.op, Failure):
            return ViewNode(
                id, "error", "error", "error", "", (), "", 0, self._group(group), False, alert=last.op.message,
                place=self._place(last),
            )  # fmt: skip
        else:
            op, steps, facts = plain(last.op), steps_of(last), facts_of(last.op)
            if len(steps) == 1:  # fused with nothing
                only = only_step(last).op
                op, steps, facts = plain(only), [], (*facts, *facts_of(only))
            title = op.name
            kind = kind_of_block(title, steps) if steps else kind_of(title)
            settings = self._arguments(last) + operation_settings(op) + _listed(steps)
            if last in self.gradients.rule_of:
                rule = rule_text(self.gradients.rule_of[last].op)
        if item.what == "block" and backward:
            origins = {self.gradients.rule_of[node] for node in item.nodes if node in self.gradients.rule_of}
            rule = rule_text(origins.pop().op) if len(origins) == 1 else ""
        results = [self.grouping.gradient_in[node] for node in item.nodes if node in self.grouping.gradient_in]
        if results:
            own = forward_scope(item.scope) if item.what == "block" else ""
            inside = ".".join(own.split("/")[1:]) + "."
            names = [name.removeprefix(inside) for name in results]
            settings.append("gradient in " + (", ".join(names) if len(names) < 4 else f"{len(names)} tensors"))
        leaving = self._leaving(item)
        facts += tuple([words for node in item.nodes for words in self.trace.becomes.get(node, ())])
        told = self._told(leaving[-1])
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
            macs=sum(map(macs_of, item.nodes)),
            nbytes=sum([node.spec.size * node.spec.dtype.itemsize for node in leaving]),
            rule=rule,
            place=self._place(item.nodes[0]),
            path=self._path(item.scope),
            values=told.words,
            alert=self._alert(item.nodes),
            picture=told.picture,
            bars=told.bars,
            facts=facts,
            milliseconds=self._time(item.nodes),
            inside=_inside(item.nodes),
            sees=self.fields.get(leaving[-1], ()),
            link=link,
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
        if node in self.trace.leaves and self.trace.modules:
            group = self._group(self._opened(self._home(name)))
        elif node in self.trace.leaves or is_parameter(node):
            users = [user.scope for user in self.grouping.users.get(node, ()) if not is_backward(user.scope)]
            group = self._group(self._opened(users[0])) if len(users) == 1 else ""
        told = self._told(node)
        return ViewNode(
            id, role, "data", title, name, (), format_shape(node.spec), size, group, False,
            dtype=str(node.spec.dtype), nbytes=node.spec.size * node.spec.dtype.itemsize, alert=self._alert([node]),
            values=told.words, picture=told.picture, bars=told.bars,
            link=operation_link(self.wish.links, node.op.name),
        )  # fmt: skip

    def _time(self, nodes: list[Node]) -> float | None:
        """Nothing where nothing was measured: a plan measures its operations only as a whole."""
        if self.times is None:
            return None
        measured = [self.times[node] for node in nodes if node in self.times]
        return sum(measured) if measured or not self.trace.times else None

    def _told(self, node: Node) -> Told:
        return Told() if self.numbers is None else self.numbers.tell(node, in_full=self.level == "scalar")

    def _fields(self) -> dict[Node, tuple[int, ...]]:
        """The receptive fields of what leaves each box, in the first input with spatial axes."""
        from ..inspect.receptive import field_sizes

        images = [
            node
            for node in self.grouping.order
            if is_leaf(node) and len(node.spec.shape) > 2 and not (node in self.trace.leaves or is_parameter(node))
        ]
        if not images:
            return {}
        items = [item for item in self.grouping.items if not is_backward(item.scope) and item.what != "middle"]
        return field_sizes([self._leaving(item)[-1] for item in items], images[0])

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
        inside = self.grouping.prefixes(forward_scope(scope))[1 if self.trace.modules else 0 :]
        return ".".join([self._segment(path)[0] for path in inside])

    def _segment(self, path: str) -> tuple[str, list[str]]:
        """The last part of a path and, from the second call of a block on, which call it is."""
        segment, forward = path.rpartition("/")[2], forward_scope(path)
        name, mark, count = segment.rpartition(CALL)
        if mark and forward in self.grouping.bodies:
            return name, []
        if mark and count.isdecimal() and (forward in self.trace.modules or forward in self.trace.calls):
            return name, [f"call {count}"]
        return segment, []

    def _home(self, name: str) -> str:
        """The innermost scope around the module that holds a parameter; a shared module may run in another."""
        path = "/".join([next(iter(self.trace.modules), ""), *name.split(".")[:-1]])
        return next((each for each in self.grouping.prefixes(path)[::-1] if each in self.trace.modules), "")

    def _opened(self, scope: str) -> str:
        """The innermost block around a scope, or itself, that is not drawn as one box."""
        found = ""
        for path in self.grouping.prefixes(scope):
            if self.grouping.is_closed(path):
                break
            found = path
        return found

    def _leaving(self, item: Item) -> list[Node]:
        """What leaves a box: the nodes that others use, or else the last."""
        if len(item.nodes) == 1:
            return item.nodes
        inside = set(item.nodes)
        forward = not is_backward(item.scope)
        used_inside = {parent for node in item.nodes for parent in node.inputs}
        leaving = []
        for node in item.nodes:
            users = self.grouping.users.get(node, ())
            outside = any(user not in inside and not (forward and is_backward(user.scope)) for user in users)
            if outside or node in self.grouping.outputs or node not in used_inside:
                leaving.append(node)
        return leaving or item.nodes[-1:]

    def _parameters(self, item: Item) -> int:
        if item.what not in ("block", "middle") and self.level != "block":
            return 0
        module = self.trace.modules.get(item.scope) if item.what == "block" else None
        if module is not None:
            return sum(parameter.numel() for parameter in module.parameters())
        read = {parent for node in item.nodes for parent in node.inputs if parent in self.grouping.hidden}
        return sum(leaf.spec.size for leaf in read if leaf.requires_grad)

    def _arguments(self, node: Node) -> list[str]:
        """Numbers and hidden parameters among the inputs, in their places: ``(·, 2)``."""
        told = [parent in self.grouping.folded or parent in self.grouping.hidden for parent in node.inputs]
        if not any(told) or any(parent in self.gradients.seeds for parent in node.inputs):
            return []
        return ["(" + ", ".join(map(self._argument, node.inputs)) + ")"]

    def _argument(self, node: Node) -> str:
        if node in self.grouping.folded and isinstance(node.op, Full):
            return number(node.op.value)
        return self.trace.leaves.get(node) or node.name or node.op.name if node in self.grouping.hidden else "·"

    # Arrows and frames

    def _edges(self, items: list[Item], ids: dict[Node, str]) -> list[ViewEdge]:
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
        for path in self.grouping.prefixes(scope):
            if path not in self.groups:
                module = self.trace.modules.get(forward_scope(path))
                segment, call = self._segment(path)
                title = segment if module is None else type(module).__name__
                name = " ".join(call if module is None else [segment, *call]) if parent else ""
                size = 0 if module is None or parent else sum(each.numel() for each in module.parameters())
                body = self.trace.bodies.get(path)
                self.groups[path] = ViewGroup(
                    f"g{len(self.groups)}", parent, title, name, size, is_backward(path), path,
                    facts=() if body is None else self._facts(body), closed=body is not None,
                )  # fmt: skip
            parent = self.groups[path].id
        return parent

    def _facts(self, body: Node) -> tuple[str, ...]:
        """What is said of a fused operation that is drawn opened."""
        time = self.times.get(body) if self.times is not None else None
        return facts_of(body.op) if time is None else (*facts_of(body.op), format_time(time))


def _listed(names: list[str]) -> list[str]:
    """The operations in a fused one, in order where they are few."""
    return [", ".join(names) if len(names) <= SOME else f"{len(names)} operations"] if names else []


def _inside(nodes: list[Node]) -> str:
    """How many operations of each kind there are."""
    if len(nodes) == 1:
        return ""
    counts = Counter(plain(node.op).name for node in nodes)
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])))
