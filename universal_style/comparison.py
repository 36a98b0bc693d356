"""One pair through every method: what each makes of it, and how long the optimiser takes to come as near."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from universal_style.contenders import Contender
from universal_style.errors import OptionError
from universal_style.images import Image, Source
from universal_style.methods.descent import Descent, Phase
from universal_style.plots import plot
from universal_style.report import Progress, silent
from universal_style.sheets import captioned, sheet, white
from universal_style.stylizer import Stylizer
from universal_style.subjects import subject_of

USUAL = ("wct", "photo-wct", "wct2", "wct2-sum", "gatys,scales=1", "deep-photo,scales=1")
PREPARING = ("read", "load decoders", "load networks")
"""Steps that do not count: a program that restyles many pictures does them once."""
COLUMNS = 4


@dataclass(frozen=True)
class Point:
    """Where a method, or the optimiser after some time, has got to.

    Attributes:
        seconds: since it began, networks loaded.
        style: Gatys' style loss at relu1_1 … relu5_1.
        content: his content loss at relu4_2.
    """

    seconds: float
    style: float
    content: float


@dataclass(frozen=True)
class Entry:
    """One method's answer.

    Attributes:
        name: as it was asked for …
        slug: … and as it names files.
        picture: the result.
        end: the result's losses, as clipped and written, and the seconds it took.
        way: the optimiser's points at full size; empty for the others.
    """

    name: str
    slug: str
    picture: Image
    end: Point
    way: tuple[Point, ...]

    def seconds_to(self, style: float) -> float | None:
        """Say when an optimiser first reached a style loss; None where it did not."""
        return next((point.seconds for point in self.way if point.style <= style), None)


@dataclass(frozen=True)
class Pair:
    """What is compared on.

    Attributes:
        options: of `Stylizer.run` that all methods share: masks and sizes.
    """

    content: Source
    style: Source
    options: Mapping[str, Any]


class GramJudge:
    """Measures the losses that Gatys' optimiser descends on, each with weight 1."""

    def __init__(self, pair: Pair, device: str) -> None:
        stylizer = Stylizer("gatys", device=device)
        _, request, task = stylizer.prepare(pair.content, pair.style, content_weight=1.0, **pair.options)
        assert isinstance(request.recipe, Descent)
        self.device = stylizer.backend.device
        self.energy = request.recipe.energy(stylizer.loaded, task, task.pixels, Phase(1.0, 0.0))

    @torch.no_grad()
    def point(self, picture: Image, seconds: float) -> Point:
        """Measure a picture."""
        terms = self.energy(picture.tensor(self.device))
        return Point(seconds, float(terms["style"]), float(terms["content"]))


def compare(
    pair: Pair, contenders: Sequence[Contender], device: str = "auto", dtype: str = "auto", progress: Progress = silent
) -> Iterator[Entry]:
    """Give a pair to one method after the other, once it is certain that each can be asked.

    Raises:
        OptionError: a contender is a folder of results, or asks for what there is not.
        CheckpointError: the file of a net cannot be used.
    """
    for contender in contenders:
        if contender.results is not None:
            raise OptionError(f"{contender.name} is a folder; compare makes its results itself, evaluate reads folders")
        if "size" in contender.options:
            raise OptionError(f"{contender.name} has a size of its own, and all are judged at one; give --size instead")
        contender.check(device, dtype, **pair.options)
    judge = GramJudge(pair, device)
    for number, contender in enumerate(contenders):
        stylizer = contender.stylizer(device, dtype)

        def told(step: str, done: int, total: int, before: int = number, name: str = contender.name) -> None:
            progress(f"{name}: {step}", before, len(contenders))

        picture, report = contender.run(stylizer, pair.content, pair.style, told, **pair.options)
        seconds = sum(value for step, value in report.seconds.items() if step not in PREPARING)
        weight = report.options.get("content_weight") or math.nan
        way = tuple(
            Point(point["seconds"], point["style"], point["content"] / weight)
            for point in report.trace
            if point["scale"] == 1
        )
        yield Entry(contender.name, contender.slug, picture, judge.point(picture, seconds), way)


def ratios(entries: Sequence[Entry]) -> dict[str, dict[str, float | None]]:
    """Say, for each optimiser and each other method, how many times as long the optimiser took to come as near."""
    quick = [entry for entry in entries if not entry.way]
    return {
        slow.name: {
            entry.name: None if (reached := slow.seconds_to(entry.end.style)) is None else reached / entry.end.seconds
            for entry in quick
        }
        for slow in entries
        if slow.way
    }


def as_json(entries: Sequence[Entry]) -> str:
    """Write losses, seconds and ratios; what was not reached or measured is null."""
    facts = {
        "methods": {
            entry.name: {**_finite(entry.end), "way": [_finite(point) for point in entry.way]} for entry in entries
        },
        "times_as_long_at_equal_style_loss": ratios(entries),
    }
    return json.dumps(facts, indent=2)


def _finite(point: Point) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in vars(point).items()}


def contact_sheet(pair: Pair, entries: Sequence[Entry]) -> Image:
    """Lay out content, style and results, each with its name, seconds and style loss."""
    first = entries[0].picture
    side = max(first.height, first.width)
    style = subject_of(pair.style, None)
    shown = Image((style.picture or white()).scaled_to(side).pixels)
    cells = [
        captioned(Image(Image.of(pair.content).scaled_to(side).pixels), "content"),
        captioned(shown, "style" if style.preset is None else f"style {style.name}"),
    ]
    for entry in entries:
        end = f"{entry.end.seconds:.1f} s, style loss {entry.end.style:.3f}, content loss {entry.end.content:.2f}"
        cells.append(captioned(Image(entry.picture.pixels), entry.name, end))
    cells += [white()] * (-len(cells) % COLUMNS)
    return sheet([cells[start : start + COLUMNS] for start in range(0, len(cells), COLUMNS)])


def draw_losses(path: Path, entries: Sequence[Entry]) -> None:
    """Draw style and content loss against seconds: a curve per optimiser, a point per other method, as a PNG."""
    with plot(path, 11, 4.8) as figure:
        for axes, loss in zip(figure.subplots(1, 2), ("style", "content"), strict=True):
            for number, entry in enumerate(entries):
                colour = f"C{number % 10}"
                if entry.way:
                    values = [getattr(point, loss) for point in entry.way]
                    axes.plot([point.seconds for point in entry.way], values, color=colour, label=entry.name)
                    continue
                value = getattr(entry.end, loss)
                axes.scatter(entry.end.seconds, value, s=70, color=colour, label=entry.name, zorder=3)
                if loss == "style":
                    axes.axhline(value, color=colour, linestyle=":", linewidth=1)
            axes.set(xscale="log", xlabel="seconds, networks loaded", ylabel=f"{loss} loss, relative")
            axes.set(yscale="log" if loss == "style" else "linear")
            axes.grid(alpha=0.25)
        axes.legend(frameon=False)


__all__ = ["USUAL", "Entry", "Pair", "Point", "as_json", "compare", "contact_sheet", "draw_losses", "ratios"]
