"""Checks of the exercises of chapter 2."""

import ch02
import pytest


class Node:
    """A node of a graph, without an operation."""

    def __init__(self, *inputs, slopes=()):
        self.inputs, self.slopes = inputs, slopes or (1.0,) * len(inputs)


@pytest.fixture
def diamond():
    """A leaf that is used twice below, and directly: three ways."""
    leaf = Node()
    left, right = Node(leaf, slopes=(2.0,)), Node(leaf, slopes=(3.0,))
    return leaf, Node(left, right, leaf, slopes=(5.0, 7.0, 11.0))


def test_order_has_inputs_first(diamond):
    _, output = diamond
    order = ch02.topological_order(output)
    assert len(order) == len(set(order)) == 4
    assert order[-1] is output
    for place, node in enumerate(order):
        assert all(each in order[:place] for each in node.inputs)


def test_order_of_a_deep_graph():
    node = Node()
    for _ in range(20_000):
        node = Node(node)
    assert len(ch02.topological_order(node)) == 20_001


def test_paths(diamond):
    leaf, output = diamond
    assert ch02.count_paths(output, leaf) == 3
    assert ch02.count_paths(output, Node()) == 0


def test_paths_need_not_be_walked():
    node = leaf = Node()
    for _ in range(64):
        node = Node(node, node)
    assert ch02.count_paths(node, leaf) == 2**64


def test_forward_slope(diamond):
    leaf, output = diamond
    assert ch02.forward_slope(output, leaf) == 2 * 5 + 3 * 7 + 11
    assert ch02.forward_slope(output, Node()) == 0.0
