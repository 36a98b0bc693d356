"""Closed-form smoothing: the result that follows the style's colours and the content's edges."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from universal_style.errors import OutputError
from universal_style.smoothing.affinity import SMALLEST_SIDE, Affinity, at_least

MOST_ITERATIONS = 3000
CHECK_EVERY = 10
"""Iterations between looks at the residual, each of which waits for the device."""


@dataclass(frozen=True)
class Solution:
    """What an iterative solver found.

    Attributes:
        values: the solution.
        iterations: taken.
        residual: norm of what is left over the norm of the right-hand side, the largest of the planes.
    """

    values: Float[Tensor, "c h w"]
    iterations: int
    residual: float


@dataclass(frozen=True)
class ClosedForm:
    """Smoothing over the manifold of the content's matting affinity.

    Source: Li et al. 2018 (closed-form photorealistic stylisation), equations 8 to 10: R = (1 - β) (I - β S)⁻¹ Y with
        S = D^-½ W D^-½.
    Departs: solved for D^½ R from D^½ Y, which is (I - β D⁻¹ W) R = (1 - β) Y. The two agree wherever D is constant,
        which is everywhere but within two pixels of the border; there the paper's form darkens, since fewer windows
        hold a pixel, and this one keeps flat colours flat. The system is solved by conjugate gradients, not factored:
        the eigenvalues of I - β S lie between 1 - β and 2, so the number of iterations is bounded whatever the size.

    Attributes:
        beta: β, below 1: the nearer to 1, the smoother.
        epsilon: ε of the affinity, in squared units of [0, 1].
        tolerance: relative residual at which the solver stops.
    """

    beta: float = 0.9999
    epsilon: float = 1e-7
    tolerance: float = 1e-4

    @torch.no_grad()
    def __call__(self, result: Float[Tensor, "1 3 h w"], guide: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 3 h w"]:
        """Smooth a result along the edges of its content.

        Pictures under 3×3 are solved with their last row and column repeated.

        Raises:
            OutputError: the solver did not reach the tolerance.
        """
        height, width = result.shape[2:]
        wanted, seen = (at_least(picture.float(), SMALLEST_SIDE)[0] for picture in (result, guide))
        affinity = Affinity.of(seen, self.epsilon)
        root = affinity.degrees.sqrt()
        solution = solve(affinity, root * wanted, self.beta, self.tolerance)
        return (solution.values / root)[None, :, :height, :width]


def solve(affinity: Affinity, wanted: Float[Tensor, "c h w"], beta: float, tolerance: float) -> Solution:
    """Solve (I - β S) R = (1 - β) Y for all planes at once by conjugate gradients.

    Source: Hestenes and Stiefel 1952.

    Raises:
        OutputError: the residual stays above the tolerance.
    """
    scale = affinity.degrees.rsqrt()

    def system(values: Tensor) -> Tensor:
        return values - beta * scale * affinity(scale * values)

    def dots(one: Tensor, other: Tensor) -> Tensor:
        products: Tensor = torch.linalg.vecdot(one.flatten(1), other.flatten(1))  # (c, h, w) -> (c, h w)
        return products

    right = (1 - beta) * wanted
    norms = dots(right, right).clamp(min=torch.finfo(right.dtype).tiny)
    found, left = torch.zeros_like(right), right.clone()
    direction, energy = left.clone(), norms
    for iteration in range(1, MOST_ITERATIONS + 1):
        image = system(direction)
        step = (energy / dots(direction, image).clamp(min=torch.finfo(right.dtype).tiny))[:, None, None]
        found.addcmul_(direction, step)
        left.addcmul_(image, step, value=-1)
        before, energy = energy, dots(left, left)
        if iteration % CHECK_EVERY == 0 and bool((energy <= tolerance**2 * norms).all()):
            residual = float(((right - system(found)).flatten(1).square().sum(1) / norms).max().sqrt())
            return Solution(found, iteration, residual)
        direction.mul_((energy / before.clamp(min=torch.finfo(right.dtype).tiny))[:, None, None]).add_(left)
    residual = float((energy / norms).max().sqrt())
    raise OutputError(
        f"smoothing reached a residual of {residual:.1e} in {MOST_ITERATIONS} steps, {tolerance:.0e} was needed; "
        "use --smooth guided or none and report the pictures"
    )
