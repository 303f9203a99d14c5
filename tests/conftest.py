"""What every test runs in: a device, a seed, and the markers for what a machine may lack."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.compile.native import machine
from tinygrad_cnn.errors import TinygradCnnError


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--device", default="cpu", help="where tensors are put: cpu, gpu, or strict, the stand-in for a GPU"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "gpu: needs a GPU and CuPy")
    config.addinivalue_line("markers", "torch: needs PyTorch")
    config.addinivalue_line("markers", "native: needs native code")
    config.addinivalue_line("markers", "cpu(reason): is run where tensors are on the CPU, and why only there")
    try:
        with tg.device(config.getoption("--device")):
            pass
    except TinygradCnnError as error:
        raise pytest.UsageError(f"--device: {error}") from error


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    lacks = {"gpu": _no_gpu, "torch": _no_torch, "native": machine.why_not}
    for marker, reason_of in lacks.items():
        marked = [item for item in items if item.get_closest_marker(marker)]
        reason = reason_of() if marked else ""
        if reason:
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=reason))
    if config.getoption("--device") != "cpu":
        for item in items:
            if marker := item.get_closest_marker("cpu"):
                item.add_marker(pytest.mark.skip(reason=marker.args[0]))


def _no_gpu() -> str:
    try:
        with tg.device("gpu"):
            return ""
    except TinygradCnnError as error:
        return error.problem


def _no_torch() -> str:
    return "" if importlib.util.find_spec("torch") else "PyTorch is not installed"


@pytest.fixture(scope="session")
def device_name(request: pytest.FixtureRequest) -> str:
    """The device that the suite runs on."""
    return str(request.config.getoption("--device"))


@pytest.fixture(autouse=True)
def _on_the_device(device_name: str) -> Iterator[None]:
    """Each test starts with the same random numbers, on the device that was asked for."""
    tg.seed(0)
    with tg.device(device_name):
        yield
