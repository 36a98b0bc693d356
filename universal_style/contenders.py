"""What is compared: a method with options, as one writes it in a word."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from universal_style.errors import OptionError
from universal_style.images import Image, Source
from universal_style.report import Progress, Report, silent
from universal_style.request import Request
from universal_style.stylizer import Stylizer

MASKS = ("content_mask", "style_masks")
"""The options of `Stylizer.run` that a contender may leave aside."""


@dataclass(frozen=True)
class Contender:
    """What is judged: a method with options, or a folder of results that are there already.

    Attributes:
        name: of its row.
        method: of the methods table; empty for a folder.
        options: of `Stylizer.run`.
        results: the folder, results named like their pairs; None for a method.
        masks: whether masks are used where there are any.
        decoders: folder of decoders of one's own; None for the bundled ones.
    """

    name: str
    method: str
    options: Mapping[str, Any]
    results: Path | None
    masks: bool = True
    decoders: Path | None = None

    @property
    def slug(self) -> str:
        """The name without what a file's name cannot hold."""
        return self.name.replace("/", "-")

    @classmethod
    def of(cls, text: str) -> Contender:
        """Read `METHOD[,key=value…]`, such as `photo-wct,smooth=guided`, or `NAME=FOLDER`.

        Options are named as on the command line, with dashes or underscores. Levels, sites and layers are joined by
        `+`, as in `wct,levels=4+3`; `masks=no` leaves masks aside, `decoders=FOLDER` takes other decoders.

        Raises:
            OptionError: the text is neither.
        """
        head, *rest = text.split(",")
        if "=" in head and not rest:
            name, _, folder = head.partition("=")
            if not Path(folder).is_dir():
                raise OptionError(f"{folder} is not a folder; give NAME=FOLDER with results named like their pairs")
            return cls(name, "", {}, Path(folder))
        options: dict[str, Any] = {}
        for part in rest:
            key, found, value = part.partition("=")
            if not found or not value:
                raise OptionError(
                    f"{part!r} in {text!r} is not key=value; write for example photo-wct,smooth=guided, "
                    "or wct,levels=2+1 for a list"
                )
            name = key.replace("-", "_")
            if name not in OPTION_KINDS:
                known = ", ".join(option.replace("_", "-") for option in OPTION_KINDS)
                raise OptionError(f"{key!r} in {text!r} is no option; use one of {known}")
            try:
                options[name] = OPTION_KINDS[name](value)
            except ValueError as error:
                raise OptionError(f"{value!r} in {text!r} is no value for {key}") from error
        masks = options.pop("masks", True)
        decoders = options.pop("decoders", None)
        return cls(text, head, options, None, masks, decoders)

    @classmethod
    def all_of(cls, texts: Sequence[str]) -> list[Contender]:
        """Read several, each other than the others.

        Raises:
            OptionError: one is none, or comes twice.
        """
        for number, text in enumerate(texts):
            if text in texts[:number]:
                raise OptionError(f"{text} is given twice; give each once")
        return [cls.of(text) for text in texts]

    def check(self, device: str, dtype: str, **shared: Any) -> None:
        """Make sure, before anything runs, that there is such a method and that it takes its options.

        Args:
            device: auto, cpu, cuda or mps.
            dtype: auto, float32, bfloat16 or float16.
            **shared: options of `Stylizer.run` that all contenders share, masks among them.

        Raises:
            OptionError: the method, an option or the device is not there, or a value is out of range.
            CheckpointError: the file of a net cannot be used.
        """
        if self.results is not None:
            return
        if self.decoders is not None and not self.decoders.is_dir():
            raise OptionError(f"decoders {self.decoders} in {self.name} is not a folder; give one of checkpoints")
        method = self.stylizer(device, dtype).method
        kept = {name: value for name, value in shared.items() if name not in MASKS}
        request = Request.of(method, styles=0 if method.holds_style else 1, **kept | dict(self.options))
        masks = (shared.get("content_mask"), *shared.get("style_masks", ()))
        finds = request.auto_regions or request.semantic_regions
        if finds and self.masks and any(mask is not None for mask in masks):
            raise OptionError(f"{self.name} finds regions where there are masks; add masks=no, or find none")

    def stylizer(self, device: str, dtype: str) -> Stylizer:
        """Make what carries pictures by its method."""
        return Stylizer(self.method, device=device, dtype=dtype, decoders=self.decoders)

    def run(
        self, stylizer: Stylizer, content: Source, style: Source, progress: Progress = silent, **shared: Any
    ) -> tuple[Image, Report]:
        """Carry a pair; a net that holds its style takes neither the pair's nor its masks.

        Args:
            stylizer: of this contender.
            content: the picture to restyle.
            style: the style picture.
            progress: told of each step.
            **shared: options of `Stylizer.run` that all contenders share, masks among them.
        """
        held = stylizer.method.holds_style
        kept = {name: value for name, value in shared.items() if name not in MASKS or (self.masks and not held)}
        return stylizer.run(content, *(() if held else (style,)), progress=progress, **kept | dict(self.options))


def _levels(text: str) -> list[int]:
    return [int(level) for level in text.split("+")]


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split("+")]


def _names(text: str) -> list[str]:
    return text.split("+")


def _yes_or_no(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError(text)
    return text == "yes"


OPTION_KINDS: dict[str, Callable[[str], Any]] = {
    "alpha": _numbers,
    "levels": _levels,
    "sites": _names,
    "transform": str,
    "covariance_floor": float,
    "mix": str,
    "tile": str,
    "memory": str,
    "observe_size": int,
    "workers": int,
    "address": str,
    "iterations": int,
    "optimizer": str,
    "init": str,
    "style_layers": _names,
    "content_layers": _names,
    "content_weight": float,
    "tv_weight": float,
    "photorealism_weight": float,
    "pooling": str,
    "scales": int,
    "encoder": str,
    "preview": Path,
    "preview_every": int,
    "keep_colors": str,
    "smooth": str,
    "style_weights": _numbers,
    "missing": str,
    "style_regions": _names,
    "auto_regions": int,
    "semantic_regions": _yes_or_no,
    "size": int,
    "style_size": int,
    "seed": int,
    "masks": _yes_or_no,
    "decoders": Path,
}
"""How the value of each option is read: those of every method, those that all share, and the contender's own."""
