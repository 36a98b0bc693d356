"""The tiled driver: a picture of any size in windows that fit a bound, with the same result as the whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from universal_style.canvas import blank, reduced, rest
from universal_style.drivers.bounds import FEWEST_PIXELS, Bound
from universal_style.drivers.crew import Answer, Crew, Hands, in_order
from universal_style.drivers.edits import Fit, Tally
from universal_style.drivers.errands import Carrying, Errand, Keeping, Seeing
from universal_style.drivers.survey import WINDOW_PIXELS
from universal_style.drivers.whole import carry
from universal_style.moments import Moments
from universal_style.networks.stage import Site, Stage
from universal_style.regions import LabelMap
from universal_style.transforms import AffineMap
from universal_style.windows import Window, strip_area, windows


@runtime_checkable
class Observing(Protocol):
    """How the maps of a stage are found before its picture is carried window by window."""

    def maps(
        self, stage: Stage, pixels: Float[Tensor, "1 3 h w"], fit: Fit, regions: LabelMap, most: int, hands: Hands
    ) -> dict[Site, Sequence[AffineMap]]:
        """Fit every site of a stage."""
        ...

    @property
    def long_side(self) -> int | None:
        """The long side at which the picture is observed, in pixels; None where it is its own."""
        ...


@dataclass(frozen=True)
class Everywhere:
    """Observe every pixel, so that the maps are those of the whole picture.

    Sites are fitted in waves: what is seen at a later one depends on the edits at earlier ones, so each wave goes over
    all windows again, as far up as its sites lie, with the maps found so far.
    """

    long_side: ClassVar[None] = None

    def maps(
        self, stage: Stage, pixels: Float[Tensor, "1 3 h w"], fit: Fit, regions: LabelMap, most: int, hands: Hands
    ) -> dict[Site, Sequence[AffineMap]]:
        found: dict[Site, Sequence[AffineMap]] = {}
        height, width = pixels.shape[2:]
        for wave in stage.waves:
            seen: dict[Site, list[Tally]] = {}
            tiles = windows(height, width, stage.stride, stage.halo_of(wave), most)
            # in order, so that sums are rounded alike whoever is first
            for shown in in_order(hands.answers(Seeing(found, wave), stage, pixels, regions, tiles)):
                for site, more in shown.items():
                    if site not in seen:
                        seen[site] = more
                        continue
                    for label, tally in enumerate(more):  # one by one: those of a hundred regions are large
                        seen[site][label] = seen[site][label].join(tally)
            for site in wave:
                found[site] = fit(site, [tally.total for tally in seen[site]])
        return found


@dataclass(frozen=True)
class Reduced:
    """Observe a smaller copy of the picture: quicker, and no longer exact.

    Attributes:
        long_side: of the copy, in pixels.
    """

    long_side: int

    def maps(
        self, stage: Stage, pixels: Float[Tensor, "1 3 h w"], fit: Fit, regions: LabelMap, most: int, hands: Hands
    ) -> dict[Site, Sequence[AffineMap]]:
        found: dict[Site, Sequence[AffineMap]] = {}

        def recorded(site: Site, content: Sequence[Moments]) -> Sequence[AffineMap]:
            found[site] = fit(site, content)
            return found[site]

        scale = min(1.0, self.long_side / max(pixels.shape[2:]))
        height, width = (max(1, round(length * scale)) for length in pixels.shape[2:])
        small = reduced(pixels, (height, width))
        carry(stage, small, recorded, regions.scaled(height, width))
        return found


@dataclass(frozen=True)
class Resting:
    """Hands that give back between two windows what memory need not hold.

    Attributes:
        hands: that work.
        bound: that they keep to, all together.
    """

    hands: Hands
    bound: Bound

    @property
    def workers(self) -> int:
        return self.hands.workers

    def answers(
        self, errand: Errand[Answer], stage: Stage, pixels: Tensor, regions: LabelMap, tiles: Sequence[Window]
    ) -> Iterator[tuple[int, Answer]]:
        kept = Keeping(errand, self.bound.shared(self.workers))
        for answer in self.hands.answers(kept, stage, pixels, regions, tiles):
            yield answer
            rest(pixels)


@dataclass(frozen=True)
class Tiled:
    """Carry pictures in windows, the halo of each as wide as what its pixels depend on.

    Attributes:
        bound: on the pixels of a window, halo included.
        observing: how the maps are found where there is more than one window.
        crew: who goes over the windows.
    """

    bound: Bound
    observing: Observing
    crew: Crew

    def as_options(self) -> dict[str, Any]:
        """Give the options that make it."""
        return self.bound.as_options() | {"observe_size": self.observing.long_side} | self.crew.as_options()

    def most(self, stage: Stage, regions: LabelMap, hands: Hands) -> int:
        """Give the most pixels of a window: as many as the bound allows, or fewer so that each worker has one."""
        strip = strip_area(regions.height, regions.width, stage.stride, stage.halo, max(1, hands.workers))
        return min(self.bound.most(stage, regions, hands.workers), max(FEWEST_PIXELS, strip))

    def surveyed(self, stages: Sequence[Stage], regions: LabelMap) -> int:
        """Give the most pixels of a window of the styles that a picture is given: no more than of its own."""
        asked = min(self.bound.most(stage, regions, 0) for stage in stages)
        return max(FEWEST_PIXELS, min(asked, WINDOW_PIXELS))

    def plan(self, stage: Stage, regions: LabelMap, hands: Hands) -> str:
        """Say in a few words how a picture will be divided; nothing where it will not be."""
        most = self.most(stage, regions, hands)
        tiles = windows(regions.height, regions.width, stage.stride, stage.halo, most)
        largest = max(tiles, key=lambda window: window.area)
        sides = (largest.columns.stop - largest.columns.start, largest.rows.stop - largest.rows.start)
        return f"{len(tiles)} windows of at most {sides[0]}×{sides[1]}" if len(tiles) > 1 else ""

    @torch.inference_mode()
    def carry(
        self, stage: Stage, pixels: Float[Tensor, "1 3 h w"], fit: Fit, regions: LabelMap, hands: Hands
    ) -> Float[Tensor, "1 3 h w"]:
        """Carry a picture through a stage; see `whole.carry`.

        Args:
            hands: those of the crew, gathered.
        """
        height, width = pixels.shape[2:]
        most = self.most(stage, regions, hands)
        tiles = windows(height, width, stage.stride, stage.halo, most)
        if len(tiles) == 1:
            return carry(stage, pixels, fit, regions)
        self.bound.begin()
        resting = Resting(hands, self.bound)
        maps = self.observing.maps(stage, pixels, fit, regions, most, resting)
        result = blank(height, width, pixels.device)
        for number, inside in resting.answers(Carrying(maps), stage, pixels, regions, tiles):
            rows, columns = tiles[number].place(height, width)
            result[:, :, rows, columns] = inside
            rest(result)
        return result
