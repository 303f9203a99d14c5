"""Which of two ways is quicker on this machine: as it was measured, else by an estimate.

What was measured is remembered on disk, beside the finished code.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .machine import cache_folder, processor
from .steps import Step


class Ways:
    """The choices of one plan.

    Args:
        lanes: how many examples lie side by side.
        wish: take Winograd's way wherever it is possible, or nowhere; ``None`` for the quicker one.
    """

    def __init__(self, lanes: int, wish: bool | None = None) -> None:
        self.lanes, self.wish = lanes, wish
        self.known = measured() if wish is None else {}
        self.steps: dict[str, list[list[Step]]] = {}
        """For each choice the steps of each place that it was about."""
        self.asked = ""
        """What was asked last."""

    def takes_winograd(self, kind: str, size: Sequence[int], channels: int, out_channels: int, estimate: bool) -> bool:
        """Whether Winograd's way is taken where both are possible."""
        shape = "x".join(map(str, size))
        self.asked = f"{kind}, {shape}, {channels} to {out_channels} channels, {self.lanes} lanes"
        return self.known.get(self.asked, estimate) if self.wish is None else self.wish

    def note(self, steps: Sequence[Step]) -> None:
        """These steps are what came of the last question, if there was one."""
        if self.asked:
            self.steps.setdefault(self.asked, []).append(list(steps))
        self.asked = ""


def _file() -> Path | None:
    folder = cache_folder()
    return None if folder is None else folder / "ways.json"


def measured() -> dict[str, bool]:
    """For each choice that was measured on this processor, whether Winograd's way is the quicker one."""
    everything = _read()
    return everything.get(processor(), {})


def _read() -> dict[str, dict[str, bool]]:
    path = _file()
    with contextlib.suppress(OSError, ValueError):
        if path is not None:
            found = json.loads(path.read_text(encoding="utf-8"))
            return found if isinstance(found, dict) else {}
    return {}


def remember(choices: dict[str, bool]) -> None:
    """Keep what was measured. Where nothing can be written, it is forgotten."""
    path = _file()
    if path is None:
        return
    everything = _read()
    everything[processor()] = {**everything.get(processor(), {}), **choices}
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(".part", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(everything, file, indent=1)
        os.replace(name, path)
