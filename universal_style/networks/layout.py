"""How feature pictures lie in memory: each step leaves them as it found them, and a convolution as it is quickest."""

from __future__ import annotations

import torch
from torch import Tensor


def layout_of(features: Tensor) -> torch.memory_format:
    """Say whether the channels of a pixel lie side by side, or the pixels of a channel; of a part, as in the whole."""
    return torch.channels_last if features.stride(1) == 1 else torch.contiguous_format


def room_like(features: Tensor, shape: tuple[int, int, int, int], dtype: torch.dtype) -> Tensor:
    """Give room for a feature picture (n, c, h, w) that lies as this one does."""
    if layout_of(features) == torch.contiguous_format:
        return features.new_empty(shape, dtype=dtype)
    count, channels, height, width = shape
    return features.new_empty((count, height, width, channels), dtype=dtype).permute(0, 3, 1, 2)
