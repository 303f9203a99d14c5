"""Pictures of networks, forward and backward, before a single number is computed.

A graph becomes a :class:`GraphView` (boxes, arrows, frames), and everything that writes a picture reads only that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

from ..errors import ArgumentError, user_place
from ..graph import topological_order
from ..nn.module import Module
from ..tensor import Tensor
from .build import MOST, Closed, Scene, Wish, build_view, make_scene
from .dot import Style
from .drawing import Drawing
from .fold import fold as fold_view
from .overlay import OVERLAYS, Overlay, with_overlay
from .trace import Trace, trace_model
from .view import GraphView, Level, ViewEdge, ViewGroup, ViewNode

__all__ = ["Drawing", "GraphView", "ViewEdge", "ViewGroup", "ViewNode", "draw"]

FEW = 64
"""The most elements of a tensor in a picture with all its numbers."""


def draw(
    tensor_or_model: Tensor | Sequence[Tensor] | Module,
    input: Any = None,
    level: Level | None = None,
    backward: bool = False,
    name: str | None = None,
    *,
    depth: int | None = None,
    collapse: type[Module] | tuple[type[Module], ...] | Callable[[str, Module | None], bool] | None = None,
    fold: bool = False,
    rules: bool = True,
    values: bool = False,
    overlay: Overlay | Mapping[str, float] | None = None,
    edge_shapes: bool | None = None,
    details: bool = False,
    errors: Literal["raise", "draw"] = "raise",
) -> Drawing:
    """Draw a network.

    Args:
        tensor_or_model: a tensor (its whole graph is drawn; an eager one must have been recorded), several tensors,
            or a model.
        input: what goes into a model: a shape with the batch axis first, or a tensor; a list of these where
            the model takes several. Only shapes are used: nothing is computed, unless ``values`` are wanted.
        level: ``"block"`` draws each innermost block as one box, ``"op"`` each operation, ``"scalar"`` each operation
            of a tiny graph with all its numbers and their gradients. Without it models are drawn by blocks and
            tensors by operations.
        backward: whether the gradient (of the sum of all outputs, in all parameters and symbols) is drawn too.
            Dashed arrows lead from results that are saved for it.
        name: the title; without it the class of the model.
        depth: draw blocks so many steps below the model as one box each: 0 the whole model, 1 its parts.
        collapse: draw these blocks as one box each: a class of modules, several, or a function that is given the
            block's path (``"resnet/layer1/0"``) and its module and answers yes or no.
        fold: draw equal neighbours once, with "×N".
        rules: whether each gradient rule is one box with its formula; otherwise each of its operations is a box.
        values: whether boxes tell their numbers (range and mean) and the norm of their gradient. The numbers are
            worked out for this; the first NaN is ringed and its way marked.
        overlay: colour boxes by their multiply-adds (``"macs"``), by the memory of what comes out (``"memory"``) or
            by their ``"parameters"``, with a scale; or by numbers of your own, such as measured times, given by the
            names of blocks: ``{"conv1": 3.2, "layer1.0": 7.5}``.
        edge_shapes: whether arrows carry shapes; without it those between blocks do.
        details: whether boxes tell the element type and the memory of what comes out as well.
        errors: ``"draw"`` draws a model that raises an error as far as it comes, up to a red box with the message;
            there are no gradients and no numbers then.

    The model runs as it is, in training or in evaluation. Layers that do nothing, as dropout in evaluation, are not
    drawn. Where there are more than 400 boxes and neither ``depth`` nor ``collapse`` says what to do, blocks are
    collapsed until there are fewer, with a note. Raises :class:`ArgumentError` for arguments that make no picture, and
    what the model itself raises.

    >>> import tinygrad_cnn as tg
    >>> drawing = draw(tg.nn.Linear(3, 2), input=(4, 3))
    >>> [node.shape for node in drawing.view.nodes]
    ['4×3', '4×2', '4×2']
    """
    _check("level", level, (None, *get_args(Level)))
    if not isinstance(overlay, Mapping):
        _check("overlay", overlay, (None, *OVERLAYS))
    _check("errors", errors, ("raise", "draw"))
    if depth is not None and depth < 0:
        raise ArgumentError("draw", "depth counts steps below the model", got=f"depth={depth}", expected="0 or more")
    if isinstance(tensor_or_model, Module):
        trace = trace_model("draw", tensor_or_model, input, keep_errors=errors == "draw")
    else:
        trace = Trace("graph", _tensors(tensor_or_model, input))
    if name is not None:
        trace = replace(trace, name=name)
    level = level or ("block" if trace.modules else "op")
    if level == "scalar":
        _check_few(trace)
    scene = make_scene(trace, backward, values or level == "scalar")
    wish = Wish(level, backward, depth, None if collapse is None else _closed(collapse), rules, user_place(1))

    def finished(view: GraphView) -> GraphView:
        folded = fold_view(view) if fold else view
        return with_overlay(folded, overlay) if overlay else folded

    view = build_view(scene, wish)
    if depth is None and collapse is None:
        folded = fold_view(view) if fold else view
        if len(folded.nodes) > MOST:
            view = _smaller(scene, wish, len(folded.nodes), lambda view: len(view.nodes) <= MOST)
    return Drawing(
        finished(view),
        Style(edge_shapes, details),
        lambda fits: finished(_smaller(scene, wish, len(view.nodes), fits)),
        lambda: build_view(scene, wish._replace(depth=None, closed=None)),
    )


def _smaller(scene: Scene, wish: Wish, count: int, fits: Callable[[GraphView], bool]) -> GraphView:
    """The view with the innermost blocks collapsed, then those around them, until it fits."""
    scopes = {node.scope for node in topological_order([tensor.node for tensor in scene.trace.outputs])}
    deepest = max((scope.count("/") for scope in scopes), default=0)
    for depth in range(min(deepest, wish.depth or deepest), 0, -1):
        view = build_view(scene, wish._replace(depth=depth))
        if fits(view):
            note = f"{count:,} boxes are too many to show: blocks are collapsed as by depth={depth}"
            return view._replace(notes=(*view.notes, note))
    view = build_view(scene, wish._replace(depth=1, most=MOST // 2))
    note = f"{count:,} boxes are too many to show: those in the middle are drawn as one"
    return view._replace(notes=(*view.notes, note))


def _closed(collapse: Any) -> Closed:
    if isinstance(collapse, type | tuple):
        return lambda path, module: isinstance(module, collapse)
    if not callable(collapse):
        raise ArgumentError(
            "draw",
            "collapse says which blocks are one box",
            got=f"collapse={collapse!r}",
            expected="a class of modules, a tuple of classes, or a function of path and module",
            fix="collapse=tg.nn.Sequential, or collapse=lambda path, module: path.endswith('layer1')",
        )
    ask: Closed = collapse
    return ask


def _check(name: str, value: object, known: tuple[object, ...]) -> None:
    if value not in known:
        raise ArgumentError(
            "draw",
            f"there is no such {name}",
            got=f"{name}={value!r}",
            expected=", ".join(repr(each) for each in known if each is not None),
        )


def _check_few(trace: Trace) -> None:
    nodes = topological_order([tensor.node for tensor in trace.outputs])
    largest = max(nodes, key=lambda node: node.spec.size)
    if largest.spec.size > FEW or len(nodes) > MOST:
        raise ArgumentError(
            "draw",
            "the graph is too large to write out all its numbers",
            got=f"{len(nodes)} nodes, the largest with {largest.spec.size:,} elements",
            expected=f"at most {MOST} nodes with at most {FEW} elements each",
            fix='draw(..., level="op", values=True) gives ranges and norms',
        )


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
