"""The command line. Only this file prints and exits."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from universal_style.atomic import replacing
from universal_style.errors import OptionError, UniversalStyleError

SLOW = 1.0
"""Seconds after which a progress bar appears."""

app = typer.Typer(
    name="universal-style",
    help="Universal style transfer with zero training.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
style_app = typer.Typer(help="Make style presets.", no_args_is_help=True)
train_app = typer.Typer(help="Train networks.", no_args_is_help=True)
app.add_typer(style_app, name="style")
app.add_typer(train_app, name="train")
console = Console(stderr=True)


class TransformName(StrEnum):
    """Transforms by name."""

    WCT = "wct"
    OT = "ot"
    CHOLESKY = "cholesky"
    ADAIN = "adain"


class PoolingName(StrEnum):
    """Poolings by name."""

    NEAREST = "nearest"
    INDEX = "index"
    HAAR_SUM = "haar-sum"
    HAAR_CAT5 = "haar-cat5"


class OptimizerName(StrEnum):
    """Ways of descent by name."""

    LBFGS = "lbfgs"
    ADAM = "adam"


class InitName(StrEnum):
    """Where an optimiser begins."""

    CONTENT = "content"
    STYLE = "style"
    NOISE = "noise"


class EncoderPoolingName(StrEnum):
    """The optimisers' poolings by name."""

    MAX = "max"
    AVERAGE = "average"


class EncoderName(StrEnum):
    """The optimisers' encoders by name."""

    BUNDLED = "bundled"
    TORCHVISION = "torchvision"


class SmoothingName(StrEnum):
    """Smoothings by name."""

    NONE = "none"
    CLOSED_FORM = "closed-form"
    GUIDED = "guided"


class MixName(StrEnum):
    """Mixings of several styles by name."""

    MAPS = "maps"
    STATISTICS = "statistics"


class KeepColorsName(StrEnum):
    """Ways of keeping the content's colours by name."""

    NONE = "none"
    LUMINANCE = "luminance"
    HISTOGRAM = "histogram"
    CORAL = "coral"


class MissingName(StrEnum):
    """What becomes of a region without a counterpart."""

    GLOBAL = "global"
    NEAREST = "nearest"
    KEEP = "keep"


class DeviceName(StrEnum):
    """Devices by name."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


class DtypeName(StrEnum):
    """Precisions by name."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


DESCENT = "Optimisers"

Device = Annotated[DeviceName, typer.Option(help="Where to run; auto takes a GPU where there is one.")]
Dtype = Annotated[DtypeName, typer.Option(help="Precision of the networks; auto takes bfloat16 on CPUs that have it.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
Decoders = Annotated[Path | None, typer.Option(help="Folder of decoders of your own training.")]


@app.callback()
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback where a command fails.")] = False,
) -> None:
    """Carry the style of any picture onto any other."""


@app.command()
def transfer(
    content: Annotated[Path, typer.Argument(help="The picture to restyle.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the result.")],
    styles: Annotated[
        list[Path] | None, typer.Argument(help="One or more style pictures or presets.", metavar="STYLE...")
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            "--method", "-m", help="wct, photo-wct, wct2, wct2-sum, gatys, deep-photo, or a trained net's file."
        ),
    ] = "wct",
    alpha: Annotated[
        str | None,
        typer.Option(help="Strength from 0 (plain reconstruction) to 1; one number, or one per level.  [default: 1]"),
    ] = None,
    levels: Annotated[
        str | None,
        typer.Option(help="Levels in the order in which they run, 5 (coarse) to 1 (fine).  [default: the method's]"),
    ] = None,
    sites: Annotated[
        str | None,
        typer.Option(help="Where wct2 edits features: of encoder,skip,decoder.  [default: the method's]"),
    ] = None,
    transform: Annotated[
        TransformName | None, typer.Option(help="How features are carried over.  [default: ot]")
    ] = None,
    style_weights: Annotated[str | None, typer.Option(help="One weight per style, such as 0.7,0.3.")] = None,
    mix: Annotated[
        MixName | None, typer.Option(help="Mix several styles' maps, or their statistics.  [default: maps]")
    ] = None,
    content_mask: Annotated[
        Path | None, typer.Option(help="A picture whose colours say which region of the content is which.")
    ] = None,
    style_mask: Annotated[
        list[Path] | None, typer.Option(help="The same for a style, once per style; equal colours belong together.")
    ] = None,
    style_regions: Annotated[
        str | None,
        typer.Option(help="For each style the colour of the content mask's region that it is for: red,#0000ff."),
    ] = None,
    auto_regions: Annotated[int, typer.Option(help="Find so many regions in the pictures themselves, 2 to 8.")] = 0,
    semantic_regions: Annotated[
        bool, typer.Option("--semantic-regions", help="Divide the pictures by what they show; fetches a network once.")
    ] = False,
    missing: Annotated[
        MissingName,
        typer.Option(help="What a region without a counterpart takes: the whole style, its neighbour's, none."),
    ] = MissingName.GLOBAL,
    smooth: Annotated[
        SmoothingName | None, typer.Option(help="Smoothing along the content's edges.  [default: the method's]")
    ] = None,
    keep_colors: Annotated[
        KeepColorsName,
        typer.Option(help="Keep the content's colours: its chroma, or the style recoloured first."),
    ] = KeepColorsName.NONE,
    size: Annotated[int | None, typer.Option(help="Long side of the result in pixels.  [default: native]")] = None,
    style_size: Annotated[
        int | None, typer.Option(help="Long side at which styles are seen.  [default: native, at most 1024]")
    ] = None,
    iterations: Annotated[
        int | None,
        typer.Option(help="Steps at each scale and phase.  [default: the method's]", rich_help_panel=DESCENT),
    ] = None,
    optimizer: Annotated[
        OptimizerName | None, typer.Option(help="How to descend.  [default: lbfgs]", rich_help_panel=DESCENT)
    ] = None,
    init: Annotated[
        InitName | None, typer.Option(help="Where to begin.  [default: the method's]", rich_help_panel=DESCENT)
    ] = None,
    style_layers: Annotated[
        str | None,
        typer.Option(
            help="Layers of the style loss, each with its weight if not 1: relu1_1,relu3_1=2.  "
            "[default: relu1_1 … relu5_1]",
            rich_help_panel=DESCENT,
        ),
    ] = None,
    content_layers: Annotated[
        str | None, typer.Option(help="The same of the content loss.  [default: relu4_2]", rich_help_panel=DESCENT)
    ] = None,
    content_weight: Annotated[
        float | None, typer.Option(help="Of the content loss beside the style loss.", rich_help_panel=DESCENT)
    ] = None,
    tv_weight: Annotated[
        float | None, typer.Option(help="Of the roughness.  [default: 0]", rich_help_panel=DESCENT)
    ] = None,
    photorealism_weight: Annotated[
        float | None, typer.Option(help="Of Deep Photo's photorealism term.", rich_help_panel=DESCENT)
    ] = None,
    pooling: Annotated[
        EncoderPoolingName | None, typer.Option(help="Of the encoder.  [default: max]", rich_help_panel=DESCENT)
    ] = None,
    scales: Annotated[
        int | None,
        typer.Option(
            help="Sizes from coarse to fine, each twice the last.  [default: by size]", rich_help_panel=DESCENT
        ),
    ] = None,
    encoder: Annotated[
        EncoderName | None,
        typer.Option(
            help="bundled, or torchvision, which is fetched once.  [default: bundled]", rich_help_panel=DESCENT
        ),
    ] = None,
    preview: Annotated[
        Path | None, typer.Option(help="A picture written again and again on the way.", rich_help_panel=DESCENT)
    ] = None,
    preview_every: Annotated[
        int | None, typer.Option(help="Steps between previews.  [default: 25]", rich_help_panel=DESCENT)
    ] = None,
    device: Device = DeviceName.AUTO,
    dtype: Dtype = DtypeName.AUTO,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    decoders: Decoders = None,
    lut: Annotated[
        Path | None, typer.Option(help="Write the change of colours as a lookup table here too.", metavar="OUT.cube")
    ] = None,
    report: Annotated[Path | None, typer.Option("--json", help="Write a report here.", metavar="REPORT")] = None,
    quiet: Quiet = False,
) -> None:
    """Give a picture the style of others."""
    options = {
        "alpha": None if alpha is None else _numbers("alpha", alpha, float),
        "levels": None if levels is None else _numbers("levels", levels, int),
        "transform": transform.value if transform else None,
        "mix": mix.value if mix else None,
        "style_weights": None if style_weights is None else _numbers("style-weights", style_weights, float),
        "size": size,
        "style_size": style_size,
        "seed": seed,
        "sites": None if sites is None else sites.split(","),
        "smooth": smooth.value if smooth else None,
        "keep_colors": keep_colors.value,
        "missing": missing.value,
        "style_regions": () if style_regions is None else style_regions.split(","),
        "auto_regions": auto_regions,
        "semantic_regions": semantic_regions,
        "iterations": iterations,
        "optimizer": optimizer.value if optimizer else None,
        "init": init.value if init else None,
        "style_layers": None if style_layers is None else _layer_weights("style-layers", style_layers),
        "content_layers": None if content_layers is None else _layer_weights("content-layers", content_layers),
        "content_weight": content_weight,
        "tv_weight": tv_weight,
        "photorealism_weight": photorealism_weight,
        "pooling": pooling.value if pooling else None,
        "scales": scales,
        "encoder": encoder.value if encoder else None,
        "preview": preview,
        "preview_every": preview_every,
    }
    sources = styles or []
    from universal_style.images import Image, check_writable, output_format
    from universal_style.lut import Lut, check_lut
    from universal_style.methods import method_named
    from universal_style.request import Request

    Request.of(method_named(method), styles=len(sources), **options)  # type: ignore[arg-type]
    output_format(output)
    if lut is not None:
        check_lut(lut)
    for path in (output, report, lut):
        if path is not None:
            check_writable(path)
    from universal_style.stylizer import Stylizer

    with _progress(quiet) as show:
        stylizer = Stylizer(method, device=device.value, dtype=dtype.value, decoders=decoders)
        image, facts = stylizer.run(
            content,
            *sources,
            content_mask=content_mask,
            style_masks=style_mask or (),
            progress=show,
            **options,
        )
        image.write(output)
        said: dict[str, Any] = {"content": str(content), "output": str(output)}
        if lut is not None:
            fitted = Lut.fit(Image.of(content).scaled_to(max(image.height, image.width)), image)
            fitted.write(lut, f"{content.stem} by {facts.method}")
            said["lut"] = {"file": str(lut), "mean_error": fitted.mean_error, "high_error": fitted.high_error}
    if report is not None:
        _write_text(report, json.dumps(asdict(facts) | said, indent=2))
    if not quiet:
        for line in facts.notes:
            console.print(line, highlight=False)
        seconds = sum(facts.seconds.values())
        console.print(f"{output}  {image.width}×{image.height}  {seconds:.1f} s", highlight=False)
        if lut is not None:
            error = f"mean error {fitted.mean_error:.1f} of 255, under {fitted.high_error:.1f} for 95 % of the pixels"
            console.print(f"{lut}  {error}", highlight=False)


@app.command()
def texture(
    style: Annotated[Path, typer.Argument(help="A style picture or preset.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the texture.")],
    size: Annotated[str, typer.Option(help="Height and width in pixels.", metavar="HxW")] = "512x512",
    rounds: Annotated[int, typer.Option(help="How often the levels run: more wear the noise off.")] = 3,
    tileable: Annotated[bool, typer.Option("--tileable", help="Make opposite edges fit together.")] = False,
    levels: Annotated[str, typer.Option(help="Levels of each round, in order.")] = "4,3,2,1",
    style_size: Annotated[int | None, typer.Option(help="Long side at which the style is seen.")] = None,
    device: Device = DeviceName.AUTO,
    dtype: Dtype = DtypeName.AUTO,
    seed: Annotated[int, typer.Option(help="Seed of the noise.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Synthesise a texture from a style, of any size."""
    from universal_style.images import check_writable, output_format
    from universal_style.stylizer import Stylizer
    from universal_style.texture import synthesise

    height, width = _size(size)
    output_format(output)
    check_writable(output)
    with _progress(quiet) as show:
        image = synthesise(
            Stylizer(device=device.value, dtype=dtype.value),
            style,
            height,
            width,
            rounds=rounds,
            tileable=tileable,
            levels=_numbers("levels", levels, int),
            style_size=style_size,
            seed=seed,
            progress=show,
        )
        image.write(output)
    if not quiet:
        console.print(f"{output}  {image.width}×{image.height}", highlight=False)


@app.command()
def grid(
    content: Annotated[Path, typer.Argument(help="The picture to restyle.")],
    styles: Annotated[list[Path], typer.Argument(help="Two or four style pictures or presets.", metavar="STYLE...")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the grid.")],
    steps: Annotated[int, typer.Option(help="Cells along each side.")] = 5,
    method: Annotated[str, typer.Option("--method", "-m", help="A closed-form method.")] = "wct",
    size: Annotated[int, typer.Option(help="Long side of each cell in pixels.")] = 256,
    device: Device = DeviceName.AUTO,
    dtype: Dtype = DtypeName.AUTO,
    quiet: Quiet = False,
) -> None:
    """Restyle one picture by every mix of two or four styles, on one sheet."""
    from universal_style.grids import corner_weights, interpolation_grid
    from universal_style.images import check_writable, output_format
    from universal_style.stylizer import Stylizer

    corner_weights(len(styles), steps)
    output_format(output)
    check_writable(output)
    with _progress(quiet) as show:
        stylizer = Stylizer(method, device=device.value, dtype=dtype.value)
        image = interpolation_grid(stylizer, content, styles, steps=steps, progress=show, size=size)
        image.write(output)
    if not quiet:
        console.print(f"{output}  {image.width}×{image.height}", highlight=False)


@style_app.command("save")
def style_save(
    pictures: Annotated[
        list[Path],
        typer.Argument(help="Pictures, folders of them, presets: one style together.", metavar="IMAGE..."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The preset to write, .safetensors.")],
    style_size: Annotated[int | None, typer.Option(help="Long side at which the pictures are seen.")] = None,
    device: Device = DeviceName.AUTO,
    dtype: Dtype = DtypeName.AUTO,
    quiet: Quiet = False,
) -> None:
    """Keep a style in a preset file, which stands wherever a style picture does."""
    from universal_style.folders import pictures_in
    from universal_style.images import check_writable
    from universal_style.styles import Style
    from universal_style.stylizer import Stylizer

    if output.suffix != ".safetensors":
        raise OptionError(f"preset {output.name} needs the suffix .safetensors")
    check_writable(output)
    with _progress(quiet) as show:
        stylizer = Stylizer(device=device.value, dtype=dtype.value)
        found = [file for given in pictures for file in (pictures_in(given) if given.is_dir() else [given])]
        style: Style | None = None
        for number, picture in enumerate(found):
            show(f"observing {picture.name}", number, len(found))
            seen = stylizer.observe(picture, style_size=style_size)
            style = seen if style is None else style.merge(seen)
        assert style is not None  # a folder without pictures is refused
        style.save(output)
    if not quiet:
        console.print(f"{output}  {output.stat().st_size / 2**20:.1f} MiB", highlight=False)


@train_app.command("decoders")
def train_decoders(
    pictures: Annotated[list[Path], typer.Argument(help="Folders of pictures to learn from.", metavar="FOLDER...")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for checkpoints, card and curves.")],
    styles: Annotated[Path | None, typer.Option(help="Folder of style pictures.  [default: the same pictures]")] = None,
    held_out: Annotated[Path | None, typer.Option(help="Folder to measure on.  [default: every 50th picture]")] = None,
    pooling: Annotated[
        PoolingName, typer.Option(help="nearest for wct, index for photo-wct, haar-sum and haar-cat5 for wct2.")
    ] = PoolingName.NEAREST,
    levels: Annotated[str, typer.Option(help="Which decoders, in this order.")] = "1,2,3,4,5",
    steps: Annotated[str, typer.Option(help="Gradient steps, one number for all levels or one for each.")] = "20000",
    side: Annotated[int, typer.Option(help="Side of the square crops in pixels, a multiple of 16.")] = 192,
    plain: Annotated[int, typer.Option(help="Crops per step that are reconstructed.")] = 4,
    transformed: Annotated[int, typer.Option(help="Crops per step whose features are transformed first.")] = 2,
    transformed_from: Annotated[
        float, typer.Option(help="Share of the steps before transformed features join in.")
    ] = 0.5,
    learning_rate: Annotated[float, typer.Option(help="Peak rate of Adam, for 64 channels.")] = 1e-3,
    measure_every: Annotated[int, typer.Option(help="Steps between held-out measures and saves.")] = 200,
    workers: Annotated[int, typer.Option(help="Processes that read pictures.")] = 2,
    start: Annotated[
        Path | None,
        typer.Option("--from", help="Go on from the decoders of this folder, not from the closed form."),
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the states in the output folder.")] = True,
    device: Device = DeviceName.AUTO,
    dtype: Dtype = DtypeName.AUTO,
    seed: Annotated[int, typer.Option(help="Seed of crops and transforms.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Train mirror decoders on any folder of pictures; stop and resume at will."""
    with _training_extra():
        from universal_style.training.run import Plan, run

    chosen = _numbers("levels", levels, int)
    budget = _numbers("steps", steps, int)
    plan = Plan.of(
        pictures=pictures,
        output=output,
        styles=styles,
        held_out=held_out,
        pooling=pooling.value,
        levels=chosen,
        steps=budget if len(budget) > 1 else budget * len(chosen),
        side=side,
        plain=plain,
        transformed=transformed,
        transformed_from=transformed_from,
        learning_rate=learning_rate,
        measure_every=measure_every,
        workers=workers,
        start=start,
        resume=resume,
        device=device.value,
        dtype=dtype.value,
        seed=seed,
    )
    with _training_bars(quiet) as show:
        for event in run(plan):
            show(event.name, event.report)
    if not quiet:
        console.print(f"checkpoints, card and curves: {output}", highlight=False)


@train_app.command("feed-forward")
def train_feed_forward(
    style: Annotated[Path, typer.Argument(help="The style picture.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The net to write, .safetensors.")],
    photos: Annotated[list[Path], typer.Option(help="Folder of photographs to learn on; may be given again.")],
    steps: Annotated[int, typer.Option(help="Gradient steps.")] = 20000,
    batch: Annotated[int, typer.Option(help="Crops per step.")] = 4,
    side: Annotated[int, typer.Option(help="Side of the square crops in pixels, a multiple of 16.")] = 256,
    style_size: Annotated[int | None, typer.Option(help="Long side at which the style is seen.")] = None,
    content_weight: Annotated[float, typer.Option(help="Of the content loss beside the style loss.")] = 0.3,
    tv_weight: Annotated[float, typer.Option(help="Of the roughness.")] = 1.0,
    learning_rate: Annotated[float, typer.Option(help="Peak rate of Adam.")] = 1e-3,
    measure_every: Annotated[int, typer.Option(help="Steps between measures and saves.")] = 200,
    workers: Annotated[int, typer.Option(help="Processes that read pictures.")] = 2,
    resume: Annotated[bool, typer.Option(help="Go on from the state beside the output.")] = True,
    device: Device = DeviceName.AUTO,
    dtype: Dtype = DtypeName.AUTO,
    seed: Annotated[int, typer.Option(help="Seed of crops and parameters.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Train a net that gives one style in one pass; transfer takes its file as --method."""
    with _training_extra():
        from universal_style.training.feed_forward import FeedForwardPlan
        from universal_style.training.feed_forward import train_feed_forward as train

    plan = FeedForwardPlan.of(
        style=style,
        photos=photos,
        output=output,
        steps=steps,
        batch=batch,
        side=side,
        style_size=style_size,
        content_weight=content_weight,
        tv_weight=tv_weight,
        learning_rate=learning_rate,
        measure_every=measure_every,
        workers=workers,
        resume=resume,
        device=device.value,
        dtype=dtype.value,
        seed=seed,
    )
    with _training_bars(quiet) as show:
        for report in train(plan):
            show(output.name, report)
    if not quiet:
        console.print(f"{output}  {output.stat().st_size / 2**20:.1f} MiB", highlight=False)


@app.command()
def evaluate(
    pairs: Annotated[Path, typer.Argument(help="Folder with content/, style/ and, if any, content_seg/, style_seg/.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for results, table, JSON and plot.")],
    contenders: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "-m",
            help="METHOD[,key=value…] such as photo-wct,smooth=guided, or NAME=FOLDER with results; once for each.  "
            "[default: wct, photo-wct and wct2]",
        ),
    ] = None,
    device: Device = DeviceName.AUTO,
    dtype: Dtype = DtypeName.AUTO,
    quiet: Quiet = False,
) -> None:
    """Judge methods over a folder of pairs: structure kept, style reached, seconds, memory."""
    with _training_extra():
        import matplotlib  # noqa: F401 (asked for before hours of work, not after)
    from universal_style.contenders import Contender
    from universal_style.evaluation import (
        Score,
        Summary,
        as_json,
        as_table,
        draw_scatter,
        pairs_in,
    )
    from universal_style.evaluation import evaluate as judged
    from universal_style.images import make_folder

    chosen = [Contender.of(text) for text in contenders or ("wct", "photo-wct", "wct2")]
    found = pairs_in(pairs)
    make_folder(output)
    scores: list[Score] = []
    summaries: list[Summary] = []
    with _progress(quiet) as show:
        total = len(chosen) * len(found)
        for event in judged(chosen, found, output, device.value, dtype.value):
            if isinstance(event, Summary):  # an evaluation that is stopped leaves the rows that are done
                summaries.append(event)
                _write_text(output / "evaluation.json", as_json(scores, summaries))
                _write_text(output / "evaluation.md", as_table(summaries))
                draw_scatter(output / "evaluation.png", scores, summaries)
                continue
            scores.append(event)
            show(f"{event.contender}  {event.pair}", len(scores), total)
    if not quiet:
        console.print(as_table(summaries), highlight=False, soft_wrap=True)


@app.command()
def compare(
    content: Annotated[Path, typer.Argument(help="The picture to restyle.")],
    style: Annotated[Path, typer.Argument(help="The style picture.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for results, sheet, plot and report.json.")],
    contenders: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "-m",
            help="METHOD[,key=value…] such as gatys,iterations=500; once for each.  [default: all]",
        ),
    ] = None,
    content_mask: Annotated[Path | None, typer.Option(help="Regions of the content, by colour.")] = None,
    style_mask: Annotated[Path | None, typer.Option(help="The same of the style.")] = None,
    size: Annotated[int, typer.Option(help="Long side of content and style in pixels.")] = 512,
    device: Device = DeviceName.AUTO,
    dtype: Dtype = DtypeName.AUTO,
    quiet: Quiet = False,
) -> None:
    """Give one pair to every method and to the optimisers: contact sheet, losses against seconds, report."""
    with _training_extra():
        from universal_style.comparison import USUAL, Entry, Pair, as_json, contact_sheet, draw_losses
        from universal_style.comparison import compare as compared
    from universal_style.contenders import Contender
    from universal_style.images import make_folder

    options = {"size": size, "style_size": size, "content_mask": content_mask, "style_masks": [style_mask]}
    pair = Pair(content, style, options if style_mask else options | {"style_masks": ()})
    chosen = [Contender.of(text) for text in contenders or USUAL]
    make_folder(output)
    entries: list[Entry] = []
    with _progress(quiet) as show:
        for entry in compared(pair, chosen, device.value, dtype.value, show):
            entries.append(entry)
            entry.picture.write(output / f"{entry.slug}.png")
            contact_sheet(pair, entries).write(output / "sheet.png")  # what is done stays if the rest is stopped
            draw_losses(output / "losses.png", entries)
            _write_text(output / "report.json", as_json(entries))
    if not quiet:
        for entry in entries:
            end = entry.end
            console.print(
                f"{entry.name:24} {end.seconds:8.1f} s  style loss {end.style:.4f}  content loss {end.content:.4f}",
                highlight=False,
            )


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="The contact sheet to write.")] = Path(
        "universal-style-demo.png"
    ),
    device: Device = DeviceName.AUTO,
    dtype: Dtype = DtypeName.AUTO,
    quiet: Quiet = False,
) -> None:
    """Restyle the bundled pictures and write a contact sheet."""
    from universal_style.demo import contact_sheet
    from universal_style.images import check_writable, output_format
    from universal_style.stylizer import Stylizer

    output_format(output)
    check_writable(output)
    started = time.perf_counter()
    with _progress(quiet) as show:
        sheet = contact_sheet(Stylizer(device=device.value, dtype=dtype.value), show)
        sheet.write(output)
    if not quiet:
        seconds = time.perf_counter() - started
        console.print(f"contact sheet: {output.resolve()}  ({seconds:.0f} s)", highlight=False, soft_wrap=True)


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


def main() -> NoReturn:
    """Run the command line: exit 0 on success, 2 for wrong usage, 1 with one line for everything else."""
    from universal_style.devices import keep_freed_memory

    debug = "--debug" in sys.argv[1:]  # taken out here, so that it may stand anywhere
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    keep_freed_memory()
    try:
        app(arguments)
    except OptionError as error:
        _fail(error, debug, 2)
    except UniversalStyleError as error:
        _fail(error, debug, 1)
    except MemoryError as error:
        _fail(UniversalStyleError(f"memory ran out ({error}); use a smaller --size"), debug, 1)
    except KeyboardInterrupt:
        _fail(UniversalStyleError("interrupted; nothing was written"), debug, 130)
    sys.exit(0)


def _fail(error: Exception, debug: bool, code: int) -> NoReturn:
    if debug:
        raise error
    message = " ".join(str(error).split())
    sys.stderr.write(f"universal-style: {message}\n")
    sys.exit(code)


def _numbers(name: str, text: str, kind: Callable[[str], Any]) -> list[Any]:
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError as error:
        raise OptionError(f"{name} {text!r} is not a number or a list of numbers such as 0.7,0.3") from error


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    if not (height.isdigit() and width.isdigit()):
        raise OptionError(f"size {text!r} is not HxW; write for example 512x768")
    return int(height), int(width)


def _layer_weights(name: str, text: str) -> dict[str, float]:
    weights = {}
    for part in text.split(","):
        layer, _, weight = part.partition("=")
        weights[layer] = _numbers(name, weight, float)[0] if weight else 1.0
    return weights


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar once the work has taken longer than `SLOW` seconds."""
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal)
    task = progress.add_task("loading", total=None)
    started = time.perf_counter()

    def show(step: str, done: int, total: int) -> None:
        if time.perf_counter() - started > SLOW and not progress.live.is_started:
            progress.start()
        progress.update(task, description=step, completed=done, total=total)

    try:
        yield show
    finally:
        progress.stop()


@contextmanager
def _training_extra() -> Iterator[None]:
    """Import what only an extra installs."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise OptionError(
            f"this needs {error.name}, which is not installed: pip install 'universal-style[training]'"
        ) from error


@contextmanager
def _training_bars(quiet: bool) -> Iterator[Callable[[str, Any], None]]:
    """Show a bar per decoder with its loss and held-out PSNR; plain lines where there is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TextColumn("{task.fields[psnr]}"),
        TimeRemainingColumn(),
    )
    live = console.is_terminal and not quiet
    progress = Progress(*columns, console=console, disable=not live)
    tasks: dict[str, TaskID] = {}

    def show(name: str, report: Any) -> None:
        if name not in tasks:
            tasks[name] = progress.add_task(name, total=report.steps, loss="", psnr="")
        fields: dict[str, Any] = {}
        if report.loss:
            fields["loss"] = f"loss {sum(report.loss.values()):.3f}"
        if report.psnr is not None:
            fields["psnr"] = f"{report.psnr:.2f} dB"
        detail = f"{name}  {report.phase} {report.detail}".strip()
        progress.update(tasks[name], completed=report.done, description=detail, **fields)
        if not live and not quiet and report.phase != "train":
            console.print(detail, f"step {report.done}", *fields.values(), highlight=False)

    with progress:
        yield show


__all__: Sequence[str] = ("app", "main")
