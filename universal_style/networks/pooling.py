"""The pooling pair of a stage: how it goes down a level, and how the mirror comes back up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from universal_style.networks.borders import bordered
from universal_style.networks.convolution import PLAIN, ReflectionConvolution, activates_at_once, bias_of

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

    def activate_and_down(
        self, features: Float[Tensor, "n c h w"], layer: ReflectionConvolution
    ) -> tuple[Float[Tensor, "n d g v"], Kept]:
        """Give `down` of the layer's activated answer, by whatever way is quickest."""
        ...

    def up(self, features: Float[Tensor, "n c h w"], kept: Kept) -> Float[Tensor, "n d g v"]:
        """Double the size with what `down` kept."""
        ...

    def up_and_activate(
        self, features: Float[Tensor, "n c h w"], kept: Kept, layer: ReflectionConvolution
    ) -> Float[Tensor, "n e g v"]:
        """Give the layer's activated answer to `up`, by whatever way is quickest."""
        ...


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
class AveragePooling(Separately):
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
class IndexPooling(Separately):
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
        return largest, (features.bfloat16() == doubled(largest.bfloat16()),)

    def up(self, features: Float[Tensor, "n c h w"], kept: Kept) -> Float[Tensor, "n c g v"]:
        (where,) = kept
        shares = where.view(torch.uint8) + 1  # halves of the maximum: a product is quicker than a choice, and as exact
        return doubled(features / 2).mul_(shares)


@dataclass(frozen=True)
class HaarSumPooling(Separately):
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
        average, *details = haar_analysis(features)
        return average, (*details, features)

    def up(self, features: Float[Tensor, "n c h w"], kept: Kept) -> Float[Tensor, "n d g v"]:
        *details, before = kept
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
        *details, before = kept
        channels = features.shape[1]
        bands = layer.weight[:, : 4 * channels].unflatten(1, (4, channels)) / 2  # (e, 4c, 3, 3) -> (e, 4, c, 3, 3)
        from_bands = convolved_from_cells(
            torch.cat([features, *(band.to(features.dtype) for band in details)], dim=1),
            layer,
            bands.flatten(1, 2),
            signs=((1, 1), (1, -1), (-1, 1), (-1, -1)),
        )
        rest, weight = layer.bordered(before), layer.weight[:, 4 * channels :]
        if activates_at_once(features):
            weight = weight.contiguous(memory_format=torch.channels_last)
            return torch.cudnn_convolution_add_relu(rest, weight, from_bands, 1.0, layer.bias, *PLAIN)
        return from_bands.add_(functional.conv2d(rest, weight, layer.bias)).relu_()


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
    """Written to where it belongs, channels last; of an orthonormal transform the way back is the analysis."""

    @staticmethod
    def forward(ctx: Any, ll: Tensor, lh: Tensor, hl: Tensor, hh: Tensor) -> Tensor:
        count, channels, height, width = ll.shape
        shape = count, channels, 2 * height, 2 * width
        features = torch.empty(shape, dtype=ll.dtype, device=ll.device, memory_format=torch.channels_last)
        sides = (ll - lh, hl - hh), (ll + lh, hl + hh)
        for place, (mean, slope) in enumerate(sides):
            torch.sub(mean, slope, out=features[:, :, ::2, place::2])
            torch.add(mean, slope, out=features[:, :, 1::2, place::2])
        return features.div_(2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        return haar_analysis(gradients[0])


def convolved_from_cells(
    features: Float[Tensor, "n c h w"],
    layer: ReflectionConvolution,
    weight: Float[Tensor, "e c 3 3"],
    bias: Float[Tensor, " e"] | None = None,
    signs: Sequence[tuple[int, int]] = ((1, 1),),
) -> Float[Tensor, "n e g v"]:
    """Convolve the doubled features without doubling them: a transposed convolution with stride 2.

    Doubled features repeat each number in a 2×2 cell, so of nine products four suffice, over sums of weights. At the
    border a reflected pixel lies in the cell that it would repeat.

    Args:
        features: at the size of the cells.
        layer: whose precision holds.
        weight: of the layer, for these features.
        bias: added to every output, where there is one.
        signs: for equal shares of the channels, in order, the sign of the upper and of the left half of each cell.
    """
    parts = []
    for part, (upper, left) in zip(weight.float().chunk(len(signs), dim=1), signs, strict=True):
        parts.append(_spread(_spread(part, 2, upper), 3, left))
    kernel = (
        torch.cat(parts, dim=1).transpose(0, 1).to(layer.weight.dtype).contiguous(memory_format=torch.channels_last)
    )
    cells = bordered(features, "replicate", kernel.dtype)
    return functional.conv_transpose2d(cells, kernel, bias, stride=2, padding=3)


def _spread(weight: Tensor, axis: int, sign: int) -> Tensor:
    """Sum three taps over doubled cells, the first half of each times a sign, to the four that the cells have."""
    before, middle, after = weight.unbind(axis)
    return torch.stack((sign * after, sign * middle + after, sign * before + middle, before), dim=axis)


def doubled_and_activated(features: Float[Tensor, "n c h w"], layer: ReflectionConvolution) -> Float[Tensor, "n e g v"]:
    """Double, convolve and put 0 in the place of negative numbers.

    On CPUs from cells, or for gradients by Winograd's products, whose way back is the quicker one; on graphics cards
    just so, where cuDNN activates as it convolves.

    The four places in a cell have sums of the weights of their own, and in half precision each is rounded on its own: a
    checkerboard, faint, but all that a flat picture has, for the next level to whiten. So the features' means, which
    carry most of it, go through the layer by themselves in float32, the same for all places.
    """
    if features.device.type == "cuda" or (torch.is_grad_enabled() and layer.filters_minimally(features)):
        return layer.activated(doubled(features))
    weight, bias = layer.weight, bias_of(layer)
    if weight.dtype == torch.float32:
        return convolved_from_cells(features, layer, weight, bias).relu_()
    features = features.to(weight.dtype)
    mean = features.mean(dim=(0, 2, 3), dtype=torch.float32).to(features.dtype)
    of_mean = torch.mv(weight.float().sum(dim=(2, 3)), mean.float()) + bias
    return convolved_from_cells(features - mean[:, None, None], layer, weight, of_mean.to(bias.dtype)).relu_()


def doubled(features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c g v"]:
    """Repeat each number in a cell of 2×2."""
    if features.device.type != "cuda":
        return functional.interpolate(features, scale_factor=2.0, mode="nearest")
    count, channels, height, width = features.shape  # there torch's own reaches a quarter of the memory's speed
    cells = features.permute(0, 2, 3, 1)[:, :, None, :, None].expand(-1, -1, 2, -1, 2, -1)
    return cells.reshape(count, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)  # (n, h, 2, w, 2, c) -> as above


POOLINGS: dict[str, Pooling] = {
    p.name: p for p in (NearestPooling(), IndexPooling(), HaarSumPooling(), HaarCat5Pooling())
}
ASCENDING: dict[str, Pooling] = {p.family: p for p in (NearestPooling(), HaarSumPooling())}
"""Of each family the one that keeps least, for walks that do not come down again."""
