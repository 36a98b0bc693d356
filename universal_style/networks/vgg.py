"""The encoder: normalised VGG-19 up to relu5_1, cut into one block per level."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar, cast, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from universal_style.networks.bands import in_bands
from universal_style.networks.convolution import ReflectionConvolution
from universal_style.networks.pooling import Kept, Pooling

LEVELS = (1, 2, 3, 4, 5)
GROUPS = ((2, 64), (2, 128), (4, 256), (4, 512), (1, 512))
"""Convolutions between the poolings, and their output channels; of the last group the first alone."""


def convolutions() -> dict[str, tuple[int, int]]:
    """Name every convolution up to conv5_1 with its (input, output) channels.

    Source: Simonyan and Zisserman 2015, configuration E, as torchvision's `cfgs["E"]` lists it.
    """
    shapes: dict[str, tuple[int, int]] = {}
    channels = 3
    for group, (count, width) in enumerate(GROUPS, start=1):
        for index in range(1, count + 1):
            shapes[f"conv{group}_{index}"] = (channels, width)
            channels = width
    return shapes


def block_convolutions(level: int) -> list[str]:
    """List the convolutions from relu{level-1}_1 (or the pixels) to relu{level}_1, in the encoder's order."""
    inner = [name for name in convolutions() if name.startswith(f"conv{level - 1}_")]
    return [*inner[1:], f"conv{level}_1"]


def channels_at(level: int) -> int:
    """Count the channels of relu{level}_1."""
    return convolutions()[f"conv{level}_1"][1]


def stride_at(level: int) -> int:
    """Count the pixels from one feature column of relu{level}_1 to the next."""
    return 1 << (level - 1)


def reach_up(level: int, cells: int, first: int = 1) -> int:
    """Count how far around a window what the block of relu{first}_1 is given decides so many cells of relu{level}_1.

    In pixels, where it is the first block.
    """
    for block in range(level, first - 1, -1):
        cells += 1  # the convolution after the pooling
        if block > 1:
            cells = 2 * cells + len(block_convolutions(block)) - 1
    return cells


def reach_down(level: int, last: int = 1) -> int:
    """Count the cells of relu{level}_1 around a window on which what the mirror of block `last` gives in it depends."""
    cells = 0
    for block in range(last, level + 1):
        if block > 1:
            cells = -(-(cells + len(block_convolutions(block)) - 1) // 2)
        cells += 1
    return cells


def row_bytes(level: int, features: Float[Tensor, "n c h w"], cells: int) -> int:
    """Count the bytes of the features before a block's pooling, or after its mirror's, over a row of cells.

    Args:
        features: of which there are as many, in the same precision.
        cells: of relu{level}_1 in the row.
    """
    side = min(2, level)
    return len(features) * side * side * cells * channels_at(max(1, level - 1)) * features.element_size()


def convolution(block: nn.Module, name: str) -> ReflectionConvolution:
    """Give a block's convolution by the name of its layer."""
    return cast(ReflectionConvolution, block.get_submodule(name))


def _activation(convolution: str) -> str:
    return convolution.replace("conv", "relu")


class EncoderBlock(nn.Module):
    """The layers from relu{level-1}_1 (or the pixels) to relu{level}_1; the pooling is handed in."""

    def __init__(self, level: int) -> None:
        super().__init__()
        self.level = level
        *self.before_pooling, self.after_pooling = block_convolutions(level)
        shapes = convolutions()
        for name in block_convolutions(level):
            self.add_module(name, ReflectionConvolution(*shapes[name]))

    def steps(
        self, features: Float[Tensor, "n c h w"], pooling: Pooling, kept: list[Kept]
    ) -> Iterator[tuple[str, Float[Tensor, "n d g v"]]]:
        """Yield (name, input of that convolution) step by step; the last item, named "", is relu{level}_1.

        What the pooling keeps (nothing in the first block) is appended to `kept` on the way. The trainer looks at
        these; `forward` gives the last alone and keeps no other.
        """
        for name in self.before_pooling:
            yield name, features
            features = convolution(self, name).activated(features)
        bands: Kept = ()
        if self.level > 1:
            features, bands = pooling.down(features)
        kept.append(bands)
        yield self.after_pooling, features
        yield "", convolution(self, self.after_pooling).activated(features)

    def layers(
        self, features: Float[Tensor, "n c h w"], pooling: Pooling, wanted: Collection[str]
    ) -> Generator[tuple[str, Tensor], Tensor, None]:
        """Yield (name, output) of the layers after their ReLU, `relu1_2` before the pooling and `relu2_1` after it.

        It is sent the features to go on with.

        Args:
            wanted: names of layers that are yielded whatever is quickest; one that is not among them may be left out.
        """
        if self.before_pooling:
            *first, last = self.before_pooling
            for name in first:
                features = yield _activation(name), convolution(self, name).activated(features)
            if _activation(last) in wanted:
                features = yield _activation(last), convolution(self, last).activated(features)
                features, _ = pooling.down(features)
            else:
                features, _ = pooling.activate_and_down(features, convolution(self, last))
        yield _activation(self.after_pooling), convolution(self, self.after_pooling).activated(features)

    def forward(
        self, features: Float[Tensor, "n c h w"], pooling: Pooling, kept: list[Kept]
    ) -> Float[Tensor, "n d g v"]:
        return ascended([self], features, pooling, kept)

    def through(self, pooling: Pooling, features: Tensor) -> tuple[Tensor, ...]:
        """Give the output, and then what the pooling keeps."""
        bands: Kept = ()
        if self.before_pooling:
            *first, last = self.before_pooling
            for name in first:
                features = convolution(self, name).activated(features)
            features, bands = pooling.activate_and_down(features, convolution(self, last))
        return convolution(self, self.after_pooling).activated(features), *bands


def ascended(
    blocks: Sequence[EncoderBlock], features: Float[Tensor, "n c h w"], pooling: Pooling, kept: list[Kept]
) -> Float[Tensor, "n d g v"]:
    """Go through consecutive blocks, of which the last alone may pool, without holding whole what lies between them.

    Args:
        kept: receives what each keeps.
    """
    first, last = blocks[0].level, blocks[-1].level
    height, width = (length // min(2, last) for length in features.shape[2:])

    def work(features: Tensor) -> tuple[Tensor, ...]:
        bands: list[Tensor] = []
        for block in blocks:
            features, *bands = block.through(pooling, features)
        return features, *bands

    halo = -(-reach_up(last, 0, first) // min(2, last))
    output, *bands = in_bands(work, [features], height, halo, row_bytes(last, features, width))
    kept.extend(() for _ in blocks[1:])
    kept.append(tuple(bands))
    return output


@runtime_checkable
class Block(Protocol):
    """What goes from one level to another."""

    level: int


B = TypeVar("B", bound=Block)


def runs(blocks: Iterable[B], alone: bool) -> list[list[B]]:
    """Put the first two levels together, whose features are the largest and between which nothing is kept.

    Args:
        blocks: from shallow to deep or back.
        alone: whether relu1_1 is looked at, so that they stay apart.
    """
    found: list[list[B]] = []
    for block in blocks:
        if found and not alone and {found[-1][-1].level, block.level} == {1, 2}:
            found[-1].append(block)
        else:
            found.append([block])
    return found


class Encoder(nn.Module):
    """VGG-19 from RGB pixels in [0, 1] to relu{level}_1, frozen, for inference and as a loss network.

    Source: Simonyan and Zisserman 2015; activations normalised to mean 1 per filter as in Gatys et al. 2016.
    Departs: the 1×1 layer that turned [0, 1] RGB into mean-free BGR is folded into conv1_1 (exact), and
        convolutions reflect at the border where VGG pads with zeros (as WCT, PhotoWCT, WCT² and AdaIN do).

    Attributes:
        level: the deepest block.
        prefix: of the family of its features, empty for the bundled numbers.
    """

    def __init__(self, level: int = LEVELS[-1], prefix: str = "") -> None:
        super().__init__()
        self.level = level
        self.prefix = prefix
        self.blocks = cast(Sequence[EncoderBlock], nn.ModuleList(EncoderBlock(k) for k in LEVELS[:level]))
        self.requires_grad_(False)

    def ascend(
        self,
        pixels: Float[Tensor, "n 3 h w"],
        pooling: Pooling,
        level: int | None = None,
        kept: list[Kept] | None = None,
    ) -> Iterator[tuple[int, Float[Tensor, "n c g v"]]]:
        """Yield (k, relu{k}_1) for k = 1 … level, each computed once from the one before.

        Args:
            level: the last; the deepest when left out.
            kept: receives what the pooling of each block keeps for a decoder.
        """
        features, kept = pixels, [] if kept is None else kept
        for block in self.blocks[: level or self.level]:
            features = block(features, pooling, kept)
            yield block.level, features

    def load_plain(self, parameters: dict[str, Tensor]) -> None:
        """Fill the convolutions from `conv{group}_{index}.weight|bias` entries; deeper ones are ignored."""
        for block in self.blocks:
            block.load_state_dict({name: parameters[name] for name in block.state_dict()})

    def plain(self) -> dict[str, Tensor]:
        """Give the parameters by layer name, without the blocks that hold them."""
        return {name: value for block in self.blocks for name, value in block.state_dict().items()}
