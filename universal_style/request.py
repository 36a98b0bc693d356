"""A request: the options of one transfer, checked once and turned into objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from universal_style.errors import OptionError
from universal_style.methods import PLACES, Method, StagePlan, method_named
from universal_style.regions import FEWEST_CLUSTERS, MISSING, MOST_CLUSTERS
from universal_style.smoothing import Smoothing, smoothing_named
from universal_style.transforms import Transform, transform_named

LONGEST_SIDE = 100_000


@dataclass(frozen=True)
class Request:
    """What to do with any content and a number of styles.

    Attributes:
        method: the row of the methods table.
        levels: those that are edited, in order.
        places: where on the walk features are edited, of `PLACES`.
        stages: in the order in which they run.
        alphas: strength by level, 0 to 1.
        transform: of the features.
        smooth: name of the smoothing of the result …
        smoothing: … and the smoothing.
        weights: one per style, summing to 1.
        missing: what happens to a region without a counterpart, of `MISSING`.
        auto_regions: number of regions to find in the pictures themselves; 0 finds none.
        semantic_regions: whether regions come from a segmentation network.
        size: long side of the result in pixels; None keeps the content's.
        style_size: long side at which styles are observed; None takes the default of `Stylizer`.
        seed: of everything random.
    """

    method: Method
    levels: tuple[int, ...]
    places: tuple[str, ...]
    stages: tuple[StagePlan, ...]
    alphas: Mapping[int, float]
    transform: Transform
    smooth: str
    smoothing: Smoothing
    weights: tuple[float, ...]
    missing: str = "global"
    auto_regions: int = 0
    semantic_regions: bool = False
    size: int | None = None
    style_size: int | None = None
    seed: int = 0

    @classmethod
    def of(
        cls,
        method: str = "wct",
        *,
        styles: int = 1,
        alpha: float | Sequence[float] = 1.0,
        levels: Sequence[int] | None = None,
        sites: Sequence[str] | None = None,
        transform: str | None = None,
        smooth: str | None = None,
        style_weights: Sequence[float] | None = None,
        missing: str = "global",
        auto_regions: int = 0,
        semantic_regions: bool = False,
        size: int | None = None,
        style_size: int | None = None,
        seed: int = 0,
    ) -> Request:
        """Check options and look names up.

        Args:
            styles: how many styles there will be.
            alpha: 0 to 1, for all levels or one for each of `levels`.
            levels: those to edit, in order; the method's own when left out.
            sites: where on the walk to edit, of encoder, skip and decoder; the method's own when left out.
            transform: its name; the method's own when left out.
            smooth: name of the smoothing; the method's own when left out.
            missing: what happens to a region without a counterpart: global, nearest or keep.
            auto_regions: 0, or the number of regions to find.
            semantic_regions: divide pictures by what they show, by a pretrained network.
            style_weights: one non-negative number per style, not all zero; they are scaled to sum to 1.

        Raises:
            OptionError: an option is out of range or contradicts another.
        """
        row = method_named(method)
        chosen = row.usual_levels if levels is None else _levels(levels, row)
        places = row.usual_places if sites is None else _places(sites, row)
        if missing not in MISSING:
            raise OptionError(f"missing {missing!r} is unknown; use one of {', '.join(MISSING)}")
        if auto_regions and not FEWEST_CLUSTERS <= auto_regions <= MOST_CLUSTERS:
            raise OptionError(
                f"auto-regions {auto_regions} is out of range; it lies between {FEWEST_CLUSTERS} and {MOST_CLUSTERS}"
            )
        if auto_regions and semantic_regions:
            raise OptionError("auto-regions and semantic-regions exclude each other; give one of them")
        return cls(
            method=row,
            levels=chosen,
            places=places,
            stages=row.arrangement(chosen, places, row.pooling),
            alphas=_alphas(alpha, chosen, row),
            transform=row.transform if transform is None else transform_named(transform),
            smooth=smooth or row.smoothing,
            smoothing=smoothing_named(smooth or row.smoothing),
            missing=missing,
            auto_regions=auto_regions,
            semantic_regions=semantic_regions,
            weights=_weights(style_weights, styles),
            size=_side("size", size),
            style_size=_side("style-size", style_size),
            seed=seed,
        )


def _levels(levels: Sequence[int], method: Method) -> tuple[int, ...]:
    known = ", ".join(str(level) for level in method.levels)
    if not levels:
        raise OptionError(f"no level given; method {method.name} has the levels {known}")
    for level in levels:
        if level not in method.levels:
            raise OptionError(f"level {level} is unknown; method {method.name} has the levels {known}")
    if len(set(levels)) != len(levels):
        raise OptionError(f"levels {','.join(map(str, levels))} name a level twice; name each once")
    return tuple(levels)


def _places(places: Sequence[str], method: Method) -> tuple[str, ...]:
    if not places:
        raise OptionError(f"no site given; method {method.name} has the sites {', '.join(method.places)}")
    for place in places:
        if place not in PLACES:
            raise OptionError(f"site {place!r} is unknown; use one or more of {', '.join(PLACES)}")
        if place not in method.places:
            raise OptionError(f"method {method.name} has no site {place}; it has {', '.join(method.places)}")
    return tuple(place for place in PLACES if place in places)


def _alphas(alpha: float | Sequence[float], levels: tuple[int, ...], method: Method) -> dict[int, float]:
    given = [float(a) for a in alpha] if isinstance(alpha, Sequence) else [float(alpha)] * len(levels)
    if len(given) == 1:
        given = given * len(levels)
    if len(given) != len(levels):
        raise OptionError(f"{len(given)} alphas for {len(levels)} levels; give one for all or one for each")
    for value in given:
        if not 0 <= value <= 1:
            raise OptionError(f"alpha {value:g} is out of range; it lies between 0 (content) and 1 (style)")
    return {level: value * method.strengths[level] for level, value in zip(levels, given, strict=True)}


def _weights(weights: Sequence[float] | None, styles: int) -> tuple[float, ...]:
    if styles < 1:
        raise OptionError("no style given; give at least one style picture or preset")
    if weights is None:
        return (1 / styles,) * styles
    if len(weights) != styles:
        raise OptionError(f"{len(weights)} style weights for {styles} styles; give one weight per style")
    total = sum(weights)
    if not all(0 <= w < float("inf") for w in weights) or total <= 0:
        raise OptionError(f"style weights {','.join(f'{w:g}' for w in weights)} must be at least 0 and not all 0")
    return tuple(w / total for w in weights)


def _side(name: str, value: int | None) -> int | None:
    if value is not None and not 1 <= value <= LONGEST_SIDE:
        raise OptionError(f"{name} {value} is out of range; it is the long side in pixels, 1 to {LONGEST_SIDE}")
    return value
