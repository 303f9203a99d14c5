"""A network whose kernels nobody taught."""

from __future__ import annotations

import numpy as np

import tinygrad_cnn as tg
from tinygrad_cnn.models import Neocognitron, fit_neocognitron


def test_learned():
    train, test = tg.data.digits("train", 16), tg.data.digits("test", 16)
    images, labels = test.tensors
    right = {}
    for unsupervised in (True, False):
        tg.seed(0)
        model = fit_neocognitron(Neocognitron(12, 24), *train.tensors, unsupervised=unsupervised)
        right[unsupervised] = (model(images).numpy().argmax(1) == labels.numpy()).mean()
    assert min(right.values()) > 0.92  # a tenth is chance


def test_its_kernels_see_no_labels():
    train = tg.data.digits("train", 16)
    images, labels = train.tensors
    few, other = images[:200], tg.Tensor(np.roll(labels.numpy()[:200], 1))
    kernels = []
    for each in (labels[:200], other):
        tg.seed(0)
        kernels.append(fit_neocognitron(Neocognitron(6, 8), few, each).s1.weight.numpy())
    np.testing.assert_array_equal(*kernels)
