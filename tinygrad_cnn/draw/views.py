"""The views that one drawing can show: as it was asked for, with fewer boxes, and with all that is inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..graph import topological_order
from .build import build_view
from .compare import compare
from .fold import fold
from .overlay import Overlay, with_overlay
from .scene import MOST, Scene, Wish
from .view import GraphView

Before = Callable[[Wish, bool], GraphView]
"""What a graph is compared with: its view for a wish, or its whole view."""


class Views:
    """The views of a graph, or of what differs between it and another.

    Args:
        scene: the graph.
        opened: the same with fused operations opened, made when it is needed.
        before: what it is compared with, if anything.
        wish: what is to be shown.
        folded: whether equal neighbours are drawn once.
        overlay: what boxes are coloured by.
    """

    def __init__(
        self,
        scene: Scene,
        opened: Callable[[], Scene],
        before: Before | None,
        wish: Wish,
        folded: bool,
        overlay: Overlay | Mapping[str, float] | None,
    ) -> None:
        self._scene = scene
        self._opened = opened
        self._before = before
        self._wish = wish
        self._folded = folded
        self._overlay = overlay

    def picture(self) -> GraphView:
        """What was asked for; with too many boxes and no word on how to collapse them, blocks are collapsed."""
        view = self._fold(self._view(self._wish))
        if self._wish.depth is None and self._wish.closed is None and len(view.nodes) > MOST:
            view = self._fold(self._smaller(len(view.nodes), lambda smaller: len(smaller.nodes) <= MOST))
        return self._coloured(view)

    def smaller(self, fits: Callable[[GraphView], bool]) -> GraphView:
        """Blocks are collapsed until the picture fits."""
        return self._coloured(self._fold(self._smaller(len(self._view(self._wish).nodes), fits)))

    def whole(self) -> GraphView:
        """Everything, with fused operations opened."""
        return self._view(self._wish._replace(depth=None, closed=None, bodies=True), whole=True)

    def _view(self, wish: Wish, whole: bool = False) -> GraphView:
        view = build_view(self._opened() if wish.bodies else self._scene, wish)
        return view if self._before is None else compare(self._before(wish, whole), view)

    def _fold(self, view: GraphView) -> GraphView:
        return fold(view) if self._folded else view

    def _coloured(self, view: GraphView) -> GraphView:
        return with_overlay(view, self._overlay) if self._overlay else view

    def _smaller(self, count: int, fits: Callable[[GraphView], bool]) -> GraphView:
        """The view with the innermost blocks collapsed, then those around them, until it fits."""
        scopes = {node.scope for node in topological_order([tensor.node for tensor in self._scene.trace.outputs])}
        outermost = 0 if self._scene.trace.modules else 1
        deepest = max((scope.count("/") + outermost for scope in scopes if scope), default=0)
        for depth in range(min(deepest, self._wish.depth or deepest), 0, -1):
            view = self._view(self._wish._replace(depth=depth))
            if fits(view):
                return _with_note(view, count, f"blocks are collapsed as by depth={depth}")
        view = self._view(self._wish._replace(depth=1, most=MOST // 2))
        return _with_note(view, count, "those in the middle are drawn as one")


def _with_note(view: GraphView, count: int, what: str) -> GraphView:
    return view._replace(notes=(*view.notes, f"{count:,} boxes are too many to show: {what}"))
