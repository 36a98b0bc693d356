"""The table of methods: what a name on the command line stands for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from universal_style.names import looked_up
from universal_style.networks.pooling import HaarCat5Pooling, HaarSumPooling, IndexPooling, NearestPooling, Pooling
from universal_style.networks.stage import Site, decoder_site, encoder_site, skip_sites
from universal_style.transforms import OptimalTransport, Transform

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
    """Run one stage, edited at all levels on the way.

    Source: Yoo et al. 2019 (WCT²), section 3.3.

    Attributes:
        deepest: level of the decoder.
    """

    deepest: int

    def __call__(self, levels: Sequence[int], places: Collection[str], pooling: Pooling) -> tuple[StagePlan, ...]:
        sites = [sites_at(level, places, pooling, self.deepest) for level in levels]
        return (StagePlan(self.deepest, frozenset().union(*sites)),)


@dataclass(frozen=True)
class Method:
    """A closed-form method: its stages, and what it does when nothing else is asked.

    Attributes:
        name: on the command line.
        pooling: of every stage.
        levels: those that it knows.
        usual_levels: those that are edited unless others are asked for, in order.
        strengths: by level; alpha is multiplied by it.
        places: where it can edit features, of `PLACES`.
        usual_places: where it does unless others are asked for.
        arrangement: of levels into stages.
        transform: of the features at every site.
        smoothing: name of the result's, in `SMOOTHINGS`.
    """

    name: str
    pooling: Pooling
    levels: tuple[int, ...]
    usual_levels: tuple[int, ...]
    strengths: Mapping[int, float]
    places: tuple[str, ...]
    usual_places: tuple[str, ...]
    arrangement: Arrangement
    transform: Transform
    smoothing: str


def _wct2(name: str, pooling: Pooling) -> Method:
    return Method(
        name=name,
        pooling=pooling,
        levels=(1, 2, 3, 4),
        usual_levels=(1, 2, 3, 4),
        strengths={1: 1.0, 2: 1.0, 3: 1.0, 4: 1.0},
        places=PLACES,
        usual_places=("encoder", "skip"),
        arrangement=Progressive(4),
        transform=OptimalTransport(),
        smoothing="none",
    )


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            name="wct",
            pooling=NearestPooling(),
            levels=(5, 4, 3, 2, 1),
            usual_levels=(4, 3, 2, 1),
            strengths={5: 1.0, 4: 1.0, 3: 1.0, 2: 1.0, 1: 1.0},
            places=("encoder",),
            usual_places=("encoder",),
            arrangement=cascade,
            transform=OptimalTransport(),
            smoothing="none",
        ),
        Method(
            name="photo-wct",
            pooling=IndexPooling(),
            levels=(3, 2, 1),
            usual_levels=(3, 2, 1),
            strengths={3: 1.0, 2: 1.0, 1: 1.0},
            places=("encoder",),
            usual_places=("encoder",),
            arrangement=cascade,
            transform=OptimalTransport(),
            smoothing="closed-form",
        ),
        _wct2("wct2", HaarCat5Pooling()),
        _wct2("wct2-sum", HaarSumPooling()),
    )
}


def method_named(name: str) -> Method:
    """Look a method up.

    Raises:
        OptionError: no method has this name.
    """
    return looked_up("method", name, METHODS)
