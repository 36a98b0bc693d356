"""universal-style train decoders, train feed-forward."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from universal_style.cli.app import train_app
from universal_style.cli.names import PoolingName
from universal_style.cli.options import Running, grouped, numbers
from universal_style.cli.show import console, extra, training_bars


@dataclass(frozen=True)
class DecoderTraining:
    """How decoders are trained, by the names that `Plan` gives it."""

    styles: Annotated[Path | None, typer.Option(help="Folder of style pictures.", show_default="the same")] = None
    held_out: Annotated[Path | None, typer.Option(help="To measure on.", show_default="every 50th picture")] = None
    pooling: Annotated[
        PoolingName, typer.Option(help="nearest for wct, index for photo-wct, haar-sum and haar-cat5 for wct2.")
    ] = PoolingName.NEAREST
    side: Annotated[int, typer.Option(help="Side of the square crops in pixels, a multiple of 16.")] = 192
    plain: Annotated[int, typer.Option(help="Crops per step that are reconstructed.")] = 4
    disguised: Annotated[
        float, typer.Option(help="Share of these whose features beside the bands are not theirs; for haar-cat5.")
    ] = 0.0
    recolored: Annotated[int, typer.Option(help="Crops per step carried onto themselves in other colours.")] = 0
    transformed: Annotated[int, typer.Option(help="Crops per step whose features are transformed first.")] = 2
    transformed_from: Annotated[float, typer.Option(help="Share of the steps before transformed features join in.")] = (
        0.5
    )
    learning_rate: Annotated[float, typer.Option(help="Peak rate of Muon.")] = 8e-3
    measure_every: Annotated[int, typer.Option(help="Steps between held-out measures and saves.")] = 200
    workers: Annotated[int, typer.Option(help="Processes that read pictures.")] = 2
    start: Annotated[
        Path | None,
        typer.Option("--from", help="Go on from the decoders of this folder, not from the closed form."),
    ] = None
    resume: Annotated[bool, typer.Option(help="Go on from the states in the output folder.")] = True
    seed: Annotated[int, typer.Option(help="Seed of crops and transforms.")] = 0


@train_app.command("decoders")
@grouped
def train_decoders(
    pictures: Annotated[list[Path], typer.Argument(help="Folders of pictures to learn from.", metavar="FOLDER...")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for checkpoints, card and curves.")],
    levels: Annotated[str, typer.Option(help="Which decoders, in this order.")] = "1,2,3,4,5",
    steps: Annotated[str, typer.Option(help="Gradient steps, one number for all levels or one for each.")] = "20000",
    *,
    training: DecoderTraining,
    running: Running,
) -> None:
    """Train mirror decoders on any folder of pictures; stop and resume at will."""
    with extra("training"):
        from universal_style.training.run import Plan, run

    plan = Plan.of(
        pictures=pictures,
        output=output,
        levels=numbers("levels", levels, int),
        steps=numbers("steps", steps, int),
        **vars(training),
        **running.backend,
    )
    with training_bars(running.quiet) as show:
        for event in run(plan):
            show(event.name, event.report)
    if not running.quiet:
        console.print(f"checkpoints, card and curves: {output}")


@dataclass(frozen=True)
class FeedForwardTraining:
    """How a net is trained, by the names that `FeedForwardPlan` gives it."""

    steps: Annotated[int, typer.Option(help="Gradient steps.")] = 20000
    batch: Annotated[int, typer.Option(help="Crops per step.")] = 4
    side: Annotated[int, typer.Option(help="Side of the square crops in pixels, a multiple of 16.")] = 256
    style_size: Annotated[int | None, typer.Option(help="Long side at which the style is seen.")] = None
    content_weight: Annotated[float, typer.Option(help="Of the content loss beside the style loss.")] = 0.3
    tv_weight: Annotated[float, typer.Option(help="Of the roughness.")] = 1.0
    learning_rate: Annotated[float, typer.Option(help="Peak rate of Adam.")] = 1e-3
    measure_every: Annotated[int, typer.Option(help="Steps between measures and saves.")] = 200
    workers: Annotated[int, typer.Option(help="Processes that read pictures.")] = 2
    resume: Annotated[bool, typer.Option(help="Go on from the state beside the output.")] = True
    seed: Annotated[int, typer.Option(help="Seed of crops and parameters.")] = 0


@train_app.command("feed-forward")
@grouped
def train_feed_forward(
    style: Annotated[Path, typer.Argument(help="The style picture.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The net to write, .safetensors.")],
    photos: Annotated[list[Path], typer.Option(help="Folder of photographs to learn on; may be given again.")],
    *,
    training: FeedForwardTraining,
    running: Running,
) -> None:
    """Train a net that gives one style in one pass; transfer takes its file as --method."""
    with extra("training"):
        from universal_style.training.feed_forward import FeedForwardPlan
        from universal_style.training.feed_forward import train_feed_forward as train

    plan = FeedForwardPlan.of(style=style, photos=photos, output=output, **vars(training), **running.backend)
    with training_bars(running.quiet) as show:
        for report in train(plan):
            show(output.name, report)
    if not running.quiet:
        console.print(f"{output}  {output.stat().st_size / 2**20:.1f} MiB")
