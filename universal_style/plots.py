"""How plots look, and how they are written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from universal_style.atomic import replacing


@contextmanager
def plot(path: Path, width: float, height: float, *, font: float = 10, dpi: int = 110) -> Iterator[Figure]:
    """Hand out a figure to draw in, which is written as a PNG at the end.

    Args:
        path: of the PNG.
        width: in inches.
        height: in inches.
        font: size in points.
        dpi: pixels to the inch.
    """
    with mpl.rc_context({"font.size": font, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=dpi, format="png")
