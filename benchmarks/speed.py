"""Seconds, peak memory and the share of convolutions, each measured in a process of its own.

    python benchmarks/speed.py CONTENT STYLE [--sizes 512x512 1024x768] [--dtypes float32 bfloat16] [--json RESULT.json]

Content and style are cut to the same size (height x width). The PSNR column compares a result with that of float32.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps


def child(content, style, method, height, width, dtype, keep, runs, output):
    """Measure one setting and print it as JSON."""
    import torch

    from universal_style.devices import keep_freed_memory, peak_memory
    from universal_style.stylizer import Stylizer

    if keep:
        keep_freed_memory()
    stylizer = Stylizer(method, device="cpu", dtype=dtype)
    pictures = [
        ImageOps.fit(Pillow.open(path).convert("RGB"), (width, height), Pillow.Resampling.LANCZOS)
        for path in (content, style)
    ]
    seconds = []
    for _ in range(runs + 1):  # the first loads the decoders and warms up
        image, report = stylizer.run(*pictures, style_size=max(height, width))
        seconds.append(sum(report.seconds.values()))
        steps = report.seconds
    image.write(output)
    peak = peak_memory(torch.device("cpu"))["process"]
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        stylizer.run(*pictures, style_size=max(height, width))
    events = profile.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    convolutions = sum(
        event.self_cpu_time_total for event in events if "convolution" in event.key or "conv2d" in event.key
    )
    print(
        json.dumps(
            {
                "seconds": round(statistics.median(seconds[1:]), 2),
                "peak_mib": round(peak / 2**20),
                "convolution_share": round(convolutions / total, 2),
                "steps": steps,
                "threads": torch.get_num_threads(),
            }
        )
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("content", type=Path)
    parser.add_argument("style", type=Path)
    parser.add_argument("--method", default="wct")
    parser.add_argument("--sizes", nargs="+", default=["512x512", "768x1024"])
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        height, width, dtype, keep, output = options.child
        arguments = options.content, options.style, options.method, int(height), int(width), dtype, keep == "keep"
        child(*arguments, options.runs, Path(output))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for size in options.sizes:
            height, width = size.split("x")
            reference = None
            for dtype in options.dtypes:
                for keep in ("default", "keep"):
                    output = Path(folder) / f"{size}-{dtype}-{keep}.png"
                    command = [sys.executable, __file__, options.content, options.style, "--runs", options.runs]
                    command += ["--method", options.method]
                    command += ["--child", height, width, dtype, keep, output]
                    answer = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
                    row = {"method": options.method, "size": size, "dtype": dtype, "allocator": keep} | json.loads(
                        answer.stdout.splitlines()[-1]
                    )
                    pixels = np.asarray(Pillow.open(output), dtype=np.float64) / 255
                    if reference is None:
                        reference = pixels
                    error = np.mean((pixels - reference) ** 2)
                    row["psnr_to_float32"] = None if error == 0 else round(float(-10 * np.log10(error)), 1)
                    rows.append(row)
                    print(json.dumps(row), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
