"""One style per region: the user says which style each region of the content takes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import ImageColor

from universal_style.errors import OptionError
from universal_style.regions.label_map import Colour, LabelMap
from universal_style.regions.matching import KEEP, MIN_PIXELS, WHOLE, Match, Region, Source, colour_name, neighbour

NEAR = 60
"""Euclidean distance of 8-bit RGB within which a colour that is named stands for a region's."""


def colour_named(text: str) -> Colour:
    """Read a colour such as red, #ff0000 or rgb(255, 0, 0).

    Raises:
        OptionError: it is none.
    """
    try:
        red, green, blue, *_ = ImageColor.getrgb(text.strip())
    except ValueError as error:
        raise OptionError(f"{text!r} is not a colour; write for example red or #ff0000") from error
    return red, green, blue


def assign(
    content: LabelMap, styles: Sequence[LabelMap], colours: Sequence[Colour], missing: str, weights: Sequence[float]
) -> Match:
    """Give each region of the content the whole style whose colour it has.

    Styles of one colour are mixed there by their weights. A region that no style names takes all styles by their
    weights (`global`), what its neighbour takes (`nearest`), or nothing (`keep`).

    Args:
        content: with at least one colour.
        styles: one map per style, of which the whole is taken.
        colours: one for each style.
        missing: of `MISSING`.
        weights: one for each style, at least 0.

    Raises:
        OptionError: a colour is that of no region, or the weights of a region are all 0.
    """
    pixels = content.pixels
    present = sorted((label for label in range(content.count) if pixels[label]), key=lambda label: -pixels[label])
    sizes = [sum(style.pixels) for style in styles]
    labels = [_label_of(colour, content, present) for colour in colours]
    taken = {label: [style for style, own in enumerate(labels) if own == label] for label in present}
    regions = []
    for label in present:
        reason, chosen, ground = "", taken[label], label if pixels[label] > MIN_PIXELS else WHOLE
        if not chosen and missing == "nearest":
            joined = neighbour(content.labels, label, [other for other in present if taken[other]])
            ground = joined if pixels[joined] > MIN_PIXELS else WHOLE
            chosen, reason = taken[joined], f"no style names it; joins {colour_name(content.colours[joined])}"
        elif not chosen:
            reason = "no style names it"
            chosen = [] if missing == "keep" else list(range(len(colours)))
        total = sum(weights[style] for style in chosen)
        if chosen and total <= 0:
            raise OptionError(f"the styles of region {colour_name(content.colours[label])} weigh nothing")
        sources = tuple(
            Source(ground, WHOLE, sizes[style], weights[style] / total, reason)
            if style in chosen
            else Source(ground, KEEP, 0, 0.0, reason)
            for style in range(len(colours))
        )
        regions.append(Region(label, content.colours[label], pixels[label], sources))
    return Match(tuple(regions))


def _label_of(colour: Colour, content: LabelMap, present: Sequence[int]) -> int:
    def distance(label: int) -> float:
        return math.dist(colour, content.colours[label])

    nearest = min(present, key=distance)
    if distance(nearest) > NEAR:
        names = ", ".join(colour_name(content.colours[label]) for label in present)
        raise OptionError(f"no region of the content's mask has the colour {colour_name(colour)}; it has {names}")
    return nearest
