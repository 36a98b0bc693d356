"""A batch beside as many single transfers: rate, and whether memory stays flat.

    python benchmarks/batch.py CONTENTS STYLE... [--levels 2,1] [--first 1000] [--alone 5] [--json RESULT.json]

Each row is measured in a process of its own: `overlapped` is the local engine, which reads and writes while it
computes; `in turn` does the same jobs one step after the other; `ray` is the other engine, with as many workers as
fit; `alone` is one `universal-style transfer` after the other, of the first few jobs. Peak memory is the process's
own, after the first 100 jobs and at the end. Seconds are those of the jobs without the start of the process, but with
it for `alone`, and with the start of the workers for `ray`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def jobs_of(contents, styles, first, output):
    """Plan the batch of each style with each of the first contents."""
    from universal_style.batch import PAIRINGS, contents_in, looks_in, planned

    found = contents_in(contents, output)[:first]
    return planned(contents, found, looks_in(styles, output), output, PAIRINGS["product"])


def child(engine, options, output):
    """Do one batch and print what was measured as JSON."""
    import torch

    from universal_style.allocator import keep_freed_memory
    from universal_style.batch import Bench, Ledger, Local, OnRay, Setting
    from universal_style.devices import peak_memory

    keep_freed_memory()
    wanted = {"levels": [int(level) for level in options.levels.split(",")], "style_size": options.style_size}
    setting = Setting(options.method, wanted, options.device, options.dtype, None, torch.get_num_threads())
    ledger = Ledger(output, setting.digest())
    bench = Bench(setting, ledger)
    jobs = jobs_of(options.contents, options.styles, options.first, output)
    engines = {
        "overlapped": lambda: Local(bench).outcomes(jobs),
        "in turn": lambda: map(bench.do, jobs),
        "ray": lambda: OnRay(setting, ledger).outcomes(jobs),
    }
    peaks, statuses, started = {}, {}, time.perf_counter()
    with ledger.opened():
        for number, outcome in enumerate(engines[engine](), start=1):
            statuses[outcome.status] = statuses.get(outcome.status, 0) + 1
            if number in (100, len(jobs)):
                peaks[f"peak_mib_at_{number}"] = round(peak_memory(torch.device("cpu"))["process"] / 2**20)
    seconds = time.perf_counter() - started
    print(
        json.dumps(
            {
                **statuses,
                "seconds": round(seconds, 1),
                "per_second": round(len(jobs) / seconds, 2),
                "threads": setting.threads,
                **peaks,
            }
        )
    )


def alone(options, output):
    """Give the seconds of single transfers, process and all."""
    jobs = jobs_of(options.contents, options.styles, options.first, output)[: options.alone]
    started = time.perf_counter()
    for job in jobs:
        command = [sys.executable, "-m", "universal_style", "transfer", job.content]
        command += [*job.look.sources, "-o", output / job.output.name, "-q", "--levels", options.levels]
        command += ["--method", options.method, "--device", options.device, "--dtype", options.dtype]
        command += ["--style-size", options.style_size]
        subprocess.run(list(map(str, command)), check=True)
    seconds = time.perf_counter() - started
    return {"done": len(jobs), "seconds": round(seconds, 1), "per_second": round(len(jobs) / seconds, 2)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("contents", type=Path, help="folder of pictures")
    parser.add_argument("styles", type=Path, nargs="+", help="pictures, presets or folders of them")
    parser.add_argument("--first", type=int, default=1000, help="so many contents, in the order of their names")
    parser.add_argument("--alone", type=int, default=5, help="so many single transfers")
    parser.add_argument("--engines", nargs="+", default=["overlapped", "in turn"], help="of overlapped, in turn, ray")
    parser.add_argument("--method", default="wct")
    parser.add_argument("--levels", default="4,3,2,1")
    parser.add_argument("--style-size", type=int, default=512)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], options, Path(options.child[1]))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for engine in options.engines:
            command = [sys.executable, __file__, *sys.argv[1:], "--child", engine, Path(folder) / engine]
            answer = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True, check=True)
            rows.append({"engine": engine, **json.loads(answer.stdout.splitlines()[-1])})
            print(json.dumps(rows[-1]), flush=True)
        (Path(folder) / "alone").mkdir()
        if options.alone:
            rows.append({"engine": "alone", **alone(options, Path(folder) / "alone")})
            print(json.dumps(rows[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
