"""universal-style video."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from universal_style.atomic import write_text
from universal_style.cli.app import app
from universal_style.cli.options import Running, Styling, grouped
from universal_style.cli.show import console, extra, frame_bar
from universal_style.cli.stops import Stopped


@app.command()
@grouped
def video(
    clip: Annotated[Path, typer.Argument(help="A film, a GIF or a folder of numbered pictures.", metavar="IN")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A film or a GIF by its suffix; a folder of frames without one.")
    ],
    styles: Annotated[
        list[Path] | None, typer.Argument(help="One or more style pictures or presets.", metavar="STYLE...")
    ] = None,
    *,
    styling: Styling,
    steady: Annotated[
        float, typer.Option(help="Seconds over which the content's statistics are smoothed; 0: each frame by itself.")
    ] = 0.5,
    codec: Annotated[
        str | None, typer.Option(help="h264, hevc, vp9, or ffv1 without loss.", show_default="the suffix's")
    ] = None,
    quality: Annotated[
        int | None, typer.Option(help="The codec's constant rate factor; lower is better.", show_default="the codec's")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Frames in a second of a folder of frames.", show_default="25")
    ] = None,
    report: Annotated[Path | None, typer.Option("--json", help="Write a report here.", metavar="REPORT")] = None,
    running: Running,
) -> None:
    """Give a film the style of pictures; a run that was interrupted goes on where it was."""
    from universal_style.outputs import check_spared, check_writable

    with extra("video"):
        from universal_style.video.run import restyle
        from universal_style.video.sources import clip_named
        from universal_style.video.targets import target_named

    target = target_named(output, codec, quality)
    check_spared([output, report], [clip, *(styles or [])])
    if report is not None:
        check_writable(report)
    given = clip_named(clip, rate)
    stylizer = styling.stylizer(running)
    try:
        with frame_bar(running.quiet) as show:
            facts = restyle(stylizer, given, styles or [], target, steady=steady, told=show, **styling.options)
    except Stopped as error:
        error.left = "the same command goes on where it was"
        raise
    if report is not None:
        write_text(report, json.dumps(asdict(facts), indent=2))
    if running.quiet:
        return
    for note in facts.notes:
        console.print(note)
    height, width = facts.transfer.size
    cuts = f", cuts at {', '.join(map(str, facts.cuts))}" if facts.cuts else ""
    gone_on = f", went on after {facts.resumed}" if facts.resumed else ""
    console.print(
        f"{output}  {width}×{height}  {facts.frames} frames{cuts}{gone_on}  {facts.seconds:.1f} s  {facts.rate:.2f}/s",
    )
