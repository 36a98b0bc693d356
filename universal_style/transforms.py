"""Closed-form transforms: from the moments of content and style to an affine map of feature columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from universal_style.devices import multiplies_halves
from universal_style.moments import Moments
from universal_style.names import looked_up
from universal_style.roots import RELATIVE_CUTOFF, MatrixRoots, QuickestRoots

QUICKEST = QuickestRoots()

NEGLIGIBLE_SHARE = 1e-9
"""Share of the squared features under which a content's variance is what float32 rounds off in a flat picture.

The features are squared at their mean, or at 1 where that is more: so much the normalised encoder's features are on
average, while Haar bands of them have no mean to tell their size by.

Departs: without it, a picture of one colour would have its rounding errors whitened to full strength. Of photographs it
drops nothing that `RELATIVE_CUTOFF` keeps.
"""

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
        """Apply to every column of a feature picture, and give them in its precision."""
        return self.ready(features)(features).to(features.dtype)

    def ready(self, features: Float[Tensor, "n c h w"]) -> Callable[[Tensor], Tensor]:
        """Give what applies the map to parts of a feature picture, in no less than float32.

        Where halves are multiplied quickly the map is rounded to them, about a point near the columns: by no more than
        these are themselves.
        """
        if multiplies_halves(features):
            return self._about_a_point(features)
        precision = torch.promote_types(features.dtype, torch.float32)
        matrix, offset = (part.to(precision).to(features.device) for part in (self.matrix, self.offset))
        if features.device.type == "cpu":  # a 1×1 convolution is the quickest way; on cards it would round to TF32
            kernel = matrix[:, :, None, None]  # (c, c) -> (c, c, 1, 1)
            return lambda part: functional.conv2d(part.to(precision), kernel, offset)
        return lambda part: functional.linear(part.to(precision).movedim(1, -1), matrix, offset).movedim(-1, 1)

    def _about_a_point(self, features: Float[Tensor, "n c h w"]) -> Callable[[Tensor], Tensor]:
        """Give A (x - p) + (A p + b), p the mean of some columns."""
        some = features.movedim(1, -1)[:, ::POINT_EVERY, ::POINT_EVERY].flatten(0, 2)  # (n, c, h, w) -> (m, c)
        point = some.mean(dim=0, dtype=torch.float32).to(features.dtype)
        largest = torch.finfo(features.dtype).max  # a flat picture's rounding would be amplified by more
        matrix = self.matrix.clamp(-largest, largest).to(features.dtype)
        offset = (self.offset + self.matrix @ point.double()).to(features.dtype)
        return lambda part: functional.linear(part.movedim(1, -1) - point, matrix, offset).movedim(-1, 1)

    def blend(self, alpha: float) -> AffineMap:
        """Interpolate with the identity: alpha 0 changes nothing, 1 is the whole map.

        Source: Li et al. 2017, equation 3 (the blend of features is the blend of maps).
        """
        return mix([self.identity(len(self.offset), self.offset.device), self], [1 - alpha, alpha])


def mix(maps: Sequence[AffineMap], weights: Sequence[float]) -> AffineMap:
    """Give the weighted sum of maps; the weights sum to 1."""
    (first, share), *others = [(m, w) for m, w in zip(maps, weights, strict=True) if w] or [(maps[0], 0.0)]
    mixed = first if share == 1 else AffineMap(first.matrix * share, first.offset * share)
    for other, weight in others:
        mixed = AffineMap(mixed.matrix + weight * other.matrix, mixed.offset + weight * other.offset)
    return mixed


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

    roots: MatrixRoots = QUICKEST
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

    roots: MatrixRoots = QUICKEST
    symmetric: ClassVar[bool] = True

    def __call__(self, content: Moments, style: Moments) -> AffineMap:
        root, inverse = self.roots(content.covariance, _negligible(content))
        middle = self.roots.between(root, style.covariance)
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
        return _about_means(held.matrix - QUICKEST.positive(held.matrix - plain.matrix), content, style)


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
