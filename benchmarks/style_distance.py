"""Artistic transfer by number and by eye: distances to style and content over content × style, and a contact sheet.

    python benchmarks/style_distance.py CONTENTS STYLES --most 6 [--setting NAME=KEY:VALUE,KEY:VALUE ...]

A setting names options of `Stylizer.run`, such as `ot=transform:ot,alpha:0.6`; levels are written 4-3-2-1.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from universal_style.demo import sheet, white
from universal_style.devices import keep_freed_memory
from universal_style.images import Image
from universal_style.metrics import content_distance, covariance_distance, edge_ssim, mean_distance
from universal_style.stylizer import Stylizer
from universal_style.training.pictures import pictures_in

LEVELS = (1, 2, 3, 4)


def setting(text):
    name, _, rest = text.partition("=")
    options = {}
    for pair in filter(None, rest.split(",")):
        key, _, value = pair.partition(":")
        if key == "levels":
            options[key] = [int(level) for level in value.split("-")]
        elif key == "alpha":
            options[key] = [float(alpha) for alpha in value.split("-")]
        else:
            options[key] = value
    return name, options


class Judge:
    """Reads pictures through the encoder in float32."""

    def __init__(self, size):
        self.stylizer, self.size = Stylizer(device="cpu", dtype="float32"), size

    def moments(self, picture):
        return self.stylizer.observe(picture, style_size=self.size).moments

    def features(self, picture):
        pooling = self.stylizer.method.pooling
        *_, (_, features) = self.stylizer.encoder.ascend(picture.tensor(), pooling, 4)
        return features[0].flatten(1).numpy()

    def style(self, result, style):
        """Give covariance and mean distance by level."""
        sites = [f"relu{level}_1" for level in LEVELS]
        return (
            [covariance_distance(result[site], style[site]) for site in sites],
            [mean_distance(result[site], style[site]) for site in sites],
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contents", type=Path)
    parser.add_argument("styles", type=Path)
    parser.add_argument("--most", type=int, default=6, help="pictures taken of each folder, evenly spread")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--decoders", type=Path)
    parser.add_argument("--setting", action="append", default=[])
    parser.add_argument("--sheets", type=Path, help="folder for a contact sheet per setting")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    keep_freed_memory()

    def some(folder):
        found = pictures_in(folder)
        places = np.linspace(0, len(found) - 1, min(options.most, len(found))).round().astype(int)
        return [Image.of(found[place]).scaled_to(options.size) for place in places]

    contents, styles = some(options.contents), some(options.styles)
    judge = Judge(options.size)
    stylizer = Stylizer(dtype=options.dtype, decoders=options.decoders)
    of_styles = [judge.moments(style) for style in styles]
    presets = [stylizer.observe(style, style_size=options.size) for style in styles]
    features = [judge.features(content) for content in contents]
    table = {}

    def add(name, results):
        covariance, mean, distances, structure = [], [], [], []
        for i, content in enumerate(contents):
            for j in range(len(styles)):
                by_covariance, by_mean = judge.style(judge.moments(results[i][j]), of_styles[j])
                covariance.append(by_covariance)
                mean.append(by_mean)
                distances.append(content_distance(judge.features(results[i][j]), features[i]))
                structure.append(edge_ssim(results[i][j].pixels, content.pixels))
        by_level = np.mean(covariance, axis=0)
        table[name] = {
            "style_distance": round(float((np.mean(covariance) + np.mean(mean)) / 2), 4),
            "covariance_distance_by_level": [round(float(value), 4) for value in by_level],
            "mean_distance_by_level": [round(float(value), 4) for value in np.mean(mean, axis=0)],
            "content_distance": round(float(np.mean(distances)), 4),
            "edge_ssim": round(float(np.mean(structure)), 4),
        }
        print(name, json.dumps(table[name]), flush=True)

    add("content untouched", [[content] * len(styles) for content in contents])
    for name, chosen in map(setting, options.setting or ["default="]):
        results = [[stylizer.run(content, preset, **chosen)[0] for preset in presets] for content in contents]
        add(name, results)
        if options.sheets:
            options.sheets.mkdir(parents=True, exist_ok=True)
            rows = [[white(), *styles], *([content, *row] for content, row in zip(contents, results, strict=True))]
            sheet(rows).write(options.sheets / f"{name}.png")
    if options.json:
        facts = {"size": options.size, "contents": len(contents), "styles": len(styles), "settings": table}
        options.json.write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
