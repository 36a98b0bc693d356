"""What each stage of each method takes: seconds by step, work of all threads, shares of time by kind of operator.

    python benchmarks/stages.py [--methods wct wct2 photo-wct] [--sizes 512x512] [--dtypes auto float32] -o RESULT.json

A stage goes up (encode), takes moments at its sites, fits maps (roots of matrices apart), sends features through them
(maps), and comes back down (decode). Steps are medians over `--runs`; shares are those of one more run under torch's
profiler.
"""

from __future__ import annotations

import statistics
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import measuring
from measuring import Laps, Row

STEPS = ("encode", "moments", "roots", "fit", "maps", "decode")
KINDS = {
    "convolutions": ("conv",),
    "roots": ("linalg_eigh",),
    "matrix products": ("::mm", "::bmm", "::addmm", "::addmv", "::mv", "::dot"),
    "borders": ("_pad",),
    "pooling": ("pool2d", "upsample"),
    "relu": ("clamp_min",),
    "copies": ("::copy_", "::clone", "::cat"),
}
"""Parts of the names of operators."""


@dataclass(frozen=True)
class Booked:
    """Roots of matrices whose time is booked apart from the rest of the fit."""

    roots: Any
    laps: Laps

    def __call__(self, matrix, negligible=0.0):
        return self._timed(self.roots, matrix, negligible)

    def between(self, root, covariance):
        return self._timed(self.roots.between, root, covariance)

    def positive(self, matrix):
        return self._timed(self.roots.positive, matrix)

    def _timed(self, work, *given):
        self.laps.begin("roots")
        found = work(*given)
        self.laps.begin("fit")
        return found


def carried(stage, pixels, fit, regions, laps):
    """Carry a picture through a stage as the whole-picture driver does, each step booked."""
    import torch

    from universal_style.drivers.edits import send_through, tallies
    from universal_style.drivers.whole import drive, whole_window
    from universal_style.windows import grown

    height, width = pixels.shape[2:]
    everything = whole_window(height, width, stage.stride)
    bare = fit.transform.transform  # the usual floor is 0
    booked = replace(fit, transform=replace(bare, roots=Booked(bare.roots, laps)))
    after = "encode"

    def edit(site, features):
        nonlocal after
        laps.begin("moments")
        seen = [tally.total for tally in tallies(features, site, regions, everything)]
        laps.begin("fit")
        maps = booked(site, seen)
        laps.begin("maps")
        features = send_through(maps, features, site, regions, everything)
        after = "decode" if site.name == f"relu{stage.decoder.level}_1" else after
        laps.begin(after)
        return features

    with torch.inference_mode():
        laps.begin("encode")
        result = drive(stage.walk(grown(pixels, stage.stride)), edit)[:, :, :height, :width]
        laps.begin("")
    return result


def kind_of(event) -> str:
    """Sort an operator; a convolution of 1×1 is a map of features."""
    for kind, parts in KINDS.items():
        if any(part in event.key for part in parts):
            shapes = event.input_shapes
            one = kind == "convolutions" and len(shapes) > 1 and shapes[1][2:] == [1, 1]
            return "maps" if one else kind
    return "the rest"


def shares_of(work) -> dict[str, float]:
    """Give each kind's share of the time that operators take."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as measured:
        work()
    seconds = Counter()
    for event in measured.key_averages(group_by_input_shape=True):
        seconds[kind_of(event)] += event.self_cpu_time_total
    return {kind: round(value / seconds.total(), 3) for kind, value in seconds.most_common()}


def measure(method: str, dtype: str, content: Path, style: Path, runs: int) -> list[Row]:
    """Measure the stages of a method one after the other, each on what the one before has made."""
    fitted, task = measuring.ready(method, dtype, content, style, **measuring.WIDEST.get(method, {}))
    pixels, rows = task.pixels, []
    for stage in fitted.stages:
        arguments = stage, pixels, fitted.fit, task.regions
        result = carried(*arguments, Laps())  # warms up
        timed, uses = [], []
        for _ in range(runs):
            laps = Laps()
            with measuring.used() as usage:
                carried(*arguments, laps)
            timed.append(laps.seconds)
            uses.append(usage)
        rows.append(
            {
                "method": method,
                "stage": f"relu{stage.decoder.level}_1",
                "dtype": str(stage.dtype).removeprefix("torch."),
                "seconds": round(statistics.median(usage.seconds for usage in uses), 3),
                "user_seconds": round(statistics.median(usage.user for usage in uses), 3),
                "faults": round(statistics.median(usage.faults for usage in uses)),
                "steps": {step: round(statistics.median(lap.get(step, 0.0) for lap in timed), 4) for step in STEPS},
                "shares": shares_of(lambda a=arguments: carried(*a, Laps())),
            }
        )
        pixels = result
    return rows


def main():
    parser = measuring.parser_of(__doc__)
    parser.add_argument("--methods", nargs="+", default=["wct", "wct2", "wct2-sum", "photo-wct"])
    parser.add_argument("--sizes", type=measuring.size_of, nargs="+", default=[(512, 512)], help="HxW")
    parser.add_argument("--dtypes", nargs="+", default=["auto", "float32"])
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    began = measuring.machine(options)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        style = measuring.fitted(options.style, options.sizes[0], Path(name))
        for size in options.sizes:
            content = measuring.fitted(options.content, size, Path(name))
            for method in options.methods:
                for dtype in options.dtypes:
                    found = measuring.apart(options, measure, method, dtype, content, style, options.runs)
                    rows += [{"size": measuring.named(size)} | row for row in found]
    print(measuring.table([heading(row) | {"user": row["user_seconds"]} | row["steps"] for row in rows]), end="\n\n")
    print(measuring.table([heading(row) | row["shares"] for row in rows]))
    measuring.write(options.output, began, {"runs": options.runs, "stages": rows})


def heading(row: Row) -> Row:
    return {name: row[name] for name in ("size", "method", "stage", "dtype", "seconds")}


if __name__ == "__main__":
    main()
