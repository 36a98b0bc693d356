"""What a picture takes from start to end: in a process that has the networks loaded, and from the shell.

    python benchmarks/end_to_end.py [--sizes 512x512 768x1024 1080x1920] [--dtypes float32 auto] -o RESULT.json

`seconds` is the median of a Stylizer's runs with the networks loaded and the style observed; `shell_seconds` a whole
`universal-style transfer`: import, loading, observing the style, reading and writing. Both start in a fresh process, of
which the peak memory is given. The PSNR compares a result with the same method's in float32.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import measuring
import numpy as np
from measuring import MIB, Row


@dataclass(frozen=True)
class Case:
    """A method with options, as Python and the command line take them."""

    method: str
    options: Mapping[str, object]

    @property
    def flags(self) -> list[str]:
        texts = {k: ",".join(map(str, v)) if isinstance(v, list) else str(v) for k, v in self.options.items()}
        return ["--method", self.method, *(word for k, v in texts.items() for word in (f"--{k}", v))]


CASES = {
    "wct 5,4,3,2,1": Case("wct", {"levels": [5, 4, 3, 2, 1]}),
    "wct": Case("wct", {}),
    "wct2": Case("wct2", {}),
    "photo-wct none": Case("photo-wct", {"smooth": "none"}),
    "photo-wct bilateral": Case("photo-wct", {"smooth": "bilateral"}),
    "photo-wct closed-form": Case("photo-wct", {"smooth": "closed-form"}),
}


def loaded(case: Case, dtype: str, content: Path, style: Path, runs: int, result: Path) -> Row:
    """Measure runs in one process, and keep the result's pixels in a file."""
    from universal_style.images import Image
    from universal_style.stylizer import Stylizer

    stylizer, picture = Stylizer(case.method, device="cpu", dtype=dtype), Image.of(content)
    stylizer.run(picture, style, **case.options)  # loads, observes the style, warms up
    uses, reports = [], []
    for _ in range(runs):
        with measuring.used() as usage:
            image, report = stylizer.run(picture, style, **case.options)
        uses.append(usage)
        reports.append(report.seconds)
    np.save(result, image.pixels)
    return {
        "seconds": round(statistics.median(usage.seconds for usage in uses), 3),
        "least_seconds": round(min(usage.seconds for usage in uses), 3),
        "user_seconds": round(statistics.median(usage.user for usage in uses), 3),
        "faults": round(statistics.median(usage.faults for usage in uses)),
        "peak_mib": round(measuring.peak_bytes() / MIB),
        "steps": {step: round(statistics.median(r[step] for r in reports), 4) for step in reports[0]},
    }


def from_shell(case: Case, dtype: str, content: Path, style: Path, runs: int, threads: int, folder: Path) -> Row:
    """Measure the command line."""
    words = ["transfer", content, style, "-o", folder / "result.png", "--dtype", dtype, "--quiet", *case.flags]
    uses, peaks = zip(*(measuring.command(words, threads) for _ in range(runs)), strict=True)
    return {
        "shell_seconds": round(statistics.median(usage.seconds for usage in uses), 3),
        "shell_user_seconds": round(statistics.median(usage.user for usage in uses), 3),
        "shell_peak_mib": round(max(peaks) / MIB),
    }


def main():
    parser = measuring.parser_of(__doc__)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    sizes = [(512, 512), (768, 1024), (1080, 1920)]
    parser.add_argument("--sizes", type=measuring.size_of, nargs="+", default=sizes, help="HxW")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "auto"])
    parser.add_argument("--runs", type=int, default=5, help="with networks loaded")
    parser.add_argument("--shell-runs", type=int, default=3)
    parser.add_argument("--plot", type=Path, help="time and memory against size, a PNG")
    options = parser.parse_args()
    began = measuring.machine(options)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        style = measuring.fitted(options.style, options.sizes[0], folder)
        for size in options.sizes:
            content = measuring.fitted(options.content, size, folder)
            for case in options.cases:
                results = []
                for dtype in options.dtypes:
                    results.append(folder / f"{dtype}.npy")
                    arguments = CASES[case], dtype, content, style
                    inside = measuring.apart(options, loaded, *arguments, options.runs, results[-1])
                    outside = from_shell(*arguments, options.shell_runs, options.threads, folder)
                    psnr = None
                    if options.dtypes[0] == "float32":
                        first, this = (np.load(path) for path in (results[0], results[-1]))
                        psnr = measuring.decibels(float(np.square(first - this, dtype=np.float64).mean()))
                    facts = {"case": case, "size": measuring.named(size), "dtype": dtype}
                    facts["megapixels"] = size[0] * size[1] / 1e6
                    rows.append(facts | inside | outside | {"psnr_to_float32": psnr})
                    print(*facts.values(), inside["seconds"], outside["shell_seconds"], flush=True)
    print(measuring.table([{k: v for k, v in row.items() if k not in ("steps", "megapixels")} for row in rows]))
    names = {(row["case"], row["dtype"]) for row in rows}
    groups = {
        f"{case}, {dtype}": [r for r in rows if (r["case"], r["dtype"]) == (case, dtype)]
        for case, dtype in sorted(names)
    }
    measuring.curves(options.plot, groups, {"seconds": "seconds, networks loaded", "peak_mib": "peak memory, MiB"})
    measuring.write(options.output, began, {"runs": options.runs, "shell_runs": options.shell_runs, "rows": rows})


if __name__ == "__main__":
    main()
