"""Networks that read rows of pixels, words, and patches one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import nn
from ..data import DataLoader, TensorDataset, digits
from ..draw import Drawing, draw
from ..mode import no_grad
from ..models import (
    Seq2Seq,
    SequenceClassifier,
    VisionTransformer,
    seq2seq,
    sequence_classifier,
    vision_transformer,
)  # fmt: skip
from ..nn import functional as F
from ..optim import Adam
from ..tensor import Tensor, symbol
from ..train import Epoch, Score, fit
from .base import Painter, Recipe, Result, predict
from .digits import Digits, accuracy, count_parameters, most_frequent


class Rows(Digits):
    """A gated recurrent unit that sees a digit row by row, from the top. (Cho et al., 2014)"""

    name = "rows"
    text = "a recurrent network reads handwritten digits row by row"
    size = 8
    augment = None
    epochs = 20
    lr = 0.01
    model: SequenceClassifier

    def __init__(self) -> None:
        self.train_set, self.test_set = (
            TensorDataset(images[:, 0], labels)
            for images, labels in (digits(split, self.size).tensors for split in ("train", "test"))
        )
        self.model = sequence_classifier(self.size, 10)

    def measure(self) -> Result:
        labels = self.test_set.tensors[1]
        value, how = accuracy(self.logits(), labels)
        shown = [accuracy(logits, labels)[0] for logits in self.row_by_row(self.test_set.tensors[0])]
        return Result(
            "test accuracy", value, "%", how,
            {
                "always the most frequent class": most_frequent(self.train_set.tensors[1], labels),
                "one dense layer on all 64 pixels at once, trained as long": self._dense_layer(),
            },
            {"parameters": count_parameters(self.model)}
            | {f"accuracy (%) after {row} of 8 rows": share for row, share in enumerate(shown[:-1], 1)},
        )  # fmt: skip

    def _dense_layer(self) -> float:
        model = nn.Sequential(nn.Flatten(), nn.Linear(self.size**2, 10))
        loader = DataLoader(self.train_set, self.batch_size, shuffle=True, seed=0)
        fit(model, Adam(model.parameters(), self.lr), loader, epochs=self.epochs, progress=False)
        return accuracy(predict(model, self.test_set.tensors[0]), self.test_set.tensors[1])[0]

    def row_by_row(self, images: Tensor) -> list[Tensor]:
        """The logits that the network would give after each row, from the same dense layer."""
        with no_grad():
            outputs, _ = self.model.rnn(images)
            return [self.model.fc(outputs[:, row]) for row in range(images.shape[1])]

    def pictures(self, epochs: list[Epoch]) -> dict[str, Painter]:
        from .. import pictures

        images, labels = self.test_set.tensors
        first = [int(np.flatnonzero(labels.numpy() == digit)[0]) for digit in range(10)]
        images = images[first]
        shares = np.stack([F.softmax(logits, 1).numpy() for logits in self.row_by_row(images)], 1)  # (10, rows, 10)
        tables: dict[str, tuple[np.ndarray, list[str], list[str]]] = {}
        for digit, (image, table) in enumerate(zip(images.numpy(), shares, strict=True)):
            rows = [str(row) for row in range(1, len(table) + 1)]
            tables[f"the pixels of a {digit}"] = (image, rows, [""] * self.size)
            tables[f"what a {digit} is taken for"] = (table, rows, [str(each) for each in range(10)])
        return super().pictures(epochs) | {
            "reading.png": lambda path: pictures.draw_heat_maps(
                tables, path,
                "What ten held-out digits are taken for after each row (trained was the last answer alone)",
                ("rows read", "pixels | digits"), unit="ink | probability",
            )
        }  # fmt: skip


class Patches(Digits):
    """A small vision transformer. (Dosovitskiy et al., 2021)"""

    name = "vit"
    text = "a transformer reads handwritten digits as 16 patches"
    size = 16
    epochs = 30
    lr = 0.003
    lr_decay = 0.92
    model: VisionTransformer

    def __init__(self) -> None:
        super().__init__()
        self.model = vision_transformer(
            self.size, 4, d_model=48, nhead=4, num_layers=2, dim_feedforward=96, dropout=0.0
        )  # fmt: skip

    def drawing(self) -> Drawing:
        return draw(self.model, (1, 1, self.size, self.size), collapse=nn.MultiheadAttention)

    def pictures(self, epochs: list[Epoch]) -> dict[str, Painter]:
        from .. import pictures

        images = self.test_set.tensors[0][:10]
        looks = [weights.numpy().mean(1, keepdims=True) for weights in self.model.attention(images)]
        rows: dict[str, Any] = {"digits": images}
        for number, look in enumerate(looks, 1):
            large = look.repeat(4, 2).repeat(4, 3)
            rows[f"layer {number} looks at"] = large / large.max((2, 3), keepdims=True)
        return super().pictures(epochs) | {
            "attention.png": lambda path: pictures.draw_image_rows(
                rows, path, "Where the place of the class looks, mean of the heads (white: most)"
            )
        }


ONES = [
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
WORDS = ["", *ONES, *TENS, "hundred", "thousand"]
"""The words that are read, by number; the first is padding."""
START, END, FIRST_DIGIT = 1, 2, 3
"""What is written: padding, start, end, and the digits from 3 on."""


def in_words(number: int) -> list[str]:
    """A number from 1 to 9,999 in English words.

    >>> in_words(7342)
    ['seven', 'thousand', 'three', 'hundred', 'forty', 'two']
    """
    words: list[str] = []
    for unit, name in ((1000, "thousand"), (100, "hundred")):
        if number >= unit:
            words += [ONES[number // unit - 1], name]
            number %= unit
    if number >= 20:
        words.append(TENS[number // 10 - 2])
        number %= 10
    return words + ([ONES[number - 1]] if number else [])


def number_pairs(numbers: np.ndarray) -> tuple[Tensor, Tensor]:
    """Numbers as words (N, 6) and as start, digits and end (N, 6), both padded with 0 at the end.

    >>> [each.tolist() for each in number_pairs(np.array([20]))]
    [[[20, 0, 0, 0, 0, 0]], [[1, 5, 3, 2, 0, 0]]]
    """
    source, target = (np.zeros((len(numbers), 6), np.int64) for _ in range(2))
    place = {word: number for number, word in enumerate(WORDS)}
    for row, number in enumerate(numbers.tolist()):
        words = [place[word] for word in in_words(number)]
        signs = [START, *[FIRST_DIGIT + int(digit) for digit in str(number)], END]
        source[row, : len(words)], target[row, : len(signs)] = words, signs
    return Tensor(source), Tensor(target)


class Numbers(Recipe):
    """Encoder, decoder and attention. (Sutskever et al., 2014; Luong et al., 2015)

    The pairs are made by rule, so the right answer is known for each; no text that somebody wrote is used.
    """

    name = "numbers"
    text = "a network writes numbers in digits that it reads in words"
    data = "1,500 of the numbers from 1 to 9,999, tested on 500 others"
    epochs = 30
    batch_size = 50
    lr = 0.01
    lr_decay = 0.9
    loss_name = "mean cross entropy of a digit (nats)"
    model: Seq2Seq

    def __init__(self) -> None:
        order = np.random.default_rng(0).permutation(np.arange(1, 10_000))
        self.numbers = order[:1500], order[1500:2000]
        self.train_set, self.test_set = (TensorDataset(*number_pairs(each)) for each in self.numbers)
        self.model = self._network(attention=True)

    def _network(self, attention: bool) -> Seq2Seq:
        return seq2seq(len(WORDS), FIRST_DIGIT + 10, embedding_dim=24, hidden_size=48, attention=attention)

    def step(self, *batch: Tensor) -> tuple[Tensor, Any]:
        self.optimizers["adam"].zero_grad()
        loss = pair_loss(self.model, *batch)
        loss.backward()
        self.optimizers["adam"].step()
        return loss, None

    def test(self) -> Score:
        self.model.eval()
        with no_grad():
            return Score(float(pair_loss(self.model, *self._on_device(self.test_set)).item()), None)

    def _on_device(self, pairs: TensorDataset) -> tuple[Tensor, ...]:
        device = next(self.model.parameters()).device
        return tuple(each.to(device) for each in pairs.tensors)

    def measure(self) -> Result:
        value, how = self._right(self.model)
        plain = self._network(attention=False).to(next(self.model.parameters()).device)
        optimizer = Adam(plain.parameters(), self.lr)
        for epoch in range(self.epochs):
            optimizer.lr = self.lr * self.lr_decay**epoch
            loader = DataLoader(self.train_set, self.batch_size, shuffle=True, seed=epoch)
            for batch in loader:
                optimizer.zero_grad()
                pair_loss(plain, *[each.to(next(plain.parameters()).device) for each in batch]).backward()
                optimizer.step()
        return Result(
            "numbers written without a mistake", value, "%", how,
            {
                "one dense layer from all words to all digits, trained as long": self._dense_layer(),
                "the same network without attention, trained as long": self._right(plain)[0],
            },
            {"parameters": count_parameters(self.model)},
        )  # fmt: skip

    def _right(self, model: Seq2Seq) -> tuple[float, str]:
        source, target = self._on_device(self.test_set)
        written = model.translate(source, START, 5).tokens.numpy()
        known = target.numpy()[:, 1:]
        right = int(np.logical_or(written == known, known == 0).all(1).sum())  # what follows the end does not count
        return 100 * right / len(known), f"{right} of {len(known)} numbers not seen in training"

    def _dense_layer(self) -> float:
        """Each sign that is written from the words and their places, without any layer between."""
        (words, signs), (asked, known) = (
            (F.one_hot(source, len(WORDS)).flatten(1).float(), target[:, 1:])
            for source, target in (self.train_set.tensors, self.test_set.tensors)
        )
        model = nn.Linear(words.shape[1], (FIRST_DIGIT + 10) * signs.shape[1])

        def logits(words: Tensor) -> Tensor:
            return _as_signs(model(words))

        fit(
            model, Adam(model.parameters(), self.lr),
            DataLoader(TensorDataset(words, signs), self.batch_size, shuffle=True, seed=0), epochs=self.epochs,
            loss=lambda found, signs: F.cross_entropy(_as_signs(found), signs), progress=False,
        )  # fmt: skip
        written = predict(logits, asked).argmax(1).numpy()
        return 100 * float(np.logical_or(written == known.numpy(), known.numpy() == 0).all(1).mean())

    def drawing(self) -> Drawing:
        shapes = [symbol((1, 6), "int64", "words"), symbol((1, 5), "int64", "digits so far")]
        return draw(self.model, shapes)

    def pictures(self, epochs: list[Epoch]) -> dict[str, Painter]:
        from .. import pictures

        shown = self.numbers[1][:8]
        source = number_pairs(shown)[0].to(next(self.model.parameters()).device)
        translation = self.model.translate(source, START, 5)
        assert translation.attention is not None
        tokens, looks = translation.tokens.numpy(), translation.attention.numpy()
        tables = {}
        for number, signs, look in zip(shown.tolist(), tokens, looks, strict=True):
            words = in_words(number)
            written = [str(sign - FIRST_DIGIT) for sign in signs[: len(str(number))]]
            tables[f"{number} read, {''.join(written)} written"] = (look[: len(written), : len(words)], written, words)
        return super().pictures(epochs) | {
            "attention.png": lambda path: pictures.draw_heat_maps(
                tables, path, "Eight held-out numbers: which word is looked at for each digit that is written",
                ("digit written", "words read"),
                unit="share of the attention",
            )
        }  # fmt: skip


def _as_signs(numbers: Tensor) -> Tensor:
    """``(N, signs * places)`` to ``(N, signs, places)``."""
    return numbers.reshape(len(numbers), FIRST_DIGIT + 10, -1)


def pair_loss(model: nn.Module, source: Tensor, target: Tensor) -> Tensor:
    """The mean cross entropy of the signs after the start; padding does not count."""
    logits = model(source, target[:, :-1])
    losses = F.cross_entropy(logits, target[:, 1:], reduction="none")
    real = (target[:, 1:] != 0).to(losses.dtype)
    return (losses * real).sum() / real.sum()
