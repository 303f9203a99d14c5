"""Where the numbers of a plan lie in its arena, so that what is not needed at the same time shares memory.

An arena holds, one behind the other: the addresses of the user's arrays; what outlives a step, such as parameters; what
is needed for some levels, by all threads or by each for the block that it computes; scratch memory of each thread; and
what each block keeps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ...graph import Node
from ...ops.base import Full
from ...ops.index import AddAlongDim, TakeAlongDim
from ..memory import Life, place
from ..split import picks_rows
from .ir import SCALARS, Type
from .lanes import Buffer
from .planner import Planner
from .program import TABLE, Places
from .rows import Margins
from .steps import Layout, Step

ALIGNMENT, PAGE = 64, 4096
GUARD = 64
"""Bytes behind each array of a plan that checks itself."""
WORTH = 2
"""So many bytes of memory are worth clearing one in every run."""
LINES = 64 * 4
"""By so much blocks are shifted, so that they do not meet in the cache; a multiple of 16 numbers of any type."""


def has_labels(node: Node) -> bool:
    """Whether labels say which numbers a node picks, or where it adds them."""
    return isinstance(node.op, TakeAlongDim | AddAlongDim) or picks_rows(node)


def up_to(address: int, multiple: int) -> int:
    """The next address that is such a multiple."""
    return -(-address // multiple) * multiple


class Lives:
    """For each buffer the first and the last step that needs it.

    Args:
        planner: what knows where nodes lie.
        steps: in the order in which they are done.
        results: nodes that are given to the user, or are states afterwards.
        lent: states that are needed only by steps from a level on.
    """

    def __init__(
        self, planner: Planner, steps: Sequence[Step], results: Sequence[Node], lent: Mapping[Buffer, int]
    ) -> None:
        self.steps, self.lent = steps, lent
        self.first: dict[Buffer, int] = {}
        self.last: dict[Buffer, int] = {}
        starts = {level: at for at, level in reversed(list(enumerate([step.level for step in steps])))}
        ends = {step.level: at for at, step in enumerate(steps)}
        self.levels = {level: (start, ends[level]) for level, start in starts.items()}
        """The first and the last step of each."""
        for position, step in enumerate(steps):
            for buffer in step.buffers:
                whole = not buffer.per_block or step.place not in ("block", "blocks")
                begin, end = (starts[step.level], ends[step.level]) if whole else (position, position)
                self.first[buffer] = min(self.first.get(buffer, begin), begin)
                self.last[buffer] = max(self.last.get(buffer, end), end)
        for buffer, level in lent.items():
            self.first[buffer] = starts[level]
        labels = [node.inputs[1] for node in planner.order if has_labels(node)]  # wrong ones are looked at again
        views = [planner.views[node] for node in [*results, *labels] if node in planner.views]
        self.read_later = {view.buffer for view in views} & set(self.first)
        """What is looked at after all steps."""
        for buffer in self.read_later:
            self.last[buffer] = len(steps)

    def short(self) -> list[Buffer]:
        """What is written and read while a thread computes one block, and by nobody afterwards.

        Then its memory serves the thread's next block, and stays in the cache.
        """
        loops: dict[Buffer, set[int]] = {}
        """In which loops over blocks a buffer is needed; -1 stands for everything else."""
        loop = 0
        before: Step | None = None
        for step in self.steps:
            inside = step.place == "block"
            if step.place in ("block", "blocks"):
                same = before is not None and (before.level, before.place) == (step.level, step.place)
                loop, before = loop + (not same), step
            for buffer in step.buffers:
                loops.setdefault(buffer, set()).add(loop if inside else -1)
        return [
            each for each in self.first
            if each.per_block and each.argument < 0 and each not in self.read_later
            and len(loops[each]) == 1 and -1 not in loops[each]
        ]  # fmt: skip


class Placing:
    """Gives each buffer its address.

    Args:
        planner: what knows the buffers.
        lives: how long each is needed.
        threads: how many threads there may be.
        checked: whether no two arrays share memory, and each is followed by a guard zone.
    """

    def __init__(self, planner: Planner, lives: Lives, threads: int, checked: bool) -> None:
        self.planner, self.lives, self.threads, self.checked = planner, lives, threads, checked
        views = [view for view in planner.views.values() if any(map(any, view.margin))]
        self.forms = {view.buffer: (view.shape, view.margin, view.buffer.dtype) for view in views}
        """What arrays have in common whose margins are at the same places."""
        self.cleared: set[Buffer] = set()
        """Arrays whose margins are written in every run."""

    def run(self, prepared: Sequence[Buffer], arguments: int, layout: Layout) -> tuple[Places, int]:
        """Place everything.

        Args:
            prepared: what is computed once and read in every step.
            arguments: how many arrays the user gives.
            layout: told how far blocks lie apart.

        Returns where things lie, and how many bytes that takes.
        """
        planner, steps = self.planner, self.lives.steps
        wrong = 8 * arguments
        mask = up_to(TABLE + wrong + 64, ALIGNMENT)
        address = up_to(mask + planner.blocks * planner.lanes, ALIGNMENT)
        lasting = self._lasting(prepared)
        for buffer in lasting:
            buffer.address = address
            address = up_to(address + buffer.nbytes, ALIGNMENT)
        others = [each for each in self.lives.first if each.argument < 0 and each not in lasting]
        short = self.lives.short() if planner.blocks > self.threads else []
        privates = [[], short] if short else [[]]
        may_clear = [False, True] if self.forms and not self.checked else [False]
        ways = [(private, clears) for private in privates for clears in may_clear]
        costs = [self._cost(*self._place(others, address, *way)) for way in ways]
        end, layout.block_bytes = self._place(others, address, *ways[costs.index(min(costs))])
        scratch = up_to(end, PAGE)
        scratch_bytes = up_to(max([step.scratch for step in steps], default=0), PAGE) + 64 * 5
        first_block = up_to(scratch + self.threads * scratch_bytes, PAGE)
        for step in steps:
            if step.reads_blocks:  # it is known now how far these lie apart
                step.finish(layout)
        places = Places(
            planner.lanes, planner.blocks, wrong, mask, scratch, scratch_bytes, first_block, layout.block_bytes
        )
        return places, first_block + planner.blocks * layout.block_bytes

    def _lasting(self, prepared: Sequence[Buffer]) -> dict[Buffer, None]:
        """What holds its numbers between steps, in the order of the arena."""
        planner = self.planner
        found = [*planner.states.values(), *planner.arguments.values(), *prepared]
        found += [
            view.buffer for node, view in planner.views.items() if not node.inputs and not isinstance(node.op, Full)
        ]
        return dict.fromkeys([each for each in found if not each.per_block and each not in self.lives.lent])

    def _cost(self, end: int, block_bytes: int) -> int:
        """Bytes of memory, and several for each byte of margins that is written in every run."""
        written = sum([self._margin(each) for each in self.cleared])
        return end + self.planner.blocks * (block_bytes + WORTH * written)

    def _place(self, buffers: Sequence[Buffer], begin: int, private: Sequence[Buffer], clears: bool) -> tuple[int, int]:
        """Place what no step leaves for the next one.

        Args:
            buffers: all of them.
            begin: the first address.
            private: of which each thread has its own, for the block that it computes: they serve its next block, and
                stay in the cache.
            clears: whether margins may be written in every run. Else arrays with margins share memory only with those
                of the same form, for their zeros are written once.

        Returns where the memory of all threads ends, and how many bytes each block has.
        """
        self.cleared = set()
        for buffer in [each for each in buffers if each.per_thread]:
            buffer.per_thread, buffer.apart = False, 0
        fixed = {each for each in buffers if each.keeps and not (clears and self._may_be_cleared(each))}
        groups = [([each], self._life(each)) for each in buffers if not each.per_block]
        levels: dict[int | None, list[Buffer]] = {}
        for buffer in private:
            level = None if buffer in fixed else self.lives.steps[self.lives.first[buffer]].level
            levels.setdefault(level, []).append(buffer)
        for level, members in levels.items():
            size = self._block(members, fixed, alone=False)
            for buffer in members:
                buffer.per_thread, buffer.apart = True, size
            first, last = 0, len(self.lives.steps)
            if level is not None and not self.checked:
                first, last = self.lives.levels[level]
            groups.append((members, Life(self.threads * size, first, last)))
        starts, total = place([life for _, life in groups])
        for (members, _), start in zip(groups, starts, strict=True):
            for buffer in members:
                buffer.address = begin + start + (buffer.address if buffer.per_thread else 0)
        rest = [each for each in buffers if each.per_block and not each.per_thread]
        return begin + total, self._block(rest, fixed, alone=True)

    def _block(self, buffers: Sequence[Buffer], fixed: set[Buffer], alone: bool) -> int:
        """Place what belongs to one block, and say whose margins are to be written. Returns how many bytes that takes.

        Args:
            buffers: in the order in which they are needed.
            fixed: those whose margins are written once.
            alone: whether nothing else has this memory at other times.
        """
        free = [each for each in buffers if each not in fixed]
        starts, total = place([self._life(each) for each in free])
        for buffer, start in zip(free, starts, strict=True):
            buffer.address = start
        self.cleared |= self._to_be_cleared(free, alone)
        pools: dict[Any, list[tuple[int, int]]] = {}  # by form: where, and until when in use
        for buffer in sorted([each for each in buffers if each in fixed], key=self.lives.first.__getitem__):
            pool = pools.setdefault(self.forms[buffer], [])
            first, last = self.lives.first[buffer], self.lives.last[buffer]
            again = next((n for n, (_, until) in enumerate(pool) if until < first), None)
            if again is None:
                buffer.address = total
                total += up_to(buffer.nbytes, ALIGNMENT)
                pool.append((buffer.address, last))
            else:
                buffer.address = pool[again][0]
                pool[again] = (buffer.address, last)
        return up_to(total, PAGE) + LINES

    def _life(self, buffer: Buffer) -> Life:
        """How long a buffer needs its memory: for ever, where no two share it."""
        if self.checked:
            return Life(buffer.nbytes + GUARD, 0, len(self.lives.steps))
        return Life(buffer.nbytes, self.lives.first[buffer], self.lives.last[buffer])

    def _margin(self, buffer: Buffer) -> int:
        """How many bytes are around an array."""
        places = math.prod(self.forms[buffer][0]) * self.planner.lanes
        return (buffer.size - places) * buffer.dtype.itemsize

    def _may_be_cleared(self, buffer: Buffer) -> bool:
        """Whether the first that is done with it is a kernel that writes its block."""
        step = self.lives.steps[self.lives.first[buffer]]
        return step.place == "block" and buffer in step.buffers and buffer.dtype.kind == "f"

    def _to_be_cleared(self, buffers: Sequence[Buffer], alone: bool) -> set[Buffer]:
        """Those whose margins are not zero, because another array was there before or may have been."""
        first, last = self.lives.first, self.lives.last
        found = set()
        for each in [each for each in buffers if each in self.forms]:
            end = each.address + each.nbytes
            others = [other for other in buffers if other.address < end and each.address < other.address + other.nbytes]
            before = [other for other in others if last[other] < first[each]]
            nearest = max(before, key=last.__getitem__) if before else None
            about = others if nearest is None else [nearest]
            differs = any(self.forms.get(other) != self.forms[each] or other.address != each.address for other in about)
            if differs or (nearest is None and not alone):
                found.add(each)
        return found

    def with_margins(self) -> list[Step]:
        """The steps, and others before them that write the margins of arrays that lie where others lay."""
        first = [(number, buffer) for buffer, number in self.lives.first.items() if buffer in self.cleared]
        steps: list[Step] = []
        for number, step in enumerate(self.lives.steps):
            for buffer in [each for at, each in first if at == number]:
                shape, margin, dtype = self.forms[buffer]
                kernel = Margins(shape, margin, Type(SCALARS[dtype], self.planner.lanes))
                part_of = step.nodes[-1] if step.nodes else step.part_of
                steps.append(Step([], step.level, "block", kernel, [buffer], part_of=part_of))
            steps.append(step)
        return steps
