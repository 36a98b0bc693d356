from dataclasses import replace

import numpy as np
import pytest
import torch

from universal_style.errors import OptionError
from universal_style.moments import Moments
from universal_style.roots import RELATIVE_CUTOFF, EighRoots, NewtonSchulzRoots, SvdRoots
from universal_style.transforms import (
    TRANSFORMS,
    AffineMap,
    Cholesky,
    Floored,
    OptimalTransport,
    WhitenColor,
    mix,
    transform_named,
)

FULL = ("wct", "ot", "cholesky")
CHANNELS, COLUMNS = 12, 400

NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def columns(seed, count=COLUMNS, channels=CHANNELS):
    generator = torch.Generator().manual_seed(seed)
    colouring = 2 * torch.eye(channels) + 0.5 * torch.randn(
        channels, channels, dtype=torch.float64, generator=generator
    )
    return colouring @ torch.randn(channels, count, dtype=torch.float64, generator=generator) + seed


def applied(chosen, x):
    return chosen(x[None, :, :, None])[0, :, :, 0]


@pytest.fixture
def content():
    return columns(1)


@pytest.fixture
def style():
    return Moments.of(columns(2, 900))


@pytest.mark.parametrize("name", FULL)
def test_reaches_the_mean_and_covariance_of_the_style(name, content, style):
    reached = Moments.of(applied(TRANSFORMS[name](Moments.of(content), style), content))
    torch.testing.assert_close(reached.mean, style.mean, rtol=1e-6, atol=1e-6)
    error = torch.linalg.matrix_norm(reached.covariance - style.covariance)
    assert error < 1e-3 * torch.linalg.matrix_norm(style.covariance)


def test_adain_reaches_the_mean_and_the_diagonal(content, style):
    reached = Moments.of(applied(TRANSFORMS["adain"](Moments.of(content), style), content))
    torch.testing.assert_close(reached.mean, style.mean)
    torch.testing.assert_close(reached.covariance.diagonal(), style.covariance.diagonal())


@pytest.mark.parametrize("name", TRANSFORMS)
def test_content_equal_to_style_gives_the_identity(name, content):
    moments = Moments.of(content)
    chosen = TRANSFORMS[name](moments, moments)
    torch.testing.assert_close(chosen.matrix, torch.eye(CHANNELS, dtype=torch.float64), rtol=0, atol=1e-6)
    torch.testing.assert_close(applied(chosen, content), content, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_alpha_interpolates(name, content, style):
    full = TRANSFORMS[name](Moments.of(content), style)
    assert torch.equal(full.blend(0.0).matrix, torch.eye(CHANNELS, dtype=torch.float64))
    for alpha in (0.0, 0.3, 1.0):
        expected = (1 - alpha) * content + alpha * applied(full, content)
        torch.testing.assert_close(applied(full.blend(alpha), content), expected)


def test_a_mix_of_maps_is_the_mix_of_results(content, style):
    maps = [transform(Moments.of(content), style) for transform in TRANSFORMS.values()]
    weights = [0.1, 0.2, 0.3, 0.4]
    expected = sum(w * applied(m, content) for w, m in zip(weights, maps, strict=True))
    torch.testing.assert_close(applied(mix(maps, weights), content), expected)


def test_optimal_transport_is_symmetric_positive(content, style):
    matrix = OptimalTransport()(Moments.of(content), style).matrix
    torch.testing.assert_close(matrix, matrix.T)
    assert torch.linalg.eigvalsh(matrix).min() > 0


def test_optimal_transport_moves_features_least(content, style):
    moves = {
        name: (applied(TRANSFORMS[name](Moments.of(content), style), content) - content).square().mean()
        for name in FULL
    }
    assert min(moves, key=moves.get) == "ot"


def test_three_roots_agree(content):
    covariance = Moments.of(content).covariance
    root, inverse = EighRoots()(covariance)
    torch.testing.assert_close(root @ root, covariance)
    torch.testing.assert_close(inverse @ covariance @ inverse, torch.eye(CHANNELS, dtype=torch.float64))
    for others, tolerance in ((SvdRoots(), 1e-8), (NewtonSchulzRoots(), 1e-8)):
        other_root, other_inverse = others(covariance)
        scale_root, scale_inverse = root.abs().max().item(), inverse.abs().max().item()
        torch.testing.assert_close(other_root, root, rtol=0, atol=tolerance * scale_root)
        torch.testing.assert_close(other_inverse, inverse, rtol=0, atol=tolerance * scale_inverse)


def test_newton_schulz_converges(content):
    covariance = Moments.of(content).covariance
    root, inverse = NewtonSchulzRoots()(covariance)
    torch.testing.assert_close(root @ inverse, torch.eye(CHANNELS, dtype=torch.float64), rtol=0, atol=1e-8)


@pytest.mark.parametrize("roots", [EighRoots(), SvdRoots(), NewtonSchulzRoots()])
def test_roots_of_nothing_are_nothing(roots):
    for root in roots(torch.zeros(4, 4, dtype=torch.float64)):
        assert torch.equal(root, torch.zeros(4, 4, dtype=torch.float64))


@pytest.mark.parametrize("kind", [WhitenColor, OptimalTransport])
@pytest.mark.parametrize("decades", [2, 4, 8])
def test_maps_by_products_are_those_by_decomposition(kind, decades):
    """They differ by what lies under the cut-off, of which an iteration leaves nothing."""
    spread = torch.logspace(0, -decades, CHANNELS, dtype=torch.float64)[:, None]
    mixed, _ = torch.linalg.qr(torch.randn(CHANNELS, CHANNELS, dtype=torch.float64))
    content, style = Moments.of(mixed @ (spread * columns(1))), Moments.of(spread.flip(0).sqrt() * columns(2))
    by_products, by_spectrum = (kind(roots)(content, style).matrix for roots in (NewtonSchulzRoots(), EighRoots()))
    apart = by_products - by_spectrum
    moved = torch.trace(apart @ content.covariance @ apart.T) / torch.trace(style.covariance)
    assert moved < 10 * RELATIVE_CUTOFF  # squared, as a share of the style's variance


@NEEDS_CUDA
@pytest.mark.parametrize("kind", [WhitenColor, OptimalTransport])
def test_a_card_repeats_roots_for_other_matrices(kind):
    transform = kind(NewtonSchulzRoots())
    for seed in range(3):
        content, style = Moments.of(columns(seed)), Moments.of(columns(seed + 9) ** 2)
        on_card = transform(content.to("cuda"), style.to("cuda"))
        torch.testing.assert_close(on_card.matrix.cpu(), transform(content, style).matrix, rtol=0, atol=1e-7)


@pytest.mark.parametrize("roots", [EighRoots(), SvdRoots(), NewtonSchulzRoots()])
def test_what_is_positive_stays(roots, content):
    basis, _ = torch.linalg.qr(content[:, :CHANNELS])
    values = torch.linspace(-1, 2, CHANNELS, dtype=torch.float64)
    found = roots.positive((basis * values) @ basis.T)
    torch.testing.assert_close(found, (basis * values.clamp(min=0)) @ basis.T, rtol=0, atol=1e-9)


DEGENERATE = {
    "constant": torch.full((CHANNELS, 50), 0.5, dtype=torch.float64),
    "zero": torch.zeros(CHANNELS, 50, dtype=torch.float64),
    "one column": columns(3, 1),
    "fewer columns than channels": columns(4, 5),
    "one dead channel": columns(5) * (torch.arange(CHANNELS) != 3)[:, None],
}


BY_OTHER_ROOTS = [kind(roots()) for kind in (WhitenColor, OptimalTransport) for roots in (NewtonSchulzRoots, SvdRoots)]


@pytest.mark.parametrize("transform", [*TRANSFORMS.values(), *BY_OTHER_ROOTS])
@pytest.mark.parametrize("of_content", DEGENERATE)
@pytest.mark.parametrize("of_style", DEGENERATE)
def test_degenerate_moments_give_a_finite_map_onto_the_mean(transform, of_content, of_style):
    x, style = DEGENERATE[of_content], Moments.of(DEGENERATE[of_style])
    result = applied(transform(Moments.of(x), style), x)
    assert torch.isfinite(result).all()
    torch.testing.assert_close(result.mean(dim=1), style.mean, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("transform", TRANSFORMS.values())
def test_a_covariance_floor_damps_weak_directions(transform, style):
    weak = columns(6) * torch.logspace(0, -3, CHANNELS, dtype=torch.float64)[:, None]
    gains = [
        torch.linalg.matrix_norm(Floored(transform, floor)(Moments.of(weak), style).matrix, 2)
        for floor in (0.0, 0.01, 1.0)
    ]
    assert gains[0] > gains[1] > gains[2]
    moments = Moments.of(columns(1))
    identity = Floored(transform, 1.0)(moments, moments).matrix
    torch.testing.assert_close(identity, torch.eye(CHANNELS, dtype=torch.float64), rtol=0, atol=1e-8)


def test_a_floor_holds_back_what_is_amplified_and_nothing_else():
    spread, wanted = torch.tensor([4.0, 1e-4, 1.0, 2.0]).double(), torch.tensor([1.0, 1.0, 0.0, 2.0]).double()
    content, style = (
        Moments(torch.tensor(101.0).double(), torch.ones(4).double(), torch.diag(100 * values))
        for values in (spread, wanted)
    )
    gains = Floored(OptimalTransport(), 1.0)(content, style).matrix
    expected = torch.tensor([0.5, (2 / 1.0001) ** 0.5, 0.0, 1.0]).double()  # the first and the third are the style's
    torch.testing.assert_close(gains, torch.diag(expected), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("transform", TRANSFORMS.values())
def test_a_transform_says_whether_its_maps_are_symmetric(transform, content, style):
    matrix = transform(Moments.of(content), style if isinstance(style, Moments) else Moments.of(style)).matrix
    assert torch.allclose(matrix, matrix.T, atol=1e-9) == transform.symmetric


@pytest.mark.parametrize("name", ["ot", "adain"])
def test_a_floor_leaves_no_colours_beside_a_grey_style(name, stylizer, cat, ducks):
    def chroma(floor):
        result = stylizer.transfer(cat, ducks.convert("L"), transform=name, covariance_floor=floor)
        return np.ptp(np.asarray(result).astype(int), axis=2).mean()

    assert chroma(3.0) < chroma(0.0) + 1


def test_cholesky_is_lower_triangular(content, style):
    matrix = Cholesky()(Moments.of(content), style).matrix
    torch.testing.assert_close(matrix, matrix.tril())


def test_a_map_is_a_product_of_matrices_off_the_cpu():
    features = torch.empty(1, 4, 5, 6, device="meta").contiguous(memory_format=torch.channels_last)
    given = AffineMap.identity(4, "meta")(features)
    assert given.shape == features.shape
    assert given.is_contiguous(memory_format=torch.channels_last)


def test_cholesky_ends_where_moments_are_not_finite(style):
    content = replace(style, scatter=torch.full_like(style.scatter, torch.nan))
    assert Cholesky()(content, style).matrix.isnan().any()


def test_the_identity_changes_nothing(content):
    assert torch.equal(applied(AffineMap.identity(CHANNELS), content), content)


def test_unknown_names_are_named():
    with pytest.raises(OptionError, match="'pca' is unknown; use one of wct, ot, cholesky, adain"):
        transform_named("pca")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NEEDS_CUDA)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_map_of_halves_is_rounded_as_they_are(device, dtype, monkeypatch):
    if device == "cpu":
        monkeypatch.setattr("universal_style.transforms.multiplies_halves", lambda _: True)
    mixed = torch.randn(8, 8, dtype=torch.float64) @ torch.randn(8, 2000, dtype=torch.float64) + 40
    features = mixed.view(1, 8, 40, 50).to(dtype).to(device).contiguous(memory_format=torch.channels_last)
    content = Moments.of(features[0].flatten(1).double())
    style = Moments.of(torch.randn(8, 500, dtype=torch.float64, device=device) + 2)
    chosen = TRANSFORMS["ot"](content, style)
    given, wanted = chosen(features), chosen(features.double())
    assert given.dtype == dtype
    step = torch.finfo(dtype).eps * float(torch.linalg.matrix_norm(chosen.matrix)) * float(features.abs().max())
    torch.testing.assert_close(given.double(), wanted, rtol=0, atol=step)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NEEDS_CUDA)])
def test_a_map_of_halves_whose_numbers_no_half_holds_is_finite(device, monkeypatch):
    if device == "cpu":
        monkeypatch.setattr("universal_style.transforms.multiplies_halves", lambda _: True)
    features = (0.5 + 1e-3 * torch.rand(1, 4, 32, 32, device=device)).half()
    identity = torch.eye(4, dtype=torch.float64, device=device)
    huge = AffineMap(1e6 * identity, -5e5 * torch.ones(4, dtype=torch.float64, device=device))  # 0.5 comes to 0
    assert torch.isfinite(huge(features)).all()
