"""What is done at a site: the moments of each region are taken, and its columns are sent through maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from universal_style.devices import exact_device
from universal_style.moments import Moments, Part, columns_at_a_time
from universal_style.networks.stage import Site
from universal_style.regions import LabelMap
from universal_style.transforms import AffineMap
from universal_style.windows import Window, row_bands

SHARES = 1 << 22
"""Shares of cells, one for each region, that are in memory at a time."""

NO_CELL = 1e-30
"""Sum of squared shares of a region that was not seen: less than any that was."""

Fit = Callable[[Site, Sequence[Moments]], Sequence[AffineMap]]
"""Says, from the moments of each label's columns at a site, which maps they go through."""


@dataclass(frozen=True)
class Tally:
    """The columns of one region seen so far at one site.

    A cell on a border mixes the features of both sides, so it counts by the square of its share; in the end the region
    is scaled back to its area, so that moments merge by area and a thin region, which has no pure cell, still counts.

    Attributes:
        moments: weighted by the squares.
        area: sum of the shares, in cells.
    """

    moments: Moments
    area: float

    def join(self, other: Tally) -> Tally:
        """Add what another window showed, which may be nothing."""
        if not (self.area and other.area):
            return self if self.area else other
        return Tally(self.moments.merge(other.moments), self.area + other.area)

    @property
    def total(self) -> Moments:
        """Give the moments by area."""
        return self.moments.scaled(self.area / self.moments.count.clamp(min=NO_CELL))


def tallies(features: Float[Tensor, "1 c g v"], site: Site, regions: LabelMap, window: Window) -> list[Tally]:
    """Take the columns of each label that lie over the picture itself and count in a window."""
    inside = window.inside(features, regions.height, regions.width, site.stride)[0]
    height, width = inside.shape[1:]
    if regions.count == 1 and regions.hidden is None:
        return [Tally(_moments(inside, None), float(height * width))]
    rows, columns = window.place(regions.height, regions.width, site.stride)
    seen = [Tally(Moments.empty(len(inside), exact_device(inside.device)), 0.0)] * regions.count
    for top, stop in row_bands(height, width * regions.count, SHARES):
        shares = regions.weights(site.stride, stop - top, width, rows.start + top, columns.start)
        areas = shares.sum(dim=(1, 2), dtype=torch.float64).tolist()
        weights = shares.square().to(features.device)
        more = (Tally(_moments(inside[:, top:stop], weight), area) for weight, area in zip(weights, areas, strict=True))
        seen = [tally.join(other) for tally, other in zip(seen, more, strict=True)]
    return seen


def send_through(
    maps: Sequence[AffineMap],
    features: Float[Tensor, "1 c g v"],
    site: Site,
    regions: LabelMap,
    window: Window,
) -> Float[Tensor, "1 c g v"]:
    """Send the columns of each region through its map, in place and band by band; cells of several go through all."""
    height, width = features.shape[2:]
    most = columns_at_a_time(features.shape[1], features.device)
    if len(maps) == 1:
        applied = maps[0].ready(features)
        for top, stop in row_bands(height, width, most):
            part = features[:, :, top:stop]
            part.copy_(applied(part))
        return features
    for above, below in row_bands(height, width * len(maps), SHARES):
        shares = _shares(regions, site, window, above, below, width).to(features.device)
        for top, stop in row_bands(below - above, width, most):
            part = features[:, :, above + top : above + stop]
            given = part.float()
            edited = torch.zeros_like(given)
            for chosen, share in zip(maps, shares[:, top:stop], strict=True):
                if share.any():
                    edited += share * chosen(given)
            part.copy_(edited)
    return features


def _moments(columns: Float[Tensor, "c rows columns"], weights: Float[Tensor, "rows columns"] | None) -> Moments:
    """Take moments band by band, so that no copy of all columns is made."""
    channels, height, width = columns.shape

    def parts() -> Iterator[Part]:
        for top, stop in row_bands(height, width, columns_at_a_time(channels, columns.device)):
            share = None if weights is None else weights[top:stop].flatten()
            if share is None or share.any():
                yield columns[:, top:stop].flatten(1), share

    return Moments.of_parts(parts(), channels, columns.device)


def _shares(
    regions: LabelMap, site: Site, window: Window, top: int, stop: int, width: int
) -> Float[Tensor, "k rows columns"]:
    """Give the coverage of some rows of a walk; where the picture was grown, its last ones go on."""
    rows, columns = window.rows.walked(site.stride, regions.height), window.columns.walked(site.stride, regions.width)
    first, end = min(top, len(rows) - 1), min(stop, len(rows))
    shares = regions.coverage(site.stride, end - first, len(columns), rows.start + first, columns.start)
    more = (0, width - len(columns), 0, stop - top - (end - first))
    return functional.pad(shares[None], more, mode="replicate")[0]
