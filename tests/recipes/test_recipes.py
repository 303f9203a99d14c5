"""Every recipe, on so little data that it learns nothing: what it leaves behind, and how it goes on."""

from __future__ import annotations

import functools
import json
import math
import struct
from pathlib import Path

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import cli
from tinygrad_cnn.data import TensorDataset
from tinygrad_cnn.recipes import RECIPES, gan, photographs, restore, scenes, sequence, session, shifted
from tinygrad_cnn.recipes import digits as digits_recipes
from tinygrad_cnn.recipes.photographs import small_patches
from tinygrad_cnn.runs import Result

read_once = functools.cache(photographs.photograph)
ALWAYS = {"checkpoint.safetensors", "curves.png", "metrics.json", "network.dot", "network.svg", "weights.safetensors"}
COUNTS = {"train": 48, "test": 24}


@pytest.fixture
def little(monkeypatch, tmp_path):
    """Two or three batches to learn from, and few samples to measure on."""
    monkeypatch.chdir(tmp_path)

    def few_digits(split: str, size: int) -> TensorDataset:
        return TensorDataset(*[tensor[: COUNTS[split]] for tensor in tg.data.digits(split, size).tensors])

    for module in (digits_recipes, gan, scenes, sequence, shifted):
        monkeypatch.setattr(module, "digits", few_digits)
    monkeypatch.setattr(
        restore, "small_patches", lambda split, count, size: small_patches(split, min(count, COUNTS[split]), size)
    )
    monkeypatch.setattr(photographs, "photograph", lambda name: read_once(name).to(tg.Tensor(0.0).device))
    monkeypatch.setattr(scenes.Localise, "copies", 1)
    pairs = sequence.number_pairs
    monkeypatch.setattr(sequence, "number_pairs", lambda numbers: pairs(numbers[: COUNTS["train"]]))
    monkeypatch.setattr(sequence.Numbers, "epochs", 1)


@pytest.fixture
def train(little, device_name):
    def call(name: str, *options: str) -> int:
        return cli.main(["train", name, "--device", device_name, "--batch-size", "16", *options])

    return call


def state(folder: str) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in tg.load(f"{folder}/checkpoint.safetensors").items()}


@pytest.mark.parametrize("name", RECIPES)
def test_files_and_figures(name, train, capsys):
    assert train(name, "--epochs", "1") == 0
    folder = Path("runs", name)
    files = {path.name for path in folder.iterdir()}
    assert files > ALWAYS, "no picture besides the curves"
    for picture in folder.glob("*.png"):
        width, height = struct.unpack(">II", picture.read_bytes()[16:24])
        assert min(width, height) > 150, picture
    report = json.loads((folder / "metrics.json").read_text())
    assert report["status"] == "finished"
    assert report["epochs_done"] == 1
    result = report["result"]
    assert result["figure"]
    assert result["how"]
    numbers = [result["value"], *result["baselines"].values(), *result["details"].values()]
    assert all(math.isfinite(number) for number in numbers)
    assert result["baselines"]
    said = capsys.readouterr().out
    assert f"{result['figure']}: {result['value']:.2f}" in said or f"{result['value']:.3f}" in said
    assert all(baseline in said for baseline in result["baselines"])


@pytest.mark.parametrize("name", RECIPES)
def test_resuming_gives_the_same_as_never_stopping(name, train, monkeypatch):
    monkeypatch.setattr(session, "_draw_pictures", lambda run, recipe: [])
    monkeypatch.setattr(RECIPES[name], "measure", lambda recipe: Result("nothing", 0.0, "", "", {}))
    assert train(name, "--epochs", "2", "--seed", "3", "--out", "whole") == 0
    assert train(name, "--epochs", "1", "--seed", "3", "--out", "parts") == 0
    assert state("parts") != state("whole")
    assert train(name, "--epochs", "2", "--resume", "--out", "parts") == 0
    assert state("parts") == state("whole")


def test_measuring_again_gives_the_same(train, monkeypatch):
    monkeypatch.setattr(gan.Judge, "sure_of", lambda judge, images: (float(images.numpy().sum()), [0] * 10))
    assert train("gan", "--epochs", "1") == 0
    first = json.loads(Path("runs/gan/metrics.json").read_text())["result"]
    assert train("gan", "--resume") == 0
    assert json.loads(Path("runs/gan/metrics.json").read_text())["result"] == first


def test_names_and_texts():
    assert len({recipe.text for recipe in RECIPES.values()}) == len(RECIPES)
    for name, recipe in RECIPES.items():
        assert recipe.name == name
        assert len(recipe.text) < 80
        assert recipe.data
        assert recipe.__doc__


def test_a_result_as_text():
    result = Result("PSNR", 28.314, "dB", "two patches", {"noisy": 20.0}, {"parameters": 12345, "share": 0.5})
    assert str(result).splitlines() == [
        "PSNR: 28.31 dB (two patches)", "   20.00 dB  noisy", "  parameters: 12,345", "  share: 0.5",
    ]  # fmt: skip
    assert str(Result("overlap", 0.5, "", "all", {})) == "overlap: 0.500 (all)"


def test_an_untrained_mending_network_changes_nothing():
    for kind in (restore.Denoise, restore.Colourise):
        network = kind.network(kind.__new__(kind))
        channels = 1 if kind is restore.Colourise else 3
        images = tg.Tensor(np.random.default_rng(0).random((2, channels, 8, 8), np.float32))
        mended = restore.Mending(network)(images)
        np.testing.assert_array_equal(mended.numpy(), np.broadcast_to(images.numpy(), (2, 3, 8, 8)))


def test_photographs_are_spoilt_as_said():
    good = small_patches("train", 4, 32)
    random = np.random.default_rng(0)

    def spoil(kind: type[restore.Restoration]) -> np.ndarray:
        spoilt = kind.spoil(kind.__new__(kind), good, random)
        assert spoilt.dtype == np.float32
        return spoilt

    assert 0.05 < (spoil(restore.Denoise) - good).std() < 0.11
    assert spoil(restore.Colourise).shape == (4, 1, 32, 32)
    np.testing.assert_allclose(
        spoil(restore.Colourise)[0, 0, 0, 0], good[0, :, 0, 0] @ [0.299, 0.587, 0.114], rtol=1e-5
    )
    marked = spoil(restore.Watermark)
    changed = (marked != good).any(1).mean()
    assert 0.15 < changed < 0.3
    assert (marked >= good).all()
    enlarged = spoil(restore.Superres)
    assert enlarged.shape == good.shape
    assert restore.psnr(enlarged, good) > restore.psnr(np.full_like(good, 0.5), good) + 5


def test_psnr_of_known_errors():
    truth = np.full((2, 3, 4, 4), 0.5)
    assert restore.psnr(truth + 0.01, truth) == pytest.approx(40)
    assert restore.psnr(truth * 0 + 7, truth) == pytest.approx(-10 * math.log10(0.25))  # 7 is shown as 1


def test_shifts_move_and_lose_nothing():
    images = np.zeros((50, 1, 12, 12), np.float32)
    images[:, :, 4:8, 4:8] = np.random.default_rng(1).random((50, 1, 4, 4))
    pairs = shifted.ShiftBothWays(4)(tg.Tensor(images), np.random.default_rng(0)).numpy()
    np.testing.assert_array_equal(pairs[:, :1], images)
    np.testing.assert_allclose(pairs[:, 1].sum((1, 2)), images[:, 0].sum((1, 2)), rtol=1e-5)
    corners = [tuple(np.argwhere(image).min(0)) for image in pairs[:, 1]]
    assert min(corners) <= (1, 8)
    assert {corner[0] for corner in corners} == {corner[1] for corner in corners} == set(range(9))


def test_each_of_the_four_readers_learns_from_its_own_images_alone():
    model = shifted.FourReaders()
    pairs = np.random.default_rng(0).random((2, 2, 32, 32)).astype(np.float32)
    before = [logits.numpy() for logits in model(tg.Tensor(pairs))]
    pairs[:, 1] = 0  # the shifted ones
    after = [logits.numpy() for logits in model(tg.Tensor(pairs))]
    assert [np.array_equal(*each) for each in zip(before, after, strict=True)] == [True, True, False, False]


def test_boxes_enclose_the_ink(little):
    images, ink, labels = scenes.scenes("test", 2)
    assert images.shape == (48, 1, 48, 48)
    np.testing.assert_array_equal(labels[:24], labels[24:])
    for drawn, (x, y, width, height) in zip(ink, scenes.boxes_around(ink) * 48, strict=True):
        rows, columns = np.nonzero(drawn > 0.2)
        assert (x - width / 2, x + width / 2) == pytest.approx((columns.min(), columns.max() + 1))
        assert (y - height / 2, y + height / 2) == pytest.approx((rows.min(), rows.max() + 1))


def test_overlap_of_known_boxes_and_masks():
    box = np.array([[0.5, 0.5, 0.5, 0.5]])
    for other, share in (([0.5, 0.5, 0.5, 0.5], 1), ([0.75, 0.5, 0.5, 0.5], 1 / 3), ([0.1, 0.1, 0.1, 0.1], 0)):
        assert scenes.overlaps(box, np.array([other])) == pytest.approx(share)
    truth = np.array([0, 0, 0, 1])
    assert scenes.mean_overlap(truth, truth, 2) == 100
    assert scenes.mean_overlap(1 - truth, truth, 2) == 0
    assert scenes.mean_overlap(np.zeros(4), truth, 2) == pytest.approx(100 * (3 / 4 + 0) / 2)


def test_the_players_of_the_gan_change_only_themselves(little):
    tg.seed(0)
    recipe = gan.GAN()
    recipe.optimizers = recipe.make_optimizers(0.01)
    images = recipe.train_set.tensors[0][:8]

    def weights() -> dict[str, bytes]:
        return {
            player: b"".join(each.numpy().tobytes() for each in getattr(recipe.model, player).parameters())
            for player in ("generator", "discriminator")
        }

    for player in ("generator", "discriminator"):
        before = weights()
        recipe._move(player, (recipe.model.generator(gan.noise(8)), 1.0), (images, 0.0))
        after = weights()
        assert [name for name in after if after[name] != before[name]] == [player]


def test_the_gan_keeps_images_of_its_first_epochs(little):
    recipe = gan.GAN()
    for number in range(1, 6):
        recipe.end_epoch(number)
    kept = (recipe.model.stages.numpy() != -1).any((1, 2, 3, 4))
    assert kept.tolist() == [True, True, True] + [False] * 5
