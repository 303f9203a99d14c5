"""Recurrent networks: the same small network at each step of a sequence, with a memory that it hands on to itself.

Letters: L steps, N sequences in a batch, I inputs, H hidden numbers, G gates, D directions (1 or 2), K layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, ClassVar

from ..errors import ArgumentError, ShapeError
from ..mode import scope
from ..ops.base import full_like
from ..ops.elementwise import add, mul, relu, sigmoid, sub, tanh
from ..ops.linalg import matmul
from ..ops.shape import cat, split, squeeze, stack, transpose, unsqueeze
from ..tensor import Tensor
from . import functional as F
from .init import default_weight
from .module import Module

State = tuple[Tensor, ...]
"""What a cell remembers: ``(h,)``, or for an LSTM ``(h, c)``; each ``(N, H)``."""

NONLINEARITIES = {"tanh": tanh, "relu": relu}


class _Kind:
    """The formula of one step. ``projected`` is ``x W_ih^T`` with its biases, ``product`` is ``h W_hh^T``."""

    gates: ClassVar[int]
    states: ClassVar[int] = 1
    sums_biases: ClassVar[bool] = True
    """Whether both biases are only ever added up, so that one sum serves all steps."""
    nonlinearity: str = "tanh"

    def _advance(self, projected: Tensor, product: Tensor, state: State) -> State:
        raise NotImplementedError

    def _check(self, input_size: int, hidden_size: int) -> None:
        name = type(self).__name__
        if input_size < 0 or hidden_size < 1:
            raise ArgumentError(name, "sizes are counted from 1", got=f"{input_size} inputs, {hidden_size} hidden")
        if self.nonlinearity not in NONLINEARITIES:
            raise ArgumentError(
                name, "no such nonlinearity", got=repr(self.nonlinearity), expected="'tanh' or 'relu'"
            )  # fmt: skip


class _Simple(_Kind):
    gates = 1

    def _advance(self, projected: Tensor, product: Tensor, state: State) -> State:
        return (NONLINEARITIES[self.nonlinearity](add(projected, product)),)


class _GRU(_Kind):
    gates = 3
    sums_biases = False  # the reset gate acts on the second bias, too

    def _advance(self, projected: Tensor, product: Tensor, state: State) -> State:
        (h,) = state
        hidden = h.shape[-1]
        x_gates, x_new = split(projected, (2 * hidden, hidden), -1)
        h_gates, h_new = split(product, (2 * hidden, hidden), -1)
        reset, update = split(sigmoid(add(x_gates, h_gates)), hidden, -1)
        new = tanh(add(x_new, mul(reset, h_new)))
        return (add(new, mul(update, sub(h, new))),)


class _LSTM(_Kind):
    gates = 4
    states = 2

    def _advance(self, projected: Tensor, product: Tensor, state: State) -> State:
        hidden = state[1].shape[-1]
        sums = split(add(projected, product), (2 * hidden, hidden, hidden), -1)
        write, forget = split(sigmoid(sums[0]), hidden, -1)
        c = add(mul(forget, state[1]), mul(write, tanh(sums[1])))
        return mul(sigmoid(sums[2]), tanh(c)), c


# One step


class _Cell(_Kind, Module):
    """One step of a recurrent network as a module."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        self._check(input_size, hidden_size)
        self.input_size, self.hidden_size = input_size, hidden_size
        rows = self.gates * hidden_size
        self.weight_ih = default_weight((rows, input_size), hidden_size)
        self.weight_hh = default_weight((rows, hidden_size), hidden_size)
        self.bias_ih = default_weight((rows,), hidden_size) if bias else None
        self.bias_hh = default_weight((rows,), hidden_size) if bias else None

    def _next(self, input: Tensor, hx: Sequence[Tensor] | None) -> State:
        name = type(self).__name__
        if input.ndim not in (1, 2) or input.shape[-1] != self.input_size:
            raise ShapeError(
                name, "the input does not fit", got=repr(input.spec),
                expected=f"(N, input_size) = (N, {self.input_size}), or ({self.input_size},)",
                fix="a cell takes a single step; the layer without 'Cell' takes whole sequences",
            )  # fmt: skip
        shape = (*input.shape[:-1], self.hidden_size)
        state = _state(name, input, hx, self.states, shape)
        projected = F.linear(input, self.weight_ih, self.bias_ih)
        return self._advance(projected, F.linear(state[0], self.weight_hh, self.bias_hh), state)

    def extra_repr(self) -> str:
        """The settings that differ from the defaults."""
        bias = "" if self.bias_ih is not None else ", bias=False"
        nonlinearity = "" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity!r}"
        return f"{self.input_size}, {self.hidden_size}{bias}{nonlinearity}"


class RNNCell(_Simple, _Cell):
    """One step of a simple recurrent network: ``h' = tanh(x W_ih^T + b_ih + h W_hh^T + b_hh)``. (Elman, 1990)

    Args:
        input_size: the length I of the input.
        hidden_size: the length H of the memory.
        bias: whether there are ``bias_ih`` and ``bias_hh``, ``(H,)`` each.
        nonlinearity: ``"tanh"`` or ``"relu"``.

    ``weight_ih`` is ``(H, I)``, ``weight_hh`` is ``(H, H)``; all start uniform within ``1 / sqrt(H)``.

    Raises :class:`ShapeError` for an input or memory of another length, :class:`ArgumentError` for another
    nonlinearity.

    >>> RNNCell(3, 5)(Tensor([[1.0, 2.0, 3.0]])).shape
    (1, 5)
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh") -> None:
        self.nonlinearity = nonlinearity
        super().__init__(input_size, hidden_size, bias)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """``(N, I)`` and the memory ``(N, H)``, 0 if there is none, to the new memory ``(N, H)``."""
        return self._next(input, None if hx is None else (hx,))[0]


class GRUCell(_GRU, _Cell):
    """One step of a gated recurrent unit; see :class:`GRU`. Arguments as for :class:`RNNCell`.

    >>> GRUCell(3, 5)(Tensor([[1.0, 2.0, 3.0]])).shape
    (1, 5)
    """

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """``(N, I)`` and the memory ``(N, H)``, 0 if there is none, to the new memory ``(N, H)``."""
        return self._next(input, None if hx is None else (hx,))[0]


class LSTMCell(_LSTM, _Cell):
    """One step of a long short-term memory; see :class:`LSTM`. Arguments as for :class:`RNNCell`.

    >>> h, c = LSTMCell(3, 5)(Tensor([[1.0, 2.0, 3.0]]))
    >>> h.shape, c.shape
    ((1, 5), (1, 5))
    """

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """``(N, I)`` and ``(h, c)``, 0 if there are none, to the new ``(h, c)``; each ``(N, H)``."""
        h, c = self._next(input, hx)
        return h, c


# Whole sequences


class _Recurrent(_Kind, Module):
    """Layers of a recurrent network, unrolled over the steps of a sequence."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        self._check(input_size, hidden_size)
        if num_layers < 1 or not 0 <= dropout <= 1:
            raise ArgumentError(
                type(self).__name__, "these are no layers", got=f"num_layers={num_layers}, dropout={dropout}",
                expected="num_layers >= 1, 0 <= dropout <= 1",
            )  # fmt: skip
        self.input_size, self.hidden_size, self.num_layers, self.bias = input_size, hidden_size, num_layers, bias
        self.batch_first, self.dropout, self.bidirectional = batch_first, dropout, bidirectional
        rows = self.gates * hidden_size
        for layer in range(num_layers):
            width = hidden_size * len(self._directions) if layer else input_size
            for suffix in self._directions:
                shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, width), "weight_hh": (rows, hidden_size)}
                shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)} if bias else {}
                for name, shape in shapes.items():
                    vars(self)[f"{name}_l{layer}{suffix}"] = default_weight(shape, hidden_size)

    @property
    def _directions(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.bidirectional else ("",)

    def _run(self, input: Tensor, hx: Sequence[Tensor] | None) -> tuple[Tensor, State]:
        """The outputs of the last layer and the last states of all layers, in the user's layout."""
        name = type(self).__name__
        if input.ndim not in (2, 3) or input.shape[-1] != self.input_size or not input.numel():
            axes = "(N, L, input_size)" if self.batch_first else "(L, N, input_size)"
            raise ShapeError(
                name, "the input is no batch of sequences of this layer", got=repr(input.spec),
                expected=f"{axes} with input_size = {self.input_size} and no axis of length 0; without a batch "
                f"(L, {self.input_size})",
                fix="a sequence of single numbers needs an axis of length 1 at the end: x.unsqueeze(-1)",
            )  # fmt: skip
        single = input.ndim == 2
        batch_at = 0 if self.batch_first else 1
        x = unsqueeze(input, 1) if single else transpose(input, 0, 1) if self.batch_first else input  # -> (L, N, I)
        count = self.num_layers * len(self._directions)
        shape = (count, self.hidden_size) if single else (count, input.shape[batch_at], self.hidden_size)
        first = _state(name, input, hx, self.states, shape)
        if single:
            first = tuple([unsqueeze(each, 1) for each in first])
        last: list[State] = []
        for layer in range(self.num_layers):
            with scope(f"layer{layer}"):
                outputs = []
                for suffix in self._directions:
                    state = tuple([each[len(last)] for each in first]) if hx is not None else _zeros(x, first)
                    with scope(suffix.strip("_") or "forward") if self.bidirectional else nullcontext():
                        output, state = self._along(x, state, f"_l{layer}{suffix}")
                    outputs.append(output)
                    last.append(state)
                x = cat(outputs, -1) if len(outputs) > 1 else outputs[0]
                if self.dropout and layer < self.num_layers - 1:
                    x = F.dropout(x, self.dropout, self.training)
        final = tuple([stack(each) for each in zip(*last, strict=True)])  # (K D, N, H)
        if single:
            return squeeze(x, 1), tuple([squeeze(each, 1) for each in final])
        return transpose(x, 0, 1) if self.batch_first else x, final

    def _along(self, x: Tensor, state: State, suffix: str) -> tuple[Tensor, State]:
        """One layer in one direction: ``(L, N, I)`` to its outputs ``(L, N, H)`` and its last state."""
        weight_ih, weight_hh, bias_ih, bias_hh = (
            vars(self).get(f"{name}{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        assert isinstance(weight_ih, Tensor)
        assert isinstance(weight_hh, Tensor)
        in_step = None if self.sums_biases else bias_hh
        with scope("input"):
            bias = add(bias_ih, bias_hh) if self.sums_biases and bias_ih is not None else bias_ih
            projected = _steps(F.linear(x, weight_ih, bias))  # one product for all steps
            turned = weight_hh.T
        outputs: list[Tensor] = [projected[0]] * len(projected)
        backwards = suffix.endswith("_reverse")
        for step in reversed(range(len(projected))) if backwards else range(len(projected)):
            with scope(f"step{step}"):
                product = matmul(state[0], turned)
                if in_step is not None:
                    product = add(product, in_step)
                state = self._advance(projected[step], product, state)
                outputs[step] = state[0]
        return stack(outputs), state

    def extra_repr(self) -> str:
        """The settings that differ from the defaults."""
        parts = [f"{self.input_size}, {self.hidden_size}"]
        defaults: dict[str, Any] = {
            "num_layers": 1, "nonlinearity": "tanh", "bias": True, "batch_first": False, "dropout": 0.0,
            "bidirectional": False,
        }  # fmt: skip
        parts += [f"{name}={getattr(self, name)!r}" for name, usual in defaults.items() if getattr(self, name) != usual]
        return ", ".join(parts)


class RNN(_Simple, _Recurrent):
    """Simple recurrent layers: ``h_t = tanh(x_t W_ih^T + b_ih + h_(t-1) W_hh^T + b_hh)``. (Elman, 1990)

    Args:
        input_size: the length I of each step of the sequence.
        hidden_size: the length H of the memory.
        num_layers: K; each layer reads the outputs of the one before.
        nonlinearity: ``"tanh"`` or ``"relu"``.
        bias: whether there are biases.
        batch_first: whether sequences are ``(N, L, I)`` rather than ``(L, N, I)``.
        dropout: the probability with which outputs of all layers but the last are dropped in training.
        bidirectional: whether a second network reads the sequence from its end; outputs are put side by side.
            (Schuster and Paliwal, 1997)

    Called with the sequences and optionally the first memory ``(K D, N, H)``, gives the outputs of the last layer,
    ``(L, N, D H)`` or ``(N, L, D H)``, and the last memory of all layers, ``(K D, N, H)``. A single sequence
    ``(L, I)`` is taken without the batch axis. All steps' inputs are multiplied by ``W_ih`` at once. Parameters are
    ``weight_ih_l0`` ``(G H, I)``, ``weight_hh_l0`` ``(G H, H)``, ``bias_ih_l0``, ``bias_hh_l0`` ``(G H,)``, then those
    of layer 1; those of the second direction end in ``_reverse``. G is 1 here.

    Raises :class:`ShapeError` for inputs or memories that do not fit, :class:`ArgumentError` for impossible settings.

    >>> outputs, last = RNN(3, 5, batch_first=True, bidirectional=True)(Tensor([[[1.0, 2.0, 3.0]] * 7]))
    >>> outputs.shape, last.shape
    ((1, 7, 10), (2, 1, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        self.nonlinearity = nonlinearity
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``(L, N, I)`` to outputs ``(L, N, D H)`` and the last memory ``(K D, N, H)``."""
        outputs, (h,) = self._run(input, None if hx is None else (hx,))
        return outputs, h


class GRU(_GRU, _Recurrent):
    """Gated recurrent units: a memory that is kept or overwritten, number by number. (Cho et al., 2014)

    ``r, z = sigmoid(...)``, ``n = tanh(x W_in^T + b_in + r (h W_hn^T + b_hn))``, ``h' = (1 - z) n + z h``. The rows of
    the weights are those of ``r``, ``z`` and ``n``, G is 3. Arguments, results and errors as for :class:`RNN`, but
    there is no nonlinearity to choose.

    >>> outputs, last = GRU(3, 5)(Tensor([[[1.0, 2.0, 3.0]]]))
    >>> outputs.shape, last.shape
    ((1, 1, 5), (1, 1, 5))
    """

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``(L, N, I)`` to outputs ``(L, N, D H)`` and the last memory ``(K D, N, H)``."""
        outputs, (h,) = self._run(input, None if hx is None else (hx,))
        return outputs, h


class LSTM(_LSTM, _Recurrent):
    """Long short-term memory: gates decide what is written, forgotten and shown. (Hochreiter and Schmidhuber, 1997)

    ``i, f, o = sigmoid(...)``, ``g = tanh(...)``, ``c' = f c + i g``, ``h' = o tanh(c')``; the forget gate is that of
    Gers et al. (2000). The rows of the weights are those of ``i``, ``f``, ``g`` and ``o``, G is 4. Arguments and errors
    as for :class:`RNN`; the memory is the pair ``(h, c)``.

    >>> outputs, (h, c) = LSTM(3, 5, num_layers=2)(Tensor([[[1.0, 2.0, 3.0]]]))
    >>> outputs.shape, h.shape, c.shape
    ((1, 1, 5), (2, 1, 5), (2, 1, 5))
    """

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """``(L, N, I)`` to outputs ``(L, N, D H)`` and the last ``(h, c)``, ``(K D, N, H)`` each."""
        outputs, (h, c) = self._run(input, hx)
        return outputs, (h, c)


def _state(name: str, input: Tensor, hx: Sequence[Tensor] | None, states: int, shape: tuple[int, ...]) -> State:
    """The memory that was given, or zeros."""
    if hx is None:
        return (full_like(input, 0.0, shape),) * states
    if isinstance(hx, Tensor) or len(hx) != states or any(each.shape != shape for each in hx):
        given = [hx] if isinstance(hx, Tensor) else list(hx)
        raise ShapeError(
            name, "the memory does not fit", got=", ".join(repr(each.spec) for each in given),
            expected=" and ".join([str(shape)] * states),
            fix="its first axis counts layers times directions, its second the sequences, whatever batch_first says"
            if len(shape) == 3 else "give one row for each input",
        )  # fmt: skip
    return tuple(hx)


def _zeros(x: Tensor, state: State) -> State:
    """The memory of one layer where none was given."""
    return (full_like(x, 0.0, state[0].shape[1:]),) * len(state)


def _steps(x: Tensor) -> list[Tensor]:
    """``(L, N, ...)`` to L tensors ``(N, ...)``, by halving.

    Cut off one by one, each step's gradient would be padded to the whole length: time in L squared. Halves of halves
    take L log L.
    """
    if len(x) == 1:
        return [squeeze(x, 0)]
    middle = len(x) // 2
    return [*_steps(x[:middle]), *_steps(x[middle:])]
