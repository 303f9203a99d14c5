"""The project's own files agree with each other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import tinygrad_cnn as tg

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def test_version() -> None:
    assert tg.__version__ == PROJECT["version"]
    assert PROJECT["version"] in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_extras_that_messages_name_exist() -> None:
    extras = set(PROJECT["optional-dependencies"])
    named = set()
    for path in (ROOT / "tinygrad_cnn").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        named |= set(re.findall(r"tinygrad_cnn\[(\w+)\]", text))
        named |= set(re.findall(r'require\("[^"]+", "[^"]+", "[^"]+", "(\w+)"\)', text)) - {"none"}
    assert {"data", "gpu12", "gpu13"} <= named <= extras


def test_makefile_installs_extras_that_exist() -> None:
    named = set(re.findall(r"call installed,(\w+)", MAKEFILE))
    assert named <= set(PROJECT["optional-dependencies"])


def test_ci_calls_the_commands_that_people_use() -> None:
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert re.findall(r"^make (\w+)$", script, re.MULTILINE) == ["lint", "test", "book"]
    workflow = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    assert ".ci/run" in workflow
    assert set(re.findall(r"run: make (\w+)", workflow)) == {"test", "train"} <= targets
    assert os.access(ROOT / ".ci/run", os.X_OK) or os.name == "nt"


def test_console_script_is_there() -> None:
    module, _, function = PROJECT["scripts"]["tinygrad-cnn"].partition(":")
    check = f"import {module}; assert callable({module}.{function})"
    subprocess.run([sys.executable, "-c", check], check=True, cwd=ROOT)


def test_importing_is_light() -> None:
    heavy = "{'cupy', 'graphviz', 'matplotlib', 'pygraphviz', 'safetensors', 'scipy', 'sklearn', 'tqdm'}"
    check = f"import sys, tinygrad_cnn; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", check], check=True, cwd=ROOT, capture_output=True, text=True)
    assert result.stdout.strip() == "[]"


def test_importing_is_fast(tmp_path: Path) -> None:
    check = (
        "import time, numpy, numpy.random; start = time.process_time(); import tinygrad_cnn; "
        "print(time.process_time() - start)"
    )
    environment = os.environ | {"PYTHONPYCACHEPREFIX": str(tmp_path)}  # compiled by the first run, as after installing
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", check]
    runs = [
        float(subprocess.run(command, check=True, cwd=ROOT, env=environment, capture_output=True, text=True).stdout)
        for _ in range(4)
    ]
    assert min(runs[1:]) < 0.2, runs


@pytest.mark.parametrize("place", ["tinygrad_cnn", "tests", "docs", "tutorials", "benchmarks"])
def test_files_end_in_one_newline_and_hold_no_tabs(place: str) -> None:
    skipped = {"_build", "generated", "__pycache__"} | ({"tutorials"} if place == "docs" else set())
    for path in (ROOT / place).rglob("*"):
        if path.suffix in {".py", ".md"} and not skipped & set(path.relative_to(ROOT / place).parts):
            text = path.read_text(encoding="utf-8")
            assert not text.endswith("\n\n"), path
            assert "\t" not in text, path
