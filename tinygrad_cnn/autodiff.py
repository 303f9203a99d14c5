"""Reverse-mode differentiation: the only place where gradients are added up.

The gradient of a scalar loss in every node is found in one walk from the loss back to the inputs. Each node asks its
operation's rule: "given the gradient in your output, what is it in your inputs?" A node is asked when everything that
uses it has been asked already, so that its own gradient is complete: that is why the order is the reverse of a
topological order. A node that is used several times receives a gradient from each use, and they add up, because a
small change of it changes the loss along every path.

Rules are made of ordinary operations on tensors. With recording on, the gradient is therefore a graph like any other
and can be differentiated again.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import overload

from .checkpoint import recall
from .errors import GraphError, ShapeError
from .graph import Node, topological_order
from .mode import current_mode, describing, exact_scope, no_grad, recording
from .ops.base import apply, full_like
from .ops.elementwise import Add
from .tensor import Tensor


@overload
def grad(output: Tensor, inputs: Tensor, grad_output: object = None) -> Tensor: ...
@overload
def grad(output: Tensor, inputs: Sequence[Tensor], grad_output: object = None) -> tuple[Tensor, ...]: ...
def grad(output: Tensor, inputs: Tensor | Sequence[Tensor], grad_output: object = None) -> Tensor | tuple[Tensor, ...]:
    """The gradient of ``output`` in each of ``inputs``, itself differentiable.

    Args:
        output: the tensor to differentiate, eager or symbolic.
        inputs: a tensor, or several.
        grad_output: the gradient of the loss in ``output``, of its shape; may be left out for one element (then 1).

    Returns a tensor of the input's shape for each input: a tuple, or a single tensor where one was given. The
    gradient in an input that the output does not depend on is zero.

    Raises :class:`ShapeError` for a missing or ill-shaped ``grad_output``, :class:`GraphError` for an input that was
    not recorded.

    >>> x = Tensor(2.0, requires_grad=True)
    >>> slope = grad(x**3, x)
    >>> slope.item(), grad(slope, x).item()
    (12.0, 12.0)
    """
    single = isinstance(inputs, Tensor)
    wanted = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    for position, tensor in enumerate(wanted):
        if not tensor.requires_grad:
            raise GraphError(
                "grad",
                f"input {position} was not recorded, so no gradient in it can be found",
                got=repr(tensor.node),
                fix="make it with requires_grad=True before computing with it; integers have no gradient",
            )
    by_node = {tensor.node: tensor for tensor in wanted}
    by_identity = {id(tensor): tensor for tensor in wanted}

    def input_of(node: Node) -> Tensor | None:
        if node in by_node:
            return by_node[node]
        # A leaf that was assigned to has a new node; the graph may hold an older one, which knows its tensor.
        return None if node.handle is None else by_identity.get(id(node.handle()))

    totals: dict[int, Tensor] = {}  # by the identity of the input
    with recording():
        seed = _seed("grad", output, grad_output)
        order = topological_order([output.node], differentiable=True)
        targets = {node for node in order if input_of(node) is not None}
        for node, gradient in _gradients(order, targets, seed).items():
            identity = id(input_of(node))
            totals[identity] = _sum(totals.get(identity), gradient)
        found = tuple([totals[id(each)] if id(each) in totals else full_like(each, 0.0) for each in wanted])
    return found[0] if single else found


def backward(output: Tensor, grad_output: object = None) -> None:
    """See :meth:`tinygrad_cnn.Tensor.backward`."""
    with no_grad():
        seed = _seed("backward", output, grad_output)
        order = topological_order([output.node], differentiable=True)
        leaves = {node: node.handle() for node in order if node.handle is not None}
        targets = {node for node, leaf in leaves.items() if leaf is not None}
        if not targets:
            raise GraphError(
                "backward",
                "nothing that this tensor depends on requires a gradient",
                got=repr(output.node),
                fix="make the leaves with requires_grad=True, and compute outside tg.no_grad()",
            )
        for node, gradient in _gradients(order, targets, seed).items():
            leaf = leaves[node]
            if leaf is not None:
                set_gradient(leaf, _sum(leaf.grad, gradient))


def set_gradient(leaf: Tensor, gradient: Tensor | None) -> None:
    """Give a leaf its gradient, or none. A function that is being compiled has this effect later."""
    tracer = current_mode().tracer
    if tracer is not None:
        tracer.remember_gradient(leaf)
    leaf.grad = gradient


def _gradients(order: list[Node], targets: set[Node], seed: Tensor) -> dict[Node, Tensor]:
    """The gradient in each target, given that in the last node of the order."""
    on_the_way = set(targets)  # targets and all that depend on one: only these need a gradient
    for node in order:
        for parent in node.inputs:
            if parent in on_the_way:
                on_the_way.add(node)
                break

    found: dict[Node, Tensor] = {}
    if not on_the_way:
        return found
    output = order[-1]
    table = {output: seed}
    pass_on = _pass_on_in_scope if output.symbolic or current_mode().record else _pass_on
    forgotten = {node for node in order if node.region is not None and node.region.forgets and not node.symbolic}
    for node in reversed(order):
        gradient = table.pop(node, None)
        if gradient is None:
            continue
        if node in targets:
            found[node] = gradient
        if node.inputs:
            if forgotten and not node.symbolic:
                recall(node)
            pass_on(node, gradient, on_the_way, table)
        if node in forgotten:
            node.value = None
    return found


_handle = Tensor._from_node


def _pass_on(node: Node, gradient: Tensor, on_the_way: set[Node], table: dict[Node, Tensor]) -> None:
    """Ask the rule of the node's operation, and add what it gives to the gradients of the inputs."""
    output = _handle(node, node.value)
    inputs = [_handle(parent, parent.value) for parent in node.inputs]
    try:
        for parent, answer in zip(node.inputs, node.op.vjp(gradient, output, *inputs), strict=True):
            if answer is not None and parent in on_the_way:
                part = answer if isinstance(answer, Tensor) else answer()
                if part.node.spec != parent.spec:
                    raise GraphError(
                        node.op.name,
                        "the gradient rule gives a tensor of another kind than the input",
                        got=repr(part.spec),
                        expected=repr(parent.spec),
                        fix=f"correct vjp of {type(node.op).__name__}; a broadcast needs its own broadcast_to node",
                    )
                total = table.get(parent)
                table[parent] = part if total is None else _sum(total, part)
    except Exception as error:
        error.add_note(f"  in the gradient of {node.op}, called {node.where}")
        raise


def _pass_on_in_scope(node: Node, gradient: Tensor, on_the_way: set[Node], table: dict[Node, Tensor]) -> None:
    """The same where the rule's operations become nodes: they belong to the block that they are the gradient of."""
    with exact_scope(f"gradient/{node.scope}".rstrip("/")), describing() if node.symbolic else nullcontext():
        _pass_on(node, gradient, on_the_way, table)


def _sum(total: Tensor | None, part: Tensor) -> Tensor:
    """Gradients add up into a new tensor: neither summand is changed, for others may hold it."""
    return part if total is None else apply(Add(), total, part)


def _seed(name: str, output: Tensor, grad_output: object) -> Tensor:
    """The gradient that the walk starts with."""
    if grad_output is None:
        if output.numel() != 1:
            raise ShapeError(
                name,
                "only a tensor of one element has a gradient without further ado",
                got=repr(output.spec),
                expected="one element, or a grad_output of the same shape",
                fix="reduce it to a loss with .sum() or .mean() first",
            )
        return full_like(output, 1.0)
    seed = grad_output if isinstance(grad_output, Tensor) else Tensor(grad_output, dtype=output.dtype)
    if seed.spec != output.spec:
        raise ShapeError(name, "grad_output does not fit the output", got=repr(seed.spec), expected=repr(output.spec))
    return seed
