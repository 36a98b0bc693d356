"""How far a result is from its style and from its content, by number."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import scipy
from jaxtyping import Float

from universal_style.moments import Moments

SSIM_SIGMA = 1.5
SSIM_CONSTANTS = (0.01**2, 0.03**2)
"""Wang et al. 2004, for values in [0, 1]."""
LUMA = (0.299, 0.587, 0.114)


def psnr(result: Float[np.ndarray, "h w 3"], reference: Float[np.ndarray, "h w 3"]) -> float:
    """Give the peak signal-to-noise ratio in dB of pixels in [0, 1]."""
    error = float(np.mean((result.astype(np.float64) - reference) ** 2))
    return -10 * math.log10(max(error, 1e-12))


def covariance_distance(result: Moments, style: Moments) -> float:
    """Give the Frobenius distance of covariances relative to the style's, 0 for equal."""
    return _relative(result.covariance.cpu().numpy(), style.covariance.cpu().numpy())


def gram_distance(result: Moments, style: Moments) -> float:
    """Give the Frobenius distance of Gram matrices (mean of x xᵀ over columns) relative to the style's, 0 for equal.

    Source: Gatys et al. 2016, equation 3, over the number of columns.
    """
    return _relative(result.second.cpu().numpy(), style.second.cpu().numpy())


def mean_distance(result: Moments, style: Moments) -> float:
    """Give the Euclidean distance of feature means relative to the style's, 0 for equal."""
    return _relative(result.mean.cpu().numpy(), style.mean.cpu().numpy())


def style_distances(result: Mapping[str, Moments], style: Mapping[str, Moments]) -> dict[str, float]:
    """Give, by site, the average of covariance distance and mean distance."""
    return {
        site: (covariance_distance(result[site], style[site]) + mean_distance(result[site], style[site])) / 2
        for site in style
    }


def content_distance(result: Float[np.ndarray, "c n"], content: Float[np.ndarray, "c n"]) -> float:
    """Give the distance of feature columns relative to the content's, 0 for equal."""
    return _relative(result, content)


def ssim(result: Float[np.ndarray, "h w"], reference: Float[np.ndarray, "h w"]) -> float:
    """Give the mean structural similarity of two planes in [0, 1].

    Source: Wang et al. 2004, with the Gaussian window of its authors.
    """

    def blurred(plane: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
        smooth: Float[np.ndarray, "h w"] = scipy.ndimage.gaussian_filter(plane, SSIM_SIGMA, truncate=3.5)
        return smooth

    a, b = result.astype(np.float64), reference.astype(np.float64)
    mean_a, mean_b = blurred(a), blurred(b)
    var_a, var_b = blurred(a * a) - mean_a**2, blurred(b * b) - mean_b**2
    covariance = blurred(a * b) - mean_a * mean_b
    first, second = SSIM_CONSTANTS
    similarity = (2 * mean_a * mean_b + first) * (2 * covariance + second)
    return float(np.mean(similarity / ((mean_a**2 + mean_b**2 + first) * (var_a + var_b + second))))


def luma(pixels: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """Give the luma (Rec. 601) of sRGB pixels."""
    plane: Float[np.ndarray, "h w"] = pixels.astype(np.float64) @ np.array(LUMA)
    return plane


def edges(pixels: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """Give the Sobel gradient magnitude of the luma, scaled so that a step from black to white is 1."""
    plane = luma(pixels)
    magnitude: Float[np.ndarray, "h w"] = np.hypot(scipy.ndimage.sobel(plane, 0), scipy.ndimage.sobel(plane, 1)) / 4
    return magnitude


def edge_ssim(result: Float[np.ndarray, "h w 3"], content: Float[np.ndarray, "h w 3"]) -> float:
    """Give the structural similarity of the two pictures' Sobel edges."""
    return ssim(edges(result), edges(content))


def _relative(given: Float[np.ndarray, "*shape"], wanted: Float[np.ndarray, "*shape"]) -> float:
    return float(np.linalg.norm(given - wanted) / max(float(np.linalg.norm(wanted)), 1e-12))
