"""What a plan does, as text: memory, what was fused, and the time of each node."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from ..graph import Node, Spec
from ..summary import count_macs
from .fuse import Fused
from .layout import Arranged, inverse

if TYPE_CHECKING:
    from .native import NativePlan
    from .numpy.executor import Step
    from .plan import Plan


@dataclass(frozen=True)
class Line:
    """One node of the plan."""

    operations: str
    """What is computed together, in order."""
    scope: str
    """The block that it belongs to."""
    shape: tuple[int, ...]
    """The shape of the result, as it is stored, of the first part."""
    calls: int
    """How many calls of NumPy it takes; 1 for a kernel, 0 for one that runs only when parameters have changed."""
    milliseconds: float | None
    """The best of the profiling runs; ``None`` without them."""
    algorithm: str
    """How a convolution is computed; else nothing."""
    gflops: float | None
    """Two operations for each multiply-add, in billions for each second; ``None`` where there are none."""


@dataclass(frozen=True)
class Report:
    """What :meth:`Compiled.report` gives; its text is a table."""

    nbytes: int
    """All memory of the plan."""
    parts: int
    """How many parts of the batch, or blocks of it in native code, are computed at the same time."""
    whole_because: str
    """Why there is one part only, where more were tried."""
    executor: str
    """``"numpy"`` or ``"native"``."""
    remark: str
    """How examples lie in the lanes of native code, or why it is not that, where it was asked for."""
    traced: int
    """How many nodes the function was described by."""
    lines: tuple[Line, ...]

    def __str__(self) -> str:
        head = [
            f"{self.traced} operations, run as {len(self.lines)} kernels in {self.nbytes / 1e6:.1f} MB",
            f"parts of the batch   {self.parts}" + (f" (not more: {self.whole_because})" if self.whole_because else ""),
        ]
        if self.remark:
            head.append(f"{'native code' if self.executor == 'native' else 'not native':<21}{self.remark}")
        timed = [line.milliseconds for line in self.lines if line.milliseconds is not None and line.calls]
        if timed:
            whose = "one thread" if self.executor == "native" else "one part"
            head.append(f"{'time of ' + whose:<21}{sum(timed):.2f} ms, as the sum of the best times")
        rows = [("ms", "GFLOP/s", "calls", "shape", "operations", "block")]
        rows += [
            (
                "" if line.milliseconds is None else f"{line.milliseconds:.3f}",
                "" if line.gflops is None else f"{line.gflops:.0f}",
                str(line.calls),
                "x".join(map(str, line.shape)) or "1",
                line.operations + (f" ({line.algorithm})" if line.algorithm else ""),
                line.scope,
            )
            for line in self.lines
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        table = [
            "  ".join(
                cell.rjust(width) if column < 3 else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, [*widths, 0], strict=True))
            ).rstrip()
            for row in rows
        ]
        return "\n".join([*head, "", *table])


def make_report(plan: Plan | NativePlan, repeats: int) -> Report:
    """Describe a plan. With ``repeats`` its first part is run so often, on whatever numbers its memory holds.

    The states are not changed: their kernels are listed without a time.
    """
    from .plan import Plan

    if not isinstance(plan, Plan):
        return _native_report(plan, repeats)
    program = plan.programs[0]
    lines = []
    with plan.one_blas_thread():
        for position, phase in enumerate(program.phases):
            last = position == len(program.phases) - 1
            for step in phase:
                seconds = None if last or not repeats else min(_time(step) for _ in range(repeats))
                lines.append(_line(step, seconds))
    return Report(
        plan.nbytes, len(plan.parts), plan.whole_because, "numpy", plan.not_native_because, len(plan.traced.nodes),
        tuple(lines),
    )  # fmt: skip


def _native_report(plan: NativePlan, repeats: int) -> Report:
    lines = []
    times = plan.profile(repeats)
    before: dict[Node, float] = {}
    """How long what begins to compute a node takes; its multiply-adds are those of the step that finishes it."""
    for step, seconds in zip(plan.steps, times, strict=True):
        if step.part_of is not None:
            before[step.part_of] = before.get(step.part_of, 0.0) + (seconds or 0.0)
    for step, seconds in zip(plan.steps, times, strict=True):
        nodes = step.nodes or [node for node in (step.part_of,) if node is not None]
        names, macs, whole = [work(node)[0] for node in nodes], 0, seconds
        for node in step.nodes:
            macs += work(node)[1] * plan.blocks
            whole = None if whole is None else whole + before.get(node, 0.0)
        words = " + ".join(dict.fromkeys(names)) or "turn"
        if len(names) > len(set(names)):
            words += f", {len(names)} at once"
        shape = nodes[0].spec.shape if nodes else ()
        scope = nodes[0].scope if nodes else ""
        gflops = 2e-9 * macs / whole if macs and whole else None
        milliseconds = None if seconds is None else 1e3 * seconds
        kernel = "NumPy" if step.kernel is None else f"{step.name}: {step.way}"
        lines.append(Line(words, scope, shape, int(step.level >= 0), milliseconds, kernel, gflops))
    if plan.lanes == 1:
        remark = f"channels side by side in vectors, examples: {plan.blocks}, threads: {plan.threads}"
    else:
        remark = f"{plan.lanes} examples in a vector, {plan.blocks} blocks of them, threads: {plan.threads}"
    return Report(plan.nbytes, plan.threads, "", "native", remark, len(plan.traced.nodes), tuple(lines))


def _time(step: Step) -> float:
    start = perf_counter()
    for call in step.calls:
        call()
    return perf_counter() - start


def _line(step: Step, seconds: float | None) -> Line:
    node = step.node
    operations, macs = work(node)
    if step.count > 1:
        operations += f", {step.count} at once"
    gflops = 2e-9 * macs / seconds if macs and seconds else None
    milliseconds = None if seconds is None else 1e3 * seconds
    return Line(operations, node.scope, node.spec.shape, len(step.calls), milliseconds, step.algorithm, gflops)


def work(node: Node) -> tuple[str, int]:
    """The names of a node's operations, and its multiply-adds."""
    if not isinstance(node.op, Fused):
        return node.op.name, count_macs(node)
    names = [each.op.op.name if isinstance(each.op, Arranged) else each.op.name for each in node.op.steps]
    return " + ".join(names), sum(count_macs_stored(each) for each in node.op.steps)


def count_macs_stored(node: Node) -> int:
    """The multiply-adds of an operation whose arrays are stored in another order."""
    if not isinstance(node.op, Arranged):
        return count_macs(node)

    def logical(spec: Spec, dims: tuple[int, ...]) -> Spec:
        return Spec(tuple([spec.shape[dim] for dim in inverse(dims)]), spec.dtype)

    inputs = [
        Node(each.op, (), logical(each.spec, dims)) for each, dims in zip(node.inputs, node.op.inputs, strict=True)
    ]
    return count_macs(Node(node.op.op, tuple(inputs), logical(node.spec, node.op.output)))
