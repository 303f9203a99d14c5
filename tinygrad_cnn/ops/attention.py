"""Attention: sums of values, weighted by how well their keys match a query."""

from __future__ import annotations

import math

import numpy as np

from ..errors import ArgumentError, ShapeError
from ..mode import scope
from ..tensor import Tensor
from .elementwise import add, mul, where
from .linalg import matmul
from .random import dropout
from .reduce import softmax
from .shape import transpose


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """``softmax(query key^T / sqrt(E)) value``: for each query the mean of the values, weighted by how well their keys
    match it. (Vaswani et al., 2017, equation 1)

    Args:
        query: ``(..., L, E)``, one row for each of the L questions.
        key: ``(..., S, E)``.
        value: ``(..., S, V)``.
        attn_mask: broadcasts to ``(..., L, S)``: booleans, where ``True`` takes part, or numbers to add to the scores.
        dropout_p: the probability with which a weight is dropped. As in PyTorch, nobody asks whether this is training.
        is_causal: whether query i sees only keys 0 to i; not together with ``attn_mask``.
        scale: instead of ``1 / sqrt(E)``.

    Returns ``(..., L, V)``. A query that a boolean mask leaves no key gets 0.

    Raises :class:`ShapeError` where the shapes do not fit, :class:`ArgumentError` for two masks.

    >>> scaled_dot_product_attention(Tensor([[1.0]]), Tensor([[2.0], [2.0]]), Tensor([[3.0], [5.0]]))
    Tensor([[4.]])
    """
    if is_causal:
        if attn_mask is not None:
            raise ArgumentError(
                "scaled_dot_product_attention", "there are two masks", got="attn_mask and is_causal=True",
                fix="leave one out, or put the order of time into attn_mask",
            )  # fmt: skip
        attn_mask = causal_mask(query, key)
    weights = attention_weights(query, key, attn_mask, scale)
    if value.ndim < 2 or weights.shape[-1] != value.shape[-2]:
        raise ShapeError(
            "scaled_dot_product_attention", "each key needs a value", got=f"key {key.spec!r}, value {value.spec!r}",
            expected=f"key (..., S, E), value (..., S, V) with S = {weights.shape[-1]}",
        )  # fmt: skip
    return matmul(dropout(weights, dropout_p) if dropout_p else weights, value)


def attention_weights(
    query: Tensor, key: Tensor, attn_mask: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """``softmax(query key^T / sqrt(E))``: how much each query takes of each value; a row adds up to 1.

    Arguments and errors as for :func:`scaled_dot_product_attention`.

    Returns ``(..., L, S)``.

    >>> attention_weights(Tensor([[1.0]]), Tensor([[2.0], [2.0]]))
    Tensor([[0.5, 0.5]])
    """
    if min(query.ndim, key.ndim) < 2 or query.shape[-1] != key.shape[-1]:
        raise ShapeError(
            "attention", "queries and keys cannot be compared", got=f"query {query.spec!r}, key {key.spec!r}",
            expected="query (..., L, E), key (..., S, E) with one E",
            fix="project both to the same number of features with nn.Linear",
        )  # fmt: skip
    with scope("attention_weights"):
        factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
        scores = matmul(mul(query, factor), transpose(key, -1, -2))
        if attn_mask is None:
            return softmax(scores, -1)
        if attn_mask.dtype.kind != "b":
            return softmax(add(scores, attn_mask), -1)
        # The lowest finite number instead of -inf: a row without any key must not become NaN.
        least = float(np.finfo(scores.dtype).min)
        return where(attn_mask, softmax(where(attn_mask, scores, least), -1), 0.0)


def causal_mask(query: Tensor, key: Tensor) -> Tensor:
    """Booleans ``(L, S)`` for ``(..., L, E)`` and ``(..., S, E)``: query i takes part in keys 0 to i.

    >>> causal_mask(Tensor([[1.0], [1.0]]), Tensor([[1.0], [1.0]]))
    Tensor([[ True, False],
            [ True,  True]])
    """
    mask = np.tri(query.shape[-2], key.shape[-2], dtype=bool)
    return Tensor(mask, device=None if query.symbolic else query.device)
