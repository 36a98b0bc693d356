"""What a decoder is trained for: pictures back from their features, and pictures worth the transformed features."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import chain

import torch
from jaxtyping import Float
from torch import Tensor

from universal_style.moments import Moments
from universal_style.networks.decoder import Decoder
from universal_style.networks.pooling import Kept, Pooling
from universal_style.networks.vgg import LEVELS, Encoder
from universal_style.reference.losses import relative_error
from universal_style.transforms import OptimalTransport, Transform, WhitenColor

TRANSFORMS: tuple[Transform, ...] = (WhitenColor(), OptimalTransport())
ALPHA_RANGE = (0.5, 1.0)
PLAIN_DEPTH = 2
"""Deepest level of the feature term while only plain pictures are decoded: deeper ones cost more than they give."""

ENOUGH = 2e-4
"""Squared error under which a picture counts hardly more for being still nearer: 37 dB."""


@dataclass(frozen=True)
class Weights:
    """The balance of the terms.

    Attributes:
        pixel: squared error of reconstructed pixels, of [0, 1].
        feature: relative squared error of re-encoded features, summed over levels.
        transformed: the same at the decoder's own level, for transformed features.
        moments: relative squared distance of mean and covariance to the aimed ones, summed over levels.
    """

    pixel: float = 100.0
    feature: float = 0.05
    transformed: float = 0.5
    moments: float = 0.3


@dataclass(frozen=True)
class Transformed:
    """Features after a transform, and the moments that the decoded picture should have at each level."""

    features: Float[Tensor, "m c g v"]
    kept: list[Kept]
    aims: list[tuple[Tensor, Tensor]]

    def clone(self) -> Transformed:
        """Give a copy with memory of its own."""
        return Transformed(self.features.clone(), _copied(self.kept), [(m.clone(), c.clone()) for m, c in self.aims])

    def copy_(self, other: Transformed) -> None:
        """Take over the numbers of others of the same shapes."""
        self.features.copy_(other.features)
        for own, given in zip(chain(*self.kept, *self.aims), chain(*other.kept, *other.aims), strict=True):
            own.copy_(given)


@dataclass(frozen=True)
class Given:
    """What one step is given.

    Attributes:
        plain: crops to be reconstructed.
        disguised: what is kept of these, for the decoder, where it is not what they are.
        transformed: features to be decoded beside them, where there are some.
    """

    plain: Float[Tensor, "n 3 h w"]
    disguised: list[Kept] | None = None
    transformed: Transformed | None = None

    def clone(self) -> Given:
        """Give a copy with memory of its own."""
        return Given(
            self.plain.clone(),
            None if self.disguised is None else _copied(self.disguised),
            None if self.transformed is None else self.transformed.clone(),
        )

    def copy_(self, other: Given) -> None:
        """Take over the numbers of what has the same parts, of the same shapes."""
        self.plain.copy_(other.plain)
        for own, given in zip(chain(*self.disguised or ()), chain(*other.disguised or ()), strict=True):
            own.copy_(given)
        if self.transformed is not None and other.transformed is not None:
            self.transformed.copy_(other.transformed)


def _copied(kept: list[Kept]) -> list[Kept]:
    return [tuple(part.clone() for part in parts) for parts in kept]


def keeps_features(pooling: Pooling) -> bool:
    """Say whether features come up beside what was pooled and its bands, which `disguise` is about."""
    return pooling.widening > 1 + len(pooling.bands)


def column_moments(features: Float[Tensor, "n c h w"]) -> tuple[Float[Tensor, " c"], Float[Tensor, "c c"]]:
    """Give the mean and covariance of all columns of a batch, differentiable, in float32 under autocast too."""
    columns = features.float().transpose(0, 1).flatten(1)  # (n, c, h, w) -> (c, n h w)
    with torch.autocast(columns.device.type, enabled=False):
        mean = columns.mean(dim=1)
        centred = columns - mean[:, None]
        return mean, centred @ centred.T / (columns.shape[1] - 1)


def squared_error(given: Float[Tensor, "n 3 h w"], wanted: Float[Tensor, "n 3 h w"]) -> Float[Tensor, ""]:
    """Give the geometric mean over pictures of their mean squared errors, `ENOUGH` added to each.

    Its logarithm is the mean PSNR: calm pictures count as much as rough ones, whose errors are many times theirs.
    """
    errors = (given - wanted).square().flatten(1).mean(dim=1)
    return (errors + ENOUGH).log().mean().exp()


@dataclass(frozen=True)
class Objective:
    """The loss of one decoder on one batch.

    Source: Li et al. 2017, equation 1 (pixel and feature reconstruction).
    Departs: feature errors are relative to the features' norm, and decoders also see transformed features, whose
        picture must encode back to them, have their moments, and blended ones of content and style at levels that are
        not edited; and crops may have features beside their bands that are not theirs.

    Attributes:
        encoder: frozen.
        pooling: of the stage that the decoder is part of.
        level: the decoder's.
        edited: the levels at which that stage edits features and the bands kept on the way there, the decoder's own
            among them.
        weights: of the terms.
    """

    encoder: Encoder
    pooling: Pooling
    level: int
    edited: tuple[int, ...]
    weights: Weights

    @torch.no_grad()
    def transform(self, content: Float[Tensor, "m 3 h w"], style: Float[Tensor, "m 3 h w"], seed: int) -> Transformed:
        """Carry the features of one content, and the bands kept beside them, onto one style.

        Transform and alpha are random.
        """
        rng = random.Random(seed)
        alpha, transform = rng.uniform(*ALPHA_RANGE), rng.choice(TRANSFORMS)

        def carried(features: Tensor, wanted: Tensor) -> Tensor:
            with torch.autocast(features.device.type, enabled=False):
                moments = [Moments.of(f.float().transpose(0, 1).flatten(1)) for f in (features, wanted)]
                return transform(*moments).blend(alpha)(features.float())

        kept_of_style, of_style = self.climb(style)
        kept: list[Kept] = []
        features, aims = content, []
        for block, wanted, bands in zip(self.encoder.blocks, of_style, kept_of_style, strict=False):
            features = block(features, self.pooling, kept)
            kept[-1] = self.pooling.with_bands(kept[-1])
            if block.level in self.edited:
                kept[-1] = tuple(  # what a pooling names comes first of what it keeps
                    carried(own, other).to(own.dtype) if number < len(self.pooling.bands) else own
                    for number, (own, other) in enumerate(zip(kept[-1], bands, strict=True))
                )
                features = carried(features, wanted)
                aims.append(column_moments(features))
            else:
                (mean, covariance), (mean_s, covariance_s) = column_moments(features), column_moments(wanted)
                aims.append((torch.lerp(mean, mean_s, alpha), torch.lerp(covariance, covariance_s, alpha)))
        return Transformed(features, kept, aims)

    @torch.no_grad()
    def disguise(self, plain: Float[Tensor, "n 3 h w"], share: float, seed: int) -> list[Kept]:
        """Give what is kept of crops, its features beside the bands carried some of the way onto those of one crop.

        In a transfer they are the content's still, where the deeper ones are the style's: a decoder must take from
        them where edges are, and from the deeper ones what lies between.

        Args:
            share: of the crops, by chance, that are carried, each by an alpha of its own.
            seed: of these numbers, and of the crop.
        """
        rng = random.Random(seed)
        alphas = [rng.random() if rng.random() < share else 0.0 for _ in plain]
        blend = torch.tensor(alphas, device=plain.device)[:, None, None, None]
        one = rng.randrange(len(plain))

        def carried(features: Tensor) -> Tensor:
            with torch.autocast(features.device.type, enabled=False):
                given = features.float()
                moments = (Moments.of(part.transpose(0, 1).flatten(1)) for part in (given, given[one : one + 1]))
                return torch.lerp(given, OptimalTransport()(*moments)(given), blend).relu_().to(features.dtype)

        named = len(self.pooling.bands)  # what a pooling names comes first of what it keeps
        return [(*own[:named], *map(carried, own[named:])) for own in self.climb(plain)[0]]

    def __call__(self, decoder: Decoder, given: Given) -> dict[str, Tensor]:
        """Give the weighted terms; their sum is the loss."""
        plain, transformed = given.plain, given.transformed
        with torch.no_grad():
            kept, wanted = self.climb(plain)
            kept = given.disguised or kept
        features, count = wanted[-1], len(plain)
        if transformed is not None:
            features = torch.cat([features, transformed.features.to(features.dtype)])
            kept = [tuple(map(torch.cat, zip(a, b, strict=True))) for a, b in zip(kept, transformed.kept, strict=True)]
        pictures = decoder(features, kept, self.pooling)
        _, found = self.climb(pictures, self.level if transformed is not None else PLAIN_DEPTH)
        terms = {
            "pixel": self.weights.pixel * squared_error(pictures[:count].float(), plain),
            "feature": self.weights.feature
            * torch.stack([relative_error(f[:count], w) for f, w in zip(found, wanted, strict=False)]).sum(),
        }
        if transformed is not None:
            terms["transformed"] = self.weights.transformed * relative_error(found[-1][count:], transformed.features)
            distances = []
            for features, (mean, covariance) in zip(found, transformed.aims, strict=True):
                found_mean, found_covariance = column_moments(features[count:])
                distances.append(relative_error(found_mean, mean) + relative_error(found_covariance, covariance))
            terms["moments"] = self.weights.moments * torch.stack(distances).sum()
        return terms

    def climb(self, pixels: Float[Tensor, "n 3 h w"], depth: int = LEVELS[-1]) -> tuple[list[Kept], list[Tensor]]:
        """Encode, giving what each pooling kept, bands first, and relu1_1 … relu{depth}_1, at most to the own level."""
        kept: list[Kept] = []
        ascent = self.encoder.ascend(pixels, self.pooling, min(self.level, depth), kept)
        levels = [features for _, features in ascent]
        return [self.pooling.with_bands(own) for own in kept], levels
