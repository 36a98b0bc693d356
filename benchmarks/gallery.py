"""Draw a sheet of the gallery: contents on the left, styles on top, every result between.

python benchmarks/gallery.py -c tree.webp -c house.webp -s night.jpg -s dawn.jpg -m photo-wct -o photo.jpg
"""

import argparse
from pathlib import Path

from universal_style.allocator import keep_freed_memory
from universal_style.images import Image
from universal_style.sheets import sheet, white
from universal_style.stylizer import Stylizer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-c", "--content", type=Path, action="append", required=True)
    parser.add_argument("-s", "--style", type=Path, action="append", required=True)
    parser.add_argument("-m", "--method", default="wct")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--size", type=int, default=400)
    parser.add_argument("--style-size", type=int, default=512)
    parser.add_argument("--auto-regions", type=int, default=0)
    options = parser.parse_args()
    keep_freed_memory()
    stylizer = Stylizer(options.method)
    rows = [[white(), *(Image(Image.of(path).scaled_to(options.size).pixels) for path in options.style)]]
    for path in options.content:
        content = Image.of(path).scaled_to(options.size)
        row = [Image(content.pixels)]
        for style in options.style:
            chosen = {"style_size": options.style_size, "auto_regions": options.auto_regions}
            row.append(Image(stylizer.run(content, style, **chosen)[0].pixels))
        rows.append(row)
    sheet(rows).write(options.output)


if __name__ == "__main__":
    main()
