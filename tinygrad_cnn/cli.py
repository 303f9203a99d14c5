"""The command line: ``tinygrad-cnn train | list | draw | summary ...``."""

from __future__ import annotations

import argparse
import difflib
import math
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from .data import photograph
from .draw import draw
from .draw.view import format_shape
from .errors import ArgumentError, TinygradCnnError
from .filters import draw_bank
from .models.catalogue import CATALOGUE, Entry, overview
from .recipes import RECIPES
from .recipes.session import SEED, Wishes, train
from .summary import summary
from .tensor import symbol

SHORT = {"lenet": "lenet5"}
"""Other names of networks, as the recipes call them."""

BAD_OPTION, INTERRUPTED = 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: 0, 2 for what the user can mend, 130 after Ctrl-C.

    Wrong options end in ``SystemExit`` with code 2, after a message on the standard error stream.
    """
    # A shell that starts a command in the background lets it ignore Ctrl-C; `kill -INT` should still save and stop.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except TinygradCnnError as error:
        return _complain(error)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _complain(error: TinygradCnnError) -> int:
    """Show an error without the line of code it came from, which is this package's and not the user's."""
    lines = [f"tinygrad-cnn: {error.problem}"]
    for label, text in (("got", error.got), ("expected", error.expected), ("fix", error.fix)):
        if text:
            lines.append(f"  {label:<9} {text}")
    print("\n".join(lines), file=sys.stderr)
    return BAD_OPTION


# Options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tinygrad-cnn", description="Train, list, draw and count convolutional networks.", allow_abbrev=False
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str, more: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}. {more}", allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        sub.set_defaults(run=run)
        return sub

    _add_train_options(command(
        "train", _train, "train a network on real data, and measure it",
        "Ctrl-C stops it;\n--resume goes on after the last whole epoch, to the same weights as without the stop.",
    ))  # fmt: skip
    command("list", _list, "list the networks with their sizes", "They can be drawn and summed up; nothing is trained.")
    bank = command("filters", _filters, "draw a photograph seen through the classic kernels", "Nothing is trained.")
    bank.add_argument("--image", metavar="NAME", default="china", help="a photograph of tg.data.photographs()")
    bank.add_argument("--out", type=Path, metavar="FILE", default=Path("filters.png"), help="ends in .png")
    for name, run, text in (
        ("draw", _draw, "draw a network, before a single number is computed"),
        ("summary", _summary, "list a network's layers, shapes and parameters"),
    ):
        sub = command(name, run, text, "Nothing is trained or computed; `list` shows the networks.")
        known = _one_of(CATALOGUE | SHORT, "network", "`tinygrad-cnn list` shows them")
        sub.add_argument("model", type=known, metavar="MODEL", help="see `list`")
        sub.add_argument("--input", type=_shape, metavar="SHAPE", help="shape with the batch first, such as 1x3x64x64")
        if run is _draw:
            _add_draw_options(sub)
    return parser


def _add_train_options(sub: argparse.ArgumentParser) -> None:
    width = max(map(len, RECIPES))
    sub.epilog = "trainings:\n" + "\n".join(f"  {name:<{width}}  {each.text}" for name, each in RECIPES.items())
    known = _one_of(RECIPES, "training", f"known: {', '.join(RECIPES)}")
    sub.add_argument("model", type=known, metavar="NAME", help="one of the trainings below")
    whole = "a whole number, at least 1"
    sub.add_argument(
        "--epochs", type=_number(int, lambda n: n >= 1, whole), metavar="N",
        help="passes over the training data, those before --resume included",
    )  # fmt: skip
    sub.add_argument(
        "--batch-size", type=_number(int, lambda n: n >= 1, whole), metavar="N", help="samples in one step"
    )
    sub.add_argument(
        "--lr", type=_number(float, lambda x: math.isfinite(x) and x > 0, "a number above 0"), metavar="X",
        help="learning rate in the first epoch; it falls by a fixed share in each",
    )  # fmt: skip
    sub.add_argument(
        "--seed", type=_number(int, lambda n: n >= 0, "a whole number, at least 0"), metavar="N",
        help=f"decides all that is random (default {SEED})",
    )  # fmt: skip
    sub.add_argument("--device", default="cpu", metavar="NAME", help="cpu or gpu (default cpu)")
    sub.add_argument("--out", type=Path, metavar="FOLDER", help="where the run is kept (default runs/NAME)")
    sub.add_argument("--resume", action="store_true", help="go on with the run in that folder")


def _add_draw_options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--level", choices=("block", "op"), default="block", help="boxes for layers, or for operations (default block)"
    )
    sub.add_argument("--backward", action="store_true", help="draw the gradient too")
    sub.add_argument(
        "--depth", type=_number(int, lambda n: n >= 0, "a whole number, at least 0"), metavar="N",
        help="close blocks that lie deeper",
    )  # fmt: skip
    sub.add_argument("--fold", action="store_true", help="draw equal neighbours once, with how many there are")
    sub.add_argument("--overlay", choices=("macs", "memory", "parameters"), help="colour boxes by a figure")
    sub.add_argument(
        "--out", type=Path, metavar="FILE",
        help="ends in .svg, .png, .pdf, .html, .dot, .mmd, .json or .txt (default MODEL.svg)",
    )  # fmt: skip


def _one_of(names: Iterable[str], what: str, where: str) -> Callable[[str], str]:
    def convert(name: str) -> str:
        if name in names:
            return name
        near = difflib.get_close_matches(name, names, 1, 0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise argparse.ArgumentTypeError(f"there is no {what} {name!r}; {hint}{where}")

    return convert


def _number(kind: type, holds: Callable[[Any], bool], expected: str) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not holds(value):
            raise argparse.ArgumentTypeError(f"got {text!r}, expected {expected}")
        return value

    return convert


def _shape(text: str) -> tuple[int, ...]:
    """A shape such as ``1x3x64x64``; ``×`` and commas part the numbers as well."""
    parts = re.split("[x×,]", text)
    if not all(part.isdecimal() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected whole numbers from 1 up, such as 1x3x64x64")
    return tuple(map(int, parts))


# Commands


def _train(options: argparse.Namespace) -> int:
    wishes = {each.name: getattr(options, each.name) for each in fields(Wishes)}
    try:
        train(RECIPES[options.model], Wishes(**wishes))
    except KeyboardInterrupt:  # the way to go on has been printed
        return INTERRUPTED
    return 0


def _list(options: argparse.Namespace) -> int:
    cells = [("network", "input", "parameters", "MACs", "")]
    for row in overview():
        shapes = ", ".join(format_shape(spec) for spec in row.inputs)
        cells.append((row.name, shapes, f"{row.parameters:,}", f"{row.macs:,}", row.description))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for name, shapes, parameters, macs, text in cells:
        left = f"{name:<{widths[0]}}  {shapes:<{widths[1]}}"
        print(f"{left}  {parameters:>{widths[2]}}  {macs:>{widths[3]}}  {text}".rstrip())
    return 0


def _filters(options: argparse.Namespace) -> int:
    draw_bank(options.out, photograph(options.image))
    print(options.out)
    return 0


def _draw(options: argparse.Namespace) -> int:
    entry = _entry(options)
    model = entry.make().train(options.backward)  # with its gradient as in training, else as it is used
    drawing = draw(
        model, _inputs(entry, options), level=options.level, backward=options.backward, depth=options.depth,
        fold=options.fold, overlay=options.overlay,
    )  # fmt: skip
    print(drawing.save(options.out or Path(f"{options.model}.svg")))
    return 0


def _summary(options: argparse.Namespace) -> int:
    entry = _entry(options)
    print(summary(entry.make().eval(), _inputs(entry, options)))
    return 0


def _entry(options: argparse.Namespace) -> Entry:
    return CATALOGUE[SHORT.get(options.model, options.model)]


def _inputs(entry: Entry, options: argparse.Namespace) -> Any:
    """What goes into the network: what it was published for, or the shape that was asked for."""
    if options.input is None:
        return entry.symbols()
    if len(entry.inputs) > 1:
        raise ArgumentError(
            options.model, f"the network takes {len(entry.inputs)} inputs", got="one shape", fix="leave out --input"
        )
    return symbol(options.input, entry.inputs[0].dtype, "input")
