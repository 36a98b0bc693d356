"""Numbers at the ends of their ranges: what comes out is finite, in range, of the right size, and as near as stated."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from universal_style.moments import Moments
from universal_style.roots import RELATIVE_CUTOFF, EighRoots, NewtonSchulzRoots, SvdRoots
from universal_style.stylizer import Stylizer
from universal_style.transforms import TRANSFORMS, OptimalTransport, WhitenColor

CHANNELS = 8
SEEDS = st.integers(0, 2**32)
DECADES = st.integers(0, 12)
"""Of a condition number: 1 to 1e12."""
SCALES = st.sampled_from([1e-6, 1e-3, 1.0, 1e3, 1e6])
FEW = settings(max_examples=40, derandomize=True, deadline=None)
THREADS = 2e-4
"""By which pictures in [0, 1] may differ that one and two threads have made: a twentieth of a step of 8 bits."""


def covariance(seed, decades, scale):
    """A random symmetric matrix whose eigenvalues fall from scale to scale / 10^decades."""
    generator = torch.Generator().manual_seed(seed)
    square = torch.randn(CHANNELS, CHANNELS, dtype=torch.float64, generator=generator)
    basis, _ = torch.linalg.qr(square)
    values = scale * torch.logspace(0, -decades, CHANNELS, dtype=torch.float64)
    matrix = (basis * values) @ basis.T
    return (matrix + matrix.T) / 2


def moments(seed, decades, scale, mean=0.0):
    return Moments(
        torch.tensor(101.0, dtype=torch.float64),
        torch.full((CHANNELS,), mean, dtype=torch.float64),
        100 * covariance(seed, decades, scale),
    )


@FEW
@given(SEEDS, DECADES, SCALES)
def test_roots_of_any_condition(seed, decades, scale):
    matrix = covariance(seed, decades, scale)
    for roots in (EighRoots(), SvdRoots()):
        root, inverse = roots(matrix)
        torch.testing.assert_close(root @ root, matrix, rtol=0, atol=1e-9 * scale)
        assert torch.linalg.matrix_norm(inverse, 2) <= 1.01 / (RELATIVE_CUTOFF * scale) ** 0.5
        kept = inverse @ matrix @ inverse  # a projector: the identity on the directions that are kept
        torch.testing.assert_close(kept @ kept, kept, rtol=0, atol=1e-6)
    root, inverse = NewtonSchulzRoots()(matrix)
    assert torch.isfinite(root).all()
    assert torch.isfinite(inverse).all()
    torch.testing.assert_close(root @ root, matrix, rtol=0, atol=1e-4 * scale)


@pytest.mark.parametrize(
    "transform", [*TRANSFORMS.values(), WhitenColor(NewtonSchulzRoots()), OptimalTransport(NewtonSchulzRoots())]
)
@FEW
@given(SEEDS, DECADES, DECADES, SCALES, SCALES)
def test_maps_of_any_condition(transform, seed, of_content, of_style, content_scale, style_scale):
    content = moments(seed, of_content, content_scale, mean=3.0)
    style = moments(seed + 1, of_style, style_scale, mean=-2.0)
    chosen = transform(content, style)
    assert torch.isfinite(chosen.matrix).all()
    torch.testing.assert_close(chosen.matrix @ content.mean + chosen.offset, style.mean, rtol=1e-6, atol=1e-6)
    reached = torch.trace(chosen.matrix @ content.covariance @ chosen.matrix.T)
    assert reached <= (1 + 1e-3) * torch.trace(style.covariance)  # no direction is blown up beyond the style


@FEW
@given(
    SEEDS, st.sampled_from([torch.float32, torch.bfloat16]), st.integers(1, 40), st.sampled_from([0.0, 1e-3, 1.0, 1e4])
)
def test_features_of_any_precision_are_carried_to_the_style(seed, dtype, count, spread):
    generator = torch.Generator().manual_seed(seed)
    features = (1 + spread * torch.randn(CHANNELS, count, generator=generator)).to(dtype)
    features[0] = 0.5  # a constant channel
    seen = Moments.of(features)
    assert (torch.linalg.eigvalsh(seen.covariance) >= -1e-5 * (1 + spread**2)).all()
    torch.testing.assert_close(seen.mean, features.double().mean(dim=1), rtol=1e-5, atol=1e-5)
    style = moments(seed, 6, 1.0, mean=1.0)
    for transform in TRANSFORMS.values():
        carried = transform(seen, style)(features[None, :, :, None])
        assert torch.isfinite(carried).all()
        assert carried.dtype == dtype
        gap = (carried.double().mean(dim=(0, 2, 3)) - style.mean).abs().max()
        gain = torch.linalg.matrix_norm(transform(seen, style).matrix, 2)
        step = torch.finfo(dtype).eps * (1 + float(features.abs().max())) * float(1 + gain) * CHANNELS
        assert gap <= max(step, 1e-4)


@FEW
@given(SEEDS, st.lists(st.integers(1, 10), min_size=1, max_size=5), st.sampled_from([1e-6, 1.0, 1e4]))
def test_moments_of_a_few_columns_merge_to_those_of_all(seed, lengths, spread):
    generator = torch.Generator().manual_seed(seed)
    parts = [7 + spread * torch.randn(4, length, generator=generator, dtype=torch.float64) for length in lengths]
    merged = Moments.empty(4)
    for part in parts:
        merged = merged.merge(Moments.of(part))
    whole = Moments.of(torch.cat(parts, dim=1))
    torch.testing.assert_close(merged.mean, whole.mean)
    torch.testing.assert_close(merged.scatter, whole.scatter, rtol=1e-8, atol=1e-12)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def flat(height, width, colour=(200, 30, 90)):
    return np.full((height, width, 3), colour, np.uint8)


PICTURES = {
    "1×1": noise(1, 1), "1×60": noise(1, 60), "60×1": noise(60, 1), "2×2": noise(2, 2), "3×80": noise(3, 80),
    "flat": flat(40, 33), "black": flat(32, 32, (0, 0, 0)), "white": flat(17, 40, (255, 255, 255)),
}  # fmt: skip


@pytest.fixture(scope="module")
def stylizers(stylizer):
    return {name: Stylizer(name, device="cpu", dtype="float32") for name in ("wct", "photo-wct", "wct2")}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("kind", PICTURES)
def test_pictures_of_any_shape_and_of_one_colour(stylizers, kind, transform):
    for method, stylizer in stylizers.items():
        for content, style in ((PICTURES[kind], noise(24, 28)), (noise(24, 32), PICTURES[kind])):
            image, _ = stylizer.run(content, style, levels=[2, 1], transform=transform, smooth="none")
            assert image.pixels.shape == content.shape, method
            assert np.isfinite(image.pixels).all()
            assert 0 <= image.pixels.min() <= image.pixels.max() <= 1


@pytest.mark.parametrize(
    ("method", "spread"),
    [("wct", 1e-3), ("photo-wct", 1e-3), ("wct2", 2 / 255)],  # the bands' means of a small style are not quite 0
)
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_what_has_one_colour_keeps_one(stylizers, method, spread, transform, ducks):
    """Rounding errors of flat features are not whitened to the style's full strength."""
    image, _ = stylizers[method].run(flat(160, 200), ducks, transform=transform, smooth="none")
    assert np.ptp(image.pixels, axis=(0, 1)).max() < spread


def test_what_has_one_colour_keeps_one_in_bfloat16(ducks):
    image, _ = Stylizer("wct", device="cpu", dtype="bfloat16").run(flat(80, 96), ducks, smooth="none", style_size=160)
    assert np.ptp(image.pixels, axis=(0, 1)).max() < 1 / 255


@pytest.mark.parametrize("method", ["wct", "photo-wct", "wct2"])
@pytest.mark.parametrize("missing", ["global", "nearest", "keep"])
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 2), (2, 5)])
def test_regions_of_a_few_pixels(stylizers, method, missing, size):
    masks = [np.zeros((32, 40, 3), np.uint8), np.zeros((36, 30, 3), np.uint8)]
    for mask in masks:
        mask[4 : 4 + size[0], 4 : 4 + size[1]] = (255, 0, 0)
        mask[-2:, -2:] = (0, 255, 0)
    image, report = stylizers[method].run(
        noise(32, 40), noise(36, 30, 1), content_mask=masks[0], style_masks=[masks[1]], levels=[2, 1], missing=missing
    )
    assert np.isfinite(image.pixels).all()
    assert len(report.regions) == 3


@pytest.mark.parametrize("method", ["wct", "photo-wct", "wct2"])
def test_one_and_two_threads_agree(stylizers, method, cat, ducks):
    before, made = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            made.append(stylizers[method].run(cat, ducks)[0].pixels)
    finally:
        torch.set_num_threads(before)
    np.testing.assert_allclose(made[0], made[1], rtol=0, atol=THREADS)
