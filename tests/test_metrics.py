import numpy as np
import pytest
import torch

from universal_style.metrics import (
    content_distance,
    covariance_distance,
    edge_ssim,
    edges,
    mean_distance,
    psnr,
    ssim,
    style_distances,
)
from universal_style.moments import Moments


@pytest.fixture
def pictures(rng):
    first = rng.random((40, 60, 3)).astype(np.float32)
    return first, np.clip(first + 0.1, 0, 1).astype(np.float32)


def test_psnr_of_a_known_error():
    black = np.zeros((4, 4, 3), np.float32)
    assert psnr(black, black + np.float32(0.1)) == pytest.approx(20, abs=1e-4)
    assert psnr(black, black) == 120


def test_equal_pictures_are_equal(pictures):
    first, _ = pictures
    assert ssim(first[:, :, 0], first[:, :, 0]) == pytest.approx(1)
    assert edge_ssim(first, first) == pytest.approx(1)


def test_structure_falls_with_noise(rng):
    y, x = np.mgrid[:64, :64]
    clean = np.repeat(((x // 8 + y // 8) % 2)[:, :, None], 3, axis=2).astype(np.float32)
    scores = [
        edge_ssim(np.clip(clean + s * rng.standard_normal(clean.shape), 0, 1).astype(np.float32), clean)
        for s in (0.05, 0.2, 0.5)
    ]
    assert 1 > scores[0] > scores[1] > scores[2]


def test_a_step_from_black_to_white_is_an_edge_of_one():
    picture = np.zeros((9, 9, 3), np.float32)
    picture[:, 5:] = 1
    assert edges(picture).max() == pytest.approx(1)


def test_distances_are_relative():
    columns = torch.randn(4, 300, dtype=torch.float64) + 3
    style, result = Moments.of(columns), Moments.of(columns * 2)
    assert covariance_distance(style, style) == 0
    assert covariance_distance(result, style) == pytest.approx(3)
    assert mean_distance(result, style) == pytest.approx(1)
    assert style_distances({"relu1_1": result}, {"relu1_1": style}) == {"relu1_1": pytest.approx(2)}
    assert content_distance(np.zeros((2, 3)), np.ones((2, 3))) == pytest.approx(1)
