"""How several styles become one: their maps are mixed, or their statistics."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from universal_style.errors import OptionError
from universal_style.moments import Moments
from universal_style.names import looked_up
from universal_style.ranges import real_numbers
from universal_style.transforms import OptimalTransport

Weighed = Sequence[tuple[float, Moments]]
"""Styles at one site with their weights."""

Mixing = Callable[[Weighed], Weighed]
"""Turns styles into those whose maps are mixed."""

MOST_ITERATIONS = 30
TOLERANCE = 1e-6
"""Relative change of the covariance at which the barycentre is found."""


def shares(weights: Sequence[float]) -> tuple[float, ...]:
    """Scale weights to sum to 1; those that do but for rounding stay as they are, so that to do it again is safe.

    Args:
        weights: each at least 0, not all 0.
    """
    total = math.fsum(weights)
    return tuple(weights) if math.isclose(total, 1) else tuple(weight / total for weight in weights)


def style_shares(weights: Sequence[float] | None, styles: int) -> tuple[float, ...]:
    """Say how much each style counts, in sum 1.

    Args:
        weights: one for each style, at least 0 and not all 0; equal when left out.
        styles: how many there are.

    Raises:
        OptionError: there is no style, or the weights do not fit the styles.
    """
    if styles < 1:
        raise OptionError("no style given; give at least one style picture or preset")
    if weights is None:
        return (1 / styles,) * styles
    weights = real_numbers("style weights", weights)
    if len(weights) != styles:
        raise OptionError(f"{len(weights)} style weights for {styles} styles; give one weight per style")
    if not all(0 <= w < math.inf for w in weights) or not any(weights):
        raise OptionError(f"style weights {','.join(f'{w:g}' for w in weights)} must be at least 0 and not all 0")
    return shares(weights)


def maps(styles: Weighed) -> Weighed:
    """Mix maps: every style keeps its own.

    Source: Li et al. 2017 (universal style transfer), section 4.2.
    """
    return styles


def statistics(styles: Weighed) -> Weighed:
    """Mix statistics: one style stands in the middle of all, by the Wasserstein distance of Gaussians.

    Source: Mroueh 2020 (Wasserstein style transfer), section 5.
    """
    return [(sum(weight for weight, _ in styles), barycentre(styles))]


def barycentre(styles: Weighed) -> Moments:
    """Find the Gaussian with the least weighted sum of squared Wasserstein distances to some others.

    Source: Álvarez-Esteban et al. 2016, theorem 4.2: S ← T S T with T the weighted mean of the transport maps from S.

    Args:
        styles: at least one with a weight above 0; the weights need not sum to 1.
    """
    total = sum(weight for weight, _ in styles)
    shares = [weight / total for weight, _ in styles]
    parts = [moments for _, moments in styles]
    count = torch.stack([share * part.count for share, part in zip(shares, parts, strict=True)]).sum()
    mean = torch.stack([share * part.mean for share, part in zip(shares, parts, strict=True)]).sum(dim=0)
    middle = torch.stack([share * part.covariance for share, part in zip(shares, parts, strict=True)]).sum(dim=0)
    freedom = (count - 1).clamp(min=1)
    transport = OptimalTransport()
    for _ in range(MOST_ITERATIONS):
        here = Moments(count.clamp(min=2), mean, middle * freedom)
        carried = [share * transport(here, part).matrix for share, part in zip(shares, parts, strict=True)]
        step = torch.stack(carried).sum(dim=0)
        before, middle = middle, step @ middle @ step.T
        if torch.linalg.matrix_norm(middle - before) <= TOLERANCE * torch.linalg.matrix_norm(middle):
            break
    return Moments(count, mean, middle * freedom)


MIXINGS: dict[str, Mixing] = {"maps": maps, "statistics": statistics}


def mixing_named(name: str) -> Mixing:
    """Look a mixing up.

    Raises:
        OptionError: no mixing has this name.
    """
    return looked_up("mix", name, MIXINGS)
