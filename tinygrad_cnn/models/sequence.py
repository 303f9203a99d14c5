"""Networks that read sequences, and networks that write them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import nn
from ..errors import ArgumentError, ShapeError
from ..mode import no_grad, scope
from ..nn import functional as F
from ..ops.elementwise import cast, div, maximum, mul, ne, tanh
from ..ops.linalg import matmul
from ..ops.reduce import sum
from ..ops.shape import cat, unsqueeze
from ..tensor import Tensor

CELLS: dict[str, Any] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


def _layers(cell: str, *sizes: int, **settings: Any) -> nn.Module:
    """The recurrent layers of that name."""
    if cell not in CELLS:
        raise ArgumentError("recurrent network", "no such cell", got=repr(cell), expected=f"one of {list(CELLS)}")
    layers: nn.Module = CELLS[cell](*sizes, batch_first=True, **settings)
    return layers


class SequenceClassifier(nn.Module):
    """Reads a sequence of measurements and says what it is: recurrent layers, then a dense one on the last memory.

    (Elman, 1990; Hochreiter and Schmidhuber, 1997; Cho et al., 2014)

    Args:
        input_size: numbers in each step.
        num_classes: classes.
        hidden_size: numbers in the memory.
        num_layers: recurrent layers.
        cell: ``"rnn"``, ``"gru"`` or ``"lstm"``.
        dropout: between the layers.

    Raises :class:`ArgumentError` for another cell.

    >>> SequenceClassifier(8, 10)(Tensor(np.zeros((2, 5, 8), "float32"))).shape
    (2, 10)
    """

    def __init__(
        self,
        input_size: int,
        num_classes: int,
        hidden_size: int = 64,
        num_layers: int = 1,
        cell: str = "gru",
        dropout: float = 0.0,
    ) -> None:
        self.rnn = _layers(cell, input_size, hidden_size, num_layers, dropout=dropout)
        self.fc = nn.Linear(hidden_size, num_classes)

    def forward(self, input: Tensor) -> Tensor:
        """``(N, steps, input_size)`` to logits ``(N, num_classes)``."""
        outputs, _ = self.rnn(input)
        logits: Tensor = self.fc(outputs[:, -1])
        return logits


class TextClassifier(nn.Module):
    """Reads words: a vector for each, recurrent layers in both directions, the mean over the words, a dense layer.

    (Graves and Schmidhuber, 2005; Cho et al., 2014)

    Args:
        num_embeddings: words of the vocabulary; number 0 is the padding at the end of short texts.
        num_classes: classes.
        embedding_dim: numbers for each word.
        hidden_size: numbers in each memory.
        num_layers: recurrent layers.
        cell: ``"rnn"``, ``"gru"`` or ``"lstm"``.
        dropout: between the layers and before the last one.

    Raises :class:`ArgumentError` for another cell, :class:`PositionError` for a word outside the vocabulary.

    >>> TextClassifier(50, 2)(Tensor([[4, 7, 0], [3, 9, 8]])).shape
    (2, 2)
    """

    def __init__(
        self,
        num_embeddings: int,
        num_classes: int,
        embedding_dim: int = 32,
        hidden_size: int = 32,
        num_layers: int = 1,
        cell: str = "lstm",
        dropout: float = 0.0,
    ) -> None:
        self.embedding = nn.Embedding(num_embeddings, embedding_dim, padding_idx=0)
        self.rnn = _layers(cell, embedding_dim, hidden_size, num_layers, dropout=dropout, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(2 * hidden_size, num_classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Word numbers ``(N, words)`` to logits ``(N, num_classes)``."""
        outputs, _ = self.rnn(self.embedding(tokens))
        logits: Tensor = self.fc(self.dropout(mean_of_words(outputs, tokens)))
        return logits


def mean_of_words(features: Tensor, tokens: Tensor) -> Tensor:
    """The mean over the places that are no padding: ``(N, L, E)`` and ``(N, L)`` to ``(N, E)``.

    >>> mean_of_words(Tensor([[[1.0], [3.0], [9.0]]]), Tensor([[5, 2, 0]]))
    Tensor([[2.]])
    """
    with scope("mean"):
        word = unsqueeze(cast(ne(tokens, 0), features.dtype), -1)  # (N, L, 1)
        return div(sum(mul(features, word), 1), maximum(sum(word, 1), 1.0))


class Translation(NamedTuple):
    """What :meth:`Seq2Seq.translate` gives."""

    tokens: Tensor
    """``(N, length)``"""
    attention: Tensor | None
    """How much each written token looked at each read one, ``(N, length, source length)``; none without attention."""


class Seq2Seq(nn.Module):
    """Reads a sequence into a memory and writes another one from it, token by token. (Sutskever et al., 2014; Cho et
    al., 2014)

    With attention, each step of the writer also looks at all that was read, and takes over what fits. (Bahdanau et al.,
    2015; here in the form of Luong et al., 2015, section 3.1, with the score ``h W s``)

    Args:
        num_source: tokens of the language that is read; 0 is padding.
        num_target: tokens of the language that is written; 0 is padding.
        embedding_dim: numbers for each token.
        hidden_size: numbers in the memory.
        attention: whether the writer looks back.

    Raises :class:`ShapeError` for batches that do not fit, :class:`PositionError` for a token that does not exist.

    >>> Seq2Seq(12, 9)(Tensor([[3, 4, 5, 6]]), Tensor([[1, 3, 4]])).shape
    (1, 9, 3)
    """

    def __init__(
        self, num_source: int, num_target: int, embedding_dim: int = 32, hidden_size: int = 64, attention: bool = True
    ) -> None:
        self.read = nn.Embedding(num_source, embedding_dim, padding_idx=0)
        self.encoder = nn.GRU(embedding_dim, hidden_size, batch_first=True)
        self.write = nn.Embedding(num_target, embedding_dim, padding_idx=0)
        self.decoder = nn.GRU(embedding_dim, hidden_size, batch_first=True)
        self.score = nn.Linear(hidden_size, hidden_size, bias=False) if attention else None
        self.mix = nn.Linear(2 * hidden_size, hidden_size, bias=False) if attention else None
        self.fc = nn.Linear(hidden_size, num_target)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Logits for the token after each of ``target``: ``(N, S)`` and ``(N, T)`` to ``(N, num_target, T)``.

        The writer is given the right tokens so far ("teacher forcing"), so that all steps can be learned at once. The
        classes are on axis 1, as :func:`tinygrad_cnn.nn.functional.cross_entropy` takes them.
        """
        if source.ndim != 2 or target.ndim != 2 or len(source) != len(target):
            raise ShapeError(
                "Seq2Seq", "the two batches of sequences do not fit",
                got=f"source {source.spec!r}, target {target.spec!r}", expected="(N, S) and (N, T)",
                fix="a single sequence needs a batch axis, too: tokens.unsqueeze(0)",
            )  # fmt: skip
        memories, last = self._read(source)
        logits, _, _ = self._write(target, last, memories, source)
        return logits.transpose(1, 2)

    def _read(self, source: Tensor) -> tuple[Tensor, Tensor]:
        outputs, last = self.encoder(self.read(source))
        return outputs, last

    def _write(
        self, target: Tensor, state: Tensor, memories: Tensor, source: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Logits (N, T, num_target), the memory after the last token, and where each step looked (N, T, S)."""
        outputs, state = self.decoder(self.write(target), state)
        weights = None
        if self.score is not None and self.mix is not None:
            with scope("attention"):
                words = unsqueeze(ne(source, 0), 1)  # (N, 1, S): padding is not looked at
                weights = F.attention_weights(self.score(outputs), memories, words, scale=1.0)
                found = matmul(weights, memories)  # (N, T, H)
                outputs = tanh(self.mix(cat([found, outputs], -1)))
        return self.fc(outputs), state, weights

    def translate(self, source: Tensor, start: int, length: int) -> Translation:
        """Write ``length`` tokens, each time the likeliest, from ``start`` on ("greedy decoding").

        Args:
            source: ``(N, S)``.
            start: the token that the writer begins with; it is not part of the result.
            length: how many tokens. What follows a token that means "end" is for the caller to cut off.

        Raises :class:`ArgumentError` for no length.
        """
        if length < 1:
            raise ArgumentError("translate", "nothing is to be written", got=f"length={length}")
        with no_grad():
            memories, state = self._read(source)
            token = Tensor(np.full((len(source), 1), start), device=source.device)
            tokens, looks = [], []
            for _ in range(length):
                logits, state, weights = self._write(token, state, memories, source)
                token = logits.argmax(-1)
                tokens.append(token)
                if weights is not None:
                    looks.append(weights)
            return Translation(cat(tokens, 1), cat(looks, 1) if looks else None)


def sequence_classifier(input_size: int = 8, num_classes: int = 10, **settings: Any) -> SequenceClassifier:
    """A :class:`SequenceClassifier`, by default for digits of 8x8 pixels read row by row."""
    return SequenceClassifier(input_size, num_classes, **settings)


def text_classifier(num_embeddings: int = 1000, num_classes: int = 2, **settings: Any) -> TextClassifier:
    """A :class:`TextClassifier`, by default for two classes and a thousand words."""
    return TextClassifier(num_embeddings, num_classes, **settings)


def seq2seq(num_source: int = 100, num_target: int = 100, **settings: Any) -> Seq2Seq:
    """A :class:`Seq2Seq` with attention, by default for a hundred tokens in each language."""
    return Seq2Seq(num_source, num_target, **settings)
