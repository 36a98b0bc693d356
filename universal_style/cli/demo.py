"""universal-style demo."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from universal_style.cli.app import app
from universal_style.cli.options import Running, grouped
from universal_style.cli.show import console, progress


@app.command()
@grouped
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="The contact sheet to write.")] = Path(
        "universal-style-demo.png"
    ),
    *,
    running: Running,
) -> None:
    """Restyle the bundled pictures and write a contact sheet."""
    from universal_style.demo import contact_sheet
    from universal_style.images import output_format
    from universal_style.outputs import check_writable
    from universal_style.stylizer import Stylizer

    output_format(output)
    check_writable(output)
    started = time.perf_counter()
    with progress(running.quiet) as show:
        sheet = contact_sheet(Stylizer(**running.backend), show)
        sheet.write(output)
    if not running.quiet:
        seconds = time.perf_counter() - started
        console.print(f"contact sheet: {output.resolve()}  ({seconds:.0f} s)")
