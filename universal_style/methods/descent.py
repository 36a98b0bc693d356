"""What the optimisers do: descend on pixels phase by phase, from coarse to fine."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from universal_style.devices import exact_device
from universal_style.drivers.fit import Aim
from universal_style.drivers.whole import drive
from universal_style.images import Image
from universal_style.methods.beginnings import INITS, Beginning, Init, aims_at, resized
from universal_style.methods.kinds import Carried, Task
from universal_style.names import name_in
from universal_style.networks.layers import Layers
from universal_style.networks.pooling import AveragePooling, NearestPooling, Pooling
from universal_style.networks.stage import Site
from universal_style.reference.descent import OPTIMIZERS, Optimizer, descend
from universal_style.reference.losses import (
    ContentTerm,
    Energy,
    GramAim,
    RegionWeights,
    StyleTerm,
    columns_of,
    squared_norm,
)
from universal_style.regions import LabelMap, moment_weights
from universal_style.smoothing.affinity import EPSILON, SMALLEST_SIDE, Affinity
from universal_style.subjects import Loaded
from universal_style.windows import grown

ENCODERS = ("bundled", "torchvision")
POOLINGS: dict[str, Pooling] = {"max": NearestPooling(), "average": AveragePooling()}
COARSEST_LONG_SIDE = 256
"""Unless asked otherwise, the first of the scales has at least this long side in pixels …"""
MOST_SCALES = 3
"""… and there are no more of them than this."""


@dataclass(frozen=True)
class Phase:
    """A leg of the descent: at which share of the picture's size, with which photorealism weight."""

    scale: float
    photorealism_weight: float


@dataclass(frozen=True)
class Descent:
    """What an optimiser does, see `Optimiser.recipe`."""

    iterations: int
    optimizer: Optimizer
    init: Init
    style_layers: Mapping[str, float]
    content_layers: Mapping[str, float]
    content_weight: float
    tv_weight: float
    photorealism_weight: float
    pooling: Pooling
    scales: int
    encoder: str
    preview: Path | None
    preview_every: int

    def as_options(self) -> dict[str, Any]:
        return {
            "iterations": self.iterations,
            "optimizer": name_in(OPTIMIZERS, self.optimizer),
            "init": name_in(INITS, self.init),
            "style_layers": dict(self.style_layers),
            "content_layers": dict(self.content_layers),
            "content_weight": self.content_weight,
            "tv_weight": self.tv_weight,
            "photorealism_weight": self.photorealism_weight,
            "pooling": name_in(POOLINGS, self.pooling),
            "scales": self.scales,
            "encoder": self.encoder,
            "preview": None if self.preview is None else str(self.preview),
            "preview_every": self.preview_every,
        }

    def steps(self, styles: int) -> int:
        return 1 + max(1, self.scales) * self._steps_of_phase

    @property
    def _steps_of_phase(self) -> int:
        return 2 + self.iterations

    def phases(self, height: int, width: int) -> list[Phase]:
        """Plan the descent on a picture."""
        count = self.scales
        while not self.scales and count < MOST_SCALES and max(height, width) >= COARSEST_LONG_SIDE * 2**count:
            count += 1
        scales = [Phase(0.5**halvings, 0.0) for halvings in reversed(range(max(1, count)))]
        return [*scales, Phase(1.0, self.photorealism_weight)] if self.photorealism_weight else scales

    def carry(self, loaded: Loaded, task: Task) -> Carried:
        """Descend phase by phase, each from where the one before ended."""
        height, width = task.pixels.shape[2:]
        phases = self.phases(height, width)
        task.steps.total += (len(phases) - max(1, self.scales)) * self._steps_of_phase
        task.steps.begin("load networks")
        looks = self._looks(loaded)
        task.witness.edits([looks], [looks.site(name) for name in looks.names])
        sizes = [(max(1, round(height * phase.scale)), max(1, round(width * phase.scale))) for phase in phases]
        trace: list[Mapping[str, float]] = []
        started = time.perf_counter()
        contents = [resized(task.pixels, size) for size in sizes]
        pixels = self.init(Beginning(loaded, task, contents[0], phases[0].scale))
        for phase, size, content in zip(phases, sizes, contents, strict=True):
            start = resized(pixels, size)
            task.steps.begin("observe", "observing content and styles")
            energy = self.energy(loaded, task, content, phase)
            task.steps.begin("optimise", f"{size[1]}×{size[0]}")
            for iterate in descend(start, energy, self.optimizer, self.iterations):
                pixels = iterate.pixels
                total = sum(iterate.losses.values())
                trace.append({"seconds": time.perf_counter() - started, "scale": phase.scale, **iterate.losses})
                told = f"{size[1]}×{size[0]}, iteration {iterate.number} of {self.iterations}, loss {total:.4g}"
                task.steps.begin("optimise", told)
                if self.preview is not None and iterate.number % self.preview_every == 0:
                    Image.of(pixels[0].clamp(0, 1)).write(self.preview)
            task.witness.sees(f"{size[1]}×{size[0]}" + (", photorealism" if phase.photorealism_weight else ""), pixels)
        return Carried(pixels, [loaded.encoder_checkpoint] if self.encoder == "bundled" else [], trace)

    def _style_term(
        self, site: Site, features: Tensor, regions: LabelMap, aims: Mapping[int, Sequence[Aim]]
    ) -> StyleTerm:
        """Aim each region of a layer at the Gram matrix that it should have."""
        rows, columns = -(-regions.height // site.stride), -(-regions.width // site.stride)
        beyond = (0, features.shape[3] - columns, 0, features.shape[2] - rows)  # what the picture was grown by
        shares = functional.pad(moment_weights(regions.weights(site.stride, rows, columns)), beyond)
        shares = shares.to(features.device)
        seen, pixels = columns_of(features)[0], regions.pixels
        grams = []
        for label, own in aims.items():
            region = RegionWeights.of(shares[label])
            kept, present = 1 - sum(aim.weight for aim in own), region.second_moment(seen)
            wanted = gram_wanted(own, site).to(seen.device, seen.dtype) + kept * present
            # A flat style's Gram is small beside the content's; distances relative to it alone would drown all.
            norm = torch.maximum(squared_norm(wanted), squared_norm(present))
            grams.append(GramAim(region, pixels[label] / sum(pixels), wanted, norm))
        return StyleTerm(self.style_layers[site.name], grams)

    def _layers(self, loaded: Loaded) -> Layers:
        encoder = loaded.encoder if self.encoder == "bundled" else loaded.torchvision_encoder
        return Layers(encoder, self.pooling, frozenset({*self.style_layers, *self.content_layers}))

    def _looks(self, loaded: Loaded) -> Layers:
        layers = self._layers(loaded)
        return Layers(layers.encoder, layers.pooling, frozenset(self.style_layers))

    def energy(self, loaded: Loaded, task: Task, content: Float[Tensor, "1 3 h w"], phase: Phase) -> Energy:
        """Look at the content and the styles at the size of a phase."""
        layers = self._layers(loaded)
        height, width = content.shape[2:]
        regions = task.regions.scaled(height, width)
        looks = self._looks(loaded)
        sites = [looks.site(name) for name in self.style_layers]
        aims = aims_at(phase.scale, loaded, task, regions, looks, sites)
        pixels = regions.pixels
        styled = [label for label in range(regions.count) if aims[label] and pixels[label]]
        style, kept = {}, {}

        def look(site: Site, features: Tensor) -> Tensor:
            if site.name in self.content_layers:
                kept[site] = ContentTerm(self.content_weight * self.content_layers[site.name], features.float())
            if site in sites and styled:
                style[site] = self._style_term(site, features, regions, {label: aims[label] for label in styled})
            return features

        with torch.no_grad():
            drive(layers.walk(grown(content, layers.stride)), look)
        affinity = None
        if phase.photorealism_weight and min(height, width) >= SMALLEST_SIDE:
            exact = content[0].to(exact_device(content.device))
            affinity = Affinity.of(exact.contiguous(), EPSILON).to(content.device)
        return Energy(layers, style, kept, self.tv_weight, affinity, phase.photorealism_weight)


def gram_wanted(aims: Sequence[Aim], site: Site) -> Float[Tensor, "c c"]:
    """Mix the Gram matrices of what a region takes from each style; what their weights leave of 1 is the content's."""
    return torch.stack([aim.weight * aim.style[site.key].second for aim in aims]).sum(dim=0)
