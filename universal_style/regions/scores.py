"""From scores per region to one label per pixel."""

from __future__ import annotations

import numpy as np
import scipy
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

ISLAND = 0.002
"""Share of the picture under which a patch goes to what surrounds it."""


def best_labels(scores: Float[Tensor, "n _ _"], height: int, width: int) -> NDArray[np.uint8]:
    """Interpolate scores to a picture's size and give each pixel the label with the highest.

    Labels themselves are not interpolated, so borders are smooth.
    """
    best = torch.full((height, width), -torch.inf)
    labels = torch.zeros(height, width, dtype=torch.uint8)
    for label, plane in enumerate(scores.float().cpu()):  # one at a time: n planes of a large picture are much
        score = functional.interpolate(plane[None, None], (height, width), mode="bilinear")[0, 0]
        better = score > best
        labels[better] = label
        best = torch.where(better, score, best)
    return labels.numpy()


def without_islands(labels: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Give small patches to the large patch that lies nearest."""
    kept = np.zeros(labels.shape, bool)
    for label in np.unique(labels):
        patches, count = scipy.ndimage.label(labels == label)
        areas = np.bincount(patches.ravel(), minlength=count + 1)
        areas[0] = 0
        kept |= (areas >= ISLAND * labels.size)[patches]
    if kept.all() or not kept.any():
        return labels.astype(np.uint8)
    rows, columns = scipy.ndimage.distance_transform_edt(~kept, return_distances=False, return_indices=True)
    cleaned: NDArray[np.uint8] = labels[rows, columns].astype(np.uint8)
    return cleaned
