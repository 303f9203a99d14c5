"""Regularisers and constraints: what weights and activations should cost, and where weights must stay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import ArgumentError, GraphError
from ..mode import no_grad
from ..ops.elementwise import abs, clip, mul, relu, sqrt, square
from ..ops.reduce import sum
from ..tensor import Tensor
from .module import Module, Parameter

Regularizer = Callable[[Tensor], Tensor]
"""From a tensor to what it costs, a single number."""
Constraint = Callable[[Tensor], Tensor]
"""From a weight to the nearest that is allowed."""


@dataclass(frozen=True)
class L1:
    """``amount * sum(|x|)``: makes many numbers exactly 0. (Tibshirani, 1996)

    >>> L1(0.5)(Tensor([1.0, -3.0]))
    Tensor(2.)
    """

    amount: float = 0.01

    def __call__(self, x: Tensor) -> Tensor:
        return mul(sum(abs(x)), self.amount)


@dataclass(frozen=True)
class L2:
    """``amount * sum(x^2)``: makes large numbers smaller. (Hoerl and Kennard, 1970)

    >>> L2(0.5)(Tensor([1.0, -3.0]))
    Tensor(5.)
    """

    amount: float = 0.01

    def __call__(self, x: Tensor) -> Tensor:
        return mul(sum(square(x)), self.amount)


@dataclass(frozen=True)
class L1L2:
    """``l1 * sum(|x|) + l2 * sum(x^2)``. (Zou and Hastie, 2005)

    >>> L1L2(0.5, 0.5)(Tensor([1.0, -3.0]))
    Tensor(7.)
    """

    l1: float = 0.01
    l2: float = 0.01

    def __call__(self, x: Tensor) -> Tensor:
        return L1(self.l1)(x) + L2(self.l2)(x)


def _norms(weight: Tensor) -> Tensor:
    """The length of the weights of each output unit, with its axes kept."""
    return sqrt(sum(square(weight), list(range(1, weight.ndim)), keepdim=True))


@dataclass(frozen=True)
class MaxNorm:
    """The weights of each output unit (axis 0) have at most this length. (Srivastava et al., 2014, section 5.1)

    >>> MaxNorm(2.5)(Tensor([[3.0, 4.0]]))
    Tensor([[1.5, 2. ]])
    """

    max_value: float = 2.0

    def __call__(self, weight: Tensor) -> Tensor:
        lengths = _norms(weight)
        return weight * (clip(lengths, max=self.max_value) / clip(lengths, min=1e-12))


@dataclass(frozen=True)
class UnitNorm:
    """The weights of each output unit (axis 0) have length 1.

    >>> UnitNorm()(Tensor([[3.0, 4.0]]))
    Tensor([[0.6, 0.8]])
    """

    def __call__(self, weight: Tensor) -> Tensor:
        return weight / clip(_norms(weight), min=1e-12)


@dataclass(frozen=True)
class NonNeg:
    """No weight is below 0.

    >>> NonNeg()(Tensor([-1.0, 2.0]))
    Tensor([0., 2.])
    """

    def __call__(self, weight: Tensor) -> Tensor:
        return relu(weight)


def _attach(name: str, where: str, module: Module, rules: dict[str, Callable[[Tensor], Tensor]]) -> Module:
    """Note rules for parameters, by the names of the attributes that hold them, in all layers that have them."""
    if not rules:
        raise ArgumentError(name, "there is nothing to note", fix=f"name parameters: nn.{name}(layer, weight=...)")
    for attribute, rule in rules.items():
        if not callable(rule):
            raise ArgumentError(
                name, f"the rule for {attribute} cannot be called", got=repr(rule), expected="such as nn.L2(1e-4)"
            )
        holders = [part for part in module.modules() if isinstance(vars(part).get(attribute), Parameter)]
        if not holders:
            raise ArgumentError(
                name, f"no layer has a parameter {attribute!r}", got=type(module).__name__,
                expected=f"one of {sorted({path.rpartition('.')[2] for path, _ in module.named_parameters()})}",
            )  # fmt: skip
        for part in holders:
            vars(part)[where] = {**vars(part).get(where, {}), attribute: rule}
    return module


def regularize(module: Module, **regularizers: Regularizer) -> Module:
    """Note what parameters cost; :func:`penalty` adds it up.

    Args:
        module: a layer, or a model whose layers are all meant.
        regularizers: by the name of the parameter, such as ``weight=nn.L2(1e-4)``.

    Returns the module.

    Raises :class:`ArgumentError` where no layer has such a parameter.

    >>> from tinygrad_cnn import nn
    >>> layer = nn.regularize(nn.Linear(2, 1), weight=nn.L2(0.5))
    >>> layer.weight.assign(Tensor([[1.0, 3.0]])) is layer.weight
    True
    >>> nn.penalty(layer)
    Tensor(5., requires_grad=True)
    """
    return _attach("regularize", "_regularizers", module, regularizers)


def constrain(module: Module, **constraints: Constraint) -> Module:
    """Note where parameters must stay; :func:`apply_constraints` sees to it.

    Args:
        module: a layer, or a model whose layers are all meant.
        constraints: by the name of the parameter, such as ``weight=nn.MaxNorm(2.0)``.

    Returns the module.

    Raises :class:`ArgumentError` where no layer has such a parameter.
    """
    return _attach("constrain", "_constraints", module, constraints)


def penalty(model: Module) -> Tensor:
    """What the model's parameters and, at its last call, its activations cost; to be added to the loss.

    Raises :class:`GraphError` where nothing was regularised.
    """
    costs: list[Tensor] = []
    for part in model.modules():
        for attribute, rule in vars(part).get("_regularizers", {}).items():
            costs.append(rule(vars(part)[attribute]))
        if isinstance(part, ActivityRegularization) and part.cost is not None:
            costs.append(part.cost)
    if not costs:
        raise GraphError("penalty", "nothing is regularised", fix="call nn.regularize(model, weight=nn.L2(1e-4)) first")
    total = costs[0]
    for cost in costs[1:]:
        total = total + cost
    return total


def apply_constraints(model: Module) -> None:
    """Move every constrained parameter to the nearest numbers that are allowed; called after ``optimizer.step()``.

    >>> from tinygrad_cnn import nn
    >>> layer = nn.constrain(nn.Linear(2, 1), weight=nn.NonNeg())
    >>> nn.apply_constraints(layer)
    >>> bool((layer.weight.numpy() >= 0).all())
    True
    """
    with no_grad():
        for part in model.modules():
            for attribute, rule in vars(part).get("_constraints", {}).items():
                parameter = vars(part)[attribute]
                parameter.assign(rule(parameter).detach())


class ActivityRegularization(Module):
    """Lets its input through and notes what it costs, for :func:`penalty`; only in training.

    It holds on to the graph of its last call until the next one, or until a call in evaluation.

    >>> from tinygrad_cnn import nn
    >>> layer = ActivityRegularization(nn.L1(0.5))
    >>> layer(Tensor([1.0, -3.0]))
    Tensor([ 1., -3.])
    >>> nn.penalty(layer)
    Tensor(2.)
    """

    def __init__(self, regularizer: Regularizer) -> None:
        self.regularizer = regularizer
        self.cost: Tensor | None = None

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        self.cost = self.regularizer(input) if self.training else None
        return input

    def extra_repr(self) -> str:
        """The regulariser."""
        return repr(self.regularizer)
