"""The command line: ``tinygrad-cnn train | list | draw | summary ...``."""

from __future__ import annotations

import argparse
import difflib
import json
import math
import os
import re
import signal
import sys
import webbrowser
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import numpy as np

from .data import photograph
from .draw import Drawing, draw
from .draw.drawing import SUFFIXES
from .draw.numbers import Values
from .draw.overlay import OVERLAYS
from .draw.view import Level, format_shape
from .errors import ArgumentError, TinygradCnnError
from .extras import MissingPackageError
from .filters import draw_bank
from .models.catalogue import CATALOGUE, Entry, overview
from .nn.module import Module
from .recipes import RECIPES
from .recipes.session import SEED, Wishes, train
from .summary import summary
from .tensor import Tensor, symbol

SHORT = {"lenet": "lenet5"}
"""Other names of networks, as the recipes call them."""

SHOWN = (".svg", ".html", ".png", ".pdf")
"""Files that a browser shows."""

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
        ("summary", _summary, "list a network's layers with shapes, receptive fields, parameters, work and memory"),
    ):
        sub = command(name, run, text, "Nothing is trained or computed; `list` shows the networks.")
        known = _one_of(CATALOGUE | SHORT, "network", "`tinygrad-cnn list` shows them")
        sub.add_argument("model", type=known, metavar="MODEL", help="see `list`")
        sub.add_argument("--input", type=_shape, metavar="SHAPE", help="shape with the batch first, such as 1x3x64x64")
        if run is _draw:
            _add_draw_options(sub)
        else:
            sub.add_argument(
                "--format", choices=("text", "html", "json"), default="text", help="what is printed (default text)"
            )
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
    sub.add_argument("--eager", action="store_true", help="run each operation as it comes, instead of compiled steps")


def _add_draw_options(sub: argparse.ArgumentParser) -> None:
    suffixes = ", ".join(SUFFIXES)
    content, file = sub.add_argument_group("what is drawn"), sub.add_argument_group("where it goes")
    content.add_argument(
        "--level", choices=get_args(Level), default="block",
        help="boxes for layers, for operations, or for operations with all their numbers (default block)",
    )  # fmt: skip
    content.add_argument("--backward", action="store_true", help="draw the gradient too")
    content.add_argument(
        "--depth", type=_number(int, lambda n: n >= 0, "a whole number, at least 0"), metavar="N",
        help="close blocks that lie deeper: 0 leaves one box, 1 the model's parts",
    )  # fmt: skip
    content.add_argument(
        "--collapse", action="append", default=[], metavar="BLOCK",
        help="close blocks of this class (BasicBlock) or this name (layer1.0); may be given several times",
    )  # fmt: skip
    content.add_argument("--fold", action="store_true", help="draw equal neighbours once, with how many there are")
    content.add_argument(
        "--against", type=_one_of(CATALOGUE | SHORT, "network", "`tinygrad-cnn list` shows them"), metavar="MODEL",
        help="draw what is new, gone or changed, compared with this network",
    )  # fmt: skip
    content.add_argument(
        "--values", choices=get_args(Values),
        help="boxes tell their numbers, worked out for random input and fresh weights",
    )  # fmt: skip
    content.add_argument("--overlay", choices=OVERLAYS, help="colour boxes by a figure")
    content.add_argument("--details", action="store_true", help="boxes tell element type and memory too")
    content.add_argument(
        "--edge-shapes", action=argparse.BooleanOptionalAction,
        help="arrows carry shapes (default: those between blocks do)",
    )  # fmt: skip
    content.add_argument(
        "--rules", action=argparse.BooleanOptionalAction, default=True,
        help="with --backward: each gradient rule is one box with its formula (default), or all its operations",
    )  # fmt: skip
    content.add_argument(
        "--errors", choices=("raise", "draw"), default="raise",
        help="where the input does not fit: stop, or draw as far as it comes, up to a red box (default raise)",
    )  # fmt: skip
    content.add_argument("--name", metavar="TITLE", help="the title (default: the class of the model)")
    file.add_argument(
        "--out", type=Path, metavar="FILE",
        help=f"ends in one of {suffixes}; an earlier picture there is replaced (default MODEL.svg)",
    )  # fmt: skip
    file.add_argument(
        "--format", choices=[suffix[1:] for suffix in SUFFIXES], metavar="FORMAT",
        help=f"one of {suffixes.replace('.', '')}; without --out, MODEL.FORMAT is written, and txt is printed",
    )  # fmt: skip
    file.add_argument("--open", action="store_true", help="show the file, most often in a browser")


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
    target = _target(options)
    entry = _entry(options)
    model = _model(options.model, options.backward)
    inputs = _inputs(entry, options)
    if options.values:
        inputs = [_random(each) for each in inputs]
    try:
        drawing = draw(
            model, inputs, level=options.level, backward=options.backward, depth=options.depth,
            collapse=_collapsed(model, options.collapse), fold=options.fold, overlay=options.overlay,
            details=options.details, edge_shapes=options.edge_shapes, rules=options.rules, errors=options.errors,
            name=options.name, against=_model(options.against, options.backward) if options.against else None,
            values=options.values or False,
        )  # fmt: skip
    except ArgumentError:
        raise
    except TinygradCnnError as error:  # the model's own
        _complain(error)
        print("  see       --errors draw draws the network up to there", file=sys.stderr)
        return BAD_OPTION
    if target is None:
        print(drawing)
        return 0
    return _write(drawing, target, options)


def _model(name: str, training: bool) -> Module:
    """A network with its gradient as in training, else as it is used."""
    return CATALOGUE[SHORT.get(name, name)].make().train(training)


def _random(like: Tensor) -> Tensor:
    """Numbers for an input: of a normal distribution, or the first word or class of all."""
    normal = np.random.default_rng(0).standard_normal(like.shape) if like.dtype.kind == "f" else np.zeros(like.shape)
    return Tensor(normal.astype(like.dtype))


def _target(options: argparse.Namespace) -> Path | None:
    """The file that the picture is written to; nothing where it is printed."""
    path: Path | None = options.out
    target: Path | None
    if options.format is None:
        target = path or Path(f"{options.model}.svg")
    elif path is None:
        target = Path(f"{options.model}.{options.format}") if options.format != "txt" else None
    elif path.suffix.lower() not in ("", f".{options.format}"):
        raise ArgumentError(
            "draw", "--format and --out say different things", got=f"--format {options.format} --out {path}",
            fix=f"leave out --format, or write --out {path.with_suffix('.' + options.format)}",
        )  # fmt: skip
    else:
        target = path.with_suffix(f".{options.format}")
    if options.open and (target is None or target.suffix.lower() not in SHOWN):
        raise ArgumentError(
            "draw", "--open shows pictures", got=f"--format {options.format}" if path is None else f"--out {path}",
            expected=f"a file that ends in {', '.join(SHOWN)}", fix="leave out --open, or add --format svg",
        )  # fmt: skip
    return target


def _write(drawing: Drawing, target: Path, options: argparse.Namespace) -> int:
    try:
        print(drawing.save(target))
    except MissingPackageError as error:
        if options.out or options.format:
            raise
        print(drawing)  # nobody insisted on a picture
        print(f"no {target} was written: {error.problem}\n  {error.fix}", file=sys.stderr)
        return 0
    if options.open and not webbrowser.open(target.resolve().as_uri()):
        print(f"there is no program here to show it: open {target} yourself", file=sys.stderr)
    return 0


def _collapsed(model: Module, names: list[str]) -> Callable[[str, Module | None], bool] | None:
    """Which blocks are closed; the words are classes, or names as in ``state_dict``."""
    if not names:
        return None
    known = {type(part).__name__ for part in model.modules()} | {name for name, _ in model.named_modules() if name}
    for name in names:
        if name not in known:
            near = " or ".join(difflib.get_close_matches(name, sorted(known), 3, 0.4))
            raise ArgumentError(
                "draw", "the network has no such block", got=f"--collapse {name}",
                expected="a class or a name that `summary` lists", fix=f"did you mean {near}?" if near else "",
            )  # fmt: skip

    def closed(path: str, module: Module | None) -> bool:
        return type(module).__name__ in names or path.partition("/")[2].replace("/", ".") in names

    return closed


def _summary(options: argparse.Namespace) -> int:
    entry = _entry(options)
    table = summary(entry.make().eval(), _inputs(entry, options))
    if options.format == "json":
        print(json.dumps(table.data(), indent=1))
    else:
        print(table.html() if options.format == "html" else table)
    return 0


def _entry(options: argparse.Namespace) -> Entry:
    return CATALOGUE[SHORT.get(options.model, options.model)]


def _inputs(entry: Entry, options: argparse.Namespace) -> list[Tensor]:
    """What goes into the network: what it was published for, or the shape that was asked for."""
    if options.input is None:
        return entry.symbols()
    if len(entry.inputs) > 1:
        raise ArgumentError(
            options.model, f"the network takes {len(entry.inputs)} inputs", got="one shape", fix="leave out --input"
        )
    return [symbol(options.input, entry.inputs[0].dtype, "input")]
