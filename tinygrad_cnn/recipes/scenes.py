"""Digits hidden in photographs: where is it, and which pixels belong to it?"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ..data import TensorDataset, digits
from ..data.photos import Split
from ..models import localiser, unet
from ..models.localiser import ClassAndBox
from ..nn import functional as F
from ..tensor import Tensor
from ..train import Epoch
from .base import Painter, Recipe, Result, predict
from .digits import accuracy, most_frequent
from .photographs import small_patches

SIZE = 48
DIGIT_SIZES = (20, 24, 28, 32)
"""Pixels around a digit, of which three quarters in each direction are drawn on."""


def scenes(split: Split, copies: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grey photographs, each with one digit written on it, ``copies`` of each digit.

    A digit has a random place, one of four sizes, and a random brightness; the photographs are darkened, but many of
    their pixels are as bright as the digit's. Held-out digits stand on held-out photographs.

    Returns images (N, 1, SIZE, SIZE), the ink that was put on (N, SIZE, SIZE) from 0 to 1, and labels (N,).
    """
    random = np.random.default_rng(split == "test")
    sets = [digits(split, size) for size in DIGIT_SIZES]
    labels = np.tile(sets[0].tensors[1].numpy(), copies)
    drawn = [dataset.tensors[0].numpy()[:, 0] for dataset in sets]
    backgrounds = 0.8 * small_patches(split, len(labels), SIZE).mean(1)
    ink = np.zeros_like(backgrounds)
    for number in range(len(labels)):
        digit = drawn[int(random.integers(len(drawn)))][number % len(drawn[0])]
        top, left = random.integers(SIZE - len(digit) + 1, size=2)
        ink[number, top : top + len(digit), left : left + len(digit)] = digit
    brightness = random.uniform(0.6, 1.0, (len(labels), 1, 1)).astype(np.float32)
    images = backgrounds * (1 - ink) + brightness * ink
    return images[:, None].astype(np.float32), ink, labels


def boxes_around(ink: np.ndarray) -> np.ndarray:
    """Centre's x and y, width and height of the box around what is drawn (N, H, W), as shares of W and H: (N, 4).

    >>> boxes_around(np.array([[[0.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]]))
    array([[0.5 , 0.25, 0.5 , 0.5 ]], dtype=float32)
    """
    parts = {}
    for axis, name in ((1, "x"), (2, "y")):
        seen: np.ndarray = np.any(ink > 0.2, axis=axis)  # (N, W) or (N, H)
        length = seen.shape[1]
        first, behind = seen.argmax(1), length - seen[:, ::-1].argmax(1)
        parts[name] = (first + behind) / 2 / length, (behind - first) / length
    (x, width), (y, height) = parts["x"], parts["y"]
    return np.stack([x, y, width, height], 1).astype(np.float32)


def overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (N, 4) and others, pair by pair: (N,).

    >>> overlaps(np.array([[0.5, 0.5, 1.0, 1.0]]), np.array([[0.5, 0.25, 1.0, 0.5]]))
    array([0.5])
    """
    common: np.ndarray = np.ones(len(boxes))
    for axis in (0, 1):
        first = np.maximum(*[each[:, axis] - each[:, axis + 2] / 2 for each in (boxes, others)])
        behind = np.minimum(*[each[:, axis] + each[:, axis + 2] / 2 for each in (boxes, others)])
        common = common * np.maximum(0, behind - first)
    shares: np.ndarray = common / (boxes[:, 2:].prod(1) + others[:, 2:].prod(1) - common)
    return shares


def mean_overlap(found: np.ndarray, truth: np.ndarray, classes: int) -> float:
    """The mean over the classes of intersection over union of the pixels of a class, in %.

    >>> mean_overlap(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
    50.0
    """
    shares = [((found == c) & (truth == c)).sum() / max(1, ((found == c) | (truth == c)).sum()) for c in range(classes)]
    return 100 * float(np.mean(shares))


class Localise(Recipe):
    """Two heads and two losses: which digit it is, and the box around it."""

    name = "localise"
    text = "a network finds a digit in a photograph and reads it"
    data = "1,437 digits, each written on 4 patches of 5 photographs; tested on the 360 others on 2 other photographs"
    epochs = 9
    batch_size = 32
    lr = 0.002
    lr_decay = 0.88
    loss_name = "cross entropy (nats) + 10 × mean absolute error of the box"
    copies: ClassVar[int] = 4

    def __init__(self) -> None:
        self.train_set, self.test_set = (
            TensorDataset(Tensor(images), Tensor(labels), Tensor(boxes_around(ink)))
            for images, ink, labels in (scenes("train", self.copies), scenes("test", 1))
        )
        self.model = localiser(10, 1, SIZE, widths=(12, 24, 48))

    def loss(self, outputs: ClassAndBox, *targets: Tensor) -> Tensor:
        labels, boxes = targets
        return F.cross_entropy(outputs.logits, labels) + 10 * (outputs.box - boxes).abs().mean()

    def found(self) -> tuple[Tensor, np.ndarray]:
        """Logits and boxes for the held-out scenes."""
        images = self.test_set.tensors[0]
        return predict(lambda x: self.model(x).logits, images), predict(lambda x: self.model(x).box, images).numpy()

    def measure(self) -> Result:
        logits, boxes = self.found()
        _, labels, truth = self.test_set.tensors
        usual = self.train_set.tensors[2].numpy().mean(0)
        middle = np.tile(np.array([0.5, 0.5, *usual[2:]], np.float32), (len(boxes), 1))
        bright = boxes_around(self.test_set.tensors[0].numpy()[:, 0] > 0.7)
        right, _ = accuracy(logits, labels)
        return Result(
            "mean overlap (IoU) with the true box", 100 * float(overlaps(boxes, truth.numpy()).mean()), "%",
            f"{len(boxes)} held-out digits on photographs held out",
            {
                "a box of the mean size in the middle": 100 * float(overlaps(middle, truth.numpy()).mean()),
                "the box around all pixels above 0.7": 100 * float(overlaps(bright, truth.numpy()).mean()),
            },
            {
                "accuracy of the digit read (%)": right,
                "accuracy of the most frequent class (%)": most_frequent(self.train_set.tensors[1], labels),
            },
        )  # fmt: skip

    def pictures(self, epochs: list[Epoch]) -> dict[str, Painter]:
        from .. import pictures

        logits, boxes = self.found()
        images, labels, truth = (tensor.numpy() for tensor in self.test_set.tensors)
        shown, title = slice(0, 24), "Held-out digits, found and read"
        names = [
            f"{said}" if said == true else f"{said}, is {true}"
            for said, true in zip(logits.numpy().argmax(1)[shown], labels[shown], strict=True)
        ]
        return super().pictures(epochs) | {
            "boxes.png": lambda path: pictures.draw_boxes(
                images[shown], {"found": boxes[shown], "true": truth[shown]}, names, path, title
            )
        }


class Segment(Recipe):
    """A class for each pixel: paper or ink."""

    name = "segment"
    text = "a U-Net says which pixels of a photograph belong to a digit"
    data = "1,437 digits, each written on a patch of 5 photographs; tested on the 360 others on 2 other photographs"
    epochs = 6
    batch_size = 16
    lr = 0.004
    lr_decay = 0.85

    def __init__(self) -> None:
        self.train_set, self.test_set = (
            TensorDataset(Tensor(images), Tensor((ink > 0.3).astype(np.int64)))
            for images, ink, _ in (scenes("train", 1), scenes("test", 1))
        )
        self.model = unet(1, 2, width=8, depth=2, norm_layer=None)

    def measure(self) -> Result:
        images, truth = (tensor.numpy() for tensor in self.test_set.tensors)
        found = self.found(self.test_set.tensors[0])
        known, masks = (tensor.numpy() for tensor in self.train_set.tensors)
        best = max((mean_overlap(known[:, 0] > level, masks, 2), level) for level in np.arange(0.3, 1.0, 0.05))[1]
        return Result(
            "mean overlap (IoU) of the two classes", mean_overlap(found, truth, 2), "%",
            f"all pixels of {len(truth)} held-out digits on photographs held out",
            {
                "no pixel is ink": mean_overlap(np.zeros_like(truth), truth, 2),
                f"pixels above {best:.2f} are ink, the best threshold in training": mean_overlap(
                    images[:, 0] > best, truth, 2
                ),
            },
            {"pixels told rightly (%)": 100 * float((found == truth).mean())},
        )  # fmt: skip

    def found(self, images: Tensor) -> np.ndarray:
        """The class of each pixel, (N, H, W)."""
        classes: np.ndarray = predict(self.model, images).numpy().argmax(1)
        return classes

    def pictures(self, epochs: list[Epoch]) -> dict[str, Painter]:
        from .. import pictures

        images, truth = (tensor[:10] for tensor in self.test_set.tensors)
        rows = {
            "photograph": images.numpy(),
            "network": self.found(images)[:, None].astype(np.float32),
            "truth": truth.numpy()[:, None].astype(np.float32),
        }
        return super().pictures(epochs) | {
            "masks.png": lambda path: pictures.draw_image_rows(
                rows, path, "Which pixels belong to a digit? Held-out digits on held-out photographs"
            )
        }
