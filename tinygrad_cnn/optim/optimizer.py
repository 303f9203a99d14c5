"""Gradient descent and its relatives.

The updates are ordinary operations on tensors, followed by ``assign``. What an optimiser remembers between steps are
tensors as well, the step counter among them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ..autodiff import set_gradient
from ..errors import ArgumentError, GraphError, ShapeError
from ..mode import current_mode, no_grad
from ..ops.base import as_tensor, full_like
from ..ops.elementwise import sqrt
from ..tensor import Number, Tensor, TensorLike


class Optimizer:
    """What all optimisers share: the parameters, the learning rate ``lr`` (which may be changed), and their state.

    Raises :class:`ArgumentError` for settings out of range or an empty list of parameters.
    """

    memories: tuple[str, ...] = ()
    """The names of the tensors that are remembered for each parameter."""

    def __init__(self, params: Iterable[Tensor], lr: float, weight_decay: float) -> None:
        self.params = list(params)
        name = type(self).__name__
        if not self.params:
            raise ArgumentError(name, "there are no parameters", fix="pass model.parameters()")
        for parameter in list[object](self.params):
            if not isinstance(parameter, Tensor) or not parameter.is_leaf:
                raise ArgumentError(
                    name, "only leaf tensors can be optimised", got=repr(parameter)[:80], fix="pass model.parameters()"
                )
        _check(name, "lr", lr, lr >= 0)
        _check(name, "weight_decay", weight_decay, weight_decay >= 0)
        self.lr, self.weight_decay = lr, weight_decay
        self.state: dict[str, Tensor] = {}
        for memory in self.memories:
            for position, parameter in enumerate(self.params):
                own = full_like(parameter, 0.0).requires_grad_(False)  # a leaf of its own
                self.state[f"{memory}.{position}"] = own

    def zero_grad(self) -> None:
        """Forget the gradients: the next ``backward`` begins from nothing instead of adding to them."""
        for parameter in self.params:
            set_gradient(parameter, None)

    def step(self) -> None:
        """Change every parameter that has a gradient.

        Raises :class:`GraphError` when none has one.
        """
        if all(parameter.grad is None for parameter in self.params):
            raise GraphError(
                f"{type(self).__name__}.step", "no parameter has a gradient", fix="call loss.backward() first"
            )
        tracer = current_mode().tracer
        if tracer is not None:
            tracer.visit(self)
        with no_grad():
            self._begin()
            for position, parameter in enumerate(self.params):
                if parameter.grad is not None:
                    self._update(position, parameter, parameter.grad)

    def _begin(self) -> None:
        """What is done once for each step."""

    def _update(self, position: int, parameter: Tensor, gradient: Tensor) -> None:
        raise NotImplementedError

    def _rate(self, dtype: np.dtype) -> Number | Tensor:
        """The learning rate; in a function that is being compiled a symbol, so that it may change between calls."""
        tracer = current_mode().tracer
        return self.lr if tracer is None else tracer.number(self, "lr", dtype)

    def _remember(self, memory: str, position: int, value: Tensor) -> Tensor:
        self.state[f"{memory}.{position}"].assign(value)
        return value

    def state_dict(self) -> dict[str, Tensor]:
        """What is remembered between steps, by name, as it is now."""
        return {name: tensor.detach() for name, tensor in self.state.items()}

    def load_state_dict(self, state: Mapping[str, TensorLike]) -> None:
        """Take over what :meth:`state_dict` gave. Nothing is changed unless everything fits.

        Raises :class:`ArgumentError` where the names differ, :class:`ShapeError` where shapes do.
        """
        if set(state) != set(self.state):
            raise ArgumentError(
                f"{type(self).__name__}.load_state_dict",
                "the state is that of another optimiser or of other parameters",
                got=f"{len(state)} entries {sorted(state)[:4]}",
                expected=f"{len(self.state)} entries {sorted(self.state)[:4]}",
            )
        values = {name: as_tensor(value).detach() for name, value in state.items()}
        for name, value in values.items():
            if value.shape != self.state[name].shape:
                raise ShapeError(
                    f"{type(self).__name__}.load_state_dict",
                    f"{name} has another shape",
                    got=repr(value.spec),
                    expected=repr(self.state[name].spec),
                    fix="make the optimiser for the parameters that it was saved with",
                )
        for name, value in values.items():
            own = self.state[name]
            own.assign(value.to(own.dtype).to(own.device))


class SGD(Optimizer):
    """Stochastic gradient descent: ``p -= lr * d``. (Robbins and Monro, 1951)

    Args:
        params: the tensors to change, such as ``model.parameters()``.
        lr: the learning rate.
        momentum: with it, ``v = momentum * v + g`` is followed instead of the gradient ``g``. (Sutskever et al., 2013)
        weight_decay: ``weight_decay * p`` is added to the gradient.
        nesterov: whether the step looks ahead: ``d = g + momentum * v``.

    Raises :class:`ArgumentError` for settings out of range.

    >>> x = Tensor([1.0], requires_grad=True)
    >>> optimizer = SGD([x], lr=0.1)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> x
    Tensor([0.8], requires_grad=True)
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        _check("SGD", "momentum", momentum, momentum >= 0)
        if nesterov and not momentum:
            raise ArgumentError("SGD", "nesterov needs momentum", got="momentum=0", fix="pass momentum=0.9")
        self.momentum, self.nesterov = momentum, nesterov
        self.memories = ("momentum_buffer",) if momentum else ()
        super().__init__(params, lr, weight_decay)

    def _update(self, position: int, parameter: Tensor, gradient: Tensor) -> None:
        if self.weight_decay:
            gradient = gradient + parameter * self.weight_decay
        if self.momentum:
            velocity = self._remember(
                "momentum_buffer", position, self.state[f"momentum_buffer.{position}"] * self.momentum + gradient
            )
            gradient = gradient + velocity * self.momentum if self.nesterov else velocity
        parameter.assign(parameter - gradient * self._rate(parameter.dtype))


class Adam(Optimizer):
    """Steps scaled by running averages of the gradient and of its square. (Kingma and Ba, 2015, algorithm 1)

    ``m = b1 m + (1 - b1) g``, ``v = b2 v + (1 - b2) g^2``,
    ``p -= lr * m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)``.

    Args:
        params: the tensors to change, such as ``model.parameters()``.
        lr: the learning rate, about the largest step that a number can make.
        betas: how slowly the two averages forget.
        eps: keeps the denominator away from 0.
        weight_decay: ``weight_decay * p`` is added to the gradient.

    Raises :class:`ArgumentError` for settings out of range.

    >>> x = Tensor([1.0], requires_grad=True)
    >>> optimizer = Adam([x], lr=0.1)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> round(x.item(), 4)
    0.9
    """

    memories = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        name = type(self).__name__
        for position, beta in enumerate(betas):
            _check(name, f"betas[{position}]", beta, 0 <= beta < 1)
        _check(name, "eps", eps, eps >= 0)
        super().__init__(params, lr, weight_decay)
        self.betas, self.eps = betas, eps
        # In float64: 1 - 0.999 in float32 is wrong in the fifth digit.
        self.state["step"] = Tensor(0.0, dtype="float64", device=self.params[0].device)

    def _begin(self) -> None:
        step = self.state["step"].assign(self.state["step"] + 1.0)
        # Both corrections are numbers, so they are multiplied first: one pass less over all parameters. (section 2)
        root_correction = sqrt(1.0 - self.betas[1] ** step)
        self._step_size = self._rate(step.dtype) * root_correction / (1.0 - self.betas[0] ** step)
        self._eps = root_correction * self.eps

    def _decayed(self, parameter: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """The parameter and gradient that the step starts from."""
        return parameter, gradient + parameter * self.weight_decay if self.weight_decay else gradient

    def _update(self, position: int, parameter: Tensor, gradient: Tensor) -> None:
        start, gradient = self._decayed(parameter, gradient)
        first, second = self.betas
        mean = self.state[f"exp_avg.{position}"] * first + gradient * (1 - first)
        square = self.state[f"exp_avg_sq.{position}"] * second + gradient * gradient * (1 - second)
        self._remember("exp_avg", position, mean)
        self._remember("exp_avg_sq", position, square)
        denominator = sqrt(square) + self._eps.to(parameter.dtype)
        parameter.assign(start - mean / denominator * self._step_size.to(parameter.dtype))


class AdamW(Adam):
    """:class:`Adam` with the weight decay apart from the averages: ``p -= lr * weight_decay * p`` first.

    (Loshchilov and Hutter, 2019, algorithm 2)

    >>> x = Tensor([1.0], requires_grad=True)
    >>> optimizer = AdamW([x], lr=0.1, weight_decay=0.5)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> round(x.item(), 4)
    0.85
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)

    def _decayed(self, parameter: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        return parameter * (1 - self._rate(parameter.dtype) * self.weight_decay), gradient


def _check(operation: str, name: str, value: float, holds: bool) -> None:
    if not holds:
        raise ArgumentError(operation, f"{name} is out of range", got=f"{name}={value}")
