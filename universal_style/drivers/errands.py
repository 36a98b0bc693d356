"""What is done with one window, by whoever is sent: to see it at some sites, or to carry it through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from universal_style.drivers.bounds import Bound
from universal_style.drivers.edits import Tally, send_through, tallies
from universal_style.drivers.whole import drive
from universal_style.networks.stage import Site, Stage
from universal_style.regions import LabelMap
from universal_style.transforms import AffineMap
from universal_style.windows import Window

Maps = Mapping[Site, Sequence[AffineMap]]
"""For each site the map of each label."""

Answer_co = TypeVar("Answer_co", covariant=True)


@runtime_checkable
class Errand(Protocol[Answer_co]):
    """A walk over one window, and what it brings back; it can be sent to another process."""

    def __call__(self, stage: Stage, pixels: Float[Tensor, "1 3 g v"], regions: LabelMap, window: Window) -> Answer_co:
        """Take the walk.

        Args:
            stage: that is walked through.
            pixels: of the window, wherever they lie.
            regions: of the whole picture.
            window: where in the picture the pixels are.
        """
        ...


@dataclass(frozen=True)
class Seeing:
    """Walk as far as a wave's last site, editing where maps are known, and bring what its sites show.

    Attributes:
        maps: of the waves before.
        wave: the sites that are seen.
    """

    maps: Maps
    wave: frozenset[Site]

    def __call__(
        self, stage: Stage, pixels: Float[Tensor, "1 3 g v"], regions: LabelMap, window: Window
    ) -> dict[Site, list[Tally]]:
        seen: dict[Site, list[Tally]] = {}
        walk = stage.walk(pixels.to(stage.device))
        site, features = next(walk)
        while True:
            if site in self.wave:
                seen[site] = tallies(features, site, regions, window)
                if len(seen) == len(self.wave):
                    walk.close()
                    return seen
            else:
                features = send_through(self.maps[site], features, site, regions, window)
            site, features = walk.send(features)


@dataclass(frozen=True)
class Carrying:
    """Walk through the stage, and bring the part of the picture that counts to where its pixels came from.

    Attributes:
        maps: of all sites.
    """

    maps: Maps

    def __call__(
        self, stage: Stage, pixels: Float[Tensor, "1 3 g v"], regions: LabelMap, window: Window
    ) -> Float[Tensor, "1 3 h w"]:
        def edit(site: Site, features: Tensor) -> Tensor:
            return send_through(self.maps[site], features, site, regions, window)

        picture = drive(stage.walk(pixels.to(stage.device)), edit)
        inside = window.inside(picture, regions.height, regions.width)
        return inside.to(pixels.device, copy=True)  # a view would hold the whole window


@dataclass(frozen=True)
class Keeping(Generic[Answer_co]):
    """Run an errand, and do what keeps the process that ran it under its bound.

    Attributes:
        errand: that is run.
        bound: of the process.
    """

    errand: Errand[Answer_co]
    bound: Bound

    def __call__(self, stage: Stage, pixels: Float[Tensor, "1 3 g v"], regions: LabelMap, window: Window) -> Answer_co:
        answer = self.errand(stage, pixels, regions, window)
        self.bound.keep()
        return answer
