"""The text of a plan: its kernels, and the function that calls them.

The function has **segments**, which Python calls one after the other. The text is written when somebody asks for it:
code that was compiled in an earlier run of Python is found by a key.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any

from . import runtime
from .ir import I64, PTR, Function, Type, Value, module
from .lanes import Buffer
from .meeting import BARRIER
from .steps import Apart, Input, Kernel, Step

TABLE = 0
"""Where the addresses of the user's arrays lie, in bytes behind the arena's header."""
AT_ONCE = -1
"""The number of the segment that computes everything and changes the states."""
MANY_LINES = 6000
"""Lines of text that two processes compile sooner than one, though the other has to start first."""

MANY_KERNELS = 32
"""So many kernels have so many lines, as a rule."""

Segments = Sequence[Sequence[Sequence[Step]]]
"""The steps of each level of each segment."""


@dataclass(frozen=True)
class Places:
    """Where things lie in the arena, in bytes behind its header."""

    lanes: int
    blocks: int
    wrong: int
    """The word for wrong labels."""
    mask: int
    """A byte for each lane of each block: whether an example is there."""
    scratch: int
    scratch_bytes: int
    """Of each thread."""
    first_block: int
    block_bytes: int


class Program:
    """The function ``step`` of a plan.

    Args:
        segments: steps that know all they read and write. Each gets the name of its kernel's function.
        places: where that lies.
        width: of the widest vector register, in bits.
        at_once: whether there is one segment more, :data:`AT_ONCE`: the first two, if no label is wrong.
    """

    def __init__(self, segments: Segments, places: Places, width: int, at_once: bool) -> None:
        self._segments, self._places, self._width, self._at_once = segments, places, width, at_once
        self._kernels: dict[Hashable, tuple[str, Kernel]] = {}
        for step in [step for levels in segments for level in levels for step in level]:
            assert step.kernel is not None
            key = (type(step.kernel).__name__, step.kernel.key)
            step.name, _ = self._kernels.setdefault(key, (f"kernel{len(self._kernels)}", step.kernel))

    @property
    def large(self) -> bool:
        """Whether there will be two modules: a guess, before anything is written."""
        return len(self._kernels) > MANY_KERNELS

    @functools.cached_property
    def kernels(self) -> list[Function]:
        """The functions of the kernels."""
        return [kernel.write(name) for name, kernel in self._kernels.values()]

    @functools.cached_property
    def texts(self) -> list[str]:
        """The modules."""
        return self.modules(self._segments, self._at_once)

    def forget(self) -> None:
        """Give up the text, which is written again when somebody asks for it."""
        for name in ("kernels", "texts"):
            vars(self).pop(name, None)

    @functools.cached_property
    def key(self) -> str:
        """What the text depends on; nothing, where this cannot be said in words."""
        words = [source(), repr(self._places), str((self._width, self._at_once)), *map(repr, self._kernels)]
        for levels in self._segments:
            words.append("segment")
            for level in levels:
                words.append("level")
                for step in level:
                    words += [f"{step.name} {step.place} {step.rounds}", *map(_word, step.inputs)]
        text = "\n".join(words)
        return "" if not words[0] or " at 0x" in text else hashlib.sha256(text.encode()).hexdigest()

    def modules(self, segments: Segments, at_once: bool = False) -> list[str]:
        """The text of modules, with a function ``step`` that runs a segment: its levels one after the other.

        Many kernels are two modules, so that two processes can compile them.
        """
        main = Function("step", [PTR, I64, I64], exported=True)
        arena, thread, segment = main.arguments
        written: list[Function] = []
        for number, levels in enumerate(segments):
            inner = Function(f"segment{number}", [PTR, I64])
            self._segment(inner, [steps for steps in levels if steps])
            written.append(inner)
            chosen = main.value(f"icmp eq {segment}, {number}", Type("i1"))
            main.when(chosen, lambda inner=inner: main.run(inner.name, arena, thread))  # type: ignore[misc]

        def both() -> None:
            main.run(written[0].name, arena, thread)
            main.line(f"call void @barrier({arena})")
            wrong = main.load(main.at(arena, runtime.HEADER + self._places.wrong, "i8"), 0, Type("i32"))
            right = main.value(f"icmp eq {wrong}, 0", Type("i1"))
            main.when(right, lambda: main.run(written[1].name, arena, thread))

        if at_once:
            main.when(main.value(f"icmp eq {segment}, {AT_ONCE}", Type("i1")), both)
        sizes = list(accumulate([len(each.lines) for each in self.kernels], initial=0))
        half = next((n for n, size in enumerate(sizes) if 2 * size >= sizes[-1]), 0) if sizes[-1] > MANY_LINES else 0
        apart, near = self.kernels[:half], self.kernels[half:]
        for kernel in self.kernels:
            kernel.exported = kernel in apart
        texts = [module([*near, *written, main], self._width, BARRIER, apart)]
        return [*texts, module(apart, self._width)] if apart else texts

    def _segment(self, f: Function, levels: Sequence[Sequence[Step]]) -> None:
        arena, thread = f.arguments
        threads = f.value(f"call i64 @threads({arena})", I64)
        base = f.at(arena, runtime.HEADER, "i8")
        first = f.value(f"icmp eq {thread}, 0", Type("i1"))

        def share(count: int) -> tuple[Value, Value]:
            low = f.value(f"udiv i64 {f.value(f'mul {thread}, {count}', I64).text}, {threads.text}", I64)
            after = f.value(f"add {thread}, 1", I64)
            return low, f.value(f"udiv i64 {f.value(f'mul {after}, {count}', I64).text}, {threads.text}", I64)

        for number, steps in enumerate(levels):
            if number:
                f.line(f"call void @barrier({arena})")
            whole = [step for step in steps if step.place in ("one", "share")]
            single = [step for step in whole if step.place == "one"]
            if single:

                def alone(single: Sequence[Step] = single) -> None:
                    for step in single:
                        self._call(f, step, base, thread, None, None)

                f.when(first, alone)
            for step in whole:
                if step.place == "share":
                    self._call(f, step, base, thread, None, share(step.rounds))
            others = [step for step in steps if step not in whole]
            mine = share(self._places.blocks) if others else None
            for each, group in groupby(others, lambda step: step.place == "block"):
                several = list(group)

                def block(index: Any, _: Any, several: list[Step] = several) -> None:
                    for step in several:
                        self._call(f, step, base, thread, index, None)

                assert mine is not None
                if each:
                    f.loop(*mine, 1, block)
                else:
                    for step in several:
                        self._call(f, step, base, thread, None, mine)

    def _call(
        self, f: Function, step: Step, base: Value, thread: Value, block: Any, share: tuple[Value, Value] | None
    ) -> None:
        at = self._places
        inputs: list[Value] = []
        for each in step.inputs:
            if isinstance(each, Buffer):
                inputs.append(self._address(f, each, base, thread, block))
            elif isinstance(each, Apart):
                inputs.append(Value(str((each.buffer.apart or at.block_bytes) // each.buffer.dtype.itemsize), I64))
            elif each.kind == "scratch":
                inputs.append(f.at(base, f.add(f.mul(thread, at.scratch_bytes), at.scratch), "i8"))
            elif each.kind == "mask":
                inputs.append(f.at(base, f.add(f.mul(block, at.lanes), at.mask), "i8"))
            elif each.kind == "argument":
                inputs.append(f.load(f.at(base, TABLE + 8 * each.number, "i8"), 0, PTR))
            elif each.kind == "wrong":
                inputs.append(f.at(base, at.wrong, "i8"))
            elif each.kind == "block":
                inputs.append(block if isinstance(block, Value) else Value(str(block), I64))
            elif each.kind == "number":
                inputs.append(Value(str(each.number), I64))
            else:
                assert share is not None
                inputs.append(share[each.kind == "high"])
        f.run(step.name, *inputs)

    def _address(self, f: Function, buffer: Buffer, base: Value, thread: Value, block: Any) -> Value:
        """Where a buffer lies, or with ``block`` what it has for that block."""
        at = self._places
        if buffer.per_thread:
            return f.at(f.at(base, f.mul(thread, buffer.apart), "i8"), buffer.address, "i8")
        if buffer.argument >= 0:
            start = f.load(f.at(base, TABLE + 8 * buffer.argument, "i8"), 0, PTR)
        elif buffer.per_block and block is not None:
            own = f.at(base, f.add(f.mul(block, at.block_bytes), at.first_block), "i8")
            return f.at(own, buffer.address, "i8")
        else:
            start = f.at(base, buffer.address + (at.first_block if buffer.per_block else 0), "i8")
        return f.at(start, f.mul(block, buffer.apart), "i8") if buffer.apart and block is not None else start


def _word(each: Input) -> str:
    """How an argument of a kernel is reached."""
    if isinstance(each, Buffer):
        return f"{each.address} {each.per_block} {each.per_thread} {each.argument} {each.apart}"
    return f"apart {each.buffer.apart} {each.buffer.dtype}" if isinstance(each, Apart) else repr(each)


@functools.cache
def source() -> str:
    """What identifies the Python code that writes text; nothing, where its files cannot be read."""
    found = hashlib.sha256()
    try:
        for path in sorted(Path(__file__).parent.glob("*.py")):
            found.update(path.read_bytes())
    except OSError:
        return ""
    return found.hexdigest()
