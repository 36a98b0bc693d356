"""The ablations that the literature shows: each choice varied alone, judged over a few pairs.

python benchmarks/ablations.py CONTENTS STYLES --json results/ablations.json --sheets FOLDER
"""

import argparse
import json
import statistics
from datetime import date
from pathlib import Path

import torch

from universal_style.allocator import keep_freed_memory
from universal_style.comparison import Pair, compare
from universal_style.contenders import Contender
from universal_style.folders import pictures_in
from universal_style.images import Image
from universal_style.metrics import edge_ssim
from universal_style.sheets import captioned, sheet

SWEEPS = {
    "alpha": [f"wct,alpha={alpha}" for alpha in (0, 0.25, 0.5, 0.75, 1)],
    "levels": [f"wct,levels={levels}" for levels in ("1", "2+1", "3+2+1", "4+3+2+1", "5+4+3+2+1")],
    "transform": [f"wct,transform={transform}" for transform in ("ot", "wct", "cholesky", "adain")],
    "content layer": ["GATYS,content_layers=relu2_2", "GATYS,content_layers=relu4_2"],
    "init": ["GATYS,init=content", "GATYS,init=style", "GATYS,init=noise"],
    "total variation": ["GATYS,tv_weight=0", "GATYS,tv_weight=5"],
    "pooling": ["GATYS,pooling=max", "GATYS,pooling=average"],
    "optimizer": ["GATYS,optimizer=lbfgs", "GATYS,optimizer=adam"],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("contents", type=Path)
    parser.add_argument("styles", type=Path)
    parser.add_argument("--sweep", action="append", choices=SWEEPS, help="only this one; may be given again")
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--iterations", type=int, default=80)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sheets", type=Path, help="folder for a contact sheet of each sweep")
    options = parser.parse_args()
    keep_freed_memory()
    contents, styles = pictures_in(options.contents), pictures_in(options.styles)
    pairs = [
        (contents[n * len(contents) // options.pairs], styles[n * len(styles) // options.pairs])
        for n in range(options.pairs)
    ]
    gatys = f"gatys,scales=1,iterations={options.iterations}"
    results = {}
    for name in options.sweep or SWEEPS:
        scores, rows = {}, []
        for content, style in pairs:
            pair = Pair(content, style, {"size": options.size, "style_size": options.size})
            picture = Image.of(content).scaled_to(options.size)
            row = [captioned(picture, content.stem), captioned(Image.of(style).scaled_to(options.size), style.stem)]
            for setting in SWEEPS[name]:
                (entry,) = compare(pair, [Contender.of(setting.replace("GATYS", gatys))])
                kept = edge_ssim(entry.picture.pixels, picture.pixels)
                scores.setdefault(setting, []).append((entry.end.style, entry.end.content, kept, entry.end.seconds))
                row.append(captioned(entry.picture, setting.partition(",")[2]))
            rows.append(row)
        print(f"\n| {name} | style loss | content loss | edge SSIM | seconds |\n|---|---|---|---|---|")
        for setting, values in scores.items():
            style_loss, content_loss, kept, seconds = (statistics.mean(v) for v in zip(*values, strict=True))
            results.setdefault(name, {})[setting] = {
                "style": style_loss,
                "content": content_loss,
                "edge_ssim": kept,
                "seconds": seconds,
            }
            told = setting.replace("GATYS,", "gatys,")
            print(f"| {told} | {style_loss:.3f} | {content_loss:.3f} | {kept:.3f} | {seconds:.1f} |", flush=True)
        if options.sheets:
            options.sheets.mkdir(parents=True, exist_ok=True)
            sheet(rows).write(options.sheets / f"{name.replace(' ', '-')}.jpg")
        if options.json:
            facts = {
                "date": date.today().isoformat(),
                "torch": torch.__version__,
                "pairs": [f"{content.stem} in {style.stem}" for content, style in pairs],
                "size": options.size,
                "iterations": options.iterations,
                "sweeps": results,
            }
            options.json.write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
