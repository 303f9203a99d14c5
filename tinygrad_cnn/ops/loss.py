"""Losses: one number for how far predictions are from what they should be."""

from __future__ import annotations

from ..errors import ArgumentError, ShapeError
from ..tensor import Tensor, TensorLike
from .base import as_tensor
from .elementwise import abs, add, clip, exp, log, masked, mul, ne, neg, softplus, square, sub, where
from .index import take_along_dim
from .reduce import log_softmax, mean, sum
from .shape import reshape, squeeze, unsqueeze


def cross_entropy(
    input: TensorLike,
    target: TensorLike,
    weight: Tensor | None = None,
    ignore_index: int | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """``-log softmax(input)[target]``: how surprised the model is by the right class, in nats.

    Args:
        input: logits ``(N, C)``, or ``(N, C, ...)`` with one prediction at each place, or ``(C,)``.
        target: class numbers ``(N,)`` or ``(N, ...)``, or probabilities of the shape of ``input``.
        weight: ``(C,)``, how much a prediction counts, by its class.
        ignore_index: a class number that marks predictions which do not count.
        reduction: ``"mean"`` (over what counts), ``"sum"`` or ``"none"``.
        label_smoothing: the share of the probability that is spread over all classes, from 0 to 1. (Szegedy et al.,
            2016, section 7)

    Raises :class:`ShapeError` where the shapes do not fit, :class:`ArgumentError` for a class that does not exist and
    for a ``label_smoothing`` outside 0 to 1.

    >>> cross_entropy(Tensor([[0.0, 0.0]]), Tensor([1]))
    Tensor(0.6931472)
    """
    logits, target = as_tensor(input), as_tensor(target)
    if not 0 <= label_smoothing <= 1:
        raise ArgumentError(
            "cross_entropy", "label_smoothing is no share", got=f"label_smoothing={label_smoothing}",
            expected="0 <= label_smoothing <= 1",
        )  # fmt: skip
    class_dim = _class_dim("cross_entropy", logits)
    log_probability = log_softmax(logits, class_dim)
    classes = logits.shape[class_dim]
    if target.dtype.kind != "f":
        loss, counts = _chosen("cross_entropy", log_probability, target, weight, ignore_index)
        if label_smoothing:
            spread = neg(sum(_weighted("cross_entropy", log_probability, weight), class_dim))
            spread = spread if ignore_index is None else masked(spread, ne(target, ignore_index))
            loss = add(mul(loss, 1 - label_smoothing), mul(spread, label_smoothing / classes))
        return _averaged("cross_entropy", loss, counts, reduction)
    if target.shape != logits.shape:
        raise ShapeError(
            "cross_entropy", "the probabilities do not fit the logits",
            got=f"input {logits.spec!r}, target {target.spec!r}", expected=f"target.shape = {logits.shape}",
            fix="class numbers need an integer type: target.to('int64')",
        )  # fmt: skip
    if ignore_index is not None:
        raise ArgumentError(
            "cross_entropy", "probabilities have no class number to ignore", got=f"ignore_index={ignore_index}",
            fix="set the rows that do not count to probability 0 for every class",
        )  # fmt: skip
    if label_smoothing:
        target = add(mul(target, 1 - label_smoothing), label_smoothing / classes)
    return _reduced(
        "cross_entropy",
        neg(sum(mul(target, _weighted("cross_entropy", log_probability, weight)), class_dim)),
        reduction,
    )


def nll_loss(
    input: TensorLike,
    target: TensorLike,
    weight: Tensor | None = None,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``-input[target]`` for log-probabilities: :func:`cross_entropy` without its softmax. Arguments as there.

    Raises what :func:`cross_entropy` raises.

    >>> nll_loss(Tensor([[-0.5, -2.0]]), Tensor([1]))
    Tensor(2.)
    """
    log_probability, target = as_tensor(input), as_tensor(target)
    _class_dim("nll_loss", log_probability)
    return _averaged(
        "nll_loss", *_chosen("nll_loss", log_probability, target, weight, ignore_index), reduction
    )  # fmt: skip


def _class_dim(name: str, input: Tensor) -> int:
    if input.ndim == 0:
        raise ShapeError(name, "the input has no class axis", got=repr(input.spec), expected="(N, C, ...)")
    return 0 if input.ndim == 1 else 1


def _chosen(
    name: str, log_probability: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int | None
) -> tuple[Tensor, Tensor | None]:
    """The loss of each prediction, and how much each counts if they do not count alike."""
    class_dim = _class_dim(name, log_probability)
    places = (*log_probability.shape[:class_dim], *log_probability.shape[class_dim + 1 :])
    if target.shape != places:
        raise ShapeError(
            name,
            "the class numbers do not fit the logits",
            got=f"input {log_probability.spec!r}, target {target.spec!r}",
            expected=f"one class number for each prediction: target.shape = {places}",
            fix="the classes are on axis 1 of the input: move them there with permute, or squeeze the target",
        )
    valid = None if ignore_index is None else ne(target, ignore_index)
    if valid is not None:
        target = where(valid, target, 0)
    counts = None if valid is None else valid.to(log_probability.dtype)
    chosen = squeeze(take_along_dim(log_probability, unsqueeze(target, class_dim), class_dim), class_dim)
    if valid is not None:
        chosen = masked(chosen, valid)  # a product would keep the NaN of a prediction that does not count
    if weight is not None:
        _check_weight(name, weight, log_probability.shape[class_dim])
        by_class = weight[target]
        chosen = mul(chosen, by_class)
        counts = by_class if counts is None else mul(by_class, counts)
    return neg(chosen), counts


def _check_weight(name: str, weight: Tensor, classes: int) -> None:
    if weight.shape != (classes,):
        raise ShapeError(
            name, f"weight has shape {weight.shape} for {classes} classes", got=f"weight {weight.spec!r}",
            expected=f"one number for each class: ({classes},)",
        )  # fmt: skip


def _weighted(name: str, log_probability: Tensor, weight: Tensor | None) -> Tensor:
    """The log-probabilities times the weights of their classes."""
    if weight is None:
        return log_probability
    class_dim = _class_dim(name, log_probability)
    _check_weight(name, weight, log_probability.shape[class_dim])
    return mul(log_probability, reshape(weight, (-1, *[1] * (log_probability.ndim - 1 - class_dim))))


def _averaged(name: str, losses: Tensor, counts: Tensor | None, reduction: str) -> Tensor:
    """Reduced; a mean is one over what counts."""
    if counts is None or reduction != "mean":
        return _reduced(name, losses, reduction)
    return sum(losses) / sum(counts)


def binary_cross_entropy_with_logits(
    input: TensorLike,
    target: TensorLike,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """``-t log sigmoid(x) - (1 - t) log sigmoid(-x)``, as ``t softplus(-x) + (1 - t) softplus(x)``: exact.

    Args:
        input: logits, any shape.
        target: probabilities from 0 to 1, of the same shape and type.
        weight: how much each element counts; broadcast to the shape of the input.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        pos_weight: how much the first term counts; broadcast likewise.

    Raises :class:`ShapeError` where the shapes differ.

    >>> binary_cross_entropy_with_logits(Tensor([-40.0, 40.0]), Tensor([1.0, 1.0]), reduction="none")
    Tensor([4.000000e+01, 4.248354e-18])
    """
    x, target = _same_shape("binary_cross_entropy_with_logits", input, target)
    hit = mul(target, softplus(neg(x)))
    loss = add(hit if pos_weight is None else mul(hit, pos_weight), mul(sub(1.0, target), softplus(x)))
    return _reduced("binary_cross_entropy_with_logits", loss if weight is None else mul(loss, weight), reduction)


def binary_cross_entropy(
    input: TensorLike, target: TensorLike, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """``-t log(p) - (1 - t) log(1 - p)`` for probabilities; a logarithm is never below -100, as in PyTorch.

    :func:`binary_cross_entropy_with_logits` is exact where this one has lost its digits.

    Args:
        input: probabilities from 0 to 1, any shape.
        target: of the same shape and type.
        weight: how much each element counts; broadcast to the shape of the input.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Raises :class:`ShapeError` where the shapes differ.

    >>> binary_cross_entropy(Tensor([0.5]), Tensor([1.0]))
    Tensor(0.6931472)
    """
    p, target = _same_shape("binary_cross_entropy", input, target)
    loss = neg(add(mul(target, _log_of_share(p)), mul(sub(1.0, target), _log_of_share(sub(1.0, p)))))
    return _reduced("binary_cross_entropy", loss if weight is None else mul(loss, weight), reduction)


def _log_of_share(p: Tensor) -> Tensor:
    """The logarithm, but at least -100, without a gradient there."""
    some = p > 0.0
    return clip(where(some, log(where(some, p, 1.0)), -100.0), min=-100.0)


def mse_loss(input: TensorLike, target: TensorLike, reduction: str = "mean") -> Tensor:
    """``(input - target)^2``.

    Args:
        input: any shape.
        target: of the same shape and type: broadcasting here is almost always a mistake.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Raises :class:`ShapeError` where the shapes differ.

    >>> mse_loss(Tensor([1.0, 2.0]), Tensor([1.0, 4.0]))
    Tensor(2.)
    """
    x, target = _same_shape("mse_loss", input, target)
    return _reduced("mse_loss", square(sub(x, target)), reduction)


def l1_loss(input: TensorLike, target: TensorLike, reduction: str = "mean") -> Tensor:
    """``|input - target|``. Arguments as for :func:`mse_loss`.

    >>> l1_loss(Tensor([1.0, 2.0]), Tensor([1.0, 4.0]))
    Tensor(1.)
    """
    x, target = _same_shape("l1_loss", input, target)
    return _reduced("l1_loss", abs(sub(x, target)), reduction)


def smooth_l1_loss(input: TensorLike, target: TensorLike, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """``d^2 / (2 beta)`` where ``|d| < beta``, else ``|d| - beta / 2``, for ``d = input - target``. (Girshick, 2015)

    Raises :class:`ArgumentError` for a ``beta`` below 0, and what :func:`mse_loss` raises.

    >>> smooth_l1_loss(Tensor([0.0, 0.0]), Tensor([0.5, 3.0]), reduction="none")
    Tensor([0.125, 2.5  ])
    """
    if beta < 0:
        raise ArgumentError("smooth_l1_loss", "beta is a length", got=f"beta={beta}", expected="0 or more")
    if beta == 0:
        return l1_loss(input, target, reduction)
    return mul(huber_loss(input, target, reduction, beta), 1 / beta)


def huber_loss(input: TensorLike, target: TensorLike, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """``d^2 / 2`` where ``|d| <= delta``, else ``delta (|d| - delta / 2)``, for ``d = input - target``. (Huber, 1964)

    Raises :class:`ArgumentError` unless ``delta`` is above 0, and what :func:`mse_loss` raises.

    >>> huber_loss(Tensor([0.0, 0.0]), Tensor([0.5, 3.0]), reduction="none")
    Tensor([0.125, 2.5  ])
    """
    if not delta > 0:
        raise ArgumentError("huber_loss", "delta is a length", got=f"delta={delta}", expected="above 0")
    x, target = _same_shape("huber_loss", input, target)
    distance = sub(x, target)
    far = abs(distance)
    return _reduced(
        "huber_loss", where(far <= delta, mul(square(distance), 0.5), mul(sub(far, delta / 2), delta)), reduction
    )  # fmt: skip


def kl_div(input: TensorLike, target: TensorLike, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """``t (log t - input)``: how far log-probabilities are from a distribution. (Kullback and Leibler, 1951)

    Args:
        input: log-probabilities, any shape.
        target: probabilities of the same shape; their logarithms with ``log_target``.
        reduction: ``"batchmean"`` is the definition: the sum over everything divided by N; ``"mean"`` divides by the
            number of elements; or ``"sum"`` or ``"none"``.
        log_target: whether the target is given as logarithms.

    Raises :class:`ShapeError` where the shapes differ.

    >>> kl_div(Tensor([[0.0, 0.0]]), Tensor([[1.0, 0.0]]), reduction="batchmean")
    Tensor(0.)
    """
    x, target = _same_shape("kl_div", input, target)
    if log_target:
        loss = mul(exp(target), sub(target, x))
    else:
        some = target > 0.0
        loss = masked(mul(target, sub(log(where(some, target, 1.0)), x)), some)
    if reduction == "batchmean":
        return mul(sum(loss), 1 / max(x.shape[0] if x.ndim else 1, 1))
    return _reduced("kl_div", loss, reduction)


def _same_shape(name: str, input: TensorLike, target: TensorLike) -> tuple[Tensor, Tensor]:
    x, target = as_tensor(input), as_tensor(target)
    if x.shape != target.shape:
        raise ShapeError(
            name, "input and target have different shapes", got=f"input {x.spec!r}, target {target.spec!r}",
            expected="one shape", fix="reshape one of them; a missing axis of length 1 is the usual cause",
        )  # fmt: skip
    return x, target


def _reduced(name: str, losses: Tensor, reduction: str) -> Tensor:
    if reduction not in ("mean", "sum", "none"):
        raise ArgumentError(name, "no such reduction", got=repr(reduction), expected="'mean', 'sum' or 'none'")
    return mean(losses) if reduction == "mean" else sum(losses) if reduction == "sum" else losses
