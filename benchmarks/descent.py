"""What an iteration of the optimiser costs, and how much of it lies outside the convolutions.

python benchmarks/descent.py CONTENT STYLE --size 512 --iterations 300 --json results/descent.json
"""

import argparse
import json
import platform
import statistics
from collections import Counter
from datetime import date
from itertools import pairwise
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from universal_style.allocator import keep_freed_memory
from universal_style.devices import peak_memory
from universal_style.stylizer import Stylizer

WARMING, PROFILED = 10, 10
CONVOLUTIONS = ("convolution", "mkldnn", "cudnn", "onednn", "Winograd")
"""Words in the names of operators that convolve; what they call counts as theirs."""


def shares(stylizer, pair, options):
    """Profile some iterations, memory warmed up; give the share of time in convolutions and of every other operator."""
    measured = profile(activities=[ProfilerActivity.CPU])

    def told(step, done, total):
        if f"iteration {WARMING} of" in step:
            measured.start()
        if f"iteration {WARMING + PROFILED} of" in step:
            measured.stop()

    stylizer.run(*pair, progress=told, **(options | {"iterations": WARMING + PROFILED}))
    total, others = 0, Counter()
    for event in measured.events():
        total += event.self_cpu_time_total
        if not convolves(event):
            others[event.key] += event.self_cpu_time_total
    return 1 - sum(others.values()) / total, {key: time / total for key, time in others.most_common(8)}


def convolves(event):
    """Say whether an operator convolves, or is called by one that does."""
    while event is not None:
        if any(name in event.key for name in CONVOLUTIONS):
            return True
        event = event.cpu_parent
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("content", type=Path)
    parser.add_argument("style", type=Path)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--optimizer", default="lbfgs")
    parser.add_argument("--result", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    keep_freed_memory()
    stylizer = Stylizer("gatys")
    chosen = {"size": options.size, "style_size": options.size, "scales": 1, "optimizer": options.optimizer}
    pair = options.content, options.style
    picture, report = stylizer.run(*pair, iterations=options.iterations, **chosen)
    marks = [point["seconds"] for point in report.trace]
    steps = [after - before for before, after in pairwise(marks)]
    convolutions, others = shares(stylizer, pair, chosen)
    first, last = report.trace[0], report.trace[-1]
    facts = {
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, freed memory kept",
        "torch": torch.__version__,
        "size": [picture.height, picture.width],
        "iterations": options.iterations,
        "seconds_per_iteration": round(statistics.median(steps), 3),
        "outside_convolutions": round(1 - convolutions, 3),
        "largest_outside": {name: round(share, 4) for name, share in others.items()},
        "style_loss": [first["style"], last["style"]],
        "content_loss": [first["content"], last["content"]],
        "peak_MiB": round(peak_memory(stylizer.backend.device)["process"] / 2**20),
    }
    print(json.dumps(facts, indent=2))
    if options.result:
        picture.write(options.result)
    if options.json:
        options.json.write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
