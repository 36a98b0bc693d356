"""A picture as the package works on it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image as Pillow
from torch import Tensor

from universal_style.canvas import bands, rest
from universal_style.errors import OutputError
from universal_style.images.arrays import below_transparency, resize, room, size_at
from universal_style.images.planes import Planes
from universal_style.images.reading import Source, read
from universal_style.images.writing import to_pillow, write


@dataclass(frozen=True)
class Image(Planes):
    """A picture as the package works on it.

    Attributes:
        pixels: upright sRGB, float32 in [0, 1], (h, w, 3).
        alpha: coverage in [0, 1], (h, w); None for a picture without an alpha channel.
        profile: the file's RGB colour profile (ICC), to which it is converted back when written; empty for sRGB.
        bits: 8 or 16 per channel, as the file had and as PNG and TIFF are written; 8 with a profile of tables.
        facts: EXIF data of who took it, when, how and where.
    """

    @classmethod
    def of(cls, source: Source) -> Image:
        """Read any kind of picture.

        Raises:
            InputError: it is missing, damaged, empty, too large, not a picture or holds numbers outside its range.
        """
        if isinstance(source, Image):
            return source
        planes = read(source)
        return cls(**vars(planes))

    def scaled_to(self, long_side: int) -> Image:
        """Resize so that the longer side has so many pixels, keeping the aspect; at least 1×1."""
        size = size_at(long_side, self.height, self.width)
        if size == (self.height, self.width):
            return self
        pixels, alpha = room(*size), None
        resize(self.pixels, pixels)
        if self.alpha is not None:
            alpha = np.empty(size, np.float32)
            resize(self.alpha[:, :, None], alpha[:, :, None])
        return replace(self, pixels=pixels, alpha=alpha)

    def tensor(self, device: torch.device | str = "cpu") -> Float[Tensor, "1 3 h w"]:
        """Give the pixels as the networks take them, channels last; those that are transparent look like others."""
        planes = torch.from_numpy(below_transparency(self)).permute(2, 0, 1)[None]  # (h, w, 3) -> (1, 3, h, w)
        return planes.to(device).contiguous(memory_format=torch.channels_last)

    def with_pixels(self, planes: Float[Tensor, "1 3 h w"]) -> Image:
        """Put new pixels in place, clipped to [0, 1], keeping alpha, profile and depth.

        Raises:
            OutputError: a pixel is not finite.
        """
        height, width = planes.shape[2:]
        pixels = room(height, width)
        for rows in bands(height, width):
            part = planes[0, :, rows].permute(1, 2, 0).float()  # (1, 3, h, w) -> (rows, w, 3)
            if not bool(torch.isfinite(part).all()):
                raise OutputError(
                    "the result holds pixels that are not finite; try --dtype float32 and report the pictures"
                )
            torch.from_numpy(pixels[rows]).copy_(part.clamp(0, 1).contiguous())  # laid out alike on another device
            rest(planes)
            rest(torch.from_numpy(pixels))
        return replace(self, pixels=pixels)

    def pillow(self) -> Pillow.Image:
        """Give an 8-bit Pillow image, in the picture's own colour profile, alpha carried over."""
        return to_pillow(self)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write atomically, in the format of the suffix.

        Raises:
            OptionError: the suffix names no known format.
            OutputError: the file cannot be written.
        """
        write(self, Path(path))
