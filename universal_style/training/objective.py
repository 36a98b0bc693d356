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
from universal_style.training.recolouring import recoloured
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
class Shown:
    """What a decoder is shown of some crops.

    Attributes:
        features: of its own level.
        kept: by the poolings on the way there, bands first.
    """

    features: Float[Tensor, "n c g v"]
    kept: list[Kept]

    def clone(self) -> Shown:
        """Give a copy with memory of its own."""
        return Shown(self.features.clone(), [tuple(part.clone() for part in parts) for parts in self.kept])

    def copy_(self, other: Shown) -> None:
        """Take over the numbers of others of the same shapes."""
        for own, given in zip((self.features, *chain(*self.kept)), (other.features, *chain(*other.kept)), strict=True):
            own.copy_(given)

    def joined(self, other: Shown) -> Shown:
        """Put those of other crops behind these."""
        kept = [tuple(map(torch.cat, zip(a, b, strict=True))) for a, b in zip(self.kept, other.kept, strict=True)]
        return Shown(torch.cat([self.features, other.features.to(self.features.dtype)]), kept)


@dataclass(frozen=True)
class Transformed:
    """Features after a transform, and the moments that the decoded picture should have at each level."""

    shown: Shown
    aims: list[tuple[Tensor, Tensor]]

    def clone(self) -> Transformed:
        """Give a copy with memory of its own."""
        return Transformed(self.shown.clone(), [(m.clone(), c.clone()) for m, c in self.aims])

    def copy_(self, other: Transformed) -> None:
        """Take over the numbers of others of the same shapes."""
        self.shown.copy_(other.shown)
        for own, given in zip(chain(*self.aims), chain(*other.aims), strict=True):
            own.copy_(given)


@dataclass(frozen=True)
class Given:
    """What one step is given.

    Attributes:
        wanted: crops that are to come out.
        shown: what the decoder is shown for these, where it is not what they are.
        transformed: features to be decoded beside them, where there are some.
    """

    wanted: Float[Tensor, "n 3 h w"]
    shown: Shown | None = None
    transformed: Transformed | None = None

    def clone(self) -> Given:
        """Give a copy with memory of its own."""
        return Given(
            self.wanted.clone(),
            None if self.shown is None else self.shown.clone(),
            None if self.transformed is None else self.transformed.clone(),
        )

    def copy_(self, other: Given) -> None:
        """Take over the numbers of what has the same parts, of the same shapes."""
        self.wanted.copy_(other.wanted)
        if self.shown is not None and other.shown is not None:
            self.shown.copy_(other.shown)
        if self.transformed is not None and other.transformed is not None:
            self.transformed.copy_(other.transformed)


def keeps_features(pooling: Pooling) -> bool:
    """Say whether features come up beside what was pooled and its bands, which `Objective.shown` can disguise."""
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
        not edited; crops are carried onto themselves in other colours; and crops may have features beside their bands
        that are not theirs.

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
        kept_of_style, of_style = self.climb(style)
        kept, levels = self._carried(content, kept_of_style, of_style, transform, alpha)
        aims = []
        for level, (found, wanted) in enumerate(zip(levels, of_style, strict=True), start=1):
            mean, covariance = column_moments(found)
            if level not in self.edited:
                mean_s, covariance_s = column_moments(wanted)
                mean, covariance = torch.lerp(mean, mean_s, alpha), torch.lerp(covariance, covariance_s, alpha)
            aims.append((mean, covariance))
        return Transformed(Shown(levels[-1], kept), aims)

    @torch.no_grad()
    def recolour(
        self, content: Float[Tensor, "m 3 h w"], colours: Float[Tensor, "m 3 h w"], seed: int
    ) -> tuple[Float[Tensor, "m 3 h w"], Shown]:
        """Carry crops onto themselves in other colours, of which it is known what should come out.

        Features near an edge are mixed of both its sides, and a map that carries each side where it belongs carries
        the mixture elsewhere: the picture glows about its outlines. Of a style no one knows what would be right there;
        of the content itself, only in other colours, a decoder can learn it.

        Args:
            content: crops of one picture.
            colours: those whose colours they get, some of the way, see `recoloured`.

        Returns:
            The content in these colours, and what is to be shown for it: the content's own features, carried at each
            edited level onto the moments of the recoloured ones, as in a transfer.
        """
        wanted = recoloured(content, colours, seed)
        kept, levels = self._carried(content, *self.climb(wanted), OptimalTransport(), 1.0)
        return wanted, Shown(levels[-1], kept)

    def _carried(
        self, content: Tensor, kept_of_style: list[Kept], of_style: list[Tensor], transform: Transform, alpha: float
    ) -> tuple[list[Kept], list[Tensor]]:
        """Climb as `climb` does, features and bands carried onto a style's at each edited level."""

        def carried(features: Tensor, wanted: Tensor) -> Tensor:
            with torch.autocast(features.device.type, enabled=False):
                moments = [Moments.of(f.float().transpose(0, 1).flatten(1)) for f in (features, wanted)]
                return transform(*moments).blend(alpha)(features.float())

        kept: list[Kept] = []
        features, levels = content, []
        for block, wanted, bands in zip(self.encoder.blocks, of_style, kept_of_style, strict=False):
            features = block(features, self.pooling, kept)
            kept[-1] = self.pooling.with_bands(kept[-1])
            if block.level in self.edited:
                kept[-1] = tuple(  # what a pooling names comes first of what it keeps
                    carried(own, other).to(own.dtype) if number < len(self.pooling.bands) else own
                    for number, (own, other) in enumerate(zip(kept[-1], bands, strict=True))
                )
                features = carried(features, wanted)
            levels.append(features)
        return kept, levels

    @torch.no_grad()
    def shown(self, plain: Float[Tensor, "n 3 h w"], disguised: float, seed: int) -> Shown:
        """Give what a decoder is shown of crops that are to come out as they are.

        Features beside the bands may be carried some of the way onto those of one crop. In a transfer they are more
        the content's than the deeper ones, which are the style's: a decoder must take from them where edges are, and
        from the deeper ones what lies between.

        Args:
            disguised: share of the crops, by chance, that are carried, each by an alpha of its own.
            seed: of these numbers, and of the crop.
        """
        kept, levels = self.climb(plain)
        if not disguised:
            return Shown(levels[-1], kept)
        rng = random.Random(seed)
        alphas = [rng.random() if rng.random() < disguised else 0.0 for _ in plain]
        blend = torch.tensor(alphas, device=plain.device)[:, None, None, None]
        one = rng.randrange(len(plain))

        def carried(features: Tensor) -> Tensor:
            with torch.autocast(features.device.type, enabled=False):
                given = features.float()
                moments = (Moments.of(part.transpose(0, 1).flatten(1)) for part in (given, given[one : one + 1]))
                return torch.lerp(given, OptimalTransport()(*moments)(given), blend).relu_().to(features.dtype)

        named = len(self.pooling.bands)
        return Shown(levels[-1], [(*own[:named], *map(carried, own[named:])) for own in kept])

    def __call__(self, decoder: Decoder, given: Given) -> dict[str, Tensor]:
        """Give the weighted terms; their sum is the loss."""
        transformed, count = given.transformed, len(given.wanted)
        depth = self.level if transformed is not None else PLAIN_DEPTH
        with torch.no_grad():
            kept, wanted = self.climb(given.wanted, depth if given.shown else self.level)
            shown = given.shown or Shown(wanted[-1], kept)
            if transformed is not None:
                shown = shown.joined(transformed.shown)
        pictures = decoder(shown.features, shown.kept, self.pooling)
        _, found = self.climb(pictures, depth)
        terms = {
            "pixel": self.weights.pixel * squared_error(pictures[:count].float(), given.wanted),
            "feature": self.weights.feature
            * torch.stack([relative_error(f[:count], w) for f, w in zip(found, wanted, strict=False)]).sum(),
        }
        if transformed is not None:
            aimed = relative_error(found[-1][count:], transformed.shown.features)
            terms["transformed"] = self.weights.transformed * aimed
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
