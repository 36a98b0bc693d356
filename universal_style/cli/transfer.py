"""universal-style transfer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from universal_style.atomic import write_text
from universal_style.cli.app import app
from universal_style.cli.options import DESCENT, Descending, MostMegapixels, Running, Sharing, Styling, grouped
from universal_style.cli.show import announcer, console, extra, progress


@app.command()
@grouped
def transfer(
    content: Annotated[Path, typer.Argument(help="The picture to restyle.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the result.")],
    styles: Annotated[
        list[Path] | None, typer.Argument(help="One or more style pictures or presets.", metavar="STYLE...")
    ] = None,
    content_mask: Annotated[
        Path | None, typer.Option(help="A picture whose colours say which region of the content is which.")
    ] = None,
    style_mask: Annotated[
        list[Path] | None, typer.Option(help="The same for a style, once per style; equal colours belong together.")
    ] = None,
    *,
    styling: Styling,
    most_megapixels: MostMegapixels = None,
    lut: Annotated[
        Path | None, typer.Option(help="Write the change of colours as a lookup table here too.", metavar="OUT.cube")
    ] = None,
    explain: Annotated[
        Path | None, typer.Option(help="Write a page here that takes the result apart.", metavar="DIR")
    ] = None,
    report: Annotated[Path | None, typer.Option("--json", help="Write a report here.", metavar="REPORT")] = None,
    running: Running,
    sharing: Sharing,
    descending: Descending,
    preview: Annotated[
        Path | None, typer.Option(help="A picture written again and again on the way.", rich_help_panel=DESCENT)
    ] = None,
    preview_every: Annotated[
        int | None, typer.Option(help="Steps between previews.", show_default="25", rich_help_panel=DESCENT)
    ] = None,
) -> None:
    """Give a picture the style of others."""
    from universal_style.drivers.bounds import check_room
    from universal_style.images import (
        Image,
        allow_megapixels,
        bytes_to_write,
        check_fits,
        output_format,
        size_at,
        size_of,
    )
    from universal_style.methods import BLIND, Witness, method_named
    from universal_style.outputs import check_spared, check_writable, make_folder
    from universal_style.request import Request

    if most_megapixels is not None:
        allow_megapixels(most_megapixels)
    sources = styles or []
    options = styling.options | sharing.options | descending.options
    options |= {"preview": preview, "preview_every": preview_every}
    request = Request.of(method_named(styling.method), styles=len(sources), **options)
    output_format(output)
    if lut is not None:
        from universal_style.lut import Lut, check_lut  # and much of scipy

        check_lut(lut)
    for path in (output, report, lut):
        if path is not None:
            check_writable(path)
    check_spared((output, report, lut, preview), (content, *sources, content_mask, *(style_mask or ())))
    size = size_of(content)
    if styling.size:
        size = size_at(styling.size, *size)
    check_fits(output, max(size))
    check_room(request.memory, bytes_to_write(output, *size), f"writing {output.name}")
    witness: Witness = BLIND if running.quiet else announcer()
    if explain is not None:
        with extra("plots"):
            from universal_style.explanation import Explainer, explanation_of, write_explanation
        make_folder(explain)
        witness = explainer = Explainer()
    with progress(running.quiet) as show:
        stylizer = styling.stylizer(running)
        image, facts = stylizer.run(
            content,
            *sources,
            content_mask=content_mask,
            style_masks=style_mask or (),
            progress=show,
            witness=witness,
            **options,
        )
        image.write(output)
        if explain is not None:
            show("explaining", 0, 1)
            write_explanation(explain, explanation_of(explainer, stylizer.loaded, facts))
        said: dict[str, Any] = {"output": str(output)}
        if lut is not None:
            fitted = Lut.fit(Image.of(content).scaled_to(max(image.height, image.width)), image)
            fitted.write(lut, f"{content.stem} by {facts.method}")
            said["lut"] = {"file": str(lut), "mean_error": fitted.mean_error, "high_error": fitted.high_error}
    if report is not None:
        write_text(report, json.dumps(facts.written() | said, indent=2))
    if running.quiet:
        return
    for line in facts.notes:
        console.print(line)
    console.print(f"{output}  {image.width}×{image.height}  {sum(facts.seconds.values()):.1f} s")
    if explain is not None:
        console.print(f"{explain / 'index.html'}")
    if lut is not None:
        error = f"mean error {fitted.mean_error:.1f} of 255, under {fitted.high_error:.1f} for 95 % of the pixels"
        console.print(f"{lut}  {error}")
