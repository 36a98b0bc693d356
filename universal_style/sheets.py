"""Contact sheets: pictures in rows and columns, with a line under each where it has a name."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from universal_style.images import Image

GAP = 12
"""Pixels between pictures."""
LINE = 22
"""Height of a line of a caption in pixels …"""
LETTERS = 16
"""… and of its letters."""
MARGIN = 2
"""Left and right of a caption."""


def captioned(image: Image, *lines: str) -> Image:
    """Write lines under a picture, broken where they are too long for it; a longer word is cut."""
    font = ImageFont.load_default(LETTERS)
    broken = [part for line in lines for part in _broken(line, image.width - 2 * MARGIN, font)]
    strip = Pillow.new("RGB", (image.width, LINE * len(broken) + 4), "white")
    draw = ImageDraw.Draw(strip)
    for number, line in enumerate(broken):
        draw.text((MARGIN, 4 + number * LINE), line, fill="black", font=font)
    below: Float[np.ndarray, "h w 3"] = np.asarray(strip, dtype=np.float32) / 255
    return Image(np.concatenate([image.pixels, below]))


def _broken(line: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    parts = [""]
    for word in re.split(r"(?<=[ ,])", line):
        if parts[-1] and font.getlength((parts[-1] + word).rstrip()) > width:
            parts.append("")
        parts[-1] += word
    return parts


def white() -> Image:
    """Give an empty cell."""
    return Image(np.ones((1, 1, 3), dtype=np.float32))


def sheet(rows: Sequence[Sequence[Image]]) -> Image:
    """Lay pictures out in rows and columns, each centred in a cell as large as its row and column ask for."""
    heights = [max(image.height for image in row) for row in rows]
    widths = [max(row[column].width for row in rows) for column in range(len(rows[0]))]
    ground: Float[np.ndarray, "h w 3"] = np.ones(
        (sum(heights) + GAP * (len(heights) + 1), sum(widths) + GAP * (len(widths) + 1), 3), dtype=np.float32
    )
    top = GAP
    for row, height in zip(rows, heights, strict=True):
        left = GAP
        for image, width in zip(row, widths, strict=True):
            y, x = top + (height - image.height) // 2, left + (width - image.width) // 2
            ground[y : y + image.height, x : x + image.width] = image.pixels
            left += width + GAP
        top += height + GAP
    return Image(ground)
