"""One run of a recipe: settings, run folder, epochs, figure and pictures."""

from __future__ import annotations

import importlib
import math
import shlex
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from ..backend import device
from ..backend.random import seed
from ..compile import compile
from ..data.loader import DataLoader
from ..errors import ArgumentError, TinygradCnnError
from ..extras import MissingPackageError
from ..mode import no_grad
from ..runs import Result, Run, Settings, check_free
from ..train import Epoch, repeat
from .base import Recipe

SEED = 0


@dataclass(frozen=True)
class Wishes:
    """What the user asks for; ``None`` leaves it to the recipe, or to the run that is resumed."""

    out: Path | None = None
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    seed: int | None = None
    device: str = "cpu"
    resume: bool = False
    eager: bool = False


def train(kind: type[Recipe], wishes: Wishes) -> Run:
    """Train by a recipe and leave everything in a folder, which the run that is given back names.

    Raises ``KeyboardInterrupt`` after Ctrl-C, when the last whole epoch has been saved and the way to go on printed;
    :class:`ArgumentError` for wishes that do not fit the run that is resumed, or a loss that runs away;
    :class:`FileError` for a folder that cannot be used.
    """
    with device(wishes.device), _one_thread():
        run, recipe = _prepare(kind, wishes)
        try:
            _fit(run, recipe, compiled=recipe.compiled and not wishes.eager)
            recipe.model.eval()
            result = recipe.measure()
            with no_grad():
                missing = _draw_pictures(run, recipe)
        except KeyboardInterrupt:
            run.save_metrics("interrupted")
            print(
                f"\nstopped; {run.folder} holds the weights after epoch {len(run.epochs)} of {run.planned_epochs}\n"
                f"go on with: {_resume_command(run)}",
                file=sys.stderr,
            )
            raise
        except TinygradCnnError:
            run.save_metrics("failed")
            raise
        run.save_metrics("finished", result)
    _report(run, result, missing)
    return run


def _one_thread() -> AbstractContextManager[object]:
    """Matrix products on one processor: at this size more gain little, and lose much where others are at work.

    So without compiling a seed gives the same numbers whatever the number of processors; a compiled step divides the
    batch between them, and is the same to rounding. Does nothing without threadpoolctl, which comes with scikit-learn.
    """
    try:
        limits: AbstractContextManager[object] = importlib.import_module("threadpoolctl").threadpool_limits(1)
    except ImportError:
        return nullcontext()
    return limits


def _prepare(kind: type[Recipe], wishes: Wishes) -> tuple[Run, Recipe]:
    """All that a training needs. The folder is made last, so that a bad option or missing package leaves none."""
    folder = wishes.out or Path("runs") / kind.name
    if wishes.resume:
        run = Run.open(folder)
        given = {"model": kind.name, "batch_size": wishes.batch_size, "lr": wishes.lr, "seed": wishes.seed}
        run.check({name: value for name, value in given.items() if value is not None})
        if wishes.epochs is not None and wishes.epochs < len(run.epochs):
            raise ArgumentError(
                "train", f"the run has {len(run.epochs)} epochs already", got=f"--epochs {wishes.epochs}",
                fix="--epochs counts from the start of the run: ask for more, or leave it out",
            )  # fmt: skip
        run.planned_epochs = wishes.epochs or run.planned_epochs
        run.device = wishes.device
    else:
        check_free(folder)
        settings = Settings(
            kind.name, wishes.batch_size or kind.batch_size, wishes.lr or kind.lr, kind.lr_decay,
            SEED if wishes.seed is None else wishes.seed, "" if kind.augment is None else repr(kind.augment), kind.data,
        )  # fmt: skip
        run = Run(folder, settings, wishes.epochs or kind.epochs, wishes.device)
    seed(run.settings.seed)
    recipe = kind()
    recipe.optimizers = recipe.make_optimizers(run.settings.lr)
    if wishes.resume:
        run.restore(recipe.model, recipe.optimizers)
        run.save(recipe.model, recipe.optimizers)  # the new number of epochs
    else:
        run.start(recipe.model, recipe.optimizers)
    return run, recipe


def _fit(run: Run, recipe: Recipe, compiled: bool) -> None:
    settings = run.settings
    _begin_epoch(run, recipe)
    if len(run.epochs) == run.planned_epochs:
        print(f"all {run.planned_epochs} epochs are done; --epochs asks for more")
        return
    print(
        f"{recipe.name}: {recipe.text}\n"
        f"{settings.dataset}; epochs {len(run.epochs) + 1} to {run.planned_epochs}, batch size {settings.batch_size}, "
        f"learning rate {settings.lr:g}, seed {settings.seed}, {run.device}",
        flush=True,
    )
    loader = DataLoader(
        recipe.train_set, settings.batch_size, shuffle=True, seed=settings.seed, transform=recipe.augment
    )
    loader.epoch = len(run.epochs)

    def after_epoch(epoch: Epoch) -> None:
        if not all(math.isfinite(score.loss) for score in (epoch.train, epoch.test) if score):
            raise ArgumentError(
                "train", f"the loss is no finite number any more in epoch {epoch.number}",
                got=f"--lr {settings.lr}", fix="start anew in another folder with a smaller learning rate",
            )  # fmt: skip
        recipe.end_epoch(epoch.number)
        run.epochs.append(epoch)
        run.save(recipe.model, recipe.optimizers)
        _begin_epoch(run, recipe)

    step = compile(recipe.step) if compiled else recipe.step
    repeat(
        recipe.model, step, loader, recipe.test, run.planned_epochs, on_epoch_end=after_epoch,
        initial_epoch=len(run.epochs),
    )  # fmt: skip


def _begin_epoch(run: Run, recipe: Recipe) -> None:
    """What an epoch starts with, or the measurement after the last, follows from its number alone."""
    done = len(run.epochs)
    seed(run.settings.seed + 1_000_003 * (done + 1))  # for dropout and noise
    for optimizer in recipe.optimizers.values():
        optimizer.lr = run.settings.lr * run.settings.lr_decay**done


def _draw_pictures(run: Run, recipe: Recipe) -> list[str]:
    """Make the pictures; returns what could not be made, and why, for want of a package."""
    drawing = recipe.drawing()
    drawing.save(run.folder / "network.dot")
    painters = {"network.svg": drawing.save} | recipe.pictures(run.epochs)
    missing = []
    for name, paint in painters.items():
        try:
            paint(run.folder / name)
        except MissingPackageError as error:
            missing.append(f"{name}: {error.problem}; {error.fix}")
    return missing


def _resume_command(run: Run) -> str:
    return shlex.join(["tinygrad-cnn", "train", run.settings.model, "--out", str(run.folder), "--resume"])


def _report(run: Run, result: Result, missing: list[str]) -> None:
    print(result)
    print(f"{sum(epoch.seconds for epoch in run.epochs):.1f} s for {len(run.epochs)} epochs")
    print(f"in {run.folder}: {', '.join(sorted(path.name for path in run.folder.iterdir()))}")
    for line in missing:
        print(f"not made: {line}", file=sys.stderr)
