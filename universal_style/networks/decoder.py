"""The mirror decoder: from relu{level}_1 back to pixels, a convolution for each of the encoder's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from jaxtyping import Float
from torch import Tensor, nn

from universal_style.networks.bands import in_bands
from universal_style.networks.convolution import ReflectionConvolution
from universal_style.networks.pooling import Kept, Pooling
from universal_style.networks.vgg import block_convolutions, convolution, convolutions, reach_down, row_bytes, runs

PIXELS = "conv1_1"
"""The layer that gives pixels, which are left as they are; every other is followed by a ReLU."""


class DecoderBlock(nn.Module):
    """The layers from relu{level}_1 back to relu{level-1}_1 (or the pixels), named after those that they mirror.

    Args:
        widening: channels that the pooling brings up for each one that goes in.
    """

    def __init__(self, level: int, widening: int = 1) -> None:
        super().__init__()
        self.level = level
        self.names = list(reversed(block_convolutions(level)))
        shapes = convolutions()
        for position, name in enumerate(self.names):
            into, out_of = shapes[name]
            self.add_module(name, ReflectionConvolution(out_of * widening if position == 1 else out_of, into))

    def steps(
        self, features: Float[Tensor, "n c h w"], kept: Kept, pooling: Pooling
    ) -> Iterator[tuple[str, Float[Tensor, "n d g v"]]]:
        """Yield (name, input of that convolution) step by step; the last item, named "", is the block's output.

        The trainer looks at these; `through` comes to the same by a shorter way.
        """
        for position, name in enumerate(self.names):
            if position == 1:
                features = pooling.up(features, kept)
            yield name, features
            features = self._convolved(name, features)
        yield "", features

    def through(self, pooling: Pooling, features: Tensor, *kept: Tensor) -> Tensor:
        """Give the block's output, by the shortest way."""
        for position, name in enumerate(self.names):
            if position == 1:
                features = pooling.up_and_activate(features, kept, convolution(self, name))
            else:
                features = self._convolved(name, features)
        return features

    def _convolved(self, name: str, features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h w"]:
        layer = convolution(self, name)
        return layer(features) if name == PIXELS else layer.activated(features)


def descended(
    blocks: Sequence[DecoderBlock], features: Float[Tensor, "n c h w"], kept: Kept, pooling: Pooling
) -> Float[Tensor, "n d g v"]:
    """Come back through consecutive blocks, of which the first alone may pool, holding nothing between them whole.

    Args:
        kept: by the pooling of the first.
    """
    first, last = blocks[0].level, blocks[-1].level

    def work(features: Tensor, *kept: Tensor) -> tuple[Tensor]:
        for block in blocks:
            features, kept = block.through(pooling, features, *kept), ()
        return (features,)

    height, width = features.shape[2:]
    row = row_bytes(first, features, width)
    (output,) = in_bands(work, [features, *kept], height, reach_down(first, last), row)
    return output


class Decoder(nn.Module):
    """The mirror of the encoder from relu{level}_1 down to RGB pixels (about [0, 1], not clipped).

    Source: Li et al. 2017, section 3.1: symmetrical to VGG-19 up to the level, pooling replaced by up-sampling.

    Args:
        level: relu{level}_1 is decoded.
        widening: of the pooling that it is used with.
    """

    def __init__(self, level: int, widening: int = 1) -> None:
        super().__init__()
        self.level = level
        blocks = nn.ModuleList(DecoderBlock(k, widening) for k in range(level, 0, -1))
        self.blocks = cast(Sequence[DecoderBlock], blocks)

    def forward(
        self, features: Float[Tensor, "n c h w"], kept: list[Kept], pooling: Pooling
    ) -> Float[Tensor, "n 3 g v"]:
        """Decode features; `kept` holds what the pooling of each block kept, shallowest first."""
        for blocks in runs(self.blocks, alone=False):
            features = descended(blocks, features, kept[blocks[0].level - 1], pooling)
        return features

    def load_plain(self, parameters: dict[str, Tensor]) -> None:
        """Fill the convolutions from entries named after the encoder's layers, `conv{group}_{index}.weight|bias`."""
        for block in self.blocks:
            block.load_state_dict({name: parameters[name] for name in block.state_dict()})

    def load_shallow(self, parameters: Mapping[str, Tensor]) -> int:
        """Fill the blocks whose parameters are all there, and count the deeper ones that are left."""
        left = 0
        for block in self.blocks:
            names = block.state_dict()
            if names.keys() <= parameters.keys():
                block.load_state_dict({name: parameters[name] for name in names})
            else:
                left += 1
        return left

    def plain(self) -> dict[str, Tensor]:
        """Give the parameters by layer name, without the blocks that hold them."""
        return {name: value for block in self.blocks for name, value in block.state_dict().items()}
