"""Where an optimiser begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from universal_style.drivers.fit import Aim, StyleFit
from universal_style.drivers.whole import carry
from universal_style.errors import InputError
from universal_style.methods.kinds import Task
from universal_style.mixing import MIXINGS
from universal_style.networks.stage import Site, Walk, Walker
from universal_style.regions import LabelMap
from universal_style.subjects import Loaded, aims_of
from universal_style.transforms import OptimalTransport

NOISE_DEVIATION = 0.1
COLOURS = Site("pixels", "pixels", 1, 1)


@dataclass(frozen=True)
class Beginning:
    """What there is to begin with.

    Attributes:
        loaded: what observes styles.
        task: the picture and its styles.
        content: at the size of the first phase.
        scale: of that size to the picture's.
    """

    loaded: Loaded
    task: Task
    content: Float[Tensor, "1 3 h w"]
    scale: float


Init = Callable[[Beginning], Float[Tensor, "1 3 h w"]]
"""Gives the pixels of the first iteration."""


def from_content(given: Beginning) -> Float[Tensor, "1 3 h w"]:
    """Begin with the content."""
    return given.content


def from_noise(given: Beginning) -> Float[Tensor, "1 3 h w"]:
    """Begin with noise about grey."""
    generator = torch.Generator().manual_seed(given.task.seed)
    noise = torch.randn(given.content.shape, generator=generator) * NOISE_DEVIATION + 0.5
    return noise.to(given.content.device).clamp(0, 1)


def from_style(given: Beginning) -> Float[Tensor, "1 3 h w"]:
    """Begin with the first style, stretched to the content's size."""
    subject = given.task.subjects[0]
    if subject.picture is None:
        raise InputError(f"{subject.name} is a preset, which shows nothing; use --init content or noise")
    height, width = given.content.shape[2:]
    return resized(subject.picture.tensor(given.content.device), (height, width))


def from_recolored(given: Beginning) -> Float[Tensor, "1 3 h w"]:
    """Begin with the content in the styles' colours: those of each region by the optimal transport of its colours."""
    task, (height, width) = given.task, given.content.shape[2:]
    for subject in task.subjects:
        if subject.picture is None:
            raise InputError(f"{subject.name} is a preset, which has no colours; use --init content or noise")
    regions, colours = task.regions.scaled(height, width), Colours()
    aims = aims_at(given.scale, given.loaded, task, regions, colours, [COLOURS])
    fit = StyleFit(OptimalTransport(), MIXINGS["maps"], aims, {COLOURS.level: 1.0})
    return carry(colours, given.content, fit, regions).clamp(0, 1)


@dataclass(frozen=True)
class Colours:
    """The shortest of walks: pixels are the features, and there is nothing to decode."""

    stride: int = 1
    halo: int = 0
    waves: tuple[frozenset[Site], ...] = (frozenset({COLOURS}),)

    def walk(self, pixels: Float[Tensor, "1 3 h w"]) -> Walk:
        """Offer the pixels."""
        features = yield COLOURS, pixels.clone()
        return features


def aims_at(
    scale: float, loaded: Loaded, task: Task, regions: LabelMap, walk: Walker, sites: Sequence[Site]
) -> list[list[Aim]]:
    """Observe the styles at a share of their size, and give what each label of the content is carried to."""
    observed = []
    for subject, labels in zip(task.subjects, task.regions_of_styles, strict=True):
        small = subject.scaled(scale)
        observed.append(loaded.observe(small, labels.scaled(*small.size), [walk], sites))
    return aims_of(regions, task.matched, observed)


def resized(pixels: Float[Tensor, "1 3 h w"], size: tuple[int, int]) -> Float[Tensor, "1 3 g v"]:
    """Resize without ringing or aliasing."""
    if tuple(pixels.shape[2:]) == size:
        return pixels
    return functional.interpolate(pixels, size=size, mode="bilinear", antialias=True, align_corners=False)


INITS: dict[str, Init] = {
    "content": from_content,
    "style": from_style,
    "noise": from_noise,
    "recolored": from_recolored,
}
