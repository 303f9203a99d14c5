from __future__ import annotations

import json
import math
import os
import re
import signal
import struct
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import cli
from tinygrad_cnn.data import TensorDataset, digits
from tinygrad_cnn.io import load_metadata
from tinygrad_cnn.models import CATALOGUE
from tinygrad_cnn.recipes import RECIPES, session
from tinygrad_cnn.recipes import digits as recipe
from tinygrad_cnn.runs import Run, Settings
from tinygrad_cnn.train import Epoch, Score

COMMAND = [sys.executable, "-m", "tinygrad_cnn"]
FILES = {
    "checkpoint.safetensors", "confusion.png", "curves.png", "kernels.png", "metrics.json", "network.dot",
    "network.svg", "weights.safetensors",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    package = Path(tg.__file__).parents[1]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")]))


@pytest.fixture
def few_digits(monkeypatch):
    """Trainings on 96 digits, tested on 40, without pictures that take a second."""

    def some(split: str, size: int) -> TensorDataset:
        count = {"train": 96, "test": 40}[split]
        return TensorDataset(*[tensor[:count] for tensor in digits(split, size).tensors])

    monkeypatch.setattr(recipe, "digits", some)
    monkeypatch.setattr(session, "_draw_pictures", lambda run, recipe: [])


@pytest.fixture
def train(few_digits, device_name):
    """Runs ``train lenet`` in this process and gives the exit code."""

    def call(*options: str) -> int:
        return exit_code("train", "lenet", "--device", device_name, *options)

    return call


def exit_code(*arguments: str) -> int:
    try:
        return cli.main(arguments)
    except SystemExit as error:
        return int(error.code or 0)


def metrics(folder: str = "runs/lenet") -> dict:
    return json.loads(Path(folder, "metrics.json").read_text())


def state(folder: str, file: str = "checkpoint.safetensors") -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in tg.load(Path(folder, file)).items()}


def test_a_whole_run():
    done = subprocess.run([*COMMAND, "train", "lenet", "--epochs", "2"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    folder = Path("runs/lenet")
    assert {path.name for path in folder.iterdir()} == FILES
    assert "Traceback" not in done.stderr

    report = metrics()
    assert report["status"] == "finished"
    assert report["config"].items() >= {
        "model": "lenet", "epochs": 2, "batch_size": 64, "lr": 0.005, "seed": 0, "device": "cpu",
    }.items()  # fmt: skip
    assert set(report["versions"]) == {"python", "numpy", "tinygrad_cnn"}
    assert [epoch["epoch"] for epoch in report["epochs"]] == [1, 2]
    for epoch in report["epochs"]:
        assert set(epoch) == {"epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds"}
        assert 0 < epoch["train_accuracy"] < 1
    assert report["test_accuracy"] == report["epochs"][1]["test_accuracy"] > 0.6
    assert report["result"]["value"] == pytest.approx(100 * report["test_accuracy"])
    assert report["result"]["baselines"]["always the most frequent class"] < 20
    assert report["seconds"] == pytest.approx(sum(epoch["seconds"] for epoch in report["epochs"]), abs=0.01)

    right = round(360 * report["test_accuracy"])
    assert f"test accuracy: {100 * right / 360:.2f} % ({right} of 360 held-out digits)" in done.stdout
    assert f"in {folder}: " in done.stdout
    assert len(re.findall(r"^epoch +\d+ .*loss .*accuracy .*held-out", done.stdout, re.MULTILINE)) == 2

    model = tg.models.lenet5()
    model.load_state_dict(tg.load(folder / "weights.safetensors"))
    images, labels = digits("test").tensors
    assert (model(images).numpy().argmax(1) == labels.numpy()).sum() == right
    assert load_metadata(folder / "weights.safetensors") == {"model": "lenet", "epochs": "2"}

    for name in ("curves.png", "kernels.png", "confusion.png"):
        width, height = png_size(folder / name)
        assert width > 500, name
        assert height > 150, name
        assert (folder / name).stat().st_size > 5000, name
    svg = ElementTree.parse(folder / "network.svg").getroot()
    assert svg.tag.endswith("svg")
    text = "".join(svg.itertext())
    assert "conv1" in text
    assert "fc3" in text
    assert (folder / "network.dot").read_text().startswith("digraph")


def png_size(path: Path) -> tuple[int, int]:
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def test_ctrl_c_saves_and_resuming_goes_on_as_if_nothing_had_happened(train, few_digits):
    process = subprocess.Popen(
        [*COMMAND, "train", "lenet", "--epochs", "500"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch   1"):
            break
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in error
    report = metrics()
    done = report["epochs_done"]
    assert report["status"] == "interrupted"
    assert 1 <= done < 500
    assert len(report["epochs"]) == done
    assert f"weights after epoch {done} of 500" in error
    assert "--resume" in error
    checkpoint, weights = state("runs/lenet"), state("runs/lenet", "weights.safetensors")
    assert {f"model.{name}": data for name, data in weights.items()}.items() <= checkpoint.items()

    assert train("--resume", "--epochs", str(done + 1)) == 0
    assert metrics()["status"] == "finished"
    assert metrics()["epochs_done"] == done + 1
    assert metrics()["epochs"][:done] == report["epochs"]


def test_ctrl_c_within_an_epoch_goes_back_to_the_last_whole_one(train, monkeypatch, capsys):
    assert train("--epochs", "2", "--out", "whole") == 0
    assert train("--epochs", "1", "--out", "broken") == 0
    after_one = state("broken")

    from tinygrad_cnn.optim import Adam

    original, steps = Adam.step, []

    def step(optimizer: Adam) -> None:
        original(optimizer)
        steps.append(1)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Adam, "step", step)
    assert train("--resume", "--epochs", "2", "--out", "broken") == 130
    assert len(steps) == 1  # of the two that the epoch has
    assert state("broken") == after_one
    assert metrics("broken")["status"] == "interrupted"
    assert "broken holds the weights after epoch 1 of 2" in capsys.readouterr().err

    monkeypatch.setattr(Adam, "step", original)
    assert train("--resume", "--out", "broken") == 0
    assert state("broken") == state("whole")


def test_ctrl_c_before_the_first_epoch_can_be_resumed(train, monkeypatch):
    def interrupted(*arguments: object, **settings: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(session, "repeat", interrupted)
        assert train("--epochs", "1") == 130
    assert metrics()["epochs_done"] == 0
    assert train("--resume") == 0
    assert train("--epochs", "1", "--out", "whole") == 0
    assert state("runs/lenet") == state("whole")


def test_resuming_gives_the_same_as_never_stopping(train):
    assert train("--epochs", "4", "--seed", "5", "--batch-size", "40", "--out", "whole") == 0
    assert train("--epochs", "2", "--seed", "5", "--batch-size", "40", "--out", "parts") == 0
    assert state("parts") != state("whole")
    assert train("--epochs", "4", "--resume", "--out", "parts") == 0
    assert state("parts") == state("whole")
    assert state("parts", "weights.safetensors") == state("whole", "weights.safetensors")
    untimed = [[{**epoch, "seconds": 0} for epoch in metrics(folder)["epochs"]] for folder in ("parts", "whole")]
    assert untimed[0] == untimed[1]


def test_options_decide_the_numbers(train):
    runs = {"a": (), "same": (), "seed": ("--seed", "1"), "lr": ("--lr", "0.004"), "batch": ("--batch-size", "32")}
    for name, options in runs.items():
        assert train("--epochs", "1", "--out", name, *options) == 0
    assert state("a") == state("same")
    assert len({state(name)["model.fc3.weight"] for name in runs}) == 4


def test_a_run_is_not_overwritten(train, capsys):
    assert train("--epochs", "1") == 0
    before = {path.name: path.read_bytes() for path in Path("runs/lenet").iterdir()}
    assert train("--epochs", "1") == 2
    message = capsys.readouterr().err
    assert "not overwritten" in message
    assert "--resume" in message
    assert "--out" in message
    assert {path.name: path.read_bytes() for path in Path("runs/lenet").iterdir()} == before

    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("years of work")
    assert train("--epochs", "1", "--out", "mine") == 2
    assert "not empty" in capsys.readouterr().err
    assert [path.name for path in Path("mine").iterdir()] == ["thesis.txt"]
    Path("empty").mkdir()
    assert train("--epochs", "1", "--out", "empty") == 0


def test_resuming_with_other_settings_names_them(train, capsys):
    assert train("--epochs", "1", "--lr", "0.003") == 0
    before = state("runs/lenet")
    for option, value in (("--lr", "0.005"), ("--batch-size", "7"), ("--seed", "3")):
        assert train("--resume", "--epochs", "2", option, value) == 2
        message = capsys.readouterr().err
        assert f"{option} cannot change within a run" in message
        assert value in message
    assert train("--resume", "--epochs", "1", "--lr", "0.003") == 0
    assert "all 1 epochs are done" in capsys.readouterr().out
    assert state("runs/lenet") == before
    assert train("--resume", "--epochs", "3") == 0
    assert train("--resume", "--epochs", "2") == 2
    assert "has 3 epochs already" in capsys.readouterr().err


def test_nothing_to_resume(train, capsys):
    assert train("--resume", "--out", "none") == 2
    assert "no run to resume in none" in capsys.readouterr().err
    assert not Path("none").exists()
    Path("bad").mkdir()
    Path("bad/checkpoint.safetensors").write_bytes(b"rubbish")
    assert train("--resume", "--out", "bad") == 2
    assert "damaged" in capsys.readouterr().err
    tg.save("bad/checkpoint.safetensors", {"x": np.zeros(2)}, {"run": "{}"})
    assert train("--resume", "--out", "bad") == 2
    assert "not written by a training" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["lenett"], "no training 'lenett'; did you mean 'lenet'? known: lenet, "),
        (["xyz"], "no training 'xyz'; known: lenet, "),
        (["lenet", "--epochs", "0"], "--epochs: got '0', expected a whole number, at least 1"),
        (["lenet", "--epochs", "two"], "--epochs: got 'two'"),
        (["lenet", "--batch-size", "0"], "--batch-size: got '0'"),
        (["lenet", "--batch-size", "1.5"], "--batch-size: got '1.5'"),
        (["lenet", "--lr", "0"], "--lr: got '0', expected a number above 0"),
        (["lenet", "--lr", "-1"], "--lr: got '-1'"),
        (["lenet", "--lr", "nan"], "--lr: got 'nan'"),
        (["lenet", "--lr", "inf"], "--lr: got 'inf'"),
        (["lenet", "--seed", "-1"], "--seed: got '-1'"),
        (["lenet", "--device", "toaster"], "no such device"),
        (["lenet", "--fast"], "unrecognized arguments: --fast"),
        (["lenet", "--out", "file"], "file is a file, not a folder"),
        (["lenet", "--out", "file/run"], "cannot be made"),
        ([], "NAME"),
    ],
)
def test_bad_options(options, message, few_digits, capsys):
    Path("file").write_text("")
    assert exit_code("train", *options) == 2
    seen = capsys.readouterr()
    assert message in seen.err
    assert seen.out == ""
    assert [path.name for path in Path().iterdir()] == ["file"]


def test_no_gpu(few_digits, capsys, monkeypatch):
    from tinygrad_cnn import backend

    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.delitem(backend._DEVICES, "gpu", raising=False)
    assert exit_code("train", "lenet", "--device", "gpu") == 2
    message = capsys.readouterr().err
    assert "CuPy" in message
    assert "pip install" in message
    assert not Path("runs").exists()


def test_missing_packages_are_named_before_a_folder_is_made(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert exit_code("train", "lenet") == 2
    assert 'pip install "tinygrad_cnn[data]"' in capsys.readouterr().err
    assert not Path("runs").exists()


def test_a_run_without_matplotlib_says_which_pictures_are_missing(monkeypatch, tmp_path):
    settings = Settings("lenet", 64, 0.005, 0.88, 0, "", "")
    run = Run(tmp_path, settings, 1, "cpu", [Epoch(1, Score(1.0, 0.5), Score(1.0, 0.5), 1.0)])
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    missing = session._draw_pictures(run, RECIPES["lenet"]())
    assert [line.split(":")[0] for line in missing] == ["curves.png", "confusion.png", "kernels.png"]
    assert all('pip install "tinygrad_cnn[train]"' in line for line in missing)
    assert (tmp_path / "network.svg").exists()


def test_a_loss_that_runs_away_is_told_and_not_kept(train, capsys):
    with np.errstate(all="ignore"):
        assert train("--epochs", "3", "--lr", "1e30") == 2
    assert "smaller learning rate" in capsys.readouterr().err
    report = metrics()
    assert report["status"] == "failed"
    assert all(math.isfinite(epoch["train_loss"]) for epoch in report["epochs"])
    assert all(np.isfinite(tensor.numpy()).all() for tensor in tg.load("runs/lenet/weights.safetensors").values())


def test_errors_come_without_traceback():
    done = subprocess.run(
        [*COMMAND, "train", "lenet", "--resume"], capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("tinygrad-cnn: there is no run to resume in runs/lenet\n")
    assert "Traceback" not in done.stderr
    assert "  at " not in done.stderr


def test_draw(capsys):
    assert exit_code("draw", "lenet") == 0
    assert capsys.readouterr().out == "lenet.svg\n"
    assert ElementTree.parse("lenet.svg").getroot().tag.endswith("svg")
    for options in ((), ("--level", "op"), ("--level", "op", "--backward")):
        assert exit_code("draw", "lenet", *options, "--out", f"{len(options)}.dot") == 0
    block, op, backward = (Path(f"{count}.dot").read_text() for count in (0, 2, 3))
    assert block.startswith("digraph")
    assert len(block) < len(op) < len(backward)
    assert "32" in block
    assert exit_code("draw", "lenet", "--out", "lenet.bmp") == 2
    assert ".bmp" in capsys.readouterr().err
    assert exit_code("draw", "lenet", "--out", "none/lenet.dot") == 2
    assert "does not exist" in capsys.readouterr().err
    assert exit_code("draw", "lenet", "--level", "atom") == 2


def test_draw_options_reach_the_picture(capsys):
    def text(*options: str) -> str:
        assert exit_code("draw", "resnet20", "--format", "txt", *options) == 0
        return capsys.readouterr().out

    plain = text()
    assert plain == str(tg.draw(tg.models.resnet20().eval(), (1, 3, 32, 32))) + "\n"
    by_depth, by_class, by_name = text("--depth", "1"), text("--collapse", "BasicBlock"), text("--collapse", "layer2.0")
    assert "Conv2d conv1" in by_depth
    assert "BasicBlock" not in by_depth
    assert len(re.findall("n[0-9]+ BasicBlock", by_class)) == 9
    assert len(re.findall("n[0-9]+ BasicBlock", by_name)) == 1
    both = text("--collapse", "BasicBlock", "--collapse", "Sequential")
    assert len(both.splitlines()) < len(by_class.splitlines())
    assert "×" in text("--collapse", "BasicBlock", "--fold").partition("BasicBlock")[2].partition("\n")[0]
    assert "in all" in text("--overlay", "macs").splitlines()[-1]
    assert text("--name", "Twenty layers").startswith("Twenty layers: ")
    assert "gradient of conv" in text("--level", "op", "--backward")
    assert "gradient of conv" not in text("--level", "op", "--backward", "--no-rules")


def test_draw_against_another_network(capsys):
    assert exit_code("draw", "vgg13", "--against", "vgg11", "--format", "txt") == 0
    text = capsys.readouterr().out
    assert "4 added, 0 removed" in text  # two more convolutions, each with its ReLU
    assert exit_code("draw", "vgg13", "--against", "vgg31") == 2
    assert "no network 'vgg31'" in capsys.readouterr().err


def test_draw_with_numbers(capsys):
    runs = []
    for _ in range(2):
        tg.seed(0)
        assert exit_code("draw", "lenet", "--values", "norms", "--format", "txt") == 0
        runs.append(capsys.readouterr().out)
    assert runs[0] == runs[1]
    assert "not computed" not in runs[0]
    assert runs[0].count("norm") > 10
    assert exit_code("draw", "text_classifier", "--values", "numbers", "--format", "txt") == 0  # whole numbers go in
    assert exit_code("draw", "lenet", "--values", "all") == 2


def test_draw_options_reach_the_dot(capsys):
    def dot(*options: str) -> str:
        assert exit_code("draw", "lenet", "--format", "dot", *options) == 0
        assert capsys.readouterr().out == "lenet.dot\n"
        return Path("lenet.dot").read_text()

    plain = dot()
    assert dot("--details").count("4.59 KiB") == 2 * plain.count("4.59 KiB") > 0
    shapes = [text.count('label=" 1×') for text in (plain, dot("--no-edge-shapes"), dot("--level", "op"))]
    assert shapes[0] > 10
    assert shapes[1:] == [0, 0]
    assert dot("--level", "op", "--edge-shapes").count('label=" 1×') > 10


def test_draw_of_an_input_that_does_not_fit(capsys):
    wrong = ("draw", "lenet", "--input", "1x3x32x32", "--format", "txt")
    assert exit_code(*wrong) == 2
    seen = capsys.readouterr()
    assert "the input has 3 channels, the weight takes 1" in seen.err
    assert "--errors draw draws the network up to there" in seen.err
    assert seen.out == ""
    assert exit_code(*wrong, "--errors", "draw") == 0
    assert "error" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--collapse", "BasicBlok"), "did you mean BasicBlock"),
        (("--collapse", "layer9"), "did you mean layer"),
        (("--level", "scalar"), "too large to write out all its numbers"),
        (("--format", "dot", "--out", "x.png"), "leave out --format, or write --out x.dot"),
        (("--format", "txt", "--open"), "--open shows pictures\n  got       --format txt"),
        (("--out", "x.dot", "--open"), "--open shows pictures\n  got       --out x.dot"),
        (("--depth", "-1"), "got '-1', expected a whole number, at least 0"),
        (("--overlay", "beauty"), "invalid choice: 'beauty'"),
        (("--format", "bmp"), "invalid choice: 'bmp'"),
    ],
)
def test_draw_says_what_is_wrong_and_writes_nothing(options, message, capsys):
    assert exit_code("draw", "resnet18", *options) == 2
    assert message in capsys.readouterr().err
    assert not list(Path().iterdir())


def test_draw_open(capsys, monkeypatch):
    shown: list[str] = []
    monkeypatch.setattr(cli.webbrowser, "open", lambda address: shown.append(address) or True)
    assert exit_code("draw", "lenet", "--format", "html", "--out", "page", "--open") == 0
    assert capsys.readouterr().out == "page.html\n"
    assert shown == [Path("page.html").resolve().as_uri()]
    assert exit_code("draw", "lenet", "--format", "html") == 0
    assert len(shown) == 1
    monkeypatch.setattr(cli.webbrowser, "open", lambda address: False)
    assert exit_code("draw", "lenet", "--out", "page.html", "--open") == 0
    assert "open page.html yourself" in capsys.readouterr().err


def test_draw_without_a_layout_engine(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    monkeypatch.setitem(sys.modules, "graphviz", None)
    assert exit_code("draw", "lenet") == 0
    seen = capsys.readouterr()
    assert "Conv2d conv1" in seen.out
    assert 'pip install "tinygrad_cnn[draw]"' in seen.err
    for insisting in (("--format", "png"), ("--out", "lenet.svg")):
        assert exit_code("draw", "lenet", *insisting) == 2
        assert 'pip install "tinygrad_cnn[draw]"' in capsys.readouterr().err
    assert not list(Path().iterdir())
    assert exit_code("draw", "lenet", "--format", "html") == 0


def test_draw_and_summary_at_another_size(capsys):
    assert exit_code("draw", "unet", "--input", "2x1x32x48", "--out", "unet.dot") == 0
    assert "2×1×32×48" in Path("unet.dot").read_text()
    assert exit_code("summary", "unet", "--input", "2x1x32x48") == 0
    assert "2×2×32×48" in capsys.readouterr().out
    for wrong in ("1x3x", "1x0x4x4", "axb", "-1x3"):
        assert exit_code("summary", "unet", f"--input={wrong}") == 2
        assert "such as 1x3x64x64" in capsys.readouterr().err
    assert exit_code("summary", "lenet5", "--input", "1x3x32x32") == 2  # it reads one channel
    assert "Traceback" not in capsys.readouterr().err


def test_a_misspelt_network_is_recognised(capsys):
    assert exit_code("draw", "vgg91") == 2
    assert "no network 'vgg91'; did you mean 'vgg19'? `tinygrad-cnn list` shows them" in capsys.readouterr().err


def test_list_has_a_line_for_each_network(capsys):
    assert exit_code("list") == 0
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.split() == ["network", "input", "parameters", "MACs"]
    assert [line.split()[0] for line in lines] == list(CATALOGUE)
    lenet = next(line for line in lines if line.startswith("lenet5 "))
    assert "61,706" in lenet
    assert "416,520" in lenet
    assert "1×1×32×32" in lenet
    assert CATALOGUE["lenet5"].description in lenet
    column = heading.index("parameters") + len("parameters")
    assert all(line[column - 1].isdigit() and line[column] == " " for line in lines)


def test_summary(capsys):
    assert exit_code("summary", "lenet") == 0
    text = capsys.readouterr().out
    assert "61,706" in text
    assert "conv2" in text
    assert exit_code("summary", "resnet") == 2
    capsys.readouterr()
    table = tg.summary(tg.models.lenet5().eval(), (1, 1, 32, 32))
    assert exit_code("summary", "lenet", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out) == table.data()
    assert exit_code("summary", "lenet", "--format", "html") == 0
    assert capsys.readouterr().out == table.html() + "\n"
    assert exit_code("summary", "lenet", "--format", "xml") == 2


def test_training_uses_one_thread_and_gives_the_others_back(train, monkeypatch):
    threadpoolctl = pytest.importorskip("threadpoolctl")

    def threads() -> dict[str, int]:
        pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
        return {pool["filepath"]: pool["num_threads"] for pool in pools}

    before, during = threads(), {}
    monkeypatch.setattr(session, "repeat", lambda *arguments, **settings: during.update(threads()))
    monkeypatch.setattr(session, "_report", lambda *arguments: None)
    assert train("--epochs", "1") == 0
    after = threads()
    assert before
    for library, count in before.items():  # scikit-learn may have brought another one, which computes nothing here
        assert (during[library], after[library]) == (1, count)


def test_help(capsys):
    for arguments in ((), ("train",), ("draw",), ("summary",), ("list",)):
        assert exit_code(*arguments, "--help") == 0
    text = capsys.readouterr().out
    for option in ("--epochs", "--batch-size", "--lr", "--seed", "--device", "--out", "--resume", "--backward"):
        assert option in text
    for name, each in RECIPES.items():
        assert re.search(rf"^  {name} +{re.escape(each.text)}$", text, re.MULTILINE), name
    assert exit_code() == 2


def test_summary_and_list_count_the_same_network(capsys: pytest.CaptureFixture[str]) -> None:
    """GoogLeNet has two more heads in training; both commands show it as it is used."""
    assert cli.main(["summary", "googlenet"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    (row,) = tg.models.overview(["googlenet"])
    assert f"{row.macs:,} multiply-adds" in last
