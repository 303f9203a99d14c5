"""Pictures of networks, forward and backward, before a single number is computed.

A graph becomes a :class:`GraphView` (boxes, arrows, frames), and everything that writes a picture reads only that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from ..errors import ArgumentError
from ..nn.module import Module
from ..tensor import Tensor
from .drawing import Drawing
from .trace import Trace, trace_model
from .view import GraphView, Level, ViewEdge, ViewGroup, ViewNode, build_view

__all__ = ["Drawing", "GraphView", "ViewEdge", "ViewGroup", "ViewNode", "draw"]


def draw(
    tensor_or_model: Tensor | Sequence[Tensor] | Module,
    input: Any = None,
    level: Level | None = None,
    backward: bool = False,
    name: str | None = None,
) -> Drawing:
    """Draw a network.

    Args:
        tensor_or_model: a tensor (its whole graph is drawn; an eager one must have been recorded), several tensors,
            or a model.
        input: what goes into a model: a shape with the batch axis first, or a tensor; a list of these where
            the model takes several. Only shapes are used: nothing is computed.
        level: ``"block"`` draws each innermost block as one box, ``"op"`` each operation. Without it models are drawn
            by blocks and tensors by operations.
        backward: whether the gradient (of the sum of all outputs, in all parameters and symbols) is drawn too.
        name: the title; without it the class of the model.

    The model runs as it is, in training or in evaluation. Layers that do nothing, as dropout in evaluation, are not
    drawn. Raises :class:`ArgumentError` for arguments that make no picture, and what the model itself raises.

    >>> import tinygrad_cnn as tg
    >>> drawing = draw(tg.nn.Linear(3, 2), input=(4, 3))
    >>> [node.shape for node in drawing.view.nodes]
    ['4×3', '4×2', '4×2']
    """
    if level not in (None, *get_args(Level)):
        raise ArgumentError("draw", "there is no such level", got=f"level={level!r}", expected='"block" or "op"')
    if isinstance(tensor_or_model, Module):
        trace = trace_model("draw", tensor_or_model, input)
    else:
        trace = Trace("graph", _tensors(tensor_or_model, input))
    if name is not None:
        trace = Trace(name, trace.outputs, trace.modules, trace.leaves)
    return Drawing(build_view(trace, level or ("block" if trace.modules else "op"), backward))


def _tensors(value: object, input: object) -> list[Tensor]:
    tensors = [value] if isinstance(value, Tensor) else list(value) if isinstance(value, list | tuple) else []
    if not tensors or not all(isinstance(each, Tensor) for each in tensors):
        raise ArgumentError(
            "draw",
            "this cannot be drawn",
            got=type(value).__name__,
            expected="a tensor, a list of tensors, or a model with the shape of its input",
            fix="draw(model, (1, 3, 32, 32)), or draw(model(images))",
        )
    if input is not None:
        raise ArgumentError(
            "draw", "a tensor has its inputs already", got=f"input={input!r}", fix="pass input only with a model"
        )
    return tensors
