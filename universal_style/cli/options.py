"""Options that several commands share, in groups, and how their texts are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from universal_style.cli.names import (
    DeviceName,
    DtypeName,
    EncoderName,
    EncoderPoolingName,
    InitName,
    KeepColorsName,
    MissingName,
    MixName,
    OptimizerName,
    SmoothingName,
    TransformName,
)
from universal_style.errors import OptionError

if TYPE_CHECKING:
    from universal_style.stylizer import Stylizer

DESCENT = "Optimisers"
LARGE = "A large picture"


MostMegapixels = Annotated[
    float | None,
    typer.Option(
        help="What a picture may have; beyond it, a file is taken for a hostile one.",
        show_default="178",
        rich_help_panel=LARGE,
    ),
]


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command's parameter that is a dataclass stand for an option per field."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {}
    parameters: list[Parameter] = []
    for parameter in signature(command).parameters.values():
        kind = hints[parameter.name]
        if is_dataclass(kind):
            groups[parameter.name] = kind
            types = get_type_hints(kind, include_extras=True)
            flat = [(field.name, field.default, types[field.name]) for field in fields(kind)]
        else:
            flat = [(parameter.name, parameter.default, kind)]
        parameters += [Parameter(name, Parameter.KEYWORD_ONLY, default=d, annotation=t) for name, d, t in flat]

    @wraps(command)
    def flattened(**given: Any) -> None:
        made = {name: kind(**{f.name: given.pop(f.name) for f in fields(kind)}) for name, kind in groups.items()}
        command(**given, **made)

    del flattened.__wrapped__  # the signature is the flat one
    flattened.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    flattened.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return flattened


@dataclass(frozen=True)
class Running:
    """Where to run, and whether to say so."""

    device: Annotated[DeviceName, typer.Option(help="Where to run; auto takes a GPU where there is one.")] = (
        DeviceName.AUTO
    )
    dtype: Annotated[
        DtypeName, typer.Option(help="Precision of the networks; auto takes bfloat16 on CPUs that have it.")
    ] = DtypeName.AUTO
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False

    @property
    def backend(self) -> dict[str, Any]:
        """Give device and dtype by name, as `Stylizer` takes them."""
        return {"device": self.device.value, "dtype": self.dtype.value}


@dataclass(frozen=True)
class Styling:
    """How a picture is given a style, whichever picture and style they are."""

    method: Annotated[
        str,
        typer.Option(
            "--method", "-m", help="wct, photo-wct, wct2, wct2-sum, gatys, deep-photo, or a trained net's file."
        ),
    ] = "wct"
    alpha: Annotated[
        str | None,
        typer.Option(help="Strength from 0 (reconstruction) to 1; one number, or one per level.", show_default="1"),
    ] = None
    levels: Annotated[
        str | None,
        typer.Option(
            help="Levels to edit, 5 (coarse) to 1 (fine); wct runs in their order.", show_default="the method's"
        ),
    ] = None
    sites: Annotated[
        str | None,
        typer.Option(
            help="Where wct2 edits: of encoder,skip,decoder; photo-wct: of encoder,decoder.",
            show_default="the method's",
        ),
    ] = None
    transform: Annotated[
        TransformName | None, typer.Option(help="How features are carried over.", show_default="ot")
    ] = None
    covariance_floor: Annotated[
        float | None,
        typer.Option(help="Added to variances: more keeps calm areas calm.", show_default="the method's"),
    ] = None
    style_weights: Annotated[str | None, typer.Option(help="One weight per style, such as 0.7,0.3.")] = None
    mix: Annotated[
        MixName | None, typer.Option(help="Mix several styles' maps, or their statistics.", show_default="maps")
    ] = None
    style_regions: Annotated[
        str | None,
        typer.Option(help="For each style the colour of the content mask's region that it is for: red,#0000ff."),
    ] = None
    auto_regions: Annotated[int, typer.Option(help="Find so many regions in the pictures themselves, 2 to 8.")] = 0
    semantic_regions: Annotated[
        bool, typer.Option("--semantic-regions", help="Divide the pictures by what they show; fetches a network once.")
    ] = False
    missing: Annotated[
        MissingName,
        typer.Option(help="What a region without a counterpart takes: the whole style, its neighbour's, none."),
    ] = MissingName.GLOBAL
    smooth: Annotated[
        SmoothingName | None, typer.Option(help="Smoothing along the content's edges.", show_default="the method's")
    ] = None
    keep_colors: Annotated[
        KeepColorsName,
        typer.Option(help="Keep the content's colours: its chroma, or the style recoloured first."),
    ] = KeepColorsName.NONE
    size: Annotated[int | None, typer.Option(help="Long side of the result in pixels.", show_default="native")] = None
    style_size: Annotated[
        int | None, typer.Option(help="Long side at which styles are seen.", show_default="native, at most 1024")
    ] = None
    tile: Annotated[
        str | None,
        typer.Option(help="Windows of large pictures: auto, off, or their side in pixels.", show_default="auto"),
    ] = None
    memory: Annotated[
        str | None,
        typer.Option(help="What the process may take, such as 4GiB.", show_default="half of what is free"),
    ] = None
    observe_size: Annotated[
        int | None,
        typer.Option(help="Observe a copy of this long side in place of all windows: quicker, not exact."),
    ] = None
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0
    decoders: Annotated[Path | None, typer.Option(help="Folder of decoders of your own training.")] = None

    def stylizer(self, running: Running) -> Stylizer:
        """Make what carries pictures."""
        from universal_style.stylizer import Stylizer

        return Stylizer(self.method, decoders=self.decoders, **running.backend)

    @property
    def options(self) -> dict[str, Any]:
        """Give the options of one transfer."""
        return {
            "alpha": None if self.alpha is None else numbers("alpha", self.alpha, float),
            "levels": None if self.levels is None else numbers("levels", self.levels, int),
            "sites": None if self.sites is None else self.sites.split(","),
            "transform": self.transform.value if self.transform else None,
            "covariance_floor": self.covariance_floor,
            "style_weights": (
                None if self.style_weights is None else numbers("style-weights", self.style_weights, float)
            ),
            "mix": self.mix.value if self.mix else None,
            "style_regions": () if self.style_regions is None else self.style_regions.split(","),
            "auto_regions": self.auto_regions,
            "semantic_regions": self.semantic_regions,
            "missing": self.missing.value,
            "smooth": self.smooth.value if self.smooth else None,
            "keep_colors": self.keep_colors.value,
            "size": self.size,
            "style_size": self.style_size,
            "tile": self.tile,
            "memory": self.memory,
            "observe_size": self.observe_size,
            "seed": self.seed,
        }


@dataclass(frozen=True)
class Sharing:
    """Who goes over the windows of one picture."""

    workers: Annotated[
        int | None,
        typer.Option(help="Processes, or GPUs, that share its windows.", show_default="1", rich_help_panel=LARGE),
    ] = None
    address: Annotated[
        str | None,
        typer.Option(help="Of a Ray cluster.", show_default="this machine", rich_help_panel=LARGE),
    ] = None

    @property
    def options(self) -> dict[str, Any]:
        """Give the options of one transfer."""
        return {"workers": self.workers, "address": self.address}


@dataclass(frozen=True)
class Descending:
    """How an optimiser works."""

    iterations: Annotated[
        int | None,
        typer.Option(help="Steps at each scale and phase.", show_default="the method's", rich_help_panel=DESCENT),
    ] = None
    optimizer: Annotated[
        OptimizerName | None, typer.Option(help="How to descend.", show_default="lbfgs", rich_help_panel=DESCENT)
    ] = None
    init: Annotated[
        InitName | None, typer.Option(help="Where to begin.", show_default="the method's", rich_help_panel=DESCENT)
    ] = None
    style_layers: Annotated[
        str | None,
        typer.Option(
            help="Layers of the style loss, each with its weight if not 1: relu1_1,relu3_1=2.",
            show_default="relu1_1 … relu5_1",
            rich_help_panel=DESCENT,
        ),
    ] = None
    content_layers: Annotated[
        str | None, typer.Option(help="The same of the content loss.", show_default="relu4_2", rich_help_panel=DESCENT)
    ] = None
    content_weight: Annotated[
        float | None, typer.Option(help="Of the content loss beside the style loss.", rich_help_panel=DESCENT)
    ] = None
    tv_weight: Annotated[
        float | None, typer.Option(help="Of the roughness.", show_default="0", rich_help_panel=DESCENT)
    ] = None
    photorealism_weight: Annotated[
        float | None, typer.Option(help="Of Deep Photo's photorealism term.", rich_help_panel=DESCENT)
    ] = None
    pooling: Annotated[
        EncoderPoolingName | None, typer.Option(help="Of the encoder.", show_default="max", rich_help_panel=DESCENT)
    ] = None
    scales: Annotated[
        int | None,
        typer.Option(
            help="Sizes from coarse to fine, each twice the last.", show_default="by size", rich_help_panel=DESCENT
        ),
    ] = None
    encoder: Annotated[
        EncoderName | None,
        typer.Option(
            help="bundled, or torchvision, which is fetched once.", show_default="bundled", rich_help_panel=DESCENT
        ),
    ] = None

    @property
    def options(self) -> dict[str, Any]:
        """Give the options of one transfer."""
        return {
            "iterations": self.iterations,
            "optimizer": self.optimizer.value if self.optimizer else None,
            "init": self.init.value if self.init else None,
            "style_layers": None if self.style_layers is None else layer_weights("style-layers", self.style_layers),
            "content_layers": (
                None if self.content_layers is None else layer_weights("content-layers", self.content_layers)
            ),
            "content_weight": self.content_weight,
            "tv_weight": self.tv_weight,
            "photorealism_weight": self.photorealism_weight,
            "pooling": self.pooling.value if self.pooling else None,
            "scales": self.scales,
            "encoder": self.encoder.value if self.encoder else None,
        }


def numbers(name: str, text: str, kind: Callable[[str], Any]) -> list[Any]:
    """Read a list of numbers such as 0.7,0.3."""
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError as error:
        raise OptionError(f"{name} {text!r} is not a number or a list of numbers such as 0.7,0.3") from error


def pair_of_sides(text: str) -> tuple[int, int]:
    """Read a size such as 512x768, height first."""
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise OptionError(f"size {text!r} is not HxW; write for example 512x768")
    return int(height), int(width)


def layer_weights(name: str, text: str) -> dict[str, float]:
    """Read layers, each with its weight if not 1, such as relu1_1,relu3_1=2."""
    weights = {}
    for part in text.split(","):
        layer, _, weight = part.partition("=")
        weights[layer] = numbers(name, weight, float)[0] if weight else 1.0
    return weights
