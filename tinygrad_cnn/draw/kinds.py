"""Kinds of operation: what a box's colour says.

The fills are light tints of the Okabe-Ito colours, which people with any kind of colour vision tell apart; the
outlines are the colours themselves, darkened. Dark text on a light fill reads well on a light and on a dark page.
"""

from __future__ import annotations

from typing import NamedTuple

from .view import Change


class Paint(NamedTuple):
    """The colours of a box."""

    fill: str
    line: str


PALETTE: dict[str, Paint] = {
    "convolution": Paint("#d5eafa", "#2c7fb8"),
    "linear": Paint("#fdebc8", "#b97a00"),
    "activation": Paint("#cfeee2", "#00805d"),
    "pooling": Paint("#fbf7c5", "#8f8600"),
    "normalisation": Paint("#f6e1ee", "#ab4f86"),
    "shape": Paint("#ececec", "#767676"),
    "loss": Paint("#fbdccb", "#c24e00"),
    "random": Paint("#e4e2f5", "#6a62b5"),
    "arithmetic": Paint("#f8f8f8", "#767676"),
    "data": Paint("#ffffff", "#767676"),
    "gradient": Paint("#fbe3e4", "#b5394a"),
    "error": Paint("#ffd2cf", "#d40000"),
}
"""One entry for each kind."""

CHANGES: dict[Change, Paint] = {
    "added": Paint("#d5eafa", "#1a80c4"),
    "removed": Paint("#fbdccb", "#ce5608"),
    "changed": Paint("#ece0f6", "#9d60c9"),
    "kept": Paint("#f8f8f8", "#767676"),
}
"""What became of a box, where two graphs are compared. Signs and outlines say the same without colour."""
SIGNS: dict[Change, str] = {"": "", "added": "+ ", "removed": "\N{MINUS SIGN} ", "changed": "~ ", "kept": ""}
"""What stands before the words of a box then."""

# The first word found in a name decides. Longer words stand before the words that they contain.
_WORDS: tuple[tuple[str, str], ...] = (
    ("cross_entropy", "loss"), ("crossentropy", "loss"), ("loss", "loss"), ("mse", "loss"), ("nll", "loss"),
    ("conv", "convolution"), ("pool", "pooling"), ("norm", "normalisation"),
    ("logsumexp", "arithmetic"),
    ("softmax", "activation"), ("softplus", "activation"), ("softsign", "activation"), ("relu", "activation"),
    ("sigmoid", "activation"), ("tanh", "activation"), ("gelu", "activation"), ("silu", "activation"),
    ("swish", "activation"), ("mish", "activation"), ("elu", "activation"),
    ("dropout", "random"), ("uniform", "random"), ("normal", "random"),
    ("matmul", "linear"), ("linear", "linear"),
    ("reshape", "shape"), ("permute", "shape"), ("broadcast", "shape"), ("flatten", "shape"), ("flip", "shape"),
    ("pad", "shape"), ("cat", "shape"), ("index", "shape"), ("along_dim", "shape"), ("fold", "shape"),
    ("cast", "shape"), ("detach", "shape"), ("to_device", "shape"), ("sample", "shape"),
)  # fmt: skip

_STRENGTH = ("convolution", "linear", "pooling", "normalisation", "loss", "activation", "random", "arithmetic", "shape")


def kind_of(name: str) -> str:
    """The kind of an operation or of a class of blocks, from its name.

    >>> kind_of("max_pool2d"), kind_of("BatchNorm2d"), kind_of("add")
    ('pooling', 'normalisation', 'arithmetic')
    """
    lowered = name.lower()
    return next((kind for word, kind in _WORDS if word in lowered), "arithmetic")


def kind_of_block(class_name: str, operations: list[str]) -> str:
    """The kind of a block: what its class is called, or else the weightiest of its operations.

    >>> kind_of_block("Stem", ["pad", "conv2d", "add"])
    'convolution'
    """
    named = kind_of(class_name)
    if named != "arithmetic" or not operations:
        return named
    return min(map(kind_of, operations), key=_STRENGTH.index)
