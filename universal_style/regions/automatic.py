"""Automatic regions: content and styles are cut up together, by clustering their features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from universal_style.errors import OptionError
from universal_style.ranges import unsigned
from universal_style.regions.label_map import Colour, LabelMap
from universal_style.regions.scores import best_labels, without_islands

FEWEST_CLUSTERS, MOST_CLUSTERS = 2, 8
"""More than a handful of regions split what belongs together."""
ENERGY = 0.3
"""Power of the number of a site's channels that each is divided by; 0.5 would make all sites count the same."""
COMPONENTS = 32
"""Principal components that are clustered; the rest is texture within a region."""
WHITENING = -0.25
"""Power of a component's variance that it is scaled by: half way between 0, where the first component counts alone, and
-0.5, where the noise of late ones counts like the first."""
POSITION = 0.25
"""Standard deviation of the height in the picture, over that of all features together: sky is up, ground is down."""
RESTARTS = 6
ROUNDS = 50
SAMPLES = 4096
"""Columns per picture that the centres are found from."""
PRESENT = 0.01
"""Share of each picture that a cluster should have."""
SMOOTH = 1.0
"""Standard deviation, in cells, of the blur of the scores."""
PAINT: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
    (120, 120, 120),
)
"""Colours of automatic regions in reports, told apart by colour-blind eyes too (Okabe and Ito 2008)."""


def stacked(planes: Sequence[Float[Tensor, "_ _ _"]], rows: int, columns: int) -> Float[Tensor, "c rows columns"]:
    """Join features of several sites of one picture into the columns that `cluster` takes.

    Each channel is centred and scaled within the picture, which takes out most of what the pictures' styles differ in
    (their light and palette) and leaves what lies where. A site's weight grows
    slowly with its channels: colour's is a third of relu4_1's.

    Args:
        planes: features (c, h, w) of any sizes and scales; what works well is relu3_1, relu4_1 and the blurred picture.
        rows: of the result, such as relu3_1's.
        columns: of the result.
    """
    parts = []
    for plane in planes:
        part = plane.detach().float().cpu()[None]  # (c, h, w) -> (1, c, h, w)
        part = functional.interpolate(part, (rows, columns), mode="bilinear", antialias=True)[0]
        spread, mean = torch.std_mean(part, dim=(1, 2), correction=0, keepdim=True)
        varied = spread > 1e-6 * (1 + mean.abs())
        part = torch.where(varied, (part - mean) / torch.where(varied, spread, 1.0), 0.0)
        parts.append(part / part.shape[0] ** ENERGY)
    return torch.cat(parts)


def cluster(features: Sequence[Float[Tensor, "c _ _"]], n: int, seed: int = 0) -> list[UInt8[np.ndarray, "_ _"]]:
    """Cut pictures up together: the same number is the same kind of thing in each.

    Args:
        features: one tensor (c, h, w) per picture, such as `stacked` makes.
        n: number of clusters, 2 … 8. Fewer come out where there is less to tell apart, or where an island falls to what
            surrounds it.
        seed: of the random starts.

    Returns:
        Per picture the cluster of each cell, (h, w).

    Raises:
        OptionError: `n` is out of range.
    """
    return [without_islands(scores.argmax(dim=0).numpy()) for scores in _scores(features, n, seed)]


def automatic_regions(
    features: Sequence[Float[Tensor, "c _ _"]], sizes: Sequence[tuple[int, int]], n: int, seed: int = 0
) -> list[LabelMap]:
    """Give label maps with one numbering, found by clustering, at the sizes of the pictures.

    The scores are interpolated, not the labels, so that borders are smooth.

    Args:
        features: as for `cluster`; the content first.
        sizes: (height, width) of each picture in pixels.
        n: number of regions, 2 … 8.
        seed: of the random starts.

    Raises:
        OptionError: `n` is out of range.
    """
    scored = zip(_scores(features, n, seed), sizes, strict=True)
    return [LabelMap(without_islands(best_labels(scores, *size)), PAINT[:n]) for scores, size in scored]


def _scores(features: Sequence[Tensor], n: int, seed: int) -> list[Float[Tensor, "n _ _"]]:
    """Give per picture and cluster how well each cell fits, in 0 … 1."""
    if not FEWEST_CLUSTERS <= n <= MOST_CLUSTERS:
        raise OptionError(f"there are to be {n} automatic regions; use {FEWEST_CLUSTERS} to {MOST_CLUSTERS}")
    columns = _embedded(features)
    rng = np.random.default_rng(unsigned(seed))
    samples = [part[rng.permutation(len(part))[:SAMPLES]] for part in columns]
    centres = _centres(samples, n, rng)
    result = []
    for part, plane in zip(columns, features, strict=True):
        gaps = _gaps(part, centres)
        width = max(float(gaps.min(axis=1).mean()), 1e-12)
        fits = np.exp(-(gaps - gaps.min(axis=1, keepdims=True)) / width)
        fits /= fits.sum(axis=1, keepdims=True)
        scores = fits.T.reshape(n, *plane.shape[1:])  # (h w, n) -> (n, h, w)
        smooth = scipy.ndimage.gaussian_filter(scores, (0, SMOOTH, SMOOTH), mode="nearest")
        result.append(torch.from_numpy(smooth.astype(np.float32)))
    return result


def _embedded(features: Sequence[Tensor]) -> list[NDArray[np.float64]]:
    """Turn each picture's features into rows of principal components, and add the height in the picture."""
    rows = [plane.detach().double().cpu().flatten(1).T.numpy() for plane in features]  # (c, h, w) -> (h w, c)
    rows = [np.nan_to_num(part) for part in rows]
    mean = np.mean([part.mean(axis=0) for part in rows], axis=0)  # each picture counts the same, whatever its size
    rows = [part - mean for part in rows]
    covariance = np.mean([part.T @ part / len(part) for part in rows], axis=0)
    values, vectors = np.linalg.eigh(covariance)
    vectors = vectors[:, ::-1][:, :COMPONENTS]
    values = np.maximum(values[::-1][:COMPONENTS], 0)
    scale = np.where(values > 1e-9 * max(values[0], 1e-12), np.maximum(values, 1e-300) ** WHITENING, 0)
    parts = [part @ vectors * scale for part in rows]
    energy = float(np.mean([(part**2).sum(axis=1).mean() for part in parts])) ** 0.5
    return [
        np.concatenate([part, POSITION * energy * _heights(plane)], axis=1)
        for part, plane in zip(parts, features, strict=True)
    ]


def _heights(plane: Tensor) -> NDArray[np.float64]:
    rows, columns = plane.shape[1:]
    height = (np.arange(rows) + 0.5) / rows - 0.5
    return np.repeat(height * 12**0.5, columns)[:, None]  # a uniform spread of 1 has variance 1/12


def _gaps(rows: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    squares = (rows**2).sum(axis=1)[:, None] - 2 * rows @ centres.T + (centres**2).sum(axis=1)
    gaps: NDArray[np.float64] = np.maximum(squares, 0)
    return gaps


def _centres(samples: Sequence[NDArray[np.float64]], n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Find centres by k-means++, from several starts; prefer those whose clusters occur in every picture.

    Source: Arthur and Vassilvitskii 2007.
    """
    rows = np.concatenate(samples)
    weights = np.concatenate([np.full(len(part), 1 / len(part)) for part in samples])
    home = np.repeat(np.arange(len(samples)), [len(part) for part in samples])
    best: tuple[tuple[int, float], NDArray[np.float64]] | None = None
    for _ in range(RESTARTS):
        centres = _start(rows, weights, n, rng)
        for _ in range(ROUNDS):
            nearest = _gaps(rows, centres).argmin(axis=1)
            mass = np.bincount(nearest, weights, n)
            sums = np.stack([np.bincount(nearest, weights * column, n) for column in rows.T], axis=1)
            moved = np.where(mass[:, None] > 0, sums / np.maximum(mass, 1e-300)[:, None], centres)
            if np.allclose(moved, centres):
                break
            centres = moved
        gaps = _gaps(rows, centres)
        nearest = gaps.argmin(axis=1)
        shares = [np.bincount(nearest[home == index], minlength=n) / len(part) for index, part in enumerate(samples)]
        common = int((np.min(shares, axis=0) >= PRESENT).sum())
        rank = (common, -float(weights @ gaps.min(axis=1)))
        if best is None or rank > best[0]:
            best = (rank, centres)
    assert best is not None
    return best[1]


def _start(
    rows: NDArray[np.float64], weights: NDArray[np.float64], n: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    chosen = [rows[rng.choice(len(rows), p=weights / weights.sum())]]
    while len(chosen) < n:
        chance = weights * _gaps(rows, np.array(chosen)).min(axis=1)
        total = chance.sum()
        chance = chance / total if total > 0 else weights / weights.sum()  # fewer distinct rows than centres
        chosen.append(rows[rng.choice(len(rows), p=chance)])
    return np.array(chosen)
