"""The one kind of convolution that encoder and decoders are made of."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from universal_style.networks.borders import bordered
from universal_style.networks.winograd import OUT_OF, winograd_convolution

WINOGRAD_CHANNELS = {False: 256, True: 128}
"""Channels from which a convolution by Winograd's products is quicker, without gradients and with them."""
WINOGRAD_TILES = 64
"""Tiles of 4×4 from which it is: under that the kernels are transformed for too little."""

PLAIN = (1, 1), (0, 0), (1, 1), 1
"""Stride, padding, dilation and groups, as cuDNN's fused convolutions take them."""


class ReflectionConvolution(nn.Conv2d):
    """A 3×3 convolution that keeps the size by reflecting its input at the border."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=3)

    def forward(self, features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h w"]:
        bordered = self.bordered(features)
        if self.filters_minimally(features):
            return winograd_convolution(bordered, self.weight, bias_of(self))
        return super().forward(bordered)

    def filters_minimally(self, features: Float[Tensor, "n c h w"]) -> bool:
        """Say whether Winograd's products are the quicker way for these features.

        They are in float32 on CPUs with vectors of 256 bits, which spend their time multiplying: 1.5 times as fast at
        256 channels, and 2.5 to 3.5 times with gradients. Wider CPUs have direct convolutions that are as fast.
        """
        count, _, height, width = features.shape
        learns = torch.is_grad_enabled() and (self.weight.requires_grad or features.requires_grad)
        return (
            features.device.type == "cpu"
            and torch.backends.cpu.get_cpu_capability() == "AVX2"
            and self.weight.dtype == torch.float32
            and not torch.is_autocast_enabled("cpu")
            and min(self.in_channels, self.out_channels) >= WINOGRAD_CHANNELS[learns]
            and count * height * width >= WINOGRAD_TILES * OUT_OF**2
        )

    def activated(self, features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h w"]:
        """Convolve, and put 0 in the place of negative numbers."""
        if activates_at_once(features):
            return torch.cudnn_convolution_relu(self.bordered(features), self.weight, self.bias, *PLAIN)
        convolved: Tensor = self(features)
        return convolved.relu_()

    def bordered(self, features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c g v"]:
        """Reflect one pixel at each side, in the precision of the weights."""
        mixed = torch.is_autocast_enabled(features.device.type)
        return bordered(features, "reflect", features.dtype if mixed else self.weight.dtype)


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
