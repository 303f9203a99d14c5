"""The command line: ``tinygrad-cnn train | draw | summary MODEL``."""

from __future__ import annotations

import argparse
import difflib
import importlib
import math
import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from . import models, optim
from .backend import device
from .backend.random import seed
from .data import DataLoader, RandomAffine, TensorDataset, digits
from .draw import draw
from .errors import ArgumentError, TinygradCnnError
from .extras import MissingPackageError
from .mode import no_grad
from .nn.module import Module
from .runs import Run, Settings, check_free
from .summary import summary
from .train import Epoch, fit

MODELS: dict[str, Callable[[], Module]] = {"lenet": models.lenet5}
IMAGE_SIZE = 32
EPOCHS, BATCH_SIZE, LEARNING_RATE, SEED = 20, 64, 0.005, 0
DECAY = 0.88
"""The learning rate of each epoch as a share of the one before. It does not depend on how many epochs there will be,
so a training that is resumed, or made longer, goes on as if it had never stopped."""
AUGMENT = RandomAffine(degrees=8, translate=(0.05, 0.05), scale=(0.92, 1.08))

BAD_OPTION, INTERRUPTED = 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: 0, 2 for what the user can mend, 130 after Ctrl-C.

    Wrong options end in ``SystemExit`` with code 2, after a message on the standard error stream.
    """
    # A shell that starts a command in the background lets it ignore Ctrl-C; `kill -INT` should still save and stop.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except TinygradCnnError as error:
        return _complain(error)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _complain(error: TinygradCnnError) -> int:
    """Show an error without the line of code it came from, which is this package's and not the user's."""
    lines = [f"tinygrad-cnn: {error.problem}"]
    for label, text in (("got", error.got), ("expected", error.expected), ("fix", error.fix)):
        if text:
            lines.append(f"  {label:<9} {text}")
    print("\n".join(lines), file=sys.stderr)
    return BAD_OPTION


# Options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tinygrad-cnn", description="Train, draw and count convolutional networks.", allow_abbrev=False
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    known = ", ".join(MODELS)

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str, more: str) -> argparse.ArgumentParser:
        description = f"{text[0].upper()}{text[1:]}. {more}"
        sub = commands.add_parser(name, help=text, description=description, allow_abbrev=False)
        sub.set_defaults(run=run)
        sub.add_argument("model", type=_model, metavar="MODEL", help=f"the network: {known}")
        return sub

    train = command(
        "train", _train, "train a network on real handwritten digits",
        "It learns from 1,437 of scikit-learn's digits and is tested on the 360 others. Ctrl-C stops it; --resume goes "
        "on after the last whole epoch, to the same weights as without the stop.",
    )  # fmt: skip
    whole = "a whole number, at least 1"
    train.add_argument(
        "--epochs", type=_number(int, lambda n: n >= 1, whole), metavar="N",
        help=f"passes over the training data, those before --resume included (default {EPOCHS})",
    )  # fmt: skip
    train.add_argument(
        "--batch-size", type=_number(int, lambda n: n >= 1, whole), metavar="N",
        help=f"images in one step (default {BATCH_SIZE})",
    )  # fmt: skip
    train.add_argument(
        "--lr", type=_number(float, lambda x: math.isfinite(x) and x > 0, "a number above 0"), metavar="X",
        help=f"learning rate of Adam in the first epoch, then {DECAY} times as much in each (default {LEARNING_RATE})",
    )  # fmt: skip
    train.add_argument(
        "--seed", type=_number(int, lambda n: n >= 0, "a whole number, at least 0"), metavar="N",
        help=f"decides first weights, order and changes of the images (default {SEED})",
    )  # fmt: skip
    train.add_argument("--device", default="cpu", metavar="NAME", help="cpu or gpu (default cpu)")
    train.add_argument("--out", type=Path, metavar="FOLDER", help="where the run is kept (default runs/MODEL)")
    train.add_argument("--resume", action="store_true", help="go on with the run in that folder")

    picture = command(
        "draw", _draw, "draw a network, before a single number is computed",
        "The picture has the shapes in it; nothing is trained.",
    )  # fmt: skip
    picture.add_argument(
        "--level", choices=("block", "op"), default="block", help="boxes for layers, or for operations (default block)"
    )
    picture.add_argument("--backward", action="store_true", help="draw the gradient too")
    picture.add_argument(
        "--out", type=Path, metavar="FILE", help="ends in .svg, .png, .pdf, .dot or .txt (default MODEL.svg)"
    )

    command("summary", _summary, "list a network's layers, shapes and parameters", "Nothing is computed.")
    return parser


def _model(name: str) -> str:
    if name in MODELS:
        return name
    near = difflib.get_close_matches(name, MODELS, 1, 0.4)
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    raise argparse.ArgumentTypeError(f"there is no model {name!r}{hint} known: {', '.join(MODELS)}")


def _number(kind: type, holds: Callable[[Any], bool], expected: str) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not holds(value):
            raise argparse.ArgumentTypeError(f"got {text!r}, expected {expected}")
        return value

    return convert


# Commands


def _draw(options: argparse.Namespace) -> int:
    drawing = draw(
        MODELS[options.model](), (1, 1, IMAGE_SIZE, IMAGE_SIZE), level=options.level, backward=options.backward
    )
    print(drawing.save(options.out or Path(f"{options.model}.svg")))
    return 0


def _summary(options: argparse.Namespace) -> int:
    print(summary(MODELS[options.model](), (1, 1, IMAGE_SIZE, IMAGE_SIZE)))
    return 0


def _train(options: argparse.Namespace) -> int:
    with device(options.device), _one_thread():
        run, model, optimizer, train_set, test_set = _prepare(options)
        try:
            _fit(run, model, optimizer, train_set, test_set)
            missing = _draw_pictures(run, model, test_set)
        except KeyboardInterrupt:
            run.save_metrics("interrupted")
            print(
                f"\nstopped; {run.folder} holds the weights after epoch {len(run.epochs)} of {run.planned_epochs}\n"
                f"go on with: {_resume_command(run)}",
                file=sys.stderr,
            )
            return INTERRUPTED
        except TinygradCnnError:
            run.save_metrics("failed")
            raise
        run.save_metrics("finished")
    _report(run, len(test_set), missing)
    return 0


def _one_thread() -> AbstractContextManager[object]:
    """Matrix products on one processor: at this size more gain little, and lose much where others are at work.

    So a seed also gives the same numbers whatever the number of processors. Does nothing without threadpoolctl,
    which comes with scikit-learn.
    """
    try:
        limits: AbstractContextManager[object] = importlib.import_module("threadpoolctl").threadpool_limits(1)
    except ImportError:
        return nullcontext()
    return limits


def _prepare(options: argparse.Namespace) -> tuple[Run, Module, optim.Optimizer, TensorDataset, TensorDataset]:
    """All that a training needs. The folder is made last, so that a bad option or missing package leaves none."""
    folder = options.out or Path("runs") / options.model
    given = {"model": options.model, "batch_size": options.batch_size, "lr": options.lr, "seed": options.seed}
    given = {name: value for name, value in given.items() if value is not None}
    if options.resume:
        run = Run.open(folder)
        run.check(given)
        if options.epochs is not None and options.epochs < len(run.epochs):
            raise ArgumentError(
                "train", f"the run has {len(run.epochs)} epochs already", got=f"--epochs {options.epochs}",
                fix="--epochs counts from the start of the run: ask for more, or leave it out",
            )  # fmt: skip
        run.planned_epochs = options.epochs or run.planned_epochs
        run.device = options.device
    else:
        check_free(folder)
        defaults = {"batch_size": BATCH_SIZE, "lr": LEARNING_RATE, "seed": SEED}
        settings = Settings(**defaults | given, lr_decay=DECAY, augment=repr(AUGMENT))
        run = Run(folder, settings, options.epochs or EPOCHS, options.device)
    train_set, test_set = digits("train", IMAGE_SIZE), digits("test", IMAGE_SIZE)
    seed(run.settings.seed)
    model = MODELS[run.settings.model]()
    optimizer = optim.Adam(model.parameters(), lr=run.settings.lr)
    if options.resume:
        run.restore(model, optimizer)
        run.save(model, optimizer)  # the new number of epochs
    else:
        run.start(model, optimizer)
    return run, model, optimizer, train_set, test_set


def _fit(
    run: Run, model: Module, optimizer: optim.Optimizer, train_set: TensorDataset, test_set: TensorDataset
) -> None:
    settings = run.settings
    if len(run.epochs) == run.planned_epochs:
        print(f"all {run.planned_epochs} epochs are done; --epochs asks for more")
        return
    print(
        f"{settings.model} on {len(train_set)} digits: epochs {len(run.epochs) + 1} to {run.planned_epochs}, "
        f"batch size {settings.batch_size}, learning rate {settings.lr:g}, seed {settings.seed}, {run.device}",
        flush=True,
    )
    loader = DataLoader(train_set, settings.batch_size, shuffle=True, seed=settings.seed, transform=AUGMENT)
    loader.epoch = len(run.epochs)
    optimizer.lr = settings.lr * settings.lr_decay ** len(run.epochs)

    def after_epoch(epoch: Epoch) -> None:
        if not all(math.isfinite(score.loss) for score in (epoch.train, epoch.test) if score):
            raise ArgumentError(
                "train", f"the loss is no finite number any more in epoch {epoch.number}",
                got=f"--lr {settings.lr}", fix="start anew in another folder with a smaller learning rate",
            )  # fmt: skip
        run.epochs.append(epoch)
        optimizer.lr = settings.lr * settings.lr_decay ** len(run.epochs)
        run.save(model, optimizer)

    fit(
        model, optimizer, loader, DataLoader(test_set, 120), epochs=run.planned_epochs, on_epoch_end=after_epoch,
        initial_epoch=len(run.epochs),
    )  # fmt: skip


def _draw_pictures(run: Run, model: Module, test_set: TensorDataset) -> list[str]:
    """Make the pictures; returns what could not be made, and why, for want of a package."""
    from . import pictures  # matplotlib takes a while

    images, labels = test_set.tensors
    model.eval()
    with no_grad():
        logits = model(images)
    counts = pictures.count_confusions(labels.numpy(), logits.numpy().argmax(1), logits.shape[1])
    folder = run.folder
    drawing = draw(model, (1, *images.shape[1:]))
    drawing.save(folder / "network.dot")
    wrong = int(counts.sum() - counts.trace())
    makers: dict[str, Callable[[Path], object]] = {
        "network.svg": drawing.save,
        "curves.png": lambda path: pictures.draw_curves(run.epochs, path),
        "kernels.png": lambda path: pictures.draw_kernels(
            next(iter(model.parameters())), path, f"{run.settings.model}: kernels of the first layer"
        ),
        "confusion.png": lambda path: pictures.draw_confusion(
            counts, path, f"{len(labels)} held-out digits, {wrong} read wrongly"
        ),
    }
    missing = []
    for name, make in makers.items():
        try:
            make(folder / name)
        except MissingPackageError as error:
            missing.append(f"{name}: {error.problem}; {error.fix}")
    return missing


def _resume_command(run: Run) -> str:
    return shlex.join(["tinygrad-cnn", "train", run.settings.model, "--out", str(run.folder), "--resume"])


def _report(run: Run, samples: int, missing: list[str]) -> None:
    test = run.epochs[-1].test
    if test is None or test.accuracy is None:
        raise AssertionError("the command line always tests")
    right = round(test.accuracy * samples)
    seconds = sum(epoch.seconds for epoch in run.epochs)
    print(f"test accuracy: {100 * test.accuracy:.2f} % ({right} of {samples} held-out digits), {seconds:.1f} s")
    print(f"in {run.folder}: {', '.join(sorted(path.name for path in run.folder.iterdir()))}")
    for line in missing:
        print(f"not made: {line}", file=sys.stderr)
