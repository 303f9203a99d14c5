"""Which boxes of one view are which boxes of another.

Boxes that say the same and rest on the same, or that lead to the same, are the same. From each such pair the search
goes along the arrows to both sides, and passes over a few boxes that only one of the graphs has. What is left is
paired by its name. Every step is linear in the number of boxes and arrows, and goes by the order of the boxes, so that
the same views give the same pairs in every process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence

from .view import GraphView, ViewNode

FAR = 12
"""So many boxes that only one graph has are passed over on the way from one pair to the next."""
WIDE = 32
"""Among more arrows than this the first that fits is taken."""
NONE = -1
Label = Callable[[ViewNode], Hashable]


def match(before: GraphView, after: GraphView) -> dict[str, str]:
    """For the boxes of ``after`` that are in ``before`` too: the id there, by the id here."""
    pairs = _Pairs(before, after)
    pairs.by_fingerprint()
    pairs.by_label(_exact, unique=True)
    pairs.along(_exact)
    pairs.along(_loose)
    pairs.by_label(_exact, unique=False)
    pairs.along(_loose)
    pairs.by_label(_same_kind_and_name, unique=False)
    pairs.along(_weak)
    pairs.by_label(_same_name, unique=False)
    pairs.along(_weak)
    return {after.nodes[j].id: before.nodes[i].id for j, i in enumerate(pairs.partner[1]) if i != NONE}


# What two boxes must have in common, from all to little; boxes without a label are not looked at


def _exact(node: ViewNode) -> Hashable:
    return (node.name, node.path, node.dtype, node.backward, *_loose(node))


def _loose(node: ViewNode) -> tuple[Hashable, ...]:
    return (node.role, node.title, node.settings, node.shape, node.parameters, node.rule, node.inside, node.macs)


def _weak(node: ViewNode) -> tuple[Hashable, ...]:
    return (node.role, node.title, node.backward)


def _same_kind_and_name(node: ViewNode) -> Hashable:
    return (node.path, node.name, *_weak(node)) if node.name or node.role == "output" else None


def _same_name(node: ViewNode) -> Hashable:
    return (node.role, node.path, node.name, node.backward) if node.name else None


class _Pairs:
    """Two graphs as numbers, and the pairs found so far; 0 stands for ``before`` and 1 for ``after``."""

    def __init__(self, before: GraphView, after: GraphView) -> None:
        self.views = (before, after)
        self.into = ([[] for _ in before.nodes], [[] for _ in after.nodes])  # type: tuple[list[list[int]], ...]
        self.out_of = ([[] for _ in before.nodes], [[] for _ in after.nodes])  # type: tuple[list[list[int]], ...]
        for side, view in enumerate(self.views):
            place = {node.id: index for index, node in enumerate(view.nodes)}
            for edge in view.edges:
                source, target = place[edge.source], place[edge.target]
                self.into[side][target].append(source)
                self.out_of[side][source].append(target)
        self.partner = ([NONE] * len(before.nodes), [NONE] * len(after.nodes))
        self.fresh: deque[tuple[int, int]] = deque()  # pairs whose neighbours have not been looked at
        self.known_labels: dict[Label, tuple[list[int], list[int]]] = {}

    def pair(self, i: int, j: int) -> None:
        self.partner[0][i], self.partner[1][j] = j, i
        self.fresh.append((i, j))

    def free(self, side: int) -> Iterator[int]:
        return (index for index, other in enumerate(self.partner[side]) if other == NONE)

    def labels(self, label: Label) -> tuple[list[int], list[int]]:
        """A number for each box, the same for the same label; :data:`NONE` for none."""
        if label not in self.known_labels:
            known: dict[Hashable, int] = {None: NONE}
            found = [[known.setdefault(label(node), len(known)) for node in view.nodes] for view in self.views]
            self.known_labels[label] = (found[0], found[1])
        return self.known_labels[label]

    # By what boxes say, and what all that is above or below them says

    def by_fingerprint(self) -> None:
        labels = self.labels(_exact)
        known: dict[Hashable, int] = {}
        above = self._fingerprints(labels, known, self.into, in_order=True)
        below = self._fingerprints(labels, known, self.out_of, in_order=False)
        both = [list(zip(above[side], below[side], strict=True)) for side in (0, 1)]
        self._pair_equal(both[0], both[1])
        self._pair_equal(above[0], above[1], copies=True)
        self._pair_equal(below[0], below[1])

    def _fingerprints(
        self,
        labels: Sequence[Sequence[int]],
        known: dict[Hashable, int],
        neighbours: Sequence[Sequence[Sequence[int]]],
        in_order: bool,
    ) -> list[list[int]]:
        """A number for each box, equal where all that it rests on (or all that it leads to) is equal."""
        result = []
        for side in (0, 1):
            marks = [NONE] * len(labels[side])
            for index in range(len(marks)) if in_order else range(len(marks) - 1, -1, -1):
                around = [marks[each] for each in neighbours[side][index]]
                key = (in_order, labels[side][index], tuple(around if in_order else sorted(around)))
                marks[index] = known.setdefault(key, len(known))
            result.append(marks)
        return result

    def by_label(self, label: Label, unique: bool) -> None:
        labels = self.labels(label)
        self._pair_equal(labels[0], labels[1], copies=not unique, unique=unique)

    def _pair_equal(
        self, before: Sequence[Hashable], after: Sequence[Hashable], copies: bool = False, unique: bool = False
    ) -> None:
        """Pair free boxes of equal marks in order. With ``copies`` there may be more of them on one side."""
        rows: dict[Hashable, tuple[list[int], list[int]]] = {}
        for side, marks in enumerate((before, after)):
            for index in self.free(side):
                if marks[index] != NONE:
                    rows.setdefault(marks[index], ([], []))[side].append(index)
        for ours, theirs in rows.values():
            if unique and (len(ours) != 1 or len(theirs) != 1):
                continue
            if len(ours) == len(theirs) or copies:
                for i, j in zip(ours, theirs, strict=False):
                    self.pair(i, j)

    # Along the arrows

    def along(self, label: Label, skip: bool = True) -> None:
        """Go on from all pairs to their neighbours of equal labels, and over boxes that have no partner."""
        if all(next(self.free(side), NONE) == NONE for side in (0, 1)):
            return
        labels = self.labels(label)
        self.fresh = deque((i, j) for i, j in enumerate(self.partner[0]) if j != NONE)
        self._spread(labels)
        while skip and (self._passed_over(0, labels) or self._passed_over(1, labels)):
            self._spread(labels)

    def _spread(self, labels: tuple[list[int], list[int]]) -> None:
        while self.fresh:
            i, j = self.fresh.popleft()
            for neighbours in (self.out_of, self.into):
                for other in neighbours[1][j]:
                    if self.partner[1][other] == NONE:
                        found = self._best(neighbours[0][i], other, labels)
                        if found != NONE:
                            self.pair(found, other)

    def _best(self, candidates: Sequence[int], j: int, labels: tuple[list[int], list[int]]) -> int:
        """The free candidate of the same label whose inputs have most in common."""
        best, most = NONE, NONE
        for i in candidates:
            if self.partner[0][i] == NONE and labels[0][i] == labels[1][j]:
                score = self._agreement(i, j)
                if score > most:
                    best, most = i, score
                if len(candidates) > WIDE and best != NONE:
                    break
        return best

    def _agreement(self, i: int, j: int) -> int:
        """How many inputs are pairs."""
        pairs = zip(self.into[0][i], self.into[1][j], strict=False)
        return sum(self.partner[0][one] == other for one, other in pairs)

    def _passed_over(self, side: int, labels: tuple[list[int], list[int]]) -> bool:
        """Pair boxes below a pair with those a few boxes further down on the other side; whether there were any."""
        found = False
        other = 1 - side
        for index in self.free(side):
            for parent in self.into[side][index]:
                start = self.partner[side][parent]
                if start == NONE:
                    continue
                there = self._further(other, start, labels[side][index], labels[other])
                if there != NONE:
                    self.pair(*((index, there) if side == 0 else (there, index)))
                    found = True
                    break
        return found

    def _further(self, side: int, start: int, wanted: int, labels: Sequence[int]) -> int:
        """The next box of a label below a box, over boxes without a partner."""
        waiting, seen = deque(self.out_of[side][start][:WIDE]), {start}
        while waiting and len(seen) <= FAR:
            index = waiting.popleft()
            if index in seen or self.partner[side][index] != NONE:
                continue
            if labels[index] == wanted:
                return index
            seen.add(index)
            waiting.extend(self.out_of[side][index][:WIDE])
        return NONE
