"""Convolutions of doubled features from the cells that they repeat."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from universal_style.networks.borders import bordered
from universal_style.networks.convolution import ReflectionConvolution, bias_of, minimal_filtering
from universal_style.networks.nnpack import nnpack_convolution


def convolved_from_cells(
    features: Float[Tensor, "n c h w"],
    layer: ReflectionConvolution,
    weight: Float[Tensor, "e c 3 3"],
    bias: Float[Tensor, " e"] | None = None,
    signs: Sequence[tuple[int, int]] = ((1, 1),),
) -> Float[Tensor, "n e g v"]:
    """Convolve the doubled features without doubling them: a transposed convolution with stride 2.

    Doubled features repeat each number in a 2×2 cell, so of nine products four suffice, over sums of weights. At the
    border a reflected pixel lies in the cell that it would repeat.

    Args:
        features: at the size of the cells.
        layer: whose precision holds.
        weight: of the layer, for these features.
        bias: added to every output, where there is one.
        signs: for equal shares of the channels, in order, the sign of the upper and of the left half of each cell.
    """
    parts = []
    for part, (upper, left) in zip(weight.float().chunk(len(signs), dim=1), signs, strict=True):
        parts.append(_spread(_spread(part, 2, upper), 3, left))
    kernel = torch.cat(parts, dim=1).to(layer.weight.dtype)
    if minimal_filtering(features, weight) is nnpack_convolution:
        biases = kernel.new_zeros(len(kernel)) if bias is None else bias
        places = nnpack_convolution(features, _by_place(kernel).flatten(0, 1), biases.repeat_interleave(4), "replicate")
        return functional.pixel_shuffle(places, 2)  # (n, 4 e, h, w) -> (n, e, 2 h, 2 w)
    cells = bordered(features, "replicate", kernel.dtype)
    kernel = kernel.transpose(0, 1).contiguous(memory_format=torch.channels_last)
    return functional.conv_transpose2d(cells, kernel, bias, stride=2, padding=3)


def _spread(weight: Tensor, axis: int, sign: int) -> Tensor:
    """Sum three taps over doubled cells, the first half of each times a sign, to the four that the cells have."""
    before, middle, after = weight.unbind(axis)
    return torch.stack((sign * after, sign * middle + after, sign * before + middle, before), dim=axis)


def _by_place(kernel: Float[Tensor, "e c 4 4"]) -> Float[Tensor, "e 4 c 3 3"]:
    """Give the kernel of each place in a cell: upper and left see the cell before, lower and right the one after."""
    by_place = kernel.new_zeros(len(kernel), 4, kernel.shape[1], 3, 3)
    seen = [3, 1], [2, 0]
    for place in range(4):
        row, column = divmod(place, 2)
        by_place[:, place, :, row : row + 2, column : column + 2] = kernel[:, :, seen[row]][..., seen[column]]
    return by_place


def doubled_and_activated(features: Float[Tensor, "n c h w"], layer: ReflectionConvolution) -> Float[Tensor, "n e g v"]:
    """Double, convolve and put 0 in the place of negative numbers.

    On CPUs from cells, where fewer products are not quicker still; on graphics cards just so, where cuDNN activates as
    it convolves.

    The four places in a cell have sums of the weights of their own, and in half precision each is rounded on its own: a
    checkerboard, faint, but all that a flat picture has, for the next level to whiten. So the features' means, which
    carry most of it, go through the layer by themselves in float32, the same for all places.
    """
    if features.device.type == "cuda" or minimal_filtering(features, layer.weight):
        return layer.activated(doubled(features))
    weight, bias = layer.weight, bias_of(layer)
    if weight.dtype == torch.float32:
        return convolved_from_cells(features, layer, weight, bias).relu_()
    features = features.to(weight.dtype)
    mean = features.mean(dim=(0, 2, 3), dtype=torch.float32).to(features.dtype)
    of_mean = torch.mv(weight.float().sum(dim=(2, 3)), mean.float()) + bias
    return convolved_from_cells(features - mean[:, None, None], layer, weight, of_mean.to(bias.dtype)).relu_()


def doubled(features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c g v"]:
    """Repeat each number in a cell of 2×2."""
    if features.device.type != "cuda":
        return functional.interpolate(features, scale_factor=2.0, mode="nearest")
    count, channels, height, width = features.shape  # there torch's own reaches a quarter of the memory's speed
    cells = features.permute(0, 2, 3, 1)[:, :, None, :, None].expand(-1, -1, 2, -1, 2, -1)
    return cells.reshape(count, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)  # (n, h, 2, w, 2, c) -> as above
