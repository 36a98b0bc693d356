"""The preconditioner of the smoothing system: linear models of the guide's colours on ever coarser grids."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from universal_style.smoothing.affinity import CHUNK, Affinity
from universal_style.smoothing.cards import kernels_for

SPACING = 4
"""Pixels between the nodes of the finest grid, and nodes of a grid between those of the next."""
GRIDS = 3
"""Grids with nodes 4, 16 and 64 pixels apart: at β = 0.9999 an edge is felt about 100 pixels away."""
APART = 3
"""Nodes between those whose blocks are read off one product: their hats and the stencil's reach do not meet."""
LEAST_PIVOT = 1e-3
"""Pivots under this share of a block's diagonal may be float32's rounding, for 1 and the guide's colours are nearly the
same function where colours hardly vary. With 1e-5 a calm sky without the steps of a file did not arrive in 3000
iterations; other pictures take as many with 1e-3, to one, or fewer."""
WEIGHT = 0.3
"""Weight of each grid against D⁻¹; of 0.1 to 2 it takes the fewest iterations, 1 takes up to a third more."""


@dataclass(frozen=True)
class CoarseModels:
    """An additive preconditioner of A = D - β W whose number of iterations does not grow with the picture.

    What the affinity hardly penalises are functions that are, around every pixel, an affine function of the guide's
    colours, with coefficients that change slowly over the picture. Four coefficients at each node of a grid, one for
    the constant and one for each colour, with hat functions between the nodes, span these; constants alone, as stock
    multigrid has them, do not. So

        M⁻¹ = D⁻¹ + w Σ_g P_g B_g⁻¹ P_gᵀ,

    P_g from the coefficients on grid g to pixels, B_g the 4×4 blocks on the diagonal of P_gᵀ A P_g.

    Source: Bramble, Pasciak and Xu 1990, Parallel Multilevel Preconditioners; the functions spanned are those of
        Levin, Lischinski and Weiss 2008, equation 1.

    Attributes:
        models: 1 and the guide's three colours, centred.
        degrees: D.
        factors: of B_g / w for each grid: LDLᵀ with L's entries below its diagonal and D on it.
    """

    models: Float[Tensor, "4 h w"]
    degrees: Float[Tensor, "h w"]
    factors: tuple[Float[Tensor, "4 4 _ _"], ...]

    @classmethod
    def of(cls, affinity: Affinity, guide: Float[Tensor, "3 h w"], beta: float) -> CoarseModels:
        """Read the blocks off products with A of hats that do not meet.

        Args:
            affinity: of the guide.
            guide: pixels in [0, 1].
            beta: β of the system.
        """
        models = torch.cat([torch.ones_like(guide[:1]), guide - 0.5])
        shapes = [guide.shape[1:]]
        factors = []
        for _ in range(GRIDS):
            shapes.append(torch.Size(_nodes(length) for length in shapes[-1]))
            blocks = models.new_zeros(4, 4, *shapes[-1])
            for above in range(min(APART, shapes[-1][0])):
                for left in range(min(APART, shapes[-1][1])):
                    chosen = (slice(above, None, APART), slice(left, None, APART))
                    hats = models.new_zeros(1, *shapes[-1])
                    hats[(0, *chosen)] = 1
                    for shape in reversed(shapes[:-1]):
                        hats = _up(_up(hats, 2, shape[1]), 1, shape[0])
                    image = _models_down(affinity.combined(models * hats, 1, -beta), models)
                    image = image.flatten(0, 1)  # (4, 4, rows, columns) -> (16, rows, columns)
                    for _ in shapes[2:]:
                        image = _down(_down(image, 1), 2)
                    blocks[(..., *chosen)] = image.unflatten(0, (4, 4))[(..., *chosen)]  # -> (4, 4, rows, columns)
            factors.append(_factored(blocks / WEIGHT))
        return cls(models, affinity.degrees, tuple(factors))

    def __call__(self, left: Float[Tensor, "c h w"], out: Float[Tensor, "c h w"] | None = None) -> Tensor:
        """Give M⁻¹ times each plane, (c, h, w), in other memory where some is given."""
        channels = len(left)
        coarse = [_models_down(left, self.models)]
        for _ in self.factors[1:]:
            planes = coarse[-1].flatten(0, 1)  # (c, 4, rows, columns) -> (4 c, rows, columns)
            coarse.append(_down(_down(planes, 1), 2).unflatten(0, (channels, 4)))
        for values, factors in zip(coarse, self.factors, strict=True):
            _solve_blocks(values, factors)
        while len(coarse) > 1:
            planes = coarse.pop().flatten(0, 1)  # (c, 4, rows, columns) -> (4 c, rows, columns)
            rows, columns = coarse[-1].shape[2:]
            coarse[-1] += _up(_up(planes, 2, columns), 1, rows).unflatten(0, (channels, 4))
        answer = torch.empty_like(left) if out is None else out
        _models_up(coarse[0], self.models, left, self.degrees, answer)
        return answer


def _nodes(length: int) -> int:
    """Count the nodes that a line needs for one at or past each of its ends."""
    return -(-(length - 1) // SPACING) + 1


def _down(planes: Float[Tensor, "k h w"], axis: int) -> Tensor:
    """Weigh an axis with the hats of its coarser grid; the transpose of `_up`."""
    length = planes.shape[axis]
    shape = [_nodes(size) if number == axis else size for number, size in enumerate(planes.shape)]
    coarse: Tensor = planes.new_zeros(shape)
    for place in range(min(SPACING, length)):
        part = planes[_every(axis, place)]
        count = part.shape[axis]
        coarse.narrow(axis, 0, count).add_(part, alpha=1 - place / SPACING)
        if place:
            coarse.narrow(axis, 1, count).add_(part, alpha=place / SPACING)
    return coarse


def _up(planes: Float[Tensor, "k h w"], axis: int, length: int) -> Tensor:
    """Interpolate along an axis between the nodes of its coarser grid."""
    shape = [length if number == axis else size for number, size in enumerate(planes.shape)]
    fine: Tensor = planes.new_empty(shape)
    for place in range(min(SPACING, length)):
        part = fine[_every(axis, place)]
        count = part.shape[axis]
        before = planes.narrow(axis, 0, count)
        part.copy_(torch.lerp(before, planes.narrow(axis, 1, count), place / SPACING) if place else before)
    return fine


def _every(axis: int, place: int) -> tuple[slice, ...]:
    return (*[slice(None)] * axis, slice(place, None, SPACING))


def _models_down(values: Float[Tensor, "c h w"], models: Float[Tensor, "4 h w"]) -> Float[Tensor, "c 4 _ _"]:
    """Give Pᵀ of the finest grid: `_down` of each plane times each model, the products never kept."""
    channels, height, width = values.shape
    if kernels := kernels_for(values):
        lines = kernels.models_down(values, models, _nodes(height)).flatten(0, 1)  # (c, 4, rows, w) -> (4 c, rows, w)
        nodes: Tensor = _down(lines, 2).unflatten(0, (channels, 4))  # -> (c, 4, rows, columns)
        return nodes
    coarse: Tensor = values.new_zeros(channels, 4, _nodes(height), _nodes(width))
    for first, last in _bands(models):
        count = -(-(last - first) // SPACING)
        rows = values.new_zeros(channels, 4, count + 1, width)
        for place in range(min(SPACING, last - first)):
            lines, weights = (planes[..., first + place : last : SPACING, :] for planes in (values[:, None], models))
            here = lines.shape[2]
            rows[:, :, :here].addcmul_(lines, weights, value=1 - place / SPACING)
            if place:
                rows[:, :, 1 : here + 1].addcmul_(lines, weights, value=place / SPACING)
        top = first // SPACING
        band = coarse[:, :, top : top + count + 1]  # nothing falls past the last node
        whole = _down(rows.flatten(0, 1), 2)  # (c, 4, rows, w) -> (4 c, rows, columns)
        band += whole.unflatten(0, (channels, 4))[:, :, : band.shape[2]]  # -> (c, 4, rows, columns)
    return coarse


def _models_up(
    coarse: Float[Tensor, "c 4 _ _"],
    models: Float[Tensor, "4 h w"],
    left: Float[Tensor, "c h w"],
    degrees: Float[Tensor, "h w"],
    out: Float[Tensor, "c h w"],
) -> None:
    """Give D⁻¹ times each plane, with P of the finest grid times the coefficients added."""
    channels, _, width = left.shape
    if kernels := kernels_for(left):
        rows = _up(coarse.flatten(0, 1), 2, width).unflatten(0, (channels, 4))  # -> (c, 4, rows, w)
        kernels.models_up(rows, models, left, degrees, out)
        return
    torch.div(left, degrees, out=out)
    for first, last in _bands(models):
        top = first // SPACING
        nodes = coarse[:, :, top : top + -(-(last - first) // SPACING) + 1].flatten(0, 1)  # -> (4 c, rows, columns)
        rows = _up(nodes, 2, width).unflatten(0, (channels, 4))  # -> (c, 4, rows, w)
        for place in range(min(SPACING, last - first)):
            lines = out[:, first + place : last : SPACING]
            here = lines.shape[1]
            for number, model in enumerate(models[:, first + place : last : SPACING]):
                lines.addcmul_(model, rows[:, number, :here], value=1 - place / SPACING)
                if place:
                    lines.addcmul_(model, rows[:, number, 1 : here + 1], value=place / SPACING)


def _bands(models: Float[Tensor, "4 h w"]) -> Iterator[tuple[int, int]]:
    """Cut the rows where nodes lie, into bands that stay in a CPU's cache over the passes that they take."""
    height, width = models.shape[1:]
    step = max(1, CHUNK // (SPACING * width)) * SPACING if models.device.type == "cpu" else height
    for first in range(0, height, step):
        yield first, min(first + step, height)


def _factored(blocks: Float[Tensor, "4 4 r s"]) -> Float[Tensor, "4 4 r s"]:
    """Give the LDLᵀ factors of symmetric 4×4 blocks, made positive where rounding says otherwise."""
    given = (blocks + blocks.transpose(0, 1)).double() / 2
    factors = torch.zeros_like(given)
    for column in range(4):
        known = factors[column, :column]
        pivot = given[column, column] - sum(known[i] ** 2 * factors[i, i] for i in range(column))
        floor = (LEAST_PIVOT * given[column, column]).clamp(min=torch.finfo(torch.float32).tiny)
        factors[column, column] = pivot.clamp(min=floor)
        for row in range(column + 1, 4):
            shared = sum(known[i] * factors[row, i] * factors[i, i] for i in range(column))
            factors[row, column] = (given[row, column] - shared) / factors[column, column]
    return factors.to(blocks.dtype)


def _solve_blocks(values: Float[Tensor, "c 4 r s"], factors: Float[Tensor, "4 4 r s"]) -> None:
    """Put B⁻¹ v in the place of v."""
    for row in range(4):
        for column in range(row):
            values[:, row].addcmul_(factors[row, column], values[:, column], value=-1)
    for row in range(4):
        values[:, row] /= factors[row, row]
    for row in reversed(range(4)):
        for column in range(row + 1, 4):
            values[:, row].addcmul_(factors[column, row], values[:, column], value=-1)
