"""universal-style texture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from universal_style.cli.app import app
from universal_style.cli.options import Running, grouped, numbers, pair_of_sides
from universal_style.cli.show import console, progress


@app.command()
@grouped
def texture(
    style: Annotated[Path, typer.Argument(help="A style picture or preset.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the texture.")],
    size: Annotated[str, typer.Option(help="Height and width in pixels.", metavar="HxW")] = "512x512",
    rounds: Annotated[int, typer.Option(help="How often the levels run: more wear the noise off.")] = 3,
    tileable: Annotated[bool, typer.Option("--tileable", help="Make opposite edges fit together.")] = False,
    levels: Annotated[str, typer.Option(help="Levels of each round, in order.")] = "4,3,2,1",
    style_size: Annotated[int | None, typer.Option(help="Long side at which the style is seen.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the noise.")] = 0,
    *,
    running: Running,
) -> None:
    """Synthesise a texture from a style, of any size."""
    from universal_style.images import check_fits
    from universal_style.outputs import check_spared, check_writable
    from universal_style.stylizer import Stylizer
    from universal_style.texture import synthesise

    height, width = pair_of_sides(size)
    check_fits(output, max(height, width))
    check_writable(output)
    check_spared([output], [style])
    with progress(running.quiet) as show:
        image = synthesise(
            Stylizer(**running.backend),
            style,
            height,
            width,
            rounds=rounds,
            tileable=tileable,
            levels=numbers("levels", levels, int),
            style_size=style_size,
            seed=seed,
            progress=show,
        )
        image.write(output)
    if not running.quiet:
        console.print(f"{output}  {image.height}×{image.width}")  # height first, as it was asked for
