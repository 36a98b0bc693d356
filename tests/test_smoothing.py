import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import played_mps
import pytest
import torch
from scipy import sparse
from scipy.sparse.linalg import spsolve

from universal_style.errors import OptionError, OutputError
from universal_style.smoothing import (
    SMOOTHINGS,
    BilateralFit,
    ClosedForm,
    GuidedFilter,
    NoSmoothing,
    Smoothing,
    closed_form,
    coarse,
    debanded,
    smoothed,
    smoothing_named,
)
from universal_style.smoothing.affinity import Affinity
from universal_style.smoothing.cards import kernels_for
from universal_style.smoothing.closed_form import solve
from universal_style.smoothing.coarse import CoarseModels
from universal_style.smoothing.debanding import Debanding

EPSILON = 1e-7


def affinity_by_loops(guide, epsilon=EPSILON):
    """Build W from its definition, window by window."""
    _, height, width = guide.shape
    weights = np.zeros((height * width, height * width))
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            window = [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
            places = [row * width + column for row, column in window]
            colours = np.array([guide[:, row, column] for row, column in window], dtype=np.float64)
            centred = colours - colours.mean(0)
            covariance = centred.T @ centred / 9 + epsilon / 9 * np.eye(3)
            weights[np.ix_(places, places)] += (1 + centred @ np.linalg.inv(covariance) @ centred.T) / 9
    return weights


@pytest.fixture
def guide(cat):
    small = np.asarray(cat.resize((13, 11)), dtype=np.float32) / 255
    return torch.from_numpy(small).permute(2, 0, 1).contiguous()


@pytest.fixture
def result(guide):
    return (guide.flip(0) * 0.7 + 0.2 * torch.rand(guide.shape)).contiguous()


def test_the_stencil_is_the_affinity_of_the_definition(guide):
    affinity, expected = Affinity.of(guide, EPSILON), affinity_by_loops(guide.numpy())
    units = torch.eye(11 * 13).view(11 * 13, 11, 13)
    found = affinity(units).flatten(1).numpy()
    assert np.abs(found - expected).max() < 2e-4 * np.abs(expected).max()
    np.testing.assert_allclose(found, found.T, atol=1e-6)
    np.testing.assert_allclose(affinity.degrees.flatten(), expected.sum(1), rtol=1e-6)
    assert (affinity.degrees >= 1).all()  # every pixel of the border lies in a window


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="no Triton")
def test_the_kernels_for_cards_say_what_torch_says():
    script = Path(__file__).with_name("interpreted_kernels.py")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    gaps = list(map(float, done.stdout.split()))
    assert len(gaps) == 27
    assert max(gaps) < 1e-5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("size", [(3, 4), (70, 1003), (257, 512)])
def test_the_kernels_solve_what_torch_solves(size, monkeypatch):
    guide, wanted = torch.rand(3, *size).cuda(), torch.rand(3, *size).cuda()
    assert kernels_for(guide) is not None
    fast = solve(Affinity.of(guide, 1e-5), guide, wanted, 0.99, 1e-6)
    for module in ("affinity", "coarse"):
        monkeypatch.setattr(f"universal_style.smoothing.{module}.kernels_for", lambda _: None)
    slow = solve(Affinity.of(guide, 1e-5), guide, wanted, 0.99, 1e-6)
    torch.testing.assert_close(fast.values, slow.values, rtol=0, atol=1e-4)


def test_kernels_serve_on_cards_alone(guide):
    assert kernels_for(guide) is None


@pytest.mark.parametrize("shape", [(3, 3), (3, 50), (40, 3), (70, 1000)])
def test_rows_sum_to_the_number_of_windows_at_any_size(shape):
    affinity = Affinity.of(torch.rand(3, *shape), EPSILON)
    ones = torch.ones(1, *shape)
    torch.testing.assert_close(affinity(ones)[0], affinity.degrees, rtol=1e-4, atol=1e-4)
    assert affinity.laplacian(ones).abs().max() < 1e-3


def test_affine_functions_of_the_guide_cost_nothing(guide):
    """In every window they are an affine function of the colours, which the Laplacian leaves alone."""
    affinity = Affinity.of(guide, 1e-9)
    values = torch.stack([guide.mean(0), 0.3 * guide[0] - 0.8 * guide[2] + 0.1])
    energy = (values * affinity.laplacian(values)).sum()
    noise = torch.rand(values.shape)
    assert energy < 1e-3 * (noise * affinity.laplacian(noise)).sum()


def test_the_gradient_of_the_energy_is_twice_the_laplacian(guide, result):
    affinity = Affinity.of(guide, EPSILON)
    values = result.double()
    wide = Affinity(affinity.planes.double(), affinity.degrees.double())

    def energy(v):
        return (v * wide.laplacian(v)).sum()

    direction = torch.randn_like(values)
    step = 1e-5
    slope = (energy(values + step * direction) - energy(values - step * direction)) / (2 * step)
    torch.testing.assert_close(slope, (2 * wide.laplacian(values) * direction).sum(), rtol=1e-5, atol=1e-6)


def test_the_answer_is_that_of_a_direct_solver(guide, result):
    weights = affinity_by_loops(guide.numpy())
    beta = 0.9999
    system = sparse.csc_array(np.eye(len(weights)) - beta * weights / weights.sum(1)[:, None])
    exact = np.stack([spsolve(system, (1 - beta) * plane.numpy().ravel().astype(np.float64)) for plane in result])
    found = ClosedForm(beta, EPSILON, 1e-6)(result[None], guide[None])[0].flatten(1).numpy()
    assert np.abs(found - exact).max() < 0.2 / 255
    quick = ClosedForm(epsilon=EPSILON)(result[None], guide[None])[0].flatten(1).numpy()
    assert np.abs(quick - exact).max() < 0.5 / 255


def test_flat_colours_stay_flat_to_the_border(guide):
    flat = torch.full_like(guide, 0.6)[None]
    smooth = ClosedForm()(flat, guide[None])
    assert (smooth - flat).abs().max() < 0.5 / 255


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-6])
def test_the_residual_is_as_stated(guide, result, tolerance):
    """Also where float32 alone could not reach it."""
    affinity = Affinity.of(guide, EPSILON)
    solution = solve(affinity, guide, result, 0.9999, tolerance)
    scale = affinity.degrees.double().rsqrt()
    left = (1 - 0.9999) * result.double() - (solution.values - 0.9999 * scale * affinity(scale * solution.values))
    relative = (left.flatten(1).norm(dim=1) / (1e-4 * result).flatten(1).norm(dim=1)).max()
    assert float(relative) == pytest.approx(solution.residual, rel=1e-2)
    assert solution.residual <= tolerance


def test_the_models_of_the_guide_save_iterations(cat):
    """Conjugate gradients alone take over 500 on any photograph; the number must stay bounded as pictures grow."""
    for size in ((64, 48), (192, 144)):
        guide = torch.from_numpy(np.asarray(cat.resize(size), dtype=np.float32) / 255).permute(2, 0, 1)
        assert solve(Affinity.of(guide, EPSILON), guide, guide.flip(0).contiguous(), 0.9999, 1e-4).iterations < 200


@pytest.mark.parametrize("shape", [(3, 3), (11, 13), (30, 5)])
def test_the_preconditioner_is_symmetric_and_positive(shape):
    guide = torch.rand(3, *shape)
    precondition = CoarseModels.of(Affinity.of(guide, EPSILON), guide, 0.9999)
    count = shape[0] * shape[1]
    matrix = precondition(torch.eye(count).view(count, *shape)).flatten(1)
    torch.testing.assert_close(matrix, matrix.T, rtol=0, atol=1e-4 * matrix.abs().max().item())
    assert torch.linalg.eigvalsh((matrix + matrix.T).double()).min() > 0


@pytest.mark.parametrize("length", [1, 2, 4, 5, 6, 17])
def test_hats_sum_to_one_and_down_is_the_transpose_of_up(length):
    up = coarse._up(torch.eye(coarse._nodes(length))[:, None], 2, length)[:, 0]
    down = coarse._down(torch.eye(length)[:, None], 2)[:, 0]
    torch.testing.assert_close(up.sum(0), torch.ones(length))
    torch.testing.assert_close(up, down.T)


def test_interleaved_channels_give_the_same_picture(cat):
    planes = torch.from_numpy(np.asarray(cat, dtype=np.float32) / 255).permute(2, 0, 1)[None]
    assert not planes.is_contiguous()
    apart = planes.contiguous()
    torch.testing.assert_close(ClosedForm()(planes.flip(1), planes), ClosedForm()(apart.flip(1), apart))


def test_smooth_colours_are_solved_as_quickly_as_others():
    height, width = 360, 500
    down, right = torch.linspace(0, 1, height)[:, None], torch.linspace(0, 1, width)
    sky = torch.stack((0.3 + 0.2 * down.expand(height, width), 0.4 + 0.1 * right * down, 0.6 - 0.1 * right + 0 * down))
    affinity = Affinity.of(sky, ClosedForm().epsilon)
    solution = solve(affinity, sky, torch.rand(3, height, width), 0.9999, 1e-4)
    assert solution.iterations < 40


def test_a_solver_that_does_not_arrive_says_so(guide, result, monkeypatch):
    monkeypatch.setattr(closed_form, "MOST_ITERATIONS", 3)
    with pytest.raises(OutputError, match="smoothing reached a residual"):
        ClosedForm()(result[None], guide[None])


@pytest.mark.parametrize("smoothing", SMOOTHINGS.values(), ids=SMOOTHINGS)
@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (3, 3), (3, 50), (24, 31)])
def test_any_shape_and_flat_guides_give_a_defined_picture(smoothing, shape):
    assert isinstance(smoothing, Smoothing)
    for guide in (torch.rand(1, 3, *shape), torch.full((1, 3, *shape), 0.5), torch.zeros(1, 3, *shape)):
        result = torch.rand(1, 3, *shape)
        smooth = smoothing(result, guide)
        assert smooth.shape == result.shape
        assert smooth.dtype == torch.float32
        assert torch.isfinite(smooth).all()
        assert smooth.min() > -1
        assert smooth.max() < 2


@pytest.mark.parametrize(
    "smoothing", [ClosedForm(), BilateralFit(), GuidedFilter()], ids=["closed-form", "bilateral", "guided"]
)
def test_noise_goes_and_edges_stay(smoothing):
    guide = torch.zeros(1, 3, 48, 64)
    guide[..., 32:] = 1
    clean = 0.2 + 0.5 * guide.flip(1)
    noisy = clean + 0.05 * torch.randn(clean.shape)
    smooth = smoothing(noisy, guide)
    inner = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    assert (smooth - clean)[inner].square().mean() < 0.15 * (noisy - clean)[inner].square().mean()
    assert (smooth[..., 34] - smooth[..., 29]).mean() > 0.4


def test_the_bilateral_fit_is_that_of_the_definition(guide, result):
    """Cell by cell: a ridge regression of the pixels that it and those around it hold."""
    side, shades, epsilon = 4, 5, 1e-2
    found = BilateralFit(side, shades, epsilon)(result[None], guide[None])[0].numpy()
    height, width = guide.shape[1:]
    rows, columns = -(-height // side), -(-width // side)
    mirrored = ((0, 0), (0, rows * side - height), (0, columns * side - width))
    colours, wanted = (np.pad(planes.double().numpy(), mirrored, mode="reflect") for planes in (guide, result))

    def shade_of(colour):
        return (0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]) * (shades - 1)

    def hat(distance):
        return max(0.0, 1 - abs(distance))

    def near(steps):
        return 0.5 ** (1 + abs(steps)) if abs(steps) < 2 else 0.0

    fits = {}
    for cell in np.ndindex(rows, columns, shades):
        weights, ones, values = [], [], []
        for y, x in np.ndindex(colours.shape[1:]):
            shared = sum(near(k - cell[2]) * hat(shade_of(colours[:, y, x]) - k) for k in range(shades))
            if weight := near(y // side - cell[0]) * near(x // side - cell[1]) * shared:
                weights.append(weight)
                ones.append(colours[:, y, x])
                values.append(wanted[:, y, x])
        if weights:
            shares, here, there = np.array(weights) / sum(weights), np.array(ones), np.array(values)
            centred = here - shares @ here
            covariance = (centred * shares[:, None]).T @ centred + epsilon * np.eye(3)
            slope = np.linalg.solve(covariance, (centred * shares[:, None]).T @ (there - shares @ there))
            fits[cell] = slope, shares @ there - (shares @ here) @ slope
    for y, x in np.ndindex(height, width):
        place = (
            np.clip((y + 0.5) / side - 0.5, 0, rows - 1),
            np.clip((x + 0.5) / side - 0.5, 0, columns - 1),
            shade_of(colours[:, y, x]),
        )
        expected = np.zeros(3)
        for cell, (slope, offset) in fits.items():
            share = np.prod([hat(one - other) for one, other in zip(place, cell, strict=True)])
            expected += share * (colours[:, y, x] @ slope + offset)
        np.testing.assert_allclose(found[:, y, x], expected, atol=1e-5)


def test_a_rim_about_a_dark_outline_fades():
    """A bright sky has turned dark, but not beside what was dark before."""
    guide, clean = torch.full((2, 1, 3, 120, 160), 0.8)
    guide[..., 70:90] = 0.1
    clean[:] = 0.2 * guide
    rimmed = clean.clone()
    rimmed[..., 64:70] = rimmed[..., 90:96] = 0.6
    left = {name: (SMOOTHINGS[name](rimmed, guide) - clean)[..., :70].max() for name in ("bilateral", "guided")}
    assert left["bilateral"] < 0.5 * (rimmed - clean).max()
    assert left["bilateral"] < 0.75 * left["guided"]


@pytest.mark.parametrize("shape", [(5, 7), (40, 60)])
def test_the_bilateral_fit_rounds_little_in_float32(shape):
    guide = 0.9 + 0.1 * torch.rand(1, 3, *shape)
    result = guide.flip(1).square()
    exact = BilateralFit()(result.double(), guide.double())
    assert (BilateralFit()(result, guide) - exact).abs().max() < 1e-4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_bilateral_fit_of_a_card_is_that_of_a_cpu():
    guide, result = torch.rand(2, 1, 3, 70, 90)
    there = BilateralFit()(result.cuda(), guide.cuda()).cpu()
    assert (there - BilateralFit()(result, guide)).abs().max() < 1e-4


def test_the_guided_filter_is_that_of_the_definition(guide, result):
    chosen = GuidedFilter(radius=2, epsilon=1e-2)
    found = chosen(result[None], guide[None])[0].numpy()
    colours, wanted = guide.double().numpy(), result.double().numpy()
    _, height, width = colours.shape

    def window(y, x):
        return slice(max(0, y - 2), y + 3), slice(max(0, x - 2), x + 3)

    slopes, offsets = np.zeros((3, 3, height, width)), np.zeros((3, height, width))
    for y in range(height):
        for x in range(width):
            here, there = (planes[(slice(None), *window(y, x))].reshape(3, -1) for planes in (colours, wanted))
            centred = here - here.mean(1, keepdims=True)
            covariance = centred @ centred.T / here.shape[1] + 1e-2 * np.eye(3)
            crossed = centred @ (there - there.mean(1, keepdims=True)).T / here.shape[1]
            slopes[:, :, y, x] = np.linalg.solve(covariance, crossed).T
            offsets[:, y, x] = there.mean(1) - slopes[:, :, y, x] @ here.mean(1)
    for y in range(height):
        for x in range(width):
            part = window(y, x)
            slope = slopes[(slice(None), slice(None), *part)].mean((2, 3))
            expected = slope @ colours[:, y, x] + offsets[(slice(None), *part)].mean((1, 2))
            np.testing.assert_allclose(found[:, y, x], expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(5, 7), (40, 60)])
def test_the_guided_filter_rounds_little_in_float32(shape):
    guide = 0.9 + 0.1 * torch.rand(1, 3, *shape)  # bright and nearly flat
    result = guide.flip(1).square()
    exact = GuidedFilter()(result.double(), guide.double())
    assert (GuidedFilter()(result, guide) - exact).abs().max() < 1e-5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_guided_filter_of_a_card_is_that_of_a_cpu():
    guide, result = torch.rand(2, 1, 3, 70, 90)
    there = GuidedFilter()(result.cuda(), guide.cuda()).cpu()
    assert (there - GuidedFilter()(result, guide)).abs().max() < 1e-5


@pytest.mark.parametrize(
    "smoothing",
    [ClosedForm(), BilateralFit(), GuidedFilter(), Debanding()],
    ids=["closed form", "bilateral", "guided", "deband"],
)
@pytest.mark.parametrize("most", [60, 10**6], ids=["in windows", "at once"])
def test_smoothing_leaves_a_device_without_float64_and_comes_back(guide, result, smoothing, most, monkeypatch):
    on_cpu = smoothed(smoothing, result[None], guide[None], most)
    played_mps.play(monkeypatch)
    there = smoothed(smoothing, result[None].to("mps"), guide[None].to("mps"), most)
    assert there.device.type == "mps"
    assert torch.equal(there.to("cpu"), on_cpu)


def in_levels(picture):
    return (picture * 255).round() / 255


def test_debanding_takes_the_steps_out_of_a_calm_sky():
    height, width = 160, 260
    slope = torch.linspace(0.3, 0.34, width).expand(height, width) + torch.linspace(0, 0.02, height)[:, None]
    sky = torch.stack((slope, slope + 0.1, slope + 0.2))[None]
    even = debanded(in_levels(sky))
    inner = (slice(None), slice(None), slice(32, -32), slice(32, -32))
    assert (even - sky)[inner].square().mean() < 0.1 * (in_levels(sky) - sky)[inner].square().mean()
    assert even[inner].diff(dim=3).abs().max() < 0.4 / 255  # a step of the file is a whole one


def test_debanding_leaves_a_drawing_as_it_is():
    drawing = torch.full((1, 3, 70, 90), 0.5)
    drawing[:, 0, 20:50, 30:60] += 4.01 / 255
    drawing[:, :, 55:, 10:40] = 0.1
    assert torch.equal(debanded(drawing), drawing)
    assert torch.equal(debanded(drawing[:, :, :1, :1]), drawing[:, :, :1, :1])


def test_debanding_moves_no_colour_far(cat):
    picture = torch.from_numpy(np.asarray(cat, dtype=np.float32) / 255).permute(2, 0, 1)[None]
    moved = (debanded(picture) - picture).abs()
    assert 0 < moved.max() <= 1.501 / 255
    assert (debanded(picture, 0.5) - picture).abs().max() <= 0.7501 / 255
    assert torch.equal(debanded(picture, 0), picture)


@pytest.mark.parametrize("shape", [(1, 1), (17, 400), (150, 90)])
def test_debanding_in_windows_is_that_of_the_whole(shape):
    picture = in_levels(0.4 + 0.02 * torch.rand(1, 3, *shape))
    whole = Debanding()(picture, picture)
    assert torch.equal(smoothed(Debanding(), picture, picture, most=100 * 100), whole)
    assert not torch.equal(whole, picture) or shape == (1, 1)


def test_names_are_looked_up():
    assert isinstance(smoothing_named("closed-form"), ClosedForm)
    assert isinstance(smoothing_named("none"), NoSmoothing)
    with pytest.raises(OptionError, match="use one of none, closed-form, bilateral, guided"):
        smoothing_named("sanding")
