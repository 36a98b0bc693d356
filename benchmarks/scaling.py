"""Time and peak memory against megapixels, whole and in windows; how exact windows and a reduced copy are.

    python benchmarks/scaling.py [--methods wct wct2] [--megapixels 0.25 1 4] [--ways auto off 2GiB] -o RESULT.json

A way is a `--tile` (auto, off, a side) or a `--memory` (2GiB), and after a slash an `--observe-size`. `auto` carries a
picture whole as long as free memory allows it. Each run is a fresh process, from loading to the result's pixels; its
result is compared with that of `off`.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path

import measuring
import numpy as np
from measuring import MIB, Row

WHOLE = "off"


def options_of(way: str) -> dict:
    """Turn a way into options."""
    bound, _, long_side = way.partition("/")
    tiles = bound in ("auto", WHOLE) or bound.isdigit()
    observing = {"observe_size": int(long_side)} if long_side else {}
    return {"tile" if tiles else "memory": bound} | observing


def measure(method: str, way: str, dtype: str, content: Path, style: Path, result: Path) -> Row:
    """Carry one picture, networks loaded and style observed, and keep the pixels in a file."""
    from universal_style.methods import Blind
    from universal_style.stylizer import Stylizer

    class Listening(Blind):
        """Remembers how the picture is divided."""

        plans_heard: list[str]

        def __init__(self) -> None:
            self.plans_heard = []

        def plans(self, step: str, windows: str) -> None:
            self.plans_heard.append(f"{step} in {windows}")

    heard = Listening()
    stylizer = Stylizer(method, device="cpu", dtype=dtype)
    options = {"smooth": "none", "witness": heard} | options_of(way)
    with measuring.used() as usage:
        image, report = stylizer.run(content, style, style_size=512, **options)
    seconds = sum(value for step, value in report.seconds.items() if step.startswith("relu"))
    peak = measuring.peak_bytes()
    np.save(result, image.pixels)
    return {
        "seconds": round(seconds, 3),
        "user_seconds": round(usage.user, 3),
        "faults": usage.faults,
        "peak_mib": round(peak / MIB),
        "windows": heard.plans_heard,
    }


def compared(result: Path, whole: Path) -> Row:
    """Say how far a result is from that of the whole picture."""
    apart = np.abs(np.load(result, mmap_mode="r") - np.load(whole, mmap_mode="r"))
    return {
        "largest_difference": round(float(apart.max()), 6),
        "decibels": measuring.decibels(float(np.square(apart, dtype=np.float64).mean())),
    }


def main():
    parser = measuring.parser_of(__doc__)
    parser.add_argument("--methods", nargs="+", default=["wct", "wct2", "photo-wct"])
    parser.add_argument("--megapixels", type=float, nargs="+", default=[0.25, 1.0, 2.0, 4.0, 8.0])
    parser.add_argument("--ways", nargs="+", default=["off", "auto", "2GiB", "2GiB/1024"])
    parser.add_argument("--whole-to", type=float, default=4.0, help="megapixels up to which `off` is measured")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--plot", type=Path, help="time and memory against size, a PNG")
    options = parser.parse_args()
    began = measuring.machine(options)
    ways = sorted(options.ways, key=lambda way: way != WHOLE)  # the first is what others are compared with
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        style = measuring.fitted(options.style, (512, 512), folder)
        for method in options.methods:
            for megapixels in options.megapixels:
                size = measuring.size_with(megapixels)
                content = measuring.fitted(options.content, size, folder)
                whole: Row | None = None
                for way in ways:
                    if way == WHOLE and megapixels > options.whole_to:
                        continue
                    result = folder / f"{way.replace('/', '-')}.npy"
                    arguments = method, way, options.dtype, content, style, result
                    facts = {"method": method, "way": way, "megapixels": megapixels, "size": measuring.named(size)}
                    row = facts | measuring.apart(options, measure, *arguments)
                    if way == WHOLE:
                        whole = row
                    elif whole:
                        row |= {"times_as_long": round(row["seconds"] / whole["seconds"], 2)}
                        row |= compared(result, folder / f"{WHOLE}.npy")
                    rows.append(row)
                    print(*row.values(), flush=True)
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[f"{row['method']}, {row['way']}"].append(row)
    powers = {name: measuring.power(group) for name, group in groups.items() if len(group) > 1}
    print(measuring.table([row | {"windows": "; ".join(row["windows"])} for row in rows]))
    for name, power in powers.items():
        print(f"{name}: time grows as pixels to the power {power}")
    measuring.curves(options.plot, groups, {"seconds": "seconds in the stages", "peak_mib": "peak memory, MiB"})
    measuring.write(options.output, began, {"dtype": options.dtype, "rows": rows, "powers": powers})


if __name__ == "__main__":
    main()
