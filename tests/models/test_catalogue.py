"""Every network of the catalogue: published figures, names, pictures and tables, without the memory of weights."""

from __future__ import annotations

import time
import tracemalloc
import zlib

import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import models
from tinygrad_cnn.errors import ArgumentError
from tinygrad_cnn.models import CATALOGUE

PARAMETERS = {
    "lenet1": 2_578, "lenet5": 61_706, "lenet5_1998": 60_000, "mlp": 238_510, "keras_cnn": 93_322,
    "alexnet": 61_100_840, "alexnet_2012": 60_965_224,
    "vgg11": 132_863_336, "vgg11_bn": 132_868_840, "vgg13": 133_047_848, "vgg13_bn": 133_053_736,
    "vgg16": 138_357_544, "vgg16_bn": 138_365_992, "vgg19": 143_667_240, "vgg19_bn": 143_678_248,
    "googlenet": 13_004_888, "inception_v1": 13_378_280,
    "resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032, "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnet20": 269_722, "resnet32": 464_154, "resnet44": 658_586, "resnet56": 853_018,
    "srcnn": 8_129, "dcgan_generator": 3_576_704, "dcgan_discriminator": 2_765_568,
}  # fmt: skip
"""As others give them."""

GIGAMACS = {
    "alexnet": 0.71, "vgg11": 7.61, "vgg13": 11.31, "vgg16": 15.47, "vgg19": 19.63, "googlenet": 1.50,
    "resnet18": 1.81, "resnet34": 3.66, "resnet50": 4.09, "resnet101": 7.80, "resnet152": 11.51,
}  # fmt: skip
"""As torchvision gives them, in 10^9 multiply-adds for one image of 224 by 224."""

NAMES_IN_TORCHVISION = {
    "alexnet": (16, 3622251255), "vgg11": (22, 1256024256), "vgg11_bn": (62, 4027454019), "vgg13": (26, 618988860),
    "vgg13_bn": (76, 3126360406), "vgg16": (32, 627474769), "vgg16_bn": (97, 3169581159), "vgg19": (38, 2626214127),
    "vgg19_bn": (118, 3908174562), "googlenet": (364, 2852377860), "resnet18": (122, 3501249303),
    "resnet34": (218, 2960900726), "resnet50": (320, 3021298538), "resnet101": (626, 3407425115),
    "resnet152": (932, 3904138026),
}  # fmt: skip
"""How many names and shapes torchvision's ``state_dict`` has, and the CRC-32 of the sorted list of them."""

each_entry = pytest.mark.parametrize("entry", CATALOGUE.values(), ids=lambda entry: entry.name)


def size(model):
    return sum(each.numel() for each in model.parameters())


def test_the_published_figures():
    published = {name: entry.published for name, entry in CATALOGUE.items() if entry.published is not None}
    assert {name: published.get(name) for name in PARAMETERS} == PARAMETERS


@each_entry
def test_each_is_built_counted_and_drawn_without_its_weights(entry):
    model = entry.make()
    count = size(model)
    assert entry.published in (None, count)
    symbols = entry.symbols()
    table = tg.summary(model.eval(), symbols)
    assert table.parameters == count
    assert table.macs > 0
    assert f"{count:,} parameters" in str(table)
    assert len(str(table).splitlines()[1]) <= 120  # it fits a terminal
    drawing = tg.draw(model, symbols)
    assert type(model).__name__ in drawing.dot
    assert all(each._array is None for each in model.parameters())


@pytest.mark.parametrize("name", GIGAMACS)
def test_multiply_adds(name):
    (row,) = models.overview([name])
    assert row.macs / 1e9 == pytest.approx(GIGAMACS[name], abs=0.005)
    assert row.parameters == PARAMETERS[name]


@pytest.mark.parametrize("name", NAMES_IN_TORCHVISION)
def test_names_and_shapes_are_those_of_torchvision(name):
    state = {path: leaf.shape for path, leaf in CATALOGUE[name].make()._named_leaves()}
    lines = "\n".join(f"{path} {shape}" for path, shape in sorted(state.items()))
    assert (len(state), zlib.crc32(lines.encode())) == NAMES_IN_TORCHVISION[name]


@pytest.mark.parametrize("name", ["resnet152", "vgg19"])
def test_the_largest_cost_next_to_nothing(name):
    start = time.process_time()
    table = tg.summary(CATALOGUE[name].make(), (1, 3, 224, 224))
    assert time.process_time() - start < 2
    assert table.bytes > 200e6
    tracemalloc.start()
    model = CATALOGUE[name].make()
    tg.summary(model, (1, 3, 224, 224))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12e6


def test_by_name():
    assert models.list_models() == list(CATALOGUE)
    assert all(entry.name == name for name, entry in CATALOGUE.items())
    assert all("\n" not in entry.description and len(entry.description) < 60 for entry in CATALOGUE.values())
    model = models.get_model("resnet18", num_classes=7, shortcut="C")
    assert model.fc.out_features == 7
    with pytest.raises(ArgumentError, match="there is no network of this name\n  got       'resnet19'") as caught:
        models.get_model("resnet19")
    assert "'resnet1" in str(caught.value)
    with pytest.raises(ArgumentError, match="no network"):
        list(models.overview(["?"]))


def test_the_overview_is_that_of_the_published_input():
    (row,) = models.overview(["lenet5"])
    assert (row.name, row.inputs[0].shape, row.parameters) == ("lenet5", (1, 1, 32, 32), 61_706)
    assert row.macs == 28 * 28 * 6 * 25 + 10 * 10 * 16 * 150 + 400 * 120 + 120 * 84 + 84 * 10
