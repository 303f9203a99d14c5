"""Attention and the transformer's encoder: plain loops, masks, places, copies, errors."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cnn.graph import topological_order
from tinygrad_cnn.nn import functional as F


def normal(*shape, seed=0, dtype="float32"):
    return tg.Tensor(np.random.default_rng(seed).standard_normal(shape).astype(dtype))


def by_hand(query, key, value, allowed):
    """Query by query."""
    rows = []
    for row, question in enumerate(query):
        scores = [math.exp(question @ each / math.sqrt(len(each))) for each in key]
        shares = [score if take else 0.0 for score, take in zip(scores, allowed[row], strict=True)]
        total = sum(shares)
        parts = [share / (total or 1) * each for share, each in zip(shares, value, strict=True)]
        rows.append(sum(parts))
    return np.array(rows)


@pytest.mark.parametrize("mask", ["none", "causal", "some", "a row without keys"])
def test_attention_is_a_weighted_mean(mask):
    arrays = [normal(*shape, seed=n, dtype="float64") for n, shape in enumerate([(4, 3), (5, 3), (5, 2)])]
    allowed = np.ones((4, 5), bool)
    if mask == "causal":
        allowed = np.tri(4, 5, dtype=bool)
    elif mask != "none":
        allowed = np.random.default_rng(0).random((4, 5)) < 0.6
        allowed[2] = mask == "some"
    settings = {"is_causal": True} if mask == "causal" else {"attn_mask": tg.Tensor(allowed)} if mask != "none" else {}
    found = F.scaled_dot_product_attention(*arrays, **settings)
    np.testing.assert_allclose(found.numpy(), by_hand(*[each.numpy() for each in arrays], allowed), rtol=1e-10)
    tg.testing.check_grad(lambda *given: F.scaled_dot_product_attention(*given, **settings), arrays)


def test_an_extreme_score_gives_no_nan():
    x = tg.Tensor([[100.0], [-100.0]], requires_grad=True)
    y = F.scaled_dot_product_attention(x * 100, x, x, tg.Tensor([[True, False], [False, False]]))
    y.sum().backward()
    assert y.tolist() == [[100.0], [0.0]]
    assert np.isfinite(x.grad.numpy()).all()


def test_dropout_drops_weights_and_keeps_their_mean():
    q = normal(1, 4) * 0
    found = F.scaled_dot_product_attention(q, normal(2000, 4), tg.Tensor(np.ones((2000, 1), "float32")), dropout_p=0.5)
    assert 0.9 < found.item() < 1.1
    assert found.item() != 1.0
    layer = nn.MultiheadAttention(4, 2, dropout=0.5)
    x = normal(6, 2, 4)
    assert not np.allclose(layer(x, x, x)[0].numpy(), layer(x, x, x)[0].numpy())
    layer.eval()
    assert np.allclose(layer(x, x, x)[0].numpy(), layer(x, x, x)[0].numpy())


def test_nothing_depends_on_what_a_mask_hides():
    layer, x = nn.MultiheadAttention(4, 2, batch_first=True), normal(2, 5, 4)
    changed = tg.Tensor(np.concatenate([x.numpy()[:, :4], x.numpy()[:, 4:] + 9], 1))
    before, after = (layer(each, each, each, is_causal=True)[0].numpy() for each in (x, changed))
    np.testing.assert_allclose(before[:, :4], after[:, :4], rtol=1e-5)
    assert not np.allclose(before[:, 4], after[:, 4])
    padding = tg.Tensor([[False] * 4 + [True]] * 2)
    before, after = (layer(x, each, each, padding)[0].numpy() for each in (x, changed))
    np.testing.assert_allclose(before, after, rtol=1e-5)
    added = tg.Tensor(np.zeros((5, 5), "float32"))
    np.testing.assert_allclose(layer(x, x, x, padding, attn_mask=added)[0].numpy(), before, rtol=1e-5)


def test_self_attention_does_not_care_for_order_until_places_are_added():
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
    x = normal(1, 5, 4)
    np.testing.assert_allclose(layer(x.flip(1)).flip(1).numpy(), layer(x).numpy(), rtol=1e-3, atol=1e-5)
    for places in (nn.PositionalEncoding(4, 0.0, True), nn.LearnedPositionalEncoding(4, 8, 0.0, True)):
        if isinstance(places, nn.LearnedPositionalEncoding):
            nn.init.normal_(places.weight)
        assert not np.allclose(layer(places(x.flip(1))).flip(1).numpy(), layer(places(x)).numpy(), atol=1e-2)


def test_the_waves():
    waves = nn.PositionalEncoding(6, 0.0)(tg.Tensor(np.zeros((9, 1, 6), "float32"))).numpy()[:, 0]
    for place in range(9):
        for pair in range(3):
            angle = place / 10000 ** (2 * pair / 6)
            assert waves[place, 2 * pair] == pytest.approx(math.sin(angle), abs=1e-6)
            assert waves[place, 2 * pair + 1] == pytest.approx(math.cos(angle), abs=1e-6)
    first = nn.PositionalEncoding(6, 0.0, batch_first=True)(tg.Tensor(np.zeros((1, 9, 6), "float32"))).numpy()[0]
    assert (first == waves).all()


def test_encoder_layers_start_apart_but_given_numbers_are_copied():
    layer = nn.TransformerEncoderLayer(4, 2, 8)
    encoder = nn.TransformerEncoder(layer, 2)
    one, other = (each.linear1.weight.numpy() for each in encoder.layers)
    assert not np.allclose(one, other)
    layer.load_state_dict(encoder.layers[0].state_dict())
    twins = nn.TransformerEncoder(layer, 2).layers
    assert all((each.linear1.weight.numpy() == one).all() for each in twins)
    assert twins[0].linear1.weight is not twins[1].linear1.weight


@pytest.mark.parametrize("norm_first", [False, True])
def test_symbols_and_boxes(norm_first):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=norm_first)
    encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(8))
    output = encoder(tg.symbol((2, 5, 8)))
    assert output.shape == (2, 5, 8)
    assert all(leaf._array is None for leaf in encoder.parameters())
    scopes = {node.scope for node in topological_order([output.node]) if node.inputs}
    assert "transformerencoder/layers/1/self_attn/attention_weights" in scopes
    assert "TransformerEncoder" in tg.draw(encoder, (2, 5, 8)).dot
    x = normal(2, 5, 8)
    weights = encoder.eval().attention(x)
    assert [each.shape for each in weights] == [(2, 2, 5, 5)] * 2
    np.testing.assert_allclose(weights[1].sum(-1).numpy(), 1, rtol=1e-5)
    assert encoder(x).dtype == np.float32


@pytest.mark.parametrize(
    ("call", "kind", "says"),
    [
        (lambda: nn.MultiheadAttention(10, 3), ArgumentError, "10 features cannot be shared out among 3 heads"),
        (lambda: nn.MultiheadAttention(4, 2)(*[normal(2, 3, 6)] * 3), ShapeError, "(L, N, 4), (S, N, 4)"),
        (lambda: nn.MultiheadAttention(4, 2)(normal(2, 3, 4), *[normal(3, 5, 4)] * 2), ShapeError, "check batch_first"),
        (lambda: attend(attn_mask=tg.Tensor([[True] * 2] * 2)), ShapeError, "(3, 3) or (N R, L, S) = (4, 3, 3)"),
        (lambda: attend(key_padding_mask=tg.Tensor(np.zeros((2, 3)))), DTypeError, "tokens == padding_idx"),
        (lambda: attend(key_padding_mask=tg.Tensor(np.zeros((3, 2), bool))), ShapeError, "(N, S) = (2, 3)"),
        (lambda: F.scaled_dot_product_attention(normal(2, 3), normal(2, 4), normal(2, 4)), ShapeError, "with one E"),
        (lambda: F.scaled_dot_product_attention(normal(2, 3), normal(2, 3), normal(4, 3)), ShapeError, "with S = 2"),
        (
            lambda: F.scaled_dot_product_attention(*[normal(2, 3)] * 3, tg.Tensor([[True] * 2] * 2), is_causal=True),
            ArgumentError, "two masks",
        ),
        (lambda: nn.TransformerEncoderLayer(4, 2, activation="tanh"), ArgumentError, "'relu', 'gelu'"),
        (lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2), 0), ArgumentError, "num_layers=0"),
        (lambda: nn.PositionalEncoding(4)(normal(5, 4)), ShapeError, "(L, N, d_model) with d_model = 4"),
        (lambda: nn.LearnedPositionalEncoding(4, 3)(normal(5, 1, 4)), ShapeError, "vectors for 3 places, not for 5"),
    ],
)  # fmt: skip
def test_errors_teach(call, kind, says):
    with pytest.raises(kind, match=re.escape(says)):
        call()


def attend(**masks):
    x = normal(2, 3, 4)
    return nn.MultiheadAttention(4, 2, batch_first=True)(x, x, x, **masks)
