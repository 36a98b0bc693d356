"""Keeping the content's colours: what is done to content and style before, and to the result after."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from universal_style.canvas import MAPPED_PIXELS, bands, blank, is_mapped, rest
from universal_style.images import Image
from universal_style.images.arrays import room
from universal_style.metrics import LUMA, luma
from universal_style.moments import Moments, merge_all
from universal_style.names import looked_up
from universal_style.transforms import WhitenColor

FLAT = 1e-3
"""Standard deviation under which a picture's luma is one shade, whose contrast is not stretched; a quarter of 1/255."""


@runtime_checkable
class KeepColors(Protocol):
    """A way to keep the content's colours.

    Attributes:
        recolors_style: whether it needs the style's picture.
    """

    @property
    def recolors_style(self) -> bool: ...

    def carried(self, content: Image) -> Image:
        """Give the picture that is carried in the content's place."""
        ...

    def before(self, style: Image, content: Image) -> Image:
        """Give the style picture that is used in place of the style's."""
        ...

    def after(self, result: Float[Tensor, "1 3 h w"], content: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 3 h w"]:
        """Give the result its final colours."""
        ...


class NoColors:
    """Take the style's colours."""

    recolors_style = False

    def carried(self, content: Image) -> Image:
        return content

    def before(self, style: Image, content: Image) -> Image:
        return style

    def after(self, result: Tensor, content: Tensor) -> Tensor:
        return result


class Luminance:
    """Take the result's luma and the content's chroma.

    Source: Gatys et al. 2016 (Preserving color in neural artistic style transfer), section 4, in Y'CbCr.
    Departs: where luma and chroma together leave the RGB cube, luma gives way, so that chroma is kept exactly.
    """

    recolors_style = False

    def carried(self, content: Image) -> Image:
        return content

    def before(self, style: Image, content: Image) -> Image:
        return style

    def after(self, result: Tensor, content: Tensor) -> Tensor:
        weights = torch.tensor(LUMA, dtype=content.dtype, device=content.device)[None, :, None, None]
        chroma = content - (content * weights).sum(dim=1, keepdim=True)
        light = (result.clamp(0, 1) * weights).sum(dim=1, keepdim=True)
        least, most = -chroma.amin(dim=1, keepdim=True), 1 - chroma.amax(dim=1, keepdim=True)
        return chroma + torch.minimum(torch.maximum(light, least), most)


class LuminanceOnly:
    """Carry luma alone, both pictures turned to grey, and take the content's chroma.

    What of the style is colour never enters its features, so luma is that of a grey style, and nothing but light and
    shade is carried.

    Source: Gatys et al. 2017 (Controlling perceptual factors in neural style transfer), section 5.1, in Y'CbCr; the
        style's luma is given the mean and the standard deviation of the content's.
    Departs: as `Luminance` where luma and chroma together leave the RGB cube.
    """

    recolors_style = True

    def carried(self, content: Image) -> Image:
        return grey(content, lambda plane: plane)

    def before(self, style: Image, content: Image) -> Image:
        own, wanted = (observed(image, luma) for image in (style, content))
        spread, wanted_spread = (math.sqrt(moments.scatter / moments.count) for moments in (own, wanted))
        contrast = wanted_spread / max(spread, FLAT)
        return grey(style, lambda plane: (plane - own.mean.item()) * contrast + wanted.mean.item())

    def after(self, result: Tensor, content: Tensor) -> Tensor:
        return Luminance().after(result, content)


class Histogram:
    """Give the style picture the content's histogram, channel by channel.

    Source: Gonzalez and Woods, Digital Image Processing, section 3.3 (histogram matching).
    Departs: of a content that lies in a file, evenly spaced pixels stand for all.
    """

    recolors_style = True

    def carried(self, content: Image) -> Image:
        return content

    def before(self, style: Image, content: Image) -> Image:
        step = math.ceil(math.sqrt(content.height * content.width / MAPPED_PIXELS))
        channels = [matched(style.pixels[:, :, c], content.pixels[::step, ::step, c]) for c in range(3)]
        return replace(style, pixels=np.stack(channels, axis=-1))

    def after(self, result: Tensor, content: Tensor) -> Tensor:
        return result


class Coral:
    """Give the style picture the content's mean and covariance of colours.

    Source: Sun, Feng and Saenko 2016 (CORAL), algorithm 1; Gatys et al. 2016 (Preserving color), section 5.1.
    """

    recolors_style = True

    def carried(self, content: Image) -> Image:
        return content

    def before(self, style: Image, content: Image) -> Image:
        own, wanted = (observed(image, lambda pixels: pixels) for image in (style, content))
        planes = torch.from_numpy(style.pixels).permute(2, 0, 1)[None]  # (h, w, 3) -> (1, 3, h, w)
        return style.with_pixels(WhitenColor()(own, wanted)(planes))

    def after(self, result: Tensor, content: Tensor) -> Tensor:
        return result


def recoloured(
    keep: KeepColors, result: Float[Tensor, "1 3 h w"], content: Float[Tensor, "1 3 h w"]
) -> Float[Tensor, "1 3 h w"]:
    """Give a result its final colours, a large one band by band: each pixel is on its own."""
    height, width = result.shape[2:]
    if not is_mapped(height, width):
        return keep.after(result, content)
    pixels = blank(height, width, result.device)
    for rows in bands(height, width):
        pixels[:, :, rows] = keep.after(result[:, :, rows], content[:, :, rows])
        for touched in (result, content, pixels):
            rest(touched)
    return pixels


def observed(image: Image, shown: Callable[[Float[np.ndarray, "h w 3"]], np.ndarray]) -> Moments:
    """Give the moments of what is shown of each pixel, band by band."""

    def of_band(rows: slice) -> Moments:
        columns = shown(image.pixels[rows]).reshape((rows.stop - rows.start) * image.width, -1).T  # -> (c, pixels)
        seen = Moments.of(torch.from_numpy(np.ascontiguousarray(columns)))
        rest(torch.from_numpy(image.pixels))
        return seen

    return merge_all(map(of_band, bands(image.height, image.width)))


def grey(image: Image, shade: Callable[[Float[np.ndarray, "h w"]], Float[np.ndarray, "h w"]]) -> Image:
    """Put one plane in place of a picture's three: a change of its luma, clipped to [0, 1], band by band."""
    pixels = room(image.height, image.width)
    for rows in bands(image.height, image.width):
        pixels[rows] = shade(luma(image.pixels[rows])).clip(0, 1)[:, :, None]
        for touched in (image.pixels, pixels):
            rest(torch.from_numpy(touched))
    return replace(image, pixels=pixels)


def matched(values: Float[np.ndarray, "h w"], wanted: Float[np.ndarray, "g v"]) -> Float[np.ndarray, "h w"]:
    """Map values so that they are distributed as other values are."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    goals, goal_counts = np.unique(wanted, return_counts=True)
    ranks, goal_ranks = (
        (np.cumsum(count) - count / 2) / count.sum() for count in (counts, goal_counts)
    )  # in the middle of each level's share
    mapped: Float[np.ndarray, "h w"] = np.interp(ranks, goal_ranks, goals).astype(np.float32)[places]
    return mapped.reshape(values.shape)


KEEP_COLORS: dict[str, KeepColors] = {
    "none": NoColors(),
    "luminance": Luminance(),
    "luminance-only": LuminanceOnly(),
    "histogram": Histogram(),
    "coral": Coral(),
}


def keep_colors_named(name: str) -> KeepColors:
    """Look a way of keeping colours up.

    Raises:
        OptionError: none has this name.
    """
    return looked_up("keep-colors", name, KEEP_COLORS)
