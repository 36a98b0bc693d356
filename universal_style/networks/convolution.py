"""The one kind of convolution that encoder and decoders are made of."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from universal_style.networks.borders import bordered
from universal_style.networks.nnpack import has_nnpack, nnpack_convolution
from universal_style.networks.taps import convolution_by_taps, gains_by_taps
from universal_style.networks.winograd import winograd_convolution

WINOGRAD_CHANNELS, NNPACK_CHANNELS = 128, 64
"""From which a convolution is quicker with fewer products: by our own, which have gradients, and by NNPACK's."""
LEAST_CELLS = 1024
"""Of the features with their border, from which it is: under that the kernels are transformed for too little."""

Convolve = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Takes features, a weight and a bias; our own wants the features with their border, NNPACK's sets it by itself."""
PLAIN = (1, 1), (0, 0), (1, 1), 1
"""Stride, padding, dilation and groups, as cuDNN's fused convolutions take them."""


class ReflectionConvolution(nn.Conv2d):
    """A 3×3 convolution that keeps the size by reflecting its input at the border."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=3)

    def forward(self, features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h w"]:
        return convolved(features, self.weight, bias_of(self))

    def activated(self, features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h w"]:
        """Convolve, and put 0 in the place of negative numbers."""
        if activates_at_once(features):
            return torch.cudnn_convolution_relu(framed_for(self.weight, features), self.weight, self.bias, *PLAIN)
        convolved: Tensor = self(features)
        return convolved.relu_()


def convolved(
    features: Float[Tensor, "n c h w"], weight: Float[Tensor, "d c 3 3"], bias: Float[Tensor, " d"]
) -> Float[Tensor, "n d h w"]:
    """Convolve features and their reflected border, in the way that is quickest."""
    if gains_by_taps(features, weight):
        return convolution_by_taps(features, weight, bias)
    way = minimal_filtering(features, weight)
    if way is nnpack_convolution:
        return nnpack_convolution(features, weight, bias)
    return (way or functional.conv2d)(framed_for(weight, features), weight, bias)


def framed_for(weight: Tensor, features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c g v"]:
    """Reflect one pixel at each side, in the precision of the weights."""
    mixed = torch.is_autocast_enabled(features.device.type)
    return bordered(features, "reflect", features.dtype if mixed else weight.dtype)


def minimal_filtering(features: Float[Tensor, "n c h w"], weight: Float[Tensor, "d c 3 3"]) -> Convolve | None:
    """Give the way to convolve such features with fewer products, where that is quicker than the direct one."""
    (count, _, height, width), channels = features.shape, min(weight.shape[:2])
    if count * (height + 2) * (width + 2) < LEAST_CELLS or not gains_by_fewer_products(weight):
        return None
    if torch.is_grad_enabled() and (weight.requires_grad or features.requires_grad):
        return winograd_convolution if channels >= WINOGRAD_CHANNELS else None
    return nnpack_convolution if channels >= NNPACK_CHANNELS and has_nnpack() else None


def gains_by_fewer_products(weight: Tensor) -> bool:
    """Say whether multiplying is what takes a convolution's time on this machine.

    It is in float32 on CPUs with vectors of 256 bits: fewer products are 1.3 to 3 times as fast there, and 2.5 to 3.5
    times with gradients. Wider CPUs have direct convolutions that are as fast.
    """
    return (
        weight.device.type == "cpu"
        and torch.backends.cpu.get_cpu_capability() == "AVX2"
        and weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
    )


def activates_at_once(features: Tensor) -> bool:
    """Say whether bias and ReLU go with the convolution: by cuDNN, where no gradients are asked for.

    Each would otherwise pass over the features once more, which takes as long as a convolution of few channels.
    """
    return (
        features.device.type == "cuda"
        and torch.backends.cudnn.is_available()
        and torch.version.hip is None
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cuda")
    )


def bias_of(layer: ReflectionConvolution) -> Tensor:
    """Give a convolution's bias, which every layer of VGG and its mirrors has."""
    assert layer.bias is not None
    return layer.bias
