"""Modules: names and their order, shared parts, state, modes, scopes, and numbers that come late."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cnn.graph import topological_order
from tinygrad_cnn.nn.module import Buffer, Module, Parameter

RNG = np.random.default_rng(0)


class Block(Module):
    def __init__(self, features: int) -> None:
        self.linear = nn.Linear(features, features)
        self.scale = Parameter([2.0])
        self.norm = nn.BatchNorm1d(features)

    def forward(self, x):
        return self.norm(self.linear(x)) * self.scale


class Net(Module):
    """Every way of holding parts: an attribute, a list, a tuple, a dictionary, lists inside lists."""

    def __init__(self) -> None:
        self.head = nn.Linear(3, 4)
        self.counter = Buffer([0.0])
        self.blocks = [Block(4), Block(4)]
        self.pair = (nn.ReLU(), nn.Linear(4, 4, bias=False))
        self.named = {"b": nn.Linear(4, 4), "a": nn.Linear(4, 2)}
        self.deep = [[nn.Linear(2, 2)], []]
        self.nothing = None
        self.settings = {"width": 4, "names": ["x", "y"]}
        self.gain = Parameter([1.0])

    def forward(self, x):
        x = self.head(x)
        for block in self.blocks:
            x = block(x)
        for each in (*self.pair, *self.named.values(), self.deep[0][0]):
            x = each(x)
        return x * self.gain


NAMES = [
    "counter", "gain", "head.weight", "head.bias",
    "blocks.0.scale", "blocks.0.linear.weight", "blocks.0.linear.bias", "blocks.0.norm.weight", "blocks.0.norm.bias",
    "blocks.0.norm.running_mean", "blocks.0.norm.running_var", "blocks.0.norm.num_batches_tracked",
    "blocks.1.scale", "blocks.1.linear.weight", "blocks.1.linear.bias", "blocks.1.norm.weight", "blocks.1.norm.bias",
    "blocks.1.norm.running_mean", "blocks.1.norm.running_var", "blocks.1.norm.num_batches_tracked",
    "pair.1.weight", "named.b.weight", "named.b.bias", "named.a.weight", "named.a.bias",
    "deep.0.0.weight", "deep.0.0.bias",
]  # fmt: skip
"""A module's own leaves first, then those of its parts, both in the order in which they were set."""

BUFFERS = [name for name in NAMES if name == "counter" or "running" in name or "tracked" in name]


def small() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))


def images(n: int = 2, dtype: str = "float32") -> tg.Tensor:
    return tg.Tensor(np.random.default_rng(1).standard_normal((n, 1, 4, 4)), dtype=dtype)


def numbers(module: Module) -> dict[str, np.ndarray]:
    return {name: each.numpy() for name, each in module.state_dict().items()}


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert list(one) == list(other)
    for name, each in one.items():
        np.testing.assert_array_equal(each, other[name], err_msg=name)


# Names and order


def test_names_come_in_the_order_of_definition():
    net = Net()
    assert list(net.state_dict()) == NAMES
    assert [name for name, _ in net.named_buffers()] == BUFFERS
    assert [name for name, _ in net.named_parameters()] == [name for name in NAMES if name not in BUFFERS]
    assert [id(each) for each in net.parameters()] == [id(each) for _, each in net.named_parameters()]
    assert [id(each) for each in net.buffers()] == [id(each) for _, each in net.named_buffers()]


def test_modules_come_parents_first():
    net = Net()
    assert [name for name, _ in net.named_modules()] == [
        "", "head", "blocks.0", "blocks.0.linear", "blocks.0.norm", "blocks.1", "blocks.1.linear", "blocks.1.norm",
        "pair.0", "pair.1", "named.b", "named.a", "deep.0.0",
    ]  # fmt: skip
    assert next(iter(net.modules())) is net
    assert [name for name, _ in net.named_children()] == [
        "head", "blocks.0", "blocks.1", "pair.0", "pair.1", "named.b", "named.a", "deep.0.0",
    ]  # fmt: skip
    assert list(net.children())[1] is net.blocks[0]


PROGRAM = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
import tinygrad_cnn as tg
from tests.nn.test_module import Net
from tests.nn.test_module import small
tg.seed(5)
for net in (Net(), small(), tg.models.lenet5()):
    for name, each in net.state_dict().items():
        print(name, each.shape, hashlib.sha256(each.numpy().tobytes()).hexdigest()[:12])
    print(net)
"""


def test_names_and_numbers_are_the_same_in_every_process():
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    texts = []
    for hash_seed in ("0", "1", "77"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, root], env=environment, capture_output=True, text=True, check=True
        )
        texts.append(done.stdout)
    assert texts[0].splitlines()[0].startswith("counter (1,)")
    assert texts[0] == texts[1] == texts[2]


def test_a_shared_module_or_parameter_counts_once():
    class Tied(Module):
        def __init__(self) -> None:
            self.encoder = nn.Linear(3, 3)
            self.again = self.encoder
            self.decoder = nn.Linear(3, 3, bias=False)
            self.decoder.weight = self.encoder.weight

        def forward(self, x):
            return self.decoder(self.again(self.encoder(x)))

    tied = Tied()
    assert list(tied.state_dict()) == ["encoder.weight", "encoder.bias"]
    assert [name for name, _ in tied.named_modules()] == ["", "encoder", "decoder"]
    x = np.array([[1.0, -2.0, 0.5]], np.float32)
    tied(tg.Tensor(x)).sum().backward()
    w, b = tied.encoder.weight.numpy(), tied.encoder.bias.numpy()
    h1 = x @ w.T + b
    h2 = h1 @ w.T + b
    one = np.ones((1, 3), np.float32)
    expected = one.T @ h2 + (one @ w).T @ h1 + (one @ w @ w).T @ x  # a gradient from each of three uses
    np.testing.assert_allclose(tied.encoder.weight.grad.numpy(), expected, rtol=1e-5)


def test_a_module_called_twice_in_a_sequence_runs_twice():
    layer = nn.LeakyReLU(0.5)
    np.testing.assert_array_equal(nn.Sequential(layer, layer)(tg.Tensor([-4.0])).numpy(), [-1.0])


def test_a_replaced_part_takes_the_place_of_the_old_one():
    net = small()
    vars(net)["4"] = nn.Linear(8, 5)
    assert net(images()).shape == (2, 5)
    assert list(net.state_dict())[-1] == "4.bias"


def test_parameters_know_their_names_once_the_model_is_called():
    net = small()
    net(tg.symbol((1, 1, 4, 4)))
    assert {each.name for each in net.parameters()} == {name for name, _ in net.named_parameters()}


# Text


def test_the_text_form_shows_the_structure():
    assert (
        repr(Net())
        == """\
Net(
  (head): Linear(in_features=3, out_features=4)
  (blocks.0): Block(
    (linear): Linear(in_features=4, out_features=4)
    (norm): BatchNorm1d(4)
  )
  (blocks.1): Block(
    (linear): Linear(in_features=4, out_features=4)
    (norm): BatchNorm1d(4)
  )
  (pair.0): ReLU()
  (pair.1): Linear(in_features=4, out_features=4, bias=False)
  (named.b): Linear(in_features=4, out_features=4)
  (named.a): Linear(in_features=4, out_features=2)
  (deep.0.0): Linear(in_features=2, out_features=2)
)"""
    )
    assert (
        repr(small())
        == """\
Sequential(
  (0): Conv2d(1, 2, kernel_size=(3, 3))
  (1): BatchNorm2d(2)
  (2): ReLU()
  (3): Flatten()
  (4): Linear(in_features=8, out_features=3)
)"""
    )


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="Module has no forward"):
        Module()(1)


# State


def test_state_goes_round():
    one, other = small(), small()
    one(images())  # moves the running statistics
    assert any((a != b).any() for a, b in zip(numbers(one).values(), numbers(other).values(), strict=True))
    changes = other.load_state_dict(one.state_dict())
    assert changes == ([], [])
    assert_same(numbers(one), numbers(other))
    np.testing.assert_array_equal(one.eval()(images()).numpy(), other.eval()(images()).numpy())


def test_state_is_a_picture_of_the_moment():
    net = nn.Linear(2, 1)
    before = net.state_dict()
    kept = before["weight"].numpy().copy()
    net.weight.assign(net.weight * 2.0)
    np.testing.assert_array_equal(before["weight"].numpy(), kept)
    assert not before["weight"].requires_grad


def test_a_state_draws_no_numbers_that_nobody_has_needed() -> None:
    one, other = nn.Linear(3, 2), nn.Linear(3, 2)
    state = one.state_dict()
    assert one.weight.node.value is None
    assert state["weight"].node.value is None
    assert not state["weight"].requires_grad
    other.load_state_dict(state)
    np.testing.assert_array_equal(state["weight"].numpy(), one.weight.numpy())
    np.testing.assert_array_equal(other.weight.numpy(), one.weight.numpy())
    kept = nn.Linear(3, 2)
    state = kept.state_dict()
    f = tg.compile(lambda x: x @ state["weight"].T)
    x = tg.Tensor(np.ones((1, 3), "float32"))
    np.testing.assert_allclose(f(x).numpy(), kept.weight.numpy().sum(1)[None], rtol=1e-6)
    tg.nn.init.zeros_(kept.weight)
    np.testing.assert_allclose(f(x).numpy(), state["weight"].numpy().sum(1)[None], rtol=1e-6)
    assert state["weight"].numpy().any()


def test_numpy_arrays_load_and_take_the_models_type():
    net = nn.Linear(2, 1)
    net.load_state_dict({"weight": np.array([[1.0, 2.0]]), "bias": [3]})
    assert net.weight.dtype == net.bias.dtype == np.float32
    np.testing.assert_array_equal(net(tg.Tensor([[1.0, 1.0]])).numpy(), [[6.0]])


def test_loading_keeps_frozen_parameters_frozen():
    net = nn.Linear(2, 1).requires_grad_(False)
    net.load_state_dict(nn.Linear(2, 1).state_dict())
    assert not net.weight.requires_grad


BAD_STATES = {
    "missing": (lambda s: s.pop("4.bias"), ArgumentError, r"1 missing \['4.bias'\], 0 left over"),
    "left over": (lambda s: s.update(extra=s["4.bias"]), ArgumentError, r"0 missing \[\], 1 left over \['extra'\]"),
    "shape": (
        lambda s: s.update({"4.bias": np.zeros(4)}),
        ShapeError,
        r"4\.bias has another shape\n  got       \(4,\)",
    ),
    "text": (lambda s: s.update({"4.bias": "abc"}), DTypeError, "Tensor: the data is no rectangular block"),
}


@pytest.mark.parametrize(("spoil", "kind", "text"), BAD_STATES.values(), ids=BAD_STATES)
def test_a_state_that_does_not_fit_changes_nothing(spoil, kind, text):
    net = small()
    before = numbers(net)
    state = dict(small().state_dict())
    spoil(state)
    with pytest.raises(kind, match=text):
        net.load_state_dict(state)
    assert_same(numbers(net), before)


def test_loading_in_part_reports_what_was_left():
    net = small()
    weight = np.ones((3, 8), np.float32)
    changes = net.load_state_dict({"4.weight": weight, "other": weight}, strict=False)
    assert changes.unexpected_keys == ["other"]
    assert changes.missing_keys == [name for name in net.state_dict() if name != "4.weight"]
    np.testing.assert_array_equal(vars(net)["4"].weight.numpy(), weight)


# Modes, freezing, types


def test_train_and_eval_reach_every_module():
    net = Net()
    assert net.eval() is net
    assert not any(each.training for each in net.modules())
    net.blocks[0].train()
    assert [each.training for each in net.blocks[0].modules()] == [True, True, True]
    assert not net.training
    assert not net.blocks[1].norm.training
    assert all(each.training for each in net.train().modules())


def test_frozen_parameters_get_no_gradient():
    net = small()
    vars(net)["0"].requires_grad_(False)
    net(images()).sum().backward()
    assert {name for name, each in net.named_parameters() if each.grad is None} == {"0.weight", "0.bias"}
    net.requires_grad_()
    assert all(each.requires_grad for each in net.parameters())
    assert not any(each.requires_grad for each in net.buffers())


def test_freezing_does_not_change_the_numbers():
    tg.seed(3)
    one = nn.Linear(4, 4)
    tg.seed(3)
    other = nn.Linear(4, 4).requires_grad_(False)
    assert_same(numbers(one), numbers(other))


def test_zero_grad_forgets_gradients():
    net = small()
    net(images()).sum().backward()
    assert all(each.grad is not None for each in net.parameters())
    net.zero_grad()
    assert all(each.grad is None for each in net.parameters())


@pytest.mark.parametrize("used_before", [False, True])
def test_another_type_reaches_floating_point_leaves_only(used_before):
    net = small()
    if used_before:
        net(images()).sum().backward()
    assert net.to("float64") is net
    kinds = {name: str(each.dtype) for name, each in net.state_dict().items()}
    assert kinds.pop("1.num_batches_tracked") == "int64"
    assert set(kinds.values()) == {"float64"}
    net(images(dtype="float64")).sum().backward()
    assert {str(each.grad.dtype) for each in net.parameters()} == {"float64"}
    assert {str(each.grad.array.dtype) for each in net.parameters()} == {"float64"}
    with pytest.raises(DTypeError, match="different element types"):
        net(images())


def test_to_moves_all_leaves_and_nothing_else(device_name):
    other = "strict" if device_name == "cpu" else "cpu"
    net = small()
    net(images()).sum().backward()
    expected = numbers(net.eval())
    net.to(other)
    assert {each.device for each in (*net.parameters(), *net.buffers())} == {other}
    assert {each.grad.device for each in net.parameters()} == {other}
    assert_same(numbers(net), expected)


# Scopes


def test_scopes_are_the_paths_of_the_modules():
    net = Net()
    output = net(tg.symbol((5, 3)))
    scopes = {node.scope for node in topological_order([output.node]) if not node.is_leaf}
    assert scopes == {
        "net", "net/head", "net/blocks/0", "net/blocks/0/linear", "net/blocks/0/norm", "net/blocks/1",
        "net/blocks/1/linear", "net/blocks/1/norm", "net/pair/0", "net/pair/1", "net/named/b", "net/named/a",
        "net/deep/0/0",
    }  # fmt: skip


def test_eager_nodes_have_the_same_scopes():
    net = small()
    output = net(images())
    scopes = [node.scope for node in topological_order([output.node]) if not node.is_leaf]
    assert list(dict.fromkeys(scopes)) == [
        "sequential/0", "sequential/1", "sequential/2", "sequential/3", "sequential/4"
    ]  # fmt: skip


def test_an_error_names_the_block():
    with pytest.raises(ShapeError, match=r"in sequential/4") as caught:
        small()(tg.symbol((1, 1, 6, 6)))
    assert caught.value.scope == "sequential/4"


# Numbers that come late


def leaves_without_numbers(net: Module) -> list[bool]:
    return [each._array is None and each.node.value is None for each in (*net.parameters(), *net.buffers())]


def test_a_model_called_on_a_symbol_has_no_numbers():
    net = Net()
    assert all(leaves_without_numbers(net.blocks[0].linear))
    net = small()
    net(tg.symbol((8, 1, 4, 4)))
    assert all(leaves_without_numbers(net))
    net.to("float64").requires_grad_(False).train().eval()
    assert all(leaves_without_numbers(net))
    copy.deepcopy(net)
    assert all(leaves_without_numbers(net))


def test_a_large_model_takes_no_memory_until_it_runs():
    nn.Linear(2, 2)(tg.symbol((1, 2)))  # whatever the first call of all needs
    tracemalloc.start()
    try:
        net = nn.Sequential(nn.Linear(3000, 3000), nn.BatchNorm1d(3000), nn.ReLU(), nn.Linear(3000, 10))
        net(tg.symbol((64, 3000)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 300_000  # the weights would take 36 MB


def test_the_order_of_first_use_does_not_change_the_numbers():
    def weights(order: tuple[int, ...]) -> list[np.ndarray]:
        tg.seed(11)
        layers = [nn.Linear(3, 4), nn.Conv2d(1, 2, 3), nn.Linear(2, 2)]
        drawn = {position: layers[position].weight.numpy() for position in order}
        return [drawn[position] for position in range(3)]

    first = weights((0, 1, 2))
    for order in [(2, 1, 0), (1, 2, 0)]:
        for one, other in zip(first, weights(order), strict=True):
            np.testing.assert_array_equal(one, other)
    tg.seed(12)
    assert (nn.Linear(3, 4).weight.numpy() != first[0]).all()


def test_two_layers_start_differently():
    assert (nn.Linear(3, 4).weight.numpy() != nn.Linear(3, 4).weight.numpy()).all()


def test_a_copy_has_the_same_numbers_and_its_own_life():
    for used_before in (False, True):
        net = small()
        if used_before:
            net(images()).sum().backward()
        twin = copy.deepcopy(net)
        assert_same(numbers(net), numbers(twin))
        assert not {id(each) for each in net.parameters()} & {id(each) for each in twin.parameters()}
        before = numbers(twin)
        for each in net.parameters():
            each.assign(each * 0.0)
        assert_same(numbers(twin), before)


def test_a_copy_of_a_shared_parameter_is_shared_again():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    vars(net)["1"].weight = vars(net)["0"].weight
    twin = copy.deepcopy(net)
    assert vars(twin)["1"].weight is vars(twin)["0"].weight


# Containers


def test_sequential_is_a_list_of_modules():
    net = small()
    assert len(net) == 5
    assert net[-1] is vars(net)["4"]
    assert list(net) == [net[position] for position in range(5)]
    named = nn.Sequential({"first": nn.Linear(2, 3), "second": nn.ReLU()})
    assert [name for name, _ in named.named_parameters()] == ["first.weight", "first.bias"]
    assert nn.Sequential()(3) == 3


def test_flatten_and_identity():
    x = tg.Tensor(RNG.standard_normal((2, 3, 4)))
    assert nn.Flatten()(x).shape == (2, 12)
    assert nn.Flatten(0, 1)(x).shape == (6, 4)
    assert nn.Identity()(x) is x
