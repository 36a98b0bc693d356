"""universal-style serve."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from universal_style.cli.app import app
from universal_style.cli.options import Running, grouped
from universal_style.cli.show import console, extra


@app.command()
@grouped
def serve(
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 lets others in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at; 0 takes any that is free.")] = 7860,
    presets: Annotated[
        list[Path] | None, typer.Option(help="A folder of style pictures and presets to offer; may be repeated.")
    ] = None,
    most_megapixels: Annotated[float, typer.Option(help="Megapixels that a picture may have.")] = 12.0,
    most_megabytes: Annotated[int, typer.Option(help="Megabytes that an uploaded file may have.")] = 64,
    queue: Annotated[int, typer.Option(help="Requests that may wait.")] = 16,
    keep_minutes: Annotated[int, typer.Option(help="Minutes after which a file is removed, come what may.")] = 60,
    *,
    running: Running,
) -> None:
    """Serve a web page."""
    with extra("web"):
        from universal_style.web.limits import Limits
        from universal_style.web.server import serving
        from universal_style.web.worker import Worker

    limits = Limits(most_megapixels, most_megabytes, queue, keep_minutes)
    end = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):  # both leave by the same door, past which no file is left
        signal.signal(number, lambda *_: end.set())
    with serving(Worker(**running.backend), limits, presets or (), host, port) as server:
        if not running.quiet:
            console.print(f"{server.address}  (Ctrl+C ends it)")
        end.wait()
