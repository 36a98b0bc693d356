"""Functions of symmetric matrices that transforms are made of: roots, their inverses, and what is positive."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from universal_style.recordings import repeated

RELATIVE_CUTOFF = 1e-5
"""Eigenvalues under this share of the largest carry no information and are left out of an inverse.

Departs: Li et al. 2017 drop eigenvalues under 1e-5 absolute; relative is the same for any scale of features.
"""

NORM_SQUARINGS = 8
"""Of a matrix, to tell its largest eigenvalue: within 1.3 % for 512 channels that vary alike, closer for others."""
COARSEST = 1e-8
"""Share of the largest number that an iteration still tells from nothing: a rounding of float64, by its root."""
LEAST_VARIANCE = 1e-7
"""Share of a matrix's norm that is added to what a root is taken of, under which the coupled iteration is not stable;
a standard deviation of 3e-4 of the largest."""
SETTLED = 1e-12
"""What an iteration may be off in the end."""
MARGIN = 1 + 1e-9
"""Factor on a norm, so that rounding leaves nothing outside of it."""


@runtime_checkable
class MatrixRoots(Protocol):
    """Functions of symmetric positive semidefinite matrices."""

    def __call__(
        self, matrix: Float[Tensor, "c c"], negligible: Tensor | float = 0.0
    ) -> tuple[Float[Tensor, "c c"], Float[Tensor, "c c"]]:
        """Give the root and the pseudo-inverse root.

        Args:
            matrix: symmetric, positive semidefinite.
            negligible: eigenvalues up to this are left out of the inverse, beside those under `RELATIVE_CUTOFF`; the
                root may leave them out too.
        """
        ...

    def between(self, root: Float[Tensor, "c c"], covariance: Float[Tensor, "c c"]) -> Float[Tensor, "c c"]:
        """Give (R S R)^½ of two symmetric, positive semidefinite matrices."""
        ...

    def positive(self, matrix: Float[Tensor, "c c"]) -> Float[Tensor, "c c"]:
        """Leave the positive eigenvalues of a symmetric matrix, and 0 in place of the others."""
        ...


class BySpectrum:
    """All of it from eigenvalues and eigenvectors."""

    def spectrum(self, matrix: Float[Tensor, "c c"]) -> tuple[Float[Tensor, " c"], Float[Tensor, "c c"]]:
        """Decompose a symmetric matrix into eigenvalues and the eigenvectors that belong to them, as columns."""
        raise NotImplementedError

    def __call__(
        self, matrix: Float[Tensor, "c c"], negligible: Tensor | float = 0.0
    ) -> tuple[Float[Tensor, "c c"], Float[Tensor, "c c"]]:
        values, vectors = self.spectrum(matrix)
        root = values.clamp(min=0).sqrt()
        kept = values > RELATIVE_CUTOFF * values.max().clamp(min=torch.finfo(values.dtype).tiny)
        kept &= values > negligible
        inverse = torch.where(kept, root, 1).reciprocal() * kept
        return (vectors * root) @ vectors.T, (vectors * inverse) @ vectors.T

    def between(self, root: Float[Tensor, "c c"], covariance: Float[Tensor, "c c"]) -> Float[Tensor, "c c"]:
        inner = root @ covariance @ root
        values, vectors = self.spectrum((inner + inner.T) / 2)
        return (vectors * values.clamp(min=0).sqrt()) @ vectors.T

    def positive(self, matrix: Float[Tensor, "c c"]) -> Float[Tensor, "c c"]:
        values, vectors = self.spectrum(matrix)
        return (vectors * values.clamp(min=0)) @ vectors.T


@dataclass(frozen=True)
class EighRoots(BySpectrum):
    """Roots by symmetric eigen-decomposition, E D^½ Eᵀ and E D^-½ Eᵀ, small eigenvalues dropped."""

    def spectrum(self, matrix: Float[Tensor, "c c"]) -> tuple[Float[Tensor, " c"], Float[Tensor, "c c"]]:
        values, vectors = torch.linalg.eigh(matrix)
        return values, vectors


@dataclass(frozen=True)
class SvdRoots(BySpectrum):
    """Roots by singular value decomposition, as the papers write them; equal to `EighRoots`."""

    def spectrum(self, matrix: Float[Tensor, "c c"]) -> tuple[Float[Tensor, " c"], Float[Tensor, "c c"]]:
        vectors, values, others = torch.linalg.svd(matrix)
        signs = (vectors * others.T).sum(dim=0).sign()  # of an eigenvalue below 0 the two sides point apart
        return values * signs, vectors


@dataclass(frozen=True)
class NewtonSchulzRoots:
    """Roots by Newton–Schulz iterations: matrix products only, as many for any matrix, and no question to a card.

    The two decompositions behind a transport map of 512 channels take an H100 10 ms, and end with a question; these are
    recorded for each number of channels and repeated.

    Source: Higham 2008, Functions of Matrices, equation 6.35 (the coupled iteration); Chen and Chow 2014, scaled so
        that small numbers grow by 2.6 at a step in place of 1.5.
    Departs: directions under the cut-off are left out by a projector, the sign of what lies above it, and so of the
        root too. Of a root that no inverse is asked of `LEAST_VARIANCE` is added.
    """

    def __call__(
        self, matrix: Float[Tensor, "c c"], negligible: Tensor | float = 0.0
    ) -> tuple[Float[Tensor, "c c"], Float[Tensor, "c c"]]:
        least = torch.as_tensor(negligible, dtype=matrix.dtype, device=matrix.device)
        root, inverse = repeated(_root_and_inverse, matrix, least)
        return root, inverse

    def between(self, root: Float[Tensor, "c c"], covariance: Float[Tensor, "c c"]) -> Float[Tensor, "c c"]:
        (found,) = repeated(_between, root, covariance)
        return found

    def positive(self, matrix: Float[Tensor, "c c"]) -> Float[Tensor, "c c"]:
        (found,) = repeated(_positive, matrix)
        return found


@dataclass(frozen=True)
class QuickestRoots:
    """Roots by products on graphics cards, and by eigen-decomposition elsewhere."""

    def __call__(
        self, matrix: Float[Tensor, "c c"], negligible: Tensor | float = 0.0
    ) -> tuple[Float[Tensor, "c c"], Float[Tensor, "c c"]]:
        return self._for(matrix)(matrix, negligible)

    def between(self, root: Float[Tensor, "c c"], covariance: Float[Tensor, "c c"]) -> Float[Tensor, "c c"]:
        return self._for(root).between(root, covariance)

    def positive(self, matrix: Float[Tensor, "c c"]) -> Float[Tensor, "c c"]:
        return self._for(matrix).positive(matrix)

    @staticmethod
    def _for(matrix: Tensor) -> MatrixRoots:
        return NewtonSchulzRoots() if matrix.device.type == "cuda" else EighRoots()


def _root_and_inverse(matrix: Tensor, negligible: Tensor) -> tuple[Tensor, Tensor]:
    eye = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    largest = _largest(matrix)
    cutoff = torch.maximum(RELATIVE_CUTOFF * largest, negligible)
    kept = (eye + _sign(matrix - cutoff * eye)) / 2
    filled = kept @ matrix + cutoff * (eye - kept)  # what lies under the cut-off, raised to it
    bound = _norm(filled)
    root, inverse = _coupled(filled / bound, RELATIVE_CUTOFF / len(matrix) ** 0.5)
    some = largest > negligible  # or all of it is left out
    root, inverse = (torch.where(some, kept @ part, 0) for part in (root * bound.sqrt(), inverse / bound.sqrt()))
    return (root + root.T) / 2, (inverse + inverse.T) / 2


def _between(root: Tensor, covariance: Tensor) -> tuple[Tensor]:
    """Give the symmetric factor of R S^½ = (R S R)^½ U, U orthogonal."""
    eye = torch.eye(len(root), dtype=root.dtype, device=root.device)
    bound = _norm(covariance)
    other, _ = _coupled(covariance / bound + LEAST_VARIANCE * eye, LEAST_VARIANCE)
    product = root @ other * bound.sqrt()
    factor = product / _norm(product)
    for one, three in _steps(COARSEST):
        factor = torch.addmm(factor, factor, factor.T @ factor, beta=one, alpha=three)
    found = product @ factor.T
    return ((found + found.T) / 2,)


def _positive(matrix: Tensor) -> tuple[Tensor]:
    found = (matrix + matrix @ _sign(matrix)) / 2
    return ((found + found.T) / 2,)


def _sign(matrix: Tensor) -> Tensor:
    """Give the matrix of the signs of a symmetric one's eigenvalues."""
    sign = matrix / _norm(matrix)
    for one, three in _steps(COARSEST):
        sign = torch.addmm(sign, sign, sign @ sign, beta=one, alpha=three)
    return sign


def _coupled(matrix: Tensor, least: float) -> tuple[Tensor, Tensor]:
    """Give root and inverse root of a matrix with eigenvalues between `least` and 1."""
    eye = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    root, inverse = matrix, eye
    for one, three in _steps(least**0.5):
        step = torch.addmm(eye, inverse, root, beta=one, alpha=three)
        root, inverse = root @ step, step @ inverse
    return root, inverse


@cache
def _steps(least: float) -> tuple[tuple[float, float], ...]:
    """Give the steps p(x) = a x + b x³ which bring all from `least` to 1 as near to 1 as they can, as (a, b).

    Source: Chen and Chow 2014.
    """
    low, high, steps = least, 1.0, []
    while 1 - low > SETTLED:
        scale = math.sqrt(3 / (low * low + low * high + high * high))
        height = 4 / (2 + low * high * (low + high) * scale**3)
        one, three = 1.5 * height * scale, -0.5 * height * scale**3
        steps.append((one, three))
        low = one * low + three * low**3
        high = 2 - low
    return tuple(steps)


def _norm(matrix: Tensor) -> Tensor:
    """Give a bound on the eigenvalues, above 0."""
    norm: Tensor = torch.linalg.matrix_norm(matrix)
    return MARGIN * norm.clamp(min=torch.finfo(matrix.dtype).tiny)


def _largest(matrix: Tensor) -> Tensor:
    """Give the largest eigenvalue, a little too large: the norm of a high power, by its root."""
    bound: Tensor = torch.linalg.matrix_norm(matrix)
    power, logarithm = matrix / bound.clamp(min=torch.finfo(matrix.dtype).tiny), torch.zeros_like(bound)
    for number in range(1, NORM_SQUARINGS + 1):
        power = power @ power
        norm = torch.linalg.matrix_norm(power).clamp(min=torch.finfo(matrix.dtype).tiny)
        power, logarithm = power / norm, logarithm + norm.log() / 2**number
    return bound * logarithm.exp()
