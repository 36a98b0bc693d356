"""universal-style grid."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from universal_style.cli.app import app
from universal_style.cli.options import Running, grouped
from universal_style.cli.show import console, progress


@app.command()
@grouped
def grid(
    content: Annotated[Path, typer.Argument(help="The picture to restyle.")],
    styles: Annotated[list[Path], typer.Argument(help="Two or four style pictures or presets.", metavar="STYLE...")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the grid.")],
    steps: Annotated[int, typer.Option(help="Cells along each side.")] = 5,
    method: Annotated[str, typer.Option("--method", "-m", help="A closed-form method.")] = "wct",
    size: Annotated[int, typer.Option(help="Long side of each cell in pixels.")] = 256,
    *,
    running: Running,
) -> None:
    """Restyle one picture by every mix of two or four styles, on one sheet."""
    from universal_style.grids import corner_weights, interpolation_grid
    from universal_style.images import output_format
    from universal_style.outputs import check_spared, check_writable
    from universal_style.stylizer import Stylizer

    corner_weights(len(styles), steps)
    output_format(output)
    check_writable(output)
    check_spared([output], [content, *styles])
    with progress(running.quiet) as show:
        stylizer = Stylizer(method, **running.backend)
        image = interpolation_grid(stylizer, content, styles, steps=steps, progress=show, size=size)
        image.write(output)
    if not running.quiet:
        console.print(f"{output}  {image.width}×{image.height}")
