"""universal-style style save."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from universal_style.cli.app import style_app
from universal_style.cli.options import Running, grouped
from universal_style.cli.show import console, progress


@style_app.command("save")
@grouped
def style_save(
    pictures: Annotated[
        list[Path],
        typer.Argument(help="Pictures, folders of them, presets: one style together.", metavar="IMAGE..."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The preset to write, .safetensors.")],
    style_size: Annotated[int | None, typer.Option(help="Long side at which the pictures are seen.")] = None,
    *,
    running: Running,
) -> None:
    """Keep a style in a preset file, which stands wherever a style picture does."""
    from universal_style.folders import pictures_in
    from universal_style.outputs import check_spared, check_writable
    from universal_style.stylizer import Stylizer
    from universal_style.tensor_files import check_tensor_file

    check_tensor_file(output, "preset")
    check_writable(output)
    check_spared([output], pictures)
    with progress(running.quiet) as show:
        stylizer = Stylizer(**running.backend)
        found = [file for given in pictures for file in (pictures_in(given) if given.is_dir() else [given])]
        stylizer.observe(*found, style_size=style_size, progress=show).save(output)
    if not running.quiet:
        console.print(f"{output}  {output.stat().st_size / 2**20:.1f} MiB")
