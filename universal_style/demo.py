"""The demo: bundled photographs in bundled styles on one contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from universal_style.images import Image
from universal_style.report import Progress, silent
from universal_style.stylizer import Stylizer

PICTURES = Path(__file__).resolve().parent / "pictures"
CONTENTS = ("astronaut-eileen-collins.jpg", "chelsea-cat.jpg")
STYLES = ("van-gogh-starry-night.jpg", "kandinsky-composition-viii-1923.jpg", "morisot-hollyhocks-1884.jpg")
LONG_SIDE = 448
GAP = 12


def contact_sheet(stylizer: Stylizer, progress: Progress = silent) -> Image:
    """Restyle every bundled content with every bundled style; contents stand left, styles on top."""
    contents = [Image.of(PICTURES / name).scaled_to(LONG_SIDE) for name in CONTENTS]
    styles = [Image.of(PICTURES / name).scaled_to(LONG_SIDE) for name in STYLES]
    total = len(contents) * len(styles)
    rows: list[list[Image]] = [[white(), *styles]]
    for content in contents:
        row = [content]
        for name in STYLES:
            progress(name.removesuffix(".jpg"), (len(rows) - 1) * len(styles) + len(row) - 1, total)
            row.append(stylizer.run(content, PICTURES / name, style_size=LONG_SIDE)[0])
        rows.append(row)
    return sheet(rows)


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
