"""Results as text for the terminal, as a page of tables, and as plots."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

from contestants import CONTESTANTS, FRAMEWORKS
from nets import NETS

Cell = dict[str, Any]
"""One net in one mode with everybody."""

Entry = dict[str, Any]
"""What one contestant did in a cell."""

OURS, PEERS = "#00589c", "#9a3b00"  # blue and orange stay apart for the colour-blind and in grey
PHASES = ("import", "build", "first step")
KINDS = {"train": "training step", "inference": "inference"}


def read_results(path: Path) -> dict[str, Any]:
    """What :func:`write_results` wrote."""
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return results


def write_results(results: dict[str, Any], folder: Path) -> None:
    """All that was measured, as ``results.json``. A write that breaks off leaves the file as it was."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / "results.part"
    unfinished.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    unfinished.replace(folder / "results.json")


def write_report(results: dict[str, Any], folder: Path) -> None:
    """Tables into ``results.md``; plots of time, start-up and memory beside it, where matplotlib is installed."""
    folder.mkdir(parents=True, exist_ok=True)
    cells = sorted(results["cells"], key=lambda cell: (list(NETS).index(cell["net"]), cell["batch"]))
    (folder / "results.md").write_text(page(results["machine"], cells), encoding="utf-8")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        print("no plots: matplotlib is not installed")
        return
    for mode, kind in KINDS.items():
        chosen = [cell for cell in cells if cell["mode"] == mode]
        if chosen:
            plot(chosen, time_ratio, f"{kind.capitalize()}: {against(chosen)}", folder / f"time-{mode}.svg", origin=1.0)
    training = [cell for cell in cells if cell["mode"] == "train"]
    if any(cell["work"]["multiply_adds"] and shown(cell) for cell in cells):
        plot_roofline(cells, folder / "roofline.svg")
    if training:
        title = "Start-up in s: until the import, the building of the net, and the first training step (light) are done"
        plot(training, start_up, title, folder / "start-up.svg")
        plot(training, peak_memory, "Peak memory of the training process in MB", folder / "memory.svg")


def time_ratio(entry: Entry) -> list[float]:
    return [entry["best_ratio"]]


def start_up(entry: Entry) -> list[float]:
    return list(accumulate(entry["seconds"][phase] for phase in PHASES))


def peak_memory(entry: Entry) -> list[float]:
    return [entry["peak_bytes"] / 1e6]


# Text

HEADS = (
    "", "median ms", "best ms", "ratio of a round", "best/best", "GFLOP/s", "peak MB", "start-up s", "first step s",
)  # fmt: skip


def rows(cell: Cell) -> list[list[str]]:
    """A row of text for each contestant, as :data:`HEADS` says."""
    result = []
    for name, entry in cell["contestants"].items():
        row = [CONTESTANTS[name].title, number(1e3 * entry["median"]), number(1e3 * entry["best"])]
        if name == cell["baseline"]:
            row += ["1", "1"]
        else:
            ratio = entry["ratio"]
            row.append(f"{ratio['median']:.2f} ({ratio['lowest']:.2f} to {ratio['highest']:.2f})")
            row.append(f"{entry['best_ratio']:.2f}")
        speed = operations(cell) / entry["best"]
        row += [number(1e-9 * speed) if speed else "-", number(entry["peak_bytes"] / 1e6)]
        row += [from_cache(entry, PHASES), from_cache(entry, PHASES[-1:])]
        result.append(row)
    return result


def operations(cell: Cell) -> int:
    """Floating-point operations of convolutions and dense layers in a step; backward they are twice as many."""
    count: int = 2 * cell["work"]["multiply_adds"] * (3 if cell["mode"] == "train" else 1)
    return count


def from_cache(entry: Entry, phases: tuple[str, ...]) -> str:
    """Seconds that phases of starting up took; behind a comma, with what an earlier start had left on disk."""
    starts = [entry[key] for key in ("seconds", "seconds from cache") if key in entry]
    return ", ".join(number(sum(start[phase] for phase in phases)) for start in starts)


def number(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def heading(cell: Cell) -> str:
    busy = f", {cell['busy']} other busy" if cell["busy"] else ""
    return f"{NETS[cell['net']].title}, batch {cell['batch']}, {KINDS[cell['mode']]}{busy}"


def against(cells: list[Cell]) -> str:
    return f"time as a multiple of {CONTESTANTS[cells[0]['baseline']].title}'s, best against best"


def cell_text(cell: Cell) -> str:
    """A table for the terminal."""
    table = [list(HEADS), *rows(cell)]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADS))]
    lines = [f"\n{heading(cell)}: {cell['rounds']} rounds, {cell['threads']} threads"]
    lines += [
        row[0].ljust(widths[0]) + "".join("  " + text.rjust(w) for text, w in zip(row[1:], widths[1:], strict=True))
        for row in table
    ]
    lines += [f"left out: {CONTESTANTS[name].title}: {reason}" for name, reason in cell["left_out"].items()]
    return "\n".join(lines)


def page(machine: dict[str, Any], cells: list[Cell]) -> str:
    """All results as Markdown: how the times compare, each net on its own, and who was left out."""
    days = sorted({cell["measured"] for cell in cells})
    parts = [
        f"Measured {' to '.join(dict.fromkeys((days[0], days[-1])))} on {machine['processor']}, {machine['cores']} "
        f"cores, {machine['system']}, Python {machine['python']}, with {cells[0]['threads']} threads each. "
        f"Versions: {', '.join(versions(cells))}."
    ]
    for mode, kind in KINDS.items():
        chosen = [cell for cell in cells if cell["mode"] == mode]
        if chosen:
            parts += [f"### {kind.capitalize()}: {against(chosen)}", overview(chosen)]
    for cell in cells:
        parts += [f"#### {heading(cell)}", markdown([list(HEADS), *rows(cell)])]
    if any(cell["left_out"] for cell in cells):
        parts += ["### Left out", left_out(cells)]
    return "\n\n".join(parts) + "\n"


def overview(cells: list[Cell]) -> str:
    """A row for each contestant, a column for each net."""
    table = [["", *[f"{NETS[cell['net']].title}, {cell['batch']}" for cell in cells]]]
    for name in present(cells):
        entries = [cell["contestants"].get(name) for cell in cells]
        table.append([CONTESTANTS[name].title, *[f"{entry['best_ratio']:.2f}" if entry else "-" for entry in entries]])
    return markdown(table)


def left_out(cells: list[Cell]) -> str:
    """A line for each contestant and reason, with the cells that it holds for."""
    places: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        for name, reason in cell["left_out"].items():
            places.setdefault((name, reason), []).append(heading(cell))
    return "\n".join(
        f"- {CONTESTANTS[name].title}: {reason} ({'everywhere' if len(where) == len(cells) else '; '.join(where)})"
        for (name, reason), where in places.items()
    )


def present(cells: list[Cell]) -> list[str]:
    """All contestants that took part somewhere, in their usual order."""
    return [name for name in CONTESTANTS if any(name in cell["contestants"] for cell in cells)]


def versions(cells: list[Cell]) -> list[str]:
    """Each framework with its version, once."""
    return list(
        dict.fromkeys(
            f"{FRAMEWORKS[CONTESTANTS[name].framework]} {entry['version']}"
            for cell in cells
            for name, entry in cell["contestants"].items()
        )
    )


def markdown(table: list[list[str]]) -> str:
    head, *body = table
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


# Plots


def plot(
    cells: list[Cell], ends: Callable[[Entry], list[float]], title: str, path: Path, origin: float | None = None
) -> None:
    """A panel for each net with a bar for each contestant, on one logarithmic scale.

    Args:
        cells: the nets, all in one mode.
        ends: where the parts of a contestant's bar end.
        title: what is shown.
        path: the file to write.
        origin: where the bars begin, if not at the left edge.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    names = present(cells)
    values = [ends(entry)[-1] for cell in cells for entry in cell["contestants"].values()]
    low, high = min(values) / (50 if origin else 1.5), 6 * max(values)
    columns = min(4, len(cells))
    lines = -(-len(cells) // columns)
    figure = Figure(figsize=(2.0 + 2.1 * columns, 0.5 + lines * (0.5 + 0.19 * len(names))), layout="constrained")
    panels = figure.subplots(lines, columns, sharey=True, squeeze=False)
    for row in panels:
        row[0].set_yticks(range(len(names)), [CONTESTANTS[name].title for name in names], fontsize=8)
    panels[0][0].invert_yaxis()
    for panel in panels.ravel()[len(cells) :]:
        panel.set_visible(False)
    for cell, panel in zip(cells, panels.ravel(), strict=False):
        for place, name in enumerate(names):
            entry = cell["contestants"].get(name)
            if not entry:
                panel.text(1.2 * low, place, "-", va="center", fontsize=8)
                continue
            color = OURS if CONTESTANTS[name].framework == "ours" else PEERS
            begin = origin or low
            for position, end in enumerate(ends(entry)):
                if origin or end > begin:
                    panel.barh(place, end - begin, left=begin, height=0.7, color=color, alpha=1 - 0.3 * position)
                    begin = end
            side = -1 if origin and begin < origin else 1
            panel.annotate(
                number(begin), (begin, place), (3 * side, 0), textcoords="offset points",
                ha="right" if side < 0 else "left", va="center", fontsize=8,
            )  # fmt: skip
        if origin:
            panel.axvline(origin, color="#202020", linewidth=0.8)
        panel.set_title(f"{NETS[cell['net']].title}, batch {cell['batch']}", fontsize=9)
        panel.set_xscale("log")
        panel.set_xlim(low, high)
        panel.xaxis.set_major_locator(LogLocator(numticks=5))
        panel.xaxis.set_major_formatter("{x:g}")
        panel.tick_params(axis="x", labelsize=8)
        panel.tick_params(axis="y", length=0)
        panel.minorticks_off()
        panel.grid(True, axis="x", color="#e4e4e4", linewidth=0.6)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=10)
    save(figure, path)


ROOFLINE = {
    "native": ("#00589c", "o"), "numpy": ("#5b9bd0", "s"), "eager": ("#9cc4e4", "^"),
    "torch": ("#9a3b00", "o"), "torch-compile": ("#d07a3e", "s"), "jax": ("#6b6b6b", "D"),
}  # fmt: skip
"""Whom the roofline shows, with color and mark."""


def plot_roofline(cells: list[Cell], path: Path) -> None:
    """Speed reached over operations for each byte that must be moved, under what the machine can do at most.

    (Williams, Waterman and Patterson, 2009)
    """
    from matplotlib.figure import Figure

    cells = [cell for cell in cells if cell["work"]["multiply_adds"]]
    kinds = [(mode, kind) for mode, kind in KINDS.items() if any(cell["mode"] == mode for cell in cells)]
    figure = Figure(figsize=(2.4 + 4 * len(kinds), 4.6), layout="constrained")
    panels = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    densities = {id(cell): 2 * cell["work"]["multiply_adds"] / cell["work"]["bytes"] for cell in cells}
    for (mode, kind), panel in zip(kinds, panels, strict=True):
        chosen = [cell for cell in cells if cell["mode"] == mode]
        peak = max([cell["limits"]["operations"] for cell in cells])
        stream = max([cell["limits"]["bytes"] for cell in cells])
        low, high = min(densities.values()) / 2, max(densities.values()) * 2
        ends = [low, min(peak / stream, high), high]
        panel.plot(ends, [1e-9 * min(peak, stream * end) for end in ends], color="#202020", linewidth=1)
        panel.annotate(
            f"NumPy's matrix product: {number(1e-9 * peak)} GFLOP/s", (high, 1e-9 * peak), (-4, 4),
            textcoords="offset points", ha="right", fontsize=8,
        )  # fmt: skip
        for name, (color, mark) in ROOFLINE.items():
            points = [
                (densities[id(cell)], 1e-9 * operations(cell) / cell["contestants"][name]["best"])
                for cell in chosen
                if name in cell["contestants"]
            ]
            if points:
                style = {"linestyle": "", "color": color, "marker": mark, "markersize": 5}
                panel.plot(*zip(*points, strict=True), **style, label=CONTESTANTS[name].title)
        floor = min([1e-9 * operations(cell) / entry["best"] for cell in cells for entry in shown(cell)]) / 20
        in_order = sorted(chosen, key=lambda cell: densities[id(cell)])
        for cell, following in zip(in_order, [*in_order[1:], None], strict=True):
            place = densities[id(cell)]
            crowded = following is not None and densities[id(following)] < 1.1 * place
            panel.axvline(place, color="#e4e4e4", linewidth=0.6, zorder=0)
            panel.annotate(
                f"{NETS[cell['net']].title}, {cell['batch']}", (place, floor), (-2 if crowded else 2, 3),
                textcoords="offset points", rotation=90, fontsize=7, color="#505050", va="bottom",
                ha="right" if crowded else "left",
            )  # fmt: skip
        panel.set(xscale="log", yscale="log", xlim=(low, high), title=kind.capitalize())
        panel.set_ylim(bottom=floor)
        panel.xaxis.set_major_formatter("{x:g}")
        panel.yaxis.set_major_formatter("{x:g}")
        panel.set_xlabel("operations for each byte that must be moved")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("GFLOP/s")
    handles = {label: mark for panel in panels for mark, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), fontsize=8, frameon=False, loc="outside right center")
    save(figure, path)


def shown(cell: Cell) -> list[Entry]:
    """Those whom the roofline shows."""
    return [entry for name, entry in cell["contestants"].items() if name in ROOFLINE]


def save(figure: Any, path: Path) -> None:
    """As SVG, the same bytes every time, with its text as text."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    with mpl.rc_context({"svg.hashsalt": "results", "svg.fonttype": "none"}):
        FigureCanvasSVG(figure).print_svg(path, metadata={"Date": None})
