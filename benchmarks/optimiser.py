"""Universal style transfer against the optimiser: how long Gatys' descent takes to come as near to the style.

    python benchmarks/optimiser.py CONTENTS STYLES --json results/optimiser.json --plot optimiser.png --sheet sheet.png

Contents and styles are paired in the order of their names, evenly spread over both folders. Losses are those of the
optimiser itself, measured alike on every result; networks are loaded before the clock starts, on both sides.
"""

import argparse
import json
import platform
import statistics
from datetime import date
from pathlib import Path

import torch

from universal_style.allocator import keep_freed_memory
from universal_style.comparison import Pair, compare, ratios
from universal_style.contenders import Contender
from universal_style.folders import pictures_in
from universal_style.images import Image
from universal_style.plots import plot
from universal_style.sheets import captioned, sheet

QUICK = ("wct", "photo-wct", "wct2")


def evenly(paths, count):
    return [paths[number * len(paths) // count] for number in range(count)]


def table(times):
    lines = ["| | median | least | most | not reached |", "|---|---|---|---|---|"]
    for name, values in times.items():
        reached = [value for value in values if value is not None]
        figures = [f"{f(reached):.1f}" for f in (statistics.median, min, max)] if reached else ["–"] * 3
        lines.append(f"| {name} | {' | '.join(figures)} | {len(values) - len(reached)} of {len(values)} |")
    return "\n".join(lines)


def draw(path, runs, slow):
    with plot(path, 7.5, 4.8) as figure:
        axes = figure.add_subplot()
        for entries in runs:
            for entry in entries:
                if entry.name == slow:
                    way = [(point.seconds, point.style) for point in entry.way]
                    axes.plot(*zip(*way, strict=True), color="grey", linewidth=0.8, alpha=0.6)
        for number, name in enumerate(entry.name for entry in runs[0] if not entry.way):
            ends = [entry.end for entries in runs for entry in entries if entry.name == name]
            axes.scatter(
                [e.seconds for e in ends], [e.style for e in ends], s=30, color=f"C{number}", label=name, zorder=3
            )
        axes.plot([], [], color="grey", linewidth=0.8, label=slow)
        axes.set(xscale="log", yscale="log", xlabel="seconds, networks loaded", ylabel="style loss")
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("contents", type=Path)
    parser.add_argument("styles", type=Path)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--iterations", type=int, default=60)
    parser.add_argument("--dtype", default="auto", help="of the closed-form methods; the optimiser is in float32")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    keep_freed_memory()
    slow = f"gatys,scales=1,iterations={options.iterations}"
    quick = [Contender.of(name) for name in QUICK]
    contents, styles = (evenly(pictures_in(folder), options.pairs) for folder in (options.contents, options.styles))
    runs, times, rows = [], {name: [] for name in QUICK}, []
    for content, style in zip(contents, styles, strict=True):
        pair = Pair(content, style, {"size": options.size, "style_size": options.size})
        list(compare(pair, quick[:1], dtype=options.dtype))  # warms the machine up
        entries = [
            *compare(pair, quick, dtype=options.dtype),
            *compare(pair, [Contender.of(slow)], dtype="float32"),
        ]
        runs.append(entries)
        for name, ratio in ratios(entries)[slow].items():
            times[name].append(ratio)
        looked = [
            captioned(Image(Image.of(path).scaled_to(options.size).pixels), path.stem) for path in (content, style)
        ]
        looked += [
            captioned(e.picture, e.name, f"{e.end.seconds:.1f} s, style loss {e.end.style:.3f}") for e in entries
        ]
        rows.append(looked)
        said = {name: values[-1] and round(values[-1], 1) for name, values in times.items()}
        print(f"{content.stem} in {style.stem}: {said}", flush=True)
    print(table(times))
    if options.plot:
        draw(options.plot, runs, slow)
    if options.sheet:
        sheet(rows).write(options.sheet)
    if options.json:
        facts = {
            "date": date.today().isoformat(),
            "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, freed memory kept",
            "torch": torch.__version__,
            "size": options.size,
            "iterations": options.iterations,
            "dtype": options.dtype,
            "times_as_long": times,
            "ends": [{e.name: vars(e.end) for e in entries} for entries in runs],
        }
        options.json.write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
