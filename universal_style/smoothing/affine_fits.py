"""Fits of a result as affine functions of its content's colours, one function at every place."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from universal_style.smoothing.colour_factors import ColourFactors, products


def products_of(colours: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 6 h w"]:
    """Multiply every colour by every other: rr, rg, rb, gg, gb, bb."""
    return torch.stack([*products(*colours.unbind(1))], dim=1)


def affine_fit(
    of_colours: Float[Tensor, "n 3 h w"],
    of_products: Float[Tensor, "n 6 h w"],
    of_result: Float[Tensor, "n k h w"],
    of_crossed: Float[Tensor, "n m h w"],
    *,
    epsilon: float,
) -> list[Float[Tensor, "n _ h w"]]:
    """Fit each plane of a result by colours, by ridge regression from means over what is fitted together.

    Source: He, Sun and Tang 2013, equations 14 and 15.

    Args:
        of_colours: means of the colours, less mid-grey: of small numbers, small ones are left where products are taken
            from each other.
        of_products: of their products, see `products_of`.
        of_result: of the planes that are fitted.
        of_crossed: of the products of a plane with each colour, plane by plane, m = 3 k.
        epsilon: ridge penalty ε.

    Returns:
        Three slopes for each plane, one after the other, then all offsets: what `affine` takes, not yet in one.
    """
    factors = ColourFactors.of((of_products - products_of(of_colours)).unbind(1), epsilon)
    slopes, offsets = [], []
    for wanted, together in zip(of_result.unbind(1), of_crossed.split(3, dim=1), strict=True):
        covariance = together - of_colours * wanted[:, None]
        slope = torch.stack(factors.solve(*covariance.unbind(1)), dim=1)
        slopes.append(slope)
        offsets.append(wanted - (slope * of_colours).sum(dim=1))
    return [*slopes, torch.stack(offsets, dim=1)]


def affine(fitted: Float[Tensor, "1 m h w"], guide: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 k h w"]:
    """Give the values that fitted affine functions take at the guide's colours."""
    colours = guide - 0.5
    planes = fitted.shape[1] // 4
    *slopes, offsets = fitted.split([3] * planes + [planes], dim=1)
    values: Tensor = torch.stack([(slope * colours).sum(dim=1) for slope in slopes], dim=1) + offsets
    return values
