"""universal-style repeat."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from universal_style.cli.app import app
from universal_style.cli.options import MostMegapixels
from universal_style.cli.show import console, progress


@app.command()
def repeat(
    report: Annotated[Path, typer.Argument(help="What transfer --json wrote.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the result.")],
    most_megapixels: MostMegapixels = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Make the picture of a report again, from the same files."""
    from universal_style.images import allow_megapixels, output_format
    from universal_style.outputs import check_spared, check_writable
    from universal_style.repetition import differences, read_report, repeated
    from universal_style.report import files_of

    if most_megapixels is not None:
        allow_megapixels(most_megapixels)
    output_format(output)
    check_writable(output)
    told = read_report(report)
    check_spared([output], [report, *map(Path, files_of(told))])
    with progress(quiet) as show:
        image, facts = repeated(told, show)
        image.write(output)
    if quiet:
        return
    for line in differences(told, facts):
        console.print(line)
    console.print(f"{output}  {image.width}×{image.height}")
