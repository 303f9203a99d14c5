"""Which of two ways is quicker on this machine: as it was measured, else by an estimate.

What was measured is remembered on disk, beside the finished code.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path

from ...graph import Node
from ...ops.conv import Conv, ConvTranspose, ConvWeight
from ...ops.linalg import MatMul
from ..graph import Graph
from ..layout import Arranged
from ..passes import text_of
from ..report import count_macs_stored
from .dense import MANY
from .disk import cache_folder, read_file, write_file
from .loops import widths
from .machine import processor
from .steps import Step

LAYOUTS = (16, 1)
"""How many examples lie side by side: many, or one with its channels."""
LAYOUT = "layout of"
"""What the names of choices between these begin with."""
CHANNELS_COST = 1.25
"""How much longer one example takes where its channels lie side by side, and fill the vectors, than in lanes."""
TILES_COST = 1.1
"""The same for convolutions of 3x3 and their gradients, for which Winograd's ways there are."""
DENSE_COST = 0.9
"""The same for dense layers of some size, for few examples."""
SOME = range(MANY, 1 << 18)
"""How many weights such a layer has."""
FEW = 64
"""How many are few."""


class Ways:
    """The choices of one plan.

    Args:
        lanes: how many examples lie side by side.
        wish: take Winograd's way wherever it is possible, or nowhere; ``None`` for the quicker one.
    """

    def __init__(self, lanes: int, wish: bool | None = None) -> None:
        self.lanes, self.wish = lanes, wish
        self.known = measured() if wish is None else {}
        self.steps: dict[str, list[list[Step]]] = {}
        """For each choice the steps of each place that it was about."""
        self.asked = ""
        """What was asked last."""

    def takes_winograd(self, kind: str, size: Sequence[int], channels: int, out_channels: int, estimate: bool) -> bool:
        """Whether Winograd's way is taken where both are possible."""
        shape = "x".join(map(str, size))
        self.asked = f"{kind}, {shape}, {channels} to {out_channels} channels, {self.lanes} lanes"
        return self.known.get(self.asked, estimate) if self.wish is None else self.wish

    def note(self, steps: Sequence[Step]) -> None:
        """These steps are what came of the last question, if there was one."""
        if self.asked:
            self.steps.setdefault(self.asked, []).append(list(steps))
        self.asked = ""


def lanes_of(traced: Graph, graph: Graph, total: int, width: int) -> int:
    """How many examples lie side by side in vectors of so many numbers, or 1 where the channels of one do.

    Args:
        traced: the graph as its function described it, for what was measured.
        graph: the graph that runs, for an estimate.
        total: how many examples there are.
        width: how many numbers a vector has.
    """
    known = measured()
    name = name_of_layout(traced) if any(each.startswith(LAYOUT) for each in known) else ""
    return LAYOUTS[known.get(name, _channels_are_quicker(graph, total, width))]


def name_of_layout(traced: Graph) -> str:
    """The name of the choice between examples in lanes and channels side by side."""
    about = repr((text_of(traced), os.cpu_count()))
    return f"{LAYOUT} {hashlib.sha256(about.encode()).hexdigest()}"


def _channels_are_quicker(graph: Graph, total: int, width: int) -> bool:
    """An estimate.

    The slowest thread has some blocks of 16 examples, the last of which may be almost empty; or some single examples,
    for which more vectors are computed where the number of channels does not fill them.
    """
    threads = os.cpu_count() or 1
    nodes = [node for node in graph.nodes if node.spec.shape]
    sizes = sorted([(count_macs_stored(node), node.spec.shape[-1], _cost(node, total)) for node in nodes])
    if not any(macs for macs, *_ in sizes):
        sizes = [(size, size, CHANNELS_COST) for _, size, _ in sizes[-1:]]
    vectors = sum(cost * macs * sum((stop - start) // part for start, stop, part in widths(size, width)) / max(size, 1)
                  for macs, size, cost in sizes)  # fmt: skip
    each = vectors * width / max(sum(macs for macs, *_ in sizes), 1)
    in_lanes = 16 * math.ceil(math.ceil(total / 16) / threads)
    return bool(each * math.ceil(total / threads) < in_lanes)


def _cost(node: Node, total: int) -> float:
    """How much longer a node takes by channels than in lanes, apart from vectors that are not full."""
    op = node.op.op if isinstance(node.op, Arranged) else node.op
    if isinstance(op, Conv | ConvTranspose | ConvWeight):
        shape = (node if isinstance(op, ConvWeight) else node.inputs[1]).spec.shape
        small = shape[:2] == (3, 3) and set(op.stride) == {1}
        return TILES_COST if small and len(shape) == 4 and not any(n % 16 for n in shape[2:]) else CHANNELS_COST
    dense = isinstance(node.op, MatMul) and len(node.spec.shape) == 2
    if dense and total <= FEW and count_macs_stored(node) // total in SOME:
        return DENSE_COST
    return CHANNELS_COST


def _file() -> Path | None:
    folder = cache_folder()
    return None if folder is None else folder / "ways"


def _read() -> dict[str, dict[str, bool]]:
    """For each processor what was measured on it."""
    data = read_file(_file())
    found: dict[str, dict[str, bool]] = {} if data is None else json.loads(data)
    return found


def measured() -> dict[str, bool]:
    """For each choice that was measured on this processor, whether Winograd's way is the quicker one."""
    return _read().get(processor(), {})


def remember(choices: dict[str, bool]) -> None:
    """Keep what was measured, where a file can be written."""
    everything = _read()
    everything[processor()] = {**everything.get(processor(), {}), **choices}
    write_file(_file(), json.dumps(everything).encode())
