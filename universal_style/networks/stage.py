"""A stage: a frozen encoder up to a level and its mirror decoder back, written once as a walk."""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from universal_style.networks.convolution import gains_by_fewer_products
from universal_style.networks.decoder import Decoder, descended
from universal_style.networks.layout import layout_of
from universal_style.networks.nnpack import has_nnpack
from universal_style.networks.pooling import Kept, Pooling
from universal_style.networks.vgg import Encoder, ascended, reach_down, reach_up, runs, stride_at


@dataclass(frozen=True)
class Site:
    """A place on the walk where features may be edited.

    Attributes:
        name: the layer, `relu4_1`; a skip band, `pool3_lh`; or the decoder's counterpart of a layer, `decoder_relu3_1`.
        family: networks that give the same features there share it: of poolings, or of one decoder.
        level: the k of relu{k}_1, pool{k} or decoder_relu{k}_1.
        stride: pixels from one column to the next.
    """

    name: str
    family: str
    level: int
    stride: int

    @property
    def key(self) -> str:
        """Names the features seen here, in a style's moments."""
        return f"{self.family}/{self.name}"


def encoder_site(level: int, pooling: Pooling) -> Site:
    """Give the site relu{level}_1."""
    return Site(f"relu{level}_1", pooling.family, level, stride_at(level))


def skip_sites(level: int, pooling: Pooling) -> list[Site]:
    """Give the sites of the bands that pool{level} keeps for the decoder."""
    return [Site(f"pool{level}_{band}", pooling.family, level, stride_at(level + 1)) for band in pooling.bands]


def decoder_site(level: int, pooling: Pooling) -> Site:
    """Give the site where the decoder has come back to relu{level}_1."""
    return Site(f"decoder_relu{level}_1", pooling.name, level, stride_at(level))


Walk = Generator[tuple[Site, Tensor], Tensor, Tensor]
"""Yields (site, features), is sent the features to go on with, returns the decoded picture.

Features may be edited in place and sent back.
"""


@dataclass(frozen=True)
class Stage:
    """One autoencoder of a method.

    Attributes:
        encoder: frozen; may go deeper than this stage.
        decoder: from relu{level}_1.
        pooling: the pair of resamplings that both use.
        sites: those where features may be edited.
    """

    encoder: Encoder
    decoder: Decoder
    pooling: Pooling
    sites: frozenset[Site]

    @property
    def name(self) -> str:
        """Of the step that it is, in reports."""
        return f"relu{self.decoder.level}_1"

    @property
    def stride(self) -> int:
        """Picture sizes must be multiples of this, in pixels."""
        return stride_at(self.decoder.level)

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.encoder.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of all layers but those that touch pixels."""
        return list(self.encoder.parameters())[-1].dtype

    @property
    def halo(self) -> int:
        """Pixels around a window on which the decoded pixels in it depend, a multiple of `stride`."""
        return self._whole_cells(reach_up(self.decoder.level, reach_down(self.decoder.level)))

    @property
    def waves(self) -> list[frozenset[Site]]:
        """The sites in groups: what is seen at a group depends on the edits at the groups before it alone."""
        groups: dict[tuple[bool, int], set[Site]] = {}
        for site in self.sites:
            down = site.family == self.pooling.name and site.name.startswith("decoder")
            groups.setdefault((down, -site.stride if down else site.stride), set()).add(site)
        return [frozenset(groups[key]) for key in sorted(groups)]

    def halo_of(self, wave: frozenset[Site]) -> int:
        """Pixels around a window on which the features at a wave's sites in it depend, a multiple of `stride`."""
        if any(site.name.startswith("decoder") for site in wave):
            return self.halo
        return self._whole_cells(reach_up(max(site.stride for site in wave).bit_length(), 0))

    def _whole_cells(self, reach: int) -> int:
        return -(-reach // self.stride) * self.stride

    def walk(self, pixels: Float[Tensor, "1 3 h w"]) -> Walk:
        """Encode, offering the features at each site for editing, and decode, offering there as well.

        Args:
            pixels: RGB in [0, 1]; height and width are multiples of `stride` and at least twice it.

        Returns:
            The decoded picture, (1, 3, h, w), float32, not clipped.
        """
        kept: list[Kept] = []
        features = yield from climb(self.encoder, self.pooling, pixels, self.decoder.level, kept, self.sites)
        for blocks in runs(self.decoder.blocks, alone=decoder_site(1, self.pooling) in self.sites):
            features = descended(blocks, features, kept[blocks[0].level - 1], self.pooling)
            del kept[blocks[-1].level - 1 :]  # no block looks twice
            if (level := blocks[-1].level) > 1 and (site := decoder_site(level - 1, self.pooling)) in self.sites:
                features = yield site, features
        return features


@dataclass(frozen=True)
class Refinement(Stage):
    """A stage that edits nothing and takes from a picture what its own coding adds: 2 x - D(E(x)).

    Of a picture x = D(E(y)) it makes 2 D(E(y)) - D(E(D(E(y)))), in which an error of the coding counts by its square.

    Source: Tukey 1977 (Exploratory Data Analysis), who smooths so: twicing.
    """

    @classmethod
    def of(cls, stage: Stage) -> Refinement:
        """Refine what a stage has decoded."""
        return cls(stage.encoder, stage.decoder, stage.pooling, frozenset())

    @property
    def name(self) -> str:
        return "refine"

    def walk(self, pixels: Float[Tensor, "1 3 h w"]) -> Walk:
        coded = yield from super().walk(pixels)
        return 2 * pixels - coded


def climb(
    encoder: Encoder,
    pooling: Pooling,
    pixels: Float[Tensor, "1 3 h w"],
    level: int,
    kept: list[Kept] | None = None,
    wanted: Collection[Site] | None = None,
) -> Walk:
    """Walk up only; returns relu{level}_1.

    Args:
        kept: receives what the pooling of each block keeps, as edited, for a decoder; without one it is let go.
        wanted: sites where the walk stops; at every level and every band kept on the way when left out.
    """
    features = pixels.contiguous(memory_format=layout_of(next(encoder.parameters())))
    for blocks in runs(encoder.blocks[:level], alone=_stops(encoder_site(1, pooling), wanted)):
        own, last = [] if kept is None else kept, blocks[-1].level
        features = ascended(blocks, features, pooling, own)
        own[-1] = yield from _offer_bands(last - 1, own[-1], pooling, wanted)
        if _stops(site := encoder_site(last, pooling), wanted):
            features = yield site, features
    return features


def _offer_bands(
    level: int, kept: Kept, pooling: Pooling, wanted: Collection[Site] | None
) -> Generator[tuple[Site, Tensor], Tensor, Kept]:
    """Offer those bands of pool{level} that are wanted; return what it keeps, as edited."""
    sites = skip_sites(level, pooling) if level else []
    for number, site in enumerate(sites):
        if _stops(site, wanted):
            bands = list(pooling.with_bands(kept))
            bands[number] = yield site, bands[number]
            kept = tuple(bands)
    return kept


def _stops(site: Site, wanted: Collection[Site] | None) -> bool:
    return wanted is None or site in wanted


@dataclass(frozen=True)
class Ascent:
    """The way up alone, as far as a level.

    Attributes:
        encoder: frozen.
        pooling: of the way up.
        level: the last that is seen.
    """

    encoder: Encoder
    pooling: Pooling
    level: int

    @property
    def halo(self) -> int:
        """Pixels around a window on which the features in it depend."""
        return reach_up(self.level, 0)

    def walk(self, pixels: Float[Tensor, "1 3 h w"]) -> Walk:
        """Offer every level and every band kept on the way; height and width are multiples of the deepest stride."""
        return climb(self.encoder, self.pooling, pixels, self.level)


@runtime_checkable
class Walker(Protocol):
    """What can take a walk over a picture; equal ones see the same."""

    @property
    def halo(self) -> int:
        """Pixels around a window on which what is seen in it depends."""
        ...

    def walk(self, pixels: Float[Tensor, "1 3 h w"]) -> Walk:
        """Begin a walk."""
        ...

    def __hash__(self) -> int: ...


@runtime_checkable
class Passage(Walker, Protocol):
    """A walk that comes back with a picture."""

    @property
    def stride(self) -> int:
        """Picture sizes must be multiples of this, in pixels."""
        ...

    @property
    def waves(self) -> Sequence[frozenset[Site]]:
        """The sites in groups: what is seen at a group depends on the edits at the groups before it alone."""
        ...


def to_precision(network: torch.nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Move a network to a device and precision, weights laid out as they are read; what touches pixels stays float32.

    A bfloat16 number near 1 is a whole step of an 8-bit picture off, so conv1_1 of encoder and decoder keep float32.
    """
    network.to(device)
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            module.to(dtype=torch.float32 if name.endswith("conv1_1") else dtype)
            planes = gains_by_fewer_products(module.weight) and has_nnpack()
            module.to(memory_format=torch.contiguous_format if planes else torch.channels_last)
