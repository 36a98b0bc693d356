"""The 3×3 patches that a convolution sees, at places picked at random."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional


def random_places(features: Float[Tensor, "n c h w"], most: int) -> Int64[Tensor, " m"]:
    """Pick at most so many places of a feature picture, as indices into its rows laid end to end."""
    return torch.randperm(features.shape[2] * features.shape[3], device=features.device)[:most]


def patches_at(features: Float[Tensor, "n c h w"], places: Int64[Tensor, " m"]) -> Float[Tensor, "unknowns columns"]:
    """Give the reflected 3×3 patches at some places of each picture, in the order of a weight's entries (c, 3, 3)."""
    width = features.shape[3]
    rows, columns = places // width, places % width
    padded = functional.pad(features.float(), (1, 1, 1, 1), mode="reflect")
    taps = [padded[:, :, rows + dy, columns + dx] for dy in range(3) for dx in range(3)]  # (n, c, m) each
    return torch.stack(taps, dim=2).flatten(1, 2).transpose(0, 1).flatten(1)  # (n, c, 9, m) -> (9c, n m)


def targets_at(features: Float[Tensor, "n d h w"], places: Int64[Tensor, " m"]) -> Float[Tensor, "d columns"]:
    """Give the columns at the same places."""
    return features.float().flatten(2)[:, :, places].transpose(0, 1).flatten(1)  # (n, d, m) -> (d, n m)
