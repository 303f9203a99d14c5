"""Every operation against PyTorch: output, gradient, and gradient of the gradient. The rows are in ``cases.py``."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

import tinygrad_cnn as tg  # noqa: E402

from .cases import CASES, Case  # noqa: E402

pytestmark = pytest.mark.torch

TOLERANCE = {"float64": 1e-9, "float32": 1e-4}

each_case = pytest.mark.parametrize("case", CASES, ids=str)


class Ours:
    """What the comparison needs of this package."""

    @staticmethod
    def leaf(array: np.ndarray) -> tg.Tensor:
        return tg.Tensor(array, requires_grad=array.dtype.kind == "f")

    @staticmethod
    def gradients(output: tg.Tensor, inputs: Sequence[tg.Tensor]) -> list[tg.Tensor]:
        return list(tg.grad(output, inputs))

    constant = staticmethod(tg.Tensor)

    @staticmethod
    def numbers(tensor: tg.Tensor) -> np.ndarray:
        return tensor.numpy()


class Theirs:
    """The same of PyTorch."""

    @staticmethod
    def leaf(array: np.ndarray) -> Any:
        return torch.from_numpy(array).requires_grad_(array.dtype.kind == "f")

    @staticmethod
    def gradients(output: Any, inputs: Sequence[Any]) -> list[Any]:
        return list(torch.autograd.grad(output, inputs, create_graph=True, materialize_grads=True))

    constant = staticmethod(torch.from_numpy)

    @staticmethod
    def numbers(tensor: Any) -> np.ndarray:
        return np.asarray(tensor.detach().numpy(force=True))


def drawn(case: Case, dtype: str) -> list[np.ndarray]:
    random = np.random.default_rng(zlib.crc32(case.label.encode()))
    arrays = [np.asarray(draw(random, shape)) for shape, draw in case.inputs]
    return [each.astype(dtype) if each.dtype.kind == "f" else each for each in arrays]


def spread(array: np.ndarray) -> np.ndarray:
    """The numbers in column order, with gaps between them, as a NumPy array that is not contiguous either."""
    with_gaps = np.stack([array, np.full_like(array, 7)])
    return with_gaps.T


def gathered(tensor: Any) -> Any:
    """What :func:`spread` was made of, as a view."""
    first = tensor[..., 0]
    return first.permute(tuple(range(first.ndim))[::-1]) if first.ndim > 1 else first


def results(library: Any, function: Any, arrays: list[np.ndarray], contiguous: bool, order: int) -> list[np.ndarray]:
    """All outputs, the gradients in all floating-point inputs, and with ``order=2`` the gradients of these."""
    leaves = [library.leaf(each if contiguous or each.dtype.kind != "f" else spread(each)) for each in arrays]
    inputs = [
        leaf if contiguous or array.dtype.kind != "f" else gathered(leaf)
        for leaf, array in zip(leaves, arrays, strict=True)
    ]
    outputs = function(*inputs)
    outputs = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
    found = [library.numbers(each) for each in outputs]
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    for _ in range(order):
        random = np.random.default_rng(9)
        weights = [random.uniform(0.5, 1.5, tuple(each.shape)) for each in outputs]
        terms = [
            (each * library.constant(weight.astype(library.numbers(each).dtype))).sum()
            for each, weight in zip(outputs, map(np.asarray, weights), strict=True)
            if each.requires_grad
        ]
        outputs = library.gradients(sum(terms), wanted) if terms and wanted else [each * 0 for each in wanted]
        found += [library.numbers(each) for each in outputs]
    return found


def compare(case: Case, dtype: str, contiguous: bool = True, order: int = 1) -> float:
    """The largest error, in relation to the size of the numbers where that is above 1."""
    arrays = drawn(case, dtype)
    ours = results(Ours, case.ours, arrays, contiguous, order)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of variances of nothing, and of even kernels with "same"
        theirs = results(Theirs, case.theirs, arrays, contiguous, order)
    return largest_error(ours, theirs, TOLERANCE[dtype])


def largest_error(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray], tolerance: float) -> float:
    assert [each.shape for each in ours] == [each.shape for each in theirs]
    assert [each.dtype for each in ours] == [each.dtype for each in theirs]
    largest = 0.0
    for one, other in zip(ours, theirs, strict=True):
        if one.dtype.kind != "f" or not one.size:
            np.testing.assert_array_equal(one, other)
            continue
        finite = np.isfinite(other)
        np.testing.assert_array_equal(one[~finite], other[~finite])
        scale = float(np.max(np.abs(other[finite]), initial=1.0))
        np.testing.assert_allclose(one[finite], other[finite], rtol=tolerance, atol=tolerance * scale)
        largest = max(largest, float(np.max(np.abs(one - other)[finite], initial=0.0)) / scale)
    return largest


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("contiguous", [True, False], ids=["contiguous", "strided"])
@each_case
def test_output_and_gradient_agree(case, contiguous, dtype):
    compare(case, dtype, contiguous)


@pytest.mark.parametrize("case", [case for case in CASES if case.twice], ids=str)
def test_the_gradient_of_the_gradient_agrees(case):
    compare(case, "float64", order=2)


def test_no_case_is_there_twice():
    labels = [case.label for case in CASES]
    assert len(labels) == len(set(labels))
