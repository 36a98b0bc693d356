"""A label map: one region per pixel, and how much of each cell of a site every region covers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Colour = tuple[int, int, int]

FEATHER = 0.01
"""Radius of the feather as a share of the picture's longer side: 5 pixels at 512, a soft edge but no glow."""
SIGMAS = 2.0
"""Standard deviations of the feather's Gaussian within its radius; 95 % of its weight lies inside."""
REACH = 3
"""Standard deviations after which the Gaussian is cut."""
FINEST = 4
"""Cells of the grid that the feather is made on within its radius; finer ones would not show in the result."""
SHOWN_AND_HIDDEN: tuple[Colour, ...] = ((255, 255, 255), (0, 0, 0))
BAND_PIXELS = 1 << 20
"""Pixels, or shares of cells, that are counted at a time."""


@dataclass(frozen=True)
class LabelMap:
    """Which region each pixel of a picture belongs to.

    Maps that were read together share their numbering: the same label means the same region in all of them, and a label
    need not occur in each.

    Attributes:
        labels: one label per pixel, (h, w), below `count`.
        colours: each label's colour in the masks, 8-bit RGB; empty for a picture without a mask, which is one region.
        hidden: pixels that are transparent and count for no region, (h, w); None where there is no such pixel.
    """

    labels: UInt8[np.ndarray, "h w"]
    colours: tuple[Colour, ...]
    hidden: Bool[np.ndarray, "h w"] | None = None

    @classmethod
    def uniform(cls, height: int, width: int) -> LabelMap:
        """Give the map of a picture without a mask: one region everywhere."""
        return cls(np.zeros((height, width), np.uint8), ())

    def __reduce__(self) -> tuple[Any, ...]:
        """Go to another process; one region goes as no more than its size."""
        if self.is_uniform and self.hidden is None:
            return _uniform, (self.height, self.width)
        return LabelMap, (self.labels, self.colours, self.hidden)

    @property
    def is_uniform(self) -> bool:
        """Whether this stands for a picture without a mask."""
        return not self.colours

    @property
    def count(self) -> int:
        """Number of labels, at least 1."""
        return max(1, len(self.colours))

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.labels.shape[0])

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.labels.shape[1])

    @property
    def pixels(self) -> tuple[int, ...]:
        """Number of pixels of each label that count."""
        if self.hidden is not None:
            return tuple(np.bincount(self.labels[~self.hidden], minlength=self.count).tolist())
        if self.count == 1:
            return (self.labels.size,)
        return tuple(np.bincount(self.labels.ravel(), minlength=self.count).tolist())

    @property
    def feather(self) -> float:
        """The feather's radius that suits the picture's size, in pixels."""
        return FEATHER * max(self.height, self.width)

    def scaled(self, height: int, width: int) -> LabelMap:
        """Resize to so many pixels; a label may vanish."""
        hidden = None if self.hidden is None else nearest_labels(self.hidden, height, width)
        return LabelMap(nearest_labels(self.labels, height, width), self.colours).hiding(hidden)

    def hiding(self, hidden: Bool[np.ndarray, "h w"] | None) -> LabelMap:
        """Let pixels that are wholly transparent count for no region; where nothing is seen, all count."""
        some = hidden is not None and hidden.any() and not hidden.all()
        return replace(self, hidden=hidden if some else None)

    def coverage(
        self, stride: int, rows: int, columns: int, top: int = 0, left: int = 0
    ) -> Float[Tensor, "k rows columns"]:
        """Say which share of each cell every region covers; the shares of a cell sum to 1.

        Cells that the picture's lower or right end cuts are averaged over what is there. The answer takes 4 k bytes per
        cell: ask for a large picture at a small stride band by band. Only the pixels under a window are touched.

        Args:
            stride: pixels from one cell to the next, at least 1.
            rows: rows of cells, at most ⌈h / stride⌉ - top.
            columns: columns of cells, at most ⌈w / stride⌉ - left.
            top: first row of cells.
            left: first column of cells.
        """
        if self.is_uniform:
            return torch.ones(1, rows, columns)
        shares = torch.empty(self.count, rows, columns)
        wide = self.labels[:, left * stride : (left + columns) * stride]
        of_column = np.arange(wide.shape[1]) // stride * self.count  # (w,)
        band = max(1, BAND_PIXELS // max(1, wide.shape[1] * stride, columns * self.count))
        for start in range(0, rows, band):
            stop = min(rows, start + band)
            part = wide[(top + start) * stride : (top + stop) * stride]
            of_row = np.arange(part.shape[0]) // stride * (columns * self.count)  # (h,)
            slots = (of_row[:, None] + of_column + part).ravel()  # (h, w) -> (h w)
            counts = np.bincount(slots, minlength=(stop - start) * columns * self.count)
            cells = counts.reshape(stop - start, columns, self.count)  # (rows columns k) -> (rows, columns, k)
            mean = cells / cells.sum(axis=2, keepdims=True)
            shares[:, start:stop] = torch.from_numpy(mean.astype(np.float32)).permute(2, 0, 1)
        return shares

    def weights(
        self, stride: int, rows: int, columns: int, top: int = 0, left: int = 0
    ) -> Float[Tensor, "k rows columns"]:
        """Say how much of each cell counts for every region: the coverage, less what is hidden; see `coverage`."""
        shares = self.coverage(stride, rows, columns, top, left)
        if self.hidden is None:
            return shares
        shown, _ = LabelMap(self.hidden.view(np.uint8), SHOWN_AND_HIDDEN).coverage(stride, rows, columns, top, left)
        counted: Tensor = shares * shown
        return counted

    def feathered(
        self, stride: int, rows: int, columns: int, radius: float, top: int = 0, left: int = 0
    ) -> Float[Tensor, "k rows columns"]:
        """Give the coverage with soft borders, to blend one map per region; the shares of a cell sum to 1.

        The Gaussian is made on a grid as coarse as its radius allows and interpolated from there, so its price does not
        grow with the radius, and all finer sites read the same field. Windows agree with the whole.

        Args:
            stride: pixels from one cell to the next, at least 1.
            rows: rows of cells, as for `coverage`.
            columns: columns of cells.
            radius: in pixels of the picture, at least 0, which gives the plain coverage; see `feather`.
            top: first row of cells.
            left: first column of cells.
        """
        if self.is_uniform or radius <= 0:
            return self.coverage(stride, rows, columns, top, left)
        factor = 1
        while 2 * factor * stride * FINEST <= radius:
            factor *= 2
        grid = factor * stride
        sigma = radius / SIGMAS / grid
        above = _Line(top, rows, factor, -(-self.height // grid))
        aside = _Line(left, columns, factor, -(-self.width // grid))
        field = self._blurred(grid, above, aside, sigma)
        field = above.sampled(field, 1)
        return aside.sampled(field, 2)

    def _blurred(self, grid: int, above: _Line, aside: _Line, sigma: float) -> Float[Tensor, "k g v"]:
        """Blur the cells of a window with what lies within reach; what lies beyond the picture does not count."""
        reach = max(1, round(REACH * sigma))
        kernel = _kernel(sigma, reach)
        y0, y1 = max(0, above.first - reach), min(above.total, above.last + 1 + reach)
        x0, x1 = max(0, aside.first - reach), min(aside.total, aside.last + 1 + reach)
        cells = self.coverage(grid, y1 - y0, x1 - x0, y0, x0)[:, None]  # (k, g, v) -> (k, 1, g, v)
        cells = functional.conv2d(cells, kernel[None, None, :, None], padding=(reach, 0))
        cells = functional.conv2d(cells, kernel[None, None, None, :], padding=(0, reach))
        window = cells[:, 0, above.first - y0 : above.last + 1 - y0, aside.first - x0 : aside.last + 1 - x0]
        return window / window.sum(dim=0)


def _uniform(height: int, width: int) -> LabelMap:
    return LabelMap.uniform(height, width)


def _kernel(sigma: float, reach: int) -> Float[Tensor, " taps"]:
    """Give a Gaussian averaged over the cell that reads and the cell that is read, so that cells of any size agree."""
    places = torch.arange(-reach - 1, reach + 2, dtype=torch.float64) / sigma
    density = torch.exp(-0.5 * places**2) / (2 * math.pi) ** 0.5
    twice = sigma * (places * 0.5 * (1 + torch.erf(places / 2**0.5)) + density)  # the Gaussian integrated twice
    kernel: Tensor = (twice[2:] - 2 * twice[1:-1] + twice[:-2]).clamp(min=0).float()
    return kernel


@dataclass(frozen=True)
class _Line:
    """Cells along one axis, read out of a grid `factor` times as coarse."""

    start: int
    length: int
    factor: int
    total: int

    def _position(self, cell: int) -> float:
        return min(max((cell + 0.5) / self.factor - 0.5, 0.0), self.total - 1.0)

    @property
    def first(self) -> int:
        """First cell of the grid that is read."""
        return int(self._position(self.start))

    @property
    def last(self) -> int:
        """Last cell of the grid that is read."""
        return min(self.total - 1, int(self._position(self.start + self.length - 1)) + 1)

    def sampled(self, field: Float[Tensor, "k a b"], axis: int) -> Float[Tensor, "k c d"]:
        """Interpolate linearly between the cells first … last of the grid."""
        if self.factor == 1:
            return field.narrow(axis, 0, self.length)
        cells = torch.arange(self.start, self.start + self.length, dtype=torch.float64)
        places = ((cells + 0.5) / self.factor - 0.5).clamp(0, self.total - 1) - self.first
        lower = places.long()
        upper = (lower + 1).clamp(max=self.last - self.first)
        share = (places - lower).to(field.dtype)
        share = share[:, None] if axis == 1 else share
        return torch.lerp(field.index_select(axis, lower), field.index_select(axis, upper), share)


def moment_weights(coverage: Float[Tensor, "k rows columns"]) -> Float[Tensor, "k rows columns"]:
    """Turn coverage into weights for moments that favour pure cells.

    A cell on a border mixes the features of both sides, so it counts by the square of its share. Each region is scaled
    back to its area in cells, so that moments still merge by area and a thin region, which has no pure cell, still
    counts.
    """
    squares = coverage.square()
    area = coverage.double().sum(dim=(1, 2))
    total = squares.double().sum(dim=(1, 2))
    scale = torch.where(total > 0, area / total.clamp(min=torch.finfo(torch.float64).tiny), 1.0)
    return squares * scale.to(coverage.dtype)[:, None, None]


def nearest_labels(labels: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Resize with nearest neighbour, which makes no new labels."""
    rows = ((np.arange(height) + 0.5) * labels.shape[0] / height).astype(np.int64)
    columns = ((np.arange(width) + 0.5) * labels.shape[1] / width).astype(np.int64)
    resized: NDArray[Any] = labels[rows[:, None], columns]
    return resized
