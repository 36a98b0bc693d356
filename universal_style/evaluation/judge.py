"""One result judged by number: how much of its content's structure it keeps, how near it comes to its style."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from universal_style.drivers.whole import moments_of_regions
from universal_style.errors import InputError
from universal_style.images import Image
from universal_style.metrics import (
    content_distance,
    covariance_distance,
    edge_ssim,
    gram_distance,
    luma,
    mean_distance,
    ssim,
)
from universal_style.moments import Moments
from universal_style.networks.checkpoints import bundled_folder, load_encoder
from universal_style.networks.pooling import NearestPooling
from universal_style.networks.stage import encoder_site
from universal_style.networks.vgg import stride_at
from universal_style.regions import LabelMap
from universal_style.windows import grown

JUDGED_LEVELS = (1, 2, 3, 4)
CONTENT_LEVEL = JUDGED_LEVELS[-1]
REMEMBERED_BYTES = 2**30
"""What is remembered of contents and styles: some 90 pairs of half a megapixel."""


@dataclass(frozen=True)
class Score:
    """One result judged.

    Attributes:
        contender: name of the row.
        pair: name of the pair.
        ssim: of the luma to the content's.
        edge_ssim: structural similarity of Sobel edges to the content's.
        gram: relative distance of Gram matrices to the style's, by level.
        covariance: the same of covariances.
        mean: the same of feature means.
        style: average of covariance and mean distance over the levels.
        content: relative distance of relu4_1 to the content's.
        seconds: of the transfer with networks loaded; None for a folder.
    """

    contender: str
    pair: str
    ssim: float
    edge_ssim: float
    gram: tuple[float, ...]
    covariance: tuple[float, ...]
    mean: tuple[float, ...]
    style: float
    content: float
    seconds: float | None


@dataclass(frozen=True)
class Look:
    """What the encoder sees in a picture: moments at the judged levels, feature columns at `CONTENT_LEVEL`."""

    moments: tuple[Moments, ...]
    columns: Float[np.ndarray, "c n"]


class Judge:
    """Reads pictures through the encoder by maxima, in float32, at the sizes that they have.

    Contents and styles are remembered by the name of their pair, columns as float16: 16 bytes per pixel.

    Args:
        most: bytes that may be remembered. The first pairs are, and the others looked at again for each contender:
            pairs come in the same order every time, so the oldest would be forgotten just before they are asked for.
    """

    def __init__(self, most: int = REMEMBERED_BYTES) -> None:
        self.encoder, _ = load_encoder(bundled_folder(), CONTENT_LEVEL)
        self.encoder.to(memory_format=torch.channels_last)
        self._left = most
        self._styles: dict[str, tuple[Moments, ...]] = {}
        self._contents: dict[tuple[str, int, int], Float[np.ndarray, "c n"]] = {}

    @torch.inference_mode()
    def look(self, picture: Image) -> Look:
        """Look at a picture once."""
        pixels = grown(picture.tensor(), stride_at(CONTENT_LEVEL))
        regions = LabelMap.uniform(picture.height, picture.width)
        pooling = NearestPooling()
        moments = []
        for level, features in self.encoder.ascend(pixels, pooling, CONTENT_LEVEL):
            moments += moments_of_regions(features, encoder_site(level, pooling), regions)
        columns: Float[np.ndarray, "c n"] = features[0].flatten(1).numpy()  # (1, c, h, w) -> (c, h w)
        return Look(tuple(moments), columns)

    def score(
        self, contender: str, pair: str, content: Image, style: Image, result: Image, seconds: float | None
    ) -> Score:
        """Judge a result; the content is scaled to its size, content and style are remembered by the pair's name.

        Raises:
            InputError: the result has another shape than the content.
        """
        content = content.scaled_to(max(result.height, result.width))
        if (content.height, content.width) != (result.height, result.width):
            raise InputError(
                f"the result of {pair} in {contender} is {result.width}×{result.height}, its content "
                f"{content.width}×{content.height}; results need the shape of their content"
            )
        seen = self.look(result)
        wanted = self._moments(pair, style)
        judged = list(zip(seen.moments, wanted, strict=True))
        covariance = tuple(covariance_distance(*both) for both in judged)
        mean = tuple(mean_distance(*both) for both in judged)
        return Score(
            contender=contender,
            pair=pair,
            ssim=ssim(luma(result.pixels), luma(content.pixels)),
            edge_ssim=edge_ssim(result.pixels, content.pixels),
            gram=tuple(gram_distance(*both) for both in judged),
            covariance=covariance,
            mean=mean,
            style=float(np.mean(covariance + mean)),
            content=content_distance(seen.columns, self._columns(pair, content).astype(np.float32)),
            seconds=seconds,
        )

    def _moments(self, pair: str, style: Image) -> tuple[Moments, ...]:
        if pair in self._styles:
            return self._styles[pair]
        moments = self.look(style).moments
        if self._has_room(sum(part.scatter.nbytes for part in moments)):
            self._styles[pair] = moments
        return moments

    def _columns(self, pair: str, content: Image) -> Float[np.ndarray, "c n"]:
        key = (pair, content.height, content.width)
        if key in self._contents:
            return self._contents[key]
        columns: Float[np.ndarray, "c n"] = self.look(content).columns.astype(np.float16)
        if self._has_room(columns.nbytes):
            self._contents[key] = columns
        return columns

    def _has_room(self, size: int) -> bool:
        fits = size <= self._left
        self._left -= size if fits else 0
        return fits
