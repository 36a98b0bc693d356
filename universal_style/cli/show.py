"""What the command line shows while it works."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.console import Console

from universal_style.errors import UniversalStyleError

if TYPE_CHECKING:
    from universal_style.methods import Witness

SLOW = 1.0
"""Seconds after which a progress bar appears."""

console = Console(stderr=True, markup=False, emoji=False, highlight=False, soft_wrap=True)
"""Says what it is given as it stands: a path may hold brackets and colons, and be longer than a line."""


@contextmanager
def progress(quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar once the work has taken longer than `SLOW` seconds."""
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal)
    task = bar.add_task("loading", total=None)
    started = time.perf_counter()

    def show(step: str, done: int, total: int) -> None:
        if time.perf_counter() - started > SLOW and not bar.live.is_started:
            bar.start()
        bar.update(task, description=step, completed=done, total=total)

    try:
        yield show
    finally:
        bar.stop()


@contextmanager
def frame_bar(quiet: bool) -> Iterator[Callable[[int, int, float], None]]:
    """Show a bar with frames done, their rate and the time left."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("frame"),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("frames", total=None, rate="")

        def show(done: int, total: int, rate: float) -> None:
            bar.update(task, completed=done, total=total or None, rate=f"{rate:.2f}/s")

        yield show


def announcer() -> Witness:
    """Give what says, before the work, how the picture will be divided."""
    from universal_style.methods import Blind

    class Announcer(Blind):
        """Says it, and nothing else."""

        def plans(self, step: str, windows: str) -> None:
            console.print(f"{step} in {windows}")

    return Announcer()


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Import what only an extra of this name installs."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UniversalStyleError(
            f"this needs {error.name}, which is not installed: pip install 'universal-style[{name}]'"
        ) from error


@contextmanager
def training_bars(quiet: bool) -> Iterator[Callable[[str, Any], None]]:
    """Show a bar per decoder with its loss and held-out PSNR; plain lines where there is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TextColumn("{task.fields[psnr]}"),
        TimeRemainingColumn(),
    )
    live = console.is_terminal and not quiet
    progress = Progress(*columns, console=console, disable=not live)
    tasks: dict[str, TaskID] = {}

    def show(name: str, report: Any) -> None:
        if name not in tasks:
            tasks[name] = progress.add_task(name, total=report.steps, loss="", psnr="")
        fields: dict[str, Any] = {}
        if report.loss:
            fields["loss"] = f"loss {sum(report.loss.values()):.3f}"
        if report.psnr is not None:
            fields["psnr"] = f"{report.psnr:.2f} dB"
        detail = f"{name}  {report.phase} {report.detail}".strip()
        progress.update(tasks[name], completed=report.done, description=detail, **fields)
        if not live and not quiet and report.phase != "train":
            console.print(detail, f"step {report.done}", *fields.values())

    with progress:
        yield show


@contextmanager
def counting_bar(quiet: bool, total: int) -> Iterator[Callable[[int, float], None]]:
    """Show how many of many are done, how many a second, and when the rest will be; told (ended, rate)."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("", total=total, rate="", left="")

        def show(ended: int, rate: float) -> None:
            left = f"{timedelta(seconds=round((total - ended) / rate))} left" if rate > 0 else ""
            bar.update(task, completed=ended, rate=f"{rate:.1f}/s", left=left)

        yield show
