"""Who takes part: every way to run a net."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Contestant:
    """A framework and a variant of using it, as its file in frameworks/ knows it."""

    title: str
    framework: str
    variant: str = "eager"
    caches: bool = False
    """Whether it keeps compiled code on disk: then it starts twice, with an empty folder and with a full one."""
    threads: int | None = None
    """If not as many as the others."""


FRAMEWORKS = {
    "ours": "tinygrad_cnn",
    "torch": "PyTorch",
    "jax": "JAX",
    "dezero": "DeZero",
    "chainer": "Chainer",
    "mygrad": "MyGrad",
    "autograd": "HIPS autograd",
}

CONTESTANTS = {
    "eager": Contestant("tinygrad_cnn, eager", "ours"),
    "numpy": Contestant("tinygrad_cnn, compiled, NumPy", "ours", "numpy", caches=True),
    "native": Contestant("tinygrad_cnn, compiled, native", "ours", "native", caches=True),
    "native-1": Contestant("the same on one thread", "ours", "native", caches=True, threads=1),
    "torch": Contestant("PyTorch", "torch"),
    "torch-channels-last": Contestant("PyTorch, channels last", "torch", "channels last"),
    "torch-fused": Contestant("PyTorch, fused Adam", "torch", "fused Adam"),
    "torch-denormals": Contestant("PyTorch, denormals flushed", "torch", "flushed denormals"),
    "torch-compile": Contestant("torch.compile", "torch", "compile", caches=True),
    "jax": Contestant("jax.jit", "jax"),
    "dezero": Contestant("DeZero", "dezero"),
    "chainer": Contestant("Chainer", "chainer"),
    "mygrad": Contestant("MyGrad", "mygrad"),
    "autograd": Contestant("HIPS autograd", "autograd"),
}
OURS = [name for name, contestant in CONTESTANTS.items() if contestant.framework == "ours"]
PEERS = [name for name in CONTESTANTS if name not in OURS]
