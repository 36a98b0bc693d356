"""Where the smoothing's kernels for graphics cards serve."""

from __future__ import annotations

from functools import cache
from types import ModuleType

import torch
from torch import Tensor

MOST_PLANES = 4
"""That the kernels take together: three colours, or the four models of `CoarseModels`."""


def kernels_for(values: Tensor) -> ModuleType | None:
    """Give the module of kernels, or nothing where torch's own products have to do.

    Args:
        values: contiguous planes.
    """
    fits = values.device.type == "cuda" and values.dtype == torch.float32 and len(values) <= MOST_PLANES
    return _compiled(values.device) if fits else None


@cache
def _compiled(device: torch.device) -> ModuleType | None:
    """Try the kernels: neither Triton nor the C compiler that it calls need be on a machine."""
    try:
        from universal_style.smoothing import kernels

        planes = torch.ones(kernels.STENCIL.value, 4, 4, device=device)
        kernels.stencil(planes, planes[0], planes[:3], 1, 1)
    except Exception:  # of many kinds; the products of torch say the same
        return None
    return kernels
