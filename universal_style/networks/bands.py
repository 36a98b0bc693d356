"""Layers over large features in bands of rows, so that what lies between two layers need never be held whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from universal_style.networks.layout import room_like

BAND_BYTES = {"cpu": 64 * 2**20, "cuda": 2 * 2**30}
"""Of the features in work at a time: on a CPU what its caches may hold, on a graphics card what keeps it busy."""
LEAST_HALOS = 12
"""Rows of a band, in halos: fewer would be computed twice too often."""


def in_bands(
    work: Callable[..., Sequence[Tensor]], given: Sequence[Tensor], cells: int, halo: int, cell_bytes: int
) -> list[Tensor]:
    """Do the work of some layers, band by band where no gradients are asked for; the result is the same.

    Args:
        work: takes what is given, or the same rows of each, and gives pictures, each with as many rows to a cell as in
            any other band.
        given: pictures (n, c, rows, columns), each with a whole number of rows to a cell.
        cells: the rows of the coarsest picture.
        halo: cells above and below a band on which it depends.
        cell_bytes: bytes of a row of cells of the largest picture between the layers.
    """
    budget = BAND_BYTES["cpu" if given[0].device.type == "cpu" else "cuda"]
    most = max(1, budget // max(1, cell_bytes), LEAST_HALOS * halo)
    if torch.is_grad_enabled() or most >= cells:
        return list(work(*given))
    count = -(-cells // most)
    results: list[Tensor] = []
    for number in range(count):
        first, last = cells * number // count, cells * (number + 1) // count
        start, stop = max(0, first - halo), min(cells, last + halo)
        parts = work(*(_rows(picture, cells, start, stop) for picture in given))
        results = results or [_room(part, cells, stop - start) for part in parts]
        for whole, part in zip(results, parts, strict=True):
            _rows(whole, cells, first, last).copy_(_rows(part, stop - start, first - start, last - start))
    return results


def _rows(picture: Tensor, cells: int, first: int, last: int) -> Tensor:
    each = picture.shape[2] // cells
    return picture[:, :, each * first : each * last]


def _room(part: Tensor, cells: int, seen: int) -> Tensor:
    count, channels, height, width = part.shape
    return room_like(part, (count, channels, height // seen * cells, width), part.dtype)
