"""How levels and places become the stages of a closed-form method."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from universal_style.networks.pooling import Pooling
from universal_style.networks.stage import Site, decoder_site, encoder_site, skip_sites

PLACES = ("encoder", "skip", "decoder")
"""Where on the walk features may be edited: on the way up, in what the pooling keeps, on the way down."""


@dataclass(frozen=True)
class StagePlan:
    """One stage of a method: the level of its decoder and the sites that are edited."""

    level: int
    sites: frozenset[Site]


def sites_at(level: int, places: Collection[str], pooling: Pooling, deepest: int) -> frozenset[Site]:
    """Give the sites of one level of a stage whose decoder starts at the deepest level."""
    sites: list[Site] = [encoder_site(level, pooling)] if "encoder" in places else []
    if "skip" in places and level < deepest:
        sites += skip_sites(level, pooling)
    if "decoder" in places and level < deepest:
        sites.append(decoder_site(level, pooling))
    return frozenset(sites)


Arrangement = Callable[[Sequence[int], Collection[str], Pooling], tuple[StagePlan, ...]]
"""Makes stages of levels and places."""


def cascade(levels: Sequence[int], places: Collection[str], pooling: Pooling) -> tuple[StagePlan, ...]:
    """Run a stage of its own for each level, edited at its deepest features, one after the other."""
    return tuple(StagePlan(level, sites_at(level, places, pooling, level)) for level in levels)


@dataclass(frozen=True)
class Progressive:
    """Run one stage, as deep as the deepest of the levels, edited at all of them on the way.

    Source: Yoo et al. 2019 (WCT²), section 3.3.
    Departs: from Li et al. 2018 (closed-form photorealistic stylisation), section 3.1, who run a stage for each level;
        what a decoding does wrong would be content to the next.

    Attributes:
        least: level of the decoder where no deeper one is edited.
    """

    least: int = 1

    def __call__(self, levels: Sequence[int], places: Collection[str], pooling: Pooling) -> tuple[StagePlan, ...]:
        deepest = max(self.least, *levels)
        sites = [sites_at(level, places, pooling, deepest) for level in levels]
        return (StagePlan(deepest, frozenset().union(*sites)),)
