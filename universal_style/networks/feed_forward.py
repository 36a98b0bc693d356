"""The feed-forward net: one style, learned; one pass, any size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from universal_style.errors import CheckpointError
from universal_style.networks.checkpoints import Checkpoint, sha256
from universal_style.tensor_files import read_facts, read_tensors, write_tensors

KIND = "universal-style feed-forward"
VERSION = "1"
WIDTHS = (32, 64, 128)
"""Channels at full, half and quarter size."""
RESIDUALS = 5
STRIDE = 4
"""Picture sizes must be multiples of this, in pixels."""


class Layer(nn.Module):
    """Reflection padding, a convolution, and instance normalisation."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(
            in_channels, out_channels, kernel, stride, kernel // 2, padding_mode="reflect", bias=False
        )
        self.normalisation = nn.InstanceNorm2d(out_channels, affine=True)

    def forward(self, features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d g v"]:
        normalised: Tensor = self.normalisation(self.convolution(features))
        return normalised


class Residual(nn.Module):
    """Two layers beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = Layer(channels, channels, 3), Layer(channels, channels, 3)

    def forward(self, features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        change: Tensor = self.second(functional.relu(self.first(features)))
        return features + change


class TransformNet(nn.Module):
    """From a picture to the same in the net's style.

    Source: Johnson, Alahi and Fei-Fei 2016, section 3.1 and its supplement.
    Departs: instance normalisation in place of batch normalisation (Ulyanov et al. 2016); reflection padding in every
        layer; nearest upsampling before a convolution in place of strided ones, which leave checkerboards (Odena et al.
        2016); a logistic function at the end, whose range is that of the pixels.
    """

    def __init__(self) -> None:
        super().__init__()
        full, half, quarter = WIDTHS
        self.down = nn.ModuleList([Layer(3, full, 9), Layer(full, half, 3, 2), Layer(half, quarter, 3, 2)])
        self.residuals = nn.ModuleList(Residual(quarter) for _ in range(RESIDUALS))
        self.up = nn.ModuleList([Layer(quarter, half, 3), Layer(half, full, 3)])
        self.last = nn.Conv2d(full, 3, 9, padding=4, padding_mode="reflect")

    def forward(self, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
        """Give pixels in [0, 1] for pixels in [0, 1]; height and width are multiples of `STRIDE`."""
        features = pixels
        for layer in self.down:
            features = functional.relu(layer(features))
        for block in self.residuals:
            features = block(features)
        for layer in self.up:
            features = functional.relu(layer(functional.interpolate(features, scale_factor=2, mode="nearest")))
        return torch.sigmoid(self.last(features))


def save_net(path: Path, network: TransformNet, facts: Mapping[str, str]) -> None:
    """Write a net atomically, as float16."""
    stored = {name: value.half() for name, value in network.state_dict().items()}
    write_tensors(path, stored, {"kind": KIND, "version": VERSION, **facts})


def net_facts(path: Path) -> dict[str, str]:
    """Read what a net's file says of itself.

    Raises:
        CheckpointError: it is missing, damaged, or no net of this version.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; a net is made by: universal-style train feed-forward STYLE")
    facts = read_facts(path)
    if facts.get("kind") != KIND or facts.get("version") != VERSION:
        raise CheckpointError(
            f"{path} holds {facts.get('kind', 'something else')}, needed is a net of this version; "
            "make one with: universal-style train feed-forward STYLE"
        )
    return facts


def load_net(path: Path) -> tuple[TransformNet, Checkpoint]:
    """Load a net.

    Raises:
        CheckpointError: the file is missing, damaged, or no net of this version.
    """
    facts = net_facts(path)
    tensors = {name: value.float() for name, value in read_tensors(path)[1].items()}
    network = TransformNet()
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not hold the parameters of a net; train it anew") from error
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
        raise CheckpointError(f"{path} holds numbers that are not finite; train the net anew")
    return network.eval().requires_grad_(False), Checkpoint(path, sha256(path), facts, tensors)
