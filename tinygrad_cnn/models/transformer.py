"""Transformers: attention is all that places know of each other."""

from __future__ import annotations

from typing import Any

from .. import nn
from ..errors import ArgumentError, ShapeError
from ..nn.init import Constant
from ..ops.elementwise import eq
from ..ops.shape import broadcast_to, cat, flatten, transpose
from ..tensor import Tensor
from .sequence import mean_of_words


def _encoder(features: int, heads: int, layers: int, width: int, dropout: float) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(features, heads, width, dropout, "gelu", batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, layers, nn.LayerNorm(features))


class TransformerClassifier(nn.Module):
    """Words to a class: vectors with waves for their places, encoder layers, the mean over the words, a dense layer.

    (Vaswani et al., 2017; normalisation first after Xiong et al., 2020)

    Args:
        num_embeddings: words of the vocabulary; number 0 is padding.
        num_classes: classes.
        d_model: features of each word.
        nhead: heads of attention.
        num_layers: encoder layers.
        dim_feedforward: width of their dense layers.
        dropout: in training.

    Raises :class:`PositionError` for a word outside the vocabulary.

    >>> TransformerClassifier(50, 2)(Tensor([[4, 7, 0], [3, 9, 8]])).shape
    (2, 2)
    """

    def __init__(
        self,
        num_embeddings: int,
        num_classes: int,
        d_model: int = 32,
        nhead: int = 4,
        num_layers: int = 2,
        dim_feedforward: int = 64,
        dropout: float = 0.1,
    ) -> None:
        self.embedding = nn.Embedding(num_embeddings, d_model, padding_idx=0)
        self.position = nn.PositionalEncoding(d_model, dropout, batch_first=True)
        self.encoder = _encoder(d_model, nhead, num_layers, dim_feedforward, dropout)
        self.fc = nn.Linear(d_model, num_classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Word numbers ``(N, words)`` to logits ``(N, num_classes)``."""
        features = self.encoder(self.position(self.embedding(tokens)), src_key_padding_mask=eq(tokens, 0))
        logits: Tensor = self.fc(mean_of_words(features, tokens))
        return logits


class VisionTransformer(nn.Module):
    """An image as a sequence of patches, read by a transformer; a further place collects the class.

    (Dosovitskiy et al., 2021)

    Args:
        image_size: height and width in pixels.
        patch_size: of a patch; divides the image's.
        num_classes: classes.
        in_channels: channels of the image.
        d_model: features of each patch.
        nhead: heads of attention.
        num_layers: encoder layers.
        dim_feedforward: width of their dense layers.
        dropout: in training.

    Raises :class:`ArgumentError` for patches that do not fill the image, :class:`ShapeError` for other images.

    >>> import numpy as np
    >>> VisionTransformer(8, 2)(Tensor(np.zeros((3, 1, 8, 8), "float32"))).shape
    (3, 10)
    """

    def __init__(
        self,
        image_size: int = 32,
        patch_size: int = 4,
        num_classes: int = 10,
        in_channels: int = 1,
        d_model: int = 64,
        nhead: int = 4,
        num_layers: int = 4,
        dim_feedforward: int = 128,
        dropout: float = 0.1,
    ) -> None:
        if image_size % patch_size:
            raise ArgumentError(
                "VisionTransformer", f"patches of {patch_size} pixels do not fill an image of {image_size}",
                got=f"image_size={image_size}, patch_size={patch_size}", expected="image_size % patch_size = 0",
            )  # fmt: skip
        self.image_size, self.in_channels = image_size, in_channels
        self.side = image_size // patch_size
        self.conv_proj = nn.Conv2d(in_channels, d_model, patch_size, patch_size)
        self.class_token = nn.Parameter.initialised((1, 1, d_model), Constant(0.0))
        self.position = nn.LearnedPositionalEncoding(d_model, self.side**2 + 1, dropout, batch_first=True)
        self.encoder = _encoder(d_model, nhead, num_layers, dim_feedforward, dropout)
        self.head = nn.Linear(d_model, num_classes)
        nn.init.normal_(self.head.weight, std=0.02)

    def forward(self, images: Tensor) -> Tensor:
        """``(N, C, H, W)`` to logits ``(N, num_classes)``."""
        logits: Tensor = self.head(self.encoder(self._patches(images))[:, 0])
        return logits

    def _patches(self, images: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, 1 + patches, d_model)``: the place of the class, then the patches row by row."""
        expected = (self.in_channels, self.image_size, self.image_size)
        if images.ndim != 4 or images.shape[1:] != expected:
            raise ShapeError(
                "VisionTransformer", "these are no images of this network", got=repr(images.spec),
                expected=f"(N, {', '.join(map(str, expected))})",
                fix="the learned places belong to one size: make the network with that image_size",
            )  # fmt: skip
        patches = transpose(flatten(self.conv_proj(images), 2), 1, 2)  # (N, d, h, w) -> (N, h w, d)
        token = broadcast_to(self.class_token, (len(images), 1, patches.shape[2]))
        sequence: Tensor = self.position(cat([token, patches], 1))
        return sequence

    def attention(self, images: Tensor) -> list[Tensor]:
        """For each layer, how much the place of the class looks at each patch: ``(N, heads, side, side)``."""
        found = self.encoder.attention(self._patches(images))
        shape = (len(images), -1, self.side, self.side)
        return [weights[:, :, 0, 1:].reshape(shape) for weights in found]


def transformer_classifier(num_embeddings: int = 1000, num_classes: int = 2, **settings: Any) -> TransformerClassifier:
    """A :class:`TransformerClassifier`, by default for two classes and a thousand words."""
    return TransformerClassifier(num_embeddings, num_classes, **settings)


def vision_transformer(image_size: int = 32, patch_size: int = 4, **settings: Any) -> VisionTransformer:
    """A :class:`VisionTransformer`, by default for digits of 32x32 pixels in 64 patches."""
    return VisionTransformer(image_size, patch_size, **settings)
