"""Sequence classifiers and the translator: padding, learning, greedy writing, pictures."""

from __future__ import annotations

import re

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import models, nn
from tinygrad_cnn.errors import ArgumentError, PositionError, ShapeError
from tinygrad_cnn.nn import functional as F


def learn(model, steps, lr, *batch):
    """The losses before and after some steps on one batch."""
    optimizer = tg.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(*batch[:-1]), batch[-1])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_which_of_two_came_first_can_be_learned(cell):
    """A sum over the steps could not tell them apart."""
    first = np.random.default_rng(0).integers(0, 2, 16)
    x = np.zeros((16, 5, 2), "float32")
    x[np.arange(16), 0, first] = x[np.arange(16), 3, 1 - first] = 1
    model = models.SequenceClassifier(2, 2, 8, cell=cell)
    losses = learn(model, 60, 0.03, tg.Tensor(x), tg.Tensor(first))
    assert losses[0] > 0.5
    assert losses[-1] < 0.1


SENTENCES = {
    "a good film": 1, "not a good film": 0, "a bad film": 0, "not a bad film": 1, "this is good": 1, "this is bad": 0,
    "this is not good": 0, "this is not bad": 1, "good": 1, "bad": 0, "not good": 0, "not bad": 1,
}  # fmt: skip


@pytest.mark.parametrize("kind", [models.TextClassifier, models.TransformerClassifier])
def test_not_turns_a_judgement_round(kind):
    words = sorted({word for sentence in SENTENCES for word in sentence.split()})
    tokens = np.zeros((len(SENTENCES), 4), int)
    for row, sentence in enumerate(SENTENCES):
        numbers = [1 + words.index(word) for word in sentence.split()]
        tokens[row, : len(numbers)] = numbers
    model = kind(len(words) + 1, 2, dropout=0.0)
    tokens, labels = tg.Tensor(tokens), tg.Tensor(list(SENTENCES.values()))
    learn(model, 40, 0.01, tokens, labels)
    assert model.eval()(tokens).argmax(1).tolist() == labels.tolist()


@pytest.mark.parametrize("kind", [models.TextClassifier, models.TransformerClassifier])
def test_the_vector_of_the_padding_does_not_count(kind):
    model = kind(9, 2).eval()
    model(tg.Tensor([[3, 4, 0, 0]])).sum().backward()
    assert (model.embedding.weight.grad.numpy()[0] == 0).all()
    assert (model.embedding.weight.grad.numpy()[3] != 0).any()


def test_padding_is_invisible_to_the_transformer():
    model = models.TransformerClassifier(9, 2).eval()
    short, long = model(tg.Tensor([[3, 4]])), model(tg.Tensor([[3, 4, 0, 0, 0]]))
    np.testing.assert_allclose(short.numpy(), long.numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("attention", [True, False])
def test_the_translator_writes_what_it_was_taught(attention):
    source = tg.Tensor([[3, 4, 5, 0], [5, 3, 4, 6], [4, 4, 3, 0]])
    target = tg.Tensor([[1, 5, 4, 3, 2], [1, 6, 4, 3, 5], [1, 3, 4, 4, 2]])  # backwards
    model = models.Seq2Seq(7, 7, 12, 16, attention)
    losses = learn(model, 80, 0.02, source, target[:, :-1], target[:, 1:])
    assert losses[-1] < 0.1 < losses[0]
    written = model.translate(source, start=1, length=4)
    assert written.tokens.tolist() == target[:, 1:].tolist()
    assert not written.tokens.requires_grad
    if attention:
        looks = written.attention.numpy()
        assert looks.shape == (3, 4, 4)
        np.testing.assert_allclose(looks.sum(2), 1, rtol=1e-5)
        assert (looks[[0, 2], :, 3] == 0).all()  # padding
    else:
        assert written.attention is None


def test_teaching_and_writing_are_the_same_computation():
    """The right tokens given at once lead to the logits that writing them one by one meets."""
    model = models.Seq2Seq(7, 7)
    source = tg.Tensor([[3, 4, 5, 0]])
    written = model.translate(source, 1, 5).tokens
    given = tg.cat([tg.Tensor([[1]]), written[:, :-1]], 1)
    assert model(source, given).argmax(1).tolist() == written.tolist()


@pytest.mark.parametrize(
    "name", ["sequence_classifier", "text_classifier", "seq2seq", "transformer_classifier", "vision_transformer", "gcn"]
)
def test_each_is_drawn_as_boxes_without_its_weights(name):
    entry = models.get_entry(name)
    model = entry.make()
    drawing = tg.draw(model.eval(), entry.symbols(), collapse=nn.MultiheadAttention)
    assert type(model).__name__ in drawing.dot
    assert drawing.dot.count("\n") < 200
    assert all(leaf._array is None for leaf in model.parameters())


@pytest.mark.parametrize(
    ("call", "kind", "says"),
    [
        (lambda: models.SequenceClassifier(8, 10, cell="mgu"), ArgumentError, "['rnn', 'gru', 'lstm']"),
        (lambda: models.TextClassifier(5, 2)(tg.Tensor([[5]])), PositionError, "number < num_embeddings = 5"),
        (lambda: models.Seq2Seq(5, 5)(tg.Tensor([1, 2]), tg.Tensor([1, 2])), ShapeError, "tokens.unsqueeze(0)"),
        (lambda: models.Seq2Seq(5, 5).translate(tg.Tensor([[1]]), 1, 0), ArgumentError, "length=0"),
    ],
)
def test_errors_teach(call, kind, says):
    with pytest.raises(kind, match=re.escape(says)):
        call()
