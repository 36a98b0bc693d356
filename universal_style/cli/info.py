"""universal-style info."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from universal_style.cli.app import app


@app.command()
def info(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what is installed: versions, device, methods and checkpoints."""
    from importlib.metadata import version

    import torch

    from universal_style.devices import backend_named
    from universal_style.methods import METHODS
    from universal_style.networks.checkpoints import bundled_folder, listed_names, read_checkpoint

    backend = backend_named()
    folder = bundled_folder()
    checkpoints = {name: read_checkpoint(folder, name) for name in listed_names(folder)}
    facts: dict[str, Any] = {
        "universal-style": version("universal-style"),
        "torch": torch.__version__,
        "device": str(backend.device),
        "dtype": str(backend.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "methods": list(METHODS),
        "checkpoints": {name: {"sha256": c.digest, **c.metadata} for name, c in checkpoints.items()},
    }
    if as_json:
        sys.stdout.write(json.dumps(facts, indent=2) + "\n")
        return
    table = Table(show_header=False, box=None)
    for key, value in facts.items():
        if key != "checkpoints":
            table.add_row(key, ", ".join(value) if isinstance(value, list) else str(value))
    for name, checkpoint in checkpoints.items():
        psnr = checkpoint.metadata.get("held_out_psnr")
        detail = f"{checkpoint.digest[:12]}" + (f"  held-out PSNR {psnr} dB" if psnr else "")
        table.add_row(name, detail)
    Console().print(table)
