"""Where the numbers of a plan lie in its arena, so that what is not needed at the same time shares memory.

An arena holds, one behind the other: the addresses of the user's arrays; what outlives a step, such as parameters; what
is the same for all blocks; scratch memory of each thread; what a thread needs for the block that it computes, and
nobody later; and what each block keeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...graph import Node
from ...ops.base import Full
from ...ops.index import AddAlongDim, TakeAlongDim
from ..memory import Life, place
from ..split import picks_rows
from .lanes import Buffer
from .planner import Planner
from .program import TABLE, Places
from .steps import Layout, Step

ALIGNMENT, PAGE = 64, 4096
GUARD = 64
"""Bytes behind each array of a plan that checks itself."""
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
            rest = [each for each in buffers if each not in short]
            of_thread, of_block = self._block([each for each in buffers if each in short]), self._block(rest)
            if threads * of_thread + blocks * of_block < blocks * self._block(buffers):
                for buffer in short:
                    buffer.per_thread = True
                return self._block([each for each in buffers if each in short]), self._block(rest)
        return 0, self._block(buffers)

    def _block(self, buffers: Sequence[Buffer]) -> int:
        """Place what belongs to one block; returns how many bytes that takes.

        Arrays with margins share memory only with those of the same form: the margins' zeros are never written again.
        """
        first, last = self.lives.first, self.lives.last
        total = self._together([each for each in buffers if not each.keeps], 0)
        margins: dict[Any, list[tuple[int, int]]] = {}  # by form: where, and until when in use
        views = {view.buffer: view for view in self.planner.views.values() if view.margin}
        for buffer in sorted([each for each in buffers if each.keeps], key=first.__getitem__):
            pool = margins.setdefault((views[buffer].shape, views[buffer].margin, buffer.dtype), [])
            free = next((n for n, (_, until) in enumerate(pool) if until < first[buffer]), None)
            if free is None:
                buffer.address = total
                total += up_to(buffer.nbytes, ALIGNMENT)
                pool.append((buffer.address, last[buffer]))
            else:
                buffer.address = pool[free][0]
                pool[free] = (buffer.address, last[buffer])
        return up_to(total, PAGE) + LINES

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
