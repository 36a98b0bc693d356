"""Whitened coordinates: the optimiser sees each convolution as if its input channels and taps were uncorrelated.

Features after a ReLU are strongly correlated, between channels and between the nine taps of a 3×3 window; descent then
crawls along the weak directions, which hold the detail. With the weights written as W = V (C ⊗ S)^-½, C the
covariance of the channels and S that of the taps, the gradient in V is the one of a layer with white input.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from universal_style.moments import Moments
from universal_style.networks.convolution import ReflectionConvolution
from universal_style.networks.decoder import Decoder
from universal_style.networks.pooling import Kept, Pooling
from universal_style.networks.vgg import Encoder, convolution

TAP_CHANNELS = 16
DAMPING = 0.1
"""Share of the mean eigenvalue that is added to the spectrum of both factors.

With a thousandth, steps went so far along directions in which hardly anything had been seen that crops in other light
burst: relu5_1's training diverged while its rate still warmed up.
"""


class WhitenedCoordinates(nn.Module):
    """The parametrisation W = V (C ⊗ S)^-½ of a 3×3 convolution's weight.

    Args:
        channels: covariance C of the input channels.
        taps: covariance S of the nine taps, up to scale.
    """

    channels_whiten: Tensor
    channels_colour: Tensor
    taps_whiten: Tensor
    taps_colour: Tensor

    def __init__(self, channels: Float[Tensor, "c c"], taps: Float[Tensor, "9 9"]) -> None:
        super().__init__()
        for name, matrix in (("channels", channels), ("taps", taps / taps.diagonal().mean())):
            values, vectors = torch.linalg.eigh(matrix.double())
            values = values.clamp(min=0) + DAMPING * values.clamp(min=0).mean()
            self.register_buffer(f"{name}_whiten", ((vectors * values.rsqrt()) @ vectors.T).float())
            self.register_buffer(f"{name}_colour", ((vectors * values.sqrt()) @ vectors.T).float())

    def forward(self, coordinates: Float[Tensor, "d c 3 3"]) -> Float[Tensor, "d c 3 3"]:
        """Give the weight of given coordinates."""
        return self._between(coordinates, self.channels_whiten, self.taps_whiten)

    def right_inverse(self, weight: Float[Tensor, "d c 3 3"]) -> Float[Tensor, "d c 3 3"]:
        """Give the coordinates of a given weight."""
        return self._between(weight, self.channels_colour, self.taps_colour)

    @staticmethod
    def _between(values: Tensor, channels: Tensor, taps: Tensor) -> Tensor:
        with torch.autocast(values.device.type, enabled=False):  # large coordinates cancel to small weights
            mixed = torch.einsum("dct,ce,tu->deu", values.flatten(2), channels, taps)
        return mixed.reshape(values.shape)


class TapMoments:
    """Collects the moments of what a convolution is given: of its channels, and of the taps of its 3×3 window."""

    def __init__(self, channels: int, device: torch.device) -> None:
        self.channels = Moments.empty(channels, device)
        self.taps = Moments.empty(9, device)

    def see(self, given: Float[Tensor, "n c h w"]) -> None:
        """Take in one batch; taps are looked at in `TAP_CHANNELS` channels, each about its own mean."""
        columns = given.float().transpose(0, 1).flatten(1)  # (n, c, h, w) -> (c, n h w)
        self.channels = self.channels.merge(Moments.of(columns))
        some = given[:, :: max(1, given.shape[1] // TAP_CHANNELS)].float()
        centred = some - some.mean(dim=(0, 2, 3), keepdim=True)
        padded = functional.pad(centred, (1, 1, 1, 1), mode="reflect").flatten(0, 1)[:, None]  # (n c, 1, h, w)
        windows = functional.unfold(padded.contiguous(), 3).transpose(0, 1).flatten(1)  # (n c, 9, hw) -> (9, n c hw)
        self.taps = self.taps.merge(Moments.of(windows))


def whiten_coordinates(
    decoder: Decoder, encoder: Encoder, pooling: Pooling, batches: Iterable[Float[Tensor, "n 3 h w"]]
) -> None:
    """Let the optimiser see a decoder in the whitened coordinates of some batches, its function unchanged."""
    seen = {c: TapMoments(c.in_channels, c.weight.device) for c in convolutions_in(decoder)}
    watch_inputs(decoder, encoder, pooling, batches, lambda layer, given: seen[layer].see(given))
    for layer, moments in seen.items():
        coordinates = WhitenedCoordinates(moments.channels.covariance, moments.taps.covariance)
        parametrize.register_parametrization(layer, "weight", coordinates)


@torch.no_grad()
def watch_inputs(
    decoder: Decoder,
    encoder: Encoder,
    pooling: Pooling,
    batches: Iterable[Float[Tensor, "n 3 h w"]],
    see: Callable[[ReflectionConvolution, Tensor], None],
) -> None:
    """Encode and decode some batches, showing what each convolution of the decoder is given."""
    for pixels in batches:
        kept: list[Kept] = []
        _, features = deque(encoder.ascend(pixels, pooling, decoder.level, kept), maxlen=1).pop()
        for mirror in decoder.blocks:
            *inputs, (_, output) = mirror.steps(features, kept[mirror.level - 1], pooling)
            for name, given in inputs:
                see(convolution(mirror, name), given)
            features = output


def placeholder_coordinates(decoder: Decoder) -> None:
    """Register the parametrisation with unit covariances, to be overwritten by a saved state."""
    for layer in convolutions_in(decoder):
        device = layer.weight.device
        channels, taps = (torch.eye(size, device=device) for size in (layer.in_channels, 9))
        coordinates = WhitenedCoordinates(channels, taps)
        parametrize.register_parametrization(layer, "weight", coordinates)


def convolutions_in(decoder: Decoder) -> list[ReflectionConvolution]:
    """List a decoder's convolutions, deepest first."""
    return [module for module in decoder.modules() if isinstance(module, ReflectionConvolution)]
