"""Masks: picture files whose colours say which pixels belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from jaxtyping import Bool, Int, Int16, UInt8
from numpy.typing import NDArray

from universal_style.errors import InputError, OptionError
from universal_style.images import Image, Source
from universal_style.regions.colours import (
    DRIFT,
    MOST_LABELS,
    TOLERANCE,
    Counts,
    Table,
    blends,
    closest,
    joined,
    nearest_colours,
    region_colours,
)
from universal_style.regions.label_map import Colour, LabelMap, nearest_labels

FLAT = 12
"""The range of each channel (of 255) within a 3×3 window of a flat area."""
SURVEYED = 1024
"""Pixels of a noisy mask's longer side that its colours are counted on."""
NEARBY = 4
"""Pixels from a border pixel within which the regions on both its sides are looked for."""
FRINGE = 0.15
"""Share of the pixels on borders that belong to no 2×2 block of one colour, up to which the borders are hard."""

Size = tuple[int, int]


@dataclass(frozen=True)
class _Mask:
    """A mask as an index picture.

    Attributes:
        codes: per pixel, which row of the table.
        table: the distinct colours, 0 … 255, fractions for files of 16 bits.
        counts: pixels per colour.
        hard: whether borders are hard, so that every colour is meant.
        flat: pixels in flat areas.
    """

    codes: Int[np.ndarray, "h w"]
    table: Table
    counts: Int[np.ndarray, " n"]
    hard: bool
    flat: Bool[np.ndarray, "h w"]


def read_masks(
    content_mask: Source | None,
    style_masks: Sequence[Source | None],
    content_size: Size,
    style_sizes: Sequence[Size],
) -> tuple[LabelMap, list[LabelMap]]:
    """Read the masks of a content and its styles into label maps with one numbering.

    A mask may be any picture that `Image.of` takes, upright as that makes it, of any size and any colours; the same
    colour means the same region in all masks. There are two kinds:

    - *hard*: flat up to the borders (index masks, palettes, painted without anti-aliasing). Every distinct colour is a
      region, however thin, and be it one step from another (0, 1, 2, …). Masks of 16 bits whose values all lie
      below 256 hold such indices and mean the same as those of 8 bits.
    - *noisy*: all others (JPEG, anti-aliased, resized). Regions are the colours of flat areas, within TOLERANCE; so are
      colours of thin structures where they are no mix of others. Pixels of a border go to the nearest flat area in
      space, not in colour: between black and white lies grey, which may be another region.

    Where no hard mask has two colours within TOLERANCE of each other, hard masks are held to it too, so that masks of
    different compression agree. Where alpha is 0 a mask is black, whatever colour hides there; elsewhere alpha is
    ignored. Labels are numbered by area in the content, then by area in the styles.

    Source: Luan et al. 2017, section 3 (masks); their public code compares with nine fixed colours.
    Departs: any colours will do, and noise is clustered away.

    Args:
        content_mask: None for a content without a mask.
        style_masks: none, or one per style; None for a style without one.
        content_size: (height, width) of the content in pixels.
        style_sizes: the same of each style.

    Returns:
        The content's map and one per style; pictures without a mask have the uniform map.

    Raises:
        OptionError: there are masks for some styles only.
        InputError: styles have masks but the content has none, a mask cannot be read, or there are too many colours.
    """
    if style_masks and len(style_masks) != len(style_sizes):
        raise OptionError(
            f"there are {len(style_masks)} style masks for {len(style_sizes)} styles; give one for each or none"
        )
    given = list(style_masks) or [None] * len(style_sizes)
    sources, sizes = [content_mask, *given], [content_size, *style_sizes]
    if content_mask is None:
        if any(source is not None for source in given):
            raise InputError("a style has a mask but the content has none; give the content's mask too")
        uniform = [LabelMap.uniform(*size) for size in sizes]
        return uniform[0], uniform[1:]
    values = [None if source is None else _values(source) for source in sources]
    deep = any(array is not None and array.dtype == np.uint16 and array.max() > 255 for array in values)
    masks = [None if array is None else _indexed(array, deep) for array in values]
    drawn = [mask for mask in masks if mask is not None]
    colours = _colours_of(drawn)
    labelled = [
        None if mask is None else nearest_labels(_labelled(mask, colours), *size)
        for mask, size in zip(masks, sizes, strict=True)
    ]
    maps = _numbered(labelled, sizes, colours)
    return maps[0], maps[1:]


def _values(source: Source) -> NDArray[np.unsignedinteger]:
    """Read a mask as whole numbers (h, w, 3), of 16 bits if the file is."""
    image = Image.of(source)
    kind, most = (np.uint16, 65535) if image.bits == 16 else (np.uint8, 255)
    values: NDArray[np.unsignedinteger] = np.rint(image.pixels * most).astype(kind)
    if image.alpha is not None:
        values[image.alpha == 0] = 0
    return values


def _indexed(values: NDArray[np.unsignedinteger], deep: bool) -> _Mask:
    """List a mask's colours and say which of them each pixel has.

    Args:
        values: (h, w, 3).
        deep: whether values of 16 bits are shades, not indices below 256.
    """
    red, green, blue = (values[:, :, channel].astype(np.int32) for channel in range(3))
    if deep and values.dtype == np.uint16:
        packed = red.astype(np.int64) << 32 | green.astype(np.int64) << 16 | blue
        found, inverse, counts = np.unique(packed, return_inverse=True, return_counts=True)
        codes = inverse.reshape(packed.shape)  # (h w) -> (h, w)
        table = np.stack([found >> 32, found >> 16 & 65535, found & 65535], axis=1) / 257
    else:
        packed = red << 16 | green << 8 | blue
        bins = np.bincount(packed.ravel(), minlength=1 << 24)
        found = np.flatnonzero(bins)
        place = np.zeros(1 << 24, np.int32)
        place[found] = np.arange(len(found))
        codes, counts = place[packed], bins[found]
        table = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1).astype(np.float64)
    if _is_hard(codes, len(table)):
        return _Mask(codes, table, counts, True, np.ones(codes.shape, bool))
    flat = _flat(codes, table)
    cells = len(table) <= MOST_LABELS and not flat.any()  # a map of single cells, to be enlarged
    return _Mask(codes, table, counts, cells, flat)


def _is_hard(codes: NDArray[np.integer], colours: int) -> bool:
    """Say whether most colours come in blocks and hardly a border has pixels of neither side."""
    down, across = codes[1:] == codes[:-1], codes[:, 1:] == codes[:, :-1]
    inner: NDArray[np.bool_] = np.ones(codes.shape, bool)
    inner[1:] &= down
    inner[:-1] &= down
    inner[:, 1:] &= across
    inner[:, :-1] &= across
    block = down[:, 1:] & down[:, :-1] & across[1:] & across[:-1]
    solid: NDArray[np.bool_] = np.zeros_like(inner)
    for corner in (solid[:-1, :-1], solid[:-1, 1:], solid[1:, :-1], solid[1:, 1:]):
        corner |= block
    if 2 * len(np.unique(codes[solid])) < colours:  # most colours come in specks only: noise
        return False
    return int((~solid & ~inner).sum()) <= FRINGE * int((~inner).sum())


def _flat(codes: NDArray[np.integer], table: Table) -> NDArray[np.bool_]:
    flat: NDArray[np.bool_] = np.ones(codes.shape, bool)
    for shades in np.rint(table).astype(np.uint8).T:
        plane = shades[codes]
        flat &= scipy.ndimage.maximum_filter(plane, 3) - scipy.ndimage.minimum_filter(plane, 3) <= FLAT
    return flat


def _colours_of(masks: Sequence[_Mask]) -> Table:
    """Find the colours that mean a region, jointly over all masks."""
    counts = [_counts(mask) for mask in masks]
    table, (hard, flat, thick, thin) = joined([mask.table for mask in masks], counts)
    exact = int((hard > 0).sum())
    fine = exact <= MOST_LABELS and any(mask.hard and closest(mask.table) <= TOLERANCE for mask in masks)
    found = table if exact > MOST_LABELS else region_colours(table, hard > 0, fine, flat, thick, thin)
    if len(found) > MOST_LABELS:
        number = str(exact) if exact > MOST_LABELS else f"more than {MOST_LABELS}"
        raise InputError(f"the masks hold {number} colours, {MOST_LABELS} is the most; paint each region in one colour")
    if len(found) == 0:
        raise InputError("the masks hold no flat area of one colour; paint each region in one colour")
    return found


def _counts(mask: _Mask) -> tuple[Counts, Counts, Counts, Counts]:
    """Count each colour's pixels: in a hard mask, in flat areas, in flat surroundings, in thin structures."""
    none, every = np.zeros(len(mask.table)), mask.counts.astype(np.float64)
    if mask.hard:
        return every, every, every, none
    # In a mask that was enlarged, borders are so wide that they are flat by themselves: look at it reduced.
    step = -(-max(mask.codes.shape) // SURVEYED)
    codes = mask.codes[::step, ::step]
    flat = mask.flat if step == 1 else _flat(codes, mask.table)
    parts = (flat, scipy.ndimage.minimum_filter(flat, 3), ~flat)
    inner, deep, thin = (np.bincount(codes[part], minlength=len(none)).astype(np.float64) for part in parts)
    return none, inner, deep, thin


def _labelled(mask: _Mask, colours: Table) -> UInt8[np.ndarray, "h w"]:
    nearest, gaps = nearest_colours(mask.table, colours)
    by_colour = nearest.astype(np.uint8)
    if mask.hard:
        return _picked(by_colour, mask.codes)
    known, drifted = (np.where(gaps <= most, nearest, -1).astype(np.int16) for most in (TOLERANCE, DRIFT))
    labels = np.where(mask.flat, drifted[mask.codes], known[mask.codes])  # -1 stands for a colour that is no region's
    labels[_borders(labels, mask.flat & (labels >= 0), colours)] = -1
    seeds = labels >= 0
    if not seeds.any():
        return _picked(by_colour, mask.codes)
    if not seeds.all():
        rows, columns = scipy.ndimage.distance_transform_edt(~seeds, return_distances=False, return_indices=True)
        labels = labels[rows, columns]
    filled: NDArray[np.uint8] = labels.astype(np.uint8)
    return filled


def _picked(row: NDArray[np.uint8], codes: NDArray[np.integer]) -> NDArray[np.uint8]:
    picked: NDArray[np.uint8] = row[codes]
    return picked


def _borders(
    labels: Int16[np.ndarray, "h w"], flat: Bool[np.ndarray, "h w"], colours: Table
) -> Bool[np.ndarray, "h w"]:
    """Find pixels that look like a region but may be the blend of two others nearby."""
    doubtful = np.zeros(labels.shape, bool)
    open_ = (labels >= 0) & ~flat
    mixes = {label: blends(colours[label], colours) for label in np.unique(labels[open_]).tolist()}
    mixes = {label: pairs for label, pairs in mixes.items() if pairs.any()}
    ends = sorted({int(end) for pairs in mixes.values() for end in np.flatnonzero(pairs.any(axis=0))})
    open_ &= np.isin(labels, list(mixes))
    if not open_.any():
        return doubtful
    rows, columns = np.nonzero(open_)
    near = np.zeros((len(rows), len(colours)), np.float32)
    for end in ends:
        around = scipy.ndimage.maximum_filter(flat & (labels == end), 2 * NEARBY + 1)
        near[:, end] = around[rows, columns]
    own = labels[rows, columns]
    for label, pairs in mixes.items():
        there = np.flatnonzero(own == label)
        blended = ((near[there] @ pairs.astype(np.float32)) * near[there]).any(axis=1)
        doubtful[rows[there[blended]], columns[there[blended]]] = True
    return doubtful


def _numbered(labelled: Sequence[NDArray[np.uint8] | None], sizes: Sequence[Size], colours: Table) -> list[LabelMap]:
    """Sort what labels are left by area, the content's first."""
    none = np.zeros(0, np.uint8)
    areas = [np.bincount((none if m is None else m).ravel(), minlength=len(colours)) for m in labelled]
    content, others = areas[0], np.sum(areas, axis=0) - areas[0]
    order = [label for label in np.lexsort((-others, -content)).tolist() if content[label] + others[label]]
    place = np.zeros(len(colours), np.uint8)
    place[order] = np.arange(len(order))
    painted = tuple(_shade(colours[label]) for label in order)
    return [
        LabelMap.uniform(*size) if labels is None else LabelMap(place[labels], painted)
        for labels, size in zip(labelled, sizes, strict=True)
    ]


def _shade(colour: NDArray[np.float64]) -> Colour:
    red, green, blue = (int(value) for value in np.rint(colour))
    return red, green, blue
