"""The losses of the optimisers and trainers: of content, of style by regions, of roughness, of photorealism."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from universal_style.drivers.whole import grown
from universal_style.networks.layers import Layers
from universal_style.networks.stage import Site
from universal_style.smoothing.affinity import Affinity

TINY = 1e-12


def relative_error(given: Tensor, wanted: Tensor) -> Tensor:
    """Squared norm of the difference over the squared norm of what was wanted, in float32 or better."""
    precision = torch.promote_types(given.dtype, torch.float32)
    gap = (given.to(precision) - wanted).square().sum()
    share: Tensor = gap / wanted.to(precision).square().sum().clamp(min=TINY)
    return share


def second_moments(
    features: Float[Tensor, "n c g v"], shares: Float[Tensor, "k rows columns"]
) -> Float[Tensor, "n k c c"]:
    """Give the mean of x xᵀ over the columns of each region: its Gram matrix over its number of columns.

    Args:
        features: may reach beyond the picture at the lower and right end.
        shares: weight of each column of the picture in each region; a region's must not all be 0.
    """
    _, rows, columns = shares.shape
    inside = features[:, :, :rows, :columns].flatten(2)  # (n, c, g, v) -> (n, c, m)
    inside = inside.to(torch.promote_types(inside.dtype, torch.float32))
    weights = (shares / shares.sum(dim=(1, 2), keepdim=True)).flatten(1).to(inside.dtype)  # (k, m)
    if len(weights) == 1 and bool((shares == shares.flatten()[0]).all()):
        return (inside @ inside.mT / inside.shape[2])[:, None]
    grams = []
    for own in weights:
        (touched,) = own.nonzero(as_tuple=True)  # regions hardly overlap: all together cost little more than one
        columns = inside[:, :, touched] * own[touched].sqrt()
        grams.append(columns @ columns.mT)
    return torch.stack(grams, dim=1)


def squared_norms(grams: Float[Tensor, "k c c"]) -> Float[Tensor, " k"]:
    """Give the squared Frobenius norm of each Gram matrix."""
    return grams.square().sum(dim=(1, 2))


@dataclass(frozen=True)
class StyleTerm:
    """How far the Gram matrices of one layer are from those that are wanted, region by region.

    Source: Gatys et al. 2016, equations 3 and 4; by regions as in Luan et al. 2017 (Deep Photo), equation 3.
    Departs: Grams are over the number of columns, and distances relative to a norm, so that layers of any scale weigh
        the same and a weight means the same for every encoder and size; regions count by their area.

    Attributes:
        weight: of the layer.
        shares: weight of each column in each region.
        areas: what each region counts, at most 1 together.
        aims: the Gram matrix wanted in each region.
        norms: squared norm that the squared distance in each region is relative to.
    """

    weight: float
    shares: Float[Tensor, "k rows columns"]
    areas: Float[Tensor, " k"]
    aims: Float[Tensor, "k c c"]
    norms: Float[Tensor, " k"]

    def __call__(self, features: Float[Tensor, "n c g v"]) -> Float[Tensor, ""]:
        """Average over the pictures of a batch."""
        gaps = second_moments(features, self.shares) - self.aims
        distances = gaps.square().sum(dim=(2, 3)) / self.norms.clamp(min=TINY)
        return self.weight * (self.areas * distances).sum(dim=1).mean()


@dataclass(frozen=True)
class ContentTerm:
    """How far the features of one layer are from the content's.

    Source: Gatys et al. 2016, equation 1.
    Departs: relative to the norm of the content's features.

    Attributes:
        weight: of the layer.
        aims: the content's features.
    """

    weight: float
    aims: Float[Tensor, "n c g v"]

    def __call__(self, features: Float[Tensor, "n c g v"]) -> Float[Tensor, ""]:
        return self.weight * relative_error(features, self.aims)


def total_variation(pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, ""]:
    """Give the mean squared difference of neighbouring pixels.

    Source: Mahendran and Vedaldi 2015, equation 4 with β = 2, over the number of pixels.
    """
    down, right = pixels.diff(dim=2).square(), pixels.diff(dim=3).square()
    total: Tensor = (down.sum() + right.sum()) / pixels.numel()
    return total


class _Photorealism(torch.autograd.Function):
    """Σ over channels of v · L v, with the gradient 2 L v that needs no second product."""

    @staticmethod
    def forward(ctx: Any, pixels: Tensor, affinity: Affinity) -> Tensor:
        product = affinity.laplacian(pixels.detach().contiguous())
        ctx.save_for_backward(product)
        return (pixels.detach() * product).sum()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (product,) = ctx.saved_tensors
        return 2 * grads[0] * product, None


def photorealism(pixels: Float[Tensor, "1 3 h w"], affinity: Affinity) -> Float[Tensor, ""]:
    """Say how far each small window is from an affine function of the content's colours, per pixel.

    Source: Luan et al. 2017 (Deep Photo), equation 2: Σ over channels of Vᵀ L V, L the matting Laplacian.
    Departs: over the number of pixels, so that a weight means the same at every size.
    """
    energy: Tensor = _Photorealism.apply(pixels[0], affinity)
    return energy / pixels[0, 0].numel()


@dataclass(frozen=True)
class Energy:
    """What an optimiser makes small.

    Source: Gatys et al. 2016, equation 7; with a photorealism weight, Luan et al. 2017, equation 4.

    Attributes:
        layers: those that are looked at.
        style: the term of each style layer, by site.
        content: the term of each content layer, by site.
        tv_weight: of `total_variation`.
        affinity: of the content, for `photorealism` …
        photorealism_weight: … and its weight; 0 leaves it out.
    """

    layers: Layers
    style: Mapping[Site, StyleTerm]
    content: Mapping[Site, ContentTerm]
    tv_weight: float = 0.0
    affinity: Affinity | None = None
    photorealism_weight: float = 0.0

    def __call__(self, pixels: Float[Tensor, "n 3 h w"]) -> dict[str, Tensor]:
        """Give the weighted terms; their sum is what is minimised."""
        style, content = [], []
        for site, features in self.layers.see(grown(pixels, self.layers.stride)):
            if site in self.style:
                style.append(self.style[site](features))
            if site in self.content:
                content.append(self.content[site](features))
        terms = {"style": _sum(style, pixels), "content": _sum(content, pixels)}
        if self.tv_weight:
            terms["tv"] = self.tv_weight * total_variation(pixels)
        if self.affinity is not None and self.photorealism_weight:
            terms["photorealism"] = self.photorealism_weight * photorealism(pixels, self.affinity)
        return terms


def _sum(terms: Sequence[Tensor], like: Tensor) -> Tensor:
    return torch.stack(list(terms)).sum() if terms else like.new_zeros(())
