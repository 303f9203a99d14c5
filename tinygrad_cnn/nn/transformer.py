"""The transformer's encoder: attention and a small network for each place in turn, and where a place is told apart."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from ..errors import ArgumentError, ShapeError
from ..ops.elementwise import add
from ..ops.random import Initial
from ..tensor import Tensor
from .activation import GELU, Dropout, ReLU
from .attention import MultiheadAttention
from .init import Normal
from .linear import Linear
from .module import Module, Parameter
from .norm import LayerNorm

ACTIVATIONS: dict[str, type[Module]] = {"relu": ReLU, "gelu": GELU}


class TransformerEncoderLayer(Module):
    """Attention, then two dense layers for each place, each with a shortcut and normalisation. (Vaswani et al., 2017)

    Args:
        d_model: the features E of each place.
        nhead: heads of the attention.
        dim_feedforward: the width of the first dense layer.
        dropout: the probability in the attention, between the dense layers and before each shortcut.
        activation: ``"relu"``, ``"gelu"`` or a function on tensors.
        layer_norm_eps: keeps the root of the variance away from 0.
        batch_first: whether sequences are ``(N, L, E)`` rather than ``(L, N, E)``.
        norm_first: whether normalisation comes before attention and dense layers instead of after the shortcut; deep
            networks train more easily so. (Xiong et al., 2020)
        bias: whether all parts have biases.

    Raises :class:`ArgumentError` for another activation, and what :class:`MultiheadAttention` raises.

    >>> TransformerEncoderLayer(4, 2, 8, batch_first=True)(Tensor([[[1.0, 2.0, 3.0, 4.0]] * 3])).shape
    (1, 3, 4)
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
    ) -> None:
        if isinstance(activation, str) and activation not in ACTIVATIONS:
            raise ArgumentError(
                "TransformerEncoderLayer", "no such activation", got=repr(activation),
                expected="'relu', 'gelu' or a function on tensors",
            )  # fmt: skip
        self.norm_first = norm_first
        self.activation = ACTIVATIONS[activation]() if isinstance(activation, str) else activation
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first)
        self.linear1 = Linear(d_model, dim_feedforward, bias)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias)
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """``(L, N, E)`` to the same shape; the masks are those of :meth:`MultiheadAttention.forward`."""
        masks = {"attn_mask": src_mask, "key_padding_mask": src_key_padding_mask, "is_causal": is_causal}
        if self.norm_first:
            x = self.norm1(src)
            x = add(src, self.dropout1(self.self_attn(x, x, x, need_weights=False, **masks)[0]))
            return add(x, self._dense(self.norm2(x)))
        x = self.norm1(add(src, self.dropout1(self.self_attn(src, src, src, need_weights=False, **masks)[0])))
        normal: Tensor = self.norm2(add(x, self._dense(x)))
        return normal

    def _dense(self, x: Tensor) -> Tensor:
        output: Tensor = self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))
        return output

    def attention(self, src: Tensor) -> Tensor:
        """The weights with which each head looks from each place at the others, ``(N, heads, L, L)``."""
        x = self.norm1(src) if self.norm_first else src
        weights: Tensor = self.self_attn(x, x, x, average_attn_weights=False)[1]
        return weights


class TransformerEncoder(Module):
    """Encoder layers one after the other. (Vaswani et al., 2017)

    Args:
        encoder_layer: the pattern; the layers are copies of it. Numbers that were drawn are drawn anew for each copy
            (PyTorch starts all layers with the same), numbers that were given are copied.
        num_layers: how many.
        norm: applied at the end; layers with ``norm_first`` need one.

    Raises :class:`ArgumentError` for fewer than one layer, and what the layers raise.

    >>> encoder = TransformerEncoder(TransformerEncoderLayer(4, 2, 8), num_layers=2)
    >>> encoder(Tensor([[[1.0, 2.0, 3.0, 4.0]]] * 3)).shape
    (3, 1, 4)
    """

    def __init__(self, encoder_layer: TransformerEncoderLayer, num_layers: int, norm: Module | None = None) -> None:
        if num_layers < 1:
            raise ArgumentError("TransformerEncoder", "there are no layers", got=f"num_layers={num_layers}")
        self.layers = [_twin(encoder_layer) for _ in range(num_layers)]
        self.norm = norm

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """``(L, N, E)`` to the same shape; the masks are those of :meth:`MultiheadAttention.forward`."""
        for layer in self.layers:
            src = layer(src, src_mask=mask, src_key_padding_mask=src_key_padding_mask, is_causal=is_causal)
        return src if self.norm is None else self.norm(src)

    def attention(self, src: Tensor) -> list[Tensor]:
        """For each layer, how each head looks from each place at the others, ``(N, heads, L, L)``."""
        found = []
        for layer in self.layers:
            found.append(layer.attention(src))
            src = layer(src)
        return found


def _twin(layer: TransformerEncoderLayer) -> TransformerEncoderLayer:
    twin = copy.deepcopy(layer)
    twin.zero_grad()
    for leaf in twin.parameters():
        if isinstance(leaf.node.op, Initial):
            leaf.initialise(leaf.node.op.scheme)
    return twin


class PositionalEncoding(Module):
    """Waves of different lengths added to the features, so that each place has its own pattern. (Vaswani et al., 2017)

    Features ``2 i`` and ``2 i + 1`` of place p get ``sin`` and ``cos`` of ``p / 10000^(2 i / E)``.

    Args:
        d_model: the features E of each place.
        dropout: the probability with which a sum is dropped in training.
        batch_first: whether sequences are ``(N, L, E)`` rather than ``(L, N, E)``.

    Raises :class:`ShapeError` for another number of features.

    >>> PositionalEncoding(2, dropout=0.0)(Tensor([[[5.0, 5.0]]]))
    Tensor([[[5., 6.]]])
    """

    def __init__(self, d_model: int, dropout: float = 0.1, batch_first: bool = False) -> None:
        self.d_model, self.batch_first = d_model, batch_first
        self.dropout = Dropout(dropout)

    def forward(self, input: Tensor) -> Tensor:
        """``(L, N, E)`` to the same shape."""
        length = _length("PositionalEncoding", input, self.d_model, self.batch_first)
        waves = Tensor(_waves(length, self.d_model), input.dtype, None if input.symbolic else input.device)
        output: Tensor = self.dropout(add(input, waves if self.batch_first else waves.reshape(length, 1, self.d_model)))
        return output


class LearnedPositionalEncoding(Module):
    """A learned vector added at each place. (Gehring et al., 2017)

    Args:
        d_model: the features E of each place.
        max_len: how many places there are vectors for.
        dropout: the probability with which a sum is dropped in training.
        batch_first: whether sequences are ``(N, L, E)`` rather than ``(L, N, E)``.

    The weight has shape ``(max_len, E)`` and starts normally distributed with standard deviation 0.02.

    Raises :class:`ShapeError` for another number of features, or a sequence that is too long.

    >>> LearnedPositionalEncoding(2, max_len=8)(Tensor([[[0.0, 0.0]]])).shape
    (1, 1, 2)
    """

    def __init__(self, d_model: int, max_len: int, dropout: float = 0.1, batch_first: bool = False) -> None:
        self.d_model, self.max_len, self.batch_first = d_model, max_len, batch_first
        self.weight = Parameter.initialised((max_len, d_model), Normal(0.0, 0.02))
        self.dropout = Dropout(dropout)

    def forward(self, input: Tensor) -> Tensor:
        """``(L, N, E)`` to the same shape."""
        length = _length("LearnedPositionalEncoding", input, self.d_model, self.batch_first)
        if length > self.max_len:
            raise ShapeError(
                "LearnedPositionalEncoding", f"there are vectors for {self.max_len} places, not for {length}",
                got=repr(input.spec), expected=f"{self.max_len} or fewer places",
                fix="make the layer with a larger max_len, or use PositionalEncoding, which has no end",
            )  # fmt: skip
        vectors = self.weight[:length]
        output: Tensor = self.dropout(add(input, vectors if self.batch_first else vectors.unsqueeze(1)))
        return output


def _length(name: str, input: Tensor, features: int, batch_first: bool) -> int:
    if input.ndim != 3 or input.shape[-1] != features:
        raise ShapeError(
            name, "these are no sequences of this layer", got=repr(input.spec),
            expected=f"({'N, L' if batch_first else 'L, N'}, d_model) with d_model = {features}",
        )  # fmt: skip
    return input.shape[1 if batch_first else 0]


@lru_cache(maxsize=16)
def _waves(length: int, features: int) -> np.ndarray:
    angle = np.arange(length)[:, None] / 10000 ** (np.arange(features) // 2 * 2 / features)
    return np.where(np.arange(features) % 2, np.cos(angle), np.sin(angle))
