"""What the measurements of speed and scale share: fresh processes, clocks, pictures of a size, dated results.

Everything is measured in a process of its own that keeps freed memory, as the command line does, unless asked not to.
Nothing here loads torch before such a process has begun, so that the one that starts it stays small.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from PIL import Image as Pillow
from PIL import ImageOps

from universal_style.atomic import replacing

PICTURES = Path(__file__).resolve().parents[1] / "universal_style" / "pictures"
CONTENT, STYLE = PICTURES / "chelsea-cat.jpg", PICTURES / "hashiguchi-ducks.jpg"
RESULTS = Path(__file__).parent / "results"
COMMAND = [sys.executable, "-m", "universal_style"]
"""What `universal-style` starts, in this checkout."""
MIB = 2**20
FREED = ("kept", "returned")
"""What becomes of freed memory: the command line keeps it; a process that only imports the package does not."""
WIDEST = {"wct": {"levels": [5, 4, 3, 2, 1]}}
"""Options by which a method has all the stages that it can have; the usual ones are among them."""

Size = tuple[int, int]
Row = dict[str, Any]


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """Begin a script's options with those that every measurement has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--content", type=Path, default=CONTENT, help="scaled and cut to each size")
    parser.add_argument("--style", type=Path, default=STYLE, help="scaled and cut to a size of its own")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of torch; as many as there are cores")
    parser.add_argument(
        "--freed", choices=FREED, default="kept", help="memory: kept, as by the command line, or returned"
    )
    parser.add_argument("-o", "--output", type=Path, help="JSON, such as benchmarks/results/stages-2026-11-21.json")
    return parser


def size_of(text: str) -> Size:
    """Read a size such as 768x1024, height first."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not HxW, such as 768x1024")
    return int(match[1]), int(match[2])


def size_with(megapixels: float) -> Size:
    """Give the size of a 3:4 picture with so many million pixels, (height, width)."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    return height, round(height * 4 / 3)


def named(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def fitted(path: Path, size: Size, folder: Path) -> Path:
    """Write a picture scaled and cut to a size."""
    written = folder / f"{path.stem}-{named(size)}.png"
    if not written.exists():
        with Pillow.open(path) as picture:
            cut = ImageOps.fit(picture.convert("RGB"), (size[1], size[0]), Pillow.Resampling.LANCZOS)
        cut.save(written, compress_level=1)
    return written


def apart(options: argparse.Namespace, work: Callable[..., Any], *arguments: Any) -> Any:
    """Do some work in a fresh process, under the conditions that the options name, and give what it returns."""
    conditions = options.threads, options.freed
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_begin, initargs=conditions) as pool:
        return pool.submit(work, *arguments).result()


def _begin(threads: int, freed: str) -> None:
    import torch

    from universal_style.allocator import keep_freed_memory

    if freed == "kept":
        keep_freed_memory()
    torch.set_num_threads(threads)


def ready(method: str, dtype: str, content: Path, style: Path, **options: Any) -> tuple[Any, Any]:
    """Load a closed-form method's networks and observe a style; give what carries pictures, and the task."""
    from universal_style.stylizer import Stylizer

    stylizer = Stylizer(method, device="cpu", dtype=dtype)
    _, request, task = stylizer.prepare(content, style, **options)
    return request.recipe.ready(stylizer.loaded, task), task


def peak_bytes() -> int:
    """Give the most memory that this process has held since `forget_peak`, or since it began."""
    return _from_status("VmHWM")


def held_bytes() -> int:
    """Give the memory that this process holds now."""
    return _from_status("VmRSS")


def forget_peak() -> None:
    """Begin anew with the peak of this process's memory."""
    Path("/proc/self/clear_refs").write_text("5")


def _from_status(name: str) -> int:
    """Read a number of Linux's own; `getrusage` also counts what the parent held when it started us."""
    match = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    if match is None:
        raise SystemExit(f"this system says nothing of {name}; measure on Linux")
    return int(match[1]) * 1024


@dataclass
class Usage:
    """What a stretch of work took.

    Attributes:
        seconds: on the clock.
        user: seconds of all threads at work.
        system: seconds of the kernel, above all to bring memory in.
        faults: pages brought in.
    """

    seconds: float = 0.0
    user: float = 0.0
    system: float = 0.0
    faults: int = 0

    def rounded(self) -> Row:
        return {name: round(value, 3) for name, value in vars(self).items()}


@contextmanager
def used() -> Iterator[Usage]:
    """Measure what the block takes."""
    usage = Usage()
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    yield usage
    usage.seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    usage.user, usage.system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    usage.faults = after.ru_minflt - before.ru_minflt


def command(arguments: Sequence[str | Path], threads: int) -> tuple[Usage, int]:
    """Run the command line from start to end; give what it took and its peak memory in bytes.

    Raises:
        SystemExit: it failed.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], env=os.environ | {"OMP_NUM_THREADS": str(threads)}, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode:
        raise SystemExit(f"universal-style {' '.join(map(str, arguments))} failed: {said.strip()}")
    seconds = time.perf_counter() - started
    return Usage(seconds, usage.ru_utime, usage.ru_stime, usage.ru_minflt), usage.ru_maxrss * 1024


@dataclass
class Laps:
    """Seconds by what is done, added up.

    Attributes:
        seconds: by name, in the order of first appearance.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    _name: str = ""
    _since: float = 0.0

    def begin(self, name: str) -> None:
        """End what was done so far and begin something; no name ends the last."""
        now = time.perf_counter()
        if self._name:
            self.seconds[self._name] = self.seconds.get(self._name, 0.0) + now - self._since
        self._name, self._since = name, now


def machine(options: argparse.Namespace) -> Row:
    """Say on what, when and under which conditions is measured."""
    return apart(options, _machine) | {
        "threads": options.threads,
        "freed_memory": options.freed,
        "load_at_start": round(os.getloadavg()[0], 2),
    }


def _machine() -> Row:
    import torch

    from universal_style.devices import cpu_computes_bfloat16

    models = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "cpu": models[0] if models else platform.processor(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "bfloat16_in_hardware": cpu_computes_bfloat16(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def write(output: Path | None, began: Row, results: Mapping[str, Any]) -> None:
    """Write results with the date and the machine; nothing where no file is asked for."""
    if output is None:
        return
    load = {"load_at_end": round(os.getloadavg()[0], 2)}
    facts = {"date": date.today().isoformat(), "machine": began | load, **results}
    with replacing(output) as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n")


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Lay rows out as a Markdown table, columns in the order of first appearance."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns, ["---"] * len(columns), *([_cell(row.get(name)) for name in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def decibels(error: float) -> float | None:
    """Give the PSNR of a mean square error of pixels in [0, 1]; None where there is none."""
    return round(-10 * math.log10(error), 1) if error else None


def power(rows: Sequence[Mapping[str, Any]]) -> float:
    """Give the power of the megapixels by which seconds grow from the first row to the last."""
    times, sizes = (rows[-1][name] / rows[0][name] for name in ("seconds", "megapixels"))
    return round(math.log(times) / math.log(sizes), 2)


def curves(
    path: Path | None,
    groups: Mapping[str, Sequence[Mapping[str, Any]]],
    panels: Mapping[str, str],
    across: tuple[str, str] = ("megapixels", "megapixels"),
) -> None:
    """Draw rows as curves, one panel beside the other, both axes logarithmic.

    Args:
        path: of the PNG; none is drawn without one.
        groups: rows of each curve by its name.
        panels: titles of the panels by the row's value that they show.
        across: the row's value along the lower axis, and its title.
    """
    if path is None:
        return
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter, StrMethodFormatter

    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(4.8 * len(panels) + 3.0, 4.2), layout="constrained")
        for axes, (value, title) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
            for name, rows in groups.items():
                axes.plot([row[across[0]] for row in rows], [row[value] for row in rows], "o-", label=name, ms=4)
            axes.set(xscale="log", yscale="log", xlabel=across[1], ylabel=title)
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter(StrMethodFormatter("{x:g}"))
                axis.set_minor_formatter(LogFormatter(labelOnlyBase=False, minor_thresholds=(1.5, 0.5)))
            axes.grid(alpha=0.25, which="both")
        figure.legend(*axes.get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside right upper")
        figure.savefig(path, dpi=110)
