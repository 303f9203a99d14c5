"""Kernels for ARM64, whose vectors hold four numbers: there is no such processor here, so the instructions are read."""

from __future__ import annotations

import platform
import re

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.compile.native import NativePlan, machine
from tinygrad_cnn.compile.native.ir import module

from .native_programs import target
from .nets import NETS, Task

pytestmark = [pytest.mark.native, pytest.mark.cpu("native code runs on the CPU")]

CPU = "x86-64" if platform.machine() in ("x86_64", "AMD64") else None
"""One without vectors of 16 numbers, and with no instructions that are written by name."""


def instructions(plan: NativePlan, triple: str = "aarch64-unknown-linux-gnu") -> str:
    """The kernels of a plan as instructions of ARM64."""
    import llvmlite.binding as llvm

    arm = target(triple)
    kernels = plan.program.kernels
    for kernel in kernels:
        kernel.exported = True
    text = llvm.parse_assembly(f'target triple = "{triple}"\n' + module(kernels, 128), llvm.create_context())
    text.verify()
    return str(arm.create_target_machine(opt=machine.compiler.OPTIMISATION).emit_assembly(text))


def innermost(assembly: str, name: str) -> list[str]:
    """The instructions of the loop with the most multiplications, in a function."""
    start = assembly.index(f"\n{name}:")
    function = assembly[start : assembly.index(f"\t.size\t{name},", start)]
    loops = re.findall(r"\n(\.L\w+):((?:\n\t(?!b\.).*)*\n\tb\.\w+\t\1)\b", function)
    return max([body.split("\n\t")[1:] for _, body in loops], key=lambda lines: sum("fmla" in line for line in lines))


def test_the_tile_of_a_convolution_stays_in_registers() -> None:
    """Six vectors of 16 numbers are 24 registers; nothing is written to memory in the loop over them."""
    layer = nn.Conv2d(8, 12, 3)
    f = tg.compile(lambda x: layer(x).relu(), executor="native")
    f(tg.Tensor(np.zeros((32, 8, 12, 12), "float32")))
    plan = NativePlan(f.graph, None, CPU, 16)
    step = next(each for each in plan.steps if each.way == "contract")
    loop = innermost(instructions(plan), step.name)
    words = [line.split("\t")[0] for line in loop]
    assert words.count("fmla") == 24
    assert not [word for word in words if word.startswith("st")]
    assert len(words) < 45


@pytest.mark.parametrize("lanes", [1, 16], ids="{} lanes".format)
@pytest.mark.parametrize("net", NETS)
def test_steps_call_no_library(net: str, lanes: int) -> None:
    """But for a power of one number, in Adam."""
    task = Task(net, dtype="float32", batch=32)
    step = tg.compile(task.step, executor="native")
    step(task.inputs, task.labels)
    assembly = instructions(NativePlan(step.graph, None, CPU, lanes))
    assert set(re.findall(r"\tbl\t(\S+)", assembly)) <= {"pow"}
    assert "fmla" in assembly
