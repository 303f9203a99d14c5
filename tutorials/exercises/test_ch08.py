from __future__ import annotations

import ch08
import numpy as np
import pytest

import tinygrad_cnn as tg

pytestmark = pytest.mark.ch08


def bumpy(x: tg.Tensor) -> tg.Tensor:
    return (x.tanh() * x.sum()).sum() + (x**3).mean()


def test_hvp() -> None:
    random = np.random.default_rng(0)
    x, v = random.standard_normal((2, 3)), random.standard_normal((2, 3))

    def gradient(array: np.ndarray) -> np.ndarray:
        point = tg.Tensor(array, requires_grad=True)
        return tg.grad(bumpy(point), point).numpy()

    measured = (gradient(x + 1e-5 * v) - gradient(x - 1e-5 * v)) / 2e-5
    assert np.allclose(ch08.hvp(bumpy, x, v), measured)


def test_hvp_of_a_bowl_is_a_product() -> None:
    random = np.random.default_rng(1)
    matrix = random.standard_normal((5, 5))
    x, v = random.standard_normal((2, 5))
    found = ch08.hvp(lambda p: p @ (tg.Tensor(matrix) @ p), x, v)
    assert np.allclose(found, (matrix + matrix.T) @ v)


def test_newton_step_in_a_bowl() -> None:
    hessian = np.array([[4.0, 1.0], [1.0, 3.0]])
    gradient = np.array([1.0, -2.0])
    assert np.allclose(ch08.newton_step(gradient, hessian), -np.linalg.solve(hessian, gradient))


def test_newton_step_goes_down_from_a_saddle() -> None:
    hessian = np.array([[0.0, 2.0], [2.0, 0.0]])  # eigenvalues 2 and -2
    gradient = np.array([1.0, 3.0])
    step = ch08.newton_step(gradient, hessian)
    assert np.allclose(step, -gradient / 2)


def test_jvp() -> None:
    random = np.random.default_rng(2)
    matrix = tg.Tensor(random.standard_normal((3, 4)))
    x, v = random.standard_normal((2, 4))

    def layer(x: tg.Tensor) -> tg.Tensor:
        return (matrix @ x).tanh()

    measured = (layer(tg.Tensor(x + 1e-6 * v)) - layer(tg.Tensor(x - 1e-6 * v))).numpy() / 2e-6
    assert np.allclose(ch08.jvp(layer, x, v), measured)
