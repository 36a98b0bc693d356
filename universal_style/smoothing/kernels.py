"""The products of the smoothing system in one pass each, for graphics cards: torch's own take dozens over the picture.

Each says the same as a function of `affinity` or `coarse`; these use it for what lies on a card (`cards.kernels_for`).
Triton, which comes with torch where it supports it, compiles them at their first use.
"""

from __future__ import annotations

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from universal_style.smoothing import coarse
from universal_style.smoothing.affinity import OFFSETS
from universal_style.smoothing.cards import MOST_PLANES

BLOCK = 256
"""Pixels of a row, or of a plane, that a program works on at a time."""
MODELS = 4
PLANES = tl.constexpr(MOST_PLANES)
"""Planes that a program works on together; with fewer the last ones rest."""
STENCIL = tl.constexpr(len(OFFSETS))
SPACING = tl.constexpr(coarse.SPACING)


@triton.jit(do_not_specialize=["count", "width"])
@no_type_check
def _stencil(
    planes, degrees, values, product, of_degrees, of_affinity, channels, count, width, block: tl.constexpr
):  # fmt: skip
    count = count.to(tl.int64)
    place = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    channel = tl.arange(0, PLANES)[:, None]
    plane = channel * count
    there = place < count
    used = channel < channels
    own = of_affinity * tl.load(planes + place, there, 0.0) + of_degrees * tl.load(degrees + place, there, 0.0)
    total = own[None, :] * tl.load(values + plane + place[None, :], used & there[None, :], 0.0)
    for number in tl.static_range(1, STENCIL):
        shift = (number + 2) // 5 * width + (number + 2) % 5 - 2  # as `OFFSETS` has them
        reached = there & (place + shift < count)
        weights = of_affinity * tl.load(planes + number * count + place, reached, 0.0)
        total += weights[None, :] * tl.load(values + plane + (place + shift)[None, :], used & reached[None, :], 0.0)
        reached = there & (place >= shift)
        weights = of_affinity * tl.load(planes + number * count + place - shift, reached, 0.0)
        total += weights[None, :] * tl.load(values + plane + (place - shift)[None, :], used & reached[None, :], 0.0)
    tl.store(product + plane + place[None, :], total, used & there[None, :])


@triton.jit(do_not_specialize=["height", "width", "nodes"])
@no_type_check
def _models_down(values, models, rows, channels, height, width, nodes, block: tl.constexpr):
    node = tl.program_id(0)
    column = tl.program_id(1) * block + tl.arange(0, block)[None, :]
    pair = tl.arange(0, PLANES * PLANES)[:, None]  # of a channel and a model
    count = height.to(tl.int64) * width
    used = (pair // PLANES < channels) & (column < width)
    total = tl.zeros([PLANES * PLANES, block], tl.float32)
    for step in tl.static_range(1 - SPACING, SPACING):
        row = node * SPACING + step
        place = row.to(tl.int64) * width + column
        seen = used & (row >= 0) & (row < height)
        value = tl.load(values + pair // PLANES * count + place, seen, 0.0)
        hat = 1 - (step if step > 0 else -step) / SPACING
        total += hat * value * tl.load(models + pair % PLANES * count + place, seen, 0.0)
    tl.store(rows + (pair.to(tl.int64) * nodes + node) * width + column, total, used)


@triton.jit(do_not_specialize=["height", "width", "nodes"])
@no_type_check
def _models_up(rows, models, left, degrees, onto, channels, height, width, nodes, block: tl.constexpr):
    row = tl.program_id(0)
    column = tl.program_id(1) * block + tl.arange(0, block)[None, :]
    channel = tl.arange(0, PLANES)[:, None]
    count = height.to(tl.int64) * width
    used = (channel < channels) & (column < width)
    place = row.to(tl.int64) * width + column
    plane = channel * count + place
    total = tl.load(left + plane, used, 0.0) / tl.load(degrees + place, column < width, 1.0)
    node = row // SPACING
    below = (row % SPACING).to(tl.float32) / SPACING
    for number in tl.static_range(PLANES):
        upper = ((channel * PLANES + number).to(tl.int64) * nodes + node) * width + column
        one = tl.load(rows + upper, used, 0.0)
        other = tl.load(rows + upper + width, used & (node + 1 < nodes), 0.0)
        model = tl.load(models + number * count + place, column < width, 0.0)
        total += model * (one + below * (other - one))
    tl.store(onto + plane, total, used)


def stencil(
    planes: Float[Tensor, "13 h w"],
    degrees: Float[Tensor, "h w"],
    values: Float[Tensor, "c h w"],
    of_degrees: float,
    of_affinity: float,
    out: Float[Tensor, "c h w"] | None = None,
) -> Float[Tensor, "c h w"]:
    """Give `Affinity.combined` of at most `PLANES` planes."""
    product = torch.empty_like(values) if out is None else out
    channels, height, width = values.shape
    count = height * width
    grid = (triton.cdiv(count, BLOCK),)
    _stencil[grid](planes, degrees, values, product, of_degrees, of_affinity, channels, count, width, block=BLOCK)
    return product


def models_down(values: Float[Tensor, "c h w"], models: Float[Tensor, "4 h w"], nodes: int) -> Float[Tensor, "c 4 _ w"]:
    """Weigh the rows of each plane times each model with the hats of so many nodes."""
    channels, height, width = values.shape
    rows = values.new_empty(channels, MODELS, nodes, width)
    grid = (nodes, triton.cdiv(width, BLOCK))
    _models_down[grid](values, models, rows, channels, height, width, nodes, block=BLOCK)
    return rows


def models_up(
    rows: Float[Tensor, "c 4 _ w"],
    models: Float[Tensor, "4 h w"],
    left: Float[Tensor, "c h w"],
    degrees: Float[Tensor, "h w"],
    out: Float[Tensor, "c h w"],
) -> None:
    """Give D⁻¹ times each plane, and what the models with coefficients at the nodes of rows add to it."""
    channels, height, width = left.shape
    grid = (height, triton.cdiv(width, BLOCK))
    _models_up[grid](rows, models, left, degrees, out, channels, height, width, rows.shape[2], block=BLOCK)
