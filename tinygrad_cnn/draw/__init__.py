"""Pictures of networks, forward and backward, before a single number is computed.

A graph becomes a :class:`GraphView` (boxes, arrows, frames), and everything that writes a picture reads only that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Literal, Protocol, get_args

from ..errors import ArgumentError, user_place
from ..graph import Node, topological_order
from ..nn.module import Module
from ..tensor import Tensor
from .build import build_view
from .dot import Style
from .drawing import Drawing
from .numbers import Values
from .overlay import OVERLAYS, Overlay
from .plans import trace_of
from .retrace import has_bodies, opened
from .scene import MOST, Closed, Scene, Wish, make_scene
from .trace import Trace, trace_model
from .view import GraphView, Level, ViewEdge, ViewGroup, ViewNode
from .views import Before, Views

__all__ = ["Drawing", "GraphView", "ViewEdge", "ViewGroup", "ViewNode", "draw"]

FEW = 64
"""The most elements of a tensor in a picture with all its numbers."""


class Traced(Protocol):
    """A graph that a compiled function is made of offers its results as tensors."""

    def tensors(self) -> Sequence[Tensor]:
        """The results."""
        ...


class WithGraph(Protocol):
    """A compiled function and its plan have a graph."""

    @property
    def graph(self) -> Traced:
        """The graph."""
        ...


Drawable = Tensor | Node | Sequence[Tensor] | Sequence[Node] | Module | Traced | WithGraph


def draw(
    tensor_or_model: Drawable,
    input: Any = None,
    level: Level | None = None,
    backward: bool = False,
    name: str | None = None,
    *,
    against: Drawable | Drawing | None = None,
    depth: int | None = None,
    collapse: type[Module] | tuple[type[Module], ...] | Callable[[str, Module | None], bool] | None = None,
    fold: bool = False,
    bodies: bool = False,
    rules: bool = True,
    values: bool | Values = False,
    overlay: Overlay | Mapping[str, float] | None = None,
    edge_shapes: bool | None = None,
    details: bool = False,
    links: str | None = None,
    errors: Literal["raise", "draw"] = "raise",
) -> Drawing:
    """Draw a network.

    Args:
        tensor_or_model: a tensor (its whole graph is drawn; an eager one must have been recorded), several tensors,
            a model, a compiled function that has been called (its plan is drawn: what is run, not what was written),
            or one of its graphs.
        input: what goes into a model: a shape with the batch axis first, or a tensor; a list of these where
            the model takes several. Only shapes are used: nothing is computed, unless ``values`` are wanted.
        level: ``"block"`` draws each innermost block as one box, ``"op"`` each operation, ``"scalar"`` each operation
            of a tiny graph with all its numbers and their gradients. Without it models are drawn by blocks and
            tensors by operations.
        backward: whether the gradient (of the sum of all outputs, in all parameters and symbols) is drawn too.
            Dashed arrows lead from results that are saved for it.
        name: the title; without it the class of the model.
        against: what was there before: a tensor, several or a model, drawn in the same way, or another drawing. Both
            become one picture in which boxes and arrows are marked as added (+), removed (-) or changed (~), with
            what a changed box said before; the title counts them.
        depth: draw blocks so many steps below the model as one box each: 0 the whole model, 1 its parts.
        collapse: draw these blocks as one box each: a class of modules, several, or a function that is given the
            block's path (``"resnet/layer1/0"``) and its module and answers yes or no.
        fold: draw equal neighbours once, with "×N".
        bodies: whether fused operations, as compilers make them, are drawn as frames with what is in them; otherwise
            each is one box, which opens in :meth:`Drawing.page`.
        rules: whether each gradient rule is one box with its formula; otherwise each of its operations is a box.
        values: what boxes tell of their numbers, which are worked out for this: ``True`` or ``"numbers"`` their range
            and mean and the norm of their gradient, ``"norms"`` both norms, ``"histogram"`` how they are spread,
            ``"thumbnails"`` a picture of the first image's channels. The first NaN is ringed and its way marked.
            Where there are no numbers, boxes say "not computed".
        overlay: colour boxes by their multiply-adds (``"macs"``), by the memory of what comes out (``"memory"``), by
            their ``"parameters"``, by the ``"time"`` that they take (the operations are run for this, those of a
            compiled function as in its plan), or by their ``"receptive_field"``, with a scale; or by numbers of your
            own, given by the names of blocks: ``{"conv1": 3.2, "layer1.0": 7.5}``.
        edge_shapes: whether arrows carry shapes; without it those between blocks do.
        details: whether boxes tell the element type and the memory of what comes out as well.
        links: the address of the documentation; each box then leads to the page that explains it. An empty text
            gives links from the documentation's first page.
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
    >>> x = tg.symbol((2,), name="x")
    >>> draw(x.exp().relu(), against=x.relu()).view.name
    'graph: 1 added, 0 removed, 0 changed, 2 kept'
    """
    _check("level", level, (None, *get_args(Level)))
    _check("values", values, (False, True, *get_args(Values)))
    if not isinstance(overlay, Mapping):
        _check("overlay", overlay, (None, *OVERLAYS))
    _check("errors", errors, ("raise", "draw"))
    if depth is not None and depth < 0:
        raise ArgumentError("draw", "depth counts steps below the model", got=f"depth={depth}", expected="0 or more")
    trace = _trace(tensor_or_model, input, errors, overlay == "time")
    if name is not None:
        trace = replace(trace, name=name)
    level = level or ("block" if trace.modules else "op")
    wish = Wish(
        level, backward, depth, None if collapse is None else _closed(collapse), rules, user_place(1),
        bodies=bodies, fields=overlay == "receptive_field", links=links,
    )  # fmt: skip
    told: Values | None = "numbers" if values is True or (level == "scalar" and not values) else values or None

    def scene_of(trace: Trace) -> Scene:
        if level == "scalar":
            _check_few(trace)
        return make_scene(trace, backward, told, overlay == "time")

    def opening(trace: Trace, scene: Scene) -> Callable[[], Scene]:
        return cache(lambda: scene_of(opened(trace)) if has_bodies(trace) else scene)

    before: Before | None = None
    if isinstance(against, Drawing):
        drawn = against
        before = lambda _, whole: drawn.whole() if whole else drawn.view  # noqa: E731
    elif against is not None:
        old = _trace(against, input if isinstance(against, Module) else None, errors, False)
        old_scene = scene_of(old)
        old_opened = opening(old, old_scene)
        before = lambda wish, _: build_view(old_opened() if wish.bodies else old_scene, wish)  # noqa: E731
    scene = scene_of(trace)
    views = Views(scene, opening(trace, scene), before, wish, fold, overlay)
    return Drawing(views.picture(), Style(edge_shapes, details), views.smaller, views.whole)


def _trace(thing: object, input: Any, errors: str, timed: bool) -> Trace:
    if isinstance(thing, Module):
        return trace_model("draw", thing, input, keep_errors=errors == "draw")
    traced = None if isinstance(thing, Tensor | Node) or input is not None else trace_of(thing, timed)
    return traced or Trace("graph", _tensors(thing, input))


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
    given = [value] if isinstance(value, Tensor | Node) else list(value) if isinstance(value, list | tuple) else []
    tensors = [Tensor._from_node(each, None) if isinstance(each, Node) else each for each in given]
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
