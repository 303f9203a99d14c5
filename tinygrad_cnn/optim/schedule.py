"""Learning-rate schedules: how large the steps of an optimiser are, as the training goes on.

A schedule is a function from the number of epochs done to a learning rate. Making one sets the rate of epoch 0;
``step()``, called after each epoch, sets the next. Names, arguments and rates are PyTorch's.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import ArgumentError
from .optimizer import Optimizer


class LRScheduler:
    """What schedules share: the optimiser, the rate that it began with, and the number of epochs done."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer, self.base_lr, self.last_epoch = optimizer, optimizer.lr, 0
        self._set()

    def rate(self, epoch: int) -> float:
        """The learning rate after so many epochs."""
        raise NotImplementedError

    def _set(self) -> None:
        self.optimizer.lr = self.rate(self.last_epoch)

    def step(self) -> None:
        """One more epoch is done: set the learning rate of the next."""
        self.last_epoch += 1
        self._set()

    def get_last_lr(self) -> list[float]:
        """The learning rate as it is now, in a list of one, as in PyTorch."""
        return [self.optimizer.lr]

    def state_dict(self) -> dict[str, float]:
        """What a training that goes on later needs, in numbers."""
        return {
            name: value for name, value in vars(self).items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Take over what :meth:`state_dict` gave, and set the learning rate that belongs to it.

        Raises :class:`ArgumentError` for the state of another schedule.
        """
        own = self.state_dict()
        if set(state) != set(own):
            raise ArgumentError(
                f"{type(self).__name__}.load_state_dict", "the state is that of another schedule",
                got=f"{sorted(state)}", expected=f"{sorted(own)}",
            )  # fmt: skip
        vars(self).update(state)
        self._set()


class LambdaLR(LRScheduler):
    """``base_lr * lr_lambda(epoch)``, for any function.

    >>> from tinygrad_cnn import Tensor, optim
    >>> optimizer = optim.SGD([Tensor([1.0], requires_grad=True)], lr=0.5)
    >>> LambdaLR(optimizer, lambda epoch: 1 / (epoch + 1)).rate(4)
    0.1
    """

    def __init__(self, optimizer: Optimizer, lr_lambda: Callable[[int], float]) -> None:
        self.lr_lambda = lr_lambda
        super().__init__(optimizer)

    def rate(self, epoch: int) -> float:
        """The learning rate after so many epochs."""
        return self.base_lr * self.lr_lambda(epoch)


class StepLR(LRScheduler):
    """``gamma`` times as much every ``step_size`` epochs.

    Raises :class:`ArgumentError` for a ``step_size`` below 1.

    >>> from tinygrad_cnn import Tensor, optim
    >>> optimizer = optim.SGD([Tensor([1.0], requires_grad=True)], lr=1.0)
    >>> schedule = StepLR(optimizer, step_size=30, gamma=0.5)
    >>> schedule.rate(29), schedule.rate(30), schedule.rate(60)
    (1.0, 0.5, 0.25)
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        _at_least_1("StepLR", "step_size", step_size)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def rate(self, epoch: int) -> float:
        """The learning rate after so many epochs."""
        return float(self.base_lr * self.gamma ** (epoch // self.step_size))


class MultiStepLR(LRScheduler):
    """``gamma`` times as much at each of the epochs that ``milestones`` lists.

    >>> from tinygrad_cnn import Tensor, optim
    >>> optimizer = optim.SGD([Tensor([1.0], requires_grad=True)], lr=1.0)
    >>> schedule = MultiStepLR(optimizer, [30, 80], gamma=0.5)
    >>> schedule.rate(29), schedule.rate(30), schedule.rate(80)
    (1.0, 0.5, 0.25)
    """

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer)

    def rate(self, epoch: int) -> float:
        """The learning rate after so many epochs."""
        return float(self.base_lr * self.gamma ** bisect_right(self.milestones, epoch))


class ExponentialLR(LRScheduler):
    """``gamma`` times as much in each epoch.

    >>> from tinygrad_cnn import Tensor, optim
    >>> optimizer = optim.SGD([Tensor([1.0], requires_grad=True)], lr=1.0)
    >>> ExponentialLR(optimizer, gamma=0.5).rate(3)
    0.125
    """

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = gamma
        super().__init__(optimizer)

    def rate(self, epoch: int) -> float:
        """The learning rate after so many epochs."""
        return float(self.base_lr * self.gamma**epoch)


class LinearLR(LRScheduler):
    """From ``start_factor * base_lr`` to ``end_factor * base_lr`` in equal steps, then constant: a warm-up.

    (Goyal et al., 2017, section 2.2)

    Raises :class:`ArgumentError` for ``total_iters`` below 1.

    >>> from tinygrad_cnn import Tensor, optim
    >>> optimizer = optim.SGD([Tensor([1.0], requires_grad=True)], lr=1.0)
    >>> schedule = LinearLR(optimizer, start_factor=0.5, total_iters=4)
    >>> schedule.rate(0), schedule.rate(2), schedule.rate(9)
    (0.5, 0.75, 1.0)
    """

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5
    ) -> None:
        _at_least_1("LinearLR", "total_iters", total_iters)
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer)

    def rate(self, epoch: int) -> float:
        """The learning rate after so many epochs."""
        share = min(epoch, self.total_iters) / self.total_iters
        return self.base_lr * (self.start_factor + (self.end_factor - self.start_factor) * share)


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from ``base_lr`` to ``eta_min`` in ``T_max`` epochs, and back. (Loshchilov and Hutter, 2017)

    Raises :class:`ArgumentError` for ``T_max`` below 1.

    >>> from tinygrad_cnn import Tensor, optim
    >>> optimizer = optim.SGD([Tensor([1.0], requires_grad=True)], lr=1.0)
    >>> schedule = CosineAnnealingLR(optimizer, T_max=10)
    >>> schedule.rate(0), round(schedule.rate(5), 3), schedule.rate(10)
    (1.0, 0.5, 0.0)
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        _at_least_1("CosineAnnealingLR", "T_max", T_max)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def rate(self, epoch: int) -> float:
        """The learning rate after so many epochs."""
        return _cosine(self.base_lr, self.eta_min, epoch / self.T_max)


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine from ``base_lr`` to ``eta_min`` in ``T_0`` epochs, then anew, ``T_mult`` times as long.

    (Loshchilov and Hutter, 2017, equation 5)

    Raises :class:`ArgumentError` for ``T_0`` or ``T_mult`` below 1.

    >>> from tinygrad_cnn import Tensor, optim
    >>> optimizer = optim.SGD([Tensor([1.0], requires_grad=True)], lr=1.0)
    >>> schedule = CosineAnnealingWarmRestarts(optimizer, T_0=2, T_mult=2)
    >>> [round(schedule.rate(epoch), 2) for epoch in (1, 2, 4, 6)]
    [0.5, 1.0, 0.5, 1.0]
    """

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0) -> None:
        _at_least_1("CosineAnnealingWarmRestarts", "T_0", T_0)
        _at_least_1("CosineAnnealingWarmRestarts", "T_mult", T_mult)
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        super().__init__(optimizer)

    def rate(self, epoch: int) -> float:
        """The learning rate after so many epochs."""
        length = self.T_0
        while epoch >= length:
            epoch -= length
            length *= self.T_mult
        return _cosine(self.base_lr, self.eta_min, epoch / length)


class OneCycleLR(LRScheduler):
    """Up to ``max_lr`` and down to almost nothing, once in a training; ``step()`` is called after each **batch**.

    Args:
        optimizer: its own learning rate is not used.
        max_lr: the largest rate.
        total_steps: how many batches there will be in all; or it is ``epochs * steps_per_epoch``.
        epochs: how many passes over the data there will be.
        steps_per_epoch: how many batches each has.
        pct_start: the share of them that the rate goes up for.
        anneal_strategy: ``"cos"`` or ``"linear"``.
        div_factor: it begins at ``max_lr / div_factor``.
        final_div_factor: and ends at that divided by ``final_div_factor``.

    (Smith and Topin, 2018)

    Raises :class:`ArgumentError` for settings out of range, and for more steps than there should be.

    >>> from tinygrad_cnn import Tensor, optim
    >>> optimizer = optim.SGD([Tensor([1.0], requires_grad=True)], lr=1.0)
    >>> schedule = OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    >>> round(schedule.rate(0), 3), schedule.rate(2)
    (0.04, 1.0)
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ) -> None:
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ArgumentError(
                    "OneCycleLR", "the length of the training is missing",
                    fix="pass total_steps, or epochs and steps_per_epoch",
                )  # fmt: skip
            total_steps = epochs * steps_per_epoch
        _at_least_1("OneCycleLR", "total_steps", total_steps)
        if not 0 <= pct_start <= 1:
            raise ArgumentError(
                "OneCycleLR", "pct_start is no share", got=f"pct_start={pct_start}", expected="0 to 1"
            )  # fmt: skip
        if anneal_strategy not in ("cos", "linear"):
            raise ArgumentError(
                "OneCycleLR", "no such strategy", got=repr(anneal_strategy), expected="'cos' or 'linear'"
            )
        self.max_lr, self.total_steps, self.pct_start = max_lr, total_steps, pct_start
        self.anneal_strategy, self.div_factor, self.final_div_factor = anneal_strategy, div_factor, final_div_factor
        super().__init__(optimizer)

    def rate(self, epoch: int) -> float:
        """The learning rate after so many batches."""
        if epoch >= self.total_steps:
            raise ArgumentError(
                "OneCycleLR", f"step {epoch} of {self.total_steps}", expected=f"at most {self.total_steps - 1} steps",
                fix="pass the number of batches of the whole training as total_steps",
            )  # fmt: skip
        first = self.max_lr / self.div_factor
        top, last = self.pct_start * self.total_steps - 1, self.total_steps - 1
        between = _cosine if self.anneal_strategy == "cos" else _line
        if epoch <= top:
            return between(first, self.max_lr, epoch / top if top else 1.0)
        return between(self.max_lr, first / self.final_div_factor, (epoch - top) / (last - top))


class SequentialLR(LRScheduler):
    """One schedule after the other; at each of the ``milestones`` the next begins with its epoch 0.

    Args:
        optimizer: that of all schedules.
        schedulers: made for the same optimiser, in order.
        milestones: the epochs at which the second, third, ... take over.

    Raises :class:`ArgumentError` unless there is one milestone fewer than schedules and all share the optimiser.

    >>> from tinygrad_cnn import Tensor, optim
    >>> optimizer = optim.SGD([Tensor([1.0], requires_grad=True)], lr=1.0)
    >>> warm_up = LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> optimizer.lr = 1.0
    >>> schedule = SequentialLR(optimizer, [warm_up, ExponentialLR(optimizer, 0.5)], milestones=[2])
    >>> [schedule.rate(epoch) for epoch in range(4)]
    [0.5, 0.75, 1.0, 0.5]
    """

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int]) -> None:
        if len(milestones) != len(schedulers) - 1 or any(each.optimizer is not optimizer for each in schedulers):
            raise ArgumentError(
                "SequentialLR", "schedules and milestones do not fit together",
                got=f"{len(schedulers)} schedules, milestones {list(milestones)}",
                expected="schedules of one optimiser, and one milestone between each two",
            )  # fmt: skip
        self.schedulers, self.milestones = list(schedulers), list(milestones)
        super().__init__(optimizer)

    def rate(self, epoch: int) -> float:
        """The learning rate after so many epochs."""
        number = bisect_right(self.milestones, epoch)
        return self.schedulers[number].rate(epoch - (self.milestones[number - 1] if number else 0))


class ReduceLROnPlateau(LRScheduler):
    """``factor`` times as much when a figure has not improved for ``patience`` epochs.

    Args:
        optimizer: whose rate is changed.
        mode: ``"min"`` for figures that should fall, such as a loss; ``"max"`` for those that should rise.
        factor: what the rate is multiplied by, below 1.
        patience: how many epochs without improvement are let pass.
        threshold: an improvement is more than this.
        threshold_mode: ``"rel"``: as a share of the best figure; ``"abs"``: as a difference.
        cooldown: how many epochs after a change nothing is counted.
        min_lr: the rate does not fall below.
        eps: changes of the rate that are smaller are not made.

    Raises :class:`ArgumentError` for settings out of range.

    >>> from tinygrad_cnn import Tensor, optim
    >>> optimizer = optim.SGD([Tensor([1.0], requires_grad=True)], lr=1.0)
    >>> schedule = ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (3.0, 3.0, 3.0):
    ...     schedule.step(loss)
    >>> schedule.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        if factor >= 1:
            raise ArgumentError("ReduceLROnPlateau", "factor must be below 1", got=f"factor={factor}")
        for name, value, known in (("mode", mode, ("min", "max")), ("threshold_mode", threshold_mode, ("rel", "abs"))):
            if value not in known:
                raise ArgumentError(
                    "ReduceLROnPlateau", f"no such {name}", got=repr(value), expected=" or ".join(map(repr, known))
                )
        self.mode, self.factor, self.patience, self.threshold = mode, factor, patience, threshold
        self.threshold_mode, self.cooldown, self.min_lr, self.eps = threshold_mode, cooldown, min_lr, eps
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = 0
        self.lr = optimizer.lr
        super().__init__(optimizer)

    def rate(self, epoch: int) -> float:
        """The learning rate as it is now: it follows from the figures, not from the epoch."""
        return self.lr

    def _is_better(self, figure: float) -> bool:
        sign = -1.0 if self.mode == "min" else 1.0
        if not math.isfinite(self.best):
            return sign * figure > sign * self.best
        margin = self.threshold * (abs(self.best) if self.threshold_mode == "rel" else 1.0)
        return sign * figure > sign * self.best + margin

    def step(self, metrics: Any = None) -> None:
        """One more epoch is done, and its figure was ``metrics``.

        Raises :class:`ArgumentError` without a figure.
        """
        if metrics is None:
            raise ArgumentError(
                "ReduceLROnPlateau.step", "the figure is missing", fix="call schedule.step(validation_loss)"
            )
        figure = float(metrics)
        self.last_epoch += 1
        if self._is_better(figure):
            self.best, self.num_bad_epochs = figure, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            lower = max(self.lr * self.factor, self.min_lr)
            if self.lr - lower > self.eps:
                self.lr = lower
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._set()


def _cosine(first: float, last: float, share: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2


def _line(first: float, last: float, share: float) -> float:
    return first + (last - first) * share


def _at_least_1(name: str, argument: str, value: int) -> None:
    if value < 1:
        raise ArgumentError(name, f"{argument} is counted from 1", got=f"{argument}={value}")
