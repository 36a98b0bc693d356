"""The losses of the optimisers and trainers: of content, of style by regions, of roughness, of photorealism."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from universal_style.drivers.whole import drive
from universal_style.moments import product_with_itself
from universal_style.networks.layers import Layers
from universal_style.networks.stage import Site
from universal_style.smoothing.affinity import Affinity
from universal_style.windows import grown

TINY = 1e-12
MOST_LESS = 0.1
"""Share of columns up to which those that count less are taken off a sum over all: more would leave rounding errors."""


def relative_error(given: Tensor, wanted: Tensor) -> Tensor:
    """Squared norm of the difference over the squared norm of what was wanted, in float32 or better."""
    precision = torch.promote_types(given.dtype, torch.float32)
    gap = (given.to(precision) - wanted).square().sum()
    share: Tensor = gap / wanted.to(precision).square().sum().clamp(min=TINY)
    return share


def columns_of(features: Float[Tensor, "n c g v"]) -> Float[Tensor, "n m c"]:
    """Lay the feature columns out as rows, in float32 or better; a view where channels come last in memory."""
    rows = features.permute(0, 2, 3, 1).flatten(1, 2)  # (n, c, g, v) -> (n, m, c)
    return rows.to(torch.promote_types(rows.dtype, torch.float32))


@dataclass(frozen=True)
class RegionWeights:
    """How much each column of a layer counts in a region: weights that sum to 1.

    Few columns are listed, since they are copied: those of a region, or those by which a whole picture was grown.

    Attributes:
        everywhere: what each column counts, but for those that are listed; 0 where these alone count.
        listed: their places …
        weights: … and what they count, or, where `everywhere` is not 0, by how much less than that.
    """

    everywhere: float
    listed: Int64[Tensor, " t"]
    weights: Float[Tensor, " t"]

    @classmethod
    def of(cls, shares: Float[Tensor, "rows columns"]) -> RegionWeights:
        """Scale the shares of a region, which are not all 0."""
        weights = shares.flatten() / shares.sum()  # (rows, columns) -> (m,)
        largest = weights.max()
        (less,) = (weights < largest).nonzero(as_tuple=True)
        if len(less) <= MOST_LESS * len(weights):
            return cls(float(largest), less, largest - weights[less])
        (counted,) = weights.nonzero(as_tuple=True)
        return cls(0.0, counted, weights[counted])

    def second_moment(self, columns: Float[Tensor, "m c"]) -> Float[Tensor, "c c"]:
        """Give the mean of x xᵀ: the region's Gram matrix over its number of columns."""
        listed = product_with_itself(columns[self.listed] * self.weights.to(columns.dtype).sqrt()[:, None])
        return self.everywhere * product_with_itself(columns) - listed if self.everywhere else listed

    def add_product(
        self, sums: Float[Tensor, "m c"], columns: Float[Tensor, "m c"], matrix: Float[Tensor, "c c"]
    ) -> None:
        """Add weight · matrix · x to the sum of each column x, in place."""
        listed = (columns[self.listed] * self.weights.to(columns.dtype)[:, None]) @ matrix
        if self.everywhere:
            sums.addmm_(columns, matrix, alpha=self.everywhere)
        sums.index_add_(0, self.listed, listed, alpha=-1 if self.everywhere else 1)


def squared_norm(gram: Float[Tensor, "c c"]) -> Float[Tensor, ""]:
    """Give the squared Frobenius norm of a Gram matrix."""
    return gram.square().sum()


@dataclass(frozen=True)
class GramAim:
    """What one region of a layer should look like.

    Attributes:
        region: the columns that count.
        share: what the region counts beside the others; at most 1 together.
        gram: the Gram matrix that is wanted.
        norm: squared norm that the squared distance is relative to.
    """

    region: RegionWeights
    share: float
    gram: Float[Tensor, "c c"]
    norm: Float[Tensor, ""]


@dataclass(frozen=True)
class StyleTerm:
    """How far the Gram matrices of one layer are from those that are wanted, region by region.

    Source: Gatys et al. 2016, equations 3 and 4; by regions as in Luan et al. 2017 (Deep Photo), equation 3.
    Departs: Grams are over the number of columns, and distances relative to a norm, so that layers of any scale weigh
        the same and a weight means the same for every encoder and size; regions count by their area.

    Attributes:
        weight: of the layer.
        aims: one for each region.
    """

    weight: float
    aims: Sequence[GramAim]

    def tap(self, features: Float[Tensor, "n c g v"]) -> tuple[Float[Tensor, "n c g v"], Float[Tensor, ""]]:
        """Give the features to go on with, and the loss, averaged over the pictures of a batch."""
        passed, loss = _Tap.apply(features, self)
        return passed, loss


class _Tap(torch.autograd.Function):
    """Passes features on and takes a style loss off them.

    Its gradient 4 w a / n (G - A) x is added onto the one that comes back from the deeper layers in one product, where
    automatic differentiation would make two products and a sum, and lay them out another way in memory.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, term: StyleTerm) -> tuple[Tensor, Tensor]:
        seen = columns_of(features)
        loss, matrices = seen.new_zeros(()), []
        # Networks may run under autocast, which would multiply these in half precision too: sums over all columns.
        with torch.autocast(seen.device.type, enabled=False):
            for picture in seen:
                for aim in term.aims:
                    gap = aim.region.second_moment(picture) - aim.gram
                    scale = term.weight * aim.share / (len(seen) * aim.norm.clamp(min=TINY))
                    loss = loss + scale * gap.square().sum()
                    matrices.append(4 * scale * gap)
        ctx.term, ctx.matrices, ctx.dtype = term, matrices, features.dtype
        ctx.save_for_backward(seen)
        # Detached, not viewed: a view of one picture forgets that its channels come last, and every layer would copy.
        return features.detach(), loss.to(seen.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (seen,) = ctx.saved_tensors
        term: StyleTerm = ctx.term
        passed, of_loss = grads
        total = passed.to(seen.dtype, memory_format=torch.channels_last, copy=True)
        sums = total.permute(0, 2, 3, 1).view(seen.shape)  # (n, c, g, v) -> (n, m, c)
        matrices = iter(ctx.matrices)
        for picture, own in zip(seen, sums, strict=True):
            for aim in term.aims:
                aim.region.add_product(own, picture, of_loss.to(seen.dtype) * next(matrices).to(seen.dtype))
        return total.to(ctx.dtype), None


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

    def tap(self, features: Float[Tensor, "n c g v"]) -> tuple[Float[Tensor, "n c g v"], Float[Tensor, ""]]:
        """Give the features to go on with, and the loss."""
        return features, self.weight * relative_error(features, self.aims)


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
        style: list[Tensor] = []
        content: list[Tensor] = []

        def tap(site: Site, features: Tensor) -> Tensor:
            for terms, losses in ((self.style, style), (self.content, content)):
                if site in terms:
                    features, loss = terms[site].tap(features)
                    losses.append(loss)
            return features

        fitting = grown(pixels, self.layers.stride).contiguous(memory_format=torch.channels_last)
        drive(self.layers.walk(fitting), tap)
        terms = {"style": _sum(style, pixels), "content": _sum(content, pixels)}
        if self.tv_weight:
            terms["tv"] = self.tv_weight * total_variation(pixels)
        if self.affinity is not None and self.photorealism_weight:
            terms["photorealism"] = self.photorealism_weight * photorealism(pixels, self.affinity)
        return terms


def _sum(terms: Sequence[Tensor], like: Tensor) -> Tensor:
    return torch.stack(list(terms)).sum() if terms else like.new_zeros(())
