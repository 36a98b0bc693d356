"""The closed-form methods: each a row, which its options turn into stages, maps and strengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from universal_style.devices import DTYPES
from universal_style.drivers.bounds import bound_of
from universal_style.drivers.crew import Crew, Here
from universal_style.drivers.ray_crew import crew_of
from universal_style.drivers.tiled import Everywhere, Observing, Reduced, Tiled
from universal_style.errors import OptionError
from universal_style.methods.stages import PLACES, Arrangement, Progressive, cascade
from universal_style.methods.walks import Walks
from universal_style.mixing import mixing_named
from universal_style.networks.checkpoints import decoder_name
from universal_style.networks.pooling import HaarCat5Pooling, HaarSumPooling, IndexPooling, NearestPooling, Pooling
from universal_style.ranges import at_least, real_numbers
from universal_style.tensor_files import SUFFIX
from universal_style.transforms import Floored, OptimalTransport, Transform, transform_named


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
        refines: whether what should stay of a content is decoded once more, for deep features alone give it back too
            roughly; where nothing is to stay, no one would see it.
        usual_floor: under the covariances of symmetric maps unless another is asked for, see `transforms.Floored`.
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
    refines: bool = False
    usual_floor: float = 0.0
    precisions: ClassVar[Sequence[str]] = ("auto", *DTYPES)
    holds_style: ClassVar[bool] = False

    def recipe(
        self,
        *,
        alpha: float | Sequence[float] = 1.0,
        levels: Sequence[int] | None = None,
        sites: Sequence[str] | None = None,
        transform: str | None = None,
        covariance_floor: float | None = None,
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
            covariance_floor: at least 0, added to variances where a map would amplify, see `transforms.Floored`; the
                method's own when left out.
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
        chosen_transform = self.transform if transform is None else transform_named(transform)
        usual_floor = self.usual_floor if chosen_transform.symmetric else 0.0
        floor = usual_floor if covariance_floor is None else covariance_floor
        at_least(0, covariance_floor=floor)
        chosen = self.usual_levels if levels is None else _levels(levels, self)
        places = self.usual_places if sites is None else _places(sites, self)
        stages = self.arrangement(chosen, places, self.pooling)
        if not any(plan.sites for plan in stages):
            raise OptionError(
                f"method {self.name} has no site {' or '.join(places)} at level {', '.join(map(str, chosen))}; "
                "add encoder to the sites, or a shallower level"
            )
        alphas = _alphas(alpha, chosen)
        return Walks(
            pooling=self.pooling,
            levels=chosen,
            places=places,
            stages=stages,
            refined=self.refines and min(alphas.values()) < 1,
            alphas=alphas,
            transform=Floored(chosen_transform, floor),
            mixing=mixing_named(mix),
            driver=Tiled(bound_of(tile, memory), _observing(observe_size), _crew(workers, address, tile)),
        )

    def checkpoints(self, folder: Path) -> list[Path]:
        """Name the decoders that its levels may ask for."""
        plans = [plan for level in self.levels for plan in self.arrangement([level], self.places, self.pooling)]
        names = dict.fromkeys(decoder_name(self.pooling.name, plan.level) for plan in plans)
        return [folder / f"{name}{SUFFIX}" for name in names]


def _wct2(name: str, pooling: Pooling, levels: tuple[int, ...], arrangement: Arrangement, refines: bool) -> ClosedForm:
    """Give a kind of WCT², whose deepest level is not edited unless it is asked for: little is seen of that.

    Source: Yoo et al. 2019, section 3.
    Departs: what is usual ends a level or two before relu4_1, and by concatenation that is not to be had.
    """
    return ClosedForm(
        name=name,
        pooling=pooling,
        levels=levels,
        usual_levels=levels[1:],
        places=PLACES,
        usual_places=("encoder", "skip"),
        arrangement=arrangement,
        transform=OptimalTransport(),
        smoothing="bilateral",
        refines=refines,
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
            places=("encoder", "decoder"),
            usual_places=("encoder",),
            arrangement=Progressive(),
            transform=OptimalTransport(),
            smoothing="closed-form",
            usual_floor=1.0,
        ),
        _wct2("wct2", HaarCat5Pooling(), (3, 2, 1), Progressive(least=2), refines=False),
        _wct2("wct2-sum", HaarSumPooling(), (4, 3, 2, 1), Progressive(least=4), refines=True),
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
    if isinstance(levels, str) or not isinstance(levels, Sequence):
        raise OptionError(f"levels {levels!r} does not do; it is a list of levels such as [4, 3]")
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
    given = real_numbers("alpha", alpha)
    if len(given) == 1:
        given = given * len(levels)
    if len(given) != len(levels):
        raise OptionError(f"{len(given)} alphas for {len(levels)} levels; give one for all or one for each")
    for value in given:
        if not 0 <= value <= 1:
            raise OptionError(f"alpha {value:g} is out of range; it lies between 0 (content) and 1 (style)")
    return dict(zip(levels, given, strict=True))
