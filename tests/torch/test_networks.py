"""Weights of PyTorch's networks give the same logits here, after nothing but ``load_state_dict``."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

import tinygrad_cnn as tg  # noqa: E402
from tinygrad_cnn import nn  # noqa: E402

from . import networks  # noqa: E402

pytestmark = pytest.mark.torch

NETWORKS = {
    "resnet18": (networks.ResNet18, (2, 3, 64, 64)),
    "vgg11_bn": (networks.VGG11BN, (2, 3, 64, 64)),
    "googlenet": (networks.GoogLeNet, (2, 3, 96, 96)),
}


def pair(name):
    """PyTorch's network and ours with the same random weights and statistics, and an input."""
    torch.manual_seed(0)
    make, shape = NETWORKS[name]
    theirs = make(num_classes=10)
    with torch.no_grad():
        for key, value in theirs.state_dict().items():
            if key.endswith("running_var") or (value.ndim == 1 and key.endswith("weight")):
                value.copy_(torch.rand_like(value) + 0.5)
            elif value.ndim > 1:
                value.copy_(torch.randn_like(value) * (2 / value[0].numel()) ** 0.5)
            elif value.is_floating_point():
                value.copy_(torch.randn_like(value) * 0.1)
    ours = tg.models.get_model(name, num_classes=10)
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    return ours, theirs, torch.randn(shape) * torch.tensor([1.0, 5.0]).reshape(2, 1, 1, 1)


def check(ours, theirs):
    assert np.ptp(theirs, axis=0).max() > 0.05 * np.abs(theirs).max()  # the image matters
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max())


@pytest.mark.parametrize("name", NETWORKS)
def test_the_logits_are_the_same(name):
    ours, theirs, images = pair(name)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    with torch.no_grad(), tg.no_grad():
        check(ours.eval()(tg.Tensor(images.numpy())).numpy(), theirs.eval()(images).numpy())


def test_in_training_the_heads_of_googlenet_and_its_running_averages_are_the_same():
    ours, theirs, images = pair("googlenet")
    for module in ours.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    with torch.no_grad(), tg.no_grad():
        for one, other in zip(ours(tg.Tensor(images.numpy())), theirs(images), strict=True):
            check(one.numpy(), other.numpy())
    state = theirs.state_dict()
    for key, value in ours.named_buffers():
        np.testing.assert_allclose(value.numpy(), state[key].numpy(), rtol=1e-3, atol=1e-3, err_msg=key)
