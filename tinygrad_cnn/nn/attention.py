"""Attention: each place of a sequence looks at the others and takes over what matches it."""

from __future__ import annotations

from ..errors import ArgumentError, DTypeError, ShapeError
from ..mode import scope
from ..ops.base import full_like
from ..ops.elementwise import logical_not, mul, where
from ..ops.linalg import matmul
from ..ops.reduce import mean
from ..ops.shape import reshape, split, squeeze, transpose, unsqueeze
from ..tensor import Tensor
from . import functional as F
from .init import Constant, xavier_uniform_, zeros_
from .linear import Linear
from .module import Module, Parameter


class MultiheadAttention(Module):
    """Several attentions side by side, each on its share of the features. (Vaswani et al., 2017, section 3.2.2)

    Letters: L queries, S keys, N sequences, E features, R heads.

    Args:
        embed_dim: E, a multiple of ``num_heads``.
        num_heads: R; each works on ``E / R`` features.
        dropout: the probability with which an attention weight is dropped in training.
        bias: whether the projections have biases.
        kdim: the features of the keys, where they are not E.
        vdim: the features of the values, where they are not E.
        batch_first: whether sequences are ``(N, L, E)`` rather than ``(L, N, E)``.

    Parameters are ``in_proj_weight`` ``(3 E, E)`` with the rows of query, key and value (or ``q_proj_weight``,
    ``k_proj_weight``, ``v_proj_weight`` where ``kdim`` or ``vdim`` differs), ``in_proj_bias`` ``(3 E,)``,
    ``out_proj.weight`` ``(E, E)`` and ``out_proj.bias`` ``(E,)``.

    Raises :class:`ArgumentError` where E is no multiple of R, :class:`ShapeError` for inputs and masks that do not fit,
    :class:`DTypeError` for a padding mask that is not boolean.

    >>> x = Tensor([[[1.0, 2.0, 3.0, 4.0]] * 3])
    >>> output, weights = MultiheadAttention(4, 2, batch_first=True)(x, x, x)
    >>> output.shape, weights.shape
    ((1, 3, 4), (1, 3, 3))
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        *,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
    ) -> None:
        if min(embed_dim, num_heads) < 1 or embed_dim % num_heads:
            raise ArgumentError(
                "MultiheadAttention", f"{embed_dim} features cannot be shared out among {num_heads} heads",
                got=f"embed_dim={embed_dim}, num_heads={num_heads}", expected="embed_dim % num_heads = 0",
                fix="take a multiple of num_heads for embed_dim",
            )  # fmt: skip
        self.embed_dim, self.num_heads, self.dropout, self.batch_first = embed_dim, num_heads, dropout, batch_first
        self.kdim, self.vdim = kdim or embed_dim, vdim or embed_dim
        if self.kdim == self.vdim == embed_dim:
            self.in_proj_weight = _glorot(3 * embed_dim, embed_dim)
        else:
            self.q_proj_weight = _glorot(embed_dim, embed_dim)
            self.k_proj_weight = _glorot(embed_dim, self.kdim)
            self.v_proj_weight = _glorot(embed_dim, self.vdim)
        self.in_proj_bias = Parameter.initialised((3 * embed_dim,), Constant(0.0)) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias)
        if self.out_proj.bias is not None:
            zeros_(self.out_proj.bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """``(L, N, E)``, ``(S, N, kdim)`` and ``(S, N, vdim)`` to ``(L, N, E)`` and the weights ``(N, L, S)``.

        Args:
            query: what asks; without the batch axis for a single sequence, like the others.
            key: what is compared with it.
            value: what is taken over.
            key_padding_mask: booleans ``(N, S)``; ``True`` leaves a key out.
            need_weights: whether the weights are given, too; else ``None``.
            attn_mask: ``(L, S)`` or ``(N R, L, S)``: booleans, where ``True`` leaves a key out (the opposite of
                :func:`tinygrad_cnn.nn.functional.scaled_dot_product_attention`, as in PyTorch), or numbers to add to
                the scores.
            average_attn_weights: whether the weights are the mean over the heads, or ``(N, R, L, S)``.
            is_causal: whether query i sees only keys 0 to i; unlike in PyTorch no mask has to be given for that.
        """
        single = query.ndim == 2
        self._check(query, key, value)
        if single or not self.batch_first:
            turned = {id(each): unsqueeze(each, 0) if single else transpose(each, 0, 1) for each in (query, key, value)}
            query, key, value = (turned[id(each)] for each in (query, key, value))
        if single and key_padding_mask is not None:
            key_padding_mask = unsqueeze(key_padding_mask, 0)
        batch, length = query.shape[:2]
        mask = self._mask(batch, query, key, key_padding_mask, attn_mask, is_causal)
        with scope("heads"):  # (N, L, E) -> (N, R, L, E / R)
            heads = [self._to_heads(each) for each in self._project(query, key, value)]
        weights = F.attention_weights(heads[0], heads[1], mask)
        with scope("mix"):  # (N, R, L, E / R) -> (N, L, E)
            used = F.dropout(weights, self.dropout, self.training) if self.dropout else weights
            together = reshape(transpose(matmul(used, heads[2]), 1, 2), (batch, length, self.embed_dim))
        output = self.out_proj(together)
        shown = (mean(weights, 1) if average_attn_weights else weights) if need_weights else None
        if single:
            return squeeze(output, 0), None if shown is None else squeeze(shown, 0)
        return output if self.batch_first else transpose(output, 0, 1), shown

    def _check(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        widths = (self.embed_dim, self.kdim, self.vdim)
        given = (query, key, value)
        fits = [each.ndim == query.ndim and each.shape[-1] == width for each, width in zip(given, widths, strict=True)]
        if query.ndim not in (2, 3) or not all(fits) or key.shape[:-1] != value.shape[:-1]:
            axes = "N, {0}" if self.batch_first else "{0}, N"
            raise ShapeError(
                "MultiheadAttention", "query, key and value do not fit",
                got=", ".join(repr(each.spec) for each in given),
                expected=", ".join(
                    f"({axes.format(letter)}, {width})" for letter, width in zip("LSS", widths, strict=True)
                )
                + ", or all without N",
                fix="batch_first=True is for sequences that have the batch on axis 0",
            )  # fmt: skip
        batch_at = 0 if self.batch_first else 1
        if query.ndim == 3 and query.shape[batch_at] != key.shape[batch_at]:
            raise ShapeError(
                "MultiheadAttention",
                f"there are {query.shape[batch_at]} sequences of queries and {key.shape[batch_at]} of keys",
                got=f"query {query.spec!r}, key {key.spec!r}", expected=f"one number of sequences, on axis {batch_at}",
                fix="check batch_first: it says which axis is the batch",
            )  # fmt: skip

    def _mask(
        self,
        batch: int,
        query: Tensor,
        key: Tensor,
        key_padding_mask: Tensor | None,
        attn_mask: Tensor | None,
        is_causal: bool,
    ) -> Tensor | None:
        """All masks as one that broadcasts to ``(N, R, L, S)``: ``True`` takes part, or numbers to add."""
        length, keys = query.shape[1], key.shape[1]
        taking_part: Tensor | None = F.causal_mask(query, key) if is_causal else None
        added: Tensor | None = None
        if attn_mask is not None:
            if attn_mask.shape not in ((length, keys), (batch * self.num_heads, length, keys)):
                raise ShapeError(
                    "MultiheadAttention", "attn_mask does not fit", got=repr(attn_mask.spec),
                    expected=f"(L, S) = ({length}, {keys}) or (N R, L, S) = {(batch * self.num_heads, length, keys)}",
                )  # fmt: skip
            if attn_mask.ndim == 3:
                attn_mask = reshape(attn_mask, (batch, self.num_heads, length, keys))
            if attn_mask.dtype.kind == "b":
                allowed = logical_not(attn_mask)
                taking_part = allowed if taking_part is None else mul(taking_part, allowed)
            else:
                added = attn_mask
        if key_padding_mask is not None:
            if key_padding_mask.dtype.kind != "b":
                raise DTypeError(
                    "MultiheadAttention", "key_padding_mask is not boolean", got=repr(key_padding_mask.spec),
                    expected="True for each key that is only padding", fix="compare: tokens == padding_idx",
                )  # fmt: skip
            if key_padding_mask.shape != (batch, keys):
                raise ShapeError(
                    "MultiheadAttention", "key_padding_mask does not fit", got=repr(key_padding_mask.spec),
                    expected=f"(N, S) = ({batch}, {keys}), whatever batch_first says",
                )  # fmt: skip
            kept = logical_not(reshape(key_padding_mask, (batch, 1, 1, keys)))
            taking_part = kept if taking_part is None else mul(taking_part, kept)
        if added is None or taking_part is None:
            return taking_part if added is None else added
        return where(taking_part, added, full_like(added, float("-inf"), ()))

    def _project(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        """Query, key and value, each ``(N, L, E)``."""
        biases = [None] * 3 if self.in_proj_bias is None else split(self.in_proj_bias, self.embed_dim)
        if not hasattr(self, "in_proj_weight"):
            weights: tuple[Tensor, ...] = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        elif query is key is value:  # one product for all three
            return list(split(F.linear(query, self.in_proj_weight, self.in_proj_bias), self.embed_dim, -1))
        else:
            weights = split(self.in_proj_weight, self.embed_dim)
        given = zip((query, key, value), weights, biases, strict=True)
        return [F.linear(each, weight, bias) for each, weight, bias in given]

    def _to_heads(self, x: Tensor) -> Tensor:
        """``(N, L, E)`` to ``(N, R, L, E / R)``."""
        return transpose(reshape(x, (*x.shape[:2], self.num_heads, self.embed_dim // self.num_heads)), 1, 2)

    def extra_repr(self) -> str:
        """The settings."""
        return f"embed_dim={self.embed_dim}, num_heads={self.num_heads}"


def _glorot(rows: int, columns: int) -> Parameter:
    return xavier_uniform_(Parameter.initialised((rows, columns), Constant(0.0)))
