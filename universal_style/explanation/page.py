"""The page of an explanation, with its pictures and plots beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import numpy as np

from universal_style.atomic import write_text
from universal_style.explanation.facts import Explanation
from universal_style.explanation.plots import draw_distances, draw_spectra
from universal_style.images import Image
from universal_style.metrics import luma
from universal_style.outputs import make_folder
from universal_style.regions import LabelMap

LONG_SIDE = 1024
"""Pictures of a page are no larger than this long side in pixels."""
TINT = 0.6
"""Share of a region's colour over its picture."""
LOOK = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1200px; padding: 0 1em; color: #222 }
figure { display: inline-block; margin: 0 .6em .8em 0; vertical-align: top } figcaption { color: #555 }
img { max-width: 360px; max-height: 360px; display: block } img.plot { max-width: 100%; max-height: none }
table { border-collapse: collapse } td, th { padding: .15em .8em .15em 0; text-align: left; vertical-align: top }
td.number { font-variant-numeric: tabular-nums } i { display: inline-block; width: 1.1em; height: 1.1em }
p { max-width: 75ch }
"""


def write_explanation(folder: Path, explanation: Explanation) -> Path:
    """Write `index.html` and what it shows into a folder, and the numbers as `explain.json`.

    Returns:
        The page's path.

    Raises:
        OutputError: the folder cannot be made, or a file not be written.
    """
    make_folder(folder)
    parts = [
        f"<h1>{escape(explanation.report.method)}</h1>",
        *_regions(folder, explanation),
        *_steps(folder, explanation),
        *_distances(folder, explanation),
        *_spectra(folder, explanation),
        "<h2>Options</h2>",
        _table(("option", "value"), [(k, json.dumps(v)) for k, v in explanation.report.options.items()]),
    ]
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Explanation</title><style>{LOOK}</style>'
    write_text(folder / "explain.json", json.dumps(explanation.as_dict(), indent=1))
    write_text(folder / "index.html", "\n".join([head, *parts]))
    return folder / "index.html"


def _regions(folder: Path, explanation: Explanation) -> Iterable[str]:
    """Show which region of the content takes what."""
    task = explanation.task
    yield "<h2>Regions</h2>"
    pictures = [("content", Image.of(task.pixels[0]), task.regions)]
    for subject, labels in zip(task.subjects, task.regions_of_styles, strict=True):
        if subject.picture is not None:
            pictures.append((subject.name, Image(subject.picture.pixels), labels))
    for number, (name, picture, labels) in enumerate(pictures):
        file = "regions-content.png" if number == 0 else f"regions-style-{number}.png"
        yield _figure(folder, file, tinted(picture, labels), name)
    rows = []
    for region in task.matched.regions:
        swatch = "" if region.colour is None else f'<i style="background:{region.name}"></i>'
        rows.append(f"<tr><td>{swatch}</td><td>{escape(region.line())}</td></tr>")
    yield f"<table>{''.join(rows)}</table>"


def tinted(picture: Image, labels: LabelMap) -> Image:
    """Lay the colours of regions over a picture in grey; a picture of one region stays as it is."""
    if labels.is_uniform:
        return picture
    colours = np.array(labels.colours, dtype=np.float32)[labels.labels] / 255
    grey = luma(picture.pixels).astype(np.float32)[:, :, None]
    return Image(TINT * colours + (1 - TINT) * grey)


def _steps(folder: Path, explanation: Explanation) -> Iterable[str]:
    """Show the picture on its way."""
    yield "<h2>Steps</h2>"
    for number, (name, pixels) in enumerate(explanation.steps):
        yield _figure(folder, f"step-{number}.png", Image.of(pixels[0]), name)


def _distances(folder: Path, explanation: Explanation) -> Iterable[str]:
    """Say what each step did to the distance to the style."""
    if not any(explanation.distances.values()):
        return
    yield (
        "<h2>Distance to the style</h2><p>Mean of the relative distances of covariances and of means at each site; "
        "0 has the style's statistics. A site whose distance grows again after its own step has been undone "
        "by a later one.</p>"
    )
    draw_distances(folder / "distances.png", explanation.distances)
    yield '<img class="plot" src="distances.png" alt="distances">'
    rows = [
        (site, *(f"{explanation.distances[step][site]:.3f}" for step in explanation.distances))
        for site in explanation.sites
    ]
    yield _table(("site", *explanation.distances), rows)


def _spectra(folder: Path, explanation: Explanation) -> Iterable[str]:
    """Draw the eigenvalues of the covariances of each region."""
    if not explanation.spectra:
        return
    yield (
        "<h2>Spectra</h2><p>Eigenvalues of the covariances of features. Where the content's curve (dashed) falls far "
        "under the style's, the content has nothing to say in these directions and what little there is, noise and "
        "the blocks of a JPEG, is amplified to the style's strength: lower alpha, or leave the level out. Under the "
        "dotted line directions are left out.</p>"
    )
    for number, (region, sites) in enumerate(explanation.spectra.items(), start=1):
        draw_spectra(folder / f"spectra-{number}.png", sites)
        yield f'<h3>{escape(region)}</h3><img class="plot" src="spectra-{number}.png" alt="spectra">'


def _figure(folder: Path, file: str, picture: Image, caption: str) -> str:
    picture.scaled_to(min(LONG_SIDE, max(picture.height, picture.width))).write(folder / file)
    name = escape(caption)
    return f'<figure><a href="{file}"><img src="{file}" alt="{name}"></a><figcaption>{name}</figcaption></figure>'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    titles = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = ("".join(f'<td class="number">{escape(cell)}</td>' for cell in row) for row in rows)
    return f"<table><tr>{titles}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"
