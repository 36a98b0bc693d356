"""The pooling pair of a stage: how it goes down a level, and how the mirror comes back up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

Kept = tuple[Tensor, ...]
"""What going down keeps for coming back up: nothing, where the maxima were, or wavelet bands."""


@runtime_checkable
class Pooling(Protocol):
    """A pair of resamplings by two. Sizes are even: the drivers see to that.

    Attributes:
        name: of the decoders trained with it.
        family: of the encoder features; poolings that go down alike share it, and with it a style's moments.
        widening: channels that come up for each one that goes in.
        bands: names of those entries of `Kept` that are features and may be edited, in order.
    """

    @property
    def name(self) -> str: ...

    @property
    def family(self) -> str: ...

    @property
    def widening(self) -> int: ...

    @property
    def bands(self) -> tuple[str, ...]: ...

    def down(self, features: Float[Tensor, "n c h w"]) -> tuple[Float[Tensor, "n c g v"], Kept]:
        """Halve the size; keep what `up` needs."""
        ...

    def up(self, features: Float[Tensor, "n c h w"], kept: Kept) -> Float[Tensor, "n d g v"]:
        """Double the size with what `down` kept."""
        ...


@dataclass(frozen=True)
class NearestPooling:
    """Maximum of 2×2 down, nearest neighbour up.

    Source: Li et al. 2017 (universal style transfer), section 3.1.
    """

    name: str = "nearest"
    family: str = "max"
    widening: int = 1
    bands: tuple[str, ...] = ()

    def down(self, features: Float[Tensor, "n c h w"]) -> tuple[Float[Tensor, "n c g v"], Kept]:
        return functional.max_pool2d(features, 2), ()

    def up(self, features: Float[Tensor, "n c h w"], kept: Kept) -> Float[Tensor, "n c g v"]:
        return _doubled(features)


@dataclass(frozen=True)
class AveragePooling:
    """Average of 2×2 down, nearest neighbour up; only the optimisers' way up uses it.

    Source: Gatys et al. 2016, section 2 (smoother gradients than the maximum's).
    """

    name: str = "average"
    family: str = "average"
    widening: int = 1
    bands: tuple[str, ...] = ()

    def down(self, features: Float[Tensor, "n c h w"]) -> tuple[Float[Tensor, "n c g v"], Kept]:
        return functional.avg_pool2d(features, 2), ()

    def up(self, features: Float[Tensor, "n c h w"], kept: Kept) -> Float[Tensor, "n c g v"]:
        return _doubled(features)


@dataclass(frozen=True)
class IndexPooling:
    """Maximum of 2×2 down, back up to where the maximum was, half of it elsewhere.

    Source: Li et al. 2018 (closed-form photorealistic stylisation), section 3.1.
    Departs: half the maximum in place of zeros, which is about what other pixels of a window hold: 14 to 20 % of the
        energy of a VGG-19's activations before pooling is lost so, 43 to 53 % with zeros. Where several pixels of a
        window share the maximum, as in a window of zeros, all of them are filled and not the first alone, so that
        nothing is shifted to the upper left. They are compared as bfloat16 whatever the precision, so that the networks
        see the same pattern in each.
    """

    name: str = "index"
    family: str = "max"
    widening: int = 1
    bands: tuple[str, ...] = ()

    def down(self, features: Float[Tensor, "n c h w"]) -> tuple[Float[Tensor, "n c g v"], Kept]:
        largest = functional.max_pool2d(features, 2)
        return largest, (features.bfloat16() == _doubled(largest.bfloat16()),)

    def up(self, features: Float[Tensor, "n c h w"], kept: Kept) -> Float[Tensor, "n c g v"]:
        (where,) = kept
        spread = _doubled(features)
        return torch.where(where, spread, spread / 2)


@dataclass(frozen=True)
class HaarSumPooling:
    """Haar analysis down, of which the average goes on; its exact inverse up.

    Source: Yoo et al. 2019 (WCT²), section 3.2, with unpooling by summation.
    """

    name: str = "haar-sum"
    family: str = "haar"
    widening: int = 1
    bands: tuple[str, ...] = ("lh", "hl", "hh")

    def down(self, features: Float[Tensor, "n c h w"]) -> tuple[Float[Tensor, "n c g v"], Kept]:
        average, *details = haar_analysis(features)
        return average, tuple(details)

    def up(self, features: Float[Tensor, "n c h w"], kept: Kept) -> Float[Tensor, "n c g v"]:
        return haar_synthesis(features, *kept)


@dataclass(frozen=True)
class HaarCat5Pooling:
    """Haar analysis down, of which the average goes on; up, each band on its own beside the features before pooling.

    Source: Yoo et al. 2019 (WCT²), section 3.2, with unpooling by concatenation.
    """

    name: str = "haar-cat5"
    family: str = "haar"
    widening: int = 5
    bands: tuple[str, ...] = ("lh", "hl", "hh")

    def down(self, features: Float[Tensor, "n c h w"]) -> tuple[Float[Tensor, "n c g v"], Kept]:
        average, *details = haar_analysis(features)
        return average, (*details, features)

    def up(self, features: Float[Tensor, "n c h w"], kept: Kept) -> Float[Tensor, "n d g v"]:
        *details, before = kept
        ll, lh, hl, hh = (_doubled(band) / 2 for band in (features, *details))
        for horizontal in (lh, hh):
            horizontal[..., ::2].neg_()
        for vertical in (hl, hh):
            vertical[:, :, ::2].neg_()
        return torch.cat([ll, lh, hl, hh, before], dim=1)


def haar_analysis(features: Float[Tensor, "n c h w"]) -> tuple[Float[Tensor, "n c g v"], ...]:
    """Give the bands LL, LH, HL and HH of 2×2 cells: products with kernels of ±½ (an orthonormal transform).

    The first letter is the vertical filter, the second the horizontal one.
    """
    top, bottom = features[:, :, ::2], features[:, :, 1::2]
    low, high = top + bottom, bottom - top
    return tuple(
        half
        for rows in (low, high)
        for half in ((rows[..., ::2] + rows[..., 1::2]) / 2, (rows[..., 1::2] - rows[..., ::2]) / 2)
    )


def haar_synthesis(
    ll: Float[Tensor, "n c h w"],
    lh: Float[Tensor, "n c h w"],
    hl: Float[Tensor, "n c h w"],
    hh: Float[Tensor, "n c h w"],
) -> Float[Tensor, "n c g v"]:
    """Invert `haar_analysis`: the sum of the four bands, each through its transposed kernel."""
    low = torch.stack([ll - lh, ll + lh], dim=-1).flatten(-2)  # (n, c, h, w, 2) -> (n, c, h, 2w)
    high = torch.stack([hl - hh, hl + hh], dim=-1).flatten(-2)
    return torch.stack([low - high, low + high], dim=-2).flatten(-3, -2) / 2  # (n, c, h, 2, 2w) -> (n, c, 2h, 2w)


def _doubled(features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c g v"]:
    return functional.interpolate(features, scale_factor=2.0, mode="nearest")


POOLINGS: dict[str, Pooling] = {
    p.name: p for p in (NearestPooling(), IndexPooling(), HaarSumPooling(), HaarCat5Pooling())
}
