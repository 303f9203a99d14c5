"""Chapter 3, Rules one by one: fill in the functions, then run ``pytest tutorials/exercises -m ch03``."""


class Value:
    """A number that remembers how it was made; an operation gives ``Value(result, inputs, slopes)``."""

    def __init__(self, data, inputs=(), slopes=()):
        self.data, self.inputs, self.slopes, self.grad = data, inputs, slopes, 0.0

    def backward(self):
        """Add the slope of this value in each leaf to that leaf's grad: for chains, which is enough here."""
        node, gradient = self, 1.0
        while node.inputs:
            node, gradient = node.inputs[0], gradient * node.slopes[0]
        node.grad += gradient


def sin(x):
    """The sine of a ``Value``, as a ``Value``."""
    raise NotImplementedError


def softplus(x):
    """``log(1 + exp(x))`` of a ``Value``, as a ``Value``, for numbers of any size."""
    raise NotImplementedError


def wrong_rules(rules):
    """The names of the rules whose slope is wrong; ``rules`` leads from names to functions of one ``Value``."""
    raise NotImplementedError
