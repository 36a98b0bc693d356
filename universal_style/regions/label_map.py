"""A label map: the region of each pixel, and how much of each cell of a site every region covers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from universal_style.regions.matte import Layer, Matte, matte_of, stride_for

Colour = tuple[int, int, int]

DRAWN = 1 / 64
"""How far a drawn mask may be from the outline that it means, as a share of the longer side."""
LEAST_REACH = 8.0
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
        matte: where regions end in the picture; None before one has been looked at.
    """

    labels: UInt8[np.ndarray, "h w"]
    colours: tuple[Colour, ...]
    hidden: Bool[np.ndarray, "h w"] | None = None
    matte: Matte | None = None

    @classmethod
    def uniform(cls, height: int, width: int) -> LabelMap:
        """Give the map of a picture without a mask: one region everywhere."""
        return cls(np.zeros((height, width), np.uint8), ())

    def __reduce__(self) -> tuple[Any, ...]:
        """Go to another process; one region goes as no more than its size."""
        if self.is_uniform and self.hidden is None:
            return _uniform, (self.height, self.width)
        return LabelMap, (self.labels, self.colours, self.hidden, self.matte)

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

    def scaled(self, height: int, width: int) -> LabelMap:
        """Resize to so many pixels; a label may vanish."""
        hidden = None if self.hidden is None else nearest_labels(self.hidden, height, width)
        matte = None if self.matte is None else Matte(*(nearest_labels(p, height, width) for p in self.matte.planes))
        return LabelMap(nearest_labels(self.labels, height, width), self.colours, matte=matte).hiding(hidden)

    def hiding(self, hidden: Bool[np.ndarray, "h w"] | None) -> LabelMap:
        """Let pixels that are wholly transparent count for no region; where nothing is seen, all count."""
        some = hidden is not None and hidden.any() and not hidden.all()
        return replace(self, hidden=hidden if some else None)

    def following(self, pixels: Float[Tensor, "1 3 h w"], reach: float = DRAWN) -> LabelMap:
        """Let regions end at the edges of the picture that they were drawn for, softly where it has none.

        A mask is seldom drawn to the pixel, and what lies between its outline and the picture's would take the wrong
        side's map: a bright sky stays bright beside a building that has turned dark, a rim of light.

        Args:
            pixels: RGB in [0, 1].
            reach: how far from the labels' borders edges are looked for, as a share of the longer side; 8 pixels at the
                least.
        """
        if self.count == 1:
            return self
        radius = max(LEAST_REACH, reach * max(self.height, self.width))
        stride = stride_for(radius)
        shares = self.coverage(stride, -(-self.height // stride), -(-self.width // stride))
        return replace(self, matte=matte_of(shares, stride, radius, pixels))

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
        width = min(columns * stride, self.width - left * stride)
        of_column = np.arange(width) // stride * self.count  # (w,)
        band = max(1, BAND_PIXELS // max(1, width * stride, columns * self.count))
        for start in range(0, rows, band):
            stop = min(rows, start + band)
            place = slice((top + start) * stride, (top + stop) * stride), slice(left * stride, left * stride + width)
            layers: Sequence[Layer] = [(self.labels[place], None)] if self.matte is None else self.matte.layers(place)
            of_row = np.arange(len(self.labels[place])) // stride * (columns * self.count)  # (h,)
            of_cell = of_row[:, None] + of_column
            counts = np.zeros((stop - start) * columns * self.count)
            for labels, share in layers:
                slots = (of_cell + labels).ravel()  # (h, w) -> (h w)
                counts += np.bincount(slots, None if share is None else share.ravel(), len(counts))
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


def _uniform(height: int, width: int) -> LabelMap:
    return LabelMap.uniform(height, width)


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
