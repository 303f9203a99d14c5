"""Training and testing: the loop over epochs and batches, with progress."""

from __future__ import annotations

import importlib
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from types import FrameType
from typing import Any, NamedTuple, Protocol

from .compile import compile
from .data import DataLoader
from .errors import ArgumentError
from .mode import no_grad
from .nn import functional as F
from .nn.module import Module
from .tensor import Tensor

Loss = Callable[..., Tensor]
"""From the model's output and the targets to one number, the mean over the batch."""

Step = Callable[..., tuple[Tensor, Any]]
"""Called with the tensors of a batch: changes the weights, and gives the loss from before and the model's outputs."""


class Optimizer(Protocol):
    """What :func:`fit` needs of an optimiser."""

    def zero_grad(self) -> None: ...

    def step(self) -> None: ...


class Score(NamedTuple):
    """How well a model does, as means over samples."""

    loss: float
    accuracy: float | None
    """The share of targets at which the largest output is, 0 to 1; ``None`` for targets that are no classes."""


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training data gave."""

    number: int
    """Counted from 1."""
    train: Score
    """Measured on each batch just before its step, so with weights that still improve."""
    test: Score | None
    """Measured after the last step; ``None`` without a test loader."""
    seconds: float
    """Time taken, testing included."""

    def __str__(self) -> str:
        test = f"   held-out {_text(self.test)}" if self.test else ""
        return f"epoch {self.number:3}   train {_text(self.train)}{test}   ({self.seconds:.2f} s)"


@dataclass
class History:
    """What :func:`fit` gives back."""

    epochs: list[Epoch] = field(default_factory=list)


def fit(
    model: Module,
    optimizer: Optimizer,
    train_loader: DataLoader,
    test_loader: DataLoader | None = None,
    epochs: int = 10,
    loss: Loss = F.cross_entropy,
    progress: bool = True,
    on_epoch_end: Callable[[Epoch], None] | None = None,
    initial_epoch: int = 0,
    compiled: bool = False,
) -> History:
    """Train a model, and test it after each epoch.

    Args:
        model: takes the first tensor of a batch. It is left in training mode.
        optimizer: holds the model's parameters.
        train_loader: batches of inputs and one or more targets; they are moved to the model's device.
        test_loader: batches to test on after each epoch.
        epochs: the number of the last epoch.
        loss: called as ``loss(output, *targets)``, gives the mean over the batch.
        progress: whether to show loss and accuracy: a bar for the running epoch where there is a terminal (and tqdm),
            then a line for each finished epoch.
        on_epoch_end: called with each finished epoch; what it raises ends the training.
        initial_epoch: how many epochs are done already. Set ``train_loader.epoch`` likewise to go on with the orders
            that an uninterrupted training would have seen.
        compiled: whether the step is compiled, see :func:`tinygrad_cnn.compile`: the same to rounding, and quicker.

    Ctrl-C ends the training after the step (or test) that is running, so the weights are always those of a whole step,
    and then raises ``KeyboardInterrupt`` as usual; a second Ctrl-C does not wait.

    Raises :class:`ArgumentError` for fewer ``epochs`` than are done.
    """

    def step(inputs: Tensor, *targets: Tensor) -> tuple[Tensor, Any]:
        return take_step(model, optimizer, loss, inputs, *targets)

    def test() -> Score | None:
        return evaluate(model, test_loader, loss) if test_loader is not None else None

    chosen = compile(step) if compiled else step
    return repeat(model, chosen, train_loader, test, epochs, progress, on_epoch_end, initial_epoch)


def take_step(model: Module, optimizer: Optimizer, loss: Loss, inputs: Tensor, *targets: Tensor) -> tuple[Tensor, Any]:
    """One step down the gradient of ``loss(model(inputs), *targets)``; gives the loss and the model's outputs."""
    optimizer.zero_grad()
    outputs = model(inputs)
    value = loss(outputs, *targets)
    value.backward()
    optimizer.step()
    return value, outputs


def repeat(
    model: Module,
    step: Step,
    train_loader: DataLoader,
    test: Callable[[], Score | None],
    epochs: int,
    progress: bool = True,
    on_epoch_end: Callable[[Epoch], None] | None = None,
    initial_epoch: int = 0,
) -> History:
    """The loop of :func:`fit` around a step of one's own, such as that of a GAN with its two optimisers.

    Args:
        model: put into training mode before each epoch; the batches are moved to its device.
        step: called with the tensors of each batch.
        train_loader: the batches.
        test: called after each epoch.
        epochs: as in :func:`fit`, like the rest.
        progress: as in :func:`fit`.
        on_epoch_end: as in :func:`fit`.
        initial_epoch: as in :func:`fit`.

    Raises what :func:`fit` raises.
    """
    if epochs < initial_epoch:
        raise ArgumentError(
            "fit", "more epochs are done than asked for", got=f"epochs={epochs}, initial_epoch={initial_epoch}",
            expected="epochs >= initial_epoch", fix="`epochs` counts from the start of the training, not from now",
        )  # fmt: skip
    history = History()
    with _interrupts_after_step() as stop_here:
        for number in range(initial_epoch + 1, epochs + 1):
            start = perf_counter()
            model.train()
            train = _Sum()
            with _bar(len(train_loader), f"epoch {number}/{epochs}", progress) as bar:
                for batch in train_loader:
                    batch = _to_device(model, *batch)
                    value, outputs = step(*batch)
                    train.add(value, outputs, batch)
                    bar.set_postfix_str(_text(train.score()), refresh=False)
                    bar.update()
                    stop_here()
            epoch = Epoch(number, train.score(), test(), perf_counter() - start)
            history.epochs.append(epoch)
            if progress:
                print(epoch, flush=True)
            if on_epoch_end is not None:
                on_epoch_end(epoch)
            stop_here()
    return history


def evaluate(model: Module, loader: DataLoader, loss: Loss = F.cross_entropy) -> Score:
    """Test a model: mean loss and accuracy over all samples, in evaluation mode and without recording.

    Every module is left in the mode that it was in.

    Args:
        model: takes the first tensor of a batch.
        loader: batches of inputs and one or more targets.
        loss: called as ``loss(output, *targets)``, gives the mean over the batch.

    >>> import tinygrad_cnn as tg
    >>> model, dataset = tg.nn.Identity(), tg.data.TensorDataset(tg.Tensor([[0.0, 0.0]]), tg.Tensor([0]))
    >>> round(evaluate(model, tg.data.DataLoader(dataset)).loss, 4)
    0.6931
    """
    modes = [(module, module.training) for module in model.modules()]
    total = _Sum()
    model.eval()
    try:
        with no_grad():
            for batch in loader:
                inputs, *targets = batch = _to_device(model, *batch)
                outputs = model(inputs)
                total.add(loss(outputs, *targets), outputs, batch)
    finally:
        for module, training in modes:
            module.training = training
    return total.score()


class _Sum:
    """Loss and right answers, added up over batches."""

    def __init__(self) -> None:
        self.samples = 0
        self.loss = 0.0
        self.right, self.answers = 0, 0

    def add(self, loss: Tensor, outputs: Any, batch: tuple[Tensor, ...]) -> None:
        self.samples += len(batch[0])
        self.loss += float(loss.item()) * len(batch[0])
        targets = batch[-1]
        classes = len(batch) == 2 and targets.dtype.kind in "iu"
        if classes and isinstance(outputs, Tensor) and outputs.ndim == targets.ndim + 1:
            self.right += int((outputs.detach().argmax(1) == targets).sum().item())
            self.answers += targets.numel()

    def score(self) -> Score:
        if not self.samples:
            raise ArgumentError("train", "the loader holds no batches", fix="check batch_size and drop_last")
        return Score(self.loss / self.samples, self.right / self.answers if self.answers else None)


def _to_device(model: Module, *tensors: Tensor) -> tuple[Tensor, ...]:
    device = next((parameter.device for parameter in model.parameters()), None)
    return tensors if device is None else tuple(tensor.to(device) for tensor in tensors)


def _text(score: Score) -> str:
    accuracy = "" if score.accuracy is None else f", accuracy {100 * score.accuracy:.2f} %"
    return f"loss {score.loss:.4f}{accuracy}"


class _NoBar:
    """Stands where the bar would be, without tqdm."""

    def set_postfix_str(self, text: str, refresh: bool) -> None: ...

    def update(self) -> None: ...


@contextmanager
def _bar(batches: int, label: str, progress: bool) -> Iterator[Any]:
    """A bar that goes when the epoch is over; only where there is a terminal to draw it on."""
    if not progress or not sys.stderr.isatty():
        yield _NoBar()
        return
    try:
        tqdm = importlib.import_module("tqdm").tqdm
    except ImportError:
        yield _NoBar()
        return
    columns, lines = shutil.get_terminal_size()  # tqdm itself draws nothing where a terminal does not know its size
    with tqdm(total=batches, desc=label, unit="batch", leave=False, ncols=columns, nrows=lines) as bar:
        yield bar


@contextmanager
def _interrupts_after_step() -> Iterator[Callable[[], None]]:
    """Hold Ctrl-C back until the function that is given is called; the second one is not held back.

    Python lets only the main thread handle signals; elsewhere, and where the program has its own handler, nothing
    changes.
    """
    pending = False

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal pending
        if pending:
            raise KeyboardInterrupt
        pending = True

    def stop_here() -> None:
        if pending:
            raise KeyboardInterrupt

    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if not ours:
        yield stop_here
        return
    signal.signal(signal.SIGINT, remember)
    try:
        yield stop_here
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
