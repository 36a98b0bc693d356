"""Draw the pictures of the how-to pages from the bundled pictures and those beside the results.

python docs/site/pictures.py            (about two minutes on two cores)
"""

from pathlib import Path

from universal_style.allocator import keep_freed_memory
from universal_style.demo import PICTURES
from universal_style.images import Image
from universal_style.sheets import sheet
from universal_style.stylizer import Stylizer

GALLERY = Path(__file__).resolve().parents[1] / "gallery"
CELL = 260
QUALITY = 82
"""Long side of a picture on a sheet, in pixels."""


def seen(*sources):
    """Give pictures at the size of a cell."""
    return [Image(Image.of(source).scaled_to(CELL).pixels) for source in sources]


def strength(stylizer):
    cat, night = PICTURES / "chelsea-cat.jpg", PICTURES / "van-gogh-starry-night.jpg"
    return [seen(cat, *(stylizer.transfer(cat, night, alpha=alpha) for alpha in (0.25, 0.5, 0.75, 1.0)))]


def colours(stylizer):
    person, garden = PICTURES / "astronaut-eileen-collins.jpg", PICTURES / "morisot-hollyhocks-1884.jpg"
    ways = ("none", "luminance", "histogram", "coral")
    return [seen(garden, *(stylizer.transfer(person, garden, keep_colors=way) for way in ways))]


def masks(stylizer):
    content, style = GALLERY / "meadow.jpg", GALLERY / "bridge-at-night.jpg"
    content_mask, style_mask = GALLERY / "meadow-mask.png", GALLERY / "bridge-mask.png"
    plain = stylizer.transfer(content, style)
    masked = stylizer.transfer(content, style, content_mask=content_mask, style_masks=[style_mask])
    return [seen(content, style, plain), seen(content_mask, style_mask, masked)]


def main():
    keep_freed_memory()
    painter, photographer = Stylizer("wct"), Stylizer("photo-wct")
    for name, rows in (
        ("strength", strength(painter)),
        ("colours", colours(painter)),
        ("masks", masks(photographer)),
    ):
        sheet(rows).pillow().save(GALLERY / f"{name}.jpg", quality=QUALITY)


if __name__ == "__main__":
    main()
