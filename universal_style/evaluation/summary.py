"""The scores of each contender averaged, as JSON, as a table and as a plot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from universal_style.evaluation.judge import Score
from universal_style.plots import plot


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
    with plot(path, 8, 5.5) as figure:
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
