"""Where the numbers of a plan lie in its arena, so that what is not needed at the same time shares memory.

An arena holds, one behind the other: the addresses of the user's arrays; what outlives a step, such as parameters; what
is the same for all blocks; scratch memory of each thread; what a thread needs for the block that it computes, and
nobody later; and what each block keeps.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
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
        address += self._together([each for each in others if not each.per_block], address)
        scratch = up_to(address, PAGE)
        scratch_bytes = up_to(max([step.scratch for step in steps], default=0), PAGE) + 64 * 5
        first_thread = up_to(scratch + self.threads * scratch_bytes, PAGE)
        thread_bytes, layout.block_bytes = self._blocks([each for each in others if each.per_block])
        first_block = up_to(first_thread + self.threads * thread_bytes, PAGE)
        for step in steps:
            if step.reads_blocks:  # it is known now how far these lie apart
                step.finish(layout)
        places = Places(
            planner.lanes, planner.blocks, wrong, mask, scratch, scratch_bytes, first_thread, thread_bytes,
            first_block, layout.block_bytes,
        )  # fmt: skip
        return places, first_block + planner.blocks * layout.block_bytes

    def _lasting(self, prepared: Sequence[Buffer]) -> dict[Buffer, None]:
        """What holds its numbers between steps, in the order of the arena."""
        planner = self.planner
        found = [*planner.states.values(), *planner.arguments.values(), *prepared]
        found += [
            view.buffer for node, view in planner.views.items() if not node.inputs and not isinstance(node.op, Full)
        ]
        return dict.fromkeys([each for each in found if not each.per_block and each not in self.lives.lent])

    def _blocks(self, buffers: Sequence[Buffer]) -> tuple[int, int]:
        """Place what there is for each block; returns how many bytes that takes for each thread, and for each block.

        What is needed for a short time belongs to the thread where that takes less memory in all. It may not: then it
        fits between what each block keeps.
        """
        blocks, threads = self.planner.blocks, self.threads
        short = set(self.lives.short()) if blocks > threads else set()
        if short:
            mine, rest = [each for each in buffers if each in short], [each for each in buffers if each not in short]
            of_thread, of_block = self._block(mine, threads), self._block(rest, blocks)
            if threads * of_thread + blocks * of_block < blocks * self._block(buffers, blocks):
                for buffer in short:
                    buffer.per_thread = True
                return self._block(mine, threads), self._block(rest, blocks)
        return 0, self._block(buffers, blocks)

    def _block(self, buffers: Sequence[Buffer], copies: int) -> int:
        """Place what belongs to one block, or to one thread; returns how many bytes that takes.

        Arrays with margins share memory only with those of the same form, for the margins' zeros are written once.
        Where much memory is saved, they share it with any, and their margins are written in every run.
        """
        self.cleared -= set(buffers)
        some = set() if self.checked else {each for each in buffers if self._may_be_cleared(each)}
        apart = self._place(buffers, ())
        if some and (together := self._place(buffers, some)) < apart:
            cleared = self._to_be_cleared(buffers)
            work = sum(self._margin(each) for each in cleared) * self.planner.blocks
            if (apart - together) * copies >= WORTH * work:
                self.cleared |= cleared
                return together
        return self._place(buffers, ())

    def _margin(self, buffer: Buffer) -> int:
        """How many bytes are around an array."""
        places = math.prod(self.forms[buffer][0]) * self.planner.lanes
        return (buffer.size - places) * buffer.dtype.itemsize

    def _may_be_cleared(self, buffer: Buffer) -> bool:
        """Whether the first that is done with it is a kernel that writes its block."""
        step = self.lives.steps[self.lives.first[buffer]]
        return buffer.keeps and step.place == "block" and buffer in step.buffers and buffer.dtype.kind == "f"

    def _to_be_cleared(self, buffers: Sequence[Buffer]) -> set[Buffer]:
        """Those whose margins are not zero, because another array was there before or may have been."""
        first, last = self.lives.first, self.lives.last
        found = set()
        for each in buffers:
            if each not in self.forms:
                continue
            end = each.address + each.nbytes
            others = [other for other in buffers if other.address < end and each.address < other.address + other.nbytes]
            before = [other for other in others if last[other] < first[each]]
            nearest = max(before, key=last.__getitem__) if before else None
            about = others if nearest is None else [nearest]
            if any(self.forms.get(other) != self.forms[each] or other.address != each.address for other in about):
                found.add(each)
        return found

    def _place(self, buffers: Sequence[Buffer], shared: Collection[Buffer]) -> int:
        """Place them; of those with margins only some may lie where others lay. Returns how many bytes that takes."""
        first, last = self.lives.first, self.lives.last
        total = self._together([each for each in buffers if not each.keeps or each in shared], 0)
        pools: dict[Any, list[tuple[int, int]]] = {}  # by form: where, and until when in use
        alone = [each for each in buffers if each.keeps and each not in shared]
        for buffer in sorted(alone, key=first.__getitem__):
            pool = pools.setdefault(self.forms[buffer], [])
            free = next((n for n, (_, until) in enumerate(pool) if until < first[buffer]), None)
            if free is None:
                buffer.address = total
                total += up_to(buffer.nbytes, ALIGNMENT)
                pool.append((buffer.address, last[buffer]))
            else:
                buffer.address = pool[free][0]
                pool[free] = (buffer.address, last[buffer])
        return up_to(total, PAGE) + LINES

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

    def _together(self, buffers: Iterable[Buffer], base: int) -> int:
        """Place buffers from an address on, those of different times in the same memory; returns how many bytes."""
        chosen = list(buffers)
        first, last, end = self.lives.first, self.lives.last, len(self.lives.steps)
        lives = [
            Life(each.nbytes + GUARD, 0, end) if self.checked else Life(each.nbytes, first[each], last[each])
            for each in chosen
        ]
        starts, total = place(lives)
        for buffer, start in zip(chosen, starts, strict=True):
            buffer.address = base + start
        return up_to(total, ALIGNMENT)
