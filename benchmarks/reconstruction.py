"""Held-out reconstruction: PSNR of --alpha 0 at each level over a folder of pictures.

python benchmarks/reconstruction.py FOLDER [--decoders DIR] [--sheet SHEET.png] [--json RESULT.json]
"""

import argparse
import json
from pathlib import Path

import numpy as np

from universal_style.demo import sheet
from universal_style.devices import keep_freed_memory
from universal_style.images import Image
from universal_style.metrics import psnr
from universal_style.stylizer import Stylizer
from universal_style.training.pictures import pictures_in


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--decoders", type=Path)
    parser.add_argument("--levels", default="1,2,3,4,5")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    keep_freed_memory()
    stylizer = Stylizer(device="cpu", dtype=options.dtype, decoders=options.decoders)
    levels = [int(level) for level in options.levels.split(",")]
    scores = {level: [] for level in levels}
    rows = []
    for path in pictures_in(options.folder):
        picture = Image.of(path).scaled_to(options.size)
        row = [picture]
        for level in levels:
            result, _ = stylizer.run(picture, picture, alpha=0.0, levels=[level], style_size=64)
            scores[level].append(psnr(result.pixels, picture.pixels))
            row.append(result)
        rows.append(row)
        print(f"{path.name:32}", *(f"{scores[level][-1]:6.2f}" for level in levels), flush=True)
    means = {f"relu{level}_1": round(float(np.mean(values)), 2) for level, values in scores.items()}
    print("mean PSNR, dB", means)
    if options.sheet:
        sheet(rows).write(options.sheet)
    if options.json:
        facts = {"pictures": len(rows), "long_side": options.size, "dtype": options.dtype, "mean_psnr_db": means}
        options.json.write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
