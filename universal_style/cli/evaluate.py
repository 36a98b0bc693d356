"""universal-style evaluate."""

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
def evaluate(
    pairs: Annotated[Path, typer.Argument(help="Folder with content/, style/ and, if any, content_seg/, style_seg/.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for results, table, JSON and plot.")],
    contenders: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "-m",
            help="METHOD[,key=value…] such as photo-wct,smooth=guided, or NAME=FOLDER with results; once for each.",
            show_default="wct, photo-wct and wct2",
        ),
    ] = None,
    *,
    running: Running,
) -> None:
    """Judge methods over a folder of pairs: structure kept, style reached, seconds, memory."""
    from universal_style.contenders import Contender

    with extra("plots"):
        from universal_style.evaluation import Score, Summary, as_json, as_table, draw_scatter, pairs_in, unpaired
        from universal_style.evaluation import evaluate as judged
    from universal_style.outputs import make_folder

    chosen = Contender.all_of(contenders or ("wct", "photo-wct", "wct2"))
    found = pairs_in(pairs)
    make_folder(output)
    scores: list[Score] = []
    summaries: list[Summary] = []
    with progress(running.quiet) as show:
        total = len(chosen) * len(found)
        for event in judged(chosen, found, output, running.device.value, running.dtype.value):
            if isinstance(event, Summary):  # an evaluation that is stopped leaves the rows that are done
                summaries.append(event)
                write_text(output / "evaluation.json", as_json(scores, summaries))
                write_text(output / "evaluation.md", as_table(summaries))
                draw_scatter(output / "evaluation.png", scores, summaries)
                continue
            scores.append(event)
            show(f"{event.contender}  {event.pair}", len(scores), total)
    if not running.quiet:
        if alone := unpaired(pairs):
            console.print(f"left out, in one of content and style alone: {', '.join(alone)}")
        console.print(as_table(summaries))
