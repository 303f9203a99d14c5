"""A table of a model's blocks: what comes out of each, what it sees, and what it costs in numbers, work and memory.

What is a multiply-add, and what an activation, is said here once, for tables and pictures alike.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .draw.trace import Trace, tensors_in, trace_model
from .draw.view import format_shape
from .errors import ArgumentError
from .graph import Node, Spec, topological_order
from .mode import current_mode
from .nn.module import Module, Parameter, forwards_wrapped
from .ops.elementwise import Detach
from .ops.index import Index, Picked
from .ops.shape import BroadcastTo, Permute, Reshape
from .tensor import Tensor

__all__ = ["Row", "Summary", "activations_of", "count_flops", "count_macs", "format_bytes", "summary"]


def _per_map_number(node: Node, numbers: Spec, weight: Spec) -> int:
    """Each number of the map meets every weight of one filter: ``C/G * k`` products."""
    return numbers.size * (weight.size // weight.shape[0] if weight.size else 0)


MACS: dict[str, Callable[[Node], int]] = {
    "conv": lambda node: _per_map_number(node, node.spec, node.inputs[1].spec),
    "conv_transpose": lambda node: _per_map_number(node, node.inputs[0].spec, node.inputs[1].spec),
    "conv_weight": lambda node: _per_map_number(node, node.inputs[1].spec, node.spec),
    "matmul": lambda node: node.spec.size * node.inputs[0].spec.shape[-1],
}
"""How many multiply-adds an operation is, by its name; all others are none. See :func:`count_macs`."""


def count_macs(node: Node) -> int:
    """How many multiply-adds one call of an operation is: a product whose result is added to others, counted once.

    Convolutions and matrix products have them: for a map ``(N, O, H, W)`` of filters ``(O, C/groups, kH, kW)`` it is
    ``N * O * H * W * C/groups * kH * kW``, stride and dilation or not; products with zeros of the padding count. For
    a transposed convolution the map is the input; for ``(n, k) @ (k, m)`` it is ``n * m * k``. Biases,
    normalisations, activations and pooling are not counted.

    >>> import tinygrad_cnn as tg
    >>> count_macs(tg.matmul(tg.symbol((2, 3)), tg.symbol((3, 5))).node)
    30
    """
    rule = MACS.get(node.op.name)
    return rule(node) if rule else 0


def count_flops(node: Node) -> int:
    """How many floating-point operations one call of an operation is: two for each of its :func:`count_macs`.

    >>> import tinygrad_cnn as tg
    >>> count_flops(tg.matmul(tg.symbol((2, 3)), tg.symbol((3, 5))).node)
    60
    """
    return FLOPS_PER_MAC * count_macs(node)


FLOPS_PER_MAC = 2
"""A product and a sum."""


def activations_of(outputs: Iterable[Node]) -> list[Node]:
    """The results that stay in memory, after a graph has been run, for the gradient in its parameters.

    These are the inputs and outputs that the gradient rules read again (``Operation.keeps``), and results that no
    gradient flows through but that a rule works with, such as the noise of dropout. Each stands here once, however
    many rules read it; what was given (parameters, buffers, inputs, numbers) and what only shows another result in
    another shape take no memory of their own. In the order of the graph.
    """
    order = topological_order(outputs)
    on_the_way: set[Node] = set()  # a gradient in a parameter flows through these
    read: set[Node] = set()
    for node in order:
        if not node.inputs:
            if node.requires_grad and node.op.name != "symbol":
                on_the_way.add(node)
        elif node.requires_grad and any([parent in on_the_way for parent in node.inputs]):
            on_the_way.add(node)
            for parent, places in zip(node.inputs, node.op.keeps, strict=False):  # `keeps` may be shorter: no reads
                if parent in on_the_way:
                    read.update([node.inputs[place] if place >= 0 else node for place in places])
            read.update([parent for parent in node.inputs if parent not in on_the_way])
    held = {_in_memory(node) for node in read}
    return [node for node in order if node in held and node.op.name not in GIVEN]


GIVEN = frozenset({"symbol", "constant", "initial", "full"})
"""Leaves, and numbers in formulas, which take the room of one element."""


def _in_memory(node: Node) -> Node:
    """The result whose memory a result lies in."""
    while _is_view(node):
        node = node.inputs[0]
    return node


def _is_view(node: Node) -> bool:
    if isinstance(node.op, Index):
        return not any([isinstance(each, Picked) for each in node.op.key])
    return isinstance(node.op, Reshape | Permute | BroadcastTo | Detach)


class Row(NamedTuple):
    """One block."""

    path: str
    """The name under which the model holds the block, as in ``state_dict``; empty for the model itself."""
    kind: str
    """The class."""
    outputs: tuple[Spec, ...]
    """What came out at the last call; empty where the block was not called."""
    parameters: int
    """How many numbers are trained in the block and all below it, frozen ones included."""
    macs: int
    """The multiply-adds of all its calls, for the batch that was given; see :func:`count_macs`."""
    depth: int
    """How many blocks stand around it."""
    activations: int
    """The memory, in bytes, of the results of all its calls that a training step keeps for the gradient; see
    :func:`activations_of`."""
    receptive_field: tuple[int, ...]
    """How many pixels of the model's input a unit in the middle of what came out sees, along each spatial axis, those
    of the padding included; empty where there are no pixels. In evaluation, see
    :func:`~tinygrad_cnn.inspect.receptive_field`."""

    @property
    def flops(self) -> int:
        """The floating-point operations, see :func:`count_flops`."""
        return FLOPS_PER_MAC * self.macs


class Summary(NamedTuple):
    """The table. ``print`` shows it as text, notebooks as a table; :meth:`data` is for programs."""

    rows: tuple[Row, ...]
    """The model first, then its blocks as ``named_modules`` lists them."""
    parameters: int
    macs: int
    """The multiply-adds of one run, for the batch that was given."""
    trainable: int
    """The parameters that are not frozen."""
    bytes: int
    """The memory of the parameters, in bytes."""
    activations: int
    """The memory, in bytes, of all results that a training step keeps for the gradient."""

    @property
    def flops(self) -> int:
        """The floating-point operations of one run, see :func:`count_flops`."""
        return FLOPS_PER_MAC * self.macs

    def data(self) -> dict[str, Any]:
        """The table as dictionaries, lists, texts and numbers, ready for ``json.dumps`` or a data frame.

        ``rows`` has a dictionary for each block with the fields of :class:`Row` and ``flops``; an output is
        ``{"shape": [...], "dtype": "float32"}``. The other keys are the totals.

        >>> from tinygrad_cnn import nn
        >>> table = summary(nn.Linear(3, 2), (4, 3)).data()
        >>> table["macs"], table["rows"][0]["outputs"]
        (24, [{'shape': [4, 2], 'dtype': 'float32'}])
        """
        rows = []
        for row in self.rows:
            outputs = [{"shape": list(spec.shape), "dtype": str(spec.dtype)} for spec in row.outputs]
            field = list(row.receptive_field)
            rows.append({**row._asdict(), "outputs": outputs, "receptive_field": field, "flops": row.flops})
        return {"schema": SCHEMA, **self._asdict(), "rows": rows, "flops": self.flops}

    def html(self) -> str:
        """The table as an HTML element that takes the colours of the page it stands in."""
        return "\n".join(_html(self))

    def _repr_html_(self) -> str:
        return self.html()

    def __str__(self) -> str:
        return "\n".join(_lines(self))


SCHEMA = "tinygrad_cnn.summary/1"
"""Names the form of :meth:`Summary.data`. Later ones may add keys."""


def summary(model: Module, input_shape: Any) -> Summary:
    """A table of the model's blocks: output shapes, receptive fields, parameters, multiply-adds and activations.

    Nothing is computed, and no weights are drawn.

    Args:
        model: left in training or evaluation, as it is.
        input_shape: the shape of the input with the batch axis first, or a tensor; a list of these where the model
            takes several.

    Activations are the memory that a training step keeps for the gradient; of a model with frozen parameters that is
    less. A receptive field is given where the model has one input with spatial axes, and convolutions or pooling.
    Raises :class:`ArgumentError` for another input, and what the model itself raises when the input does not fit.

    >>> import tinygrad_cnn as tg
    >>> print(summary(tg.nn.Sequential(tg.nn.Conv2d(1, 2, 3), tg.nn.ReLU()), (4, 1, 8, 8)))
    block         kind        output   field  parameters   MACs  activations
    ------------  ----------  -------  -----  ----------  -----  -----------
    (sequential)  Sequential  4×2×6×6  3×3            20  2,592      1.1 KiB
      0           Conv2d      4×2×6×6  3×3            20  2,592
      1           ReLU        4×2×6×6  3×3                           1.1 KiB
    <BLANKLINE>
    20 parameters, 20 trainable, 80 bytes; 2,592 multiply-adds (5,184 FLOPs); activations 1.1 KiB
    """
    if not isinstance(model, Module):
        raise ArgumentError(
            "summary", "this is no model", got=type(model).__name__, expected="a tinygrad_cnn.nn.Module"
        )
    watch = _Watch()
    with _watched(model, watch):
        trace = trace_model("summary", model, input_shape)
    roots = [tensor.node for tensor in trace.outputs]
    macs = {node: count for node in topological_order(roots) if (count := count_macs(node))}
    memory = {node: node.spec.size * node.spec.dtype.itemsize for node in activations_of(roots)}
    macs_of, memory_of = _by_module(macs, watch), _by_module(memory, watch)
    fields = _receptive_fields(model, input_shape, trace, watch)
    rows = []
    for path, module in model.named_modules():
        rows.append(
            Row(
                path,
                type(module).__name__,
                tuple([tensor.spec for tensor in watch.outputs.get(module, ())]),
                sum(parameter.numel() for parameter in module.parameters()),
                macs_of.get(module, 0),
                path.count(".") + 1 if path else 0,
                memory_of.get(module, 0),
                fields.get(module, ()),
            )
        )
    parameters: list[Parameter] = list(model.parameters())
    return Summary(
        tuple(rows),
        sum(each.numel() for each in parameters),
        sum(macs.values()),
        sum(each.numel() for each in parameters if each.requires_grad),
        sum(each.numel() * each.dtype.itemsize for each in parameters),
        sum(memory.values()),
    )


@dataclass(frozen=True)
class _Watch:
    """What is noted of the modules of a model while it is called."""

    outputs: dict[Module, tuple[Tensor, ...]] = field(default_factory=dict)
    """What came out of each module at its last call."""
    scopes: dict[str, set[Module]] = field(default_factory=dict)
    """The modules that ran in each scope."""


def _watched(model: Module, watch: _Watch) -> AbstractContextManager[None]:
    """Note what each module does, until the end of the ``with``."""

    def watched(_: str, module: Module, forward: Any) -> Any:
        def watching(*inputs: Any, **settings: Any) -> Any:
            watch.scopes.setdefault(current_mode().scope, set()).add(module)
            result = forward(*inputs, **settings)
            watch.outputs[module] = tuple(tensors_in(result))
            return result

        return watching

    return forwards_wrapped(model, watched)


def _by_module(amounts: dict[Node, int], watch: _Watch) -> dict[Module, int]:
    """What each module has of something that nodes have: what a scope has belongs to those around it too."""
    found: dict[Module, int] = {}
    by_scope: dict[str, int] = {}
    for node, amount in amounts.items():
        by_scope[node.scope] = by_scope.get(node.scope, 0) + amount
    for scope, amount in by_scope.items():
        modules: set[Module] = set()
        while scope:
            modules |= watch.scopes.get(scope, set())
            scope = scope.rpartition("/")[0]
        for module in modules:
            found[module] = found.get(module, 0) + amount
    return found


def _receptive_fields(model: Module, input: Any, trace: Trace, watch: _Watch) -> dict[Module, tuple[int, ...]]:
    """What the middle unit of each module's first output sees of the input, by the model in evaluation.

    In training, normalisation makes each number depend on all pixels.
    """
    from .inspect.receptive import field_sizes  # only this needs the room

    if any(module.training for module in model.modules()):
        watch = _Watch()
        with _evaluating(model), _watched(model, watch):
            trace = trace_model("summary", model, input)
    order = topological_order([tensor.node for tensor in trace.outputs])
    sources = [node for node in order if node.op.name == "symbol" and len(node.spec.shape) > 2]
    if len(sources) != 1:
        return {}
    ends = {module: outputs[0].node for module, outputs in watch.outputs.items() if outputs}
    sizes = field_sizes(ends.values(), sources[0])
    return {module: sizes[node] for module, node in ends.items() if node in sizes}


@contextmanager
def _evaluating(model: Module) -> Iterator[None]:
    """The model in evaluation, until the end of the ``with``."""
    before = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        yield
    finally:
        for module, training in before:
            module.training = training


# As text and as HTML

_HEADS = ("block", "kind", "output", "receptive field", "parameters", "MACs", "activations")
_NUMBERS = 4
"""The column from which on there are numbers, which end in one line."""


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.path.rpartition(".")[2] or f"({row.kind.lower()})",
        row.kind,
        ", ".join(map(format_shape, row.outputs)) or "not called",
        "×".join(map(str, row.receptive_field)),
        *[f"{count:,}" if count else "" for count in (row.parameters, row.macs)],
        format_bytes(row.activations) if row.activations else "",
    )


def _table(table: Summary) -> list[tuple[str, ...]]:
    """The heads and the cells; what the model sees is left out where there are no pixels."""
    cells = [_HEADS, *map(_cells, table.rows)]
    if not any(row.receptive_field for row in table.rows):
        cells = [(*each[:3], "", *each[4:]) for each in cells]
    return cells


def _totals(table: Summary) -> str:
    return (
        f"{table.parameters:,} parameters, {table.trainable:,} trainable, {format_bytes(table.bytes)}; "
        f"{table.macs:,} multiply-adds ({table.flops:,} FLOPs); activations {format_bytes(table.activations)}"
    )


def _lines(table: Summary) -> Iterator[str]:
    heads, *cells = _table(table)
    heads = tuple([head.removeprefix("receptive ") for head in heads])  # a line fits a terminal
    cells = [("  " * row.depth + each[0], *each[1:]) for row, each in zip(table.rows, cells, strict=True)]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    for line in [heads, tuple(["-" * width for width in widths]), *cells]:
        texts = [
            f"{cell:<{width}}" if place < _NUMBERS else f"{cell:>{width}}"
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
            if width
        ]
        yield "  ".join(texts).rstrip()
    yield ""
    yield _totals(table)


_LEFT, _RIGHT = "text-align:left", "text-align:right;font-variant-numeric:tabular-nums"


def _html(table: Summary) -> Iterator[str]:
    """Each name in the first column stands in as many steps as there are blocks around it."""
    heads, *cells = _table(table)
    shown = [place for place, head in enumerate(heads) if head]
    yield '<div style="overflow-x:auto" tabindex="0" role="region" aria-label="table of blocks">'
    yield '<table style="border-collapse:collapse;color:inherit;background:transparent">'
    yield f'<caption style="caption-side:bottom;{_LEFT}">{html.escape(_totals(table))}</caption>'
    style = "border-bottom:1px solid currentColor;padding:0.2em 0.6em"
    texts = [f'<th scope="col" style="{style};{_style(place)}">{html.escape(heads[place])}</th>' for place in shown]
    yield f"<thead><tr>{''.join(texts)}</tr></thead>"
    yield "<tbody>"
    for row, line in zip(table.rows, cells, strict=True):
        indent = f"padding:0.1em 0.6em 0.1em {0.6 + 1.2 * row.depth:.1f}em"
        name = html.escape(line[0])
        texts = [f'<th scope="row" style="{indent};{_LEFT};font-weight:normal">{name}</th>']
        texts += [
            f'<td style="padding:0.1em 0.6em;{_style(place)}">{html.escape(line[place])}</td>' for place in shown[1:]
        ]
        yield f"<tr>{''.join(texts)}</tr>"
    yield "</tbody></table></div>"


def _style(place: int) -> str:
    return _LEFT if place < _NUMBERS else _RIGHT


def format_bytes(count: int) -> str:
    """A number of bytes in the unit that suits it.

    >>> format_bytes(246_824)
    '241.0 KiB'
    """
    size, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{count} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
