"""Recurrent layers, attention and embeddings against PyTorch, through ``state_dict``: outputs and all gradients."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

import tinygrad_cnn as tg  # noqa: E402
from tinygrad_cnn import nn  # noqa: E402
from tinygrad_cnn.nn import functional as F  # noqa: E402

pytestmark = pytest.mark.torch

TOLERANCE = 1e-10

RANDOM = np.random.default_rng(3)
PADDED = np.arange(6) >= np.array([6, 4, 3])[:, None]  # three sequences of 6, 4 and 3 places
FUTURE = np.triu(np.ones((6, 6), bool), 1)
NUMBERS = RANDOM.standard_normal((6, 6))
NUMBERS[2, 4] = -np.inf


def flat(result):
    """All tensors in nested tuples, without those that are left out."""
    if isinstance(result, tuple | list):
        return [each for part in result for each in flat(part)]
    return [] if result is None else [result]


def compare(ours, theirs, arrays, settings=None):
    """Load PyTorch's numbers by name; then outputs, and gradients in all inputs and parameters, must be equal."""
    settings = settings or {}
    theirs = theirs.double()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours = ours.to("float64")
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    given = [tg.Tensor(each, requires_grad=each.dtype.kind == "f") for each in arrays]
    given_there = [torch.tensor(each, requires_grad=each.dtype.kind == "f") for each in arrays]
    call, call_there = grouped(given), grouped(given_there)
    outputs = flat(ours(*call, **{key: on(value, tg.Tensor) for key, value in settings.items()}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        outputs_there = flat(theirs(*call_there, **{key: on(value, torch.tensor) for key, value in settings.items()}))
    assert all(np.abs(each.numpy()).max() > 1e-3 for each in outputs)
    same(outputs, [each.detach() for each in outputs_there])
    weights = [np.random.default_rng(5).standard_normal(each.shape) for each in outputs]
    sum_of([(each * tg.Tensor(w)).sum() for each, w in zip(outputs, weights, strict=True)]).backward()
    sum_of([(each * torch.tensor(w)).sum() for each, w in zip(outputs_there, weights, strict=True)]).backward()
    leaves = [*given, *ours.parameters()]
    leaves_there = [*given_there, *theirs.parameters()]
    gradients = [(a.grad, b.grad) for a, b in zip(leaves, leaves_there, strict=True) if b.requires_grad]
    same(*zip(*gradients, strict=True))


def grouped(tensors):
    """Input and memory: that of an LSTM is a pair, and of another shape than the input."""
    pair = len(tensors) == 3 and tensors[0].shape != tensors[1].shape == tensors[2].shape
    return (tensors[0], tuple(tensors[1:])) if pair else tuple(tensors)


def on(value, make):
    return make(value) if isinstance(value, np.ndarray) else value


def sum_of(terms):
    total = terms[0]
    for each in terms[1:]:
        total = total + each
    return total


def same(ours, theirs):
    assert len(ours) == len(theirs) > 0
    for one, other in zip(ours, theirs, strict=True):
        assert one.numpy().dtype == np.float64
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=TOLERANCE, atol=TOLERANCE)


LAYERS = ["RNN", "GRU", "LSTM"]
SETTINGS = [
    {},
    {"num_layers": 2, "batch_first": True},
    {"bidirectional": True, "bias": False},
    {"num_layers": 3, "bidirectional": True, "batch_first": True},
]


@pytest.mark.parametrize("given", ["zeros", "memory", "single"])
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: "-".join(settings) or "plain")
@pytest.mark.parametrize("name", LAYERS)
def test_recurrent_layers(name, settings, given):
    theirs = getattr(torch.nn, name)(3, 4, **settings)
    ours = getattr(nn, name)(3, 4, **settings)
    shape = (5, 2, 3) if not settings.get("batch_first") else (2, 5, 3)
    count = settings.get("num_layers", 1) * (1 + settings.get("bidirectional", False))
    memory = [RANDOM.standard_normal((count, 2, 4))] * (1 + (name == "LSTM")) if given == "memory" else []
    x = RANDOM.standard_normal((5, 3) if given == "single" else shape)
    compare(ours, theirs, [x, *[each + number for number, each in enumerate(memory)]])


def test_the_simple_layer_with_relu():
    compare(nn.RNN(3, 4, 2, "relu"), torch.nn.RNN(3, 4, 2, "relu"), [RANDOM.standard_normal((5, 2, 3))])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("memory", [False, True])
@pytest.mark.parametrize("shape", [(2, 3), (3,)])
@pytest.mark.parametrize("name", ["RNNCell", "GRUCell", "LSTMCell"])
def test_cells(name, shape, memory, bias):
    states = (1 + (name == "LSTMCell")) * memory
    arrays = [RANDOM.standard_normal(shape), *RANDOM.standard_normal((states, *shape[:-1], 4))]
    compare(getattr(nn, name)(3, 4, bias), getattr(torch.nn, name)(3, 4, bias), arrays)


MASKS = {
    "none": {},
    "all weights": {"average_attn_weights": False},
    "no weights": {"need_weights": False},
    "padding": {"key_padding_mask": PADDED},
    "causal": {"attn_mask": FUTURE},
    "numbers": {"attn_mask": NUMBERS},
    "for each head": {"attn_mask": RANDOM.random((6, 6, 6)) < 0.3},
    "padding and causal": {"attn_mask": FUTURE, "key_padding_mask": PADDED},
}


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("masks", MASKS.values(), ids=MASKS)
def test_multihead_attention(masks, batch_first):
    ours = nn.MultiheadAttention(8, 2, batch_first=batch_first)
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=batch_first)
    with torch.no_grad():
        theirs.in_proj_bias.normal_()
        theirs.out_proj.bias.normal_()
    shape = (3, 6, 8) if batch_first else (6, 3, 8)
    compare(ours, theirs, list(RANDOM.standard_normal((3, *shape))), masks)


@pytest.mark.parametrize("settings", [{"kdim": 5, "vdim": 7}, {"kdim": 5, "vdim": 6, "bias": False}, {"vdim": 7}])
def test_multihead_attention_with_other_keys_and_values(settings):
    ours = nn.MultiheadAttention(8, 4, batch_first=True, **settings)
    theirs = torch.nn.MultiheadAttention(8, 4, batch_first=True, **settings)
    shapes = [(2, 5, 8), (2, 3, settings.get("kdim", 8)), (2, 3, settings.get("vdim", 8))]
    compare(ours, theirs, [RANDOM.standard_normal(shape) for shape in shapes])


def test_multihead_attention_of_a_single_sequence():
    compare(nn.MultiheadAttention(8, 2), torch.nn.MultiheadAttention(8, 2), list(RANDOM.standard_normal((3, 5, 8))))


class Itself(torch.nn.MultiheadAttention):
    def forward(self, x):
        return super().forward(x, x, x)


def test_self_attention():
    class Ours(nn.MultiheadAttention):
        def forward(self, x):
            return super().forward(x, x, x)

    compare(Ours(8, 2), Itself(8, 2), [RANDOM.standard_normal((5, 2, 8))])


@pytest.mark.parametrize("masks", [{}, {"src_key_padding_mask": PADDED}], ids=["all", "padding"])
@pytest.mark.parametrize("settings", [{}, {"norm_first": True, "activation": "gelu", "bias": False}])
def test_encoder_layers(settings, masks):
    settings = {"dim_feedforward": 12, "dropout": 0.0, "batch_first": True, **settings}
    ours, theirs = nn.TransformerEncoderLayer(8, 2, **settings), torch.nn.TransformerEncoderLayer(8, 2, **settings)
    x = RANDOM.standard_normal((3, 6, 8))
    compare(ours, theirs, [x], masks)
    theirs.zero_grad()
    ours = nn.TransformerEncoder(ours, 2, nn.LayerNorm(8))
    theirs = torch.nn.TransformerEncoder(theirs, 2, torch.nn.LayerNorm(8), enable_nested_tensor=False)
    with torch.no_grad():
        for value in theirs.parameters():
            value.normal_(0.5, 0.3)
    compare(ours, theirs, [x], masks)


def test_embedding():
    numbers = RANDOM.integers(0, 5, (3, 7))
    assert (numbers == 2).any()
    for padding in (None, 2, -3):
        ours, theirs = nn.Embedding(5, 4, padding), torch.nn.Embedding(5, 4, padding)
        compare(ours, theirs, [numbers])
        assert (ours.weight.grad.numpy()[2] == 0).all() == (padding is not None)


@pytest.mark.parametrize(
    "settings",
    [{}, {"is_causal": True}, {"scale": 0.3}, {"attn_mask": ~FUTURE[:4, :5]}, {"attn_mask": NUMBERS[:4, :5]}],
    ids=str,
)
def test_scaled_dot_product_attention(settings):
    arrays = [RANDOM.standard_normal(shape) for shape in [(2, 3, 4, 6), (2, 3, 5, 6), (2, 3, 5, 7)]]
    ours = [tg.Tensor(each, requires_grad=True) for each in arrays]
    theirs = [torch.tensor(each, requires_grad=True) for each in arrays]
    one = F.scaled_dot_product_attention(*ours, **{key: on(value, tg.Tensor) for key, value in settings.items()})
    other = torch.nn.functional.scaled_dot_product_attention(
        *theirs, **{key: on(value, torch.tensor) for key, value in settings.items()}
    )
    same([one], [other.detach()])
    (one * one).sum().backward()
    (other * other).sum().backward()
    same([each.grad for each in ours], [each.grad for each in theirs])
