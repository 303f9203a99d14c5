"""The handle: what goes in, what comes out, and what may not be done to it."""

from __future__ import annotations

import copy
import operator
import weakref

import numpy as np
import pytest

import tinygrad_cnn as tg


@pytest.mark.parametrize(
    ("data", "dtype", "shape"),
    [
        (1.5, "float32", ()),
        (2, "int64", ()),
        (True, "bool", ()),
        ([[1.0, 2.0]], "float32", (1, 2)),
        ([], "float32", (0,)),
        (np.float64(1.5), "float64", ()),
        (np.zeros((2, 0, 3)), "float64", (2, 0, 3)),
        (np.zeros(3, np.float16), "float16", (3,)),
        (np.zeros(3, np.uint8), "uint8", (3,)),
        ([np.float32(1), 2.0], "float32", (2,)),
    ],
)
def test_element_types(data: object, dtype: str, shape: tuple[int, ...]) -> None:
    tensor = tg.Tensor(data)
    assert tensor.dtype == dtype
    assert tensor.shape == shape
    assert tensor.numpy().dtype == dtype


@pytest.mark.parametrize("data", ["text", None, 1j, [[1.0], [1.0, 2.0]], {"a": 1}, np.array(["a"])])
def test_what_is_no_block_of_numbers_is_refused(data: object) -> None:
    with pytest.raises(tg.DTypeError, match=r"Tensor: the data is no rectangular block"):
        tg.Tensor(data)


def test_an_explicit_type_wins() -> None:
    assert tg.Tensor([1, 2], dtype="float64").dtype == np.float64
    assert tg.Tensor(tg.Tensor([1.5]), dtype=np.int64).tolist() == [1]
    with pytest.raises(tg.DTypeError, match="no element type of tensors"):
        tg.Tensor([1], dtype="complex64")


def test_integers_have_no_gradient() -> None:
    with pytest.raises(tg.DTypeError, match="a tensor of int64 has no gradient"):
        tg.Tensor([1, 2], requires_grad=True)


def test_data_is_copied_in_and_read_only_out() -> None:
    data = np.array([1.0, 2.0])
    tensor = tg.Tensor(data)
    data[0] = 9.0
    assert tensor.tolist() == [1.0, 2.0]
    assert not tensor.numpy().flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        np.asarray(tensor)[0] = 5.0


def test_text() -> None:
    assert repr(tg.Tensor([1.0, 2.5])).startswith("Tensor([1. , 2.5]")
    assert "dtype=float64" in repr(tg.Tensor([1.0], dtype="float64"))
    assert "requires_grad=True" in repr(tg.Tensor([1.0], requires_grad=True, name="w"))
    assert "name='w'" in repr(tg.Tensor([1.0], requires_grad=True, name="w"))
    assert repr(tg.symbol((2, 3), name="x")) == "Tensor(symbolic, shape=(2, 3), dtype=float32, name='x')"
    assert "shape=(0, 3)" in repr(tg.Tensor(np.zeros((0, 3), np.float32)))


def test_python_numbers() -> None:
    assert float(tg.Tensor([[2.5]])) == 2.5
    assert int(tg.Tensor(3)) == 3
    assert [10, 20, 30][tg.Tensor(1)] == 20
    assert bool(tg.Tensor([0.0])) is False
    with pytest.raises(tg.ShapeError, match="item: the tensor has 2 elements"):
        bool(tg.Tensor([1.0, 2.0]))
    with pytest.raises(tg.DTypeError, match="no whole number"):
        operator.index(tg.Tensor(1.0))


def test_lengths_and_iteration() -> None:
    tensor = tg.Tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert len(tensor) == 3
    assert [row.tolist() for row in tensor] == [[1, 2], [3, 4], [5, 6]]
    assert (tensor.ndim, tensor.numel(), tensor.size(), tensor.size(1)) == (2, 6, (3, 2), 2)
    with pytest.raises(tg.ShapeError, match="without axes has no length"):
        len(tg.Tensor(1.0))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda a, b: a + b, [5, 7]),
        (lambda a, b: 1 + a, [2, 3]),
        (lambda a, b: a - b, [-3, -3]),
        (lambda a, b: 1 - a, [0, -1]),
        (lambda a, b: a * b, [4, 10]),
        (lambda a, b: 2 * a, [2, 4]),
        (lambda a, b: b / a, [4, 2.5]),
        (lambda a, b: 2 / a, [2, 1]),
        (lambda a, b: a**b, [1, 32]),
        (lambda a, b: 2**a, [2, 4]),
        (lambda a, b: a @ b, 14),
        (lambda a, b: -a, [-1, -2]),
        (lambda a, b: +a, [1, 2]),
        (lambda a, b: abs(-a), [1, 2]),
        (lambda a, b: a == b - 3, [True, True]),
        (lambda a, b: a != 1, [False, True]),
        (lambda a, b: a < 2, [True, False]),
        (lambda a, b: a <= 1, [True, False]),
        (lambda a, b: a > 1, [False, True]),
        (lambda a, b: a >= 2, [False, True]),
        (lambda a, b: ~(a > 1), [True, False]),
        (lambda a, b: a.T, [1, 2]),
        (lambda a, b: a[1], 2),
    ],
)
def test_operators(function, expected) -> None:
    assert function(tg.Tensor([1.0, 2.0]), tg.Tensor([4.0, 5.0])).tolist() == expected


METHODS = {
    "exp": (), "log": (), "sqrt": (), "abs": (), "relu": (), "sigmoid": (), "tanh": (), "clip": (0.5, 2.5), "sum": (1,),
    "mean": (0,), "var": (1, 0), "std": (1,), "amax": (1,), "amin": (0,), "argmax": (1,), "argmin": (0,),
    "logsumexp": (1, True), "flatten": (), "squeeze": (), "unsqueeze": (0,), "transpose": (0, 1), "matmul": (),
    "reshape": ((3, 2),), "permute": ((1, 0),), "broadcast_to": ((4, 2, 3),), "flip": ((0,),),
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_the_functions(name: str) -> None:
    tensor = tg.Tensor([[1.0, 2.0, 3.0], [6.0, 5.0, 4.0]])
    arguments = (tensor.T,) if name == "matmul" else METHODS[name]
    method, function = getattr(tensor, name)(*arguments), getattr(tg, name)(tensor, *arguments)
    np.testing.assert_array_equal(method.numpy(), function.numpy())


def test_shapes_may_be_given_as_numbers_or_as_a_tuple() -> None:
    tensor = tg.Tensor(np.zeros((2, 3, 4), np.float32))
    assert tensor.reshape(4, -1).shape == tensor.reshape((4, 6)).shape == (4, 6)
    assert tensor.permute(2, 0, 1).shape == tensor.permute([2, 0, 1]).shape == (4, 2, 3)
    assert tensor.flip(0, 1).shape == tensor.shape


def test_assign_replaces_the_numbers_of_a_leaf() -> None:
    x = tg.Tensor([1.0, 2.0], requires_grad=True, name="x")
    assert x.assign(x.detach() * 3) is x
    assert x.tolist() == [3.0, 6.0]
    assert x.requires_grad
    assert x.name == "x"
    assert x.assign(0.5 * tg.Tensor([1.0, 1.0])).tolist() == [0.5, 0.5]
    with pytest.raises(tg.ShapeError, match="cannot take"):
        x.assign([1.0])
    with pytest.raises(tg.DTypeError, match="different element types"):
        x.assign(tg.Tensor([1, 2]))
    with pytest.raises(tg.GraphError, match="only leaves"):
        (x * 2).assign([1.0, 2.0])
    elsewhere = tg.Tensor([1.0, 2.0], device="cpu" if x.device == "strict" else "strict")
    with pytest.raises(tg.DeviceError, match="cannot take numbers on"):
        x.assign(elsewhere)


def test_a_gradient_finds_its_leaf_after_an_assignment() -> None:
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    y = (x * x).sum()
    x.assign([10.0, 20.0])
    assert tg.grad(y, x).tolist() == [2.0, 4.0]
    y.backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_detach_cuts_the_graph() -> None:
    x = tg.Tensor([2.0], requires_grad=True)
    y = x * x.detach()
    y.backward()
    assert x.grad.tolist() == [2.0]
    assert not x.detach().requires_grad


def test_requires_grad_can_be_set_on_leaves_only() -> None:
    x = tg.Tensor([2.0])
    x.requires_grad = True
    assert tg.grad(x * x, x).tolist() == [4.0]
    with pytest.raises(tg.GraphError, match="only a leaf"):
        (x * 2).requires_grad_(False)
    assert not x.requires_grad_(False).requires_grad


def test_to_another_type_carries_the_gradient_back() -> None:
    x = tg.Tensor([2.0], requires_grad=True)
    (x.double() * 3).float().backward()
    assert x.grad.tolist() == [3.0]
    assert x.grad.dtype == np.float32
    with pytest.raises(tg.DTypeError, match="neither an element type nor a device"):
        x.to("cuda")


def test_deepcopy_makes_a_leaf_of_its_own() -> None:
    x = tg.Tensor([2.0], requires_grad=True)
    twin = copy.deepcopy(x)
    (twin * 3).backward()
    assert twin.grad.tolist() == [3.0]
    assert x.grad is None
    with pytest.raises(tg.GraphError, match="only leaves can be copied"):
        copy.deepcopy(x * 2)


def test_in_place_operators_bind_a_new_tensor() -> None:
    x = tg.Tensor([1.0])
    old = x
    x += 1.0
    assert (old.tolist(), x.tolist()) == ([1.0], [2.0])


def test_a_tensor_can_be_a_key_although_it_compares_by_element() -> None:
    x, y = tg.Tensor([1.0]), tg.Tensor([1.0])
    assert {x: "x", y: "y"}[x] == "x"


def test_a_leaf_is_not_kept_alive_by_its_own_node() -> None:
    x = tg.Tensor([1.0], requires_grad=True)
    gone = weakref.ref(x)
    y = (x * 2).sum()
    del x
    assert gone() is None
    with pytest.raises(tg.GraphError, match="nothing that this tensor depends on"):
        y.backward()
