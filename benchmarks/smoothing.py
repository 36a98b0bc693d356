"""Smoothing against size: seconds, iterations, residual, peak memory and the slope of time, each in its own process.

    python benchmarks/smoothing.py CONTENT RESULT [--megapixels 0.25 1 4 12] [--json RESULT.json]

CONTENT is the guide, RESULT what is smoothed; both are scaled to each size.
"""

import argparse
import json
import math
import subprocess
import sys
import time
from pathlib import Path


def child(content, result, megapixels, kind):
    """Measure one size and print it as JSON."""
    import torch

    from universal_style.devices import keep_freed_memory, peak_memory
    from universal_style.images import Image
    from universal_style.smoothing import smoothing_named
    from universal_style.smoothing.affinity import Affinity
    from universal_style.smoothing.closed_form import solve

    keep_freed_memory()
    guide = Image.of(content)
    long_side = round(math.sqrt(megapixels * 1e6 / (guide.height * guide.width)) * max(guide.height, guide.width))
    guide = guide.scaled_to(long_side)
    planes = guide.tensor()[0].contiguous()
    wanted = torch.nn.functional.interpolate(Image.of(result).tensor(), planes.shape[1:], mode="bilinear")[
        0
    ].contiguous()
    del guide
    before = peak_memory(torch.device("cpu"))["process"]
    smoothing = smoothing_named(kind)
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
            smoothing(wanted[None], planes[None])
    facts["seconds"] = round(time.perf_counter() - started, 2)
    peak = peak_memory(torch.device("cpu"))["process"]
    facts |= {
        "megapixels": round(planes.shape[1] * planes.shape[2] / 1e6, 3),
        "size": list(planes.shape[1:]),
        "peak_mib": round(peak / 2**20),
        "peak_above_start_mib": round((peak - before) / 2**20),
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(facts))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("content", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[0.25, 1.0, 4.0, 12.0])
    parser.add_argument("--kinds", nargs="+", default=["closed-form", "guided"])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        megapixels, kind = options.child
        child(options.content, options.result, float(megapixels), kind)
        return
    table = {}
    for kind in options.kinds:
        rows = table[kind] = []
        for megapixels in options.megapixels:
            command = [sys.executable, __file__, options.content, options.result, "--child", megapixels, kind]
            answer = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
            rows.append(json.loads(answer.stdout.splitlines()[-1]))
            print(kind, json.dumps(rows[-1]), flush=True)
        if len(rows) > 1:
            first, last = rows[0], rows[-1]
            slope = math.log(last["seconds"] / first["seconds"]) / math.log(last["megapixels"] / first["megapixels"])
            print(f"{kind}: time grows as pixels to the power {slope:.2f}")
    if options.json:
        options.json.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
