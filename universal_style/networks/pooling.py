"""The pooling pair of a stage: how it goes down a level, and how the mirror comes back up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from universal_style.networks.bands import in_bands
from universal_style.networks.cells import convolved_from_cells, doubled, doubled_and_activated
from universal_style.networks.convolution import (
    PLAIN,
    ReflectionConvolution,
    activates_at_once,
    bias_of,
    convolved,
    framed_for,
)
from universal_style.networks.layout import layout_of, room_like

Kept = tuple[Tensor, ...]
"""What going down keeps for coming back up: nothing, where the maxima were, or wavelet bands."""


NEAR, FULL = 2**-7, 250
"""Difference from the maximum, as a share of it, from which a number counts as another; steps of what lies between."""
LEAST = 2**-3
"""Least maximum that others are measured by, lest rounding choose where it is near 0; activations are 1 on average."""


@runtime_checkable
class Pooling(Protocol):
    """A pair of resamplings by two. Sizes are even: the drivers see to that.

    Attributes:
        name: of the decoders trained with it.
        family: of the encoder features; poolings that go down alike share it, and with it a style's moments.
        widening: channels that come up for each one that goes in.
        bands: names of those entries of `Kept` that are features and may be edited, in order, after `with_bands`.
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

    def activate_and_down(
        self, features: Float[Tensor, "n c h w"], layer: ReflectionConvolution
    ) -> tuple[Float[Tensor, "n d g v"], Kept]:
        """Give `down` of the layer's activated answer, by whatever way is quickest."""
        ...

    def with_bands(self, kept: Kept) -> Kept:
        """Give what `down` kept with the bands, which may be edited, before all else; `up` takes it either way."""
        ...

    def up(self, features: Float[Tensor, "n c h w"], kept: Kept) -> Float[Tensor, "n d g v"]:
        """Double the size with what `down` kept."""
        ...

    def up_and_activate(
        self, features: Float[Tensor, "n c h w"], kept: Kept, layer: ReflectionConvolution
    ) -> Float[Tensor, "n e g v"]:
        """Give the layer's activated answer to `up`, by whatever way is quickest."""
        ...


class Plainly:
    """What is kept is the bands, or holds none."""

    def with_bands(self, kept: Kept) -> Kept:
        return kept


class Separately:
    """The convolution and the resampling one after the other, where nothing is quicker."""

    def activate_and_down(
        self: Pooling, features: Float[Tensor, "n c h w"], layer: ReflectionConvolution
    ) -> tuple[Float[Tensor, "n d g v"], Kept]:
        return self.down(layer.activated(features))

    def up_and_activate(
        self: Pooling, features: Float[Tensor, "n c h w"], kept: Kept, layer: ReflectionConvolution
    ) -> Float[Tensor, "n e g v"]:
        return layer.activated(self.up(features, kept))


@dataclass(frozen=True)
class NearestPooling(Plainly):
    """Maximum of 2×2 down, nearest neighbour up.

    Source: Li et al. 2017 (universal style transfer), section 3.1.
    """

    name: str = "nearest"
    family: str = "max"
    widening: int = 1
    bands: tuple[str, ...] = ()

    def down(self, features: Float[Tensor, "n c h w"]) -> tuple[Float[Tensor, "n c g v"], Kept]:
        return largest_of_cells(features), ()

    def activate_and_down(
        self, features: Float[Tensor, "n c h w"], layer: ReflectionConvolution
    ) -> tuple[Float[Tensor, "n d g v"], Kept]:
        """Take the maxima first: ReLU commutes with them, and has a quarter of the features to pass over."""
        if activates_at_once(features):
            return self.down(layer.activated(features))
        maxima, kept = self.down(layer(features))
        return maxima.relu_(), kept

    def up(self, features: Float[Tensor, "n c h w"], kept: Kept) -> Float[Tensor, "n c g v"]:
        return doubled(features)

    def up_and_activate(
        self, features: Float[Tensor, "n c h w"], kept: Kept, layer: ReflectionConvolution
    ) -> Float[Tensor, "n e g v"]:
        return doubled_and_activated(features, layer)


@dataclass(frozen=True)
class AveragePooling(Plainly, Separately):
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
        return doubled(features)

    def up_and_activate(
        self, features: Float[Tensor, "n c h w"], kept: Kept, layer: ReflectionConvolution
    ) -> Float[Tensor, "n e g v"]:
        return doubled_and_activated(features, layer)


@dataclass(frozen=True)
class IndexPooling(Plainly, Separately):
    """Maximum of 2×2 down, back up to where the maximum was, half of it elsewhere.

    Source: Li et al. 2018 (closed-form photorealistic stylisation), section 3.1.
    Departs: half the maximum in place of zeros, which is about what other pixels of a window hold: 14 to 20 % of the
        energy of a VGG-19's activations before pooling is lost so, 43 to 53 % with zeros. Where several pixels of a
        window share the maximum, as in a window of zeros, all of them are filled and not the first alone, so that
        nothing is shifted to the upper left. What lies within a 128th of the maximum is filled in between, since a
        choice would turn on rounding: pictures in windows or in bfloat16 would show another pattern.
    """

    name: str = "index"
    family: str = "max"
    widening: int = 1
    bands: tuple[str, ...] = ()

    def down(self, features: Float[Tensor, "n c h w"]) -> tuple[Float[Tensor, "n c g v"], Kept]:
        largest = largest_of_cells(features)
        steepness = 1 / (NEAR * largest.clamp(min=LEAST))
        gaps = (doubled(largest) - features).mul_(doubled(steepness))
        return largest, ((1 - gaps).clamp_(min=0).mul_(FULL).round_().to(torch.uint8),)

    def up(self, features: Float[Tensor, "n c h w"], kept: Kept) -> Float[Tensor, "n c g v"]:
        (nearness,) = kept
        return doubled(features / 2).mul_(nearness.to(features.dtype).div_(FULL).add_(1))


@dataclass(frozen=True)
class HaarSumPooling(Plainly, Separately):
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
class HaarCat5Pooling(Separately):
    """Haar analysis down, of which the average goes on; up, each band on its own beside the features before pooling.

    Source: Yoo et al. 2019 (WCT²), section 3.2, with unpooling by concatenation.
    """

    name: str = "haar-cat5"
    family: str = "haar"
    widening: int = 5
    bands: tuple[str, ...] = ("lh", "hl", "hh")

    def down(self, features: Float[Tensor, "n c h w"]) -> tuple[Float[Tensor, "n c g v"], Kept]:
        return haar_average(features), (features,)

    def with_bands(self, kept: Kept) -> Kept:
        """Take the details from the features before pooling; kept beside them, they would be three quarters as much."""
        if len(kept) != 1:  # they are there already, or nothing was pooled
            return kept
        (before,) = kept
        cells, cell_bytes = before.shape[2] // 2, before[:, :, :2].nbytes
        return (*in_bands(lambda part: haar_analysis(part)[1:], kept, cells, halo=0, cell_bytes=cell_bytes), before)

    def up(self, features: Float[Tensor, "n c h w"], kept: Kept) -> Float[Tensor, "n d g v"]:
        *details, before = self.with_bands(kept)
        ll, lh, hl, hh = (doubled(band) / 2 for band in (features, *details))
        for horizontal in (lh, hh):
            horizontal[..., ::2].neg_()
        for vertical in (hl, hh):
            vertical[:, :, ::2].neg_()
        return torch.cat([ll, lh, hl, hh, before], dim=1)

    def up_and_activate(
        self, features: Float[Tensor, "n c h w"], kept: Kept, layer: ReflectionConvolution
    ) -> Float[Tensor, "n e g v"]:
        """Convolve the bands at their own size and add what the features before pooling give.

        A convolution of concatenated features is the sum of the convolutions. A band is doubled by a pattern of signs
        that repeats in each 2×2 cell, so it is convolved from cells too, its weights by the signs of their places.
        """
        *details, before = self.with_bands(kept)
        channels = features.shape[1]
        bands = layer.weight[:, : 4 * channels].unflatten(1, (4, channels)) / 2  # (e, 4c, 3, 3) -> (e, 4, c, 3, 3)
        from_bands = convolved_from_cells(
            torch.cat([features, *(band.to(features.dtype) for band in details)], dim=1),
            layer,
            bands.flatten(1, 2),
            signs=((1, 1), (1, -1), (-1, 1), (-1, -1)),
        )
        weight = layer.weight[:, 4 * channels :]
        if activates_at_once(features):
            rest, weight = framed_for(weight, before), weight.contiguous(memory_format=torch.channels_last)
            return torch.cudnn_convolution_add_relu(rest, weight, from_bands, 1.0, layer.bias, *PLAIN)
        return from_bands.add_(convolved(before, weight, bias_of(layer))).relu_()


def largest_of_cells(features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c g v"]:
    """Give the maximum of each 2×2 cell; of planes row by row, of which torch's own takes one number at a time."""
    if torch.is_grad_enabled() or layout_of(features) == torch.channels_last:
        return functional.max_pool2d(features, 2)
    rows = torch.maximum(features[:, :, ::2], features[:, :, 1::2])
    return torch.maximum(rows[..., ::2], rows[..., 1::2])


def haar_average(features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c g v"]:
    """Give the band LL alone."""
    low = torch.lerp(features[:, :, ::2], features[:, :, 1::2], 0.5)
    return low[..., ::2] + low[..., 1::2]


def haar_analysis(features: Float[Tensor, "n c h w"]) -> tuple[Float[Tensor, "n c g v"], ...]:
    """Give the bands LL, LH, HL and HH of 2×2 cells: products with kernels of ±½ (an orthonormal transform).

    The first letter is the vertical filter, the second the horizontal one.
    """
    top, bottom = features[:, :, ::2], features[:, :, 1::2]
    low, high = torch.lerp(top, bottom, 0.5), bottom - top
    left, right = high[..., ::2], high[..., 1::2]
    return (
        low[..., ::2] + low[..., 1::2],
        low[..., 1::2] - low[..., ::2],
        torch.lerp(left, right, 0.5),
        (right - left).div_(2),
    )


def haar_synthesis(
    ll: Float[Tensor, "n c h w"],
    lh: Float[Tensor, "n c h w"],
    hl: Float[Tensor, "n c h w"],
    hh: Float[Tensor, "n c h w"],
) -> Float[Tensor, "n c g v"]:
    """Invert `haar_analysis`: the sum of the four bands, each through its transposed kernel."""
    features: Tensor = _Synthesis.apply(ll, lh, hl, hh)
    return features


class _Synthesis(torch.autograd.Function):
    """Written to where it belongs; of an orthonormal transform the way back is the analysis."""

    @staticmethod
    def forward(ctx: Any, ll: Tensor, lh: Tensor, hl: Tensor, hh: Tensor) -> Tensor:
        count, channels, height, width = ll.shape
        features = room_like(ll, (count, channels, 2 * height, 2 * width), ll.dtype)
        sides = (ll - lh, hl - hh), (ll + lh, hl + hh)
        for place, (mean, slope) in enumerate(sides):
            torch.sub(mean, slope, out=features[:, :, ::2, place::2])
            torch.add(mean, slope, out=features[:, :, 1::2, place::2])
        return features.div_(2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        return haar_analysis(gradients[0])


POOLINGS: dict[str, Pooling] = {
    p.name: p for p in (NearestPooling(), IndexPooling(), HaarSumPooling(), HaarCat5Pooling())
}
ASCENDING: dict[str, Pooling] = {p.family: p for p in (NearestPooling(), HaarSumPooling())}
"""Of each family the one that keeps least, for walks that do not come down again."""
