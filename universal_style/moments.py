"""Moments: the weighted count, mean and centred scatter of feature columns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

from universal_style.devices import exact_device

CHUNK_COLUMNS = 16384
"""Columns whose scatter is summed in the features' own precision before it enters the float64 total."""


@dataclass(frozen=True)
class Moments:
    """First and second moments of feature columns; merging is exact in any order.

    Attributes:
        count: sum of the weights, float64, at least 0.
        mean: weighted mean column, float64.
        scatter: sum over columns of w (x - mean)(x - mean)ᵀ, float64, symmetric.
    """

    count: Float[Tensor, ""]
    mean: Float[Tensor, " c"]
    scatter: Float[Tensor, "c c"]

    @classmethod
    def empty(cls, channels: int, device: torch.device | str = "cpu") -> Moments:
        """Give the neutral element of the merge."""
        zeros = torch.zeros(channels, channels, dtype=torch.float64, device=device)
        return cls(zeros.new_zeros(()), zeros.new_zeros(channels), zeros)

    @classmethod
    def of(cls, columns: Float[Tensor, "c n"], weights: Float[Tensor, " n"] | None = None) -> Moments:
        """Observe feature columns.

        Args:
            columns: one feature vector per column, any float precision.
            weights: non-negative weight per column (region coverage); 1 when left out.
        """
        home = exact_device(columns.device)
        total = cls.empty(columns.shape[0], home)
        for start in range(0, columns.shape[1], CHUNK_COLUMNS):
            part = slice(start, start + CHUNK_COLUMNS)
            total = total.merge(cls._of_chunk(columns[:, part], None if weights is None else weights[part]))
        return total

    @classmethod
    def _of_chunk(cls, columns: Tensor, weights: Tensor | None) -> Moments:
        home = exact_device(columns.device)
        if weights is not None:  # of all columns, most lie outside of a region
            counted = weights > 0
            columns, weights = columns.T[counted].T, weights[counted]
        work = columns if columns.dtype == torch.float64 else columns.float()
        shares = work.new_ones(work.shape[1]) if weights is None else weights.to(work.dtype)
        count = shares.sum()
        if count <= 0:
            return cls.empty(work.shape[0], home)
        mean = (work @ shares) / count
        centred = work - mean[:, None]
        mean_left = (centred @ shares) / count  # what rounding left of the mean
        scatter = (centred * shares) @ centred.T
        count, mean, mean_left, scatter = (part.to(home).double() for part in (count, mean, mean_left, scatter))
        scatter = (scatter + scatter.T) / 2  # a product of matrices is symmetric but for rounding
        return cls(count, mean + mean_left, scatter - count * torch.outer(mean_left, mean_left))

    @property
    def channels(self) -> int:
        return self.mean.shape[0]

    @property
    def covariance(self) -> Float[Tensor, "c c"]:
        """Scatter over N - 1; zero where fewer than two columns were seen.

        Regions count in shares of cells, so N may be a little more than 1: under 2 the scatter stands as it is.
        """
        return self.scatter / (self.count - 1).clamp(min=1)

    @property
    def second(self) -> Float[Tensor, "c c"]:
        """The mean of x xᵀ over the columns: their Gram matrix over their number; zero where none was seen."""
        return self.scatter / self.count.clamp(min=1) + torch.outer(self.mean, self.mean)

    def merge(self, other: Moments) -> Moments:
        """Join with the moments of other columns.

        Source: Chan, Golub and LeVeque 1983, equation 1.5 in matrix form.
        """
        count = self.count + other.count
        if count <= 0:
            return self
        gap = other.mean - self.mean
        share = other.count / count
        return Moments(
            count=count,
            mean=self.mean + gap * share,
            scatter=self.scatter + other.scatter + torch.outer(gap, gap) * (self.count * share),
        )

    def scaled(self, factor: float) -> Moments:
        """Weigh every column by so much more."""
        return Moments(self.count * factor, self.mean, self.scatter * factor)

    def to(self, device: torch.device | str) -> Moments:
        """Move to a device."""
        return Moments(self.count.to(device), self.mean.to(device), self.scatter.to(device))


def merge_all(parts: Iterable[Moments]) -> Moments:
    """Merge one or more moments into one."""
    return reduce(Moments.merge, parts)
