"""What every layer made of an input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from ..errors import ArgumentError
from ..mode import no_grad
from ..nn.module import Module, forwards_wrapped
from ..tensor import Tensor


def activations(model: Module, *inputs: Any) -> dict[str, Tensor]:
    """The output of each layer for an input, by the layer's name, in the order in which they were computed.

    A layer that is called twice is there twice, the second time as ``name#2``. Layers whose output is no single
    tensor are left out. The model is run as it is: call ``model.eval()`` first to see it at work.

    Args:
        model: any module; left as it is.
        inputs: what it is called with.

    >>> from tinygrad_cnn import nn
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
    >>> {name: output.shape for name, output in activations(model, Tensor([[[[1.0] * 5] * 5]])).items()}
    {'0': (1, 4, 3, 3), '1': (1, 4, 3, 3), '': (1, 4, 3, 3)}
    """
    found: dict[str, Tensor] = {}

    def note(name: str, output: Any) -> None:
        if isinstance(output, Tensor):
            count = 1
            while (key := name if count == 1 else f"{name}#{count}") in found:
                count += 1
            found[key] = output

    with no_grad(), outputs_seen(model, note):
        model(*inputs)
    return found


def outputs_seen(model: Module, see: Callable[[str, Any], None]) -> AbstractContextManager[None]:
    """Show the output of each part of the model to ``see(name, output)``, until the end of the ``with``."""

    def wrapped(name: str, _: Module, forward: Callable[..., Any]) -> Callable[..., Any]:
        def seen(*inputs: Any, **settings: Any) -> Any:
            output = forward(*inputs, **settings)
            see(name, output)
            return output

        return seen

    return forwards_wrapped(model, wrapped)


@contextmanager
def untouched(model: Module) -> Iterator[None]:
    """In evaluation, with frozen parameters; afterwards everything is as before: modes, gradients, buffers."""
    modes = [(module, module.training) for module in model.modules()]
    leaves = [(leaf, leaf.requires_grad, leaf.grad) for leaf in model.parameters()]
    try:
        model.eval()
        model.requires_grad_(False)
        yield
    finally:
        for module, training in modes:
            module.training = training
        for leaf, requires_grad, gradient in leaves:
            leaf.requires_grad_(requires_grad)
            leaf.grad = gradient


class _ReachedError(Exception):
    """Leaves the model as soon as the layer has run."""


def layer_output(model: Module, layer: str, *inputs: Any) -> Tensor:
    """What a layer, by its name, gives at its first call; recorded, for gradients. What comes after it is not run.

    Raises :class:`ArgumentError` for a name that no layer has, and for a layer that gave no tensor.
    """
    output, _ = _run_until(model, layer, inputs, stop=True)
    return output


def layer_and_result(model: Module, layer: str, *inputs: Any) -> tuple[Tensor, Any]:
    """The same, and what the model gives in the end."""
    return _run_until(model, layer, inputs, stop=False)


def _run_until(model: Module, layer: str, inputs: tuple[Any, ...], stop: bool) -> tuple[Tensor, Any]:
    names = [name for name, _ in model.named_modules()]
    if layer not in names:
        raise ArgumentError(
            "layer", f"there is no layer {layer!r}", got=f"{type(model).__name__} with {', '.join(names[1:9])} ...",
            expected="a name of model.named_modules()",
        )  # fmt: skip
    found: list[Tensor] = []

    def note(name: str, output: Any) -> None:
        if name == layer and isinstance(output, Tensor) and not found:
            found.append(output)
            if stop:
                raise _ReachedError

    result = None
    try:
        with outputs_seen(model, note):
            result = model(*inputs)
    except _ReachedError:
        pass
    if not found:
        raise ArgumentError("layer", f"{layer!r} gave no tensor when the model was called", fix="choose another layer")
    return found[0], result
