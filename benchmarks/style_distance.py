"""Artistic transfer by number and by eye: distances to style and content over content × style, and a contact sheet.

    python benchmarks/style_distance.py CONTENTS STYLES --most 6 [--setting wct,alpha=0.6 ...]

A setting is written as for `universal-style evaluate`: METHOD[,key=value…], lists joined by +.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from universal_style.allocator import keep_freed_memory
from universal_style.contenders import Contender
from universal_style.evaluation import Judge, as_json, as_table, summary_of
from universal_style.folders import pictures_in
from universal_style.images import Image
from universal_style.sheets import sheet, white
from universal_style.stylizer import Stylizer


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contents", type=Path)
    parser.add_argument("styles", type=Path)
    parser.add_argument("--most", type=int, default=6, help="pictures taken of each folder, evenly spread")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--setting", action="append", default=[])
    parser.add_argument("--sheets", type=Path, help="folder for a contact sheet per setting")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    keep_freed_memory()

    def some(folder):
        found = pictures_in(folder)
        places = np.linspace(0, len(found) - 1, min(options.most, len(found))).round().astype(int)
        return [(found[place].stem, Image.of(found[place]).scaled_to(options.size)) for place in places]

    contents, styles = some(options.contents), some(options.styles)
    judge = Judge()
    scores, summaries = [], []

    def add(name, results):
        own = [
            judge.score(name, f"{content} in {style}", picture, of_style, results[content, style], None)
            for content, picture in contents
            for style, of_style in styles
        ]
        scores.extend(own)
        summaries.append(summary_of(own, None))
        print(as_table(summaries[-1:]).splitlines()[-1], flush=True)

    print("\n".join(as_table([]).splitlines()))
    add("content untouched", {(content, style): picture for content, picture in contents for style, _ in styles})
    stylizers = {}
    for contender in map(Contender.of, options.setting or ["wct"]):
        key = contender.method, contender.decoders
        if key not in stylizers:
            stylizers[key] = Stylizer(contender.method, dtype=options.dtype, decoders=contender.decoders)
        stylizer = stylizers[key]
        presets = {name: stylizer.observe(picture, style_size=options.size) for name, picture in styles}
        results = {
            (content, style): stylizer.run(picture, presets[style], **contender.options)[0]
            for content, picture in contents
            for style, _ in styles
        }
        add(contender.name, results)
        if options.sheets:
            options.sheets.mkdir(parents=True, exist_ok=True)
            rows = [[white(), *(picture for _, picture in styles)]]
            rows += [[picture, *(results[content, style] for style, _ in styles)] for content, picture in contents]
            sheet(rows).write(options.sheets / f"{contender.slug}.png")
    if options.json:
        facts = {"size": options.size, "contents": len(contents), "styles": len(styles)}
        options.json.write_text(json.dumps(facts | json.loads(as_json(scores, summaries)), indent=2) + "\n")


if __name__ == "__main__":
    main()
