"""A table of a model's blocks: what comes out of each, and how many numbers it trains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from .draw.trace import tensors_in, trace_model
from .draw.view import format_shape
from .errors import ArgumentError
from .graph import Spec
from .nn.module import Module, Parameter


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
    depth: int


class Summary(NamedTuple):
    """The table; ``print`` shows it."""

    rows: tuple[Row, ...]
    parameters: int
    trainable: int
    """The parameters that are not frozen."""
    bytes: int
    """The memory of the parameters, in bytes."""

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def summary(model: Module, input_shape: Any) -> Summary:
    """A table of the model's blocks, their output shapes and parameters. Nothing is computed.

    Args:
        model: left in training or evaluation, as it is.
        input_shape: the shape of the input with the batch axis first, or a tensor; a list of these where the model
            takes several.

    Raises :class:`ArgumentError` for another input, and what the model itself raises when the input does not fit.

    >>> import tinygrad_cnn as tg
    >>> print(summary(tg.nn.Sequential(tg.nn.Linear(3, 2), tg.nn.ReLU()), (4, 3)))
    block         kind        output  parameters
    ------------  ----------  ------  ----------
    (sequential)  Sequential  4×2              8
      0           Linear      4×2              8
      1           ReLU        4×2
    <BLANKLINE>
    8 parameters, 8 trainable, 32 bytes
    """
    if not isinstance(model, Module):
        raise ArgumentError(
            "summary", "this is no model", got=type(model).__name__, expected="a tinygrad_cnn.nn.Module"
        )
    outputs: dict[int, tuple[Spec, ...]] = {}
    with _watched(model, outputs):
        trace_model("summary", model, input_shape)
    rows = []
    for path, module in model.named_modules():
        size = sum(parameter.numel() for parameter in module.parameters())
        depth = path.count(".") + 1 if path else 0
        rows.append(Row(path, type(module).__name__, outputs.get(id(module), ()), size, depth))
    parameters: list[Parameter] = list(model.parameters())
    return Summary(
        tuple(rows),
        sum(each.numel() for each in parameters),
        sum(each.numel() for each in parameters if each.requires_grad),
        sum(each.numel() * each.dtype.itemsize for each in parameters),
    )


@contextmanager
def _watched(model: Module, outputs: dict[int, tuple[Spec, ...]]) -> Iterator[None]:
    """Note what comes out of each module: its ``forward`` is stood in for until the end of the ``with``."""

    def watch(module: Module, forward: Any) -> Any:
        def watching(*inputs: Any, **settings: Any) -> Any:
            result = forward(*inputs, **settings)
            outputs[id(module)] = tuple([tensor.spec for tensor in tensors_in(result)])
            return result

        return watching

    modules = list(model.modules())
    before = [vars(module).get("forward") for module in modules]
    try:
        for module in modules:
            vars(module)["forward"] = watch(module, module.forward)
        yield
    finally:
        for module, own in zip(modules, before, strict=True):
            if own is None:
                vars(module).pop("forward", None)
            else:
                vars(module)["forward"] = own


def _lines(table: Summary) -> Iterator[str]:
    cells = [("block", "kind", "output", "parameters")]
    for row in table.rows:
        segment = row.path.rpartition(".")[2] or f"({row.kind.lower()})"
        shapes = ", ".join(map(format_shape, row.outputs)) or "not called"
        cells.append(("  " * row.depth + segment, row.kind, shapes, f"{row.parameters:,}" if row.parameters else ""))
    widths = [max(len(each[column]) for each in cells) for column in range(4)]
    cells.insert(1, ("-" * widths[0], "-" * widths[1], "-" * widths[2], "-" * widths[3]))
    for block, kind, shapes, count in cells:
        yield f"{block:<{widths[0]}}  {kind:<{widths[1]}}  {shapes:<{widths[2]}}  {count:>{widths[3]}}".rstrip()
    yield ""
    yield f"{table.parameters:,} parameters, {table.trainable:,} trainable, {format_bytes(table.bytes)}"


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
