"""universal-style compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from universal_style.atomic import write_text
from universal_style.cli.app import app
from universal_style.cli.options import Running, grouped
from universal_style.cli.show import console, extra, progress


@app.command()
@grouped
def compare(
    content: Annotated[Path, typer.Argument(help="The picture to restyle.")],
    style: Annotated[Path, typer.Argument(help="The style picture.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for results, sheet, plot and report.json.")],
    contenders: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "-m",
            help="METHOD[,key=value…] such as gatys,iterations=500; once for each.",
            show_default="all",
        ),
    ] = None,
    content_mask: Annotated[Path | None, typer.Option(help="Regions of the content, by colour.")] = None,
    style_mask: Annotated[Path | None, typer.Option(help="The same of the style.")] = None,
    size: Annotated[int, typer.Option(help="Long side of content and style in pixels.")] = 512,
    *,
    running: Running,
) -> None:
    """Give one pair to every method and to the optimisers: contact sheet, losses against seconds, report."""
    with extra("plots"):
        from universal_style.comparison import USUAL, Entry, Pair, as_json, contact_sheet, draw_losses
        from universal_style.comparison import compare as compared
    from universal_style.contenders import Contender
    from universal_style.outputs import make_folder

    options = {"size": size, "style_size": size, "content_mask": content_mask, "style_masks": [style_mask]}
    pair = Pair(content, style, options if style_mask else options | {"style_masks": ()})
    chosen = Contender.all_of(contenders or USUAL)
    make_folder(output)
    entries: list[Entry] = []
    with progress(running.quiet) as show:
        for entry in compared(pair, chosen, running.device.value, running.dtype.value, show):
            entries.append(entry)
            entry.picture.write(output / f"{entry.slug}.png")
            contact_sheet(pair, entries).write(output / "sheet.png")  # what is done stays if the rest is stopped
            draw_losses(output / "losses.png", entries)
            write_text(output / "report.json", as_json(entries))
    if not running.quiet:
        for entry in entries:
            end = entry.end
            console.print(
                f"{entry.name:24} {end.seconds:8.1f} s  style loss {end.style:.4f}  content loss {end.content:.4f}",
            )
