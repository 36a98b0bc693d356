"""What a picture takes on a graphics card, with the networks loaded and the style observed.

    python benchmarks/graphics.py [--sizes 512x512 1024x1024 2160x3840 4320x7680] [--dtypes float16] -o RESULT.json

Seconds are medians on the clock. `seconds` is a whole run from pixels in memory to pixels in memory, both copies
between the card and the machine among it, without reading and writing files; `stages` is the walks alone, and `smooth`
the smoothing. Operations are counted from the shapes that every operator of the walks takes and gives (`roofline.py`);
the ceiling is a large 3×3 convolution in the same precision, measured before. The PSNR compares a result with the same
method's in float32.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

import measuring
import roofline
from end_to_end import CASES, Case
from measuring import MIB, Row

SIZES = ((512, 512), (1024, 1024), (2160, 3840), (4320, 7680))
CHANNELS, SIDE = 256, 512
"""Of the large convolution."""


def ceiling(dtype: Any, repeats: int) -> float:
    """Measure the operations per second of a large convolution."""
    import torch

    layer = torch.nn.Conv2d(CHANNELS, CHANNELS, 3).cuda().to(dtype).to(memory_format=torch.channels_last)
    features = torch.rand(4, CHANNELS, SIDE + 2, SIDE + 2, device="cuda", dtype=dtype)
    features = features.contiguous(memory_format=torch.channels_last)
    layer(features)
    began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    began.record()
    for _ in range(repeats):
        layer(features)
    ended.record()
    torch.cuda.synchronize()
    return 4 * 2 * 9 * CHANNELS**2 * SIDE**2 * repeats / (began.elapsed_time(ended) / 1000)


def operations(stylizer: Any, picture: Any, style: Any, case: Case) -> int:
    """Count what the walks of one run compute."""
    _, request, task = stylizer.prepare(picture, style, **case.options)
    fitted = request.recipe.ready(stylizer.loaded, task)
    found = roofline.counted(lambda: fitted.carry(task.pixels, task.regions, task.steps))
    return sum(work * times for (_, work, _), times in found.items())


def measure(case: Case, dtype: str, content: Path, seen: Path, runs: int) -> tuple[Row, Any]:
    """Measure runs of one method, and give the last result's pixels too."""
    import torch

    from universal_style.images import Image
    from universal_style.stylizer import Stylizer

    stylizer, picture = Stylizer(case.method, device="cuda", dtype=dtype), Image.of(content)
    style = stylizer.observe(seen)
    work = operations(stylizer, picture, style, case)  # loads and warms up
    stylizer.run(picture, style, **case.options)
    torch.cuda.reset_peak_memory_stats()
    seconds, reports = [], []
    for _ in range(runs):
        with measuring.used() as usage:
            image, report = stylizer.run(picture, style, **case.options)
        seconds.append(usage.seconds)
        reports.append(report.seconds)
    steps = {step: statistics.median(r[step] for r in reports) for step in reports[0]}
    walks = sum(value for step, value in steps.items() if step.startswith("relu"))
    row = {
        "seconds": round(statistics.median(seconds), 4),
        "stages": round(walks, 4),
        "smooth": round(steps["smooth"], 4),
        "peak_mib": round(torch.cuda.max_memory_allocated() / MIB),
        "tera_operations": round(work / 1e12, 3),
        "tera_per_second": round(work / walks / 1e12, 1),
        "steps": {step: round(value, 5) for step, value in steps.items()},
    }
    return row, image.pixels


def main():
    import numpy as np
    import torch

    parser = measuring.parser_of(__doc__)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--sizes", type=measuring.size_of, nargs="+", default=list(SIZES), help="HxW")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "float16", "bfloat16"])
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("no CUDA device is here; end_to_end.py measures the CPU")
    began = measuring.machine(options) | {"card": torch.cuda.get_device_name()}
    ceilings = {dtype: round(ceiling(getattr(torch, dtype), 20) / 1e12, 1) for dtype in options.dtypes}
    print(f"ceilings, 10¹² operations a second: {ceilings}", flush=True)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        for size in options.sizes:
            content = measuring.fitted(options.content, size, Path(name))
            for case in options.cases:
                exact = None
                for dtype in options.dtypes:
                    row, pixels = measure(CASES[case], dtype, content, options.style, options.runs)
                    exact = pixels if dtype == "float32" else exact
                    error = None if exact is None else float(np.square(pixels - exact, dtype=np.float32).mean())
                    facts = {"case": case, "size": measuring.named(size), "dtype": dtype}
                    psnr = None if error is None else measuring.decibels(error)
                    rows.append(facts | row | {"psnr_to_float32": psnr})
                    print(*(value for key, value in rows[-1].items() if key != "steps"), flush=True)
                    measuring.write(options.output, began, {"ceilings_tera_per_second": ceilings, "rows": rows})
    print(measuring.table([{key: value for key, value in row.items() if key != "steps"} for row in rows]))


if __name__ == "__main__":
    main()
