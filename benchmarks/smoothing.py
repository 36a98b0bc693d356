"""Smoothing against size: seconds, iterations, residual, peak memory and the slope of time.

    python benchmarks/smoothing.py --content CONTENT --result RESULT [--megapixels 0.25 1 4 12] [-o RESULT.json]

The content is the guide, the result what is smoothed; both are scaled and cut to each size.
"""

import tempfile
import time
from pathlib import Path

import measuring
from measuring import MIB


def measure(kind, content, result):
    """Smooth one picture."""
    import torch

    from universal_style.images import Image
    from universal_style.smoothing import smoothed, smoothing_named
    from universal_style.smoothing.affinity import Affinity
    from universal_style.smoothing.closed_form import solve

    planes, wanted = (Image.of(path).tensor()[0].contiguous() for path in (content, result))
    smoothing = smoothing_named(kind)
    before = measuring.held_bytes()
    measuring.forget_peak()
    started = time.perf_counter()
    facts = {}
    with torch.no_grad():
        if kind == "closed-form":
            affinity = Affinity.of(planes, smoothing.epsilon)
            facts["build_seconds"] = round(time.perf_counter() - started, 2)
            root = affinity.degrees.sqrt()
            solution = solve(affinity, planes, root * wanted, smoothing.beta, smoothing.tolerance)
            facts |= {"iterations": solution.iterations, "residual": float(f"{solution.residual:.3g}")}
        else:
            smoothed(smoothing, wanted[None], planes[None])
    facts["seconds"] = round(time.perf_counter() - started, 3)
    peak = measuring.peak_bytes()
    return facts | {"peak_mib": round(peak / MIB), "grown_mib": round((peak - before) / MIB)}


def main():
    parser = measuring.parser_of(__doc__)
    parser.add_argument("--result", type=Path, default=measuring.STYLE, help="what is smoothed")
    parser.add_argument("--megapixels", type=float, nargs="+", default=[0.25, 1.0, 4.0, 12.0])
    parser.add_argument("--kinds", nargs="+", default=["closed-form", "bilateral", "guided"])
    options = parser.parse_args()
    began = measuring.machine(options)
    groups = {kind: [] for kind in options.kinds}
    with tempfile.TemporaryDirectory() as name:
        for kind, rows in groups.items():
            for megapixels in options.megapixels:
                size = measuring.size_with(megapixels)
                pair = [measuring.fitted(path, size, Path(name)) for path in (options.content, options.result)]
                facts = {"kind": kind, "megapixels": megapixels, "size": measuring.named(size)}
                rows.append(facts | measuring.apart(options, measure, kind, *pair))
                print(*rows[-1].values(), flush=True)
    print(measuring.table([row for rows in groups.values() for row in rows]))
    powers = {kind: measuring.power(rows) for kind, rows in groups.items() if len(rows) > 1}
    for kind, power in powers.items():
        print(f"{kind}: time grows as pixels to the power {power}")
    measuring.write(options.output, began, {**groups, "powers": powers})


if __name__ == "__main__":
    main()
