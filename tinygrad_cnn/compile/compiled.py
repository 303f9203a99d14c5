"""A compiled function: what it is called with decides which plan runs."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, overload

from ..errors import ArgumentError
from ..extras import require
from ..mode import current_mode
from ..tensor import Tensor
from .forms import describe, flatten, unflatten

if TYPE_CHECKING:
    from .graph import Graph
    from .native import NativePlan
    from .plain import PlainRunner
    from .plan import Plan
    from .report import Report
    from .resident import Runner

EXECUTORS = ("auto", "native", "numpy", "plain")
ALGORITHMS = ("auto", "windows", "strips", "winograd", "fft")
MOST_PLANS = 32
"""How many plans there may be for tensors of the same shapes before that is taken for a mistake."""


class Compiled:
    """A function that runs as a plan. Made by :func:`tinygrad_cnn.compile`."""

    def __init__(self, function: Callable[..., Any], executor: str, convolution: str) -> None:
        functools.update_wrapper(self, function)
        self.function, self.executor, self.convolution = function, executor, convolution
        self._runners: dict[Any, list[Runner | PlainRunner]] = {}
        self._last: Runner | PlainRunner | None = None
        self._lock = threading.RLock()

    def __call__(self, *inputs: Any, **settings: Any) -> Any:
        """Call the function. Raises what the function raises, when it is described and when its plan runs."""
        mode = current_mode()
        if mode.tracer is not None:  # inside of another compiled function: one plan for both
            return self.function(*inputs, **settings)
        tensors: list[Tensor] = []
        forms = describe(inputs, settings, tensors)
        plain = self.executor == "plain" or mode.detect_nan or mode.device != "cpu"
        plain = plain or any([each.device != "cpu" for each in tensors])
        key = (forms, tuple([each.node.spec for each in tensors]), plain)
        with self._lock:  # a plan has its memory, so two calls of it take turns
            runner = self._find(key)
            if runner is None:
                runner = self._describe(key, tensors)
            self._last = runner
            return runner.run(tensors)

    def _find(self, key: Any) -> Runner | PlainRunner | None:
        for runner in self._runners.get(key, ()):
            if runner.fits():
                return runner
        return None

    def _describe(self, key: Any, tensors: list[Tensor]) -> Runner | PlainRunner:
        from ..ops.elementwise import ToDevice
        from .plain import PlainRunner
        from .resident import Runner
        from .trace import trace

        (inputs_form, settings_form), specs, plain = key
        runners = self._runners.setdefault(key, [])
        if len(runners) >= MOST_PLANS:
            changed = runners[-1].guards.changed_setting()
            raise ArgumentError(
                "compile",
                f"{self._name()} has been compiled {MOST_PLANS} times for tensors of the same shapes",
                got=f"a setting that keeps changing: {changed}" if changed else "settings that keep changing",
                expected="modules and optimisers whose settings stay as they are (the learning rate may change)",
                fix="hand over what changes as a tensor argument; do not count calls in an attribute of a module",
            )

        def call(symbols: Sequence[Tensor]) -> tuple[Any, list[Tensor]]:
            rest = iter(symbols)
            inputs, settings = unflatten(inputs_form, rest), unflatten(settings_form, rest)
            returned: list[Tensor] = []
            return flatten(self.function(*inputs, **settings), returned), returned

        try:
            graph, form, guards = trace(call, specs, [f"argument {index}" for index in range(len(specs))])
        except Exception as error:
            error.add_note(
                f"  while {self._name()} was being compiled for {', '.join(map(repr, specs)) or 'no tensors'}"
            )
            raise
        plain = plain or any(isinstance(node.op, ToDevice) for node in graph.nodes)
        runner = PlainRunner(graph, form, guards) if plain else Runner(self._plan_of(graph), form, guards)
        runners.append(runner)
        return runner

    def _plan_of(self, graph: Graph) -> Plan | NativePlan:
        from .plan import Plan

        why = ""
        if self.executor == "native" or (self.executor == "auto" and self.convolution == "auto" and _native_runs()):
            from .native import NativePlan, NotLanesError

            try:
                native = NativePlan(graph, whole=self.executor == "auto")
            except NotLanesError as reason:
                why = str(reason)
            else:
                return native
        plan = Plan(graph, None, self.convolution)
        plan.not_native_because = why
        return plan

    def _name(self) -> str:
        return str(getattr(self.function, "__qualname__", type(self.function).__name__))

    @property
    def graph(self) -> Graph:
        """The graph of the last call, as the function described it."""
        if self._last is None:
            raise ArgumentError(
                "compile", f"{self._name()} has no graph yet", fix="call it once: the shapes decide what is compiled"
            )
        return self._last.graph

    @property
    def plan(self) -> Plan | NativePlan:
        """The plan of the last call.

        Raises :class:`ArgumentError` before the first call, and for a function that is not run as a plan.
        """
        graph, plan = self.graph, getattr(self._last, "plan", None)
        if plan is None:
            raise ArgumentError(
                "compile", f"{self._name()} was run node by node, which needs no plan", got=f"{len(graph.nodes)} nodes",
                fix='plans run on the CPU, with executor="auto" or "numpy", and outside of tg.detect_nan()',
            )  # fmt: skip
        found: Plan | NativePlan = plan
        return found

    def stages(self) -> dict[str, Graph]:
        """The graph of the last call as it was written, and after each pass that changed it, under the pass's name.

        ``tg.draw(after, against=before)`` shows what a pass does.

        >>> import tinygrad_cnn as tg
        >>> f = tg.compile(lambda x: -(-x) + x * 1)
        >>> result = f(tg.Tensor([1.0, 2.0]))
        >>> list(f.stages())
        ['as written', 'apply_algebra', 'fuse']
        """
        from .passes import stages

        return stages(self.graph)

    def tune(self, repeats: int = 10) -> dict[str, tuple[float, float]]:
        """Measure what native code can do in two ways, and compile anew with the quicker ones.

        These are convolutions with kernels of 3x3, with Winograd's transforms or without; and the layout: examples
        side by side in vectors, or the channels of each. What is found is kept on disk: for convolutions it holds for
        every function of this user on this kind of processor, the layout for this function and this size of the batch.
        Without it an estimate decides.

        Returns for each convolution the seconds without and with the transforms, in each layout; and under
        ``"layout"`` the seconds of the whole function with examples in lanes, and with channels side by side.

        Raises :class:`ArgumentError` for a function that does not run as native code.
        """
        from .native import NativePlan

        with self._lock:
            plan = self.plan
            if not isinstance(plan, NativePlan):
                raise ArgumentError(
                    "tune", f"{self._name()} does not run as native code", got=f"executor {plan.executor!r}",
                    fix="install the extra fast; report() says why a function runs in NumPy",
                )  # fmt: skip
            found = plan.tune(repeats)
            self._runners.clear()
            return found

    def report(self, repeats: int = 0) -> Report:
        """What the plan of the last call does: its memory, its kernels, and with ``repeats`` the time of each.

        Profiling runs the plan on what its memory holds, and changes no parameter.
        """
        from .report import make_report

        with self._lock:
            return make_report(self.plan, repeats)


@functools.cache
def _native_runs() -> bool:
    """Whether native code can run here."""
    from .native.machine import why_not

    return not why_not()


def _check_native() -> None:
    """Raise where native code cannot run."""
    require("compile", "llvmlite", "llvmlite", "fast")
    from .native.machine import why_not

    if reason := why_not():
        raise ArgumentError("compile", "native code cannot run here", got=reason, fix='take executor="numpy"')


@overload
def compile(function: Callable[..., Any], *, executor: str = "auto", convolution: str = "auto") -> Compiled: ...
@overload
def compile(
    function: None = None, *, executor: str = "auto", convolution: str = "auto"
) -> Callable[[Callable[..., Any]], Compiled]: ...
def compile(
    function: Callable[..., Any] | None = None, *, executor: str = "auto", convolution: str = "auto"
) -> Compiled | Callable[[Callable[..., Any]], Compiled]:
    """Compile a function of tensors: it is described once, then only the plan that was made of it runs.

    The function may be anything from a model's forward pass to a whole training step, with ``backward()``,
    ``optimizer.step()``, running statistics and dropout inside. In its first call with tensors of certain shapes and
    types it is run on symbols; the graph is simplified, images are stored channels last, operations are fused, memory
    is planned. Later calls with such tensors run the plan.

    Args:
        function: takes tensors (NumPy arrays are converted), nested lists, tuples and dictionaries of them, and Python
            constants, which belong to what the function is compiled for. Returns the same kinds of things.
        executor: ``"numpy"`` for plans of NumPy calls on the CPU; ``"native"`` for native code there, which needs the
            extra ``fast``; ``"plain"`` to run the graph node by node, on any device; ``"auto"`` for native code on the
            CPU where the extra is installed and has kernels for all products and convolutions, else for NumPy's plans
            there, and node by node elsewhere.
        convolution: the algorithm of NumPy's plans for convolutions that it suits: ``"windows"``, ``"strips"``,
            ``"winograd"`` or ``"fft"``; ``"auto"`` takes what should be the quickest for each shape. ``report()`` names
            what was taken. Native code takes its own choice.

    What holds inside:

    - Effects are those of the function: parameters, running statistics, the optimiser's memories and ``.grad``
      change when everything has been computed, or not at all. Gradients of leaves that the function itself gives new
      numbers to are ``None`` afterwards, for they have served.
    - What it returns are plain numbers: call ``backward()`` inside.
    - ``if``, ``while`` and ``for`` may depend on shapes and settings, not on numbers in tensors. Settings of modules
      and optimisers, such as ``module.training``, may change between calls; the learning rate is read in every call.
      Other variables from outside are frozen at their first value, and ``print`` runs only once.

    Raises :class:`ArgumentError` for what cannot be compiled or converted, ``MissingPackageError`` where the extra
    ``fast`` is missing, :class:`GraphError` where the function looks at numbers while it is described.

    >>> import tinygrad_cnn as tg
    >>> @tg.compile
    ... def f(x):
    ...     return (x * 2).sum()
    >>> f(tg.Tensor([1.0, 2.0]))
    Tensor(6.)
    """
    if executor not in EXECUTORS:
        raise ArgumentError(
            "compile", "there is no such executor", got=f"executor={executor!r}",
            expected="one of " + ", ".join(map(repr, EXECUTORS)),
        )  # fmt: skip
    if convolution not in ALGORITHMS:
        raise ArgumentError(
            "compile", "there is no such algorithm", got=f"convolution={convolution!r}",
            expected="one of " + ", ".join(map(repr, ALGORITHMS)),
        )  # fmt: skip
    if executor == "native":
        _check_native()
    if function is None:
        return functools.partial(compile, executor=executor, convolution=convolution)
    if not callable(function):
        raise ArgumentError("compile", "only functions can be compiled", got=repr(function)[:80], fix="pass a function")
    return Compiled(function, executor, convolution)
