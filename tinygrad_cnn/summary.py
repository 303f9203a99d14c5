"""A table of a model's blocks: what comes out of each, how many numbers it trains, and how much work it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .draw.trace import tensors_in, trace_model
from .draw.view import format_shape
from .errors import ArgumentError
from .graph import Node, Spec, topological_order
from .mode import current_mode
from .nn.module import Module, Parameter, forwards_wrapped


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


class Summary(NamedTuple):
    """The table; ``print`` shows it."""

    rows: tuple[Row, ...]
    parameters: int
    macs: int
    """The multiply-adds of one run, for the batch that was given."""
    trainable: int
    """The parameters that are not frozen."""
    bytes: int
    """The memory of the parameters, in bytes."""

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def summary(model: Module, input_shape: Any) -> Summary:
    """A table of the model's blocks, their output shapes, parameters and multiply-adds. Nothing is computed.

    Args:
        model: left in training or evaluation, as it is.
        input_shape: the shape of the input with the batch axis first, or a tensor; a list of these where the model
            takes several.

    Raises :class:`ArgumentError` for another input, and what the model itself raises when the input does not fit.

    >>> import tinygrad_cnn as tg
    >>> print(summary(tg.nn.Sequential(tg.nn.Linear(3, 2), tg.nn.ReLU()), (4, 3)))
    block         kind        output  parameters  MACs
    ------------  ----------  ------  ----------  ----
    (sequential)  Sequential  4×2              8    24
      0           Linear      4×2              8    24
      1           ReLU        4×2
    <BLANKLINE>
    8 parameters, 8 trainable, 32 bytes; 24 multiply-adds
    """
    if not isinstance(model, Module):
        raise ArgumentError(
            "summary", "this is no model", got=type(model).__name__, expected="a tinygrad_cnn.nn.Module"
        )
    watch = _Watch()
    with _watched(model, watch):
        trace = trace_model("summary", model, input_shape)
    by_module, macs = _macs([tensor.node for tensor in trace.outputs], watch)
    rows = []
    for path, module in model.named_modules():
        size = sum(parameter.numel() for parameter in module.parameters())
        depth = path.count(".") + 1 if path else 0
        made = watch.outputs.get(id(module), ())
        rows.append(Row(path, type(module).__name__, made, size, by_module.get(id(module), 0), depth))
    parameters: list[Parameter] = list(model.parameters())
    return Summary(
        tuple(rows),
        sum(each.numel() for each in parameters),
        macs,
        sum(each.numel() for each in parameters if each.requires_grad),
        sum(each.numel() * each.dtype.itemsize for each in parameters),
    )


@dataclass(frozen=True)
class _Watch:
    """What is noted of the modules of a model while it is called."""

    outputs: dict[int, tuple[Spec, ...]] = field(default_factory=dict)
    """What came out of each module at its last call, by its ``id``."""
    scopes: dict[str, set[int]] = field(default_factory=dict)
    """The modules that ran in each scope."""


def _watched(model: Module, watch: _Watch) -> AbstractContextManager[None]:
    """Note what each module does, until the end of the ``with``."""

    def watched(_: str, module: Module, forward: Any) -> Any:
        def watching(*inputs: Any, **settings: Any) -> Any:
            watch.scopes.setdefault(current_mode().scope, set()).add(id(module))
            result = forward(*inputs, **settings)
            watch.outputs[id(module)] = tuple([tensor.spec for tensor in tensors_in(result)])
            return result

        return watching

    return forwards_wrapped(model, watched)


def _macs(outputs: list[Node], watch: _Watch) -> tuple[dict[int, int], int]:
    """The multiply-adds of each module by its ``id``, and all together: a scope's count for those around it too."""
    found: dict[int, int] = {}
    total = 0
    for node in topological_order(outputs):
        count = count_macs(node)
        total += count
        scope = node.scope if count else ""
        modules: set[int] = set()
        while scope:
            modules |= watch.scopes.get(scope, set())
            scope = scope.rpartition("/")[0]
        for module in modules:
            found[module] = found.get(module, 0) + count
    return found, total


def _lines(table: Summary) -> Iterator[str]:
    cells = [("block", "kind", "output", "parameters", "MACs")]
    for row in table.rows:
        segment = row.path.rpartition(".")[2] or f"({row.kind.lower()})"
        shapes = ", ".join(map(format_shape, row.outputs)) or "not called"
        numbers = [f"{count:,}" if count else "" for count in (row.parameters, row.macs)]
        cells.append(("  " * row.depth + segment, row.kind, shapes, numbers[0], numbers[1]))
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    cells.insert(1, ("-" * widths[0], "-" * widths[1], "-" * widths[2], "-" * widths[3], "-" * widths[4]))
    for line in cells:
        texts = [f"{cell:<{width}}" for cell, width in zip(line[:3], widths, strict=False)]
        texts += [f"{cell:>{width}}" for cell, width in zip(line[3:], widths[3:], strict=True)]
        yield "  ".join(texts).rstrip()
    yield ""
    yield (
        f"{table.parameters:,} parameters, {table.trainable:,} trainable, {format_bytes(table.bytes)}; "
        f"{table.macs:,} multiply-adds"
    )


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
