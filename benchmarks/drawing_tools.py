"""How long tools take to draw ResNet-18 as SVG, forward, with the shapes in the picture.

Each tool has a process of its own, started anew in every round, and the tools take turns. A process says how long its
first picture took, imports and the making of the model included, and the median of the next few. What is taken is the
time of the processor, so that other programs on the machine count less; the program ``dot``, which the rivals need, is
included.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

SHAPE = (1, 3, 224, 224)
PICTURES = 5
"""Taken in one process after the first."""

Draw = Callable[[Path], Any]
"""Writes the picture into a folder."""


# The tools


def tinygrad_cnn() -> tuple[Draw, str]:
    import tinygrad_cnn as tg

    model = tg.models.resnet18().eval()
    return lambda folder: tg.draw(model, SHAPE).save(folder / "picture.svg"), tg.__version__


def tinygrad_cnn_operations() -> tuple[Draw, str]:
    import tinygrad_cnn as tg

    model = tg.models.resnet18().eval()
    return lambda folder: tg.draw(model, SHAPE, level="op").save(folder / "picture.svg"), tg.__version__


def tinygrad_cnn_backward() -> tuple[Draw, str]:
    import tinygrad_cnn as tg

    model = tg.models.resnet18()
    return lambda folder: tg.draw(model, SHAPE, backward=True).save(folder / "picture.svg"), tg.__version__


def torchview() -> tuple[Draw, str]:
    from torchview import draw_graph

    model = torch_resnet18()

    def draw(folder: Path) -> None:
        graph = draw_graph(model, input_size=SHAPE, device="meta", expand_nested=True).visual_graph
        graph.render("picture", folder, format="svg")

    return draw, version("torchview")


def torchlens() -> tuple[Draw, str]:
    import torch
    import torchlens

    model, images = torch_resnet18(), torch.zeros(SHAPE)

    def draw(folder: Path) -> None:
        trace = torchlens.trace(model, images, save=None)
        trace.draw(vis_outpath=str(folder / "picture"), vis_fileformat="svg", vis_save_only=True)

    return draw, version("torchlens")


def torchlens_backward() -> tuple[Draw, str]:
    import torch
    import torchlens

    model, images = torch_resnet18().train(), torch.zeros(SHAPE)

    def draw(folder: Path) -> None:
        trace = torchlens.trace(model, images)
        trace.log_backward(trace.output_ops[0].out.sum())
        trace.draw_combined(vis_outpath=str(folder / "picture"), vis_fileformat="svg", vis_save_only=True)

    return draw, version("torchlens")


def keras() -> tuple[Draw, str]:
    import keras

    model = keras_resnet18(keras)

    def draw(folder: Path) -> None:
        file = str(folder / "picture.svg")
        keras.utils.plot_model(model, file, show_shapes=True, show_layer_names=True, expand_nested=True)

    return draw, keras.__version__


TOOLS = {
    "tinygrad_cnn": tinygrad_cnn,
    "tinygrad_cnn, operations": tinygrad_cnn_operations,
    "tinygrad_cnn, with its gradient": tinygrad_cnn_backward,
    "torchview": torchview,
    "TorchLens": torchlens,
    "TorchLens, with its gradient": torchlens_backward,
    "keras plot_model": keras,
}


# ResNet-18 (He et al., 2016) for the rivals


def torch_resnet18() -> Any:
    import torch
    from torch import nn

    torch.set_num_threads(1)

    class Block(nn.Module):
        def __init__(self, inside: int, out: int, stride: int) -> None:
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(inside, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
            self.conv2, self.bn2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
            self.relu = nn.ReLU()
            self.downsample = None
            if inside != out:
                self.downsample = nn.Sequential(nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out))

        def forward(self, x: Any) -> Any:
            y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
            return self.relu(y + (x if self.downsample is None else self.downsample(x)))

    class ResNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(
                nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
            )
            for place, (inside, out) in enumerate([(64, 64), (64, 128), (128, 256), (256, 512)], 1):
                setattr(self, f"layer{place}", nn.Sequential(Block(inside, out, out // inside), Block(out, out, 1)))
            self.avgpool, self.flatten, self.fc = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000)

        def forward(self, x: Any) -> Any:
            x = self.layer4(self.layer3(self.layer2(self.layer1(self.stem(x)))))
            return self.fc(self.flatten(self.avgpool(x)))

    return ResNet().eval()


def keras_resnet18(keras: Any) -> Any:
    layers = keras.layers

    def block(x: Any, out: int, stride: int) -> Any:
        y = layers.Conv2D(out, 3, stride, "same", use_bias=False)(x)
        y = layers.ReLU()(layers.BatchNormalization()(y))
        y = layers.BatchNormalization()(layers.Conv2D(out, 3, 1, "same", use_bias=False)(y))
        if stride > 1:
            x = layers.BatchNormalization()(layers.Conv2D(out, 1, stride, use_bias=False)(x))
        return layers.ReLU()(layers.Add()([x, y]))

    start = keras.Input((SHAPE[2], SHAPE[3], SHAPE[1]))
    x = layers.BatchNormalization()(layers.Conv2D(64, 7, 2, "same", use_bias=False)(start))
    x = layers.MaxPooling2D(3, 2, "same")(layers.ReLU()(x))
    for out in (64, 128, 256, 512):
        x = block(block(x, out, 1 if out == 64 else 2), out, 1)
    return keras.Model(start, layers.Dense(1000)(layers.GlobalAveragePooling2D()(x)), name="resnet18")


# The measurement


def work(name: str) -> dict[str, Any]:
    """In a process of its own: the first picture, and the next few."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            draw, number = TOOLS[name]()
        except ImportError as error:
            return {"error": str(error)}
        draw(Path(folder))
        first = spent()
        times = []
        for _ in range(PICTURES):
            start = spent()
            draw(Path(folder))
            times.append(spent() - start)
        size = (Path(folder) / "picture.svg").stat().st_size
    return {"version": number, "first": first, "next": median(times), "bytes": size}


def spent() -> float:
    """The seconds that this process and those it started have kept a processor busy."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def ask(python: str, name: str) -> dict[str, Any]:
    done = subprocess.run([python, sys.argv[0], "--worker", name], capture_output=True, text=True, check=False)
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["it ended with an error"])[-1]}
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="how often the tools take turns (%(default)s)")
    parser.add_argument("--python", metavar="PATH", default=sys.executable, help="the interpreter that has the rivals")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(work(options.worker)))
        return
    if shutil.which("dot") is None:
        print("the program dot is not on the PATH: all that need it are left out")
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in TOOLS}
    left = list(TOOLS)
    shuffle = random.Random(0).shuffle
    for _ in range(options.rounds):
        shuffle(left)
        for name in left[:]:
            answer = ask(sys.executable if name.startswith("tinygrad_cnn") else options.python, name)
            if "error" in answer:
                print(f"{name}: left out ({answer['error']})")
                left.remove(name)
            else:
                answers[name].append(answer)
    print(f"ResNet-18 as SVG, {options.rounds} rounds, seconds of the processor: median (lowest to highest)")
    print(f"{'':<33}{'version':<9}{'first picture, s':<25}{'next pictures, ms':<25}{'KiB':>6}")
    for name in [name for name in TOOLS if name in left]:
        taken = answers[name]
        first, following = spread([each["first"] for each in taken], 2), spread([1e3 * each["next"] for each in taken])
        print(f"{name:<33}{taken[0]['version']:<9}{first:<25}{following:<25}{taken[0]['bytes'] / 1024:>6.0f}")


def spread(numbers: list[float], digits: int = 0) -> str:
    return f"{median(numbers):.{digits}f} ({min(numbers):.{digits}f} to {max(numbers):.{digits}f})"


if __name__ == "__main__":
    main()
