"""What tests of native code ask for by name."""

from __future__ import annotations

import importlib

import pytest

executor = importlib.import_module("tinygrad_cnn.compile.native.executor")


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans check themselves: guard zones stay as they are, and nothing is read before it is written."""
    monkeypatch.setattr(executor, "checked", True)
