"""A run folder: one training on disk, from which it can go on.

====================== ==========================================================================================
checkpoint.safetensors weights, optimiser state, settings and history after the last whole epoch: what resuming reads
weights.safetensors    the weights alone, for :func:`tinygrad_cnn.load`
metrics.json           settings, loss and accuracy of each epoch, the final figure with what it is compared to
====================== ==========================================================================================

Pictures may lie beside them. Each file is replaced as a whole, so a crash at any moment leaves the last whole epoch.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ArgumentError
from .io.safetensors import FileError, load, load_metadata, save, write_atomically
from .nn.module import Module
from .optim.optimizer import Optimizer
from .tensor import Tensor
from .train import Epoch, Score


@dataclass(frozen=True)
class Settings:
    """What decides the numbers of a training, apart from how long it lasts."""

    model: str
    """The name of the recipe."""
    batch_size: int
    lr: float
    """The learning rate of the first epoch."""
    lr_decay: float
    """The learning rate of each epoch as a share of the one before."""
    seed: int
    augment: str
    """How the training images are changed at random, as text."""
    dataset: str
    """What is learned from, in words."""


@dataclass(frozen=True)
class Result:
    """What a training reached, and what it is to be compared with."""

    figure: str
    """What was measured, such as ``"test accuracy"``."""
    value: float
    unit: str
    """Such as ``"%"`` or ``"dB"``; empty for a share."""
    how: str
    """On what it was measured, and how."""
    baselines: Mapping[str, float]
    """The same figure, measured in the same way, for the simple means that the network should beat."""
    details: Mapping[str, float] = field(default_factory=dict)
    """Further numbers by name."""

    def __str__(self) -> str:
        lines = [f"{self.figure}: {self._text(self.value)} ({self.how})"]
        lines += [f"  {self._text(value):>9}  {name}" for name, value in self.baselines.items()]
        lines += [
            f"  {name}: {value:,}" if isinstance(value, int) else f"  {name}: {value:.4g}"
            for name, value in self.details.items()
        ]
        return "\n".join(lines)

    def _text(self, value: float) -> str:
        return f"{value:.2f} {self.unit}".rstrip() if self.unit else f"{value:.3f}"


@dataclass
class Run:
    """One training and its folder."""

    folder: Path
    settings: Settings
    planned_epochs: int
    device: str
    epochs: list[Epoch] = field(default_factory=list)
    """The whole epochs that are done."""

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Run:
        """The run that a folder holds.

        Raises :class:`FileError` when it holds none or the checkpoint is damaged.
        """
        path = Path(folder) / "checkpoint.safetensors"
        if not path.is_file():
            raise FileError(
                "train", f"there is no run to resume in {folder}", got=f"no file {path}",
                fix="leave out --resume to start one, or give its folder with --out",
            )  # fmt: skip
        try:
            state = json.loads(load_metadata(path)["run"])
            epochs = [
                Epoch(each["epoch"], _score(each, "train"), _score(each, "test"), each["seconds"])
                for each in state["epochs"]
            ]
            return cls(Path(folder), Settings(**state["settings"]), state["planned_epochs"], state["device"], epochs)
        except (KeyError, TypeError, ValueError) as error:
            raise FileError(
                "train", f"{path} was not written by a training", got=repr(error),
                fix="start anew in another folder with --out",
            ) from error  # fmt: skip

    def check(self, wanted: Mapping[str, object]) -> None:
        """Raise :class:`ArgumentError` where settings differ from those of the run."""
        for name, value in wanted.items():
            own = getattr(self.settings, name)
            if value != own:
                option = "the model" if name == "model" else "--" + name.replace("_", "-")
                raise ArgumentError(
                    "train", f"{option} cannot change within a run", got=f"{value}",
                    expected=f"{own}, as in {self.folder}",
                    fix="resume without that option, or start another run with --out",
                )  # fmt: skip

    @property
    def weights(self) -> Path:
        """The file of the weights alone."""
        return self.folder / "weights.safetensors"

    @property
    def metrics(self) -> Path:
        """The file of the settings and scores."""
        return self.folder / "metrics.json"

    def start(self, model: Module, optimizers: Mapping[str, Optimizer]) -> None:
        """Make the folder and save the state before the first epoch.

        Raises :class:`FileError` when there is something under that name already, or it cannot be made.
        """
        check_free(self.folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError("train", f"the folder {self.folder} cannot be made", got=str(error.strerror)) from error
        self.save(model, optimizers)

    def save(self, model: Module, optimizers: Mapping[str, Optimizer]) -> None:
        """Write checkpoint, weights and metrics as of now, which must be the end of an epoch."""
        tensors: dict[str, Tensor] = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
        for kind, optimizer in optimizers.items():
            tensors |= {f"{kind}.{name}": tensor for name, tensor in optimizer.state_dict().items()}
        state = {
            "settings": asdict(self.settings),
            "planned_epochs": self.planned_epochs,
            "device": self.device,
            "epochs": self._epochs(),
        }
        save(self.folder / "checkpoint.safetensors", tensors, {"run": json.dumps(state)})
        save(self.weights, model, {"model": self.settings.model, "epochs": str(len(self.epochs))})
        self.save_metrics("running")

    def restore(self, model: Module, optimizers: Mapping[str, Optimizer]) -> None:
        """Give model and optimisers the state in which the last whole epoch left them."""
        tensors = load(self.folder / "checkpoint.safetensors")
        model.load_state_dict(_below("model.", tensors))
        for kind, optimizer in optimizers.items():
            optimizer.load_state_dict(_below(f"{kind}.", tensors))

    def save_metrics(self, status: str, result: Result | None = None) -> None:
        """Write ``metrics.json``; ``status`` is ``"running"``, ``"interrupted"``, ``"failed"`` or ``"finished"``."""
        last = self.epochs[-1].test if self.epochs else None
        metrics = {
            "status": status,
            "config": asdict(self.settings) | {"epochs": self.planned_epochs, "device": self.device},
            "result": result and asdict(result),
            "epochs_done": len(self.epochs),
            "test_loss": last and last.loss,
            "test_accuracy": last and last.accuracy,
            "seconds": round(sum(epoch.seconds for epoch in self.epochs), 3),
            "epochs": self._epochs(),
            "versions": {"python": platform.python_version(), "numpy": np.__version__, "tinygrad_cnn": _version()},
        }
        write_atomically(self.metrics, (json.dumps(metrics, indent=2, allow_nan=False) + "\n").encode())

    def _epochs(self) -> list[dict[str, Any]]:
        return [
            {
                "epoch": epoch.number,
                "train_loss": epoch.train.loss,
                "train_accuracy": epoch.train.accuracy,
                "test_loss": epoch.test and epoch.test.loss,
                "test_accuracy": epoch.test and epoch.test.accuracy,
                "seconds": round(epoch.seconds, 3),
            }
            for epoch in self.epochs
        ]


def check_free(folder: str | os.PathLike[str]) -> None:
    """Raise :class:`FileError` unless a run can start in this folder: it must be empty, or not exist."""
    path = Path(folder)
    if path.is_dir():
        if not any(path.iterdir()):
            return
        if (path / "checkpoint.safetensors").is_file():
            raise FileError(
                "train", f"there is a run in {path} already, and it is not overwritten",
                fix="go on with it by adding --resume, or start another with --out FOLDER",
            )  # fmt: skip
        raise FileError("train", f"the folder {path} is not empty", fix="choose another with --out FOLDER")
    if path.exists():
        raise FileError("train", f"{path} is a file, not a folder", fix="choose a folder with --out FOLDER")


def _score(epoch: Mapping[str, Any], part: str) -> Score:
    return Score(epoch[f"{part}_loss"], epoch[f"{part}_accuracy"])


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _version() -> str:
    from . import __version__

    return __version__
