"""Interpolation grids: one content between two or four styles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from universal_style.errors import OptionError
from universal_style.images import Image, Source
from universal_style.methods import CLOSED_FORMS
from universal_style.report import Progress, silent
from universal_style.sheets import sheet
from universal_style.stylizer import Stylizer
from universal_style.subjects import StyleSource

MOST_STEPS = 15


def corner_weights(corners: int, steps: int) -> list[list[tuple[float, ...]]]:
    """Give the weights of the styles in each cell, row by row: along a line of two, bilinear between four.

    Four styles stand at the upper left, upper right, lower left and lower right.

    Raises:
        OptionError: there are other than two or four corners, or too few or too many steps.
    """
    if corners not in (2, 4):
        raise OptionError(f"{corners} styles do not make a grid; give two for a row, four for a square")
    if not 2 <= steps <= MOST_STEPS:
        raise OptionError(f"steps {steps} is out of range; it lies between 2 and {MOST_STEPS}")
    line = [(1 - number / (steps - 1), number / (steps - 1)) for number in range(steps)]
    if corners == 2:
        return [[*line]]
    return [[(u * s, v * s, u * t, v * t) for u, v in line] for s, t in line]


def interpolation_grid(
    stylizer: Stylizer,
    content: Source,
    styles: Sequence[StyleSource],
    *,
    steps: int = 5,
    progress: Progress = silent,
    **options: Any,
) -> Image:
    """Restyle one content by every mix of two or four styles, on one sheet.

    Args:
        stylizer: of any method that takes several styles.
        content: the picture.
        styles: two or four, at the corners.
        steps: cells along each axis.
        progress: told of each cell.
        **options: of `Stylizer.run`.

    Raises:
        OptionError: there are other than two or four styles, or too few or too many steps, or the method descends anew
            for each cell.
    """
    if stylizer.method.name not in CLOSED_FORMS:
        raise OptionError(f"method {stylizer.method.name} makes no grid; use {', '.join(CLOSED_FORMS)}")
    weights = corner_weights(len(styles), steps)
    total = sum(map(len, weights))
    rows: list[list[Image]] = []
    for row in weights:
        rows.append([])
        for mix in row:
            progress("restyling", sum(map(len, rows)), total)
            rows[-1].append(stylizer.run(content, *styles, style_weights=mix, **options)[0])
    return sheet(rows)
