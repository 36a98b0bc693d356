"""Which region of each style a region of the content takes, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from universal_style.errors import OptionError
from universal_style.mixing import style_shares
from universal_style.regions.label_map import Colour, LabelMap

WHOLE = -1
"""In place of a label: the whole picture, as if there were no masks."""
KEEP = -2
"""In place of a label: nothing is taken, the region stays unstylised."""
MIN_PIXELS = 10
"""A region with this many pixels or fewer says too little about itself."""
MAX_RATIO = 100.0
"""From this ratio of shares on, content and style regions are too unlike in size."""
MISSING = ("global", "nearest", "keep")
"""What becomes of a region that has no partner in a style."""


@dataclass(frozen=True)
class Source:
    """What one content region takes from one style.

    Attributes:
        content: the content's label whose moments the map is fitted to, or WHOLE.
        style: the style's label whose moments it is fitted to, WHOLE, or KEEP for the identity.
        pixels: of what is taken from the style; 0 for KEEP.
        weight: of this style in the region's mix, at least 0.
        reason: why it is not the region of the same label; empty where it is.
    """

    content: int
    style: int
    pixels: int
    weight: float
    reason: str = ""


@dataclass(frozen=True)
class Region:
    """One region of the content and its source in each style.

    Attributes:
        label: in the content's label map.
        colour: in its mask, 8-bit RGB; None where there is no mask.
        pixels: how many it has.
        sources: one per style, in the order of the styles.
    """

    label: int
    colour: Colour | None
    pixels: int
    sources: tuple[Source, ...]

    @property
    def name(self) -> str:
        """The colour as designers write it."""
        return "whole picture" if self.colour is None else colour_name(self.colour)

    def line(self) -> str:
        """Say in one line where the region's style comes from."""
        taken = "; ".join(self._said(index, source) for index, source in enumerate(self.sources, start=1))
        return f"region {self.name}, {self.pixels} pixels: {taken}"

    def _said(self, index: int, source: Source) -> str:
        told = f" ({source.reason})" if source.reason else ""
        if source.weight == 0:
            return f"style {index}: not taken{told}"
        if source.style == KEEP:
            return f"style {index}: stays unstylised{told}"
        what = "whole picture" if source.style == WHOLE else "another region"
        what = "same region" if source.style == self.label else what
        return f"style {index}: {what}, {source.pixels} pixels{told}"


@dataclass(frozen=True)
class Match:
    """Every region of the content with its sources.

    What else than equal labels may pair regions is said in the same terms: one style per region, say, is a source WHOLE
    in every style with weight 1 in the region's own style and 0 in the others.

    Attributes:
        regions: those that the content has, the largest first.
    """

    regions: tuple[Region, ...]

    @property
    def sources(self) -> dict[int, tuple[int, ...]]:
        """Per content label and style: the style's label, WHOLE or KEEP."""
        return {region.label: tuple(source.style for source in region.sources) for region in self.regions}

    @property
    def weights(self) -> dict[int, tuple[float, ...]]:
        """Per content label and style: the weight in the mix."""
        return {region.label: tuple(source.weight for source in region.sources) for region in self.regions}

    def lines(self) -> list[str]:
        """Say region by region, in one line each, where the style comes from."""
        return [region.line() for region in self.regions]

    def as_dict(self) -> dict[str, Any]:
        """Give plain lists, numbers and strings for a report in JSON."""
        return {"regions": [_region_dict(region) for region in self.regions]}


def colour_name(colour: Colour) -> str:
    """Write a colour as designers do."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _region_dict(region: Region) -> dict[str, Any]:
    named = {WHOLE: "whole", KEEP: "keep"}
    return {
        "label": region.label,
        "colour": None if region.colour is None else list(region.colour),
        "pixels": region.pixels,
        "sources": [
            {
                "content": named.get(source.content, source.content),
                "style": named.get(source.style, source.style),
                "pixels": source.pixels,
                "weight": source.weight,
                "reason": source.reason,
            }
            for source in region.sources
        ],
    }


def match(
    content: LabelMap,
    styles: Sequence[LabelMap],
    missing: str = "global",
    weights: Sequence[float] | None = None,
) -> Match:
    """Pair the content's regions with those of the same label in each style.

    A region without a partner falls back, in each style by itself:
    `global` maps it as the whole content onto the whole style, as without masks;
    `nearest` lets it join the content's matched region with the longest border to it, or else the one whose pixels lie
    nearest, and go through that region's map: colours of masks say nothing about likeness, but a speck of cloud in the
    sky, or an unlabelled seam, belongs to what surrounds it (where no region is matched at all, it is `global`);
    `keep` leaves it unstylised.

    Source: Luan et al. 2017, section 3 (matching by label); Li et al. 2018, public code: more than 10 cells on both
        sides and a ratio below 100, or the region stays as it is.
    Departs: the limit of 10 counts pixels of the picture, not cells of each site, so that a region is matched at all
        levels or at none; the ratio is of shares of the picture, not of pixels, because pictures may differ in size.

    Args:
        content: the content's map.
        styles: one map per style, numbered as the content's; a uniform one gives its whole picture to every region.
        missing: one of MISSING.
        weights: of the styles, as `style_shares` takes them.

    Raises:
        OptionError: `missing` is unknown, there is no style, or the weights do not fit the styles.
    """
    if missing not in MISSING:
        raise OptionError(f"missing is {missing!r}; use one of {', '.join(MISSING)}")
    shares = style_shares(weights, len(styles))
    pixels = content.pixels
    present = sorted((label for label in range(content.count) if pixels[label]), key=lambda label: -pixels[label])
    plans = [_plan(content, style, present, missing) for style in styles]
    amounts = [{**dict(enumerate(style.pixels)), WHOLE: sum(style.pixels), KEEP: 0} for style in styles]
    regions = []
    for label in present:
        sources = []
        for plan, amount, weight in zip(plans, amounts, shares, strict=True):
            ground, partner, reason = plan[label]
            sources.append(Source(ground, partner, amount[partner], weight, reason))
        colour = None if content.is_uniform else content.colours[label]
        regions.append(Region(label, colour, pixels[label], tuple(sources)))
    return Match(tuple(regions))


Plan = dict[int, tuple[int, int, str]]
"""Per content label: whose moments on the content's side, whose on the style's side, and the reason."""


def _plan(content: LabelMap, style: LabelMap, present: Sequence[int], missing: str) -> Plan:
    if content.is_uniform:
        return {0: (WHOLE, WHOLE, "")}
    here, there = content.pixels, dict(enumerate(style.pixels))
    if style.is_uniform:
        grounds = {label: WHOLE if here[label] <= MIN_PIXELS else label for label in present}
        return {label: (grounds[label], WHOLE, "the style has no mask") for label in present}
    whole_here, whole_there = sum(content.pixels), sum(style.pixels)
    faults = {label: _fault(here[label], whole_here, there.get(label, 0), whole_there) for label in present}
    matched = [label for label in present if not faults[label]]
    plan: Plan = {}
    for label in present:
        if not faults[label]:
            plan[label] = (label, label, "")
        elif missing == "keep":
            plan[label] = (label, KEEP, faults[label])
        elif missing == "nearest" and matched:
            near = neighbour(content.labels, label, matched)
            plan[label] = (near, near, f"{faults[label]}; joins {colour_name(content.colours[near])}")
        else:
            plan[label] = (WHOLE, WHOLE, faults[label])
    return plan


def _fault(here: int, whole_here: int, there: int, whole_there: int) -> str:
    """Say why a region of so many pixels in the content and the style is not matched; empty if it is."""
    if here <= MIN_PIXELS:
        return f"only {here} pixels in the content, more than {MIN_PIXELS} are needed"
    if there == 0:
        return "the style's mask lacks it"
    if there <= MIN_PIXELS:
        return f"only {there} pixels in the style, more than {MIN_PIXELS} are needed"
    ratio = (here / whole_here) / (there / whole_there)
    ratio = max(ratio, 1 / ratio)
    if ratio >= MAX_RATIO:
        return f"its share differs {ratio:.0f}-fold between content and style, under {MAX_RATIO:.0f} is needed"
    return ""


def neighbour(labels: NDArray[np.uint8], label: int, candidates: Sequence[int]) -> int:
    """Find the region with the longest border to a region, or else the one that lies nearest."""
    borders = np.zeros(256, np.int64)
    for one, other in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        borders += np.bincount(other[(one == label) & (other != label)], minlength=256)
        borders += np.bincount(one[(other == label) & (one != label)], minlength=256)
    longest = max(candidates, key=lambda candidate: int(borders[candidate]))
    if borders[longest]:
        return longest
    distances = scipy.ndimage.distance_transform_edt(labels != label)
    return min(candidates, key=lambda candidate: float(distances[labels == candidate].min()))
