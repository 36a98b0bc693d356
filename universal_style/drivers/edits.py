"""What is done at a site: the moments of each region are taken, and its columns are sent through maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from universal_style.devices import exact_device
from universal_style.moments import CHUNK_COLUMNS, Moments
from universal_style.networks.stage import Site
from universal_style.regions import LabelMap
from universal_style.transforms import AffineMap
from universal_style.windows import Window

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
        """Add what another window showed."""
        return Tally(self.moments.merge(other.moments), self.area + other.area)

    @property
    def total(self) -> Moments:
        """Give the moments by area."""
        count = float(self.moments.count)
        return self.moments.scaled(self.area / count) if count > 0 else self.moments


def tallies(features: Float[Tensor, "1 c g v"], site: Site, regions: LabelMap, window: Window) -> list[Tally]:
    """Take the columns of each label that lie over the picture itself and count in a window."""
    inside = window.inside(features, regions.height, regions.width, site.stride)[0]
    height, width = inside.shape[1:]
    if regions.count == 1:
        return [Tally(_moments(inside, None), float(height * width))]
    rows, columns = window.place(regions.height, regions.width, site.stride)
    shares = regions.coverage(site.stride, height, width, rows.start, columns.start)
    areas = shares.double().sum(dim=(1, 2)).tolist()
    weights = shares.square().to(features.device)
    return [Tally(_moments(inside, weight), area) for weight, area in zip(weights, areas, strict=True)]


def send_through(
    maps: Sequence[AffineMap],
    features: Float[Tensor, "1 c g v"],
    site: Site,
    regions: LabelMap,
    window: Window,
) -> Float[Tensor, "1 c g v"]:
    """Send the columns of each region through its map, in place and band by band; borders are feathered."""
    rows, columns = window.rows.walked(site.stride, regions.height), window.columns.walked(site.stride, regions.width)
    place = (len(rows), len(columns), regions.feather, rows.start, columns.start)
    shares = _stretched(regions.feathered(site.stride, *place), features) if len(maps) > 1 else features.new_empty(0)
    band = max(1, CHUNK_COLUMNS // features.shape[3])
    for top in range(0, features.shape[2], band):
        part = features[:, :, top : top + band]
        given = part.float()
        if len(maps) == 1:
            part.copy_(maps[0](given))
            continue
        edited = torch.zeros_like(given)
        for chosen, share in zip(maps, shares, strict=True):
            if (weight := share[top : top + band]).any():
                edited += weight * chosen(given)
        part.copy_(edited)
    return features


def _moments(columns: Float[Tensor, "c rows columns"], weights: Float[Tensor, "rows columns"] | None) -> Moments:
    """Take moments band by band, so that no copy of all columns is made."""
    band = max(1, CHUNK_COLUMNS // max(1, columns.shape[2]))
    total = Moments.empty(len(columns), exact_device(columns.device))
    for top in range(0, columns.shape[1], band):
        share = None if weights is None else weights[top : top + band].flatten()
        total = total.merge(Moments.of(columns[:, top : top + band].flatten(1), share))
    return total


def _stretched(shares: Float[Tensor, "k rows columns"], features: Float[Tensor, "1 c g v"]) -> Float[Tensor, "k g v"]:
    """Go on with shares beyond the picture's lower and right end, where it was grown."""
    below, right = features.shape[2] - shares.shape[1], features.shape[3] - shares.shape[2]
    return functional.pad(shares[None], (0, right, 0, below), mode="replicate")[0].to(features.device)
