"""What every training does with a loss: in which precision it is computed, and how its gradients become a step."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

CLIP_NORM = 1.0
"""Norm that the gradients of a step are cut to."""


def autocast(device: torch.device, precision: torch.dtype) -> Any:
    """Compute in a precision below float32, where it is one."""
    return nullcontext() if precision == torch.float32 else torch.autocast(device.type, precision)


def take_step(
    terms: Mapping[str, Tensor],
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
) -> None:
    """Take a step down the sum of some terms of a loss; the network has no gradients yet."""
    scaler.scale(torch.stack(list(terms.values())).sum()).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(network.parameters(), CLIP_NORM)
    scaler.step(optimizer)
    scaler.update()
