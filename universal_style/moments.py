"""Moments: the weighted count, mean and centred scatter of feature columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import reduce
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from universal_style.devices import exact_device, multiplies_halves

CHUNK_COLUMNS = 16384
"""Columns whose scatter is summed in the features' own precision before it enters the float64 total."""
PRODUCT_ROWS = 2048
"""Rows of a product that are multiplied at a time on a CPU, by one thread whose cache they stay in."""
FEWEST_CHANNELS = 32
"""Of a strip of a product: with fewer, a processor is no quicker for having less to do."""
GRAPHICS_NUMBERS = 1 << 26
"""Numbers of a feature picture that a graphics card works on at a time: fewer would keep it waiting for commands."""
TINY = torch.finfo(torch.float64).tiny


def columns_at_a_time(channels: int, device: torch.device) -> int:
    """Give the columns to be worked on at a time, as many as a CPU's caches hold: a multiple of `CHUNK_COLUMNS`."""
    return (
        CHUNK_COLUMNS if device.type == "cpu" else max(1, GRAPHICS_NUMBERS // channels // CHUNK_COLUMNS) * CHUNK_COLUMNS
    )


def product_with_itself(rows: Float[Tensor, "*b n c"]) -> Float[Tensor, "*b c c"]:
    """Give Xᵀ X, of which a CPU computes little more than one half: the other is its mirror image."""
    if rows.device.type != "cpu":
        return rows.mT @ rows
    whole = rows.shape[-2] // PRODUCT_ROWS * PRODUCT_ROWS
    if whole <= PRODUCT_ROWS:
        return _half_and_mirror(rows)
    parts = _half_and_mirror(rows[..., :whole, :].unflatten(-2, (-1, PRODUCT_ROWS)))
    return parts.sum(dim=-3) + _half_and_mirror(rows[..., whole:, :])


def _half_and_mirror(rows: Float[Tensor, "*b n c"]) -> Float[Tensor, "*b c c"]:
    channels = rows.shape[-1]
    product = rows.new_empty(*rows.shape[:-2], channels, channels)
    strip = max(FEWEST_CHANNELS, channels // 4)
    for start in range(0, channels, strip):
        part = rows[..., start : start + strip].mT @ rows[..., start:]
        product[..., start : start + strip, start:] = part
        product[..., start:, start : start + strip] = part.mT
    return product


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
        return cls.of_parts([(columns, weights)], columns.shape[0], columns.device)

    @classmethod
    def of_parts(cls, parts: Iterable[Part], channels: int, device: torch.device) -> Moments:
        """Observe feature columns part by part, as if they lay side by side.

        Args:
            parts: columns (channels, n), and the weights of each; see `of`.
            channels: of every part.
            device: where they lie.
        """
        sums = [_sums(chunks, shares) for part in parts for chunks, shares in _chunked(*part)]
        if not sums:
            return cls.empty(channels, exact_device(device))
        counts, means, left, scatters = zip(*sums, strict=True)
        return cls._around(torch.cat(counts), torch.cat(means), torch.cat(left), torch.stack(scatters).sum(dim=0))

    @classmethod
    def _around(
        cls, counts: Float[Tensor, " b"], means: Float[Tensor, "b c"], left: Float[Tensor, "b c"], scatter: Tensor
    ) -> Moments:
        """Join the sums of chunks, in float64; their scatters are about means that are `left` off."""
        counts, means, left = counts.double(), means.double(), left.double()
        means = means + left
        scatter = (scatter + scatter.T) / 2  # a product of matrices is symmetric but for rounding
        count = counts.sum()
        mean = counts @ means / count.clamp(min=TINY)
        around = means - mean
        between = (around * counts[:, None]).T @ around - (left * counts[:, None]).T @ left
        return cls(count, mean, scatter + between)

    @property
    def channels(self) -> int:
        return self.mean.shape[0]

    @property
    def covariance(self) -> Float[Tensor, "c c"]:
        """Scatter over N - 1; zero where fewer than two columns were seen.

        Regions count in shares of cells, so N may be a little more than 1: under 2 the scatter stands as it is.
        """
        return self.scatter / (self.count - 1).clamp(min=1)

    def with_floor(self, floor: float) -> Moments:
        """Add a multiple of the identity to the covariance."""
        if not floor:
            return self
        freedom = (self.count - 1).clamp(min=1)
        eye = torch.eye(self.channels, dtype=self.scatter.dtype, device=self.scatter.device)
        return replace(self, scatter=self.scatter + floor * freedom * eye)

    @property
    def second(self) -> Float[Tensor, "c c"]:
        """The mean of x xᵀ over the columns: their Gram matrix over their number; zero where none was seen."""
        return self.scatter / self.count.clamp(min=1) + torch.outer(self.mean, self.mean)

    def merge(self, other: Moments) -> Moments:
        """Join with the moments of other columns.

        Source: Chan, Golub and LeVeque 1983, equation 1.5 in matrix form.
        """
        count = self.count + other.count
        gap = other.mean - self.mean
        share = other.count / count.clamp(min=TINY)
        return Moments(
            count=count,
            mean=self.mean + gap * share,
            scatter=self.scatter + other.scatter + torch.outer(gap, gap) * (self.count * share),
        )

    def scaled(self, factor: float | Float[Tensor, ""]) -> Moments:
        """Weigh every column by so much more."""
        return Moments(self.count * factor, self.mean, self.scatter * factor)

    def to(self, device: torch.device | str) -> Moments:
        """Move to a device."""
        return Moments(self.count.to(device), self.mean.to(device), self.scatter.to(device))


Part = tuple[Tensor, Tensor | None]
"""Columns (c, n), and the weight of each; 1 where there is none."""


def _chunked(columns: Tensor, weights: Tensor | None) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Cut columns into chunks (b, k, c) and their weights likewise, so many at a time as the device works on."""
    rows = columns.T
    if weights is not None:  # of all columns, most lie outside of a region
        counted = weights > 0
        rows, weights = rows[counted], weights[counted]
    most, whole = columns_at_a_time(columns.shape[0], columns.device), len(rows) // CHUNK_COLUMNS * CHUNK_COLUMNS
    for start, stop in pairwise([*range(0, whole, most), whole, len(rows)]):
        if start < stop:
            size = min(CHUNK_COLUMNS, stop - start)
            chunks = rows[start:stop].unflatten(0, (-1, size))  # (m, c) -> (b, k, c)
            yield chunks, None if weights is None else weights[start:stop].unflatten(0, (-1, size))


def _sums(
    columns: Float[Tensor, "b k c"], weights: Float[Tensor, "b k"] | None
) -> tuple[Float[Tensor, " b"], Float[Tensor, "b c"], Float[Tensor, "b c"], Float[Tensor, "c c"]]:
    """Sum each chunk in the columns' own precision, and their scatters in float64.

    Returns:
        Counts; means; what rounding left of these; the sum of the scatters about them. Where float64 is computed.
    """
    precision = torch.promote_types(columns.dtype, torch.float32)
    if weights is None:
        counts = columns.new_full(columns.shape[:1], columns.shape[1], dtype=precision)
        means = columns.mean(dim=1, dtype=precision)
        if multiplies_halves(columns):
            near = means.to(columns.dtype)
            centred = columns - near[:, None]  # rounded no more than the columns are
            left, means = means - near, near
            scatter = torch.bmm(centred.mT, centred, out_dtype=precision)
        else:
            centred = columns - means[:, None]  # in the means' precision
            left = centred.mean(dim=1)  # what rounding left of the mean
            scatter = product_with_itself(centred)
    else:
        shares, work = weights.to(precision), columns.to(precision)
        counts = shares.sum(dim=1)
        over = counts.clamp(min=torch.finfo(precision).tiny)[:, None]
        means = torch.einsum("bk,bkc->bc", shares, work) / over
        centred = work - means[:, None]
        left = torch.einsum("bk,bkc->bc", shares, centred) / over
        scatter = (centred * shares[..., None]).mT @ centred
    home = exact_device(columns.device)
    counts, means, left, scatter = (part.to(home) for part in (counts, means, left, scatter))
    return counts, means, left, scatter.sum(dim=0, dtype=torch.float64)


def merge_all(parts: Iterable[Moments]) -> Moments:
    """Merge one or more moments into one."""
    return reduce(Moments.merge, parts)
