"""Convolutions with gradients by Winograd's minimal filtering F(4×4, 3×3): a quarter of the direct way's products.

Source: Lavin and Gray 2016, Fast Algorithms for Convolutional Neural Networks, section 4.3:
Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A for tiles d of 6×6 that overlap by two, kernels g of 3×3 and results Y of 4×4. Summed
over channels, the elementwise products are 36 matrix products. Each step is linear, so the gradients take the same
three in reverse.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

INTO, OUT_OF = 6, 4
"""Sides of the tiles that are read and of those that are written."""
TILE = [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0]]
TILE += [[0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]]
"""Bᵀ."""
KERNEL = [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]
"""24 G."""
RESULT = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
"""Aᵀ."""


def winograd_convolution(
    bordered: Float[Tensor, "n c g v"], weight: Float[Tensor, "d c 3 3"], bias: Float[Tensor, " d"]
) -> Float[Tensor, "n d h w"]:
    """Convolve features that have their border of one pixel, as `torch.nn.functional.conv2d` does; channels last."""
    height, width = (length - 2 for length in bordered.shape[2:])
    more = (0, -width % OUT_OF, 0, -height % OUT_OF)
    columns = (functional.pad(bordered, more) if any(more) else bordered).permute(0, 2, 3, 1).contiguous()
    convolved: Tensor = _Winograd.apply(columns, weight, bias)
    # What comes out is changed in place by a ReLU; of a view, automatic differentiation would copy all for that, twice.
    return convolved[:, :, :height, :width].clone() if any(more) else convolved


class _Winograd(torch.autograd.Function):
    """Convolve (n, 4a+2, 4b+2, c) with (d, c, 3, 3): to (n, d, 4a, 4b), channels last in memory."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        seen, kernels = _seen(features), _kernels(weight)
        ctx.save_for_backward(seen if ctx.needs_input_grad[1] else None, kernels)
        ctx.tiles = _tiles(features).shape[2:5]
        count, height, width, _ = features.shape
        size = count, len(weight), height - 2, width - 2
        result = torch.empty(size, dtype=features.dtype, device=features.device, memory_format=torch.channels_last)
        torch.add(_products(seen, kernels, features), bias, out=_places(result.permute(0, 2, 3, 1)))
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        gradient = gradients[0].permute(0, 2, 3, 1).contiguous()  # (n, d, h, w) -> (n, h, w, d)
        seen, kernels = ctx.saved_tensors
        parts = _places(gradient).permute(2, 4, 0, 1, 3, 5).reshape(OUT_OF * OUT_OF, -1)
        products = (_both(RESULT, gradient).T @ parts).view(INTO * INTO, -1, gradient.shape[3])  # (36, n a b, d)
        of_features = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            tiles = torch.bmm(products, kernels.transpose(1, 2)).view(INTO * INTO, -1)
            tiles = (_both(TILE, gradient).T @ tiles).view(INTO, INTO, *ctx.tiles, -1)
            of_features = _overlapped(tiles)
        if ctx.needs_input_grad[1]:
            summed = torch.bmm(seen.transpose(1, 2), products).view(INTO * INTO, -1)
            summed = (_both(KERNEL, gradient).T / 24**2 @ summed).view(3, 3, seen.shape[2], -1)
            of_weight = summed.permute(3, 2, 0, 1)  # (3, 3, c, d) -> (d, c, 3, 3)
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum(dim=(0, 1, 2))
        return of_features, of_weight, of_bias


def _seen(features: Float[Tensor, "n g v c"]) -> Float[Tensor, "36 m c"]:
    """Give Bᵀ d B for all tiles."""
    seen = _both(TILE, features) @ _tiles(features).reshape(INTO * INTO, -1)
    return seen.view(INTO * INTO, -1, features.shape[3])


def _kernels(weight: Float[Tensor, "d c 3 3"]) -> Float[Tensor, "36 c d"]:
    """Give G g Gᵀ."""
    kernels = _both(KERNEL, weight) / 24**2 @ weight.permute(2, 3, 1, 0).reshape(9, -1)
    return kernels.view(INTO * INTO, weight.shape[1], weight.shape[0])


def _products(
    seen: Float[Tensor, "36 m c"], kernels: Float[Tensor, "36 c d"], features: Float[Tensor, "n g v c"]
) -> Float[Tensor, "n a 4 b 4 d"]:
    """Give Aᵀ [...] A of the products, tile by tile."""
    products = torch.bmm(seen, kernels)
    results = _both(RESULT, features) @ products.view(INTO * INTO, -1)
    return results.view(OUT_OF, OUT_OF, *_tiles(features).shape[2:5], -1).permute(2, 3, 0, 4, 1, 5)


def _both(matrix: list[list[int]], like: Tensor) -> Tensor:
    """Give the matrix that does to the rows and the columns of a tile what this one does to a line."""
    line = torch.tensor(matrix, dtype=like.dtype, device=like.device)
    return torch.kron(line, line)


def _tiles(features: Float[Tensor, "n g v c"]) -> Float[Tensor, "6 6 n a b c"]:
    """See overlapping tiles in contiguous features, copying nothing."""
    n, height, width, channels = features.shape
    image, row, column, channel = features.stride()
    size = (INTO, INTO, n, (height - 2) // OUT_OF, (width - 2) // OUT_OF, channels)
    return features.as_strided(size, (row, column, image, OUT_OF * row, OUT_OF * column, channel))


def _places(result: Float[Tensor, "n h w d"]) -> Float[Tensor, "n a 4 b 4 d"]:
    """See tiles side by side, copying nothing."""
    places: Tensor = result.unflatten(2, (-1, OUT_OF)).unflatten(1, (-1, OUT_OF))
    return places


def _overlapped(tiles: Float[Tensor, "6 6 n a b c"]) -> Float[Tensor, "n g v c"]:
    """Add overlapping tiles up: the transpose of `_tiles`."""
    _, _, n, a, b, channels = tiles.shape
    total = tiles.new_zeros(n, OUT_OF * a + 2, OUT_OF * b + 2, channels)
    seen = _tiles(total)
    for rows in (slice(OUT_OF), slice(OUT_OF, INTO)):  # within a part, no two tiles share a place
        for columns in (slice(OUT_OF), slice(OUT_OF, INTO)):
            seen[rows, columns] += tiles[rows, columns]
    return total
