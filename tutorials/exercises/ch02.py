"""Chapter 2, A scalar that remembers: fill in the functions, then run ``pytest tutorials/exercises -m ch02``.

A node has ``inputs``, the nodes that it was computed from, and ``slopes``, how fast it grows with each of them.
"""


def topological_order(output):
    """All nodes that ``output`` rests on, with itself, in a list: each once, and after all its inputs."""
    raise NotImplementedError


def count_paths(output, leaf):
    """In how many ways one gets from ``output`` to ``leaf`` by going from a node to one of its inputs."""
    raise NotImplementedError


def forward_slope(output, leaf):
    """The slope of ``output`` in ``leaf``, found by walking from the leaf to the output."""
    raise NotImplementedError
