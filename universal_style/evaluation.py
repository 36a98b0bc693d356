"""A folder of pairs judged by number: how much structure a method keeps, and how near it comes to the style."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from universal_style.atomic import replacing
from universal_style.contenders import Contender
from universal_style.devices import keep_freed_memory, peak_memory
from universal_style.drivers.whole import moments_of_regions
from universal_style.errors import InputError
from universal_style.images import Image
from universal_style.metrics import (
    content_distance,
    covariance_distance,
    edge_ssim,
    gram_distance,
    luma,
    mean_distance,
    ssim,
)
from universal_style.moments import Moments
from universal_style.networks.checkpoints import bundled_folder, load_encoder
from universal_style.networks.pooling import NearestPooling
from universal_style.networks.stage import encoder_site
from universal_style.networks.vgg import stride_at
from universal_style.regions import LabelMap
from universal_style.stylizer import Stylizer
from universal_style.windows import grown

JUDGED_LEVELS = (1, 2, 3, 4)
CONTENT_LEVEL = JUDGED_LEVELS[-1]
FOLDERS = ("content", "style", "content_seg", "style_seg")


@dataclass(frozen=True)
class Pair:
    """Files of one pair; masks are None where the folder has none."""

    name: str
    content: Path
    style: Path
    content_mask: Path | None
    style_mask: Path | None


def pairs_in(folder: Path) -> list[Pair]:
    """Match the pictures of content/, style/, content_seg/ and style_seg/ by their names without suffix.

    Raises:
        InputError: content/ or style/ is missing, or no name occurs in both.
    """
    files: dict[str, dict[str, Path]] = {}
    for part in FOLDERS:
        place = folder / part
        files[part] = {path.stem: path for path in sorted(place.iterdir())} if place.is_dir() else {}
    names = sorted(files["content"].keys() & files["style"].keys())
    if not names:
        raise InputError(f"{folder} holds no pairs; it needs content/ and style/ with pictures of the same names")
    return [
        Pair(
            name,
            files["content"][name],
            files["style"][name],
            files["content_seg"].get(name) if name in files["style_seg"] else None,
            files["style_seg"].get(name) if name in files["content_seg"] else None,
        )
        for name in names
    ]


@dataclass(frozen=True)
class Score:
    """One result judged.

    Attributes:
        contender: name of the row.
        pair: name of the pair.
        ssim: of the luma to the content's.
        edge_ssim: structural similarity of Sobel edges to the content's.
        gram: relative distance of Gram matrices to the style's, by level.
        covariance: the same of covariances.
        mean: the same of feature means.
        style: average of covariance and mean distance over the levels.
        content: relative distance of relu4_1 to the content's.
        seconds: of the transfer with networks loaded; None for a folder.
    """

    contender: str
    pair: str
    ssim: float
    edge_ssim: float
    gram: tuple[float, ...]
    covariance: tuple[float, ...]
    mean: tuple[float, ...]
    style: float
    content: float
    seconds: float | None


@dataclass(frozen=True)
class Summary:
    """The means over pairs of one contender.

    Attributes:
        count: pairs judged.
        seconds: median.
        peak_memory: of the process that made the results, in bytes.
    """

    contender: str
    count: int
    ssim: float
    edge_ssim: float
    gram: tuple[float, ...]
    covariance: tuple[float, ...]
    style: float
    content: float
    seconds: float | None
    peak_memory: int | None


@dataclass(frozen=True)
class Look:
    """What the encoder sees in a picture: moments at the judged levels, feature columns at `CONTENT_LEVEL`."""

    moments: tuple[Moments, ...]
    columns: Float[np.ndarray, "c n"]


class Judge:
    """Reads pictures through the encoder by maxima, in float32, at the sizes that they have.

    Contents and styles are remembered by the name of their pair, columns as float16: 16 bytes per pixel.
    """

    def __init__(self) -> None:
        self.encoder, _ = load_encoder(bundled_folder(), max(JUDGED_LEVELS))
        self.encoder.to(memory_format=torch.channels_last)
        self._styles: dict[str, tuple[Moments, ...]] = {}
        self._contents: dict[tuple[str, int, int], Float[np.ndarray, "c n"]] = {}

    @torch.inference_mode()
    def look(self, picture: Image) -> Look:
        """Look at a picture once."""
        pixels = grown(picture.tensor(), stride_at(max(JUDGED_LEVELS)))
        regions = LabelMap.uniform(picture.height, picture.width)
        pooling = NearestPooling()
        moments = []
        for level, features in self.encoder.ascend(pixels, pooling, max(JUDGED_LEVELS)):
            moments += moments_of_regions(features, encoder_site(level, pooling), regions)
        columns: Float[np.ndarray, "c n"] = features[0].flatten(1).numpy()  # (1, c, h, w) -> (c, h w)
        return Look(tuple(moments), columns)

    def score(
        self, contender: str, pair: str, content: Image, style: Image, result: Image, seconds: float | None
    ) -> Score:
        """Judge a result; the content is scaled to its size, content and style are remembered by the name of the pair.

        Raises:
            InputError: the result has another shape than the content.
        """
        content = content.scaled_to(max(result.height, result.width))
        if (content.height, content.width) != (result.height, result.width):
            raise InputError(
                f"the result of {pair} in {contender} is {result.width}×{result.height}, its content "
                f"{content.width}×{content.height}; results need the shape of their content"
            )
        seen = self.look(result)
        if pair not in self._styles:
            self._styles[pair] = self.look(style).moments
        key = (pair, content.height, content.width)
        if key not in self._contents:
            self._contents[key] = self.look(content).columns.astype(np.float16)
        judged = list(zip(seen.moments, self._styles[pair], strict=True))
        covariance = tuple(covariance_distance(*both) for both in judged)
        mean = tuple(mean_distance(*both) for both in judged)
        return Score(
            contender=contender,
            pair=pair,
            ssim=ssim(luma(result.pixels), luma(content.pixels)),
            edge_ssim=edge_ssim(result.pixels, content.pixels),
            gram=tuple(gram_distance(*both) for both in judged),
            covariance=covariance,
            mean=mean,
            style=float(np.mean(covariance + mean)),
            content=content_distance(seen.columns, self._contents[key].astype(np.float32)),
            seconds=seconds,
        )


def evaluate(
    contenders: Sequence[Contender], pairs: Sequence[Pair], output: Path, device: str = "auto", dtype: str = "auto"
) -> Iterator[Score | Summary]:
    """Make or read every result and judge it; after each contender comes its summary.

    Results are written to `output`/results/NAME/PAIR.png. Each method runs in a process of its own, so that its peak
    memory is its own.
    """
    judge = Judge()
    for contender in contenders:
        scores: list[Score] = []
        peak: int | None = None
        for pair, path, seconds, used in _results(contender, pairs, output, device, dtype):
            content, style, result = (Image.of(file) for file in (pair.content, pair.style, path))
            score = judge.score(contender.name, pair.name, content, style, result, seconds)
            scores.append(score)
            peak = used
            yield score
        if scores:
            yield summary_of(scores, peak)


def summary_of(scores: Sequence[Score], peak: int | None) -> Summary:
    """Average the scores of one contender."""
    times = [score.seconds for score in scores if score.seconds is not None]

    def mean(field: str) -> Any:
        values = np.mean([getattr(score, field) for score in scores], axis=0)
        return tuple(float(v) for v in values) if values.ndim else float(values)

    return Summary(
        contender=scores[0].contender,
        count=len(scores),
        ssim=mean("ssim"),
        edge_ssim=mean("edge_ssim"),
        gram=mean("gram"),
        covariance=mean("covariance"),
        style=mean("style"),
        content=mean("content"),
        seconds=float(np.median(times)) if times else None,
        peak_memory=peak,
    )


def _results(
    contender: Contender, pairs: Sequence[Pair], output: Path, device: str, dtype: str
) -> Iterator[tuple[Pair, Path, float | None, int | None]]:
    if contender.results is not None:
        there = {path.stem: path for path in sorted(contender.results.iterdir())}
        for pair in pairs:
            if pair.name in there:
                yield pair, there[pair.name], None, None
        return
    place = output / "results" / contender.slug
    place.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(1, get_context("spawn"), _prepare, (contender, device, dtype)) as pool:
        for pair in pairs:
            path = place / f"{pair.name}.png"
            seconds, peak = pool.submit(_transfer, contender, pair, path).result()
            yield pair, path, seconds, peak


_STYLIZER: list[Stylizer] = []
"""The networks of a worker process, which serves one contender."""


def _prepare(contender: Contender, device: str, dtype: str) -> None:
    Thread(target=_leave_with_parent, daemon=True).start()
    keep_freed_memory()
    _STYLIZER.append(Stylizer(contender.method, device=device, dtype=dtype, decoders=contender.decoders))


def _leave_with_parent() -> None:
    """End this process when the one that began it is gone, however it went."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _transfer(contender: Contender, pair: Pair, path: Path) -> tuple[float, int]:
    (stylizer,) = _STYLIZER
    masked = contender.masks and pair.content_mask is not None
    started = time.perf_counter()
    result, _ = stylizer.run(
        pair.content,
        pair.style,
        content_mask=pair.content_mask if masked else None,
        style_masks=[pair.style_mask] if masked else (),
        **contender.options,
    )
    seconds = time.perf_counter() - started
    result.write(path)
    peaks = peak_memory(stylizer.backend.device)
    return seconds, peaks.get("device", peaks["process"])


def as_json(scores: Sequence[Score], summaries: Sequence[Summary]) -> str:
    """Write scores and summaries as JSON."""
    facts = {"summary": [asdict(s) for s in summaries], "pairs": [asdict(s) for s in scores]}
    return json.dumps(facts, indent=2)


def as_table(summaries: Sequence[Summary]) -> str:
    """Write summaries as a Markdown table."""
    lines = [
        "| | pairs | style distance | content distance | edge SSIM | SSIM | Gram distance, relu1_1 … relu4_1 "
        "| seconds | peak MiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for s in summaries:
        gram = " ".join(f"{value:.2f}" for value in s.gram)
        seconds = "–" if s.seconds is None else f"{s.seconds:.1f}"
        peak = "–" if s.peak_memory is None else f"{s.peak_memory / 2**20:.0f}"
        lines.append(
            f"| {s.contender} | {s.count} | {s.style:.3f} | {s.content:.3f} | {s.edge_ssim:.3f} | {s.ssim:.3f} "
            f"| {gram} | {seconds} | {peak} |"
        )
    return "\n".join(lines)


def draw_scatter(path: Path, scores: Sequence[Score], summaries: Sequence[Summary]) -> None:
    """Draw structure kept against style reached, a dot per pair and a large one per contender, as a PNG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(8, 5.5), layout="constrained")
        axes = figure.add_subplot()
        for number, summary in enumerate(summaries):
            own = [score for score in scores if score.contender == summary.contender]
            colour = f"C{number % 10}"
            axes.scatter(
                [s.style for s in own], [s.edge_ssim for s in own], s=12, alpha=0.3, color=colour, linewidths=0
            )
            axes.scatter(
                summary.style, summary.edge_ssim, s=90, color=colour, edgecolors="white", label=summary.contender
            )
        axes.set_xlabel("distance to the style (covariances and means, relu1_1 … relu4_1): less is nearer")
        axes.set_ylabel("structure kept (SSIM of Sobel edges): more is better")
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=110, format="png")
