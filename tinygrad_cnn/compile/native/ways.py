"""Which of two ways is quicker on this machine: as it was measured, else by an estimate.

What was measured is remembered on disk, beside the finished code.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from .machine import cache_folder, processor, read_file, write_file
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
    return None if folder is None else folder / "ways"


def _read() -> dict[str, dict[str, bool]]:
    """For each processor what was measured on it."""
    data = read_file(_file())
    found: dict[str, dict[str, bool]] = {} if data is None else json.loads(data)
    return found


def measured() -> dict[str, bool]:
    """For each choice that was measured on this processor, whether Winograd's way is the quicker one."""
    return _read().get(processor(), {})


def remember(choices: dict[str, bool]) -> None:
    """Keep what was measured, where a file can be written."""
    everything = _read()
    everything[processor()] = {**everything.get(processor(), {}), **choices}
    write_file(_file(), json.dumps(everything).encode())
