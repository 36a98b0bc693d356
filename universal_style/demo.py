"""The demo: bundled photographs in bundled styles on one contact sheet."""

from __future__ import annotations

from pathlib import Path

from universal_style.images import Image
from universal_style.report import Progress, silent
from universal_style.sheets import sheet, white
from universal_style.stylizer import Stylizer

PICTURES = Path(__file__).resolve().parent / "pictures"
CONTENTS = ("astronaut-eileen-collins.jpg", "chelsea-cat.jpg")
STYLES = ("van-gogh-starry-night.jpg", "kandinsky-composition-viii-1923.jpg", "morisot-hollyhocks-1884.jpg")
LONG_SIDE = 448


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
