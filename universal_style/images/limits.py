"""How large a picture may be; a file of a few bytes can unpack to more than there is memory."""

from __future__ import annotations

from PIL import Image as Pillow

from universal_style.errors import OptionError

MOST_PIXELS = 178_956_970
"""Of a picture's file, where Pillow's own bound has been taken away."""
MOST_MEGAPIXELS = 100_000.0


def most_pixels() -> int:
    """Give the pixels beyond which a file may be a decompression bomb: twice Pillow's `MAX_IMAGE_PIXELS`."""
    return 2 * Pillow.MAX_IMAGE_PIXELS if Pillow.MAX_IMAGE_PIXELS else MOST_PIXELS


def allow_megapixels(most: float) -> None:
    """Let all pictures that the process reads have so many megapixels, by Pillow's `MAX_IMAGE_PIXELS`.

    Raises:
        OptionError: that is no number above 0, or beyond reason.
    """
    if not 0 < most <= MOST_MEGAPIXELS:
        raise OptionError(f"most-megapixels {most:g} is out of range; it lies above 0, up to {MOST_MEGAPIXELS:g}")
    Pillow.MAX_IMAGE_PIXELS = int(most * 1e6 / 2)
