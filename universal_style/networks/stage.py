"""A stage: a frozen encoder up to a level and its mirror decoder back, written once as a walk."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from universal_style.networks.decoder import Decoder
from universal_style.networks.pooling import Kept, Pooling
from universal_style.networks.vgg import Encoder, stride_at


@dataclass(frozen=True)
class Site:
    """A place on the walk where features may be edited.

    Attributes:
        name: the layer, `relu4_1`.
        stride: pixels from one column to the next.
    """

    name: str
    stride: int


def site_at(level: int) -> Site:
    """Give the site relu{level}_1."""
    return Site(f"relu{level}_1", stride_at(level))


Walk = Generator[tuple[Site, Tensor], Tensor, Tensor]
"""Yields (site, features), is sent the features to go on with, returns the decoded picture."""


@dataclass(frozen=True)
class Stage:
    """One autoencoder of a method.

    Attributes:
        encoder: frozen; may go deeper than this stage.
        decoder: from relu{level}_1.
        pooling: the pair of resamplings that both use.
        levels: where features may be edited on the way up.
    """

    encoder: Encoder
    decoder: Decoder
    pooling: Pooling
    levels: tuple[int, ...]

    @property
    def stride(self) -> int:
        """Picture sizes must be multiples of this, in pixels."""
        return stride_at(self.decoder.level)

    def walk(self, pixels: Float[Tensor, "1 3 h w"]) -> Walk:
        """Encode, offering the features at each site for editing, and decode.

        Args:
            pixels: RGB in [0, 1]; height and width are multiples of `stride` and at least twice it.

        Returns:
            The decoded picture, (1, 3, h, w), float32, not clipped.
        """
        kept: list[Kept] = []
        features = pixels
        for block in self.encoder.blocks[: self.decoder.level]:
            features = block(features, self.pooling, kept)
            if block.level in self.levels:
                features = yield site_at(block.level), features
        picture: Tensor = self.decoder(features, kept, self.pooling)
        return picture


def climb(encoder: Encoder, pooling: Pooling, pixels: Float[Tensor, "1 3 h w"], level: int) -> Walk:
    """Walk up only: every level is a site, nothing is decoded and the pixels come back unchanged."""
    features = pixels
    for block in encoder.blocks[:level]:
        features = yield site_at(block.level), block(features, pooling, [])
    return pixels


def to_precision(network: torch.nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Move a network to a device and precision, channels last; what touches pixels stays float32.

    A bfloat16 number near 1 is a whole step of an 8-bit picture off, so conv1_1 of encoder and decoder keep float32.
    """
    network.to(device).to(memory_format=torch.channels_last)
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            module.to(dtype=torch.float32 if name.endswith("conv1_1") else dtype)
