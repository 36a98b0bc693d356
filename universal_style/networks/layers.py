"""The way up the encoder layer by layer, for the optimisers, whose losses may look at any of them."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from universal_style.errors import OptionError
from universal_style.networks.pooling import Pooling
from universal_style.networks.stage import Site, Walk
from universal_style.networks.vgg import Encoder, convolutions, reach_up, stride_at


def layer_names() -> list[str]:
    """Name every activation from relu1_1 to relu5_1."""
    return [name.replace("conv", "relu") for name in convolutions()]


@dataclass(frozen=True)
class Layers:
    """The way up alone, as far as the deepest of some layers, each of which is a site.

    Attributes:
        encoder: frozen.
        pooling: of the way up.
        names: of the layers, such as `relu4_2`.
    """

    encoder: Encoder
    pooling: Pooling
    names: frozenset[str]

    def site(self, name: str) -> Site:
        """Give the site of a layer; those of relu{k}_1 by maxima are the ones that presets hold."""
        level = int(name[len("relu")])
        return Site(name, self.encoder.prefix + self.pooling.family, level, stride_at(level))

    @property
    def deepest(self) -> str:
        """Name of the last layer that is seen."""
        return max(self.names, key=layer_names().index)

    @property
    def stride(self) -> int:
        """Picture sizes must be multiples of this, in pixels."""
        return self.site(self.deepest).stride

    @property
    def halo(self) -> int:
        """Pixels around a window on which the features in it depend."""
        level, place = map(int, self.deepest.removeprefix("relu").split("_"))
        return reach_up(level, place - 1)

    def walk(self, pixels: Float[Tensor, "n 3 h w"]) -> Walk:
        """Offer each layer in order, and go on with what is sent back."""
        features, deepest = pixels, self.deepest
        for block in self.encoder.blocks:
            layers = block.layers(features, self.pooling, self.names)
            name, features = next(layers)
            while True:
                if name in self.names:
                    features = yield self.site(name), features
                if name == deepest:
                    return features
                try:
                    name, features = layers.send(features)
                except StopIteration:
                    break
        return features


def check_layer(name: str) -> str:
    """Give the name of a layer back.

    Raises:
        OptionError: the encoder has no such layer.
    """
    if name not in layer_names():
        raise OptionError(f"layer {name!r} is unknown; the encoder has {', '.join(layer_names())}")
    return name
