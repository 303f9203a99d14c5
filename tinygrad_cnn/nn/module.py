"""Modules: parameters with a name, a place in a tree, and a function that uses them.

There is no registration. A module's parts are what its attributes hold, in the order in which they were set:
parameters, buffers, other modules, and lists, tuples and dictionaries of modules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from ..autodiff import set_gradient
from ..backend import get_device, is_device_name
from ..backend.random import Generator, default_generator
from ..errors import ArgumentError, ShapeError
from ..graph import Node
from ..mode import current_mode, enter_block, leave_block
from ..ops.base import as_tensor
from ..ops.random import Initial, Scheme
from ..tensor import Tensor, TensorLike


class _Leaf(Tensor):
    """A leaf that may draw its first numbers when they are first needed, and takes no memory until then."""

    __slots__ = ()
    trained: ClassVar[bool]

    @classmethod
    def initialised(cls, shape: tuple[int, ...], scheme: Scheme, dtype: str | np.dtype | type = "float32") -> Self:
        """A leaf whose numbers ``scheme`` gives when they are first needed."""
        leaf = cls.__new__(cls)
        leaf.grad = None
        op = Initial(shape, np.dtype(dtype), scheme, default_generator.spawn_seed(), get_device().name)
        _draw_later(leaf, op, cls.trained, name=None)
        return leaf

    def initialise(self, scheme: Scheme, generator: Generator = default_generator) -> Self:
        """Forget the numbers, and draw new ones by ``scheme`` when they are next needed."""
        op = Initial(self.shape, self.dtype, scheme, generator.spawn_seed(), self.device)
        _draw_later(self, op, self.requires_grad, self.name)
        return self


class Parameter(_Leaf):
    """A leaf that an optimiser changes. As an attribute of a module it is found by its name.

    >>> Parameter([1.0, 2.0])
    Parameter([1., 2.], requires_grad=True)
    """

    __slots__ = ()
    trained = True

    def __init__(self, data: TensorLike, requires_grad: bool = True, name: str | None = None) -> None:
        super().__init__(data, requires_grad=requires_grad, name=name)


class Buffer(_Leaf):
    """A leaf that belongs to a module's state but is not trained, such as running statistics.

    >>> Buffer([0.0])
    Buffer([0.])
    """

    __slots__ = ()
    trained = False


def _draw_later(leaf: Tensor, op: Initial, requires_grad: bool, name: str | None) -> None:
    """Point the leaf at a node that knows how to make its numbers and has not done so."""
    leaf._array = None
    leaf._become_node(Node(op, (), op.infer(), name=name), requires_grad)


def _convert(leaf: Tensor, target: str | np.dtype | type) -> None:
    """Move a leaf to a device or another element type, without drawing numbers that nobody has needed yet."""
    op = leaf.node.op
    if isinstance(op, Initial) and leaf.node.value is None:
        change = {"device": get_device(str(target)).name} if is_device_name(target) else {"dtype": np.dtype(target)}
        _draw_later(leaf, replace(op, **change), leaf.requires_grad, leaf.name)
    else:
        leaf._become_leaf(leaf.detach().to(target).array, leaf.requires_grad, leaf.name)
    if leaf.grad is not None:
        leaf.grad = leaf.grad.detach().to(target)


def _now(leaf: Tensor) -> Tensor:
    """The numbers that a leaf has now. Those that nobody has needed yet stay undrawn, and will be the same."""
    op = leaf.node.op
    if not isinstance(op, Initial) or leaf.node.value is not None or current_mode().tracer is not None:
        return leaf.detach()
    twin = Tensor._from_node(leaf.node, None)
    _draw_later(twin, op, requires_grad=False, name=leaf.name)
    return twin


class KeyChanges(NamedTuple):
    """What :meth:`Module.load_state_dict` did not find a partner for."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """A function with parameters. Subclasses set their parts in ``__init__`` and say what they do in ``forward``.

    Calling the module runs ``forward`` inside a scope of the module's name, so that pictures show it as a box.

    >>> from tinygrad_cnn import nn
    >>> class Twice(nn.Module):
    ...     def __init__(self):
    ...         self.layer = nn.Linear(2, 2)
    ...     def forward(self, x):
    ...         return self.layer(self.layer(x))
    >>> [name for name, _ in Twice().named_parameters()]
    ['layer.weight', 'layer.bias']
    """

    training: bool = True
    """Whether layers such as dropout and batch normalisation behave as in training."""

    def forward(self, *inputs: Any, **settings: Any) -> Any:
        """What the module computes. Raises ``NotImplementedError`` until a subclass says it."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def __call__(self, *inputs: Any, **settings: Any) -> Any:
        own = vars(self).get("_scope")
        if own is None:  # no parent has named this module: it is the root
            if "_named" not in vars(self):
                self._name_parts()
            own = type(self).__name__.lower()
        tracer = current_mode().tracer
        if tracer is not None:
            tracer.visit(self)
        arguments = (*inputs, *settings.values()) if settings else inputs
        symbolic = any([isinstance(each, Tensor) and each.symbolic for each in arguments])
        token = enter_block(own, symbolic)
        try:
            return self.forward(*inputs, **settings)
        finally:
            leave_block(token)

    def _name_parts(self) -> None:
        """Tell parameters their full names and modules their scopes: the names under which the parent holds them.

        It is done at the first call. A part that comes later has its class for a scope.
        """
        vars(self)["_named"] = True
        for path, module in self.named_modules():
            for name, part in module._parts():
                if isinstance(part, Module):
                    vars(part)["_scope"] = name.replace(".", "/")
                else:
                    part.name = f"{path}.{name}" if path else name

    # The tree

    def _parts(self) -> Iterator[tuple[str, Module | Parameter | Buffer]]:
        """The module's own parts, by name, in the order in which they were set."""
        for name, value in vars(self).items():
            if isinstance(value, Module | Parameter | Buffer):
                yield name, value
            elif isinstance(value, list | tuple | dict):
                yield from _found_in(name, value)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules that this one holds directly."""
        for name, part in self._parts():
            if isinstance(part, Module):
                yield name, part

    def children(self) -> Iterator[Module]:
        """The modules that this one holds directly, without their names."""
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module (under the name ``""``) and all below it, each once, parents first."""
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [(prefix, self)]
        while stack:
            path, module = stack.pop()
            if id(module) in seen:
                continue
            seen.add(id(module))
            yield path, module
            below = [(f"{path}.{name}" if path else name, child) for name, child in module.named_children()]
            stack.extend(reversed(below))

    def modules(self) -> Iterator[Module]:
        """This module and all below it."""
        return (module for _, module in self.named_modules())

    def _named_leaves(self) -> Iterator[tuple[str, Parameter | Buffer]]:
        """Parameters and buffers of the whole tree, each once, in the order of ``state_dict``."""
        seen: set[int] = set()
        for path, module in self.named_modules():
            for name, part in module._parts():
                if not isinstance(part, Module) and id(part) not in seen:
                    seen.add(id(part))
                    yield (f"{path}.{name}" if path else name), part

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Every parameter once, under its full name such as ``features.0.weight``."""
        for name, leaf in self._named_leaves():
            if isinstance(leaf, Parameter):
                yield name, leaf

    def parameters(self) -> Iterator[Parameter]:
        """Every parameter once, in the order of definition."""
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """Every buffer once, under its full name."""
        for name, leaf in self._named_leaves():
            if isinstance(leaf, Buffer):
                yield name, leaf

    def buffers(self) -> Iterator[Buffer]:
        """Every buffer once."""
        return (buffer for _, buffer in self.named_buffers())

    # State

    def state_dict(self) -> dict[str, Tensor]:
        """The numbers of all parameters and buffers, by name, as they are now: later training does not change them."""
        return {name: _now(leaf) for name, leaf in self._named_leaves()}

    def load_state_dict(self, state: Mapping[str, TensorLike], strict: bool = True) -> KeyChanges:
        """Take over numbers by name. Nothing is changed unless everything fits.

        Args:
            state: tensors or arrays by name, as :meth:`state_dict` and :func:`tinygrad_cnn.load` give them.
            strict: whether names that are missing or left over are an error.

        Returns the names that are missing and those left over.

        Raises :class:`ArgumentError` for such names when ``strict``, :class:`ShapeError` for a shape that differs.
        """
        own = dict(self._named_leaves())
        changes = KeyChanges([name for name in own if name not in state], [name for name in state if name not in own])
        if strict and (changes.missing_keys or changes.unexpected_keys):
            raise ArgumentError(
                "load_state_dict",
                f"the names do not match those of {type(self).__name__}",
                got=f"{len(changes.missing_keys)} missing {changes.missing_keys[:6]}, "
                f"{len(changes.unexpected_keys)} left over {changes.unexpected_keys[:6]}",
                expected=f"the {len(own)} names of model.state_dict()",
                fix="build the model with the settings it was saved with, or pass strict=False",
            )
        values = {name: as_tensor(state[name]) for name in own if name in state}
        for name, value in values.items():
            if value.shape != own[name].shape:
                raise ShapeError(
                    "load_state_dict",
                    f"{name} has another shape",
                    got=repr(value.spec),
                    expected=repr(own[name].spec),
                    fix="build the model with the settings it was saved with",
                )
        for name, value in values.items():
            own[name].assign(value.detach().to(own[name].dtype).to(own[name].device))
        return changes

    # Modes and places

    def train(self, mode: bool = True) -> Self:
        """Set the module and all below it to training, or to evaluation with ``mode=False``."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Set the module and all below it to evaluation: no dropout, running statistics used."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set whether all parameters collect gradients; ``False`` freezes them."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            set_gradient(parameter, None)

    def to(self, target: str | np.dtype | type) -> Self:
        """Move all parameters and buffers to a device, or turn the floating-point ones into another type.

        Raises :class:`DeviceError` when the device is not to be had.
        """
        for _, leaf in self._named_leaves():
            if is_device_name(target) or leaf.dtype.kind == "f":
                _convert(leaf, target)
        return self

    # Text

    def extra_repr(self) -> str:
        """The settings, for the text form; layers with settings give them here."""
        return ""

    def __repr__(self) -> str:
        lines: list[str] = []
        stack: list[tuple[int, str, Module | None]] = [(0, "", self)]  # `None` closes a bracket
        while stack:
            depth, name, module = stack.pop()
            indent = "  " * depth
            if module is None:
                lines.append(f"{indent})")
                continue
            label = f"({name}): " if name else ""
            children = list(module.named_children())
            if not children:
                lines.append(f"{indent}{label}{type(module).__name__}({module.extra_repr()})")
                continue
            lines.append(f"{indent}{label}{type(module).__name__}({module.extra_repr()}")
            stack.append((depth, "", None))
            stack.extend((depth + 1, child_name, child) for child_name, child in reversed(children))
        return "\n".join(lines)


@contextmanager
def forwards_wrapped(
    model: Module, wrap: Callable[[str, Module, Callable[..., Any]], Callable[..., Any]]
) -> Iterator[None]:
    """Until the end of the ``with``, each part of the model runs ``wrap(name, part, forward)`` for its ``forward``.

    So whoever looks at a model at work need not change it.
    """
    parts = list(model.named_modules())
    before = [vars(part).get("forward") for _, part in parts]
    try:
        for name, part in parts:
            vars(part)["forward"] = wrap(name, part, part.forward)
        yield
    finally:
        for (_, part), own in zip(parts, before, strict=True):
            if own is None:
                vars(part).pop("forward", None)
            else:
                vars(part)["forward"] = own


def _found_in(name: str, value: object) -> Iterator[tuple[str, Module | Parameter | Buffer]]:
    """The parts that an attribute holds: itself, or those in a list, tuple or dictionary."""
    if isinstance(value, Module | Parameter | Buffer):
        yield name, value
    elif isinstance(value, list | tuple):
        for position, each in enumerate(value):
            yield from _found_in(f"{name}.{position}", each)
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _found_in(f"{name}.{key}", each)
