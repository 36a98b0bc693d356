"""What is compared: a method with options, as one writes it in a word."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from universal_style.errors import OptionError


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

        Levels, sites and layers are joined by `+`, as in `wct,levels=4+3`; `masks=no` leaves masks aside,
        `decoders=FOLDER` takes other decoders.

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
                raise OptionError(f"{part!r} in {text!r} is not key=value; write for example photo-wct,smooth=guided")
            try:
                options[key] = OPTION_KINDS.get(key, str)(value)
            except ValueError as error:
                raise OptionError(f"{value!r} in {text!r} is no value for {key}") from error
        masks = options.pop("masks", "yes") != "no"
        decoders = options.pop("decoders", None)
        return cls(text, head, options, None, masks, decoders)


def _levels(text: str) -> list[int]:
    return [int(level) for level in text.split("+")]


def _alphas(text: str) -> list[float]:
    return [float(alpha) for alpha in text.split("+")]


def _names(text: str) -> list[str]:
    return text.split("+")


OPTION_KINDS: dict[str, Callable[[str], Any]] = {
    "alpha": _alphas,
    "levels": _levels,
    "sites": _names,
    "style_layers": _names,
    "content_layers": _names,
    "content_weight": float,
    "tv_weight": float,
    "photorealism_weight": float,
    "iterations": int,
    "scales": int,
    "size": int,
    "style_size": int,
    "auto_regions": int,
    "seed": int,
    "decoders": Path,
}
