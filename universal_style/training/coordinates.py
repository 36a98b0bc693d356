"""Whitened coordinates: the optimiser sees each convolution as if its input channels and taps were uncorrelated.

Features after a ReLU are strongly correlated, between channels and between the nine taps of a 3×3 window; Adam then
crawls along the weak directions, which hold the detail. With the weights written as W = V (C ⊗ S)^-½, C the
covariance of the channels and S that of the taps, the gradient in V is the one of a layer with white input.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

from universal_style.networks.vgg import ReflectionConvolution

DAMPING = 1e-3
"""Share of the mean eigenvalue that is added to the spectrum of both factors."""


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
        mixed = torch.einsum("dct,ce,tu->deu", values.flatten(2), channels, taps)
        return mixed.reshape(values.shape)


def whiten_coordinates(convolution: ReflectionConvolution, covariance: Float[Tensor, "patch patch"]) -> None:
    """Let the optimiser see a convolution in whitened coordinates, its function unchanged.

    Args:
        covariance: of the 3×3 patches that the convolution is given, channel-major as `unfold` orders them.
    """
    blocks = covariance.unflatten(0, (-1, 9)).unflatten(2, (-1, 9))  # (9c, 9c) -> (c, 9, c, 9)
    channels = blocks.diagonal(dim1=1, dim2=3).mean(dim=-1)
    taps = blocks.diagonal(dim1=0, dim2=2).mean(dim=-1)
    parametrize.register_parametrization(convolution, "weight", WhitenedCoordinates(channels, taps))


def whiten_any(convolution: ReflectionConvolution) -> None:
    """Register the parametrisation with unit covariances, to be overwritten by a saved state."""
    whiten_coordinates(convolution, torch.eye(9 * convolution.in_channels))
