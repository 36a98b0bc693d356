"""Draw the pictures of docs/explain.md: a row for each question, what goes wrong first and its cures after it.

python benchmarks/explain.py PICTURES docs/explain

PICTURES holds the photographs and paintings that docs/explain.md names beside the bundled ones, in folders or not.
"""

import argparse
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from universal_style.allocator import keep_freed_memory
from universal_style.demo import PICTURES as BUNDLED
from universal_style.images import Image
from universal_style.sheets import captioned, sheet
from universal_style.stylizer import Stylizer

SIDE = 448
"""Long side at which the pictures are made …"""
SHOWN = 180
"""… and at which they are shown."""
QUALITY = 54

ROWS = {
    "abstract": (
        "astronaut-eileen-collins", "kandinsky-composition-viii-1923", [
            ("wct", {"levels": [5, 4, 3, 2, 1], "transform": "wct"}, "levels 5,4,3,2,1"),
            ("wct", {}, "as it comes"),
            ("wct", {"levels": [3, 2, 1]}, "levels 3,2,1"),
        ],
    ),
    "burnt": (
        "tourist-photographing-building", "van-gogh-starry-night", [
            ("wct", {"transform": "wct"}, "transform wct"),
            ("wct", {"transform": "adain"}, "transform adain"),
            ("wct", {"keep_colors": "luminance-only"}, "luminance-only"),
        ],
    ),
    "noise": (
        "roof-and-glass-facade", "morisot-hollyhocks-1884", [
            ("wct", {"transform": "wct"}, "transform wct"),
            ("wct", {"alpha": 0.5}, "alpha 0.5"),
            ("wct", {"smooth": "closed-form"}, "closed-form"),
        ],
    ),
    "colours": (
        "tourist-photographing-building", "falcon9-rocket-launch", [
            ("photo-wct", {}, "photo-wct"),
            ("photo-wct", {"keep_colors": "luminance"}, "luminance"),
            ("photo-wct", {"keep_colors": "luminance-only"}, "luminance-only"),
        ],
    ),
    "weak": (
        "chelsea-cat", "morisot-hollyhocks-1884", [
            ("wct2", {}, "wct2"),
            ("wct", {}, "wct"),
            ("wct", {"transform": "wct"}, "transform wct"),
        ],
    ),
    "halos": (
        "astronaut-eileen-collins", "van-gogh-starry-night", [
            ("wct", {"masks": "rough", "missing": "keep"}, "rough mask"),
            ("wct", {"masks": "rough", "missing": "keep", "smooth": "bilateral"}, "smooth bilateral"),
            ("wct", {"masks": "rough", "missing": "keep", "smooth": "closed-form"}, "smooth closed-form"),
        ],
    ),
    "strokes": (
        "chelsea-cat", "van-gogh-starry-night", [
            ("wct", {"style_size": 200}, "style-size 200"),
            ("wct", {"style_size": 450}, "style-size 450"),
            ("wct", {"style_size": 1024}, "style-size 1024"),
        ],
    ),
    "distorted": (
        "tourist-photographing-building", "roebling-suspension-bridge-cincinnati", [
            ("photo-wct", {"levels": [4, 3, 2, 1], "smooth": "none"}, "4,3,2,1, unsmoothed"),
            ("photo-wct", {}, "photo-wct"),
            ("wct2", {}, "wct2"),
        ],
    ),
    "patches": (
        "roebling-suspension-bridge-cincinnati", "red-hibiscus", [
            ("photo-wct", {"auto_regions": 3}, "auto-regions 3"),
            ("photo-wct", {}, "no regions"),
            ("wct2", {}, "wct2, no regions"),
        ],
    ),
    "repeated": (
        "chelsea-cat", "hashiguchi-ducks", [
            ("wct", {"passes": 1}, "once"),
            ("wct", {"passes": 2}, "again on the result"),
            ("wct", {"passes": 4}, "four times"),
        ],
    ),
}  # fmt: skip


@cache
def stylizer(method):
    return Stylizer(method)


OUTLINE = (0.27, 0), (0.62, 0), (0.62, 0.3), (0.78, 0.5), (0.78, 1), (0, 1), (0.1, 0.45)


def rough_mask(image):
    """A hand's quick outline of the person in the middle, a dozen pixels off."""
    mask = Pillow.new("RGB", (image.width, image.height), "blue")
    w, h = image.width, image.height
    ImageDraw.Draw(mask).polygon(
        [(x * w, y * h) for x, y in OUTLINE],
        fill="red",
    )
    return mask


def result(content, style, method, options):
    options = {"style_size": 512} | options
    passes = options.pop("passes", 1)
    if options.pop("masks", None):
        whole = Image.of(style).scaled_to(options["style_size"])
        blue = Pillow.new("RGB", (whole.width, whole.height), "blue")
        ImageDraw.Draw(blue).rectangle((0, 0, 1, 1), fill="red")  # too few pixels: the person stays
        options |= {"content_mask": rough_mask(content), "style_masks": [blue]}
    for _ in range(passes):
        content = stylizer(method).run(content, style, **options)[0]
    return content


def row(find, content, style, cells):
    picture = Image(Image.of(find(content)).scaled_to(SIDE).pixels)
    small = Image(Image.of(find(style)).scaled_to(round(SHOWN * 0.7)).pixels)
    shown = [captioned(picture.scaled_to(SHOWN), "content"), captioned(small, "style")]
    for method, options, caption in cells:
        shown.append(captioned(result(picture, find(style), method, options).scaled_to(SHOWN), caption))
    return sheet([shown])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--only", action="append", choices=ROWS)
    chosen = parser.parse_args()
    keep_freed_memory()
    files = {path.stem: path for folder in (chosen.pictures, BUNDLED) for path in sorted(folder.rglob("*.*"))}
    chosen.output.mkdir(parents=True, exist_ok=True)
    for name in chosen.only or ROWS:
        drawn = row(files.__getitem__, *ROWS[name])
        path = chosen.output / f"{name}.jpg"
        Pillow.fromarray(np.rint(drawn.pixels * 255).astype(np.uint8)).save(path, quality=QUALITY, optimize=True)
        print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
