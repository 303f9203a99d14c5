"""Running a plan on what the user holds: arguments go in, results come out, parameters stay inside between calls.

After a call, the numbers of a parameter lie in the plan. The parameter knows where, and copies them when somebody
looks: so a training step moves no parameter, and an array that was given to the user never changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import attrgetter, call, is_
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from ..backend import Array
from ..graph import Node, Spec
from ..ops.base import Deferred
from ..tensor import Tensor
from .forms import TENSOR, unflatten
from .graph import State
from .layout import inverse
from .memory import give_memory_back
from .plan import Plan, uninterrupted
from .trace import Guards

if TYPE_CHECKING:
    from .native import NativePlan


# A small step is over in some ten microseconds, so what is asked about every leaf is asked without a loop in Python.
NODE, ARRAY = attrgetter("node"), attrgetter("_array")
MUCH = 8 << 20
"""So many bytes that are not needed any more go back to the system."""


@dataclass(frozen=True, eq=False)
class Resident(Deferred):
    """A leaf whose numbers lie in a plan until somebody looks at them."""

    memory: np.ndarray
    """A view in the leaf's own order of axes. The plan overwrites it in its next run."""
    name = "resident"
    device = "cpu"
    passes = True

    def forward(self, xp: Any) -> Array:
        return np.array(self.memory, order="C")

    def take(self, array: Array) -> bool:
        if not isinstance(array, np.ndarray):
            return False
        np.copyto(self.memory, array)
        return True

    def __str__(self) -> str:
        return "resident"


class Runner:
    """A plan together with the tensors that it reads and changes."""

    def __init__(self, plan: Plan | NativePlan, description: Any, guards: Guards) -> None:
        self.plan, self.description, self.guards = plan, description, guards
        self.graph = plan.traced
        graph = plan.graph
        pairs = list(zip(graph.states, plan.states, strict=True))
        self._leaves = [(state.leaf, state.dims, memory) for state, memory in pairs if state.leaf is not None]
        self._positions = [position for position, (state, _) in enumerate(pairs) if state.leaf is not None]
        """Where the leaves are among the plan's states."""
        self._index = {position: index for index, position in enumerate(self._positions)}
        self._seen: list[Callable[[], Node | None]] = [_nothing] * len(self._leaves)
        """For each leaf a weak reference to the node whose numbers lie here: nobody keeps an old one for this."""
        self._read = [_reader(state, memory) for state, memory in pairs if state.leaf is None]
        place = {id(leaf): index for index, (leaf, _, _) in enumerate(self._leaves)}
        assigned = [effect for effect in graph.effects if effect.kind == "assign"]
        self._kept = [(effect.leaf, place[id(effect.leaf)]) for effect in assigned if id(effect.leaf) in place]
        self._given = [(effect.leaf, effect.position) for effect in assigned if id(effect.leaf) not in place]
        self._gradients = [effect for effect in graph.effects if effect.kind != "assign"]
        self._changes = bool(graph.effects)
        outputs = len(graph.results) - sum(effect.position >= 0 for effect in graph.effects)
        self._specs = [node.spec for node in plan.traced.results[:outputs]]
        self._tensors = [leaf for leaf, _, _ in self._leaves]
        self._kept_tensors = [leaf for leaf, _ in self._kept]
        self._changed_here = {index for _, index in self._kept}
        gradients = any(effect.position >= 0 for effect in self._gradients) or not all(guards.had_none)
        self._quiet = self._changes and not self._given and not gradients
        """Whether only tensors change whose numbers lie here between calls."""

    def fits(self) -> bool:
        """Whether everything that the function was described for is as it was."""
        return self.guards.hold()

    def run(self, tensors: Sequence[Tensor]) -> Any:
        """One call. Nothing is changed unless everything was computed."""
        plan = self.plan
        plan.load([tensor.array for tensor in tensors])
        if not all(map(is_, map(NODE, self._tensors), map(call, self._seen))):
            self._bring_leaves()
        for read in self._read:
            read()
        quiet = self._quiet and self._unseen()
        if quiet and plan.at_once:
            plan.run()
            return self._returned()
        plan.compute()
        returned = self._returned()
        if quiet:
            plan.commit()
        elif self._changes:
            self._change()
        return returned

    def _change(self) -> None:
        """Change the tensors outside."""
        plan = self.plan
        given = [(leaf, plan.result(position)) for leaf, position in self._given]
        gradients = [None if e.position < 0 else _tensor(plan.result(e.position)) for e in self._gradients]
        with uninterrupted():
            plan.commit()
            for leaf, index in self._kept:
                self._keep(leaf, index)
            for leaf, array in given:
                leaf._become_leaf(array, leaf.requires_grad, leaf.name)
            for effect, gradient in zip(self._gradients, gradients, strict=True):
                effect.leaf.grad = gradient

    def _returned(self) -> Any:
        """What the function returns."""
        result = self.plan.result
        outputs = [Tensor._from_array(result(position), spec) for position, spec in enumerate(self._specs)]
        return outputs[0] if self.description is TENSOR else unflatten(self.description, iter(outputs))

    def _bring_leaves(self) -> None:
        """Copy the numbers of leaves that have others than those that lie here."""
        leaves = enumerate(self._leaves)
        news = {index: leaf.node for index, (leaf, _, _) in leaves if leaf.node is not self._seen[index]()}
        self.plan.bring([self._positions[index] for index in news], self._bring)
        for index, node in news.items():  # only now, for an interrupted call must bring them again
            if index not in self._changed_here:
                self._seen[index] = ref(node)
        if sum(self._leaves[index][2].nbytes for index in news) > MUCH:  # their old numbers are free
            give_memory_back()

    def _bring(self, position: int) -> None:
        """Copy the numbers of a leaf.

        One that changes here has them only here from now on, so that there are not two copies of all at a time.
        """
        index = self._index[position]
        leaf, dims, memory = self._leaves[index]
        np.copyto(memory, leaf.array if dims is None else leaf.array.transpose(dims))
        if index in self._changed_here:
            with uninterrupted():
                self._keep(leaf, index)

    def _unseen(self) -> bool:
        """Whether nobody has looked at the tensors that change; so they need not be told of it.

        What was brought here has an array. So what has none was left here by an earlier call.
        """
        return all(map(is_, map(ARRAY, self._kept_tensors), repeat(None)))

    def _lies_here(self, leaf: Tensor, index: int) -> bool:
        """Whether nobody has seen a leaf's numbers since they were left in the plan."""
        return leaf._array is None and leaf.node is self._seen[index]() and isinstance(leaf.node.op, Resident)

    def _keep(self, leaf: Tensor, index: int) -> None:
        """From now on the leaf's numbers are those in the plan; whoever has seen the old ones keeps them."""
        if self._lies_here(leaf, index):
            return
        _, dims, memory = self._leaves[index]
        own = memory if dims is None else memory.transpose(inverse(dims))
        leaf._array = None
        leaf._become_node(Node(Resident(own), (), leaf.node.spec, name=leaf.name), leaf.requires_grad)
        self._seen[index] = ref(leaf.node)


def _nothing() -> None:
    """What a leaf is seen as before its numbers have come."""


def _reader(state: State, memory: np.ndarray) -> Callable[[], None]:
    """What brings a state that is no leaf to where the plan reads it."""
    turned = memory if state.dims is None else memory.transpose(inverse(state.dims))
    own = [np.empty(turned.shape, turned.dtype)] if state.fills else []

    def read() -> None:
        turned[...] = state.read(*own)

    return read


def _tensor(array: np.ndarray) -> Tensor:
    return Tensor._from_array(array, Spec(array.shape, array.dtype))
