"""A request: the options of one transfer, checked once and turned into objects."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

from universal_style.errors import OptionError
from universal_style.keep_colors import KeepColors, keep_colors_named
from universal_style.methods import Method, Recipe
from universal_style.mixing import style_shares
from universal_style.ranges import long_side, whole_number, whole_seed
from universal_style.regions import FEWEST_CLUSTERS, MISSING, MOST_CLUSTERS, Colour, colour_name, colour_named
from universal_style.smoothing import Smoothing, smoothing_named

IDLE: Mapping[str, tuple[Any, ...]] = {"alpha": (1.0, [1.0]), "tile": ("auto",)}
"""Values of options of the closed forms that ask for nothing: every method takes them from those who write all out."""


@dataclass(frozen=True)
class Request:
    """What to do with any content and a number of styles.

    Attributes:
        method: the row of the methods table.
        recipe: what it makes of its own options.
        keep: name of the way of keeping the content's colours …
        keep_colors: … and the way.
        smooth: name of the smoothing of the result …
        smoothing: … and the smoothing.
        weights: one per style, summing to 1.
        missing: what happens to a region without a counterpart, of `MISSING`.
        style_regions: the colour of the content's region that each style is for; empty where masks are matched.
        auto_regions: number of regions to find in the pictures themselves; 0 finds none.
        semantic_regions: whether regions come from a segmentation network.
        size: long side of the result in pixels; None keeps the content's.
        style_size: long side at which styles are observed; None takes the default of `Stylizer`.
        seed: of everything random.
    """

    method: Method
    recipe: Recipe
    keep: str
    keep_colors: KeepColors
    smooth: str
    smoothing: Smoothing
    weights: tuple[float, ...]
    missing: str = "global"
    style_regions: tuple[Colour, ...] = ()
    auto_regions: int = 0
    semantic_regions: bool = False
    size: int | None = None
    style_size: int | None = None
    seed: int = 0

    @classmethod
    def of(
        cls,
        method: Method,
        *,
        styles: int = 1,
        keep_colors: str = "none",
        smooth: str | None = None,
        style_weights: Sequence[float] | None = None,
        missing: str = "global",
        style_regions: Sequence[str] = (),
        auto_regions: int = 0,
        semantic_regions: bool = False,
        size: int | None = None,
        style_size: int | None = None,
        seed: int = 0,
        **own: Any,
    ) -> Request:
        """Check options and look names up.

        Args:
            method: a row of the methods table.
            styles: how many styles there will be.
            keep_colors: none, luminance, luminance-only, histogram or coral.
            smooth: name of the smoothing; the method's own when left out.
            missing: what happens to a region without a counterpart: global, nearest or keep.
            style_regions: none, or for each style the colour of the region of the content's mask that it is for.
            auto_regions: 0, or the number of regions to find, 2 to 8.
            semantic_regions: divide pictures by what they show, by a pretrained network.
            style_weights: one non-negative number per style, not all zero; they are scaled to sum to 1.
            size: long side of the result in pixels; the content's own when left out.
            style_size: long side in pixels at which styles are observed; their own up to 1024 when left out.
            seed: of everything random, a whole number of 64 bits.
            **own: options of the method itself, see its `recipe`; None counts as not given.

        Raises:
            OptionError: an option is out of range or contradicts another.
        """
        known = signature(method.recipe).parameters
        own = {name: value for name, value in own.items() if value is not None and not _idle(name, value, known)}
        for name in own.keys() - known.keys():
            options = ", ".join(option.replace("_", "-") for option in known)
            raise OptionError(
                f"method {method.name} has no option {name.replace('_', '-')}; its own are {options or 'none'}"
            )
        if missing not in MISSING:
            raise OptionError(f"missing {missing!r} is unknown; use one of {', '.join(MISSING)}")
        if whole_number("auto-regions", auto_regions) and not FEWEST_CLUSTERS <= auto_regions <= MOST_CLUSTERS:
            raise OptionError(
                f"auto-regions {auto_regions} is out of range; it lies between {FEWEST_CLUSTERS} and {MOST_CLUSTERS}"
            )
        if auto_regions and semantic_regions:
            raise OptionError("auto-regions and semantic-regions exclude each other; give one of them")
        if method.holds_style and (auto_regions or semantic_regions):
            raise OptionError(f"{method.name} holds one style for the whole picture; give no regions with it")
        kept = keep_colors_named(keep_colors)
        if kept.recolors_style and method.holds_style:
            raise OptionError(
                f"keep-colors {keep_colors} recolours the style, which {method.name} holds; use luminance"
            )
        return cls(
            method=method,
            recipe=method.recipe(**own),
            keep=keep_colors,
            keep_colors=kept,
            smooth=smooth or method.smoothing,
            smoothing=smoothing_named(smooth or method.smoothing),
            missing=missing,
            style_regions=_colours(style_regions, styles),
            auto_regions=auto_regions,
            semantic_regions=semantic_regions,
            weights=_weights(style_weights, styles, method),
            size=long_side("size", size),
            style_size=long_side("style-size", style_size),
            seed=whole_seed(seed),
        )

    @property
    def memory(self) -> int | None:
        """Bytes that the process may take; None where nothing was said."""
        memory: int | None = self.recipe.as_options().get("memory")
        return memory

    def as_options(self) -> dict[str, Any]:
        """Give the options that `of` would make the same of, as JSON can hold them."""
        return self.recipe.as_options() | {
            "style_weights": list(self.weights) or None,
            "style_regions": [colour_name(colour) for colour in self.style_regions],
            "auto_regions": self.auto_regions,
            "semantic_regions": self.semantic_regions,
            "missing": self.missing,
            "smooth": self.smooth,
            "keep_colors": self.keep,
            "size": self.size,
            "style_size": self.style_size,
            "seed": self.seed,
        }


def _idle(name: str, value: Any, known: Collection[str]) -> bool:
    """Say whether a method that lacks an option does anyway what is asked for."""
    return name not in known and value in IDLE.get(name, ())


def _weights(weights: Sequence[float] | None, styles: int, method: Method) -> tuple[float, ...]:
    if method.holds_style:
        if styles or weights is not None:
            raise OptionError(f"{method.name} holds its own style; give no style with it")
        return ()
    return style_shares(weights, styles)


def _colours(colours: Sequence[str], styles: int) -> tuple[Colour, ...]:
    if colours and len(colours) != styles:
        raise OptionError(f"{len(colours)} style regions for {styles} styles; give one colour per style")
    return tuple(colour_named(colour) for colour in colours)
