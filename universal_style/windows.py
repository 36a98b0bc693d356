"""Windows: the part of a picture that a walk goes over, and the part of it that counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from jaxtyping import Float, Int64
from torch import Tensor


@dataclass(frozen=True)
class Span:
    """A window along one axis, in pixels of the grown picture.

    Attributes:
        start: where the walk's pixels begin …
        stop: … and end.
        first: where those begin that count …
        last: … and end; what lies outside is halo.
    """

    start: int
    stop: int
    first: int
    last: int

    @classmethod
    def whole(cls, length: int) -> Span:
        """Go over everything, and count everything."""
        return cls(0, length, 0, length)

    def walked(self, stride: int, length: int) -> range:
        """Give the cells of a site that are walked over, as far as they lie over a picture of so many pixels."""
        return range(self.start // stride, min(self.stop // stride, -(-length // stride)))

    def counted(self, stride: int, length: int) -> range:
        """Give those of them that count."""
        return range(self.first // stride, min(self.last // stride, -(-length // stride)))


@dataclass(frozen=True)
class Window:
    """The part of a grown picture that one walk goes over.

    Attributes:
        rows: from top to bottom.
        columns: from left to right.
    """

    rows: Span
    columns: Span

    def place(self, height: int, width: int, stride: int = 1) -> tuple[slice, slice]:
        """Say where what counts lies in a picture of a size, in cells of a site or in pixels."""
        rows, columns = self.rows.counted(stride, height), self.columns.counted(stride, width)
        return slice(rows.start, rows.stop), slice(columns.start, columns.stop)

    def inside(
        self, walked: Float[Tensor, "n c g v"], height: int, width: int, stride: int = 1
    ) -> Float[Tensor, "n c rows columns"]:
        """Cut what counts out of what was walked over."""
        rows, columns = self.place(height, width, stride)
        y, x = self.rows.start // stride, self.columns.start // stride
        return walked[:, :, rows.start - y : rows.stop - y, columns.start - x : columns.stop - x]

    @property
    def area(self) -> int:
        """Pixels that are walked over."""
        return (self.rows.stop - self.rows.start) * (self.columns.stop - self.columns.start)


def reflected(length: int, total: int, device: torch.device) -> Int64[Tensor, " total"]:
    """Index 0 … total - 1 into a line of `length` by reflecting at its ends, however short it is."""
    period = max(1, 2 * (length - 1))
    folded = torch.arange(total, device=device) % period
    return torch.minimum(folded, period - folded) if length > 1 else torch.zeros_like(folded)


def grown_length(length: int, stride: int) -> int:
    """Give the next multiple of a stride, at least two of them."""
    return max(2 * stride, -(-length // stride) * stride)


def grown(pixels: Float[Tensor, "n 3 h w"], stride: int) -> Float[Tensor, "n 3 g v"]:
    """Reflect a picture at its lower and right end up to multiples of a stride, at least two of them."""
    rows, columns = (Span.whole(grown_length(length, stride)) for length in pixels.shape[2:])
    return pixels_in(pixels, Window(rows, columns))


def pixels_in(pixels: Float[Tensor, "n 3 h w"], window: Window) -> Float[Tensor, "n 3 g v"]:
    """Cut out what is walked over, of the picture reflected at its lower and right end."""
    for axis, span in ((2, window.rows), (3, window.columns)):
        length = pixels.shape[axis]
        if span.stop <= length:
            pixels = pixels.narrow(axis, span.start, span.stop - span.start)
        else:
            pixels = pixels.index_select(axis, reflected(length, span.stop, pixels.device)[span.start :])
    return pixels.contiguous(memory_format=torch.channels_last)


def windows(height: int, width: int, stride: int, halo: int, most: int) -> list[Window]:
    """Divide a picture into windows of at most so many pixels, walked over with as little halo as can be.

    Args:
        height: of the picture, in pixels.
        width: of the picture.
        stride: all borders are multiples of it.
        halo: pixels around what counts, a multiple of the stride.
        most: pixels in a window; where not even the smallest has so few, it is the smallest.
    """
    rows, columns = grown_length(height, stride), grown_length(width, stride)
    if rows * columns <= most:
        return [Window(Span.whole(rows), Span.whole(columns))]
    best: tuple[bool, int, Sequence[Span], Sequence[Span]] | None = None
    for above, aside in product(_grids(rows, stride, halo), _grids(columns, stride, halo)):
        excess = max(0, above.longest * aside.longest - most)
        cost = (excess > 0, excess or above.total * aside.total)
        if best is None or cost < best[:2]:
            best = (*cost, above.spans, aside.spans)
    assert best is not None  # there is a partition into one
    return [Window(r, c) for r, c in product(best[2], best[3])]


@dataclass(frozen=True)
class _Grid:
    """One way to cut a line: its spans, the length of the longest, and that of all together."""

    spans: Sequence[Span]
    longest: int
    total: int


def _grids(length: int, stride: int, halo: int) -> list[_Grid]:
    """List the ways to cut a line that are worth trying."""
    grids = []
    for parts in _partitions(length // stride):
        spans = _spans(length, stride, halo, parts)
        lengths = [span.stop - span.start for span in spans]
        grids.append(_Grid(spans, max(lengths), sum(lengths)))
    return grids


def row_bands(height: int, width: int, most: int) -> Iterator[tuple[int, int]]:
    """Divide rows into bands of at most so many cells, but of one row at least: the first row, and the one after."""
    rows = max(1, most // max(1, width))
    for top in range(0, height, rows):
        yield top, min(height, top + rows)


def strip_area(height: int, width: int, stride: int, halo: int, parts: int) -> int:
    """Count the pixels of a strip, halo included, where a picture is cut into so many across its longer side."""
    short, long = sorted((grown_length(height, stride), grown_length(width, stride)))
    return min(long, -(-long // stride // parts) * stride + 2 * halo) * short


def _partitions(cells: int) -> list[int]:
    """List numbers of parts worth trying: those that make the parts smaller."""
    return sorted({-(-cells // size) for size in range(1, cells + 1)})


def _spans(length: int, stride: int, halo: int, parts: int) -> list[Span]:
    """Cut a line into parts, each with its halo.

    All are walked over at the same length, where a border leaves no room for a halo with more of it on the other side:
    memory that one window gave back then fits the next, and kernels are planned for one size.
    """
    inner = -(-(length // stride) // parts) * stride
    outer = min(length, inner + 2 * halo)
    spans = []
    for first in range(0, length, inner):
        start = min(max(0, first - halo), length - outer)
        spans.append(Span(start, start + outer, first, min(length, first + inner)))
    return spans
