"""Feed spoilt files to every reader of the package, guided by the code that they reach.

    pip install atheris
    python benchmarks/fuzz.py --inputs 200000 --findings /tmp/findings

Each target runs in a process of its own, whose memory is bounded, under libFuzzer with the Python code of this package,
Pillow and tifffile instrumented. A finding is an exception other than UniversalStyleError, more memory than the bound,
an input that takes longer than the limit, or a dead process; its input is kept, one for each place in the code.
Exits with 1 if there is a finding. The sound files and the changes made to them are those of tests/mutants.py.
"""

import argparse
import contextlib
import json
import mmap
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests")]
SHARES = {
    "jpeg": 3, "png": 3, "png16": 2, "tiff": 3, "tiff16": 3, "parts": 3, "webp": 2, "heif": 2, "other": 3, "mask": 0.5,
}  # fmt: skip
"""Of the inputs, for each target; the others have 1. Masks are counted over all colours, which takes its time."""
MOST_PIXELS = 2_000_000
"""Pictures with more pixels are refused here; the package refuses more than 178 million by the same check."""
ROOM = 768
"""MiB of address space beyond those of the idle process."""
SECONDS = 10
"""That one input may take."""


def place(error):
    """Name where an exception came from, so that one input is kept for each place."""
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1]
    return f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno} {last.name}"


def child(name, inputs, seconds, findings, seed, counter):
    """Fuzz one target in this process; libFuzzer ends it."""
    import atheris

    with atheris.instrument_imports(include=["universal_style", "PIL", "tifffile"]):
        import PIL.Image
        import tifffile  # noqa: F401 (instrumented here)
        from mutants import TARGETS, mutant

        from universal_style.errors import UniversalStyleError
    import logging
    import warnings

    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable()
    PIL.Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2
    PIL.Image.init()
    target, seeds = TARGETS[name], list(TARGETS[name].seeds())
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    read = sys.modules["mutants"].TARGETS[name].read
    for data in seeds:
        read_or_refuse(read, data, folder, UniversalStyleError)
    status = Path("/proc/self/statm").read_text().split()
    bound = int(status[0]) * resource.getpagesize() + ROOM * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    done = mmap.mmap(os.open(counter, os.O_RDWR), 16)
    known = set()

    def keep(what, data):
        if what not in known:
            known.add(what)
            number = len(list(findings.glob(f"{name}-*.bin")))
            (findings / f"{name}-{number}.bin").write_bytes(data)
            with (findings / "findings.jsonl").open("a") as log:
                log.write(json.dumps({"target": name, "what": what, "file": f"{name}-{number}.bin"}) + "\n")

    def one(data):
        done[:8] = (int.from_bytes(done[:8], "little") + 1).to_bytes(8, "little")
        started = time.perf_counter()
        try:
            read(data, folder)
            done[8:] = (int.from_bytes(done[8:], "little") + 1).to_bytes(8, "little")
        except UniversalStyleError as error:
            if "\n" in str(error).strip():
                keep(f"more than one line: {place(error)}", data)
            said = str(error).lower().replace("memory allocation error: security limit", "")  # by which libheif refuses
            if "memory" in said:
                keep(f"memory: {place(error)}", data)
        except Exception as error:
            keep(place(error), data)
        if time.perf_counter() - started > SECONDS:
            keep(f"took {time.perf_counter() - started:.0f} s", data)

    def mutate(data, most, seed):
        chance = random.Random(seed)
        if not data or chance.random() < 0.05:
            data = chance.choice(seeds)
        changed = atheris.Mutate(data, most) if chance.random() < 0.3 else mutant(chance, data, seeds)
        return target.mend(changed)[:most] if chance.random() < 0.95 else changed[:most]

    corpus = folder / "corpus"
    corpus.mkdir()
    for number, data in enumerate(seeds):
        (corpus / str(number)).write_bytes(data)
    atheris.Setup(
        [
            "fuzz", str(corpus), f"-runs={inputs}", f"-max_total_time={seconds}", f"-timeout={SECONDS}",
            f"-seed={seed}", "-max_len=65536", "-len_control=0", "-rss_limit_mb=0", "-verbosity=0", "-reload=0",
            f"-artifact_prefix={findings}/{name}-dead-",
        ],
        one,
        custom_mutator=mutate,
    )  # fmt: skip
    atheris.Fuzz()


def read_or_refuse(read, data, folder, refusal):
    with contextlib.suppress(refusal):
        read(data, folder)


def run(name, inputs, seconds, findings, seed):
    """Fuzz one target in a process of its own, started again where it dies."""
    started, dead, peak = time.monotonic(), [], 0
    with tempfile.NamedTemporaryFile() as counter:
        counter.write(bytes(16))
        counter.flush()

        def counts():
            data = Path(counter.name).read_bytes()
            return int.from_bytes(data[:8], "little"), int.from_bytes(data[8:], "little")

        while counts()[0] < inputs and time.monotonic() - started < seconds and len(dead) < 20:
            left = max(1, round(seconds - (time.monotonic() - started)))
            arguments = [name, inputs - counts()[0], left, findings, seed + len(dead), counter.name]
            code = f"import sys; sys.path.insert(0, {str(HERE)!r}); import fuzz; fuzz.child_of(sys.argv[1:])"
            process = subprocess.Popen(
                [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            said = process.stderr.read().decode(errors="replace")
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            peak = max(peak, usage.ru_maxrss // 1024)
            if process.returncode:
                dead.append({"code": process.returncode, "said": said.strip().splitlines()[-12:]})
                if counts()[0] == 0:
                    break
        total, read = counts()
    log = findings / "findings.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    found = [line["what"] for line in lines if line["target"] == name]
    return {
        "target": name, "inputs": total, "read": read, "seconds": round(time.monotonic() - started, 1),
        "peak_mib": peak, "found": found, "dead": dead,
    }  # fmt: skip


def child_of(arguments):
    name, inputs, seconds, findings, seed, counter = arguments
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    child(name, int(inputs), int(seconds), Path(findings), int(seed), counter)


def main():
    from mutants import TARGETS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=200_000, help="over all targets")
    parser.add_argument("--seconds", type=int, default=3600, help="over all targets, at most")
    parser.add_argument("--target", choices=TARGETS, action="append", help="one or more; all when left out")
    parser.add_argument("--findings", type=Path, help="folder for the inputs that did harm", default=None)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write what ran and what was found here")
    given = parser.parse_args()
    findings = given.findings or Path(tempfile.mkdtemp(prefix="findings-"))
    findings.mkdir(parents=True, exist_ok=True)
    targets = given.target or list(TARGETS)
    shares = {name: SHARES.get(name, 1) for name in targets}
    whole, started, results = sum(shares.values()), time.monotonic(), []
    for name in targets:
        left = given.seconds - (time.monotonic() - started)
        if left < 1:
            break
        inputs = max(1, round(given.inputs * shares[name] / whole))
        result = run(name, inputs, left, findings, given.seed)
        results.append(result)
        print(
            f"{name:11} {result['inputs']:8} inputs, {result['read']:7} of them read, {result['seconds']:7.1f} s, "
            f"peak {result['peak_mib']} MiB, {len(result['found'])} findings, {len(result['dead'])} deaths",
            flush=True,
        )
        for what in result["found"]:
            print(f"            {what}")
        for death in result["dead"]:
            print(f"            dead with {death['code']}: {' | '.join(death['said'][-3:])}", flush=True)
    print(f"{sum(r['inputs'] for r in results)} inputs in {time.monotonic() - started:.0f} s; findings in {findings}")
    if given.json:
        given.json.write_text(json.dumps(results, indent=2) + "\n")
    sys.exit(any(r["found"] or r["dead"] for r in results))


if __name__ == "__main__":
    main()
