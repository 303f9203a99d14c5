"""Devices: choosing, moving, mixing, and the strict stand-in for a GPU."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import ops
from tinygrad_cnn.backend import get_device, strict
from tinygrad_cnn.errors import ArgumentError, DeviceError

NUMBERS = np.arange(6.0).reshape(2, 3)


@pytest.fixture
def array():
    return strict.from_host(NUMBERS)


# Choosing and moving


def test_new_tensors_go_to_the_default_device():
    with tg.device("strict"):
        assert tg.Tensor(NUMBERS).device == "strict"
        with tg.device("cpu"):
            assert tg.Tensor(NUMBERS).device == "cpu"
        assert (tg.Tensor(NUMBERS) + 1.0).device == "strict"


def test_tensors_move_there_and_back():
    x = tg.Tensor(NUMBERS, device="cpu")
    there = x.to("strict")
    assert (there.device, type(there.array)) == ("strict", strict.StrictArray)
    back = there.to("cpu")
    assert (back.device, type(back.array)) == ("cpu", np.ndarray)
    np.testing.assert_array_equal(back.numpy(), NUMBERS)
    assert x.to("cpu") is x


def test_gradients_move_back():
    x = tg.Tensor(NUMBERS, device="cpu", requires_grad=True)
    y = x.to("strict")
    (y * y).sum().backward()
    assert x.grad.device == "cpu"
    np.testing.assert_array_equal(x.grad.numpy(), 2 * NUMBERS)


def test_mixing_devices_is_an_error_that_names_both():
    with pytest.raises(DeviceError, match=r"'cpu'.*'strict'"):
        tg.Tensor(NUMBERS, device="cpu") + tg.Tensor(NUMBERS, device="strict")


def test_an_unknown_device_is_an_error_that_lists_those_there_are():
    with pytest.raises(ArgumentError, match=r"(?s)'tpu'.*'cpu', 'gpu'"), tg.device("tpu"):
        pass


def test_the_same_seed_gives_the_same_numbers_on_every_device():
    drawn = []
    for name in ("cpu", "strict"):
        with tg.device(name):
            tg.seed(5)
            drawn.append(ops.dropout(tg.Tensor(np.ones(100))).numpy())
    np.testing.assert_array_equal(*drawn)


def test_memory_is_not_shared_with_the_host():
    host = NUMBERS.copy()
    array = strict.from_host(host)
    host[0, 0] = 99.0
    strict.to_host(array)[0, 1] = 99.0
    np.testing.assert_array_equal(strict.to_host(array), NUMBERS)


# The strict stand-in refuses what CuPy refuses


MIXTURES = {
    "np.asarray(device)": np.asarray,
    "np.array([device])": lambda a: np.array([a]),
    "np.add(device, 1)": lambda a: np.add(a, 1),
    "np.exp(device)": np.exp,
    "np.sum(device)": np.sum,
    "np.concatenate([device])": lambda a: np.concatenate([a, a]),
    "host + device": lambda a: NUMBERS + a,
    "device + host": lambda a: a + NUMBERS,
    "host @ device": lambda a: NUMBERS.T @ a,
    "device == host": lambda a: a == NUMBERS,
    "device += host": lambda a: a.__iadd__(NUMBERS),
    "device * numpy scalar": lambda a: a * np.float64(2),
    "numpy scalar * device": lambda a: np.float64(2) * a,
    "host[device]": lambda a: NUMBERS[a > 0],
    "device[host]": lambda a: a[np.array([0])],
    "device[host, :]": lambda a: a[np.array([0]), :],
    "device[0] = host": lambda a: a.__setitem__(0, NUMBERS[0]),
    "device[host] = 1": lambda a: a.__setitem__(np.array([0]), 1.0),
    "host[0] = device": lambda a: NUMBERS.copy().__setitem__(0, a[0]),
    "xp.add(device, host)": lambda a: strict.xp.add(a, NUMBERS),
    "xp.add(host, host)": lambda a: strict.xp.add(NUMBERS, NUMBERS),
    "xp.add(device, list)": lambda a: strict.xp.add(a, [1.0, 2.0, 3.0]),
    "xp.maximum(device, numpy scalar)": lambda a: strict.xp.maximum(a, np.float64(0)),
    "xp.sum(host)": lambda a: strict.xp.sum(NUMBERS),
    "xp.where(host, ...)": lambda a: strict.xp.where(NUMBERS > 0, a, a),
    "xp.concatenate([device, host])": lambda a: strict.xp.concatenate([a, NUMBERS]),
    "xp.add.at(device, host, 1)": lambda a: strict.xp.add.at(a, np.array([0]), 1.0),
    "xp.add.at(device, 0, host)": lambda a: strict.xp.add.at(a, 0, NUMBERS[0]),
    "xp.max(initial=)": lambda a: strict.xp.max(a, initial=0.0),
    "out=host": lambda a: strict.xp.add(a, a, out=NUMBERS.copy()),
    "float(many)": float,
}


@pytest.mark.parametrize("mixture", MIXTURES)
def test_the_strict_device_refuses(mixture, array):
    with pytest.raises(TypeError):
        MIXTURES[mixture](array)


def test_what_cupy_may_lack_is_missing(array):
    with pytest.raises(AttributeError, match="check that CuPy has it"):
        strict.xp.frompyfunc  # noqa: B018
    with pytest.raises(AttributeError, match="METHODS"):
        array.tobytes  # noqa: B018


WORKS = {
    "operators": (lambda xp, a: (2 - a) * a / 4 + a**2 - abs(-a), (2 - NUMBERS) * NUMBERS / 4 + NUMBERS**2 - NUMBERS),
    "matrix product": (lambda xp, a: a @ a.T, NUMBERS @ NUMBERS.T),
    "comparison": (lambda xp, a: (a > 2) & ~(a == 4), np.array([[0, 0, 0], [1, 0, 1]], bool)),
    "slices": (lambda xp, a: a[:, ::-2], NUMBERS[:, ::-2]),
    "indices": (lambda xp, a: a[xp.asarray([1, 0]), 2], NUMBERS[[1, 0], 2]),
    "mask": (lambda xp, a: a[a > 2], NUMBERS[NUMBERS > 2]),
    "keywords": (lambda xp, a: xp.sum(a, axis=(1,), keepdims=True), NUMBERS.sum(1, keepdims=True)),
    "joining": (lambda xp, a: xp.concatenate((a, a), axis=1), np.concatenate((NUMBERS, NUMBERS), 1)),
    "windows": (
        lambda xp, a: xp.lib.stride_tricks.sliding_window_view(a, (2, 2)),
        np.lib.stride_tricks.sliding_window_view(NUMBERS, (2, 2)),
    ),
    "strides": (
        lambda xp, a: xp.lib.stride_tricks.as_strided(a, shape=(3,), strides=(8,)),
        np.lib.stride_tricks.as_strided(NUMBERS, shape=(3,), strides=(8,)),
    ),
    "methods": (lambda xp, a: a.astype(xp.float32).reshape(3, 2).max(axis=0), np.array([4, 5], np.float32)),
}


@pytest.mark.parametrize("name", WORKS)
def test_the_strict_device_computes_what_numpy_does(name, array):
    compute, expected = WORKS[name]
    result = compute(strict.xp, array)
    assert type(result) is strict.StrictArray
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(strict.to_host(result), expected)


def test_assignment_changes_the_array_in_place(array):
    view = array[1]
    array[1, 1:] = array[0, :2]
    array[0] = 7
    array *= 2
    strict.xp.add.at(array, (strict.xp.asarray([1, 1]), strict.xp.asarray([0, 0])), 5.0)
    np.testing.assert_array_equal(strict.to_host(array), [[14, 14, 14], [16, 0, 2]])
    np.testing.assert_array_equal(strict.to_host(view), [16, 0, 2])


def test_out_is_filled_and_returned(array):
    out = strict.xp.zeros((2, 3))
    assert strict.xp.multiply(array, 2, out=out) is out
    np.testing.assert_array_equal(strict.to_host(out), 2 * NUMBERS)


def test_a_result_without_axes_stays_an_array(array):
    for result in (array.sum(), strict.xp.max(array), array[0, 1], array[0, 0] + 1):
        assert type(result) is strict.StrictArray
        assert result.shape == ()
    assert (int(array[1, 1]), float(array[1, 1]), bool(array[0, 0])) == (4, 4.0, False)


def test_asarray_takes_numbers_lists_and_host_arrays():
    for data in (NUMBERS, NUMBERS.tolist()):
        np.testing.assert_array_equal(strict.to_host(strict.xp.asarray(data)), NUMBERS)
    assert strict.xp.asarray(1, dtype=np.float32).dtype == np.float32
    array = strict.xp.asarray(NUMBERS)
    assert strict.xp.asarray(array) is array
    assert strict.xp.asarray(array, dtype="float32").dtype == np.float32


@pytest.mark.parametrize("name", ["mul", "tanh", "sum"])
def test_a_numpy_function_in_an_operation_is_found(name, monkeypatch):
    """The reason for the device: plant an ``np.`` function in an operation and see it fail."""
    numpy_function = {"mul": np.multiply, "tanh": np.tanh, "sum": np.sum}[name]
    x = tg.Tensor(NUMBERS, device="strict")
    call = {"mul": lambda: x * x, "tanh": x.tanh, "sum": x.sum}[name]
    call()
    monkeypatch.setattr(ops.OPERATIONS[name], "forward", lambda self, xp, *arrays: numpy_function(*arrays))
    with pytest.raises(TypeError):
        call()


# Real CuPy


def test_cupy_has_all_that_the_strict_device_offers():
    try:
        cupy = importlib.import_module("cupy")
    except ImportError:
        pytest.skip("CuPy is not installed")
    lacking = [name for name in (*strict.FUNCTIONS, *strict.CONSTANTS) if not hasattr(cupy, name)]
    lacking += [name for name in strict.STRIDE_TRICKS if not hasattr(cupy.lib.stride_tricks, name)]
    lacking += [name for name in strict.METHODS if not hasattr(cupy.ndarray, name)]
    own = [name for name in vars(strict.StrictArray) if name.startswith("__")]
    operators = [name for name in own if callable(getattr(np.ndarray, name, None))]
    lacking += [name for name in operators if not hasattr(cupy.ndarray, name)]
    assert not lacking
    assert callable(cupy.add.at)


def test_the_lists_are_sorted_and_name_nothing_twice():
    for names in (strict.FUNCTIONS, strict.STRIDE_TRICKS, strict.CONSTANTS, strict.METHODS):
        assert list(names) == sorted(set(names))


@pytest.mark.gpu
def test_a_gpu_computes_the_same():
    x = tg.Tensor(NUMBERS, device="gpu", requires_grad=True)
    assert x.array.__class__ is get_device("gpu").array_type
    y = (x.exp() * 2.0).sum()
    y.backward()
    assert x.grad.device == "gpu"
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.exp(NUMBERS), rtol=1e-12)
