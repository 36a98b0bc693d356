"""Closed-form smoothing: the result that follows the style's colours and the content's edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from universal_style.errors import OutputError
from universal_style.recordings import recorded
from universal_style.smoothing.affinity import EPSILON, SMALLEST_SIDE, Affinity, at_least, chunk_of
from universal_style.smoothing.coarse import CoarseModels

MOST_ITERATIONS = 3000
ROUND_DROP = 1e-2
"""Factor by which the float32 residual falls before the true one is computed and steps start afresh."""


@dataclass(frozen=True)
class Solution:
    """What an iterative solver found.

    Attributes:
        values: the solution, float64.
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
        the eigenvalues of I - β S lie between 1 - β and 1 (W is positive semidefinite too), so their number is bounded
        whatever the size; `CoarseModels` takes it to a quarter of that bound.

    Attributes:
        beta: β, below 1: the nearer to 1, the smoother.
        epsilon: ε of the affinity, in squared units of [0, 1].
        tolerance: relative residual at which the solver stops.
    """

    beta: float = 0.9999
    epsilon: float = EPSILON
    tolerance: float = 1e-4
    stride: ClassVar[int] = 1
    reach: ClassVar[int] = 256  # all depends on all, but less than is seen on what is farther away
    at_once: ClassVar[int] = 8_000_000  # some 280 bytes for each

    @torch.no_grad()
    def __call__(self, result: Float[Tensor, "1 3 h w"], guide: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 3 h w"]:
        """Smooth a result along the edges of its content.

        Pictures under 3×3 are solved with their last row and column repeated.

        Raises:
            OutputError: the solver did not reach the tolerance.
        """
        height, width = result.shape[2:]
        # one plane after the other: interleaved channels slow every product fivefold
        wanted, seen = (at_least(picture.float().contiguous(), SMALLEST_SIDE)[0] for picture in (result, guide))
        affinity = Affinity.of(seen, self.epsilon)
        root = affinity.degrees.sqrt()
        solution = solve(affinity, seen, root * wanted, self.beta, self.tolerance)
        return (solution.values / root)[None, :, :height, :width].to(result.dtype)


def solve(
    affinity: Affinity, guide: Float[Tensor, "3 h w"], wanted: Float[Tensor, "c h w"], beta: float, tolerance: float
) -> Solution:
    """Solve (I - β S) R = (1 - β) Y for all planes at once by preconditioned conjugate gradients.

    With R = D^½ U the system is (D - β W) U = (1 - β) D^½ Y, which needs no scaled weights. Residuals are those of the
    system in R. Its right-hand side is 1e-4 of R, so that float32 cannot tell residuals under some 5e-3 of it:
    directions are float32, but their sum and, between rounds, the true residual are float64.

    Source: Hestenes and Stiefel 1952; Wilkinson 1963 (iterative refinement).

    Args:
        affinity: of the guide.
        guide: pixels in [0, 1], which the preconditioner models the solution by.
        wanted: Y.
        beta: β, in [0, 1).
        tolerance: relative residual to reach.

    Raises:
        OutputError: the residual stays above the tolerance.
    """
    scale = affinity.degrees.double().sqrt()
    right = ((1 - beta) * scale * wanted).to(wanted.dtype).contiguous()
    norms = _norms(right, affinity).clamp(min=torch.finfo(right.dtype).tiny)
    steps = Steps(affinity, CoarseModels.of(affinity, guide, beta), beta, right)
    found = torch.zeros_like(right, dtype=torch.float64)
    left, residual, taken = right, 1.0, 0
    while residual > tolerance and taken < MOST_ITERATIONS:
        goal = max(tolerance, ROUND_DROP * residual)
        taken += steps.go(left, goal**2 * norms, MOST_ITERATIONS - taken)
        found += steps.found
        left = affinity.combined(found, -1, beta).add_(right).float()
        residual = float((_norms(left, affinity) / norms).max().sqrt())
    if not residual <= tolerance:
        raise OutputError(
            f"smoothing reached a residual of {residual:.1e} in {taken} steps, {tolerance:.0e} was needed; "
            "use --smooth guided or none and report the pictures"
        )
    return Solution(found.mul_(scale), taken, residual)


class Steps:
    """Steps of conjugate gradients in float32, in memory that is taken once.

    Given back and taken afresh at every step, it would be mapped and zeroed anew each time; and a graphics card can
    repeat a step that it has recorded with no commands between its parts, which would take longer than they do.

    Attributes:
        found: the sum of the steps since the last round began.
    """

    found: Float[Tensor, "c h w"]

    def __init__(
        self, affinity: Affinity, precondition: CoarseModels, beta: float, like: Float[Tensor, "c h w"]
    ) -> None:
        self._affinity, self._precondition, self._beta = affinity, precondition, beta
        self.found, self._left, self._direction, self._image, self._better = (torch.empty_like(like) for _ in range(5))
        self._energy = like.new_zeros(len(like))
        self._norms = like.new_zeros(len(like))
        self._recorded: torch.cuda.CUDAGraph | None = None

    def go(self, right: Float[Tensor, "c h w"], goals: Float[Tensor, " c"], most: int) -> int:
        """Take steps from nothing until the squared norms of the residual that they carry along reach goals.

        Returns:
            Their number, at least 1.
        """
        self.found.zero_()
        self._left.copy_(right)
        self._precondition(self._left, out=self._direction)
        self._energy.copy_(_dots(self._left, self._direction))
        taken = 0
        while taken < most:
            self._step()
            taken += 1
            if not bool((self._norms > goals).any()):  # also ends what is no longer a number
                break
        return taken

    def _step(self) -> None:
        """Take a step; the first on a graphics card makes all ready for the recording of the others."""
        if self._recorded is not None:
            self._recorded.replay()
            return
        self._take()
        if self._left.device.type == "cuda":
            self._recorded, _ = recorded(self._take)

    def _take(self) -> None:
        tiny = torch.finfo(self._left.dtype).tiny
        self._affinity.combined(self._direction, 1, -self._beta, out=self._image)
        step = (self._energy / _dots(self._direction, self._image).clamp(min=tiny))[:, None, None]
        self.found.addcmul_(self._direction, step)
        self._left.addcmul_(self._image, step, value=-1)
        self._norms.copy_(_norms(self._left, self._affinity))
        self._precondition(self._left, out=self._better)
        energy = _dots(self._left, self._better)
        self._direction.mul_((energy / self._energy.clamp(min=tiny))[:, None, None]).add_(self._better)
        self._energy.copy_(energy)


def _dots(one: Float[Tensor, "c h w"], other: Float[Tensor, "c h w"]) -> Float[Tensor, " c"]:
    """Give the products of planes, summed chunk by chunk: float32 sums over megapixels would drift."""
    chunk = chunk_of(one[0])
    chunks = zip(*(planes.flatten(1).split(chunk, dim=1) for planes in (one, other)), strict=True)  # -> (c, h w)
    total: Tensor = torch.stack([torch.stack(list(map(torch.dot, *pair))) for pair in chunks]).sum(0)
    return total


def _norms(left: Float[Tensor, "c h w"], affinity: Affinity) -> Float[Tensor, " c"]:
    """Give the squared norms of a residual in U as one in R."""
    chunk = chunk_of(affinity.degrees)
    chunks = zip(*(planes.flatten(-2).split(chunk, dim=-1) for planes in (left, affinity.degrees)), strict=True)
    total: Tensor = torch.stack([(part.square() / degrees).sum(1) for part, degrees in chunks]).sum(0)
    return total
