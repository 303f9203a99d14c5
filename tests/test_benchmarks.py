"""The comparison with other frameworks: that it times what it says, fairly, and leaves out by name who cannot do it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinygrad_cnn as tg

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture(autouse=True)
def _benchmarks_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def compare(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-B", str(BENCHMARKS / "compare.py"), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)


def test_the_command_line_measures_ours_and_names_who_is_missing(tmp_path: Path) -> None:
    short = ("--nets", "mlp", "--ours", "eager", "--rounds", "2", "--seconds", "0.02", "--out", str(tmp_path))
    missing = ("--peers", "mygrad,autograd", "--python", "mygrad=/nowhere/python")
    printed = compare("--mode", "train", *short, *missing).stdout
    compare("--mode", "inference", *short, "--peers", "")

    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    train, inference = results["cells"]
    assert (train["mode"], inference["mode"]) == ("train", "inference")
    for cell in (train, inference):
        assert (cell["baseline"], list(cell["contestants"])) == ("eager", ["eager"])
        entry = cell["contestants"]["eager"]
        assert entry["rounds"] == 2
        assert entry["steps"] >= 2
        assert 0 < entry["best"] <= entry["median"] < 1
        assert 10e6 < entry["peak_bytes"] < 1e9
        assert all(seconds > 0 for seconds in entry["seconds"].values())
    assert "does not start" in train["left_out"]["mygrad"]
    assert "No module named 'autograd'" in train["left_out"]["autograd"]
    assert "left out: MyGrad: /nowhere/python does not start" in printed

    losses = train["contestants"]["eager"]["losses"]
    assert losses[0] == pytest.approx(first_loss_of_the_mlp(tmp_path), rel=1e-5)
    assert losses[0] > losses[1] > losses[2]

    text = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert "#### MLP 784-128-10, batch 32, training step" in text
    assert "- MyGrad: /nowhere/python does not start" in text
    plots = [tmp_path / f"{name}.svg" for name in ("time-train", "time-inference", "roofline", "start-up", "memory")]
    drawn = [path.read_text(encoding="utf-8") for path in plots]
    assert all("MLP 784-128-10" in text for text in drawn)
    for path in plots:
        path.unlink()
    compare("--report", str(tmp_path / "results.json"))
    assert [path.read_text(encoding="utf-8") for path in plots] == drawn


def first_loss_of_the_mlp(folder: Path) -> float:
    """By NumPy, in double precision."""
    from nets import NETS, write_numbers

    write_numbers(NETS["mlp"], 32, folder / "numbers.npz")
    with np.load(folder / "numbers.npz") as arrays:
        hidden = np.maximum(arrays["images"].astype(float) @ arrays["0"].T + arrays["1"], 0)
        logits = hidden @ arrays["2"].T + arrays["3"]
        labels = arrays["labels"]
    return float(np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(32), labels]))


@pytest.mark.parametrize(
    ("name", "parameters", "multiply_adds"),
    [("lenet", 61_706, 416_520), ("resnet20", 269_722, 40_551_040), ("resnet18", 11_689_512, 1_814_073_344)],
)
def test_the_nets_are_the_published_ones(name: str, parameters: int, multiply_adds: int) -> None:
    from frameworks.ours import sequence
    from nets import NETS, work

    net = NETS[name]
    assert sum(parameter.numel() for parameter in sequence(net.layers).parameters()) == parameters
    assert work(net, 1)[0] == multiply_adds
    assert work(net, 7)[0] == 7 * multiply_adds


def test_work_of_a_dense_net_and_of_a_transposed_convolution() -> None:
    from nets import NETS, ConvTranspose, Net, work

    assert work(NETS["mlp"], 32) == (
        32 * (784 * 128 + 128 * 10),
        4 * (784 * 128 + 128 * 10 + 32 * (784 + 128 + 128 + 10)),
    )
    spread = Net("", "", 1, (2, 5, 5), (ConvTranspose(2, 3, 4, 2, 1),))
    assert work(spread, 1) == (5 * 5 * 2 * 3 * 4 * 4, 4 * (2 * 3 * 4 * 4 + 2 * 5 * 5 + 3 * 10 * 10))


def test_every_net_has_numbers_for_every_parameter() -> None:
    from frameworks.ours import sequence
    from nets import NETS, initial_numbers, walk

    for net in NETS.values():
        model = sequence(net.layers)
        shapes = [leaf.shape for name, leaf in model.state_dict().items() if "num_batches" not in name]
        if net.name != "resnet18":  # 11 million numbers
            numbers = list(initial_numbers(net.layers, np.random.default_rng(0)))
            assert [array.shape for array in numbers] == shapes
            assert {array.dtype for array in numbers} <= {np.dtype(np.float32)}
        *_, (_, _, last) = walk(net.layers, net.shape)
        assert model(tg.symbol((net.batch, *net.shape))).shape == (net.batch, *last)


def test_ratios_are_taken_within_a_round() -> None:
    from harness import summarise

    def turn(median: float, best: float) -> dict[str, float]:
        return {"median": median, "best": best, "steps": 3}

    turns = {"slow": [turn(4, 3), turn(20, 9), None], "base": [turn(2, 1), turn(5, 4), turn(1, 0.5)]}
    slow = summarise(turns, "base")["slow"]
    assert slow["ratio"] == {"median": 3.0, "lowest": 2.0, "highest": 4.0}
    assert (slow["median"], slow["best"], slow["best_ratio"]) == (12, 3, 6.0)
    assert (slow["rounds"], slow["steps"]) == (2, 6)


def test_results_that_differ_are_noticed() -> None:
    from harness import same

    assert same([2.0, 1.00019], [2.0, 1.0], 1e-4)
    assert not same([2.0, 1.0003], [2.0, 1.0], 1e-4)
    assert not same([2.0, float("nan")], [2.0, 1.0], 1e-4)
    assert not same([2.0], [2.0, 1.0], 1e-4)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ('print(\'{"error": "no such net"}\')', "no such net"),
        ("raise SystemExit('no memory')", "ended with code 1: no memory"),
        ("import time; time.sleep(60)", "no answer within 0.5 s"),
    ],
)
def test_a_program_that_cannot_take_part_says_why(program: str, reason: str) -> None:
    from harness import LeftOutError, Worker

    worker = Worker([sys.executable, "-c", program], {}, patience=0.5 if "sleep" in program else 30)
    with pytest.raises(LeftOutError) as caught:
        worker.ask()
    worker.close()
    assert str(caught.value) == reason


def test_everybody_has_a_turn_in_every_round_until_the_budget_is_spent() -> None:
    from harness import Worker, interleave

    steady = "while input(): print('{}', flush=True)"
    breaks = "input(); print('{}', flush=True); input(); raise SystemExit('tired')"
    workers = {
        name: Worker([sys.executable, "-c", program], {}, 30) for name, program in (("a", steady), ("b", breaks))
    }
    turns, broken = interleave(workers, 3, "go", budget=1e6)
    assert turns == {"a": [{}, {}, {}]}
    assert broken == {"b": "round 2: ended with code 1: tired"}
    turns, _ = interleave({"a": workers["a"]}, 3, "go", budget=0)
    assert turns == {"a": [{}, None, None]}
    for worker in workers.values():
        worker.close()
