"""Which nodes of a graph make one box.

Every walk keeps its own stack: a graph may be deeper than Python's recursion limit.
"""

from __future__ import annotations

from ..graph import Node, topological_order
from ..ops.base import Full
from .calls import Sets, join_calls
from .gradient import GRADIENT, forward_scope, is_backward, is_leaf
from .order import sort_items, with_middle
from .scene import Item, Scene, Wish
from .trace import Failure, is_parameter


class Grouping:
    """The boxes of a graph, and which nodes are told in other boxes instead of having one."""

    def __init__(self, scene: Scene, wish: Wish) -> None:
        trace = scene.trace
        self.trace = trace
        self.gradients = scene.gradients
        self.wish = wish
        roots = [tensor.node for tensor in trace.outputs]
        self.gradient_in: dict[Node, str] = {}
        """Names of leaves, by the node of their gradient."""
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
        """Numbers that are told in the boxes that read them."""
        self.folded.update(self.gradients.seeds)
        self.hidden: set[Node] = set()
        """Parameters and constants that are told in the only box that reads them."""
        self.closed_of: dict[str, str | None] = {}  # for a scope, the block around it that is one box
        self.parts: dict[str, list[str]] = {}
        self.bodies = {forward_scope(scope) for scope in trace.bodies}
        self.innermost = self._innermost() if wish.level == "block" else set()
        self.items = self._items()

    def _items(self) -> list[Item]:
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
        items: dict[Node, Item] = {}
        for node in shown:
            leader = find(node)
            if leader in items:
                items[leader].nodes.append(node)
            else:
                scope = self._common_scope(node) if whats.get(node) == "sum" else node.scope
                items[leader] = Item([node], block_of.get(node, scope), whats.get(node, "node"))
        kept = self._without_leaves(list(items.values()))
        most = self.wish.most
        if most is not None and len(kept) > most:
            kept = with_middle(sort_items(kept), most)
        return sort_items(kept)

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
                block = next((each for each in self.prefixes(forward) if self.is_closed(each)), None)
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
        return next((each for each in self.prefixes(forward) if self.is_closed(each)), forward)

    def _common_scope(self, node: Node) -> str:
        """The innermost block around all uses that a node sums up."""
        common: list[str] = []
        for names in zip(*[scope.split("/") for scope in self._uses(node)], strict=False):
            if len(set(names)) > 1:
                break
            common.append(names[0])
        return "/".join([GRADIENT, *common]).rstrip("/")

    def prefixes(self, scope: str) -> list[str]:
        """All scopes around a scope, and itself: ``a``, ``a/b``, ``a/b/c``."""
        if scope not in self.parts:
            parts = scope.split("/") if scope else []
            self.parts[scope] = ["/".join(parts[: length + 1]) for length in range(len(parts))]
        return self.parts[scope]

    def is_closed(self, path: str) -> bool:
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
        scopes = dict.fromkeys(self._outside(forward_scope(node.scope)) for node in self.order if not is_leaf(node))
        inner = {outer for scope in scopes for outer in self.prefixes(scope)[:-1]}
        return {scope for scope in scopes if scope and scope not in inner}

    def _outside(self, scope: str) -> str:
        """The scope around fused operations."""
        return next((path.rpartition("/")[0] for path in self.prefixes(scope) if path in self.bodies), scope)

    def _without_leaves(self, items: list[Item]) -> list[Item]:
        """Parameters and constants that only one box reads are told in that box."""
        owner = {node: index for index, item in enumerate(items) for node in item.nodes}
        kept = []
        for item in items:
            node = item.nodes[0]
            given = node.op.name == "symbol" and node not in self.trace.leaves
            if is_leaf(node) and not given and node not in self.outputs:
                readers = {owner[user] for user in self.users.get(node, ()) if not is_backward(user.scope)}
                named = node in self.trace.leaves or is_parameter(node)
                told = all(items[index].what == "block" for index in readers)
                if len(readers) <= 1 and (told or (named and self.wish.level == "block")):
                    self.hidden.add(node)
                    continue
            kept.append(item)
        return kept
