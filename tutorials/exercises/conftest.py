"""The markers of the exercises: one for each chapter, as in ``pytest tutorials/exercises -m ch15``."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Register ch01 to ch25."""
    for number in range(1, 26):
        config.addinivalue_line("markers", f"ch{number:02}: exercises of chapter {number}")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Checks in ``test_ch15.py`` have the marker ``ch15``."""
    item.add_marker(item.path.stem.removeprefix("test_"))
