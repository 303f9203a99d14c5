"""Errors teach: the whole text of each is held here, so that a change of wording is a decision."""

from __future__ import annotations

import operator
from collections.abc import Callable
from textwrap import dedent

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import TinygradCnnError, describe_place

F = nn.functional


def image(*shape: int, dtype: str = "float32") -> tg.Tensor:
    return tg.Tensor(np.zeros(shape), dtype=dtype)


CASES: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "wrong number of channels": (
        lambda: F.conv2d(image(8, 3, 28, 28), image(6, 1, 5, 5)),
        ValueError,
        """\
        conv2d: the input has 3 channels, the weight takes 1
          got       input (8, 3, 28, 28) float32, weight (6, 1, 5, 5) float32, groups 1
          expected  input channels = weight.shape[1] * groups = 1 * 1 = 1
          fix       pass an input with 1 channels, or make the layer with in_channels=3""",
    ),
    "kernel larger than the image": (
        lambda: F.conv2d(image(1, 1, 3, 3), image(1, 1, 5, 5)),
        ValueError,
        """\
        conv2d: the kernel is larger than the padded image on spatial axis 0: 5 against 3
          got       image (3, 3), kernel (5, 5), stride (1, 1), padding (before, after) ((0, 0), (0, 0)), \
dilation (1, 1)
          expected  output = floor((n + before + after - (dilation * (kernel - 1) + 1)) / stride) + 1 >= 1, \
but floor((3 + 0 + 0 - (1 * (5 - 1) + 1)) / 1) + 1 = -1
          fix       use a larger image, more padding, a smaller kernel, or fewer layers that shrink the image \
before""",
    ),
    "pooling window larger than the image": (
        lambda: F.max_pool2d(image(1, 1, 3, 3), 4),
        ValueError,
        """\
        max_pool2d: the kernel is larger than the padded image on spatial axis 0: 4 against 3
          got       image (3, 3), kernel (4, 4), stride (4, 4), padding (before, after) ((0, 0), (0, 0)), \
dilation (1, 1)
          expected  output = floor((n + before + after - (dilation * (kernel - 1) + 1)) / stride) + 1 >= 1, \
but floor((3 + 0 + 0 - (1 * (4 - 1) + 1)) / 4) + 1 = 0
          fix       use a larger image, more padding, a smaller kernel, or fewer layers that shrink the image \
before""",
    ),
    "mixed element types": (
        lambda: tg.Tensor([1.0]) + image(1, dtype="float64"),
        TypeError,
        """\
        add: the inputs have different element types, float32 and float64
          got       (1,) float32, (1,) float64
          expected  one element type
          fix       convert one of them: tensor.to("float32")""",
    ),
    "shapes that do not broadcast": (
        lambda: image(2, 3) * image(4),
        ValueError,
        """\
        mul: the shapes (2, 3) and (4,) do not broadcast
          got       (2, 3) float32, (4,) float32
          expected  equal lengths, or 1, on axis -1: 3 and 4
          fix       reshape one of them, or insert axes of length 1 with unsqueeze""",
    ),
    "matrices that do not fit": (
        lambda: image(2, 3) @ image(4, 5),
        ValueError,
        """\
        matmul: the rows of the first have 3 numbers, the columns of the second have 4
          got       (2, 3) float32 @ (4, 5) float32
          expected  (..., n, k) @ (..., k, m), but k = 3 and k = 4
          fix       transpose one of them, or check which axis holds the features""",
    ),
    "images given to a dense layer": (
        lambda: F.linear(image(8, 16, 5, 5), image(120, 400)),
        ValueError,
        """\
        linear: the input has 5 features, the weight takes 400
          got       input (8, 16, 5, 5) float32, weight (120, 400) float32
          expected  input.shape[-1] = weight.shape[1] = 400
          fix       flatten the input to (N, features) first, or make the layer with that many in_features""",
    ),
    "backward of many numbers": (
        lambda: (tg.Tensor([1.0, 2.0], requires_grad=True) * 2).backward(None),
        ValueError,
        """\
        backward: only a tensor of one element has a gradient without further ado
          got       (2,) float32
          expected  one element, or a grad_output of the same shape
          fix       reduce it to a loss with .sum() or .mean() first""",
    ),
    "backward without a leaf that asks": (
        lambda: (tg.Tensor([1.0]) * 2).sum().backward(),
        RuntimeError,
        """\
        backward: nothing that this tensor depends on requires a gradient
          got       <Node constant -> () float32>
          fix       make the leaves with requires_grad=True, and compute outside tg.no_grad()""",
    ),
    "gradient in a tensor that was not recorded": (
        lambda: tg.grad(tg.Tensor(2.0, requires_grad=True) * 2, tg.Tensor(1.0)),
        RuntimeError,
        """\
        grad: input 0 was not recorded, so no gradient in it can be found
          got       <Node constant -> () float32>
          fix       make it with requires_grad=True before computing with it; integers have no gradient""",
    ),
    "item assignment": (
        lambda: operator.setitem(image(2), 0, 1.0),
        TypeError,
        """\
        item assignment: tensors are not changed in place: gradients would silently be those of other numbers
          got       tensor[0] = ...
          fix       make a new tensor: tg.where(mask, new, old), tg.cat or tg.stack of its parts; \
leaf.assign(value) replaces all numbers of a leaf""",
    ),
    "a fraction for an integer tensor": (
        lambda: tg.Tensor([1, 2]) * 0.5,
        TypeError,
        """\
        number: 0.5 does not fit into a tensor of int64
          got       (2,) int64 and the Python number 0.5
          fix       convert the tensor first: tensor.to("float32")""",
    ),
    "control flow on a symbol": (
        lambda: bool(tg.symbol((), name="loss") > 0),
        RuntimeError,
        """\
        value: this tensor is symbolic: its numbers come only when the graph is run
          got       Tensor(symbolic, shape=(), dtype=bool)
          fix       run it with tg.evaluate(output, {symbol: array}); \
Python's if, while and for cannot depend on its values, tg.where can""",
    ),
    "a symbol without a value": (
        lambda: tg.evaluate(tg.symbol((2,), name="x") * 2),
        RuntimeError,
        """\
        evaluate: the symbol 'x' has no value
          got       <Node symbol 'x' -> (2,) float32>
          fix       pass an array for each symbol: tg.evaluate(output, {symbol: array, ...})""",
    ),
    "ragged lists": (
        lambda: tg.Tensor([[1.0], [1.0, 2.0]]),
        TypeError,
        """\
        Tensor: the data is no rectangular block of real numbers (NumPy makes it object)
          got       list: [[1.0], [1.0, 2.0]]
          expected  a number, nested lists of equal lengths, or an array of floats, integers or booleans
          fix       make the lists equally long; join tensors with tg.stack or tg.cat""",
    ),
    "a class that does not exist": (
        lambda: F.cross_entropy(image(2, 3), tg.Tensor([0, 3])),
        ValueError,
        """\
        take_along_dim: an index points outside an axis of length 3
          got       indices from 0 to 3
          expected  0 <= index < 3
          fix       positions and class numbers count from 0""",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_whole_text(case: str) -> None:
    call, kind, expected = CASES[case]
    with pytest.raises(kind) as caught:
        call()
    assert isinstance(caught.value, TinygradCnnError)
    *lines, last = str(caught.value).split("\n")
    assert "\n".join(lines) == dedent(expected)
    assert last.startswith("  at        test_errors.py, line "), "the user's own line comes last"


def test_the_line_and_the_block_are_named() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(3, 4, 3))
    with pytest.raises(tg.ShapeError) as caught:
        model(image(1, 1, 8, 8))  # the marked line
    assert str(caught.value).endswith("in sequential/1: model(image(1, 1, 8, 8))  # the marked line")


def test_an_error_in_the_backward_pass_names_the_forward_line() -> None:
    class Broken(tg.ops.Operation):
        name = "broken"

        def infer(self, x: tg.graph.Spec) -> tg.graph.Spec:
            return x

        def forward(self, xp: object, x: object) -> object:
            return x

        def vjp(self, grad: tg.Tensor, output: tg.Tensor, x: tg.Tensor) -> tuple[tg.Tensor]:
            return (tg.reshape(grad, (-1, 1)),)

    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    y = tg.ops.apply(Broken(), x)  # the line that made the node
    with pytest.raises(tg.GraphError, match="gives a tensor of another kind") as caught:
        y.sum().backward()
    (note,) = caught.value.__notes__
    assert note.startswith("  in the gradient of broken, called test_errors.py, line ")
    assert note.endswith("y = tg.ops.apply(Broken(), x)  # the line that made the node")


def test_a_rule_that_reads_what_it_did_not_list_is_told_so() -> None:
    class Forgetful(tg.ops.Operation):
        name = "forgetful"

        def infer(self, x: tg.graph.Spec) -> tg.graph.Spec:
            return x

        def forward(self, xp: object, x: object) -> object:
            return x

        def vjp(self, grad: tg.Tensor, output: tg.Tensor, x: tg.Tensor) -> tuple[tg.Tensor]:
            return (grad * x,)

    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    y = tg.ops.apply(Forgetful(), x + 1.0)
    with pytest.raises(tg.GraphError, match=r"these numbers were not kept.*(\n.*)*`keeps`"):
        y.sum().backward()


def test_parts_of_the_message_are_attributes() -> None:
    with pytest.raises(tg.ShapeError) as caught:
        image(2, 3) @ image(4, 5)
    error = caught.value
    assert error.operation == "matmul"
    assert error.got == "(2, 3) float32 @ (4, 5) float32"
    assert error.place is not None
    assert error.place.file == "test_errors.py"
    assert error.place.text == "image(2, 3) @ image(4, 5)"


def test_a_place_is_described_as_far_as_it_is_known() -> None:
    assert describe_place(None, "") == ""
    assert describe_place(None, "lenet5/conv1") == "in lenet5/conv1"
