"""Checkpoints: numbers that are forgotten after the forward pass, and computed again when a gradient needs them.

A training step keeps what its gradient rules will read, so its memory grows with the depth of the network. Inside a
checkpoint nothing is kept but the inputs. When the backward pass comes there, the graph, which says how every number
was made, is run once more. (Chen, Xu, Zhang and Guestrin, *Training deep nets with sublinear memory cost*, 2016)

It is the graph that runs again, not the user's function: so dropout keeps its noise, running statistics move once, and
the numbers are the same to the last bit.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from .backend import Array, device_of
from .compile.forms import flatten
from .graph import Node, Region, order_within
from .mode import checkpointing
from .tensor import Tensor

F = TypeVar("F", bound=Callable[..., Any])


def checkpoint(function: F) -> F:
    """The same function, whose inner numbers are forgotten and computed again for the gradient. (Chen et al., 2016)

    Args:
        function: a function of tensors or a module; what it returns, alone or in lists, tuples and dictionaries, is
            kept as usual.

    Returns a function with the same arguments, results and shapes. A block takes one more forward pass, and only one
    block at a time holds its numbers. In a compiled step the same holds, and ``report()`` shows the memory.

    Raises what the function raises, and :class:`ArgumentError` where it returns what is neither of these kinds nor a
    constant.

    >>> x = Tensor([0.5], requires_grad=True)
    >>> y = checkpoint(lambda x: x.exp().tanh().exp())(x)
    >>> y.node.inputs[0].value is None  # what tanh gave, which its rule will read, is not kept
    True
    >>> y.backward()
    >>> x.grad
    Tensor([0.57402265])
    """

    @functools.wraps(function, updated=())
    def call(*inputs: Any, **settings: Any) -> Any:
        region = Region()
        with checkpointing(region):
            result = function(*inputs, **settings)
        returned: list[Tensor] = []
        flatten(result, returned, "checkpoint")
        for tensor in returned:
            if tensor.node.region is region:
                tensor.node.region = region.edge
                tensor.node.value = tensor._array
        return result

    return call  # type: ignore[return-value]


def recall(node: Node) -> None:
    """Compute what the rule of ``node`` reads and what was forgotten."""
    missing = [each for each in _read_by(node) if each.value is None]
    if not missing:
        return
    order = [each for each in order_within(missing, lambda each: each.value is None) if each.value is None]
    kept = {each for node in order for each in _read_by(node)}
    arrays: dict[Node, Array] = {}
    for each in order:
        inputs = [arrays.get(parent, parent.value) for parent in each.inputs]
        arrays[each] = each.op.forward(device_of(inputs[0]).xp, *inputs)
        if each in kept or each in missing:
            each.value = arrays[each]


def _read_by(node: Node) -> Iterable[Node]:
    """The nodes whose numbers the gradient rule of ``node`` reads."""
    for parent, reads in zip(node.inputs, node.op.keeps):  # noqa: B905 - as in `apply`
        if parent.requires_grad:
            for read in reads:
                yield node.inputs[read] if read >= 0 else node
