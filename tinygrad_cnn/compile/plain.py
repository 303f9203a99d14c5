"""Running a traced graph node by node: on any device, and where one wants to look closely."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend import Array, device_of, get_device, move
from ..graph import Node, Spec
from ..mode import current_mode
from ..ops.base import watched
from ..tensor import Tensor
from .forms import unflatten
from .graph import Graph
from .plan import uninterrupted
from .trace import Guards


class PlainRunner:
    """A traced graph that is run by the interpreter: nothing is fused, split or kept in place."""

    def __init__(self, graph: Graph, description: Any, guards: Guards) -> None:
        self.graph, self.description, self.guards = graph, description, guards
        self._outputs = len(graph.results) - sum(effect.position >= 0 for effect in graph.effects)

    def fits(self) -> bool:
        """Whether everything that the function was described for is as it was."""
        return self.guards.hold()

    def run(self, tensors: Sequence[Tensor]) -> Any:
        """One call. Nothing is changed unless everything was computed."""
        results = self._results(tensors)
        with uninterrupted():
            for effect in self.graph.effects:
                if effect.kind == "assign":
                    leaf = effect.leaf
                    leaf._become_leaf(results[effect.position], leaf.requires_grad, leaf.name)
                else:
                    effect.leaf.grad = None if effect.position < 0 else _tensor(results[effect.position])
        return unflatten(self.description, iter([_tensor(array) for array in results[: self._outputs]]))

    def _results(self, tensors: Sequence[Tensor]) -> list[Array]:
        graph = self.graph
        device = device_of(tensors[0].array) if tensors else get_device()
        arrays: dict[Node, Array] = {node: tensor.array for node, tensor in zip(graph.arguments, tensors, strict=True)}
        for state in graph.states:
            array = state.read()
            arrays[state.node] = array if state.leaf is not None else _on(array, device)
        for node in graph.nodes:
            if node in arrays:
                continue
            if node.value is not None:
                arrays[node] = _on(node.value, device)
                continue
            inputs = [arrays[each] for each in node.inputs]
            there = device_of(inputs[0]) if inputs else device
            try:
                array = (
                    watched(node.op, there, inputs) if current_mode().detect_nan else node.op.forward(there.xp, *inputs)
                )
            except Exception as error:
                error.add_note(f"  in {node.op}, called {node.where}")
                raise
            arrays[node] = np.asarray(array) if isinstance(array, np.generic) else array
        return [arrays[node] for node in graph.results]


def _on(array: Array, device: Any) -> Array:
    return move(np.asarray(array) if isinstance(array, np.generic) else array, device)


def _tensor(array: Array) -> Tensor:
    return Tensor._from_array(array, Spec(array.shape, array.dtype))
