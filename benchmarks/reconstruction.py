"""Held-out reconstruction: PSNR of --alpha 0 over a folder of pictures.

    python benchmarks/reconstruction.py FOLDER [--setting wct,levels=4 ...] [--sheet SHEET.png] [--json RESULT.json]

A setting is written as for `universal-style evaluate`: METHOD[,key=value…]; alpha is 0 and nothing is smoothed.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from universal_style.allocator import keep_freed_memory
from universal_style.contenders import Contender
from universal_style.folders import pictures_in
from universal_style.images import Image
from universal_style.metrics import psnr
from universal_style.sheets import sheet


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--setting", action="append", default=[])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    keep_freed_memory()
    settings = [Contender.of(text) for text in options.setting or [f"wct,levels={k}" for k in (1, 2, 3, 4, 5)]]
    stylizers = {setting.name: setting.stylizer("cpu", options.dtype) for setting in settings}
    scores = {setting.name: [] for setting in settings}
    rows = []
    for path in pictures_in(options.folder):
        picture = Image.of(path).scaled_to(options.size)
        row = [picture]
        for setting in settings:
            chosen = {"alpha": 0.0, "smooth": "none", "style_size": 64} | setting.options
            result, _ = stylizers[setting.name].run(picture, picture, **chosen)
            scores[setting.name].append(psnr(result.pixels, picture.pixels))
            row.append(result)
        rows.append(row)
        print(f"{path.name:32}", *(f"{values[-1]:6.2f}" for values in scores.values()), flush=True)
    means = {name: round(float(np.mean(values)), 2) for name, values in scores.items()}
    print("mean PSNR, dB", means)
    if options.sheet:
        sheet(rows).write(options.sheet)
    if options.json:
        facts = {"pictures": len(rows), "long_side": options.size, "dtype": options.dtype, "mean_psnr_db": means}
        options.json.write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
