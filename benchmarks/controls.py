"""Draw a sheet for each way to steer a result, from the bundled pictures.

python benchmarks/controls.py OUTPUT --only colours
"""

import argparse
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from universal_style.allocator import keep_freed_memory
from universal_style.demo import PICTURES
from universal_style.grids import interpolation_grid
from universal_style.images import Image
from universal_style.keep_colors import KEEP_COLORS
from universal_style.lut import Lut
from universal_style.sheets import captioned, sheet
from universal_style.stylizer import Stylizer
from universal_style.texture import synthesise
from universal_style.transforms import TRANSFORMS

STYLES = ("van-gogh-starry-night", "hashiguchi-ducks", "morisot-hollyhocks-1884", "kandinsky-composition-viii-1923")
OUTLINE = (0.27, 0), (0.6, 0), (0.6, 0.3), (0.72, 0.4), (0.75, 1), (0, 1), (0.1, 0.45)
"""The astronaut, in shares of width and height."""


@cache
def stylizer(method):
    return Stylizer(method)


def bundled(name):
    return PICTURES / f"{name}.jpg"


class Sheets:
    def __init__(self, side):
        self.side = side
        self.cat, self.astronaut = (
            Image(Image.of(bundled(name)).scaled_to(side).pixels)
            for name in ("chelsea-cat", "astronaut-eileen-collins")
        )
        self.styles = [bundled(name) for name in STYLES]

    def cell(self, content, styles, caption, method="wct", **options):
        options = {"style_size": 512} | options
        return captioned(stylizer(method).run(content, *styles, **options)[0], caption)

    def given(self, content, *styles):
        small = [Image.of(style).scaled_to(round(self.side * 0.6)) for style in styles]
        return [captioned(content, "content"), *(captioned(Image(style.pixels), "style") for style in small)]

    def weights(self):
        first, second = self.styles[:2]
        return [
            [
                *self.given(self.cat, first, second),
                *(
                    self.cell(self.cat, [first, second], f"{mix} {w:g}, {1 - w:g}", style_weights=[w, 1 - w], mix=mix)
                    for w in (0.75, 0.5, 0.25)
                ),
            ]
            for mix in ("maps", "statistics")
        ]

    def alpha(self):
        style = self.styles[0]
        shown = [
            0,
            0.3,
            0.6,
            1,
            [1, 0, 0, 0],
            [0, 1, 0, 0],
            [0, 0, 1, 0],
            [0, 0, 0, 1],
            [1, 0.6, 0.3, 0],
            [0, 0.3, 0.6, 1],
        ]
        cells = [*self.given(self.cat, style), *(self.cell(self.cat, [style], f"alpha {a}", alpha=a) for a in shown)]
        return [cells[:6], cells[6:]]

    def style_size(self):
        sizes = (128, 256, 512, 1024)
        return [
            [*self.given(self.cat, style), *(self.cell(self.cat, [style], f"{s} pixels", style_size=s) for s in sizes)]
            for style in self.styles[:2]
        ]

    def colours(self):
        pairs = ((self.cat, self.styles[0]), (self.astronaut, self.styles[3]))
        return [
            [*self.given(c, style), *(self.cell(c, [style], way, keep_colors=way) for way in KEEP_COLORS)]
            for c, style in pairs
        ]

    def transform(self):
        style = self.styles[2]
        return [[*self.given(self.cat, style), *(self.cell(self.cat, [style], t, transform=t) for t in TRANSFORMS)]]

    def regions(self):
        mask = Pillow.new("RGB", (self.astronaut.width, self.astronaut.height), "blue")
        points = [(x * mask.width, y * mask.height) for x, y in OUTLINE]
        ImageDraw.Draw(mask).polygon(points, fill="red")
        shown = {"content_mask": mask, "style_regions": ["red", "blue"]}
        first, second = self.styles[3], self.styles[0]
        cells = [
            self.cell(self.astronaut, pair, caption, **shown, **more)
            for pair, caption, more in (
                ((first, second), "red, blue", {}),
                ((second, first), "the other way", {}),
                ((first, second), "closed-form", {"smooth": "closed-form"}),
            )
        ]
        drawn = Image(np.asarray(mask, dtype=np.float32) / 255)
        return [[*self.given(self.astronaut, first, second), captioned(drawn, "mask"), *cells]]

    def texture(self):
        rows = []
        for style in self.styles:
            plain = synthesise(stylizer("wct"), style, 256, 256, style_size=512)
            tile = synthesise(stylizer("wct"), style, 256, 256, style_size=512, tileable=True)
            tiled = Image(np.tile(tile.pixels, (2, 2, 1)))
            small = Image(Image.of(style).scaled_to(256).pixels)
            rows.append([captioned(i, t) for i, t in ((small, "style"), (plain, "texture"), (tiled, "tileable, 2x2"))])
        return rows

    def grid(self):
        small = self.cat.scaled_to(max(64, self.side // 2))
        return [[interpolation_grid(stylizer("wct"), small, self.styles, steps=4, style_size=512)]]

    def lut(self):
        style, rows = self.styles[2], []
        for method in ("photo-wct", "wct2"):
            result, _ = stylizer(method).run(self.cat, style, style_size=512)
            table = Lut.fit(self.cat, result)
            cells = [(result, method), (table(self.cat), f"table, {table.mean_error:.1f} off")]
            cells.append((table(self.astronaut), "on another picture"))
            rows.append([*self.given(self.cat, style), *(captioned(image, caption) for image, caption in cells)])
        return rows


NAMES = ("weights", "alpha", "style_size", "colours", "transform", "regions", "texture", "grid", "lut")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--only", action="append", choices=NAMES)
    parser.add_argument("--size", type=int, default=320)
    chosen = parser.parse_args()
    keep_freed_memory()
    chosen.output.mkdir(parents=True, exist_ok=True)
    sheets = Sheets(chosen.size)
    for name in chosen.only or NAMES:
        path = chosen.output / f"{name}.png"
        sheet(getattr(sheets, name)()).write(path)
        print(path)


if __name__ == "__main__":
    main()
