"""Closed-form transforms: from the moments of content and style to an affine map of feature columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from universal_style.devices import multiplies_halves
from universal_style.moments import Moments
from universal_style.names import looked_up

RELATIVE_CUTOFF = 1e-5
"""Eigenvalues under this share of the largest carry no information and are left out of an inverse.

Departs: Li et al. 2017 drop eigenvalues under 1e-5 absolute; relative is the same for any scale of features.
"""

NEGLIGIBLE_SHARE = 1e-9
"""Share of the squared features under which a content's variance is what float32 rounds off in a flat picture.

The features are squared at their mean, or at 1 where that is more: so much the normalised encoder's features are on
average, while Haar bands of them have no mean to tell their size by.

Departs: without it, a picture of one colour would have its rounding errors whitened to full strength. Of photographs it
drops nothing that `RELATIVE_CUTOFF` keeps.
"""

NEWTON_SCHULZ_STEPS = 40
"""Upper bound of the coupled iteration; it ends when the residual stops falling."""


POINT_EVERY = 16
"""Of rows and columns of a feature picture, those that are looked at for a point near all."""


@dataclass(frozen=True)
class AffineMap:
    """The map y = A x + b of feature columns.

    Attributes:
        matrix: A, float64.
        offset: b, float64.
    """

    matrix: Float[Tensor, "c c"]
    offset: Float[Tensor, " c"]

    @classmethod
    def identity(cls, channels: int, device: torch.device | str = "cpu") -> AffineMap:
        """Give the map that changes nothing."""
        return cls(
            torch.eye(channels, dtype=torch.float64, device=device),
            torch.zeros(channels, dtype=torch.float64, device=device),
        )

    def __call__(self, features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Apply to every column of a feature picture, in the picture's precision.

        Where halves are multiplied quickly the map is rounded to them, about a point near the columns: by no more than
        these are themselves.
        """
        if multiplies_halves(features):
            return self._about_a_point(features)
        matrix, offset = (part.to(features.dtype).to(features.device) for part in (self.matrix, self.offset))
        if features.device.type == "cpu":  # a 1×1 convolution is the quickest way; on cards it would round to TF32
            return functional.conv2d(features, matrix[:, :, None, None], offset)  # (c, c) -> (c, c, 1, 1)
        columns = features.movedim(1, -1)  # (n, c, h, w) -> (n, h, w, c)
        return functional.linear(columns, matrix, offset).movedim(-1, 1)

    def _about_a_point(self, features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Give A (x - p) + (A p + b), p the mean of some columns."""
        columns = features.movedim(1, -1)  # (n, c, h, w) -> (n, h, w, c)
        some = columns[:, ::POINT_EVERY, ::POINT_EVERY].flatten(0, 2)
        point = some.mean(dim=0, dtype=torch.float32).to(features.dtype)
        largest = torch.finfo(features.dtype).max  # a flat picture's rounding would be amplified by more
        matrix = self.matrix.clamp(-largest, largest).to(features.dtype)
        offset = (self.offset + self.matrix @ point.double()).to(features.dtype)
        return functional.linear(columns - point, matrix, offset).movedim(-1, 1)

    def blend(self, alpha: float) -> AffineMap:
        """Interpolate with the identity: alpha 0 changes nothing, 1 is the whole map.

        Source: Li et al. 2017, equation 3 (the blend of features is the blend of maps).
        """
        return mix([self.identity(len(self.offset), self.offset.device), self], [1 - alpha, alpha])


def mix(maps: Sequence[AffineMap], weights: Sequence[float]) -> AffineMap:
    """Give the weighted sum of maps; the weights sum to 1."""
    return AffineMap(
        sum((w * m.matrix for m, w in zip(maps, weights, strict=True)), start=torch.zeros_like(maps[0].matrix)),
        sum((w * m.offset for m, w in zip(maps, weights, strict=True)), start=torch.zeros_like(maps[0].offset)),
    )


@runtime_checkable
class MatrixRoots(Protocol):
    """Square roots of a symmetric positive semidefinite matrix."""

    def __call__(
        self, matrix: Float[Tensor, "c c"], negligible: Tensor | float = 0.0
    ) -> tuple[Float[Tensor, "c c"], Float[Tensor, "c c"]]:
        """Give the root and the pseudo-inverse root.

        Args:
            matrix: symmetric, positive semidefinite.
            negligible: eigenvalues up to this are left out of the inverse, beside those under `RELATIVE_CUTOFF`.
        """
        ...


def _roots_from_spectrum(values: Tensor, vectors: Tensor, negligible: Tensor | float) -> tuple[Tensor, Tensor]:
    root = values.clamp(min=0).sqrt()
    kept = values > RELATIVE_CUTOFF * values.max().clamp(min=torch.finfo(values.dtype).tiny)
    kept &= values > negligible
    inverse = torch.where(kept, root, 1).reciprocal() * kept
    return (vectors * root) @ vectors.T, (vectors * inverse) @ vectors.T


@dataclass(frozen=True)
class EighRoots:
    """Roots by symmetric eigen-decomposition, E D^½ Eᵀ and E D^-½ Eᵀ, small eigenvalues dropped."""

    def __call__(
        self, matrix: Float[Tensor, "c c"], negligible: Tensor | float = 0.0
    ) -> tuple[Float[Tensor, "c c"], Float[Tensor, "c c"]]:
        values, vectors = torch.linalg.eigh(matrix)
        return _roots_from_spectrum(values, vectors, negligible)


@dataclass(frozen=True)
class SvdRoots:
    """Roots by singular value decomposition, as the papers write them; equal to `EighRoots`."""

    def __call__(
        self, matrix: Float[Tensor, "c c"], negligible: Tensor | float = 0.0
    ) -> tuple[Float[Tensor, "c c"], Float[Tensor, "c c"]]:
        vectors, values, _ = torch.linalg.svd(matrix)
        return _roots_from_spectrum(values, vectors, negligible)


@dataclass(frozen=True)
class NewtonSchulzRoots:
    """Roots by the coupled Newton–Schulz iteration: matrix products only.

    Source: Higham 2008, Functions of Matrices, equation 6.35.
    Departs: `RELATIVE_CUTOFF` times the largest eigenvalue's bound, or what is negligible if that is more, is added to
        the diagonal, since the iteration has no spectrum to cut; rank-deficient matrices give a damped inverse where
        `EighRoots` drops directions.
    """

    def __call__(
        self, matrix: Float[Tensor, "c c"], negligible: Tensor | float = 0.0
    ) -> tuple[Float[Tensor, "c c"], Float[Tensor, "c c"]]:
        eye = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
        bound = torch.linalg.matrix_norm(matrix)
        if bound <= negligible:
            return torch.zeros_like(matrix), torch.zeros_like(matrix)
        y = matrix / bound + max(RELATIVE_CUTOFF, float(negligible / bound)) * eye
        z = eye
        best = (torch.tensor(float("inf"), dtype=matrix.dtype, device=matrix.device), y, z)
        for _ in range(NEWTON_SCHULZ_STEPS):
            product = z @ y
            residual = torch.linalg.matrix_norm(product - eye)
            if not residual < best[0]:
                break
            best = (residual, y, z)
            step = (3 * eye - product) / 2
            y, z = y @ step, step @ z
        _, root, inverse = best
        return root * bound.sqrt(), inverse / bound.sqrt()


@runtime_checkable
class Transform(Protocol):
    """A function from the moments of content and style to the map that carries one onto the other.

    Attributes:
        symmetric: whether its matrices are, but for rounding.
    """

    @property
    def symmetric(self) -> bool: ...

    def __call__(self, content: Moments, style: Moments) -> AffineMap:
        """Give the map y = A x + b with A μ_c + b = μ_s."""
        ...


def _negligible(content: Moments) -> Float[Tensor, ""]:
    return NEGLIGIBLE_SHARE * content.mean.square().sum().clamp(min=content.channels)


def _about_means(matrix: Tensor, content: Moments, style: Moments) -> AffineMap:
    return AffineMap(matrix, style.mean - matrix @ content.mean)


@dataclass(frozen=True)
class WhitenColor:
    """WCT: whiten with the content's covariance, colour with the style's.

    Source: Li et al. 2017, equations 1 and 2: A = (E_s D_s^½ E_sᵀ)(E_c D_c^-½ E_cᵀ).

    Attributes:
        roots: how square roots are taken.
    """

    roots: MatrixRoots = EighRoots()
    symmetric: ClassVar[bool] = False

    def __call__(self, content: Moments, style: Moments) -> AffineMap:
        _, whiten = self.roots(content.covariance, _negligible(content))
        colour, _ = self.roots(style.covariance)
        return _about_means(colour @ whiten, content, style)


@dataclass(frozen=True)
class OptimalTransport:
    """The transport map between two Gaussians: among all maps onto the style it moves features least.

    Source: Lu et al. 2019, closed-form solution to universal style transfer: A = C^-½ (C^½ S C^½)^½ C^-½.

    Attributes:
        roots: how square roots are taken.
    """

    roots: MatrixRoots = EighRoots()
    symmetric: ClassVar[bool] = True

    def __call__(self, content: Moments, style: Moments) -> AffineMap:
        root, inverse = self.roots(content.covariance, _negligible(content))
        inner = root @ style.covariance @ root
        middle, _ = self.roots((inner + inner.T) / 2)
        return _about_means(inverse @ middle @ inverse, content, style)


@dataclass(frozen=True)
class Cholesky:
    """A = L_s L_c⁻¹ with the lower Cholesky factors: triangular, so channels mix in one order only.

    Departs: `RELATIVE_CUTOFF` of the largest variance is added to both diagonals, since a factor needs full rank; a
        content whose variance is negligible becomes the style's mean.
    """

    symmetric: ClassVar[bool] = False

    def __call__(self, content: Moments, style: Moments) -> AffineMap:
        if content.covariance.diagonal().max() <= _negligible(content):
            return _about_means(torch.zeros_like(content.covariance), content, style)
        lower_content, lower_style = (self._factor(m.covariance) for m in (content, style))
        matrix = torch.linalg.solve_triangular(lower_content, lower_style, upper=False, left=False)
        return _about_means(matrix, content, style)

    @staticmethod
    def _factor(covariance: Tensor) -> Tensor:
        largest = covariance.diagonal().max()
        damping = RELATIVE_CUTOFF * largest if largest > 0 else torch.ones_like(largest)
        eye = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
        factor: Tensor
        factor, failed = torch.linalg.cholesky_ex(covariance + damping * eye)
        # of a flat picture the covariance is rounding alone, with negative eigenvalues of its own size
        while failed and damping.isfinite():
            damping = 10 * damping
            factor, failed = torch.linalg.cholesky_ex(covariance + damping * eye)
        return factor


@dataclass(frozen=True)
class AdaIN:
    """Match mean and standard deviation channel by channel.

    Source: Huang and Belongie 2017, equation 8.
    """

    symmetric: ClassVar[bool] = True

    def __call__(self, content: Moments, style: Moments) -> AffineMap:
        of_content, of_style = content.covariance.diagonal(), style.covariance.diagonal()
        kept = (of_content > RELATIVE_CUTOFF * of_content.max()) & (of_content > _negligible(content))
        # what a style lacks in variance may be rounded to less than nothing
        scale = torch.where(kept, (of_style.clamp(min=0) / torch.where(kept, of_content, 1)).sqrt(), 0)
        return _about_means(torch.diag(scale), content, style)


@dataclass(frozen=True)
class Floored:
    """Another transform, held back where it would amplify directions in which the content hardly varies.

    Those are what is calm, of which it would make noise. Its map is A_f - (A_f - A)₊, where A is the map itself, A_f
    that of covariances to which f times the identity is added, and ()₊ leaves positive eigenvalues: the lesser of both.

    Source: the public code of PhotoWCT and WCT² adds 1 and takes A_f; their papers add nothing.
    Departs: A_f alone would also leave some of what the style has not, such as colours beside a black-and-white one. So
        it is where maps are not symmetric, which have no lesser.

    Attributes:
        transform: whose maps are held back.
        covariance_floor: f, at least 0, in squared units of features; those of the normalised encoder are 1 on average.
    """

    transform: Transform
    covariance_floor: float

    @property
    def symmetric(self) -> bool:
        return self.transform.symmetric

    def __call__(self, content: Moments, style: Moments) -> AffineMap:
        plain = self.transform(content, style)
        if not self.covariance_floor:
            return plain
        held = self.transform(content.with_floor(self.covariance_floor), style.with_floor(self.covariance_floor))
        if not self.transform.symmetric:
            return held
        values, vectors = torch.linalg.eigh(held.matrix - plain.matrix)
        return _about_means(held.matrix - (vectors * values.clamp(min=0)) @ vectors.T, content, style)


TRANSFORMS: dict[str, Transform] = {
    "wct": WhitenColor(),
    "ot": OptimalTransport(),
    "cholesky": Cholesky(),
    "adain": AdaIN(),
}


def transform_named(name: str) -> Transform:
    """Look a transform up by its name on the command line.

    Raises:
        OptionError: no transform has this name.
    """
    return looked_up("transform", name, TRANSFORMS)
