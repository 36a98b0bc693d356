"""The one kind of convolution that encoder and decoders are made of."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class ReflectionConvolution(nn.Conv2d):
    """A 3×3 convolution that keeps the size by reflecting its input at the border."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=3)

    def forward(self, features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h w"]:
        return super().forward(self.bordered(features))

    def bordered(self, features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c g v"]:
        """Reflect one pixel at each side."""
        return functional.pad(self.taken(features), (1, 1, 1, 1), mode="reflect")

    def taken(self, features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Give the features in the precision of the weights."""
        return features if torch.is_autocast_enabled(features.device.type) else features.to(self.weight.dtype)


def bias_of(layer: ReflectionConvolution) -> Tensor:
    """Give a convolution's bias, which every layer of VGG and its mirrors has."""
    assert layer.bias is not None
    return layer.bias
