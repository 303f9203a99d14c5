"""LLVM makes machine code of its language. This file alone loads it, and is run as a program, in a process of its own.

So the user's process is not a hundred megabytes larger, several modules are compiled at the same time (llvmlite lets
only one thread of a process compile), and what LLVM does with a wrong text, which may be to end the process, happens
elsewhere. The process answers requests until nobody has asked for :data:`PATIENCE` seconds.

It imports nothing of this package, so that it starts within 50 ms.
"""

from __future__ import annotations

import functools
import importlib
import os
import pickle
import queue
import signal
import sys
import threading
from collections.abc import Collection, Sequence
from typing import Any

OPTIMISATION = 1
"""How hard LLVM tries to choose and order instructions. Nothing is rewritten before that."""
PATIENCE = 5.0
"""After so many seconds without a request the process ends."""


@functools.cache
def _llvm() -> Any:
    llvm = importlib.import_module("llvmlite.binding")
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


def target_machine(cpu: str, features: str) -> Any:
    """LLVM's machine for a processor."""
    target = _llvm().Target.from_default_triple()
    return target.create_target_machine(cpu=cpu, features=features, opt=OPTIMISATION, jit=True)


@functools.cache
def _engine() -> Any:
    """What runs code at once. LLVM finds the functions of the process as soon as there is one."""
    llvm = _llvm()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    return llvm.create_mcjit_compiler(llvm.parse_assembly("", llvm.create_context()), machine)


def host() -> tuple[str, str, str, tuple[int, ...]]:
    """This processor's name, what it can do, the kind of system, and LLVM's version."""
    llvm = _llvm()
    features = str(llvm.get_host_cpu_features().flatten())
    return str(llvm.get_host_cpu_name()), features, str(llvm.get_default_triple()), tuple(llvm.llvm_version_info)


def compile_text(text: str, own: Collection[str], cpu: str, features: str) -> bytes:
    """The object file of a module, which may call these functions of its own program.

    Raises :class:`RuntimeError` with LLVM's message where the text is wrong.
    """
    llvm = _llvm()
    try:
        module = llvm.parse_assembly(text, llvm.create_context())
        module.verify()
    except RuntimeError as error:
        raise RuntimeError(f"LLVM does not take the text of a module: {str(error).strip()}") from None
    for function in module.functions:
        name = function.name
        here = not function.is_declaration or name in own or name.startswith("llvm.")
        if not here and _engine() and llvm.address_of_symbol(name) is None:
            raise RuntimeError(f"the module calls a function that this process does not have: {name}")
    return bytes(target_machine(cpu, features).emit_object(module))


def assembly(texts: Sequence[str], cpu: str, features: str) -> str:
    """The instructions that modules become, in the processor's own language."""
    llvm, machine = _llvm(), target_machine(cpu, features)
    modules = [llvm.parse_assembly(text, llvm.create_context()) for text in texts]
    return "\n".join([str(machine.emit_assembly(module)) for module in modules])


REQUESTS = {"host": host, "compile_text": compile_text, "assembly": assembly}


def serve() -> None:
    """Answer requests ``(name, arguments)`` with ``(True, result)`` or ``(False, message)``, until nobody asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    requests: queue.SimpleQueue[tuple[str, tuple[Any, ...]] | None] = queue.SimpleQueue()

    def read() -> None:
        while True:
            try:
                requests.put(pickle.load(sys.stdin.buffer))
            except EOFError:
                requests.put(None)
                return

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            request = requests.get(timeout=PATIENCE)
        except queue.Empty:
            return
        if request is None:
            return
        name, arguments = request
        try:
            answer = (True, REQUESTS[name](*arguments))  # type: ignore[operator]
        except RuntimeError as error:
            answer = (False, str(error))
        pickle.dump(answer, sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.path.append(sys.argv[1])  # where llvmlite is
    _llvm()
    serve()
    os._exit(0)  # without waiting for the thread that reads
