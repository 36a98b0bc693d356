"""What an explanation measures once the picture is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from universal_style.drivers.fit import Aim
from universal_style.explanation.witness import Explainer
from universal_style.methods import Task
from universal_style.metrics import style_distances
from universal_style.moments import Moments, merge_all
from universal_style.regions import WHOLE
from universal_style.report import Report
from universal_style.styles import Style
from universal_style.subjects import Loaded, aims_of

MOST_REGIONS = 4
"""Regions whose spectra are given, the largest first."""
RANKS = 24
"""Eigenvalues of each spectrum in the JSON, at ranks evenly spaced on a logarithmic scale."""

Spectrum = Float[np.ndarray, " _"]
"""Eigenvalues of a covariance, the largest first."""


@dataclass(frozen=True)
class Explanation:
    """One transfer taken apart.

    Attributes:
        report: of the transfer.
        task: what was to be done.
        steps: the picture at first and after each step, in [0, 1].
        sites: names of the places where features were edited, coarse to fine.
        distances: by step and site, how far the picture is from what its regions aim at.
        spectra: by region and site, of the content, of each style and of the result.
    """

    report: Report
    task: Task
    steps: Sequence[tuple[str, Float[Tensor, "1 3 _ _"]]]
    sites: Sequence[str]
    distances: Mapping[str, Mapping[str, float]]
    spectra: Mapping[str, Mapping[str, Mapping[str, Spectrum]]]

    def as_dict(self) -> dict[str, Any]:
        """Give plain numbers, lists and names for JSON; of each spectrum a few eigenvalues."""
        return {
            "method": self.report.method,
            "options": dict(self.report.options),
            "regions": list(self.report.regions),
            "steps": [name for name, _ in self.steps],
            "distances": {step: _rounded(values) for step, values in self.distances.items()},
            "spectra": {
                region: {
                    site: {of: _thinned(values) for of, values in curves.items()} for site, curves in sites.items()
                }
                for region, sites in self.spectra.items()
            },
        }


@torch.inference_mode()
def explanation_of(seen: Explainer, loaded: Loaded, report: Report) -> Explanation:
    """Measure what a witness saw.

    Args:
        seen: the witness of the transfer.
        loaded: networks of the `Stylizer` that made it.
        report: of the transfer.
    """
    task, keys = seen.task, [site.key for site in seen.sites]
    observed = [
        loaded.observe(subject, labels, seen.walks, seen.sites)
        for subject, labels in zip(task.subjects, task.regions_of_styles, strict=True)
        if seen.sites
    ]
    aims = aims_of(task.regions, task.matched, observed) if seen.sites else []
    looks = {name: _look(seen, pixels) for name, pixels in seen.steps} if seen.sites else {}
    distances = {name: _distances(task, aims, look, keys) for name, look in looks.items()}
    spectra = {
        region.name: _spectra(aims[region.label], looks["content"], looks[seen.steps[-1][0]], region.label, keys)
        for region in task.matched.regions[:MOST_REGIONS]
        if looks
    }
    return Explanation(report, task, tuple(seen.steps), keys, distances, spectra)


Look = Sequence[Mapping[str, Moments]]
"""The moments of each label of a picture, by key of the site."""


def _look(seen: Explainer, pixels: Tensor) -> Look:
    regions = seen.task.regions.scaled(*pixels.shape[2:])
    return [part.moments for part in Style.of_regions(pixels, seen.walks, regions, pixels.device)]


def _own(look: Look, ground: int, key: str) -> Moments:
    return merge_all(part[key] for part in look) if ground == WHOLE else look[ground][key]


def _distances(task: Task, aims: Sequence[Sequence[Aim]], look: Look, keys: Sequence[str]) -> dict[str, float]:
    """Average over aims by weight and over regions by area."""
    total, weight = dict.fromkeys(keys, 0.0), 0.0
    for region in task.matched.regions:
        for aim in aims[region.label]:
            own = {key: _own(look, aim.content, key) for key in keys}
            share = aim.weight * region.pixels
            weight += share
            for key, value in style_distances(own, {key: aim.style[key] for key in keys}).items():
                total[key] += share * value
    return {key: value / weight for key, value in total.items()} if weight else {}


def _spectra(
    aims: Sequence[Aim], content: Look, result: Look, label: int, keys: Sequence[str]
) -> dict[str, dict[str, Spectrum]]:
    curves: dict[str, dict[str, Spectrum]] = {}
    ground = aims[0].content if aims else label
    for key in keys:
        curves[key] = {"content": _eigenvalues(_own(content, ground, key))}
        for number, aim in enumerate(aims, start=1):
            curves[key]["style" if len(aims) == 1 else f"style {number}"] = _eigenvalues(aim.style[key])
        curves[key]["result"] = _eigenvalues(_own(result, ground, key))
    return curves


def _eigenvalues(moments: Moments) -> Spectrum:
    values: Spectrum = torch.linalg.eigvalsh(moments.covariance).flip(0).clamp(min=0).cpu().numpy()
    return values


def _thinned(values: Spectrum) -> dict[str, list[float]]:
    ranks = np.unique(np.geomspace(1, len(values), min(RANKS, len(values))).round().astype(int))
    return {"rank": ranks.tolist(), "eigenvalue": [float(f"{values[rank - 1]:.4g}") for rank in ranks]}


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {key: round(value, 4) for key, value in values.items()}
