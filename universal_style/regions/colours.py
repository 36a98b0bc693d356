"""Which colours of masks mean a region, and which are noise, drifts of shade or blends at a border."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

MOST_LABELS = 255
"""Regions that a set of masks may have."""
TOLERANCE = 16.0
"""Colours of noisy masks that differ by no more than this in every channel (of 255) are one: JPEG's noise."""
CLOSE = 28.0
"""Colours of noisy masks within this are one too, unless the rarer one is a clean spike: coarse JPEG's false shades."""
SPIKE = 0.9
"""Share of a colour's flat pixels that agree exactly in a mask that was blended at borders but not compressed."""
DRIFT = 48.0
"""Colours of noisy masks within this may be one whose shade drifts across the region: then those between occur too."""
MIDDLE = 0.1
"""Half the width of what counts as half way, over the distance."""
VALLEY = 0.1
"""Flat pixels half way between two colours, over those of the rarer one, up to which it is no drift."""
PEAK = 0.15
"""Share of a colour's flat pixels that must agree exactly where it might be a blend of others."""
THICK = 0.5
"""Share of them that must have flat surroundings there."""
SPECK = 0.002
"""Flat pixels of a colour, over those of one within DRIFT, up to which it is a fleck of that one."""
MIN_FLAT = 10
"""Flat pixels that a noisy mask's colour must exceed to be a region's; thin structures need three times as many."""
MIX_TOLERANCE = 32.0
"""Distance (of 255) from a mix of two colours up to which a colour may come from blending them."""
LUMA = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
"""From RGB to luma and two chroma channels, as JPEG has them."""

Colour = Float[np.ndarray, " 3"]
Table = Float[np.ndarray, "n 3"]
Chosen = Float[np.ndarray, "k 3"]
Counts = Float[np.ndarray, " n"]


def region_colours(
    table: Table, meant: Bool[np.ndarray, " n"], fine: bool, flat: Counts, thick: Counts, thin: Counts
) -> Chosen:
    """Let the commonest colour take all within tolerance, then the commonest of the rest, and so on.

    The result has at most MOST_LABELS + 1 colours; that many are too many.

    Args:
        table: the distinct colours of all masks, 0 … 255.
        meant: those of hard masks, which mean a region however rare they are.
        fine: whether a hard mask has colours within tolerance of each other; then those of hard masks are not merged.
        flat: pixels of each colour in flat areas, and all pixels of hard masks.
        thick: those of them that also have flat surroundings.
        thin: pixels of noisy masks outside flat areas.
    """
    chosen = table[meant & fine]
    areas = flat[meant & fine]
    free = nearest_colours(table, chosen)[1] > TOLERANCE
    while len(chosen) <= MOST_LABELS:
        left = np.where(free, flat, 0)
        best = int(left.argmax())
        if left[best] == 0:
            break
        near = free & (np.abs(table - table[best]).max(axis=1) <= TOLERANCE)
        free &= ~near
        area = flat[near].sum()
        found = _Found(table[best], area, left[best] / area, thick[near].sum() / area)
        if meant[near].any() or _is_own(found, chosen, areas, table, flat):
            chosen, areas = np.vstack([chosen, table[best]]), np.append(areas, area)
    wide = np.where(free, thin, 0)
    for best in np.argsort(-wide, kind="stable"):
        if wide[best] <= 3 * MIN_FLAT or len(chosen) > MOST_LABELS:
            break
        gap = np.abs(chosen - table[best]).max(axis=1).min(initial=256.0)
        if gap > MIX_TOLERANCE and not blends(table[best], chosen).any():
            chosen = np.vstack([chosen, table[best]])
    return chosen


def closest(table: Table) -> float:
    """Say how far apart the two most alike colours are, in the worst channel; 256 where there is only one."""
    gaps = [np.abs(table[index + 1 :] - colour).max(axis=1).min() for index, colour in enumerate(table[:-1])]
    return float(min(gaps, default=256.0))


@dataclass(frozen=True)
class _Found:
    """A flat colour of noisy masks that may be a region's.

    Attributes:
        colour: the commonest of those within tolerance.
        area: their flat pixels.
        peak: share of the commonest in them.
        inside: share of them with flat surroundings.
    """

    colour: Colour
    area: float
    peak: float
    inside: float


def _is_own(found: _Found, chosen: Chosen, areas: Float[np.ndarray, " k"], table: Table, flat: Counts) -> bool:
    """Say whether a colour is a region's, not a drift, a blend or a fleck of one of those chosen so far."""
    gaps = np.abs(chosen - found.colour).max(axis=1)
    gap = gaps.min(initial=256.0)
    if found.area <= max([MIN_FLAT, *(SPECK * areas[gaps <= DRIFT])]):
        return False
    if found.peak >= SPIKE:
        return True
    if gap <= CLOSE:
        return False
    if gap <= DRIFT:
        return all(
            _between(table, flat, found.colour, chosen[index]) <= VALLEY * found.area
            for index in np.flatnonzero(gaps <= DRIFT)
        )
    firm = found.peak >= PEAK and found.inside >= THICK
    return bool(firm or not blends(found.colour, chosen).any())


def _between(table: Table, flat: Counts, one: Colour, other: Colour) -> float:
    """Count the flat pixels of colours half way between two."""
    along = other - one
    share = (table - one) @ along / (along @ along)
    aside = np.abs(table - one - share[:, None] * along).max(axis=1)
    return float(flat[(np.abs(share - 0.5) < MIDDLE) & (aside <= TOLERANCE / 2)].sum())


def blends(colour: Colour, table: Table) -> Bool[np.ndarray, "n n"]:
    """Say which pairs of other colours blend into a colour.

    JPEG blends luma and chroma over different widths, so each may be any mix of its own.
    """
    point, ends = LUMA @ colour, table @ LUMA.T
    gaps = np.zeros((len(table), len(table)))
    for part in (slice(0, 1), slice(1, 3)):
        start, along = ends[:, None, part], ends[None, :, part] - ends[:, None, part]
        length = (along**2).sum(axis=2)
        share = ((point[part] - start) * along).sum(axis=2) / np.where(length > 0, length, 1)
        nearest = start + np.clip(share, 0, 1)[:, :, None] * along
        gaps += ((point[part] - nearest) ** 2).sum(axis=2)
    other = np.abs(table - colour).max(axis=1) > 0
    close: NDArray[np.bool_] = (gaps <= MIX_TOLERANCE**2) & other[:, None] & other
    np.fill_diagonal(close, False)
    return close


def nearest_colours(table: Table, chosen: Chosen) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Give, for each colour of a table, the nearest chosen one and how far off it is in the worst channel."""
    nearest, gaps = np.zeros(len(table), np.int64), np.full(len(table), np.inf)
    for index, colour in enumerate(chosen):
        gap = np.abs(table - colour).max(axis=1)
        nearest[gap < gaps] = index
        gaps = np.minimum(gap, gaps)
    return nearest, gaps


def joined(
    tables: Sequence[Float[np.ndarray, "_ 3"]], counts: Sequence[Sequence[Float[np.ndarray, " _"]]]
) -> tuple[Table, list[Counts]]:
    """Put the tables of several masks together, adding up each kind of count."""
    table, inverse = np.unique(np.concatenate(tables), axis=0, return_inverse=True)
    rows = inverse.ravel()
    return table, [np.bincount(rows, np.concatenate(kind), len(table)) for kind in zip(*counts, strict=True)]
