"""Networks: their variants, that gradients reach every parameter, and errors that teach."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import models, nn, optim
from tinygrad_cnn.errors import ArgumentError, ShapeError
from tinygrad_cnn.nn import functional as F
from tinygrad_cnn.nn.init import Normal
from tinygrad_cnn.summary import summary


def numbers(*shape):
    return tg.Tensor(np.random.default_rng(0).standard_normal(shape).astype("float32"))


def size(model):
    return sum(each.numel() for each in model.parameters())


SMALL = {
    "lenet1": (models.lenet1, (2, 1, 28, 28), (2, 10)),
    "lenet5_1998": (models.lenet5_1998, (2, 1, 32, 32), (2, 10)),
    "mlp": (models.mlp, (2, 1, 28, 28), (2, 10)),
    "residual_mlp": (lambda: models.residual_mlp(12, 3, 5, 4), (2, 12), (2, 3)),
    "keras_cnn": (models.keras_cnn, (2, 1, 28, 28), (2, 10)),
    "conv_pattern": (lambda: models.conv_pattern((1, 8, 8), 3, (4,)), (2, 1, 8, 8), (2, 3)),
    "resnet8": (models.resnet8, (2, 1, 12, 12), (2, 10)),
    "resnet20": (models.resnet20, (2, 3, 16, 16), (2, 10)),
    "preact_resnet14": (lambda: models.cifar_resnet(14, 4, pre_activation=True), (2, 3, 8, 8), (2, 4)),
    "resnet bottlenecks": (
        lambda: models.ResNet(nn.Bottleneck, (1, 1), 5, widths=(4, 8), activation_layer=nn.PReLU),
        (2, 3, 32, 32),
        (2, 5),
    ),
    "vgg": (lambda: models.VGG([[2], [3, 3]], True, 4), (2, 3, 28, 28), (2, 4)),
    "dense_autoencoder": (models.dense_autoencoder, (2, 784), (2, 784)),
    "conv_autoencoder": (lambda: models.conv_autoencoder(1, 3), (2, 1, 8, 8), (2, 3, 8, 8)),
    "srcnn": (models.srcnn, (2, 1, 9, 8), (2, 1, 9, 8)),
    "espcn": (lambda: models.espcn(3, 2), (2, 2, 5, 4), (2, 2, 15, 12)),
    "unet": (lambda: models.unet(1, 3, 4, 2), (2, 1, 8, 12), (2, 3, 8, 12)),
    "generator": (lambda: models.dcgan_generator(8, 28, 1, 4), (2, 8), (2, 1, 28, 28)),
    "discriminator": (lambda: models.dcgan_discriminator(28, 1, 4), (2, 1, 28, 28), (2,)),
}  # fmt: skip


@pytest.mark.parametrize(("make", "given", "expected"), SMALL.values(), ids=SMALL)
def test_shapes_and_gradients(make, given, expected):
    model = make()
    described = model(tg.symbol(given))
    assert described.shape == expected
    output = model(numbers(*given))
    assert output.spec == (expected, np.float32)
    assert np.isfinite(output.numpy()).all()
    (output * numbers(*expected)).sum().backward()
    for name, each in model.named_parameters():
        assert each.grad is not None, name
        assert np.isfinite(each.grad.numpy()).all(), name
        assert each.grad.numpy().any() or each.numel() < 8, name


# LeNet


def test_the_first_lenet_has_the_connections_of_the_paper():
    """98,442 of them, biases and the factors of pooling included."""
    products = summary(models.lenet1(), (1, 1, 28, 28)).macs
    biases = 4 * 24 * 24 + 12 * 8 * 8 + 10
    pooling = 5 * (4 * 12 * 12 + 12 * 4 * 4)
    assert products + biases + pooling == 98_442


def test_partial_connections():
    layer = models.TableConv2d([(0,), (1, 2)], 3)
    image = numbers(1, 3, 5, 5).numpy()
    before = layer(tg.Tensor(image)).numpy()
    for each, reached in ((0, [True, False]), (1, [False, True]), (2, [False, True])):
        other = image.copy()
        other[:, each] += 1
        assert (layer(tg.Tensor(other)).numpy() != before).any((0, 2, 3)).tolist() == reached
    weight = layer.maps[1].weight
    expected = F.conv2d(tg.Tensor(image[:, 1:]), weight, layer.maps[1].bias).numpy()
    np.testing.assert_array_equal(before[:, 1:], expected)


def test_the_codes_of_the_original_are_fixed_and_its_scores_are_distances():
    layer = models.RadialBasis(84, 10)
    np.testing.assert_array_equal(layer.codes.numpy(), models.RadialBasis(84, 10).codes.numpy())
    assert not list(layer.parameters())
    scores = layer(tg.Tensor(layer.codes.numpy())).numpy()
    assert (scores.argmax(1) == np.arange(10)).all()
    assert (np.diag(scores) == 0).all()
    assert scores[0, 1] == -4 * (layer.codes.numpy()[0] != layer.codes.numpy()[1]).sum()


# GoogLeNet


def test_googlenet_says_more_in_training():
    model = models.googlenet(num_classes=5)
    outputs = model(tg.symbol((2, 3, 64, 64)))
    assert isinstance(outputs, models.GoogLeNetOutputs)
    assert [each.shape for each in outputs] == [(2, 5)] * 3
    assert [each.node.scope.split("/")[1] for each in outputs] == ["fc", "aux2", "aux1"]
    assert {each.eps for each in model.modules() if isinstance(each, nn.BatchNorm2d)} == {0.001}
    assert model.eval()(tg.symbol((2, 3, 64, 64))).shape == (2, 5)
    assert size(models.googlenet(aux_logits=False)) == 6_624_904
    assert size(models.inception_v1(aux_logits=False)) == 6_998_552
    assert models.googlenet(5, aux_logits=False)(tg.symbol((2, 3, 64, 64))).shape == (2, 5)


def test_two_small_convolutions_for_a_large_one():
    kernels = {
        make: {each.kernel_size for name, each in make().named_modules() if isinstance(each, nn.Conv2d)}
        for make in (models.inception_v1, models.bn_inception)
    }
    assert kernels == {
        models.inception_v1: {(7, 7), (5, 5), (3, 3), (1, 1)}, models.bn_inception: {(7, 7), (3, 3), (1, 1)}
    }  # fmt: skip


# ResNet


def test_the_options_of_the_paper():
    sizes = {option: size(models.resnet34(shortcut=option)) for option in "ABC"}
    projections = 64 * 128 + 128 * 256 + 256 * 512 + 2 * (128 + 256 + 512)
    assert sizes["B"] - sizes["A"] == projections
    inner = sum((blocks * width * (width + 2)) for blocks, width in ((3, 64), (3, 128), (5, 256), (2, 512)))
    assert sizes["C"] - sizes["B"] == inner
    assert size(models.resnet20(shortcut="A")) == 269_722


def test_prelu_takes_the_place_of_every_relu():
    model = models.resnet18(activation_layer=nn.PReLU)
    assert not any(isinstance(each, nn.ReLU) for each in model.modules())
    assert size(model) == 11_689_512 + 17


def test_weights_start_as_in_the_paper():
    assert models.resnet50().layer1[0].conv2.weight.numpy().std() == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.03)
    first = models.vgg11().features[0].weight.numpy()
    assert first.std() == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.05)  # fan_out: 64 filters, not 3 channels
    assert models.vgg11().classifier[0].weight.node.op.scheme == Normal(0.0, 0.01)
    assert models.dcgan_generator().main[0].weight.node.op.scheme == Normal(0.0, 0.02)


@pytest.mark.parametrize("depth", [2, 18, 21])
def test_depths_that_three_stages_do_not_give(depth):
    with pytest.raises(ArgumentError, match=r"6 n \+ 2") as caught:
        models.cifar_resnet(depth)
    models.cifar_resnet(int(caught.value.fix.removeprefix("depth=")))


def test_a_small_resnet_learns():
    tg.seed(0)
    random = np.random.default_rng(0)
    labels = np.arange(40) % 4
    images = np.kron(random.random((4, 3, 3)), np.ones((4, 4)))[labels] + 0.1 * random.standard_normal((40, 12, 12))
    x, t = tg.Tensor(images[:, None].astype("float32")), tg.Tensor(labels)
    model = models.resnet8(num_classes=4)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(12):
        loss = F.cross_entropy(model(x), t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2


# The others


def test_a_perceptron_needs_two_sizes():
    for make in (models.mlp, models.dense_autoencoder):
        with pytest.raises(ArgumentError, match="two or more sizes"):
            make((784,))


def test_pixels_come_from_channels():
    model = models.espcn(2)
    nn.init.zeros_(model.conv3.weight)
    model.conv3.bias.assign(np.arange(4, dtype="float32"))
    expected = np.tile([[0.0, 1.0], [2.0, 3.0]], (3, 3))
    np.testing.assert_array_equal(model(numbers(1, 1, 3, 3)).numpy()[0, 0], expected)


def test_a_unet_sees_each_pixel_near_and_far():
    model = models.unet(1, 2, 4, 2, None)
    image = np.zeros((1, 1, 32, 32), "float32")
    before = model(tg.Tensor(image)).numpy()
    image[0, 0, 16, 16] = 5
    changed = np.argwhere(model(tg.Tensor(image)).numpy() != before)[:, 2:]
    assert (changed == [16, 16]).all(1).any()
    assert np.abs(changed - 16).max() > 8
    with pytest.raises(ShapeError, match="odd height or width"):
        model(tg.symbol((1, 1, 30, 32)))
    with pytest.raises(ArgumentError, match="depth=0"):
        models.unet(depth=0)


def test_a_localiser_gives_a_class_and_a_box():
    model = models.localiser(3, 1, 20, (4, 8))
    found = model(numbers(2, 1, 20, 20))
    assert isinstance(found, models.ClassAndBox)
    assert (found.logits.shape, found.box.shape) == ((2, 3), (2, 4))
    assert ((found.box.numpy() > 0) & (found.box.numpy() < 1)).all()
    (found.box.sum() + (found.logits * found.logits).sum()).backward()
    assert all(each.grad is not None for each in model.parameters())


@pytest.mark.parametrize("side", [8, 10, 14, 28, 32, 48, 64, 128])
def test_a_discriminator_takes_what_a_generator_makes(side):
    make, judge = models.dcgan_generator(8, side, 1, 2), models.dcgan_discriminator(side, 1, 2)
    if side <= 32:
        images = make(numbers(3, 8))
        assert images.shape == (3, 1, side, side)
        assert np.abs(images.numpy()).max() <= 1
        assert judge(images).shape == (3,)
    else:
        assert judge(make(tg.symbol((3, 8, 1, 1)))).shape == (3,)


def test_images_that_cannot_be_made_by_doubling():
    for side in (6, 31, 36, 0, -8):
        for make in (models.dcgan_generator, models.dcgan_discriminator):
            with pytest.raises(ArgumentError, match=f"image_size={side}\n  expected  4, 5, 6 or 7 times 2"):
                make(image_size=side)
    with pytest.raises(ShapeError, match=r"\(N, 8\)"):
        models.dcgan_generator(8, 28, 1, 4)(tg.symbol((2, 9)))
    with pytest.raises(ShapeError, match=r"\(N, 1, 28, 28\)\n  fix       resize them, or make it with image_size=32"):
        models.dcgan_discriminator(28, 1, 4)(tg.symbol((2, 1, 32, 32)))


def test_a_layer_for_what_makes_layers():
    for make in (models.resnet18, models.mlp):
        with pytest.raises(ArgumentError, match=r"activation_layer=nn\.LeakyReLU"):
            make(activation_layer=nn.LeakyReLU(0.2))
