"""The closed-form methods: each a row, which its options turn into stages, maps and strengths."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from universal_style.drivers.bounds import bound_of
from universal_style.drivers.crew import Crew, Here
from universal_style.drivers.edits import Fit
from universal_style.drivers.fit import StyleFit
from universal_style.drivers.ray_crew import crew_of
from universal_style.drivers.tiled import Everywhere, Observing, Reduced, Tiled
from universal_style.errors import OptionError
from universal_style.methods.kinds import Carried, Task, Witness
from universal_style.mixing import MIXINGS, Mixing, mixing_named
from universal_style.names import name_in
from universal_style.networks.checkpoints import Checkpoint, decoder_name
from universal_style.networks.pooling import HaarCat5Pooling, HaarSumPooling, IndexPooling, NearestPooling, Pooling
from universal_style.networks.stage import Ascent, Site, Stage, Walker, decoder_site, encoder_site, skip_sites
from universal_style.networks.vgg import LEVELS, stride_at
from universal_style.regions import LabelMap
from universal_style.report import Steps
from universal_style.subjects import Loaded, aims_of
from universal_style.transforms import TRANSFORMS, OptimalTransport, Transform, transform_named

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
class ClosedForm:
    """A closed-form method: its stages, and what it does when nothing else is asked.

    Attributes:
        name: on the command line.
        pooling: of every stage.
        levels: those that it knows.
        usual_levels: those that are edited unless others are asked for, in order.
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
    places: tuple[str, ...]
    usual_places: tuple[str, ...]
    arrangement: Arrangement
    transform: Transform
    smoothing: str
    precision: ClassVar[str] = "auto"
    holds_style: ClassVar[bool] = False

    def recipe(
        self,
        *,
        alpha: float | Sequence[float] = 1.0,
        levels: Sequence[int] | None = None,
        sites: Sequence[str] | None = None,
        transform: str | None = None,
        mix: str = "maps",
        tile: str | int = "auto",
        memory: str | int | None = None,
        observe_size: int | None = None,
        workers: int | None = None,
        address: str | None = None,
    ) -> Walks:
        """Check options.

        Args:
            alpha: 0 to 1, for all levels or one for each of `levels`.
            levels: those to edit, in order; the method's own when left out.
            sites: where on the walk to edit, of encoder, skip and decoder; the method's own when left out.
            transform: its name; the method's own when left out.
            mix: of several styles: their maps, or their statistics.
            tile: auto, off, or the side in pixels of the windows that a picture is carried in.
            memory: what the process may take, such as 4GiB, to choose windows by; free memory when left out.
            observe_size: long side in pixels of a copy that is observed in place of a picture in windows: quicker, and
                no longer exact; left out, every pixel is observed.
            workers: that share the windows of a picture; left out, this process alone, or all of a cluster.
            address: of a Ray cluster; left out, workers are processes of this machine.

        Raises:
            OptionError: an option is out of range or contradicts another.
        """
        chosen = self.usual_levels if levels is None else _levels(levels, self)
        places = self.usual_places if sites is None else _places(sites, self)
        return Walks(
            pooling=self.pooling,
            levels=chosen,
            places=places,
            stages=self.arrangement(chosen, places, self.pooling),
            alphas=_alphas(alpha, chosen),
            transform=self.transform if transform is None else transform_named(transform),
            mixing=mixing_named(mix),
            driver=Tiled(bound_of(tile, memory), _observing(observe_size), _crew(workers, address, tile)),
        )

    def checkpoints(self, folder: Path) -> list[Path]:
        """Name the decoders of all its levels."""
        plans = self.arrangement(self.levels, self.places, self.pooling)
        return [folder / f"{decoder_name(self.pooling.name, plan.level)}.safetensors" for plan in plans]


@dataclass(frozen=True)
class Walks:
    """What a closed-form method does: walk through stages, maps fitted at their sites.

    Attributes:
        pooling: of every stage.
        levels: those that are edited, in order.
        places: where on the walk features are edited, of `PLACES`.
        stages: in the order in which they run.
        alphas: strength by level, 0 to 1.
        transform: of the features.
        mixing: of several styles.
        driver: that takes the walks.
    """

    pooling: Pooling
    levels: tuple[int, ...]
    places: tuple[str, ...]
    stages: tuple[StagePlan, ...]
    alphas: Mapping[int, float]
    transform: Transform
    mixing: Mixing
    driver: Tiled

    def as_options(self) -> dict[str, Any]:
        return {
            "levels": list(self.levels),
            "alpha": [self.alphas[level] for level in self.levels],
            "sites": list(self.places),
            "transform": name_in(TRANSFORMS, self.transform),
            "mix": name_in(MIXINGS, self.mixing),
        } | self.driver.as_options()

    def steps(self, styles: int) -> int:
        return 1 + styles + len(self.stages)

    def carry(self, loaded: Loaded, task: Task) -> Carried:
        """Observe the styles, then walk through the stages."""
        ready = self.ready(loaded, task)
        return Carried(ready.carry(task.pixels, task.regions, task.steps), ready.checkpoints)

    def stages_of(self, loaded: Loaded) -> tuple[list[Stage], list[Checkpoint]]:
        """Load the networks; give the files that they came from, too."""
        stages, checkpoints = [], [loaded.encoder_checkpoint]
        for plan in self.stages:
            decoder, checkpoint = loaded.decoder(self.pooling, plan.level)
            stages.append(Stage(loaded.encoder, decoder, self.pooling, plan.sites))
            checkpoints.append(checkpoint)
        return stages, checkpoints

    def ready(self, loaded: Loaded, task: Task) -> Fitted:
        """Load the decoders and observe the styles, once for any number of pictures with the task's regions."""
        task.steps.begin("load decoders")
        stages, checkpoints = self.stages_of(loaded)
        sites = frozenset(site for stage in stages for site in stage.sites)
        task.witness.edits(walks_over(stages), sites)
        observed = []
        for number, (subject, labels) in enumerate(zip(task.subjects, task.regions_of_styles, strict=True), start=1):
            task.steps.begin("observe styles", f"observing style {number}")
            observed.append(loaded.observe(subject, labels, walks_over(stages), sites))
        fit = StyleFit(self.transform, self.mixing, aims_of(task.regions, task.matched, observed), self.alphas)
        return Fitted(stages, fit, checkpoints, self.driver, task.witness)


@dataclass(frozen=True)
class Fitted:
    """Walks with their decoders loaded and their styles observed.

    Attributes:
        stages: in the order in which they run.
        fit: of the maps at their sites.
        checkpoints: that were used.
        driver: that takes the walks.
        witness: to be shown what each stage makes.
    """

    stages: Sequence[Stage]
    fit: Fit
    checkpoints: Sequence[Checkpoint]
    driver: Tiled
    witness: Witness

    def wrapped(self, wrap: Callable[[Fit], Fit]) -> Fitted:
        return replace(self, fit=wrap(self.fit))

    def carry(self, pixels: Float[Tensor, "1 3 h w"], regions: LabelMap, steps: Steps) -> Float[Tensor, "1 3 h w"]:
        height, width = pixels.shape[2:]
        with self.driver.crew.gathered() as hands:
            for stage in self.stages:
                if windows := self.driver.plan(stage, height, width, hands):
                    self.witness.plans(f"relu{stage.decoder.level}_1", windows)
            for stage in self.stages:
                steps.begin(f"relu{stage.decoder.level}_1")
                pixels = self.driver.carry(stage, pixels, self.fit, regions, hands)
                self.witness.sees(f"relu{stage.decoder.level}_1", pixels)
        return pixels


def walks_over(stages: Sequence[Stage]) -> list[Walker]:
    """Give the walks that see a style at the sites of stages.

    Sites on the way up need one ascent to the deepest of them, where what pool{k} keeps is seen on the way to
    relu{k+1}_1; those on the way down need their stage's whole walk.
    """
    decoded: list[Walker] = [s for s in stages if any(site.family == s.pooling.name for site in s.sites)]
    if decoded:
        return decoded
    strides = {site.stride for stage in stages for site in stage.sites}
    deepest = max((level for level in LEVELS if stride_at(level) in strides), default=1)
    return [Ascent(stages[0].encoder, stages[0].pooling, deepest)]


def _wct2(name: str, pooling: Pooling) -> ClosedForm:
    return ClosedForm(
        name=name,
        pooling=pooling,
        levels=(1, 2, 3, 4),
        usual_levels=(1, 2, 3, 4),
        places=PLACES,
        usual_places=("encoder", "skip"),
        arrangement=Progressive(4),
        transform=OptimalTransport(),
        smoothing="none",
    )


CLOSED_FORMS: dict[str, ClosedForm] = {
    method.name: method
    for method in (
        ClosedForm(
            name="wct",
            pooling=NearestPooling(),
            levels=(5, 4, 3, 2, 1),
            usual_levels=(4, 3, 2, 1),
            places=("encoder",),
            usual_places=("encoder",),
            arrangement=cascade,
            transform=OptimalTransport(),
            smoothing="none",
        ),
        ClosedForm(
            name="photo-wct",
            pooling=IndexPooling(),
            levels=(4, 3, 2, 1),
            usual_levels=(3, 2, 1),
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


def _observing(long_side: int | None) -> Observing:
    if long_side is None:
        return Everywhere()
    if long_side < 1:
        raise OptionError(f"observe-size {long_side} is out of range; it is a long side in pixels, at least 1")
    return Reduced(long_side)


def _crew(workers: int | None, address: str | None, tile: str | int) -> Crew:
    crew = crew_of(workers, address)
    if tile == "off" and crew != Here():
        raise OptionError("tile off makes one window, which workers cannot share; leave one of them out")
    return crew


def _levels(levels: Sequence[int], method: ClosedForm) -> tuple[int, ...]:
    known = ", ".join(str(level) for level in method.levels)
    if not levels:
        raise OptionError(f"no level given; method {method.name} has the levels {known}")
    for level in levels:
        if level not in method.levels:
            raise OptionError(f"level {level} is unknown; method {method.name} has the levels {known}")
    if len(set(levels)) != len(levels):
        raise OptionError(f"levels {','.join(map(str, levels))} name a level twice; name each once")
    return tuple(levels)


def _places(places: Sequence[str], method: ClosedForm) -> tuple[str, ...]:
    if not places:
        raise OptionError(f"no site given; method {method.name} has the sites {', '.join(method.places)}")
    for place in places:
        if place not in PLACES:
            raise OptionError(f"site {place!r} is unknown; use one or more of {', '.join(PLACES)}")
        if place not in method.places:
            raise OptionError(f"method {method.name} has no site {place}; it has {', '.join(method.places)}")
    return tuple(place for place in PLACES if place in places)


def _alphas(alpha: float | Sequence[float], levels: tuple[int, ...]) -> dict[int, float]:
    given = [float(a) for a in alpha] if isinstance(alpha, Sequence) else [float(alpha)] * len(levels)
    if len(given) == 1:
        given = given * len(levels)
    if len(given) != len(levels):
        raise OptionError(f"{len(given)} alphas for {len(levels)} levels; give one for all or one for each")
    for value in given:
        if not 0 <= value <= 1:
            raise OptionError(f"alpha {value:g} is out of range; it lies between 0 (content) and 1 (style)")
    return dict(zip(levels, given, strict=True))
