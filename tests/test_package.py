"""What importing the package costs."""

from __future__ import annotations

import json
import subprocess
import sys
from statistics import median

HEAVY = ("cupy", "graphviz", "pygraphviz", "matplotlib", "sklearn", "scipy", "tqdm", "safetensors", "llvmlite")


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_brings_in_nothing_heavy() -> None:
    loaded = json.loads(run("import tinygrad_cnn, sys, json; print(json.dumps(sorted(sys.modules)))"))
    assert {name.partition(".")[0] for name in loaded}.isdisjoint(HEAVY)


def test_importing_is_quick_beyond_numpy() -> None:
    code = "import time, numpy; start = time.process_time(); import tinygrad_cnn; print(time.process_time() - start)"
    seconds = median(float(run(code)) for _ in range(3))
    assert seconds < 1.0  # 0.2 s is the goal, measured in benchmarks/; a test must not fail on a busy machine


def test_the_version_is_known() -> None:
    assert run("import tinygrad_cnn; print(tinygrad_cnn.__version__)").strip().count(".") == 2
