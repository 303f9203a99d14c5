"""Every operation through the same tests. The rows are in ``cases.py``."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import ops
from tinygrad_cnn.graph import topological_order

from .cases import CASES, LEAVES, Case

native_executor = importlib.import_module("tinygrad_cnn.compile.native.executor")

TYPES = ("float32", "float64")
TOLERANCE = {"float32": {"rtol": 1e-5, "atol": 1e-6}, "float64": {"rtol": 1e-12, "atol": 1e-13}}

each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_type = pytest.mark.parametrize("dtype", TYPES)
each_differentiable_case = pytest.mark.parametrize("case", [case for case in CASES if case.differentiable], ids=str)


def tensors(arrays: list[np.ndarray], requires_grad: bool = True) -> list[tg.Tensor]:
    return [tg.Tensor(each, requires_grad=requires_grad and each.dtype.kind == "f") for each in arrays]


def symbolic(case: Case, dtype: str) -> tuple[list[tg.Tensor], tg.Tensor]:
    symbols = [tg.symbol(each.shape, each.dtype) for each in case.arrays(dtype)]
    return symbols, case.function(*symbols)


def gradients(case: Case, inputs: list[tg.Tensor]) -> tuple[tg.Tensor, list[tg.Tensor]]:
    """The output, and its gradient in each input that has one, for a gradient from above that is all different."""
    output = case.function(*inputs)
    above = np.linspace(-1.0, 2.0, output.numel()).reshape(output.shape).astype(output.dtype)
    wanted = [each for each in inputs if each.requires_grad]
    return output, list(tg.grad(output, wanted, above))


def test_every_operation_has_a_case():
    assert set(ops.OPERATIONS) - {case.operation for case in CASES} - set(LEAVES) == set()


def test_no_case_is_there_twice():
    assert len({str(case) for case in CASES}) == len(CASES)


@each_case
def test_the_case_calls_its_operation(case):
    _, output = symbolic(case, "float32")
    assert case.operation in [node.op.name for node in topological_order([output.node])]


@each_type
@each_case
def test_shape_and_type_are_inferred_rightly(case, dtype):
    _, symbol = symbolic(case, dtype)
    output = case.function(*tensors(case.arrays(dtype)))
    assert output.spec == symbol.spec
    assert output.array.shape == symbol.shape
    assert output.array.dtype == symbol.dtype


@each_type
@each_case
def test_the_numbers_are_right(case, dtype):
    arrays = case.arrays(dtype)
    expected = case.oracle(*arrays)
    output = case.function(*tensors(arrays))
    assert output.shape == expected.shape
    assert output.dtype == case.output_dtype(dtype)
    np.testing.assert_allclose(output.numpy(), expected, **TOLERANCE["float32" if case.dtype == "other" else dtype])


@each_differentiable_case
def test_float32_stays_float32(case):
    output, found = gradients(case, tensors(case.arrays("float32")))
    assert output.dtype == case.output_dtype("float32")
    assert {each.dtype for each in found} <= {np.dtype("float32")}


@each_case
def test_inputs_are_not_touched(case):
    arrays = case.arrays("float64")
    inputs = tensors(arrays)
    if case.differentiable:
        gradients(case, inputs)
    else:
        case.function(*inputs)
    for array, tensor in zip(arrays, inputs, strict=True):
        np.testing.assert_array_equal(tensor.numpy(), array)


@each_differentiable_case
def test_non_contiguous_inputs_give_the_same(case):
    arrays = case.arrays("float64")
    expected, expected_gradients = gradients(case, tensors(arrays))
    output, found = gradients(case, [strided(each) for each in arrays])
    np.testing.assert_allclose(output.numpy(), expected.numpy(), rtol=1e-14)
    for one, other in zip(found, expected_gradients, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-13, atol=1e-15)


def strided(array: np.ndarray) -> tg.Tensor:
    """The numbers as a view that runs backwards, with gaps, in column order."""
    spread = np.full([2 * n + 1 for n in array.T.shape], 77, array.dtype)
    spread[(slice(-2, None, -2),) * array.ndim] = array.T
    tensor = tg.Tensor(spread, requires_grad=array.dtype.kind == "f")
    return tensor[(slice(-2, None, -2),) * array.ndim].T if array.ndim else tensor


@each_differentiable_case
def test_the_gradient_is_right_in_first_and_second_order(case):
    tg.testing.check_grad(case.function, case.arrays("float64"), order=2, directions=1, **case.tolerance)


@each_case
def test_a_symbolic_graph_gives_what_eager_gives(case):
    arrays = case.arrays("float64")
    symbols, output = symbolic(case, "float64")
    expected = case.function(*tensors(arrays))
    tg.seed(0)
    found = tg.evaluate(output, dict(zip(symbols, arrays, strict=True)))
    assert found.spec == expected.spec
    np.testing.assert_array_equal(found.numpy(), expected.numpy())


@each_differentiable_case
def test_a_symbolic_gradient_gives_what_eager_gives(case):
    arrays = case.arrays("float64")
    _, expected = gradients(case, tensors(arrays))
    symbols = [tg.symbol(each.shape, each.dtype) for each in arrays]
    _, graphs = gradients(case, symbols)
    tg.seed(0)
    found = tg.evaluate(graphs, dict(zip(symbols, arrays, strict=True)))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-14, atol=1e-15)


@each_type
@each_case
def test_compiled_gives_what_eager_gives(case, dtype):
    arrays = case.arrays(dtype)
    tg.seed(0)
    expected = case.function(*tensors(arrays))
    compiled = tg.compile(case.function, executor="numpy")
    for _ in range(2):  # the second call runs in the memory of the first
        tg.seed(0)
        found = compiled(*tensors(arrays))
        assert found.spec == expected.spec
        np.testing.assert_allclose(found.numpy(), expected.numpy(), **TOLERANCE[dtype], equal_nan=True)


@each_type
@each_differentiable_case
def test_a_compiled_gradient_gives_what_eager_gives(case, dtype):
    arrays = case.arrays(dtype)
    tg.seed(0)
    output, expected = gradients(case, tensors(arrays))

    def function(*inputs):
        return gradients(case, list(inputs))

    compiled = tg.compile(function, executor="numpy")
    for _ in range(2):
        tg.seed(0)
        found_output, found = compiled(*tensors(arrays))
        for one, other in zip([found_output, *found], [output, *expected], strict=True):
            assert one.spec == other.spec
            np.testing.assert_allclose(one.numpy(), other.numpy(), **TOLERANCE[dtype], equal_nan=True)


@each_case
@pytest.mark.parametrize("lanes", [1, 16], ids="{} lanes".format)
def test_native_code_gives_what_eager_gives(case, lanes, monkeypatch):
    """The result, and the gradients where there are any, in plans that watch their memory."""
    pytest.importorskip("llvmlite", reason="native code needs llvmlite")
    monkeypatch.setattr(native_executor, "checked", True)
    monkeypatch.setattr(native_executor, "lanes_of", lambda *_: lanes)
    arrays = case.arrays("float32")

    def function(*inputs):
        return gradients(case, list(inputs)) if case.differentiable else (case.function(*inputs), [])

    tg.seed(0)
    output, expected = function(*tensors(arrays))
    compiled = tg.compile(function, executor="native")
    for _ in range(2):
        tg.seed(0)
        found_output, found = compiled(*tensors(arrays))
        for one, other in zip([found_output, *found], [output, *expected], strict=True):
            assert one.spec == other.spec
            np.testing.assert_allclose(one.numpy(), other.numpy(), **TOLERANCE["float32"], equal_nan=True)


@each_case
def test_the_strict_device_gives_what_the_cpu_gives(case):
    on_cpu, on_strict = run_on("cpu", case), run_on("strict", case)
    for one, other in zip(on_cpu, on_strict, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.gpu
@each_case
def test_a_gpu_gives_what_the_cpu_gives(case):
    for one, other in zip(run_on("cpu", case), run_on("gpu", case), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13)


def run_on(device: str, case: Case) -> list[np.ndarray]:
    """The output and the gradients, computed on that device."""
    with tg.device(device):
        inputs = tensors(case.arrays("float64"))
        if not case.differentiable:
            return [case.function(*inputs).numpy()]
        output, found = gradients(case, inputs)
        assert all(each.device == device for each in found)
        return [output.numpy(), *[each.numpy() for each in found]]


def test_a_number_everywhere_takes_the_room_of_one_element():
    array = ops.full_like(tg.Tensor([1.0]), 3.0, (1000, 1000)).array
    assert array.strides == (0, 0)


@pytest.mark.parametrize("leaf", [tg.Tensor, lambda data: tg.symbol((2,))], ids=LEAVES)
def test_leaves_have_their_operation_in_the_table(leaf: Callable[..., tg.Tensor]):
    assert leaf([1.0, 2.0]).node.op.name in LEAVES
