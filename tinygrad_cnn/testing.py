"""The gradient checker: gradient rules against finite differences.

A function ``y(x)`` of many outputs is turned into numbers ``s = sum(u * y)`` with random ``u``, none of them near 0, so
that every entry of the Jacobian counts. The rule gives the gradient of ``s`` in one backward pass; each of its elements
is compared with ``(s(x + h) - s(x - h)) / 2h``, where ``h`` is added to that one element of ``x``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .autodiff import grad
from .errors import ArgumentError, TinygradCnnError
from .tensor import Tensor, TensorLike

Function = Callable[..., Tensor | Sequence[Tensor]]
"""Takes tensors, gives a tensor or several."""


class GradientError(TinygradCnnError, AssertionError):
    """A gradient rule and finite differences disagree."""


@dataclass(frozen=True)
class _Point:
    """Where a function is checked, and how closely."""

    arrays: tuple[np.ndarray, ...]
    labels: tuple[str, ...]
    eps: float
    rtol: float
    atol: float
    random: np.random.Generator

    def tensors(self, position: int | None = None, place: int = 0, shift: float = 0.0) -> list[Tensor]:
        """Leaves that require a gradient; one element of one of them may be shifted."""
        tensors = []
        for each, array in enumerate(self.arrays):
            if each == position:
                array = array.copy()
                array.flat[place] += shift
            tensors.append(Tensor(array, requires_grad=array.dtype.kind == "f"))
        return tensors

    def directions(self, shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
        """For each output random numbers between 0.5 and 1.5 in size, of either sign."""
        return [
            np.asarray(self.random.uniform(0.5, 1.5, shape) * self.random.choice([-1.0, 1.0], shape))
            for shape in shapes
        ]


def check_grad(
    fn: Function,
    inputs: TensorLike | Sequence[TensorLike],
    order: int = 1,
    *,
    eps: float = 1e-5,
    rtol: float = 1e-5,
    atol: float = 1e-7,
    directions: int = 2,
    seed: int = 0,
) -> None:
    """Hold the gradient of ``fn`` in each element of each input against central finite differences.

    Args:
        fn: takes tensors, gives a tensor or several; what is not floating-point among them is passed over. It must be
            smooth at the inputs, and give the same numbers for the same inputs: seed random numbers inside.
        inputs: a list or tuple of arguments, or a single one: arrays, numbers or tensors. Floating-point ones are
            copied in float64, because float32 is too coarse for differences; integers and booleans stay as they are.
        order: 1 checks the gradient; 2 also checks the gradient of the gradient, in the inputs and in the gradient
            that came from above; and so on.
        eps: the step, for elements of size up to 1; it grows with larger ones.
        rtol: how far the two may differ in relation to the larger one.
        atol: and on top of that.
        directions: how many times, each with other random weights of the outputs.
        seed: where these weights come from.

    Raises :class:`GradientError`, an ``AssertionError``, that names the input, the element and both numbers;
    :class:`ArgumentError` for an ``order`` below 1 and a function that cannot be checked.

    >>> check_grad(lambda a, b: a * b.exp(), ([1.0, 2.0], [0.5, -0.5]), order=2)
    """
    if order < 1:
        raise ArgumentError("check_grad", "there is no such order", got=f"order={order}", expected="1, 2, ...")
    given = inputs if isinstance(inputs, list | tuple) else [inputs]
    arrays = tuple(_in_float64(each) for each in given)
    labels = tuple(f"input {position}" for position in range(len(arrays)))
    point = _Point(arrays, labels, eps, rtol, atol, np.random.default_rng(seed))
    for level in range(1, order + 1):
        outputs = _checked_outputs(fn, point)
        for _ in range(directions):
            _check(fn, point, point.directions([each.shape for each in outputs]), level)
        if level < order:
            fn, point = _gradient_function(fn, point, [each.shape for each in outputs])


def _in_float64(value: TensorLike) -> np.ndarray:
    host = (value if isinstance(value, Tensor) else Tensor(value, device="cpu")).numpy()
    if host.dtype.kind != "f":
        return host
    # A Tensor made from Python numbers is float32: read those numbers afresh, in full.
    return np.array(host if isinstance(value, Tensor) else value, dtype=np.float64)


def _floating(outputs: Tensor | Sequence[Tensor]) -> list[Tensor]:
    """The outputs that have a gradient."""
    return [each for each in ([outputs] if isinstance(outputs, Tensor) else outputs) if each.dtype.kind == "f"]


def _checked_outputs(fn: Function, point: _Point) -> list[Tensor]:
    """The outputs at the point, once it is known that the function can be checked at all."""
    first, second = [_floating(fn(*point.tensors())) for _ in range(2)]
    if not first:
        raise ArgumentError("check_grad", "the function gives no floating-point tensor: it has no gradient")
    if any(not np.array_equal(a.numpy(), b.numpy(), equal_nan=True) for a, b in zip(first, second, strict=True)):
        raise ArgumentError(
            "check_grad", "the function gives other numbers when it is called again",
            fix="start the random numbers inside it: tg.seed(0)",
        )  # fmt: skip
    return first


def _gradient_function(fn: Function, point: _Point, shapes: Sequence[tuple[int, ...]]) -> tuple[Function, _Point]:
    """The gradients of ``fn`` as a function of its inputs and of the gradients from above, and where to check it."""
    count = len(point.arrays)

    def gradients(*tensors: Tensor) -> list[Tensor]:
        inputs, above = tensors[:count], tensors[count:]
        wanted = [each for each in inputs if each.requires_grad]
        outputs = _floating(fn(*inputs))
        parts = [grad(y, wanted, u.to(y.dtype)) for y, u in zip(outputs, above, strict=True) if y.requires_grad]
        totals = list(parts[0]) if parts else [each * 0.0 for each in wanted]  # nothing depends on an input
        for part in parts[1:]:
            totals = [total + each for total, each in zip(totals, part, strict=True)]
        return totals

    above = point.directions(shapes)
    labels = tuple(f"the gradient from above, of output {position}" for position in range(len(above)))
    return gradients, _Point(
        (*point.arrays, *above), point.labels + labels, point.eps, point.rtol, point.atol, point.random
    )


def _check(fn: Function, point: _Point, weights: list[np.ndarray], level: int) -> None:
    """Compare all elements of all inputs, for one choice of the outputs' weights."""
    inputs = point.tensors()
    outputs = _floating(fn(*inputs))
    for position, tensor in enumerate(inputs):
        if not tensor.requires_grad:
            continue
        by_rule = np.zeros(tensor.shape)
        for output, weight in zip(outputs, weights, strict=True):
            if output.requires_grad:
                by_rule += grad(output, tensor, Tensor(weight, dtype=output.dtype)).numpy()
        by_difference = _differences(fn, point, position, weights)
        _compare(point, position, level, by_rule, by_difference)


def _differences(fn: Function, point: _Point, position: int, weights: list[np.ndarray]) -> np.ndarray:
    """The slope of the weighted outputs in each element of one input."""
    array = point.arrays[position]
    slopes = np.zeros(array.shape)
    for place in range(array.size):
        step = point.eps * max(1.0, abs(float(array.flat[place])))
        above = _floating(fn(*point.tensors(position, place, step)))
        below = _floating(fn(*point.tensors(position, place, -step)))
        # Outputs are subtracted before they are added up: what does not change drops out without rounding.
        with np.errstate(invalid="ignore"):
            slopes.flat[place] = sum(
                float(np.sum(weight * (a.numpy() - b.numpy()))) / (2 * step)
                for weight, a, b in zip(weights, above, below, strict=True)
            )
    return slopes


def _compare(point: _Point, position: int, level: int, by_rule: np.ndarray, by_difference: np.ndarray) -> None:
    larger = np.maximum(np.abs(by_rule), np.abs(by_difference))
    with np.errstate(invalid="ignore"):
        apart = np.abs(by_rule - by_difference)
        wrong = ~(apart <= point.atol + point.rtol * larger) | ~np.isfinite(apart)
        excess = np.where(wrong, apart / np.where(larger > 0, larger, 1.0), -1.0)
    if not wrong.any():
        return
    worst = np.unravel_index(np.argmax(excess), excess.shape)
    element = tuple(int(each) for each in worst)
    what = "the gradient" if level == 1 else f"the derivative of order {level}"
    raise GradientError(
        "check_grad",
        f"{what} in {point.labels[position]} is wrong in {wrong.sum()} of {wrong.size} elements",
        got=f"{by_rule[worst]:.9g} at element {element}, by finite differences {by_difference[worst]:.9g}; "
        f"relative error {excess[worst]:.3g}",
        expected=f"a difference of at most {point.atol:g} + {point.rtol:g} * {larger[worst]:.6g}",
        fix=_hint(by_rule, by_difference),
    )


def _hint(by_rule: np.ndarray, by_difference: np.ndarray) -> str:
    """What kind of mistake it looks like."""
    if not (np.isfinite(by_rule).all() and np.isfinite(by_difference).all()):
        return "not every number is finite: check at a point where the function and its slope are"
    if not by_rule.any():
        return "the rule gives 0 everywhere: does its vjp leave this input out, or the function cut it off?"
    counts = np.abs(by_difference) > 1e-6
    if counts.any():
        ratios = by_rule[counts] / by_difference[counts]
        if np.ptp(ratios) <= 1e-4 * np.abs(ratios).max():
            return f"the rule gives {ratios.mean():.6g} times the right number everywhere: look for a factor or a sign"
    return "look at the vjp of the operation; at a kink, such as relu at 0, check at another point"
